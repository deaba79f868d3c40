//! *Letter*: a text to a crate's maintainer: what was found, what it most likely comes from, how to see it, and how the next version
//! can match. It asks, and never accuses: almost everything that does not match was packaged in good faith.

use std::fmt::Write as _;

use super::claims::{Missing, Reach};
use super::compare::{Difference, Kind};
use super::findings::{Checksum, Condition, Contents, Contradiction, Findings, NamedBy, Rebuild};
use super::record::Record;
use super::report::brief::verify;
use super::report::text::{registry_option, title};
use super::verdict::Verdict;
use crate::model::foreign::Foreign;

/// How many differences are listed, and how many lines of each.
const DIFFERENCES: usize = 8;
const DETAILS: usize = 3;

/// What something most likely comes from, and what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likely {
    Unpushed,
    Dirty,
    WindowsCheckout,
    LockNotTracked,
    LockNotFresh,
    TagMoved,
    RewrittenBranch,
    OtherRepository,
    OtherVersion,
    NoVcsInfo,
    NoRepository,
    RepositoryGone,
    GitDoesNotHave,
    NotPackageable,
    OtherCargo,
    WrongBytes,
    Container,
}

impl Likely {
    /// What may have happened.
    fn cause(self) -> &'static str {
        match self {
            Self::Unpushed => {
                "The commit that the crate names may never have been pushed, or was amended, rebased or squashed after \
                 publishing."
            }
            Self::Dirty => {
                "The crate seems to have been packaged with changes in the worktree that were not committed (`--allow-dirty`)."
            }
            Self::WindowsCheckout => {
                "The crate seems to have been packaged from a checkout on Windows, where git may change line endings, links and \
                 executable bits."
            }
            Self::LockNotTracked => {
                "The crate's Cargo.lock is not in git, so it depends on what the index had at the minute of publishing."
            }
            Self::LockNotFresh => "The Cargo.lock that was published is another than the commit gives.",
            Self::TagMoved => "The tag of the version may have been set on another commit, or moved, after publishing.",
            Self::RewrittenBranch => {
                "The branch may have been deleted, rebased or squashed after publishing, so no branch or tag leads to the commit."
            }
            Self::OtherRepository => "The crate may have been published from a fork, or the repository may have moved.",
            Self::OtherVersion => "The version may have been raised in the worktree, and committed after publishing.",
            Self::NoVcsInfo => {
                "The crate does not say which commit it is from: it was packaged with changes that were not committed, outside of a \
                 git repository, or by a cargo older than 1.30."
            }
            Self::NoRepository => "The manifest names no repository that can be fetched (`package.repository`).",
            Self::RepositoryGone => "The repository may have moved, or may be private.",
            Self::GitDoesNotHave => {
                "Files may have been generated, ignored by git or changed in the worktree when the crate was packaged."
            }
            Self::NotPackageable => {
                "The commit can't be packaged as it is: something that was in the worktree may not be committed."
            }
            Self::OtherCargo => {
                "What cargo generates differs in form only: the crate may have been packaged by a cargo, or a tool, that I do not have."
            }
            Self::WrongBytes => "The registry, or something between it and me, gave other bytes than the index says.",
            Self::Container => "The files are the same; how they are packed is not what a cargo on Linux writes.",
        }
    }

    /// What helps next time; none where nothing does.
    fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::Unpushed | Self::RewrittenBranch => {
                "push the commit, and a tag on it, before publishing; leave that commit as it is"
            }
            Self::Dirty | Self::GitDoesNotHave | Self::NotPackageable => {
                "publish from a clean checkout of the commit, without `--allow-dirty`"
            }
            Self::WindowsCheckout => {
                "publish from Linux, CI or a checkout with `core.autocrlf=false`; a `.gitattributes` with `* text=auto eol=lf` helps too"
            }
            Self::LockNotTracked | Self::LockNotFresh => "commit Cargo.lock, and publish with `--locked`",
            Self::TagMoved => "set the tag on the commit that is published",
            Self::OtherRepository | Self::NoRepository | Self::RepositoryGone => {
                "set `repository` in Cargo.toml to where the commit can be fetched"
            }
            Self::OtherVersion => "commit the new version first, then publish that commit",
            Self::NoVcsInfo => "publish from a clean git checkout: cargo writes the commit into the crate then",
            Self::OtherCargo => "publish with a released cargo",
            Self::WrongBytes | Self::Container => return None,
        })
    }
}

/// The letter; none where there is nothing to write about.
#[must_use]
pub fn letter(record: &Record) -> Option<String> {
    let verdict = record.verdict();
    if matches!(verdict, Verdict::Reproduced | Verdict::Error) {
        return None;
    }
    let id = record.key.id();
    let name = title(&record.key);
    let mut text = format!(
        "Subject: {name} and its git repository\n\nHello,\n\nthank you for {}. I rebuild the crates that I use from their git commits, \
         to see that what is published is what is in git. {}\n",
        id.name,
        opening(record, &name)
    );
    if let Some(origin) = &record.findings.origin {
        let path = origin.path.as_ref().map(|path| path.as_str()).filter(|path| !path.is_empty());
        let path = path.map_or(String::new(), |path| format!(", folder {}", Foreign::from(path)));
        let by = match &origin.named_by {
            NamedBy::Crate => "as the crate names it".to_owned(),
            NamedBy::Tag(tag) => format!("found by the tag {tag}"),
            NamedBy::OtherVersion => "as another version names the repository".to_owned(),
        };
        let _ = writeln!(text, "\nI looked at {} of {}{path} ({by}).", origin.commit, origin.repository);
    }
    write_differences(&mut text, record.findings.contents.differences());
    let likely = likely(record);
    if !likely.is_empty() {
        text.push_str("\nWhat it may come from (I can only guess):\n\n");
        likely.iter().for_each(|one| write_item(&mut text, one.cause()));
    }
    let _ = writeln!(text, "\nTo see it yourself, on Linux with Nix:\n\n    {}", verify(&record.key));
    if record.best.is_some() {
        let _ = writeln!(text, "    recrate diff {id}{}", registry_option(&record.key));
    }
    let mut advice: Vec<&str> = Vec::new();
    for one in likely.iter().filter_map(|one| one.advice()) {
        if !advice.contains(&one) {
            advice.push(one);
        }
    }
    if !advice.is_empty() {
        text.push_str("\nWhat would let the next version match:\n\n");
        advice.iter().for_each(|one| write_item(&mut text, one));
    }
    text.push_str(
        "\nThe published version can't be changed, and need not be: if you know where the difference is from, a word of yours is \
         enough for me. If you do not, that would be worth knowing too.\n\nKind regards\n",
    );
    Some(wrapped(&text))
}

/// What was found, in a sentence or two.
fn opening(record: &Record, name: &str) -> String {
    let findings = &record.findings;
    match (&findings.contents, &findings.rebuild) {
        (Contents::NotCompared, Rebuild::Impossible { missing, reason }) => {
            format!("For {name} I could not: {missing} ({reason}).")
        }
        (Contents::NotCompared, Rebuild::Refused { reason }) => {
            format!("For {name} cargo refuses to package the commit: {reason}")
        }
        (Contents::NotCompared, _) => format!("For {name} I could not: {}", record.verdict().meaning()),
        (Contents::BitForBit, _) => {
            format!(
                "{name} has just the bytes that its commit gives; one thing about the commit is open: {}",
                open(record)
            )
        }
        (Contents::SameContents { .. } | Contents::CompressorUnknown { .. }, _) => {
            format!(
                "Every file of {name} is what its commit gives; what differs is how they are packed.{}",
                also(record)
            )
        }
        (Contents::GeneratedFilesDiffer { .. }, _) => {
            format!(
                "All of {name}'s own files are what its commit gives; files that cargo generates differ.{}",
                also(record)
            )
        }
        (Contents::SourceDiffers { .. }, _) => {
            format!("For {name} the two are not the same.{}", also(record))
        }
    }
}

fn open(record: &Record) -> String {
    let contradictions = record.findings.origin.iter().flat_map(|origin| &origin.contradictions);
    let words: Vec<String> = contradictions.map(ToString::to_string).collect();
    if words.is_empty() { record.verdict().meaning().to_owned() } else { format!("{}.", words.join("; ")) }
}

fn also(record: &Record) -> String {
    let is_open = matches!(record.verdict(), Verdict::UnreachableCommit | Verdict::ContradictedOrigin);
    if is_open { format!(" And one thing about the commit is open: {}", open(record)) } else { String::new() }
}

fn write_differences(text: &mut String, differences: &[Difference]) {
    if differences.is_empty() {
        return;
    }
    text.push_str("\nWhat differs:\n\n");
    for difference in differences.iter().take(DIFFERENCES) {
        let _ = writeln!(text, "  - {}: {}", difference.path, difference.kind);
        for detail in difference.details.iter().take(DETAILS) {
            let _ = writeln!(text, "      {detail}");
        }
    }
    if differences.len() > DIFFERENCES {
        let _ = writeln!(text, "  - and {} more files", differences.len() - DIFFERENCES);
    }
}

/// An item of a list.
fn write_item(text: &mut String, item: &str) {
    let _ = writeln!(text, "  - {item}");
}

/// How long a line of a mail is, in bytes.
const WIDTH: usize = 76;

/// The text in lines that fit into a mail. Commands and what differs stay as they are.
fn wrapped(text: &str) -> String {
    let fill = |line: &str| {
        let is_list = line.starts_with("  ");
        if line.starts_with("    ") || is_list && line.contains(": ") {
            return line.to_owned();
        }
        let options = textwrap::Options::new(WIDTH).break_words(false);
        textwrap::fill(line, options.subsequent_indent(if is_list { "    " } else { "" }))
    };
    text.lines().map(|line| fill(line) + "\n").collect()
}

/// What findings most likely come from, each once.
fn likely(record: &Record) -> Vec<Likely> {
    let findings = &record.findings;
    let mut likely = Vec::new();
    if let Checksum::Mismatch { .. } = findings.checksum {
        likely.push(Likely::WrongBytes);
    }
    if let Rebuild::Impossible { missing, .. } = &findings.rebuild {
        likely.extend(of_missing(*missing));
    }
    if matches!(findings.rebuild, Rebuild::Refused { .. }) {
        likely.push(Likely::NotPackageable);
    }
    if findings.flags.dirty {
        likely.push(Likely::Dirty);
    }
    let compared = findings.contents != Contents::NotCompared;
    if compared && findings.reach.reach == Reach::Unreachable {
        likely.push(Likely::RewrittenBranch);
    }
    for contradiction in findings.origin.iter().flat_map(|origin| &origin.contradictions) {
        likely.push(match contradiction {
            Contradiction::Repository { .. } => Likely::OtherRepository,
            Contradiction::Tag(_) => Likely::TagMoved,
            Contradiction::Version { .. } => Likely::OtherVersion,
        });
    }
    let by_tag = findings.origin.as_ref().is_some_and(|origin| matches!(origin.named_by, NamedBy::Tag(_)));
    if compared && by_tag {
        likely.push(Likely::NoVcsInfo);
    }
    likely.extend(of_contents(findings, record));
    likely.sort();
    likely.dedup();
    likely
}

fn of_missing(missing: Missing) -> Option<Likely> {
    match missing {
        Missing::VcsInfo | Missing::ReadableVcsInfo => Some(Likely::NoVcsInfo),
        Missing::Repository | Missing::AllowedRepository => Some(Likely::NoRepository),
        Missing::RepositoryAtAddress => Some(Likely::RepositoryGone),
        Missing::Commit => Some(Likely::Unpushed),
        Missing::ExtraSource => Some(Likely::NotPackageable),
        Missing::Version
        | Missing::ReadableManifest
        | Missing::AcceptableCommit
        | Missing::Sha1Ids
        | Missing::Planned => None,
    }
}

fn of_contents(findings: &Findings, record: &Record) -> Vec<Likely> {
    let mut likely = Vec::new();
    if findings.conditions.iter().any(|one| matches!(one, Condition::WindowsCheckout { .. })) {
        likely.push(Likely::WindowsCheckout);
    }
    let input = findings.conditions.iter().any(|one| matches!(one, Condition::PublishedLockfile { .. }));
    if input {
        likely.push(Likely::LockNotTracked);
    }
    for difference in findings.contents.differences() {
        let is_lock = difference.path.raw() == "Cargo.lock";
        likely.push(match difference.kind {
            _ if is_lock => Likely::LockNotFresh,
            Kind::LineEndings => Likely::WindowsCheckout,
            Kind::Form => Likely::OtherCargo,
            Kind::Container | Kind::Repeated => Likely::Container,
            Kind::Lines { .. }
            | Kind::WhiteSpace
            | Kind::Bytes
            | Kind::OnlyPublished
            | Kind::OnlyRebuilt
            | Kind::Mode
            | Kind::Meaning => Likely::GitDoesNotHave,
        });
    }
    if record.lacking_cargo().is_some() {
        likely.push(Likely::OtherCargo);
    }
    if matches!(findings.contents, Contents::SameContents { .. } | Contents::CompressorUnknown { .. }) {
        likely.push(Likely::Container);
    }
    likely
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::package::{PackageKey, RegistryName};
    use crate::stages::artefact::tests::id;
    use crate::stages::claims::{Cause, Obstacle};
    use crate::stages::judge::judge_obstacle;

    fn unverifiable(missing: Missing, reason: &str) -> Record {
        let cause = Cause::Impossible { missing, reason: reason.into() };
        let findings = judge_obstacle(&Obstacle { cause, origin: None }, false);
        Record::new(PackageKey::new(RegistryName::Default, id()), None, findings)
    }

    #[test]
    fn a_letter_says_what_is_missing_and_what_helps_and_accuses_nobody() {
        insta::assert_snapshot!(letter(&unverifiable(Missing::Commit, "the repository has no commit 8f02514591")).unwrap(), @r#"
        Subject: a 1.0.0 and its git repository

        Hello,

        thank you for a. I rebuild the crates that I use from their git commits, to
        see that what is published is what is in git. For a 1.0.0 I could not: the
        repository does not have the commit (the repository has no commit
        8f02514591).

        What it may come from (I can only guess):

          - The commit that the crate names may never have been pushed, or was
            amended, rebased or squashed after publishing.

        To see it yourself, on Linux with Nix:

            recrate verify a@1.0.0

        What would let the next version match:

          - push the commit, and a tag on it, before publishing; leave that commit
            as it is

        The published version can't be changed, and need not be: if you know where
        the difference is from, a word of yours is enough for me. If you do not,
        that would be worth knowing too.

        Kind regards
        "#);
        for missing in [Missing::VcsInfo, Missing::Repository, Missing::RepositoryAtAddress, Missing::ExtraSource] {
            let text = letter(&unverifiable(missing, "why")).unwrap().to_lowercase();
            assert!(
                text.contains("what it may come from") && text.contains("what would let the next version match"),
                "{text}"
            );
            for word in ["malicious", "attack", "tamper", "your fault", "wrong with", "must"] {
                assert!(!text.contains(word), "{word}: {text}");
            }
        }
    }

    #[test]
    fn what_strangers_wrote_does_not_steer_the_terminal() {
        let text = letter(&unverifiable(Missing::Commit, "\u{1b}[2J\u{202e}\nSubject: x")).unwrap();
        assert!(text.chars().all(|c| !c.is_control() || c == '\n') && !text.contains('\u{202e}'), "{text:?}");
        assert_eq!(text.matches("\nSubject:").count(), 0);
    }
}
