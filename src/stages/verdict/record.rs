//! What is kept of one crate: the verdict and how it was reached.

use serde::{Deserialize, Serialize};

use super::{Level, Verdict};
use crate::model::digest::Sha256;
use crate::model::krate::{CrateId, CrateName};
use crate::model::release::Span;
use crate::model::source::{CommitId, RepositoryUrl, SubPath};
use crate::stages::plan::{IndexMode, Reach};
use crate::stages::toolchain::Dating;
use crate::stages::workspace::Others;

/// What is kept of one crate: the verdict and how it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The crate's name.
    pub name: CrateName,
    /// Its version.
    pub version: semver::Version,
    /// The checksum that the lock file or the index gives.
    pub checksum: Option<Sha256>,
    /// What is said of it.
    pub verdict: Verdict,
    /// Under which conditions; empty for the strongest claim.
    #[serde(default)]
    pub conditions: Vec<String>,
    /// What contradicts where it says that it comes from, whatever the verdict.
    #[serde(default)]
    pub contradictions: Vec<String>,
    /// Where it says that it comes from.
    pub origin: Option<OriginRecord>,
    /// The releases whose cargo may have made it, from the crate's own bytes; none where they contradict each other or
    /// were not read.
    pub cargo_range: Option<Span>,
    /// What that was read from.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// The try that the verdict is about, as an index into `tries`.
    pub best: Option<usize>,
    /// Every build that was looked at.
    #[serde(default)]
    pub tries: Vec<TryRecord>,
}

impl Record {
    /// A record that says this and nothing more.
    #[must_use]
    pub fn new(id: &CrateId, checksum: Option<Sha256>, verdict: Verdict) -> Self {
        Self {
            name: id.name.clone(),
            version: id.version.clone(),
            checksum,
            verdict,
            conditions: Vec::new(),
            contradictions: Vec::new(),
            origin: None,
            cargo_range: None,
            evidence: Vec::new(),
            best: None,
            tries: Vec::new(),
        }
    }

    /// Name and version.
    #[must_use]
    pub fn id(&self) -> CrateId {
        CrateId { name: self.name.clone(), version: self.version.clone() }
    }

    /// The record with what its bytes say of its cargo.
    #[must_use]
    pub fn dated(mut self, dating: &Dating) -> Self {
        self.cargo_range = dating.span;
        let readings = dating.readings.iter();
        self.evidence = readings.map(|reading| format!("{}: cargo {}", reading.trait_seen, reading.span)).collect();
        self
    }
}

/// Where a crate says that it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OriginRecord {
    /// The repository.
    pub repository: RepositoryUrl,
    /// The commit.
    pub commit: CommitId,
    /// The package's folder; none where it could not be found.
    pub path: Option<SubPath>,
    /// What of the repository reaches the commit; none where that could not be asked.
    #[serde(default)]
    pub reach: Option<Reach>,
}

/// One build that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TryRecord {
    /// The cargo, as `recrate toolchain list` names it.
    pub toolchain: String,
    /// Whether all evidence allows this cargo.
    pub in_range: bool,
    /// How Cargo.lock came about.
    pub index_mode: IndexMode,
    /// What cargo saw of the other members of the workspace.
    pub others: Others,
    /// What this build alone would say.
    pub level: Level,
    /// Its derivation.
    pub drv: String,
    /// Its output.
    pub out: String,
}
