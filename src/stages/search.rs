//! *Recipes*: which build to try next for a crate, given what the ones before came to.
//!
//! The search is a function of what was found so far and of nothing else, so a second run takes the same steps and
//! finds every build in the store. An exact checksum needs no trust in the search: it proves itself.
//!
//! The order: cargos by evidence; with each, the index at publication. Where Cargo.lock alone still differs, the same
//! cargo with the weaker index modes, strongest claim first. Where cargo misses a crate, the same with it. Where cargo
//! refuses whatever it is given, fewer of the workspace's other members. Where anything else that cargo writes differs, the
//! next cargo.

use std::collections::BTreeSet;

use super::artefact::LOCK;
use super::compare::proof::Proof;
use super::plan::IndexMode;
use super::toolchain::Candidate;
use super::verdict::{Level, Verdict};
use super::workspace::Others;
use crate::builder::status::Outcome;
use crate::model::krate::CrateName;

/// A build to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// The cargo, as an index into the candidates.
    pub candidate: usize,
    /// How Cargo.lock comes about.
    pub index_mode: IndexMode,
    /// What cargo sees of the other members of the workspace.
    pub others: Others,
    /// Crates that cargo missed in the index slice before.
    pub missed: BTreeSet<CrateName>,
}

/// A build that was tried, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The build.
    pub attempt: Try,
    /// What it alone would say.
    pub verdict: Verdict,
    /// What cargo said, where it refused.
    pub refusal: Option<Refusal>,
}

/// Why cargo refused, as far as it can be told from its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The index slice lacks a crate.
    MissingCrate(CrateName),
    /// No version in the slice will do: one may have been yanked, or the lock file was made from another index.
    NoVersion,
    /// Something else.
    Other,
}

/// cargo's words for what an index slice can lack, from 1.46 to 1.97.
const NO_CRATE: [&str; 2] = ["no matching package named `", "no matching package found\nsearched package name: `"];
/// cargo's words for versions that can't be had.
const NO_VERSION: [&str; 4] =
    ["failed to select a version for", "is yanked", "candidate versions found which didn't match", "checksum for `"];

impl Refusal {
    /// Why there is no crate; none where there is one.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Packaged { .. } => None,
            Outcome::Refused { message, .. } => Some(Self::read(message)),
            Outcome::LinkLeavesTree { .. } | Outcome::NoPackage { .. } => Some(Self::Other),
        }
    }

    /// Reads cargo's words.
    #[must_use]
    pub fn read(message: &str) -> Self {
        let missing = NO_CRATE.iter().find_map(|words| {
            let rest = &message[message.find(words)? + words.len()..];
            rest.split('`').next()?.parse().ok()
        });
        if let Some(name) = missing.or_else(|| lacking_file(message)) {
            return Self::MissingCrate(name);
        }
        if NO_VERSION.iter().any(|words| message.contains(words)) { Self::NoVersion } else { Self::Other }
    }
}

/// The crate whose file a local registry lacks, where a cargo says only that: from 1.57 to 1.61 at least.
fn lacking_file(message: &str) -> Option<CrateName> {
    let (_, rest) = message.split_once("failed to read `")?;
    let (path, rest) = rest.split_once('`')?;
    let found =
        path.contains("/index/") && rest.trim_start().starts_with("Caused by:") && rest.contains("No such file");
    path.rsplit_once('/').filter(|_| found)?.1.parse().ok()
}

/// How many builds of one crate are looked at.
const TRIES_LIMIT: usize = 60;

/// How often names are added to a slice for one crate.
const MISSED_LIMIT: usize = 12;

/// What the search needs to know of a crate.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The cargos to try, best first.
    pub candidates: Vec<Candidate>,
    /// The index modes that could make a difference, strongest claim first.
    pub index_modes: Vec<IndexMode>,
    /// Whether the workspace has members that the package can do without.
    pub can_be_alone: bool,
    /// Whether it can't be loaded with them.
    pub must_be_alone: bool,
}

/// The next build to try; none where it is done.
#[must_use]
pub fn next(subject: &Subject, tried: &[Tried]) -> Option<Try> {
    let Some(last) = tried.last() else {
        return first(subject, 0);
    };
    if is_settled(last) {
        return None;
    }
    let attempt = &last.attempt;
    if tried.len() >= TRIES_LIMIT {
        return None;
    }
    if let Some(Refusal::MissingCrate(name)) = &last.refusal
        && attempt.missed.len() < MISSED_LIMIT
        && !attempt.missed.contains(name)
    {
        let mut again = attempt.clone();
        again.missed.insert(name.clone());
        return Some(again);
    }
    // The published lock file knows what the package needs, and nothing of the others.
    let others_lack = matches!(last.refusal, Some(Refusal::MissingCrate(_) | Refusal::NoVersion));
    let whole = attempt.others == Others::Whole && subject.can_be_alone;
    if others_lack && attempt.index_mode == IndexMode::PublishedLock && whole {
        return Some(Try { others: Others::Needed, ..attempt.clone() });
    }
    let weaker = subject.index_modes.iter().copied().find(|mode| *mode > attempt.index_mode);
    if let Some(index_mode) = weaker.filter(|_| lock_is_all_that_differs(last)) {
        return Some(Try { index_mode, ..attempt.clone() });
    }
    // What cargo refuses may be about others.
    let with_this = || tried.iter().filter(|one| one.attempt.candidate == attempt.candidate);
    let fewest = with_this().map(|one| one.attempt.others).max();
    let refused = with_this().any(|one| Some(one.attempt.others) == fewest && one.refusal.is_some());
    if let Some(others) = fewest.and_then(Others::next).filter(|_| subject.can_be_alone && refused) {
        return Some(Try { others, ..first(subject, attempt.candidate)? });
    }
    let next = attempt.candidate + 1;
    let candidate = subject.candidates.get(next)?;
    // Cargos that the evidence rules out are there to show that all files are the same. Where that is shown, or where
    // the source differs, they add nothing.
    let pointless = !candidate.in_range && tried.iter().any(|one| shows_enough(subject, one));
    if pointless { None } else { first(subject, next) }
}

fn first(subject: &Subject, candidate: usize) -> Option<Try> {
    subject.candidates.get(candidate)?;
    let others = if subject.must_be_alone { Others::Needed } else { Others::Whole };
    Some(Try { candidate, index_mode: IndexMode::AtPublication, others, missed: BTreeSet::new() })
}

/// Nothing better can come.
fn is_settled(last: &Tried) -> bool {
    matches!(last.verdict, Verdict::Reproduced)
}

/// Whether Cargo.lock, or that it can't be made, is all that is in the way.
fn lock_is_all_that_differs(last: &Tried) -> bool {
    match &last.verdict {
        Verdict::GeneratedFilesDiffer { differences } => differences.iter().all(|difference| difference.path == LOCK),
        Verdict::NotRebuilt { .. } => {
            matches!(last.refusal, Some(Refusal::NoVersion | Refusal::MissingCrate(_)))
        }
        _ => false,
    }
}

fn shows_enough(subject: &Subject, tried: &Tried) -> bool {
    match &tried.verdict {
        Verdict::ArchiveDiffers { proof, .. } => matches!(proof, Proof::Exact { .. } | Proof::Tar),
        // A cargo that is too old drops what it does not know, and too new a one may leave files out.
        Verdict::SourceDiffers { .. } => subject.candidates[tried.attempt.candidate].in_range,
        _ => false,
    }
}

/// The try that says most for the crate: the best verdict, under the strongest claim, the earliest.
#[must_use]
pub fn best(tried: &[Tried]) -> Option<usize> {
    (0..tried.len()).max_by_key(|at| {
        let one = &tried[*at];
        let proof = match &one.verdict {
            Verdict::ArchiveDiffers { proof: Proof::Exact { .. }, .. } => 2,
            Verdict::ArchiveDiffers { proof: Proof::Tar, .. } => 1,
            _ => 0,
        };
        let fewest = std::cmp::Reverse(one.verdict.differences().len());
        let claim = std::cmp::Reverse((one.attempt.others, one.attempt.index_mode));
        (rank(one.verdict.level()), proof, fewest, claim, std::cmp::Reverse(*at))
    })
}

/// Among the builds of one crate, one that shows a difference says more than one that never came about; and cargos
/// that are not the publisher's make differences that aren't there, so the build that differs least is the one to
/// believe.
fn rank(level: Level) -> u8 {
    match level {
        Level::Reproduced => 5,
        Level::ArchiveDiffers => 4,
        Level::GeneratedFilesDiffer => 3,
        Level::SourceDiffers => 2,
        Level::NotRebuilt => 1,
        Level::UnreachedCommit
        | Level::OtherCommit
        | Level::Unverifiable
        | Level::Inconclusive
        | Level::HostileArchive
        | Level::ChecksumMismatch => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::{Sha256, Sri};
    use crate::model::nonempty::NonEmpty;
    use crate::model::release::Minor;
    use crate::stages::compare::proof::Aside;
    use crate::stages::compare::{Difference, Kind, Weight};
    use crate::stages::toolchain::{Origin, Toolchain};

    fn subject(in_range: &[bool]) -> Subject {
        let toolchain = |minor: usize| Toolchain {
            name: format!("1.{minor}.0"),
            release: format!("1.{minor}.0"),
            minor: Minor(minor as u32),
            origin: Origin::Imported { nar_hash: Sri(Sha256::of(b"")) },
        };
        let candidates =
            in_range.iter().enumerate().map(|(n, at)| Candidate { toolchain: toolchain(n), in_range: *at }).collect();
        Subject {
            candidates,
            index_modes: vec![IndexMode::AtPublication, IndexMode::WithYanked, IndexMode::PublishedLock],
            can_be_alone: false,
            must_be_alone: false,
        }
    }

    fn differs(paths: &[&str]) -> Verdict {
        let difference = |path: &&str| Difference {
            path: (*path).to_owned(),
            kind: Kind::Form,
            weight: Weight::Generated,
            details: Vec::new(),
        };
        Verdict::GeneratedFilesDiffer { differences: NonEmpty::new(paths.iter().map(difference).collect()).unwrap() }
    }

    /// Runs the search with a function that says what each build comes to; gives the steps.
    fn run(subject: &Subject, outcome: impl Fn(&Try) -> (Verdict, Option<Refusal>)) -> Vec<String> {
        let mut tried = Vec::new();
        let mut steps = Vec::new();
        while let Some(attempt) = next(subject, &tried) {
            steps.push(format!("{} {:?} {}", attempt.candidate, attempt.index_mode, attempt.missed.len()));
            assert!(steps.len() < 100, "the search must end");
            let (verdict, refusal) = outcome(&attempt);
            tried.push(Tried { attempt, verdict, refusal });
        }
        steps
    }

    #[test]
    fn an_exact_build_ends_the_search() {
        assert_eq!(run(&subject(&[true, true]), |_| (Verdict::Reproduced, None)), ["0 AtPublication 0"]);
    }

    #[test]
    fn where_the_lock_alone_differs_the_claim_gets_weaker_before_the_cargo_changes() {
        let steps = run(&subject(&[true, true]), |attempt| match attempt.index_mode {
            IndexMode::PublishedLock => (Verdict::Reproduced, None),
            _ => (differs(&[LOCK]), None),
        });
        assert_eq!(steps, ["0 AtPublication 0", "0 WithYanked 0", "0 PublishedLock 0"]);
    }

    #[test]
    fn where_more_differs_the_next_cargo_is_tried() {
        let steps = run(&subject(&[true, true, false]), |_| (differs(&["Cargo.toml", LOCK]), None));
        assert_eq!(steps, ["0 AtPublication 0", "1 AtPublication 0", "2 AtPublication 0"]);
    }

    #[test]
    fn where_the_source_differs_only_a_cargo_that_may_have_made_it_has_the_last_word() {
        let Verdict::GeneratedFilesDiffer { differences } = differs(&["Cargo.toml"]) else { unreachable!() };
        let source = || Verdict::SourceDiffers { differences: differences.clone() };
        assert_eq!(run(&subject(&[true, false]), |_| (source(), None)).len(), 1);
        assert_eq!(run(&subject(&[false, false]), |_| (source(), None)).len(), 2);
    }

    #[test]
    fn a_missing_crate_is_added_and_the_same_tried_again() {
        let steps = run(&subject(&[true]), |attempt| match attempt.missed.len() {
            0 => (Verdict::NotRebuilt { reason: String::new() }, Some(Refusal::MissingCrate("x".parse().unwrap()))),
            _ => (Verdict::Reproduced, None),
        });
        assert_eq!(steps, ["0 AtPublication 0", "0 AtPublication 1"]);
    }

    #[test]
    fn what_the_published_lock_lacks_for_others_is_added_before_they_are_left_out() {
        let mut subject = subject(&[true]);
        subject.can_be_alone = true;
        let missing = || Refusal::MissingCrate("x".parse().unwrap());
        let mut tried = Vec::new();
        while let Some(attempt) = next(&subject, &tried) {
            let (verdict, refusal) = match (attempt.index_mode, attempt.missed.len()) {
                (IndexMode::PublishedLock, 0) => (Verdict::NotRebuilt { reason: String::new() }, Some(missing())),
                (IndexMode::PublishedLock, _) => (Verdict::Reproduced, None),
                _ => (differs(&[LOCK]), None),
            };
            tried.push(Tried { attempt, verdict, refusal });
        }
        let last = &tried.last().unwrap().attempt;
        assert_eq!((last.others, last.missed.len()), (Others::Whole, 1));
    }

    #[test]
    fn what_cargo_refuses_is_tried_again_without_the_other_members_before_the_cargo_changes() {
        let refused = || (Verdict::NotRebuilt { reason: String::new() }, Some(Refusal::Other));
        let mut both = Subject { can_be_alone: true, ..subject(&[true, true]) };
        let mut seen = Vec::new();
        let mut tried = Vec::new();
        while let Some(attempt) = next(&both, &tried) {
            seen.push((attempt.candidate, attempt.others));
            let (verdict, refusal) = refused();
            tried.push(Tried { attempt, verdict, refusal });
        }
        use Others::{Bare, Needed, Whole};
        assert_eq!(seen, [(0, Whole), (0, Needed), (0, Bare), (1, Whole), (1, Needed), (1, Bare)]);
        both.must_be_alone = true;
        assert_eq!(next(&both, &[]).unwrap().others, Needed);
    }

    #[test]
    fn cargos_out_of_range_are_left_alone_once_all_files_are_proven_the_same() {
        let same = || Verdict::ArchiveDiffers {
            aside: NonEmpty::one(Aside::Times),
            proof: Proof::Exact { compressor: crate::stages::deflate::Compressor::Zlib9 },
        };
        assert_eq!(run(&subject(&[true, false]), |_| (same(), None)), ["0 AtPublication 0"]);
        assert_eq!(run(&subject(&[true, true]), |_| (same(), None)).len(), 2, "another in range may be exact");
    }

    #[test]
    fn cargos_words_for_what_a_slice_lacks_are_known() {
        for words in [
            "error: no matching package named `foo-bar` found\nlocation searched: registry `crates-io`",
            "no matching package found\nsearched package name: `foo-bar`\nperhaps you meant: x",
        ] {
            assert_eq!(Refusal::read(words), Refusal::MissingCrate("foo-bar".parse().unwrap()));
        }
        let file = "failed to read `/nix/store/x-index-slice/index/un/ic/unicode-ident`\n\nCaused by:\n  No such file or directory (os error 2)";
        assert_eq!(Refusal::read(file), Refusal::MissingCrate("unicode-ident".parse().unwrap()));
        assert_eq!(Refusal::read(&file.replace("/index/", "/worktree/")), Refusal::Other);
        assert_eq!(Refusal::read("error: failed to select a version for `x`."), Refusal::NoVersion);
        assert_eq!(Refusal::read("error: license-file missing"), Refusal::Other);
    }
}
