//! *Search*: which build to attempt next for a crate, given what the ones before came to.
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
use super::findings::{Contents, Findings, Rebuild};
use super::plan::IndexMode;
use super::toolchain::{Candidate, Search};
use super::workspace::WorkspaceView;
use crate::contract::status::Outcome;
use crate::model::krate::CrateName;

/// A build to attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The cargo, as an index into the candidates.
    pub candidate: usize,
    /// How Cargo.lock comes about.
    pub index_mode: IndexMode,
    /// What cargo sees of the other members of the workspace.
    pub workspace: WorkspaceView,
    /// Crates that cargo missed in the index slice before.
    pub missed: BTreeSet<CrateName>,
}

/// A build that was attempted, and what it showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    /// The build.
    pub attempt: Attempt,
    /// What is known of the crate from it.
    pub findings: Findings,
    /// Why cargo refused, where it did.
    pub refusal: Option<Refusal>,
}

/// Why cargo refused, as far as its words show.
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

/// How many builds of one crate are looked at in a search for what is likely.
const ATTEMPTS_LIMIT: usize = 60;

/// How often names are added to a slice for one crate.
const MISSED_LIMIT: usize = 12;

/// What the search needs to know of a crate.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The cargos to attempt, best first.
    pub candidates: Vec<Candidate>,
    /// The index modes that could make a difference, strongest claim first.
    pub index_modes: Vec<IndexMode>,
    /// Whether the workspace has members that the package can do without.
    pub can_be_pruned: bool,
    /// Whether it can't be loaded with them.
    pub must_be_pruned: bool,
    /// How far to search.
    pub search: Search,
}

/// The next build to attempt; none where it is done.
#[must_use]
pub fn next(subject: &Subject, attempted: &[Attempted]) -> Option<Attempt> {
    let Some(last) = attempted.last() else {
        return first(subject, 0);
    };
    if is_settled(last) {
        return None;
    }
    let attempt = &last.attempt;
    if subject.search == Search::Likely && attempted.len() >= ATTEMPTS_LIMIT {
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
    // The published lock file knows what the package needs, and nothing of the workspace.
    let workspace_lack = matches!(last.refusal, Some(Refusal::MissingCrate(_) | Refusal::NoVersion));
    let whole = attempt.workspace == WorkspaceView::Full && subject.can_be_pruned;
    if workspace_lack && attempt.index_mode == IndexMode::PublishedLock && whole {
        return Some(Attempt { workspace: WorkspaceView::Pruned, ..attempt.clone() });
    }
    let weaker = subject.index_modes.iter().copied().find(|mode| *mode > attempt.index_mode);
    if let Some(index_mode) = weaker.filter(|_| lock_is_all_that_differs(last)) {
        return Some(Attempt { index_mode, ..attempt.clone() });
    }
    // What cargo refuses may be about workspace.
    let with_this = || attempted.iter().filter(|one| one.attempt.candidate == attempt.candidate);
    let fewest = with_this().map(|one| one.attempt.workspace).max();
    let refused = with_this().any(|one| Some(one.attempt.workspace) == fewest && one.refusal.is_some());
    if let Some(workspace) = fewest.and_then(WorkspaceView::next).filter(|_| subject.can_be_pruned && refused) {
        return Some(Attempt { workspace, ..first(subject, attempt.candidate)? });
    }
    let next = attempt.candidate + 1;
    let candidate = subject.candidates.get(next)?;
    // Cargos that the evidence rules out are there to show that all files are the same. Where that is shown, or where
    // the source differs, they add nothing.
    let pointless = !candidate.in_range && attempted.iter().any(|one| shows_enough(subject, one));
    if pointless { None } else { first(subject, next) }
}

fn first(subject: &Subject, candidate: usize) -> Option<Attempt> {
    subject.candidates.get(candidate)?;
    let workspace = if subject.must_be_pruned { WorkspaceView::Pruned } else { WorkspaceView::Full };
    Some(Attempt { candidate, index_mode: IndexMode::AtPublication, workspace, missed: BTreeSet::new() })
}

/// Nothing better can come.
fn is_settled(last: &Attempted) -> bool {
    last.findings.contents == Contents::BitForBit
}

/// Whether Cargo.lock, or that it can't be made, is all that is in the way.
fn lock_is_all_that_differs(last: &Attempted) -> bool {
    match (&last.findings.contents, &last.findings.rebuild) {
        (Contents::GeneratedFilesDiffer { differences }, _) => {
            differences.iter().all(|difference| difference.path == LOCK.into())
        }
        (Contents::NotCompared, Rebuild::Refused { .. }) => {
            matches!(last.refusal, Some(Refusal::NoVersion | Refusal::MissingCrate(_)))
        }
        _ => false,
    }
}

fn shows_enough(subject: &Subject, attempted: &Attempted) -> bool {
    match &attempted.findings.contents {
        Contents::SameContents { .. } | Contents::CompressorUnknown { .. } => true,
        // A cargo that is too old drops what it does not know, and too new a one may leave files out.
        Contents::SourceDiffers { .. } => subject.candidates[attempted.attempt.candidate].in_range,
        Contents::BitForBit | Contents::GeneratedFilesDiffer { .. } | Contents::NotCompared => false,
    }
}

/// The attempt that says most for the crate: the best contents, under the strongest claim, the earliest.
#[must_use]
pub fn best(attempted: &[Attempted]) -> Option<usize> {
    (0..attempted.len()).max_by_key(|at| {
        let one = &attempted[*at];
        let fewest = std::cmp::Reverse(one.findings.contents.differences().len());
        let claim = std::cmp::Reverse((one.attempt.workspace, one.attempt.index_mode));
        (rank(&one.findings), fewest, claim, std::cmp::Reverse(*at))
    })
}

/// Among the builds of one crate, one that shows a difference says more than one that never came about; and cargos
/// that are not the publisher's make differences that aren't there, so the build that differs least is the one to
/// believe.
fn rank(findings: &Findings) -> u8 {
    match (&findings.contents, &findings.rebuild) {
        (Contents::BitForBit, _) => 6,
        (Contents::SameContents { .. }, _) => 5,
        (Contents::CompressorUnknown { .. }, _) => 4,
        (Contents::GeneratedFilesDiffer { .. }, _) => 3,
        (Contents::SourceDiffers { .. }, _) => 2,
        (Contents::NotCompared, Rebuild::Refused { .. }) => 1,
        (Contents::NotCompared, _) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::{Sha256, Sri};
    use crate::model::nonempty::NonEmpty;
    use crate::model::release::Minor;
    use crate::stages::compare::{Difference, Kind, Weight};
    use crate::stages::container::{Normalised, Writer};
    use crate::stages::findings::{ArchiveForm, Checksum, Flags, Lockfile, ReachFinding};
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
            can_be_pruned: false,
            must_be_pruned: false,
            search: Search::Likely,
        }
    }

    fn found(rebuild: Rebuild, contents: Contents) -> Findings {
        Findings {
            checksum: Checksum::Matches,
            archive: ArchiveForm::WellFormed,
            origin: None,
            reach: ReachFinding::unknown("no matter"),
            rebuild,
            contents,
            lockfile: Lockfile::NotAnInput,
            conditions: Vec::new(),
            flags: Flags::default(),
        }
    }

    fn reproduced() -> Findings {
        found(Rebuild::Done, Contents::BitForBit)
    }

    fn refused() -> Findings {
        found(Rebuild::Refused { reason: "".into() }, Contents::NotCompared)
    }

    fn differs(paths: &[&str]) -> Findings {
        let difference = |path: &&str| Difference {
            path: (*path).into(),
            kind: Kind::Form,
            weight: Weight::Generated,
            details: Vec::new(),
        };
        let differences = NonEmpty::new(paths.iter().map(difference).collect()).unwrap();
        found(Rebuild::Done, Contents::GeneratedFilesDiffer { differences })
    }

    /// Runs the search with a function that says what each build comes to; gives the steps.
    fn run(subject: &Subject, outcome: impl Fn(&Attempt) -> (Findings, Option<Refusal>)) -> Vec<String> {
        let mut attempted = Vec::new();
        let mut steps = Vec::new();
        while let Some(attempt) = next(subject, &attempted) {
            steps.push(format!("{} {:?} {}", attempt.candidate, attempt.index_mode, attempt.missed.len()));
            assert!(steps.len() < 100, "the search must end");
            let (findings, refusal) = outcome(&attempt);
            attempted.push(Attempted { attempt, findings, refusal });
        }
        steps
    }

    #[test]
    fn an_exact_build_ends_the_search() {
        assert_eq!(run(&subject(&[true, true]), |_| (reproduced(), None)), ["0 AtPublication 0"]);
    }

    #[test]
    fn where_the_lock_alone_differs_the_claim_gets_weaker_before_the_cargo_changes() {
        let steps = run(&subject(&[true, true]), |attempt| match attempt.index_mode {
            IndexMode::PublishedLock => (reproduced(), None),
            _ => (differs(&[LOCK]), None),
        });
        assert_eq!(steps, ["0 AtPublication 0", "0 WithYanked 0", "0 PublishedLock 0"]);
    }

    #[test]
    fn where_more_differs_the_next_cargo_is_attempted() {
        let steps = run(&subject(&[true, true, false]), |_| (differs(&["Cargo.toml", LOCK]), None));
        assert_eq!(steps, ["0 AtPublication 0", "1 AtPublication 0", "2 AtPublication 0"]);
    }

    #[test]
    fn where_the_source_differs_only_a_cargo_that_may_have_made_it_has_the_last_word() {
        let Contents::GeneratedFilesDiffer { differences } = differs(&["Cargo.toml"]).contents else { unreachable!() };
        let source = || found(Rebuild::Done, Contents::SourceDiffers { differences: differences.clone() });
        assert_eq!(run(&subject(&[true, false]), |_| (source(), None)).len(), 1);
        assert_eq!(run(&subject(&[false, false]), |_| (source(), None)).len(), 2);
    }

    #[test]
    fn a_missing_crate_is_added_and_the_same_attempted_again() {
        let steps = run(&subject(&[true]), |attempt| match attempt.missed.len() {
            0 => (refused(), Some(Refusal::MissingCrate("x".parse().unwrap()))),
            _ => (reproduced(), None),
        });
        assert_eq!(steps, ["0 AtPublication 0", "0 AtPublication 1"]);
    }

    #[test]
    fn what_the_published_lock_lacks_for_workspace_is_added_before_they_are_left_out() {
        let mut subject = subject(&[true]);
        subject.can_be_pruned = true;
        let missing = || Refusal::MissingCrate("x".parse().unwrap());
        let mut attempted = Vec::new();
        while let Some(attempt) = next(&subject, &attempted) {
            let (findings, refusal) = match (attempt.index_mode, attempt.missed.len()) {
                (IndexMode::PublishedLock, 0) => (refused(), Some(missing())),
                (IndexMode::PublishedLock, _) => (reproduced(), None),
                _ => (differs(&[LOCK]), None),
            };
            attempted.push(Attempted { attempt, findings, refusal });
        }
        let last = &attempted.last().unwrap().attempt;
        assert_eq!((last.workspace, last.missed.len()), (WorkspaceView::Full, 1));
    }

    #[test]
    fn what_cargo_refuses_is_attempted_again_without_the_other_members_before_the_cargo_changes() {
        let mut both = Subject { can_be_pruned: true, ..subject(&[true, true]) };
        let mut seen = Vec::new();
        let mut attempted = Vec::new();
        while let Some(attempt) = next(&both, &attempted) {
            seen.push((attempt.candidate, attempt.workspace));
            let (findings, refusal) = (refused(), Some(Refusal::Other));
            attempted.push(Attempted { attempt, findings, refusal });
        }
        use WorkspaceView::{Full, Pruned, Stripped};
        assert_eq!(seen, [(0, Full), (0, Pruned), (0, Stripped), (1, Full), (1, Pruned), (1, Stripped)]);
        both.must_be_pruned = true;
        assert_eq!(next(&both, &[]).unwrap().workspace, Pruned);
    }

    #[test]
    fn cargos_out_of_range_are_left_alone_once_all_files_are_proven_the_same() {
        let same = || {
            let compressor = crate::stages::deflate::Compressor::Zlib9;
            found(
                Rebuild::Done,
                Contents::SameContents {
                    normalised: NonEmpty::one(Normalised::Times),
                    writer: Writer::Gnu,
                    compressor,
                },
            )
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
