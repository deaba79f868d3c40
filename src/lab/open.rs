//! A crate opened: fetched, checked, read, and traced to where it says that it comes from.

use crate::edges::registry::{self, Registry};
use crate::lab::case::{Case, Origin, Registries};
use crate::lab::{Lab, in_parallel};
use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::model::source::RepositoryUrl;
use crate::stages::artefact::{Archive, Artefact, LOCK, MANIFEST};
use crate::stages::checkout::Traces;
use crate::stages::lock::LockedCrate;
use crate::stages::manifest::Manifest;
use crate::stages::plan::IndexMode;
use crate::stages::provenance::{Claim, Untraceable, claim, repository, tag_names};
use crate::stages::search::Subject;
use crate::stages::slice::IndexLine;
use crate::stages::toolchain::{candidates, date};
use crate::stages::verdict::{Record, Verdict};

/// A crate that was opened: ready to be located in its commit, or settled already.
pub enum Opened {
    /// It goes on.
    Case(Box<Case>),
    /// There is nothing to rebuild.
    Settled(Box<Record>),
}

/// How many other versions of a crate are asked for a repository.
const VERSIONS: usize = 3;

impl Lab {
    /// Opens crates and looks into their commits, and no further: what there is to say where that can't be done stands
    /// beside each. And the records of those that there is nothing to rebuild of.
    #[must_use]
    pub fn examine(&self, locked: &[LockedCrate]) -> (Vec<(Case, Option<Verdict>)>, Vec<Record>) {
        let registries = self.registries(&locked.iter().collect::<Vec<_>>());
        let (mut cases, mut settled) = (Vec::new(), Vec::new());
        for opened in in_parallel(self.workers, locked.iter().collect(), |locked| self.open(locked, &registries)) {
            match opened {
                Opened::Case(case) => cases.push(*case),
                Opened::Settled(record) => settled.push(*record),
            }
        }
        let traced = self.trace(cases, &registries);
        (traced.into_iter().map(|(case, located)| (case, located.err())).collect(), settled)
    }

    /// Gets the published crate, checks it and reads what it says.
    pub(super) fn open(&self, locked: &LockedCrate, registries: &Registries) -> Opened {
        self.try_open(locked, registries)
            .unwrap_or_else(|(verdict, checksum)| Opened::Settled(Box::new(Record::new(&locked.id, checksum, verdict))))
    }

    fn try_open(&self, locked: &LockedCrate, registries: &Registries) -> Result<Opened, (Verdict, Option<Sha256>)> {
        let inconclusive = |reason: String| (Verdict::Inconclusive { reason }, locked.checksum);
        let registry = match &registries[&locked.registry] {
            Ok(registry) => registry,
            Err(reason) => return Err(inconclusive(reason.clone())),
        };
        let lines = registry.index(&locked.id.name).map_err(|error| could_not(error, locked.checksum))?;
        let line = lines.iter().find(|line| line.version == locked.id.version);
        let Some(line) = line else {
            let reason = format!("the registry's index has no {}", locked.id);
            return Err((Verdict::unverifiable(reason), locked.checksum));
        };
        if let Some(said) = locked.checksum.filter(|said| *said != line.checksum) {
            let reason = format!("the lock file says {said}, the registry's index {}", line.checksum);
            return Err((Verdict::ChecksumMismatch { reason }, Some(said)));
        }
        let expected = line.checksum;
        let bytes = registry.download(&locked.id, expected).map_err(|error| could_not(error, Some(expected)))?;
        let artefact = Artefact::check(locked.id.clone(), expected, bytes)
            .map_err(|error| (Verdict::ChecksumMismatch { reason: error.to_string() }, Some(expected)))?;
        let archive = Archive::read(&locked.id, artefact.bytes())
            .map_err(|error| (Verdict::HostileArchive { reason: error.to_string() }, Some(expected)))?;
        let dating = date(&archive, line.published);
        let origin = match self.origin(&locked.id, &archive, registry, &lines) {
            Ok(origin) => origin,
            Err(untraceable) => {
                let verdict = Verdict::unverifiable(untraceable.to_string());
                let record = Record::new(&locked.id, Some(expected), verdict).dated(&dating);
                return Ok(Opened::Settled(Box::new(record)));
            }
        };
        let requirements = archive.text(MANIFEST).map(Manifest::read).unwrap_or_default().requirements();
        Ok(Opened::Case(Box::new(Case {
            locked: locked.clone(),
            checksum: expected,
            url: registry.url(&locked.id, expected),
            published: line.published,
            origin,
            lock: archive.text(LOCK).map(str::to_owned),
            original_manifest: archive.original_manifest().map(str::to_owned),
            traces: Traces::read(&archive),
            requirements,
            reach: None,
            located: None,
            subject: Subject {
                candidates: candidates(&dating, line.published, &self.available),
                index_modes: vec![IndexMode::AtPublication],
                can_be_alone: false,
                must_be_alone: false,
            },
            dating,
            tried: Vec::new(),
        })))
    }

    /// Where a crate comes from: what its own files say, or, where they are silent, what other versions of it and the
    /// repository's tags do.
    fn origin(
        &self,
        id: &CrateId,
        archive: &Archive,
        registry: &Registry,
        lines: &[IndexLine],
    ) -> Result<Origin, Untraceable> {
        let claim = match claim(archive) {
            Err(Untraceable::NoVcsInfo) => None,
            claim => Some(claim?),
        };
        let mut contradictions = Vec::new();
        let repository = repository(archive).or_else(|untraceable| {
            let (repository, version) =
                self.other_repositories(id, registry, lines).next().ok_or(untraceable.clone())?;
            contradictions.push(format!("{untraceable}; {version} names {repository}"));
            Ok(repository)
        })?;
        if let Some(Claim { commit, path, dirty }) = claim {
            return Ok(Origin { repository, commit, path, dirty, found_by: None, contradictions });
        }
        let history = self.git.history(&repository, &[]).map_err(|_| Untraceable::NoVcsInfo)?;
        let found = tag_names(id, true).into_iter().find_map(|name| Some((*history.tags().get(&name)?, name)));
        let (commit, tag) = found.ok_or(Untraceable::NoVcsInfo)?;
        Ok(Origin { repository, commit, path: None, dirty: false, found_by: Some(tag), contradictions })
    }

    /// The repositories that other versions of a crate name, the next ones first.
    pub(super) fn other_repositories<'a>(
        &'a self,
        id: &'a CrateId,
        registry: &'a Registry,
        lines: &'a [IndexLine],
    ) -> impl Iterator<Item = (RepositoryUrl, CrateId)> + 'a {
        let (older, newer): (Vec<_>, Vec<_>) =
            lines.iter().filter(|line| line.version != id.version).partition(|line| line.version < id.version);
        let mut newer = newer;
        newer.sort_by(|a, b| a.version.cmp(&b.version));
        let mut older = older;
        older.sort_by(|a, b| b.version.cmp(&a.version));
        let asked = newer.into_iter().chain(older).take(VERSIONS);
        asked.filter_map(|line| {
            let id = CrateId { name: id.name.clone(), version: line.version.clone() };
            let bytes = registry.download(&id, line.checksum).ok()?;
            let artefact = Artefact::check(id.clone(), line.checksum, bytes).ok()?;
            let archive = Archive::read(&id, artefact.bytes()).ok()?;
            Some((repository(&archive).ok()?, id))
        })
    }
}

/// A registry's error as a verdict: that it has no such crate is a finding, everything else is not.
fn could_not(error: registry::Error, checksum: Option<Sha256>) -> (Verdict, Option<Sha256>) {
    let reason = error.to_string();
    let verdict = match error {
        registry::Error::Absent(_) => Verdict::unverifiable(reason),
        registry::Error::Network(_)
        | registry::Error::File(_)
        | registry::Error::Offline(_)
        | registry::Error::Config(_) => Verdict::Inconclusive { reason },
    };
    (verdict, checksum)
}
