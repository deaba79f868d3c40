//! First step: a package's published crate, fetched, checked and read.

use std::borrow::Cow;
use std::ops::ControlFlow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::sources::Sources;
use crate::edges::registry::{self, Registry, too_early};
use crate::model::commit::CommitId;
use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::model::package::RegistryName;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;
use crate::stages::artefact::{Archive, LOCK, MANIFEST, Malformed};
use crate::stages::checkout::Traces;
use crate::stages::claims::{Cause, Missing, Obstacle};
use crate::stages::index::IndexLine;
use crate::stages::lock::LockedPackage;
use crate::stages::manifest::Manifest;
use crate::stages::provenance::{Untraceable, VcsInfo, repository, tag_names};
use crate::stages::published::Published;
use crate::stages::toolchain::{CargoEvidence, Search};

/// A package that ends before it is rebuilt.
#[derive(Debug)]
pub struct Ended {
    /// The package.
    pub locked: LockedPackage,
    /// The checksum that its bytes must have, as far as it is known.
    pub checksum: Option<Sha256>,
    /// Why.
    pub obstacle: Obstacle,
}

/// A package whose published crate was read.
#[derive(Debug)]
pub struct FetchedPackage {
    /// The package.
    pub locked: LockedPackage,
    /// The checksum that its bytes have.
    pub checksum: Sha256,
    /// How many bytes it unpacks to, as it says itself.
    pub unpacked_size: u64,
    /// Where the crate can be fetched; none where the registry is a folder.
    pub url: Option<String>,
    /// When it was published.
    pub published: Option<Timestamp>,
    /// Which cargo packaged it.
    pub evidence: CargoEvidence,
    /// Where it says that it comes from.
    pub named: NamedOrigin,
    /// Its Cargo.lock.
    pub lock: Option<String>,
    /// Its normalised manifest.
    pub manifest: Manifest,
    /// Its manifest as it is in the source.
    pub original_manifest: Option<String>,
    /// What it shows of the publisher's checkout.
    pub traces: Traces,
}

/// Where a package says that it comes from, or what stands for that where it is silent.
#[derive(Debug, Clone)]
pub struct NamedOrigin {
    /// The repository.
    pub repository: RepositoryUrl,
    /// The commit.
    pub commit: CommitId,
    /// The package's folder; none where the vcs info does not name it.
    pub path: Option<SubPath>,
    /// Whether the vcs info says that there were uncommitted changes.
    pub dirty: bool,
    /// The tag that the commit was found by, where the package names none.
    pub tag: Option<String>,
}

/// What is wanted of a published crate. Its archive is let go before anything is waited for: with all that are under way,
/// archives would fill the memory.
#[derive(Serialize, Deserialize)]
struct Extract {
    vcs_info: Result<VcsInfo, Untraceable>,
    repository: Result<RepositoryUrl, Untraceable>,
    evidence: CargoEvidence,
    lock: Option<String>,
    manifest: Option<String>,
    original_manifest: Option<String>,
    traces: Traces,
}

impl Extract {
    fn of(published: &Published) -> Self {
        let archive = &published.archive;
        Self {
            vcs_info: published.vcs_info.clone(),
            repository: published.repository.clone(),
            evidence: published.evidence.clone(),
            lock: archive.text(LOCK).map(Cow::into_owned),
            manifest: archive.text(MANIFEST).map(Cow::into_owned),
            original_manifest: archive.original_manifest().map(Cow::into_owned),
            traces: Traces::read(archive),
        }
    }
}

/// How many other versions of a crate are asked for a repository.
const VERSIONS: usize = 3;

impl Context {
    /// Gets the published crate of a package, checks it and reads it.
    pub fn fetch(&self, locked: &LockedPackage, sources: &Sources<'_>) -> ControlFlow<Box<Ended>, FetchedPackage> {
        let id = locked.key.id();
        let end = |checksum, cause| {
            let obstacle = Obstacle { cause, origin: None };
            ControlFlow::Break(Box::new(Ended { locked: locked.clone(), checksum, obstacle }))
        };
        let registry = match sources.registry(&locked.key.registry) {
            Ok(registry) => registry,
            Err(reason) => return end(locked.checksum, Cause::Error { reason: reason.into() }),
        };
        let lines = match self.index_with(&id, (&locked.key.registry, registry), sources) {
            Ok(lines) => lines,
            Err(error) => return end(locked.checksum, cause_of(error)),
        };
        let Some(line) = lines.iter().find(|line| line.version == id.version) else {
            let reason = format!("the registry's index has no {id}");
            return end(locked.checksum, Cause::Impossible { missing: Missing::Version, reason: reason.into() });
        };
        if let Some(expected) = locked.checksum.filter(|expected| *expected != line.checksum) {
            let reason = format!("Cargo.lock has {expected}, the registry's index {}", line.checksum);
            return end(Some(expected), Cause::ChecksumMismatch { reason: reason.into() });
        }
        let checksum = line.checksum;
        // Of what is not published yet it is known what was there: what is there now.
        let published = line.published.filter(|_| self.search != Search::Nothing);
        if let Some(reason) = too_early(published) {
            return end(Some(checksum), Cause::Error { reason: reason.into() });
        }
        // Its bytes are let go until it is their turn: those of all that wait would be much.
        let unpacked_size = match registry.artefact(&id, checksum) {
            Ok(artefact) => artefact.unpacked_size(),
            Err(error) => return end(Some(checksum), cause_of(error)),
        };
        let extract = match self.extract(registry, &id, checksum, (unpacked_size, line.published)) {
            Ok(extract) => extract,
            Err(cause) => return end(Some(checksum), cause),
        };
        let named = match self.named_origin(&id, &extract, registry, &lines, sources) {
            Ok(named) => named,
            Err(cause) => return end(Some(checksum), cause),
        };
        ControlFlow::Continue(FetchedPackage {
            locked: locked.clone(),
            checksum,
            unpacked_size,
            url: registry.url(&id, checksum),
            published: line.published,
            named,
            lock: extract.lock,
            manifest: extract.manifest.as_deref().map(Manifest::read).unwrap_or_default(),
            original_manifest: extract.original_manifest,
            traces: extract.traces,
            evidence: extract.evidence,
        })
    }

    /// Takes a crate apart. What comes of it is remembered by its bytes: telling the compressor takes compressing it.
    fn extract(
        &self,
        registry: &Registry,
        id: &CrateId,
        checksum: Sha256,
        (unpacked_size, published): (u64, Option<Timestamp>),
    ) -> Result<Extract, Cause> {
        let inputs = (id.to_string(), checksum, published);
        if let Some(extract) = self.cache.recall("extract", &inputs) {
            return Ok(extract);
        }
        let malformed = |error: Malformed| Cause::MalformedArchive { reason: error.to_string().into() };
        let extract = self.permits.with(unpacked_size, || {
            let artefact = registry.artefact(id, checksum).map_err(cause_of)?;
            Ok(Extract::of(&Published::read(&artefact, published).map_err(malformed)?))
        })?;
        self.cache.remember("extract", &inputs, &extract);
        Ok(extract)
    }

    /// The repository that a crate names, if any.
    fn repository_named_by(&self, registry: &Registry, id: &CrateId, checksum: Sha256) -> Option<RepositoryUrl> {
        let inputs = (id.to_string(), checksum);
        if let Some(named) = self.cache.recall("named", &inputs) {
            return named;
        }
        let unpacked_size = registry.artefact(id, checksum).ok()?.unpacked_size();
        let named = self.permits.with(unpacked_size, || {
            let artefact = registry.artefact(id, checksum).ok()?;
            let archive = Archive::read(id, artefact.bytes()).ok();
            Some(archive.and_then(|archive| repository(&archive).ok()))
        })?;
        self.cache.remember("named", &inputs, &named);
        named
    }

    /// The index lines of a crate; asked for again where it or a version is missing: it may be younger than what is cached.
    fn index_with(
        &self,
        id: &CrateId,
        registry: (&RegistryName, &Registry),
        sources: &Sources<'_>,
    ) -> Result<std::sync::Arc<Vec<IndexLine>>, registry::Error> {
        match sources.index(registry, &id.name, false) {
            Ok(lines) if lines.iter().any(|line| line.version == id.version) => Ok(lines),
            Ok(_) | Err(registry::Error::Absent(_)) if self.network.is_some() => {
                sources.index(registry, &id.name, true)
            }
            found => found,
        }
    }

    /// Where a package comes from: what its own files name, or, where they are silent, what other versions of it and the
    /// repository's tags do.
    fn named_origin(
        &self,
        id: &CrateId,
        extract: &Extract,
        registry: &Registry,
        lines: &[IndexLine],
        sources: &Sources<'_>,
    ) -> Result<NamedOrigin, Cause> {
        let impossible = |untraceable: &Untraceable| Cause::Impossible {
            missing: untraceable.missing(),
            reason: untraceable.to_string().into(),
        };
        let repository = match &extract.repository {
            Ok(repository) => repository.clone(),
            Err(untraceable) => {
                let may = self.search != Search::Nothing;
                let other = self.other_repositories(id, registry, lines).next().filter(|_| may);
                other.ok_or_else(|| impossible(untraceable))?
            }
        };
        match &extract.vcs_info {
            Ok(VcsInfo { commit, path, dirty }) => {
                Ok(NamedOrigin { repository, commit: *commit, path: path.clone(), dirty: *dirty, tag: None })
            }
            // A tag that can be moved stands for a commit only where nobody can package again.
            Err(untraceable @ Untraceable::NoVcsInfo) if self.search != Search::Nothing => {
                // That the tags can't be asked for is no finding about the crate.
                let history = sources.history(&repository, None).map_err(|error| error.cause())?;
                let tags = history.tags();
                let found = tag_names(id, true).into_iter().find_map(|name| Some((*tags.get(&name)?, name)));
                let (commit, tag) = found.ok_or_else(|| impossible(untraceable))?;
                Ok(NamedOrigin { repository, commit, path: None, dirty: false, tag: Some(tag) })
            }
            Err(untraceable) => Err(impossible(untraceable)),
        }
    }

    /// The repositories that other versions of a crate name, the next versions first.
    pub fn other_repositories<'a>(
        &'a self,
        id: &'a CrateId,
        registry: &'a Registry,
        lines: &'a [IndexLine],
    ) -> impl Iterator<Item = RepositoryUrl> + 'a {
        let (mut older, mut newer): (Vec<_>, Vec<_>) =
            lines.iter().filter(|line| line.version != id.version).partition(|line| line.version < id.version);
        newer.sort_by(|a, b| a.version.cmp(&b.version));
        older.sort_by(|a, b| b.version.cmp(&a.version));
        let asked = newer.into_iter().chain(older).take(VERSIONS);
        asked.filter_map(|line| {
            let id = CrateId { name: id.name.clone(), version: line.version.clone() };
            self.repository_named_by(registry, &id, line.checksum)
        })
    }
}

/// A registry's error: that it has no such crate, or other bytes, is a finding, everything else is not.
fn cause_of(error: registry::Error) -> Cause {
    let reason = error.to_string();
    match error {
        registry::Error::Absent(_) => Cause::Impossible { missing: Missing::Version, reason: reason.into() },
        registry::Error::Mismatch(_) => Cause::ChecksumMismatch { reason: reason.into() },
        registry::Error::Network(_)
        | registry::Error::File(_)
        | registry::Error::Offline(_)
        | registry::Error::Config(_) => Cause::Error { reason: reason.into() },
    }
}
