//! *Report*: records and decisions, for programs.

pub mod brief;
mod facts;
pub mod github;
#[cfg(feature = "driver")]
pub mod junit;
pub mod markdown;
pub mod sarif;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::changes::{ChangedSince, Update};
use super::decision::{Decision, DecisionName, Exit};
use super::lock::{Skipped, SkippedKind};
use super::policy::BuiltIn;
use super::policy::review::{Reviewed, review};
use super::policy::standing::{Circumstances, PolicyTable, Standing, Undetermined};
use super::record::Record;
use super::verdict::Verdict;
use crate::model::foreign::{Foreign, in_json};
use crate::model::package::PackageKey;

/// The version of the JSON form. Fields may be added within a version, none is taken away or changes its meaning.
pub const SCHEMA: u32 = 2;

/// The run directory's name where the user gives none.
pub const OUT: &str = "recrate.out";

/// A whole run. Its JSON is described in `docs/report.schema.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of recrate.
    pub recrate: String,
    /// The built-in policy that decided, or that the project's own begins with.
    pub policy: BuiltIn,
    /// What the project requires.
    pub requirements: PolicyTable,
    /// How many packages came to each decision; decisions that none came to are left out.
    pub decisions: BTreeMap<DecisionName, usize>,
    /// How many packages came to each verdict; verdicts that none came to are left out.
    pub verdicts: BTreeMap<Verdict, usize>,
    /// The packages, the worst verdict first, then by name.
    pub packages: Vec<Entry>,
    /// Packages of the lock file that have no published crate that recrate could look at.
    pub skipped: Vec<Skipped>,
    /// What became of the project's waivers and rules.
    pub reviewed: Vec<Reviewed>,
    /// What was left out because another lock file has it; none where everything was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_since: Option<ChangedSince>,
    /// What the reader should know about the run as a whole.
    pub notices: Vec<Foreign>,
}

/// A package of a report.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// What is known of it.
    #[serde(flatten)]
    pub record: Record,
    /// One name for that.
    pub verdict: Verdict,
    /// What the policy decides.
    pub decision: Decision,
    /// Its line in the lock file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What its update is, where another lock file has an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Update>,
}

/// What a report is about, besides records.
#[derive(Debug, Clone, Default)]
pub struct Basis {
    /// What the project requires and accepts.
    pub standing: Standing,
    /// What its decisions depend on.
    pub circumstances: Circumstances,
    /// Packages of the lock file that have no published crate.
    pub skipped: Vec<Skipped>,
    /// The line of each package in the lock file.
    pub lines: BTreeMap<PackageKey, usize>,
    /// What was left out because another lock file has it.
    pub changed_since: Option<(ChangedSince, BTreeSet<PackageKey>)>,
    /// What its updates are.
    pub updates: BTreeMap<PackageKey, Update>,
    /// What the reader should know about the run as a whole.
    pub notices: Vec<String>,
}

impl Basis {
    /// A built-in policy, and nothing else.
    #[must_use]
    pub fn of(policy: BuiltIn) -> Self {
        Self { standing: Standing::of(policy), ..Self::default() }
    }
}

impl Entry {
    /// A record with what a project decides on it.
    #[must_use]
    pub fn new(record: Record, basis: &Basis) -> Self {
        Self {
            verdict: record.verdict(),
            decision: basis.standing.decide(&record, basis.circumstances),
            line: basis.lines.get(&record.key).copied(),
            update: basis.updates.get(&record.key).cloned(),
            record,
        }
    }
}

impl Report {
    /// Decides on records, puts them in order and counts them.
    #[must_use]
    pub fn new(records: Vec<Record>, basis: Basis) -> Self {
        let mut packages: Vec<Entry> = records.into_iter().map(|record| Entry::new(record, &basis)).collect();
        packages.sort_by(|a, b| (a.verdict, &a.record.key).cmp(&(b.verdict, &b.record.key)));
        let mut verdicts = BTreeMap::new();
        for entry in &packages {
            *verdicts.entry(entry.verdict).or_default() += 1;
        }
        let seen: Vec<&Record> = packages.iter().map(|entry| &entry.record).collect();
        let (changed_since, others) = basis.changed_since.unzip();
        let reviewed = review(&basis.standing, &seen, &others.unwrap_or_default(), basis.circumstances);
        let mut report = Self {
            schema: SCHEMA,
            recrate: env!("CARGO_PKG_VERSION").to_owned(),
            policy: basis.standing.policy.require.base,
            requirements: basis.standing.policy,
            decisions: BTreeMap::new(),
            verdicts,
            packages,
            skipped: basis.skipped,
            reviewed,
            changed_since,
            notices: basis.notices.into_iter().map(Into::into).collect(),
        };
        let mut decisions = BTreeMap::new();
        for decision in report.all_decisions() {
            *decisions.entry(decision).or_default() += 1;
        }
        report.decisions = decisions;
        report
    }

    /// The decisions on all packages. One that recrate could not look at is undetermined.
    fn all_decisions(&self) -> impl Iterator<Item = DecisionName> {
        let packages = self.packages.iter().map(|entry| entry.decision.name());
        let of_unsupported = if self.passes_undetermined() { DecisionName::Warned } else { DecisionName::Undetermined };
        packages.chain(self.unsupported().map(move |_| of_unsupported))
    }

    /// Whether the project lets packages pass that are undetermined, where no section says otherwise.
    fn passes_undetermined(&self) -> bool {
        let table = &self.requirements;
        let new = if self.changed_since.is_some() { table.undetermined_when_new } else { Undetermined::Warn };
        table.undetermined.max(new) == Undetermined::Warn
    }

    fn unsupported(&self) -> impl Iterator<Item = (&Skipped, &Foreign)> {
        self.skipped.iter().filter_map(|skipped| match &skipped.kind {
            SkippedKind::Unsupported(reason) => Some((skipped, reason)),
            SkippedKind::Path | SkippedKind::Git => None,
        })
    }

    /// How the run ends. That nothing has changed is well.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match Exit::of(self.all_decisions()) {
            Exit::Nothing if self.changed_since.is_some() => Exit::Passed,
            exit => exit,
        }
    }

    /// The policy's name, for people.
    #[must_use]
    pub fn policy_name(&self) -> String {
        let own = if self.requirements == Standing::of(self.policy).policy { "" } else { ", with changes" };
        format!("{}{own}", self.policy)
    }

    /// The report for programs.
    ///
    /// # Panics
    /// Never: the report is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        in_json(&serde_json::to_string_pretty(self).expect("plain data with string keys")) + "\n"
    }
}
