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

/// How many names are added to a slice for one crate, until no more are.
const MISSED_LIMIT: usize = 1000;

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
    if let Some(Refusal::MissingCrates(names)) = &last.refusal
        && attempt.missed.len() < MISSED_LIMIT
        && !attempt.missed.is_superset(names)
    {
        let mut again = attempt.clone();
        again.missed.extend(names.iter().cloned());
        return Some(again);
    }
    // The published lock file knows what the package needs, and nothing of the workspace.
    let workspace_lack = matches!(last.refusal, Some(Refusal::MissingCrates(_) | Refusal::NoVersion));
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
    let refused = attempted.iter().enumerate().any(|(at, one)| {
        let is_of_it = one.attempt.candidate == attempt.candidate && Some(one.attempt.workspace) == fewest;
        // What it then had is what counts.
        is_of_it && one.refusal.is_some() && !is_superseded(one, attempted[at + 1..].iter().copied())
    });
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
            matches!(last.refusal, Some(Refusal::NoVersion | Refusal::MissingCrates(_)))
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
    let rank = if is_superseded(one, attempted[at + 1..].iter()) { 0 } else { rank(&one.findings) };
    (rank, fewest, one.attempt.source, claim, std::cmp::Reverse(at))
}

/// Whether the same was attempted again with what the index slice lacked, and that was enough.
fn is_superseded<'a>(one: &Attempted, mut later: impl Iterator<Item = &'a Attempted>) -> bool {
    let one = &one.attempt;
    let is_complete = |later: &Attempted| {
        let Attempt { missed, .. } = &later.attempt;
        let same = Attempt { missed: one.missed.clone(), ..later.attempt.clone() } == *one;
        same && missed.len() > one.missed.len() && !matches!(later.refusal, Some(Refusal::MissingCrates(_)))
    };
    later.any(is_complete)
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
mod tests;
