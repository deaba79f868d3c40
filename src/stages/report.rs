//! *Report*: records and decisions, for programs.

pub mod brief;
pub mod causes;
pub(in crate::stages) mod facts;
pub mod github;
#[cfg(feature = "driver")]
pub mod junit;
pub mod markdown;
pub mod sarif;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::changes::{ChangedSince, Update};
use super::claims::Missing;
use super::decision::{Decision, DecisionName, Exit};
use super::findings::Rebuild;
use super::lock::{Skipped, SkippedKind};
use super::policy::BuiltIn;
use super::policy::project::{Circumstances, OnUndetermined, PolicyTable, ProjectPolicy, Require};
use super::policy::review::{Reviewed, Scope, review};
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
    #[serde(default)]
    pub requirements: PolicyTable,
    /// How many packages came to each decision; decisions that none came to are left out.
    pub decisions: BTreeMap<DecisionName, usize>,
    /// How many packages came to each verdict; verdicts that none came to are left out.
    pub verdicts: BTreeMap<Verdict, usize>,
    /// The packages, the worst verdict first, then by name.
    pub packages: Vec<Entry>,
    /// Packages of the lock file that have no published crate that recrate could look at.
    pub skipped: Vec<Skipped>,
    /// What became of the project's waivers, rules and sections.
    #[serde(default)]
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
    /// Whether it is new to the project.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
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
    pub project: ProjectPolicy,
    /// Which day it is; none where nobody says so.
    pub today: Option<Date>,
    /// Which packages are new to the project.
    pub new: BTreeSet<PackageKey>,
    /// Which of the project's packages were looked at.
    pub scope: Scope,
    /// Packages of the lock file that have no published crate.
    pub skipped: Vec<Skipped>,
    /// The line of each package in the lock file.
    pub lines: BTreeMap<PackageKey, usize>,
    /// What was left out because another lock file has it.
    pub changed_since: Option<ChangedSince>,
    /// What its updates are.
    pub updates: BTreeMap<PackageKey, Update>,
    /// What the reader should know about the run as a whole.
    pub notices: Vec<String>,
}

impl Basis {
    /// A built-in policy, and nothing else.
    #[must_use]
    pub fn of(policy: BuiltIn) -> Self {
        Self { project: ProjectPolicy::of(policy), ..Self::default() }
    }
}

impl Entry {
    /// A record with what a project decides on it.
    #[must_use]
    pub fn new(record: Record, basis: &Basis) -> Self {
        let new = basis.new.contains(&record.key);
        Self {
            verdict: record.verdict(),
            decision: basis.project.decide(&record, Circumstances { today: basis.today, new }),
            new,
            line: basis.lines.get(&record.key).copied(),
            update: basis.updates.get(&record.key).cloned(),
            record,
        }
    }
}

impl Entry {
    /// Whether a waiver could let it pass.
    #[must_use]
    pub fn can_be_waived(&self) -> bool {
        let unplanned = matches!(self.record.findings.rebuild, Rebuild::Impossible { missing: Missing::Planned, .. });
        self.verdict != Verdict::ChecksumMismatch && !unplanned
    }

    /// What is wrong with it, in a few words: its verdict, or where that is a good one, what the policy asks besides.
    #[must_use]
    pub fn complaint(&self) -> String {
        match (self.verdict, self.decision.reasons()) {
            (Verdict::Reproduced | Verdict::SameContents, [reason, ..]) => reason.clone(),
            (verdict, _) => verdict.to_string(),
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
        let mut requirements = basis.project.policy.clone();
        // What counts where nothing is said is said.
        requirements.require.base.get_or_insert_default();
        let seen: Vec<(&Record, bool)> = packages.iter().map(|entry| (&entry.record, entry.new)).collect();
        let reviewed = review(&basis.project, &seen, &basis.scope, basis.today);
        let mut report = Self {
            schema: SCHEMA,
            recrate: env!("CARGO_PKG_VERSION").to_owned(),
            policy: basis.project.policy.require.base.unwrap_or_default(),
            requirements,
            decisions: BTreeMap::new(),
            verdicts,
            packages,
            skipped: basis.skipped,
            reviewed,
            changed_since: basis.changed_since,
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
        let new = if self.changed_since.is_some() { table.undetermined_when_new } else { OnUndetermined::Warn };
        let sections = table.sections.iter().filter_map(|section| section.undetermined);
        // Which section would be for them can't be told.
        sections.fold(table.undetermined.max(new), OnUndetermined::max) == OnUndetermined::Warn
    }

    /// Packages that recrate can't look at, and why.
    pub fn unsupported(&self) -> impl Iterator<Item = (&Skipped, &Foreign)> {
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

    /// How the run ends, in a word; none where there was nothing.
    #[must_use]
    pub fn outcome(&self) -> Option<&'static str> {
        text::outcome(self.exit())
    }

    /// The policy's name, for people.
    #[must_use]
    pub fn policy_name(&self) -> String {
        let PolicyTable { require, sections, undetermined, .. } = &self.requirements;
        let is_plain = *require == Require { base: require.base, ..Require::default() }
            && sections.is_empty()
            && *undetermined == OnUndetermined::Reject;
        let own = if is_plain { "" } else { ", with changes" };
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
