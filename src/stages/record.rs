//! *Record*: what is kept of one package, and what report, Hydra and JSON are made of.

use serde::{Deserialize, Serialize};

use super::claims::Reach;
use super::findings::{ArchiveForm, Contents, Findings, Rebuild};
use super::plan::IndexMode;
use super::toolchain::CargoEvidence;
use super::verdict::Verdict;
use super::workspace::WorkspaceView;
use crate::model::digest::Sha256;
use crate::model::package::PackageKey;
use crate::model::release::Span;

/// What is kept of one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Which package it is.
    #[serde(flatten)]
    pub key: PackageKey,
    /// The checksum that its bytes were checked against; none where neither lock file nor index gives one.
    pub checksum: Option<Sha256>,
    /// What is known of it.
    pub findings: Findings,
    /// The releases whose cargo may have packaged it, from its own bytes; none where they contradict each other or were
    /// not read.
    pub cargo_range: Option<Span>,
    /// What that was read from.
    pub evidence: Vec<String>,
    /// The attempt that the findings are about, as an index into `attempts`.
    pub best: Option<usize>,
    /// Every build that was looked at.
    pub attempts: Vec<AttemptRecord>,
}

impl Record {
    /// A record of a package that was not rebuilt.
    #[must_use]
    pub fn new(key: PackageKey, checksum: Option<Sha256>, findings: Findings) -> Self {
        Self { key, checksum, findings, cargo_range: None, evidence: Vec::new(), best: None, attempts: Vec::new() }
    }

    /// The record with what the package's bytes say of its cargo.
    #[must_use]
    pub fn with_evidence(mut self, evidence: &CargoEvidence) -> Self {
        self.cargo_range = evidence.range;
        self.evidence = evidence.clues.iter().map(ToString::to_string).collect();
        self
    }

    /// The verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::of(&self.findings)
    }

    /// The attempt that the findings are about.
    #[must_use]
    pub fn best_attempt(&self) -> Option<&AttemptRecord> {
        self.attempts.get(self.best?)
    }

    /// Whether asking again would find nothing else: everything that could be determined was.
    #[must_use]
    pub fn is_determined(&self) -> bool {
        let findings = &self.findings;
        let reach_known = !matches!(findings.reach.reach, Reach::Unknown { .. });
        match (&findings.contents, &findings.rebuild) {
            (Contents::NotCompared, Rebuild::Refused { .. }) => true,
            (Contents::NotCompared, _) => matches!(findings.archive, ArchiveForm::Malformed { .. }),
            _ => reach_known,
        }
    }

    /// The releases that could have packaged it, where none of them was tried and that may be why it differs.
    #[must_use]
    pub fn lacking_cargo(&self) -> Option<Span> {
        let differs =
            matches!(self.findings.contents, Contents::GeneratedFilesDiffer { .. } | Contents::SourceDiffers { .. })
                || matches!(self.findings.rebuild, Rebuild::Refused { .. });
        let tried = self.attempts.is_empty() || self.attempts.iter().any(|attempt| attempt.in_range);
        self.cargo_range.filter(|_| differs && !tried)
    }
}

/// One build that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// The cargo, as `recrate toolchain list` names it.
    pub toolchain: String,
    /// Whether all evidence allows this cargo.
    pub in_range: bool,
    /// How Cargo.lock came about.
    pub index_mode: IndexMode,
    /// What cargo saw of the other members of the workspace.
    pub workspace: WorkspaceView,
    /// The verdict that this build alone would give.
    pub verdict: Verdict,
    /// Its derivation.
    pub drv: String,
    /// Its output.
    pub out: String,
}
