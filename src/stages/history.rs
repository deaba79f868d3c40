//! *History*: what runs found of packages, one after another: what got better or worse, and what made it so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decision::DecisionName;
use super::findings::Checksum;
use super::record::Record;
use super::verdict::Verdict;
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::package::PackageKey;

/// A run, as a number that later runs exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Which.
    pub id: RunId,
    /// When it ended.
    pub finished: Timestamp,
    /// The version of recrate.
    pub recrate: Foreign,
    /// A hash of recrate's programs.
    pub programs: Sha256,
    /// The lock file or the crates, as the user named them.
    pub subject: Foreign,
    /// The hash of its plan.
    pub plan: Sha256,
    /// How it ended, in a word.
    pub outcome: Foreign,
    /// By whose word.
    pub word: Word,
}

/// Whose word a run went by for where registries and repositories are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// The user's: their own configuration, and the command line.
    User,
    /// The project's: configuration that lies beside its lock file, or above it.
    Project,
    /// That of a plan's author, for what a package can't be rebuilt for and more.
    Plan,
}

impl Run {
    /// When it ended, to the minute, in UTC.
    #[must_use]
    pub fn minute(&self) -> String {
        self.finished.strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// What a run found of a package.
#[derive(Debug, Clone)]
pub struct Found {
    /// The run.
    pub run: Run,
    /// What it found.
    pub record: Arc<Record>,
    /// What was decided.
    pub decision: DecisionName,
}

/// What made a run find something else than an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The crate has other bytes.
    Crate,
    /// The repository gives another commit, or none, or its branches and tags are others.
    Repository,
    /// recrate is another.
    Recrate,
    /// Other cargos were tried.
    Cargos,
    /// The project's policy or waivers.
    Policy,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crate => "the crate has other bytes",
            Self::Repository => "the repository changed",
            Self::Recrate => "another recrate",
            Self::Cargos => "other cargos were tried",
            Self::Policy => "the policy or a waiver",
        })
    }
}

/// What became of a package between two runs.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The package.
    pub key: &'a PackageKey,
    /// What was found before; none where it was not looked at.
    pub before: Option<&'a Found>,
    /// What was found after; none where it was not looked at.
    pub after: Option<&'a Found>,
}

/// Which way something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// It is worse.
    Worse,
    /// The verdict is as good, something else is not the same.
    Other,
    /// It is better.
    Better,
    /// It was not looked at before.
    New,
    /// It was not looked at after.
    Gone,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worse => "worse",
            Self::Other => "other",
            Self::Better => "better",
            Self::New => "new",
            Self::Gone => "gone",
        })
    }
}

impl Change<'_> {
    /// Which way it went.
    #[must_use]
    pub fn direction(&self) -> Direction {
        match (self.before.map(verdict), self.after.map(verdict)) {
            (None, _) => Direction::New,
            (_, None) => Direction::Gone,
            // The worst verdict comes first.
            (Some(before), Some(after)) if after < before => Direction::Worse,
            (Some(before), Some(after)) if after > before => Direction::Better,
            _ => Direction::Other,
        }
    }

    /// What made it so; nothing where one of the runs did not look at it.
    #[must_use]
    pub fn causes(&self) -> Vec<Cause> {
        let (Some(before), Some(after)) = (self.before, self.after) else { return Vec::new() };
        let (a, b) = (&before.record, &after.record);
        let origin = |record: &Record| {
            let findings = &record.findings;
            let origin = findings.origin.as_ref();
            let from = origin.map(|origin| (origin.repository.clone(), origin.commit, origin.contradictions.clone()));
            (from, std::mem::discriminant(&findings.reach.reach), std::mem::discriminant(&findings.rebuild))
        };
        let cargos = |record: &Record| -> Vec<String> {
            record.attempts.iter().map(|attempt| attempt.toolchain.clone()).collect()
        };
        // What one of the runs did not come to is no other thing.
        let other_bytes = a.checksum.zip(b.checksum).is_some_and(|(before, after)| before != after);
        let mismatches = |record: &Record| matches!(record.findings.checksum, Checksum::Mismatch { .. });
        let both_tried = !a.attempts.is_empty() && !b.attempts.is_empty();
        let differ = [
            (Cause::Crate, other_bytes || mismatches(a) != mismatches(b)),
            (Cause::Repository, origin(a) != origin(b)),
            (Cause::Recrate, before.run.programs != after.run.programs || before.run.recrate != after.run.recrate),
            (Cause::Cargos, both_tried && cargos(a) != cargos(b)),
            (Cause::Policy, verdict(before) == verdict(after) && before.decision != after.decision),
        ];
        differ.into_iter().filter(|(_, differs)| *differs).map(|(cause, _)| cause).collect()
    }
}

fn verdict(found: &Found) -> Verdict {
    found.record.verdict()
}

/// What is not the same in two runs, the worst first, then by name.
#[must_use]
pub fn compare<'a>(before: &'a [Found], after: &'a [Found]) -> Vec<Change<'a>> {
    let mut both: BTreeMap<&PackageKey, (Option<&Found>, Option<&Found>)> = BTreeMap::new();
    for found in before {
        both.entry(&found.record.key).or_default().0 = Some(found);
    }
    for found in after {
        both.entry(&found.record.key).or_default().1 = Some(found);
    }
    let mut changes: Vec<Change<'_>> =
        both.into_iter().map(|(key, (before, after))| Change { key, before, after }).filter(is_news).collect();
    changes.sort_by_key(Change::direction);
    changes
}

/// Whether verdict, decision or bytes are not the same.
fn is_news(change: &Change<'_>) -> bool {
    let (Some(before), Some(after)) = (change.before, change.after) else { return true };
    verdict(before) != verdict(after)
        || before.decision != after.decision
        || before.record.checksum != after.record.checksum
}

/// What was found of one package over time, the oldest first, without what only says the same again.
#[must_use]
pub fn turns(found: &[Found]) -> Vec<Change<'_>> {
    let mut turns: Vec<Change<'_>> = Vec::new();
    for after in found {
        let before = turns.last().and_then(|turn| turn.after);
        let change = Change { key: &after.record.key, before, after: Some(after) };
        if is_news(&change) {
            turns.push(change);
        }
    }
    turns
}
