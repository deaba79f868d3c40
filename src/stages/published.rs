//! *Published crate*: checked bytes with everything that is read from them, once.

use super::artefact::{Archive, Artefact, Malformed};
use super::manifest::Manifest;
use super::provenance::{Untraceable, VcsInfo, repository};
use super::toolchain::{CargoEvidence, date};
use crate::model::digest::Sha256;
use crate::model::repository::RepositoryUrl;
use jiff::Timestamp;

/// A published crate: bytes that have the expected checksum, taken apart.
#[derive(Debug, Clone)]
pub struct Published {
    /// The checksum that its bytes have.
    pub checksum: Sha256,
    /// Its archive.
    pub archive: Archive,
    /// Which commit it names.
    pub vcs_info: Result<VcsInfo, Untraceable>,
    /// Which repository it names.
    pub repository: Result<RepositoryUrl, Untraceable>,
    /// Which cargo packaged it.
    pub evidence: CargoEvidence,
    /// Whether it has binaries, which `cargo install` builds.
    pub binaries: bool,
}

impl Published {
    /// Takes a crate apart; `published` is when that happened, by the index.
    ///
    /// # Errors
    /// Where its archive is something that no cargo writes.
    pub fn read(artefact: &Artefact, published: Option<Timestamp>) -> Result<Self, Malformed> {
        let archive = Archive::read(&artefact.id, artefact.bytes())?;
        let evidence = date(&archive, published);
        Ok(Self::of(artefact.checksum, archive, evidence))
    }

    /// The same where it is known already which cargo packaged it: finding that out is costly.
    ///
    /// # Errors
    /// Where its archive is something that no cargo writes.
    pub fn read_with(artefact: &Artefact, evidence: CargoEvidence) -> Result<Self, Malformed> {
        Ok(Self::of(artefact.checksum, Archive::read(&artefact.id, artefact.bytes())?, evidence))
    }

    fn of(checksum: Sha256, archive: Archive, evidence: CargoEvidence) -> Self {
        Self {
            checksum,
            vcs_info: VcsInfo::of(&archive),
            repository: repository(&archive),
            evidence,
            binaries: has_binaries(&archive),
            archive,
        }
    }

    /// Whether its own vcs info says that there were uncommitted changes.
    #[must_use]
    pub fn dirty(&self) -> bool {
        self.vcs_info.as_ref().is_ok_and(|info| info.dirty)
    }
}

fn has_binaries(archive: &Archive) -> bool {
    let listed = Manifest::of(archive).has_binaries();
    let found = |path: &str| path == "src/main.rs" || path.starts_with("src/bin/");
    listed || archive.entries.iter().any(|entry| found(&entry.path))
}
