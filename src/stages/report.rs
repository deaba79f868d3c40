//! *Report*: records and decisions, for programs.

mod facts;
pub mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::decision::{Decision, DecisionName, Exit};
use super::lock::{Skipped, SkippedKind};
use super::policy::BuiltIn;
use super::record::Record;
use super::verdict::Verdict;
use crate::model::foreign::{Foreign, in_json};

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
    /// The policy that decided.
    pub policy: BuiltIn,
    /// How many packages came to each decision; decisions that none came to are left out.
    pub decisions: BTreeMap<DecisionName, usize>,
    /// How many packages came to each verdict; verdicts that none came to are left out.
    pub verdicts: BTreeMap<Verdict, usize>,
    /// The packages, the worst verdict first, then by name.
    pub packages: Vec<Entry>,
    /// Packages of the lock file that have no published crate that recrate could look at.
    pub skipped: Vec<Skipped>,
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
}

impl Entry {
    /// A record with what a policy decides on it.
    #[must_use]
    pub fn new(record: Record, policy: BuiltIn) -> Self {
        Self { verdict: record.verdict(), decision: policy.policy().decide(&record.findings), record }
    }
}

impl Report {
    /// Decides on records, puts them in order and counts them.
    #[must_use]
    pub fn new(records: Vec<Record>, skipped: Vec<Skipped>, policy: BuiltIn, notices: Vec<String>) -> Self {
        let mut packages: Vec<Entry> = records.into_iter().map(|record| Entry::new(record, policy)).collect();
        packages.sort_by(|a, b| (a.verdict, &a.record.key).cmp(&(b.verdict, &b.record.key)));
        let mut verdicts = BTreeMap::new();
        for entry in &packages {
            *verdicts.entry(entry.verdict).or_default() += 1;
        }
        let recrate = env!("CARGO_PKG_VERSION").to_owned();
        let decisions = BTreeMap::new();
        let mut report = Self {
            schema: SCHEMA,
            recrate,
            policy,
            decisions,
            verdicts,
            packages,
            skipped,
            notices: notices.into_iter().map(Into::into).collect(),
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
        packages.chain(self.unsupported().map(|_| DecisionName::Undetermined))
    }

    fn unsupported(&self) -> impl Iterator<Item = (&Skipped, &Foreign)> {
        self.skipped.iter().filter_map(|skipped| match &skipped.kind {
            SkippedKind::Unsupported(reason) => Some((skipped, reason)),
            SkippedKind::Path | SkippedKind::Git => None,
        })
    }

    /// How the run ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        Exit::of(self.all_decisions())
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
