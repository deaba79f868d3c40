//! *Search*: which build to attempt next for a crate, given what the ones before came to.
//!
//! The search is a function of what was found so far and of nothing else, so a second run takes the same steps and
//! finds every build in the store. An exact checksum needs no trust in the search: it proves itself.
//!
//! The order: cargos by evidence; with each, the first index mode. Where Cargo.lock alone still differs, the same
//! cargo with the weaker index modes, strongest claim first. Where cargo misses a crate, the same with it. Where cargo
//! refuses whatever it is given, fewer of the workspace's other members. Where anything else that cargo writes differs, the
//! next cargo.
//!
//! All that from lean sources. Where cargo refuses one, and at the end where nothing was found to be the same, the whole
//! commit is attempted before anything is said; where that comes to more, the search goes on with it.

mod refusal;

use std::collections::BTreeSet;

use super::artefact::LOCK;
use super::findings::{Contents, Findings, Rebuild};
use super::plan::IndexMode;
use super::toolchain::{Candidate, Search};
use super::workspace::WorkspaceView;
use crate::contract::recipe::WORKSPACE_LOCK;
use crate::model::krate::CrateName;

pub use refusal::Refusal;

/// A build to attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The cargo, as an index into the candidates.
    pub candidate: usize,
    /// How Cargo.lock comes about.
    pub index_mode: IndexMode,
    /// What cargo sees of the other members of the workspace.
    pub workspace: WorkspaceView,
    /// How much of the commit it sees.
    pub source: Source,
    /// Crates that cargo missed in the index slice before.
    pub missed: BTreeSet<CrateName>,
}

/// How much of a commit a build sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// What packaging reads: see [`crate::contract::lean`].
    Lean,
    /// Everything.
    Whole,
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

/// How many builds of one crate there are in a search for what is likely; the last is kept for the whole commit.
const ATTEMPTS_LIMIT: usize = 12;

/// How often names are added to a slice for one crate.
const MISSED_LIMIT: usize = 12;

/// What the search needs to know of a crate.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The cargos to attempt, best first.
    pub candidates: Vec<Candidate>,
    /// The index modes that could make a difference, strongest claim first.
    pub index_modes: Vec<IndexMode>,
    /// Whether the commit has the workspace's Cargo.lock: cargos that start from it are given no other one.
    pub tracks_workspace_lock: bool,
    /// Whether a lean source has less than the whole commit.
    pub is_lean: bool,
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
    if attempted.last().is_some_and(is_settled) {
        return None;
    }
    let limit = if subject.search == Search::Likely { ATTEMPTS_LIMIT } else { usize::MAX };
    if attempted.len() >= limit {
        return None;
    }
    let whole = attempted.iter().find(|one| one.attempt.source == Source::Whole);
    let comes_to_more = whole.is_some_and(|whole| comes_to_more(whole, attempted));
    // That cargo refuses may be for want of a file.
    let refused = attempted.last().filter(|last| last.refusal == Some(Refusal::Other) && subject.is_lean);
    if let (Some(last), None) = (refused, whole) {
        return Some(Attempt { source: Source::Whole, ..last.attempt.clone() });
    }
    let source = if comes_to_more || !subject.is_lean { Source::Whole } else { Source::Lean };
    // Where a whole commit comes to no more than a lean source, it is as if it had not been attempted.
    let counting = attempted.iter().filter(|one| comes_to_more || one.attempt.source == source);
    let counting: Vec<&Attempted> = counting.collect();
    let room = attempted.len() + usize::from(source == Source::Lean) < limit;
    let step = room.then(|| step(subject, &counting, source)).flatten();
    let is_new = |attempt: &Attempt| attempted.iter().all(|one| one.attempt != *attempt);
    step.filter(is_new).or_else(|| {
        let best = &attempted[best_of_all(attempted)?];
        let last = Attempt { source: Source::Whole, ..best.attempt.clone() };
        (subject.is_lean && !is_the_same(&best.findings) && is_new(&last)).then_some(last)
    })
}

/// Whether a build of the whole commit comes to more than that of the lean source.
fn comes_to_more(whole: &Attempted, attempted: &[Attempted]) -> bool {
    let lean = Attempt { source: Source::Lean, ..whole.attempt.clone() };
    let worth = |one: &Attempted| (rank(&one.findings), std::cmp::Reverse(one.findings.contents.differences().len()));
    attempted.iter().find(|one| one.attempt == lean).is_some_and(|lean| worth(whole) > worth(lean))
}

/// The next build from a source.
fn step(subject: &Subject, attempted: &[&Attempted], source: Source) -> Option<Attempt> {
    let first = |candidate| first(subject, candidate, source);
    let Some(last) = attempted.last() else {
        return first(0);
    };
    let attempt = Attempt { source, ..last.attempt.clone() };
    let following = || {
        let next = attempt.candidate + 1;
        let candidate = subject.candidates.get(next)?;
        // Cargos that the evidence rules out are there to show that all files are the same. Where that is shown, or where
        // the source differs, they add nothing.
        let pointless = !candidate.in_range && attempted.iter().any(|one| shows_enough(subject, one));
        if pointless { None } else { first(next) }
    };
    // Such a cargo is not worth much trouble where another one has packaged the crate already.
    let is_compared = |one: &&Attempted| one.findings.contents != Contents::NotCompared;
    let by_another = attempted.iter().any(|one| is_compared(one) && one.attempt.candidate != attempt.candidate);
    let in_range = subject.candidates.get(attempt.candidate).is_some_and(|one| one.in_range);
    if !in_range && last.refusal.is_some() && by_another {
        return following();
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
        return Some(Attempt { workspace: WorkspaceView::Pruned, ..attempt });
    }
    let weaker = modes(subject, attempt.candidate).find(|mode| *mode > attempt.index_mode);
    if let Some(index_mode) = weaker.filter(|_| lock_is_all_that_differs(last)) {
        return Some(Attempt { index_mode, ..attempt });
    }
    // What cargo refuses may be about workspace.
    let with_this = || attempted.iter().filter(|one| one.attempt.candidate == attempt.candidate);
    let fewest = with_this().map(|one| one.attempt.workspace).max();
    let refused = with_this().any(|one| Some(one.attempt.workspace) == fewest && one.refusal.is_some());
    if let Some(workspace) = fewest.and_then(WorkspaceView::next).filter(|_| subject.can_be_pruned && refused) {
        return Some(Attempt { workspace, ..first(attempt.candidate)? });
    }
    following()
}

fn first(subject: &Subject, candidate: usize, source: Source) -> Option<Attempt> {
    subject.candidates.get(candidate)?;
    let workspace = if subject.must_be_pruned { WorkspaceView::Pruned } else { WorkspaceView::Full };
    let index_mode = modes(subject, candidate).next().unwrap_or(IndexMode::AtPublication);
    Some(Attempt { candidate, index_mode, workspace, source, missed: BTreeSet::new() })
}

/// The index modes that could make a difference with a cargo.
fn modes(subject: &Subject, candidate: usize) -> impl Iterator<Item = IndexMode> {
    let minor = subject.candidates.get(candidate).map(|candidate| candidate.toolchain.minor);
    let has_its_lock = subject.tracks_workspace_lock && minor.is_some_and(|minor| minor >= WORKSPACE_LOCK);
    subject.index_modes.iter().copied().filter(move |mode| !has_its_lock || *mode != IndexMode::PublishedLock)
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

/// Whether every file is the same: a lean source says so as well as the whole commit.
#[must_use]
pub fn is_the_same(findings: &Findings) -> bool {
    match findings.contents {
        Contents::BitForBit | Contents::SameContents { .. } | Contents::CompressorUnknown { .. } => true,
        Contents::GeneratedFilesDiffer { .. } | Contents::SourceDiffers { .. } | Contents::NotCompared => false,
    }
}

/// The attempt that says most for the crate: the best contents, under the strongest claim, the earliest. What differs, or is
/// refused, is said of the whole commit only; `is_lean` as in [`Subject`].
#[must_use]
pub fn best(attempted: &[Attempted], is_lean: bool) -> Option<usize> {
    let counts = |one: &Attempted| !is_lean || one.attempt.source == Source::Whole || is_the_same(&one.findings);
    (0..attempted.len()).filter(|at| counts(&attempted[*at])).max_by_key(|at| worth(attempted, *at))
}

/// The same, whatever the source.
fn best_of_all(attempted: &[Attempted]) -> Option<usize> {
    (0..attempted.len()).max_by_key(|at| worth(attempted, *at))
}

fn worth(attempted: &[Attempted], at: usize) -> impl Ord + use<> {
    let one = &attempted[at];
    let fewest = std::cmp::Reverse(one.findings.contents.differences().len());
    let claim = std::cmp::Reverse((one.attempt.workspace, one.attempt.index_mode));
    (rank(&one.findings), fewest, one.attempt.source, claim, std::cmp::Reverse(at))
}

/// Among the builds of one crate, one that shows a difference says more than one that never came about; and cargos
/// that are not the publisher's make differences that aren't there, so the build that differs least is the one to
/// believe. One that this machine could not make may have differed in nothing: while it stands, no other difference is said of
/// the crate.
fn rank(findings: &Findings) -> u8 {
    match (&findings.contents, &findings.rebuild) {
        (Contents::BitForBit, _) => 7,
        (Contents::SameContents { .. }, _) => 6,
        (Contents::CompressorUnknown { .. }, _) => 5,
        (Contents::NotCompared, Rebuild::Error { .. }) => 4,
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
            tracks_workspace_lock: false,
            is_lean: false,
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
    fn what_differs_is_not_said_where_another_build_failed_on_this_machine() {
        let attempt = |candidate| first(&subject(&[true, true, true]), candidate, Source::Whole).unwrap();
        let attempted = |candidate, findings| Attempted { attempt: attempt(candidate), findings, refusal: None };
        let failed = found(Rebuild::Error { reason: "the machine is at fault".into() }, Contents::NotCompared);
        let tried = vec![attempted(0, failed), attempted(1, differs(&[LOCK]))];
        assert_eq!(best(&tried, false), Some(0));
        let tried = [tried, vec![attempted(2, reproduced())]].concat();
        assert_eq!(best(&tried, false), Some(2), "what is the same is the same");
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
    fn a_cargo_out_of_range_gets_one_attempt_once_another_has_packaged_the_crate() {
        let subject = Subject { can_be_pruned: true, ..subject(&[false, false]) };
        let steps = run(&subject, |attempt| match attempt.candidate {
            0 => (differs(&["Cargo.toml"]), None),
            _ => (refused(), Some(Refusal::MissingCrate("x".parse().unwrap()))),
        });
        assert_eq!(steps, ["0 AtPublication 0", "1 AtPublication 0"]);
    }

    /// The sources that are attempted, given what a lean one and the whole commit come to.
    fn sources(subject: &Subject, outcome: impl Fn(Source) -> (Findings, Option<Refusal>)) -> (Vec<Source>, usize) {
        let mut attempted = Vec::new();
        while let Some(attempt) = next(subject, &attempted) {
            let (findings, refusal) = outcome(attempt.source);
            attempted.push(Attempted { attempt, findings, refusal });
            assert!(attempted.len() <= ATTEMPTS_LIMIT);
        }
        (attempted.iter().map(|one| one.attempt.source).collect(), best(&attempted, true).unwrap())
    }

    #[test]
    fn what_differs_is_said_of_the_whole_commit_only() {
        use Source::{Lean, Whole};
        let lean = Subject { is_lean: true, ..subject(&[true]) };
        assert_eq!(sources(&lean, |_| (reproduced(), None)), (vec![Lean], 0));
        let nothing_more = sources(&lean, |_| (differs(&["Cargo.toml"]), None));
        assert_eq!(nothing_more, (vec![Lean, Whole], 1));
        // Refused for want of a file.
        let more = sources(&lean, |source| match source {
            Lean => (refused(), Some(Refusal::Other)),
            Whole => (reproduced(), None),
        });
        assert_eq!(more, (vec![Lean, Whole], 1));
        // Refused whatever cargo sees: attempted once, not for every cargo.
        let two = Subject { is_lean: true, ..subject(&[true, true]) };
        let refused = sources(&two, |_| (refused(), Some(Refusal::Other)));
        assert_eq!(refused, (vec![Lean, Whole, Lean], 1));
    }

    #[test]
    fn where_the_whole_commit_comes_to_more_the_search_goes_on_with_it() {
        use Source::{Lean, Whole};
        let lean = Subject { is_lean: true, ..subject(&[true]) };
        let mut attempted = Vec::new();
        while let Some(attempt) = next(&lean, &attempted) {
            let findings = match (attempt.source, attempt.index_mode) {
                (Lean, _) => differs(&["Cargo.toml", LOCK]),
                (Whole, IndexMode::WithYanked) => reproduced(),
                (Whole, _) => differs(&[LOCK]),
            };
            attempted.push(Attempted { attempt, findings, refusal: None });
        }
        let steps: Vec<_> = attempted.iter().map(|one| (one.attempt.source, one.attempt.index_mode)).collect();
        use IndexMode::{AtPublication, WithYanked};
        assert_eq!(steps, [(Lean, AtPublication), (Whole, AtPublication), (Whole, WithYanked)]);
    }
}
