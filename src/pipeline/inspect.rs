//! Third step: what a package's commit says: where the package is in it, how it was checked out, what cargo may want of the
//! index, and what else a rebuild needs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::context::Context;
use super::extra_sources::{DEPTH, ExtraSources, Members};
use super::fetch::{Ended, FetchedPackage};
use super::lfs::LfsObjects;
use super::sources::Sources;
use super::trace::{TracedPackage, ask_reach};
use crate::contract::checkout::Checkout;
use crate::contract::git::ObjectId;
use crate::contract::lfs::Pointer;
use crate::contract::recipe::WORKSPACE_LOCK;
use crate::edges::git::commit::{CargoFiles, Commit};
use crate::edges::git::history::History;
use crate::edges::git::lfs::Sizes;
use crate::edges::parallel::in_parallel;
use crate::model::commit::CommitId;
use crate::model::digest::{Sha256, Sri};
use crate::model::foreign::Foreign;
use crate::model::krate::CrateName;
use crate::model::release::Minor;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;
use crate::stages::checkout::{Committed, evident};
use crate::stages::claims::{Cause, ClaimedOrigin, Claims, Missing, Obstacle, Reach};
use crate::stages::index::Index;
use crate::stages::lock::LockedPackage;
use crate::stages::lock_evidence::{LockEvidence, examine, index_modes, locked_versions};
use crate::stages::manifest::Manifest;
use crate::stages::plan::IndexMode;
use crate::stages::provenance::{locate, tag_names};
use crate::stages::recipe::Blueprint;
use crate::stages::search::Subject;
use crate::stages::slice::Wanted;
use crate::stages::toolchain::{CargoEvidence, Search, asked_for, candidates, prefer};
use crate::stages::workspace::{pruned, root_of, stripped};

/// A package that is ready to be rebuilt.
#[derive(Debug)]
pub struct InspectedPackage {
    /// The package.
    pub locked: LockedPackage,
    /// The checksum that its bytes have.
    pub checksum: Sha256,
    /// How many bytes it unpacks to, as it says itself.
    pub unpacked_size: u64,
    /// Which cargo packaged it.
    pub evidence: CargoEvidence,
    /// The release that a `rust-toolchain` file asks for.
    pub asked_for: Option<Minor>,
    /// What its recipes are made of.
    pub blueprint: Blueprint,
    /// What the search needs to know of it.
    pub subject: Subject,
    /// The index files of what cargo may ask for.
    pub index: Index,
    /// Its commit.
    pub commit: Commit,
    /// The commits that it needs besides.
    pub extra_commits: BTreeMap<CommitId, Commit>,
    /// The LFS objects that it needs, and where they are.
    pub lfs_files: BTreeMap<Sri, PathBuf>,
}

/// A package whose commit was read, but not yet what it needs besides.
struct ReadPackage {
    traced: TracedPackage,
    path: SubPath,
    workspace: SubPath,
    files: CargoFiles,
    extra: ExtraSources,
    members: Members,
}

impl Context {
    /// Inspects the commit of a package.
    pub fn inspect(&self, package: TracedPackage, sources: &Sources<'_>) -> ControlFlow<Box<Ended>, InspectedPackage> {
        let mut package = self.read(package)?;
        for _ in 0..DEPTH {
            if package.extra.is_complete() {
                break;
            }
            let wanted = package.extra.wanted().map(|(repository, commit)| (repository.clone(), commit));
            let wanted: BTreeSet<(RepositoryUrl, CommitId)> = wanted.collect();
            let fetched = in_parallel(self.workers, wanted.into_iter().collect(), |(repository, commit)| {
                let found = sources.commit(&repository, commit, Some(&SubPath::default()));
                ((repository, commit), found)
            });
            let prunable = package.can_be_pruned();
            match package.extra.resolve(&fetched.into_iter().collect(), self, prunable) {
                ControlFlow::Continue(Members::CanStay) => {}
                ControlFlow::Continue(Members::MustGo) => package.members = Members::MustGo,
                ControlFlow::Break(cause) => return ControlFlow::Break(Box::new(package.traced.fetched.end(cause))),
            }
        }
        let package = self.finish(package, sources)?;
        self.with_lfs_objects(package)
    }

    /// Reads a commit: where the package is in it, and what it takes to export it.
    fn read(&self, traced: TracedPackage) -> ControlFlow<Box<Ended>, ReadPackage> {
        let end = |fetched: FetchedPackage, cause| ControlFlow::Break(Box::new(fetched.end(cause)));
        let files = match traced.commit.cargo_files() {
            Ok(files) => files,
            Err(error) => return end(traced.fetched, error.cause()),
        };
        let fetched = &traced.fetched;
        let name = &fetched.locked.key.name;
        let found = fetched.named.path.clone().or_else(|| {
            let manifests = files.manifests.iter().map(|(path, text)| (path, text.as_str()));
            locate(name, fetched.original_manifest.as_deref(), manifests)
        });
        let Some(path) = found else {
            let reason = format!("no manifest of the commit names a package {name}");
            return end(traced.fetched, Cause::NotPackageable { reason: reason.into() });
        };
        let workspace = root_of(&path, &files.manifests);
        let extra = ExtraSources::of(&traced.repository, &path, &workspace, &files, &fetched.traces);
        ControlFlow::Continue(ReadPackage { traced, path, workspace, files, extra, members: Members::CanStay })
    }

    /// Puts together everything that recipes are made of.
    fn finish(&self, package: ReadPackage, sources: &Sources<'_>) -> ControlFlow<Box<Ended>, InspectedPackage> {
        let ReadPackage { traced, path, workspace, files, extra, members } = package;
        let TracedPackage { fetched, repository, commit, history } = traced;
        let end = |fetched: FetchedPackage, reason| ControlFlow::Break(Box::new(fetched.end(Cause::Error { reason })));
        let mut candidates = candidates(&fetched.evidence, fetched.published, &self.available, self.search);
        if candidates.is_empty() {
            return end(fetched, "no cargo is available: `recrate toolchain add` imports one".into());
        }
        let above = std::iter::once(path.clone()).chain(path.ancestors());
        let asked_for =
            above.into_iter().find_map(|folder| files.toolchains.get(folder.as_str())).and_then(|text| asked_for(text));
        if let Some(minor) = asked_for {
            prefer(&mut candidates, minor);
        }
        let wanted = wanted(&fetched, &files, &[&path, &workspace]);
        let index = match sources.indexes(&wanted.names, fetched.published) {
            Ok(index) => index,
            Err(reason) => return end(fetched, reason.into()),
        };
        let lock_tracked = files.has_lock(&path)
            || files.has_lock(&workspace) && fetched.evidence.range.is_some_and(|range| range.first >= WORKSPACE_LOCK);
        let id = fetched.locked.key.id();
        let lock_evidence = fetched.lock.as_ref().map(|text| {
            let mut found = examine(text, &id, &index, fetched.published, &fetched.manifest);
            found.compare_with_newer(&fetched.manifest, &wanted.requirements, &index);
            found
        });
        let is_known = self.search == Search::Nothing;
        let modes = match self.search {
            Search::Nothing => vec![IndexMode::AtPublication],
            Search::Likely | Search::Thorough => index_modes(lock_evidence.as_ref(), fetched.published, lock_tracked),
        };
        let lock_evidence = lock_evidence.unwrap_or_default();
        let claims =
            claims(&fetched, &repository, &commit, history.as_deref(), &path, &files, lock_tracked, &lock_evidence);
        let (checkout, lfs) = checkout_of(&fetched, &path, &files, &commit);
        let checkout = if is_known { Checkout::default() } else { checkout };
        let pruned = pruned(&path, &workspace, &files.manifests);
        let stripped = stripped(&pruned, &workspace, &files.manifests);
        let pin = match self.pin_of(repository, &commit, &path) {
            Ok(pin) => pin,
            Err(error) => return ControlFlow::Break(Box::new(fetched.end(error.cause()))),
        };
        let (mut extra_commits, mut extra_pins) = (BTreeMap::new(), BTreeMap::new());
        for (id, (commit, pin)) in extra.commits {
            extra_commits.insert(id, commit);
            extra_pins.insert(id, pin);
        }
        ControlFlow::Continue(InspectedPackage {
            subject: Subject {
                candidates,
                index_modes: modes,
                tracks_workspace_lock: files.has_lock(&workspace),
                // Nobody selects for what the links of submodules lead to.
                is_lean: !path.as_str().is_empty() && extra.submodules.is_empty(),
                can_be_pruned: !is_known && !stripped.is_empty(),
                must_be_pruned: members == Members::MustGo,
                search: self.search,
            },
            blueprint: Blueprint {
                commit: fetched.named.commit,
                pin,
                lock_folders: BTreeSet::from([workspace, path.clone()]),
                package_path: path,
                checkout,
                lfs,
                lfs_objects: BTreeMap::new(),
                submodules: extra.submodules,
                git_dependencies: extra.git_dependencies,
                extra_commits: extra_pins,
                pruned,
                stripped,
                lock: fetched.lock,
                lock_evidence,
                wanted,
                dirty: fetched.named.dirty && !is_known,
                url: fetched.url,
                claims,
            },
            locked: fetched.locked,
            checksum: fetched.checksum,
            unpacked_size: fetched.unpacked_size,
            evidence: fetched.evidence,
            asked_for,
            index,
            commit,
            extra_commits,
            lfs_files: BTreeMap::new(),
        })
    }

    /// Gets the LFS objects that a package needs.
    fn with_lfs_objects(&self, package: InspectedPackage) -> ControlFlow<Box<Ended>, InspectedPackage> {
        let Blueprint { lfs, claims, .. } = &package.blueprint;
        let sized = lfs.iter().filter_map(|(path, hash)| Some((*hash, package.commit.pointer(path)?.size)));
        let sizes: Sizes = sized.collect();
        if sizes.is_empty() {
            return ControlFlow::Continue(package);
        }
        let objects = self.lfs_objects_of(BTreeMap::from([(claims.repository.clone(), sizes)]));
        package.take_lfs_objects(&objects)
    }
}

impl ReadPackage {
    fn can_be_pruned(&self) -> bool {
        let pruned = pruned(&self.path, &self.workspace, &self.files.manifests);
        !stripped(&pruned, &self.workspace, &self.files.manifests).is_empty()
    }
}

impl InspectedPackage {
    fn take_lfs_objects(mut self, objects: &LfsObjects) -> ControlFlow<Box<Ended>, Self> {
        let blueprint = &mut self.blueprint;
        for (path, hash) in &blueprint.lfs {
            match objects.get(&(blueprint.claims.repository.clone(), *hash)) {
                Some(Ok((object, file))) => {
                    blueprint.lfs_objects.insert(*hash, object.clone());
                    self.lfs_files.insert(*hash, file.clone());
                }
                Some(Err(error)) => {
                    let cause = match error.cause() {
                        Cause::Impossible { reason, .. } => Cause::Impossible {
                            missing: Missing::ExtraSource,
                            reason: format!("the LFS object of {path} can't be fetched: {reason}").into(),
                        },
                        other => other,
                    };
                    return ControlFlow::Break(Box::new(self.end(cause)));
                }
                None => {}
            }
        }
        ControlFlow::Continue(self)
    }

    /// That it can't be rebuilt.
    #[must_use]
    pub fn obstacle(&self, cause: Cause) -> Obstacle {
        let Blueprint { claims, commit, package_path, .. } = &self.blueprint;
        let origin = ClaimedOrigin {
            repository: claims.repository.clone(),
            commit: *commit,
            path: Some(package_path.clone()),
            tag: claims.tag.clone(),
            reach: claims.reach.clone(),
            asked: claims.asked.clone(),
        };
        Obstacle { cause, origin: Some(origin) }
    }

    /// Ends a package that can't be rebuilt.
    fn end(self, cause: Cause) -> Ended {
        let obstacle = self.obstacle(cause);
        Ended { locked: self.locked, checksum: Some(self.checksum), obstacle }
    }
}

/// What is known of a package that no build can show.
#[expect(clippy::too_many_arguments, reason = "each is another source of facts")]
fn claims(
    fetched: &FetchedPackage,
    repository: &RepositoryUrl,
    commit: &Commit,
    history: Result<&History, &String>,
    path: &SubPath,
    files: &CargoFiles,
    lock_tracked: bool,
    lock_evidence: &LockEvidence,
) -> Claims {
    let id = fetched.locked.key.id();
    let only_package = files.has_only_one_package();
    let names = tag_names(&id, only_package);
    let mut claims = Claims {
        published: fetched.published,
        repository: repository.clone(),
        tag: fetched.named.tag.clone().map(Into::into),
        only_package,
        reach: Reach::Unknown { reason: Foreign::default() },
        asked: None,
        other_tags: Vec::new(),
        other_version: files.other_version(path, &id.version).map(Into::into),
        lock_tracked,
        lock_faults: lock_evidence.faults.iter().map(|fault| fault.as_str().into()).collect(),
    };
    ask_reach(&mut claims, history, commit.id, commit.tree, &names);
    claims
}

/// What cargo may ask of the index, from manifests and tracked lock files. For a crate without a lock file cargo resolves
/// nothing: no crate is asked for.
fn wanted(fetched: &FetchedPackage, files: &CargoFiles, tracked: &[&SubPath]) -> Wanted {
    let mut wanted = Wanted::default();
    for text in tracked.iter().filter_map(|at| files.locks.get(*at)) {
        for (name, versions) in locked_versions(text) {
            wanted.locked.entry(name).or_default().extend(versions);
        }
    }
    wanted.names.extend(wanted.locked.keys().cloned());
    wanted.names.extend(fetched.lock.iter().flat_map(|text| locked_versions(text).into_keys()));
    let of_commit = files.manifests.values().flat_map(|text| Manifest::read(text).requirements());
    for requirement in fetched.manifest.requirements().into_iter().chain(of_commit) {
        if let Ok(name) = requirement.name.parse::<CrateName>() {
            wanted.features.entry(name.clone()).or_default().extend(requirement.features);
            wanted.requirements.push((name, requirement.versions));
        }
    }
    wanted.resolves = fetched.lock.is_some();
    wanted
}

/// How the publisher checked the commit out, as far as the crate shows it, and the LFS objects that replaced their
/// pointers.
fn checkout_of(
    fetched: &FetchedPackage,
    path: &SubPath,
    files: &CargoFiles,
    commit: &Commit,
) -> (Checkout, BTreeMap<String, Sri>) {
    let below = if path.as_str().is_empty() { String::new() } else { format!("{path}/") };
    let at = |file: &str| format!("{below}{file}");
    let blobs: BTreeMap<String, ObjectId> =
        fetched.traces.converted().filter_map(|file| Some((at(file), commit.blob(&at(file))?))).collect();
    let pointer = |file: &str| -> Option<(String, Pointer)> { Some((at(file), commit.pointer(&at(file))?)) };
    let pointers: BTreeMap<String, Pointer> =
        fetched.traces.files().filter(|_| files.uses_lfs).filter_map(pointer).collect();
    let committed = Committed {
        below: &below,
        links: &files.links,
        executables: &files.executables,
        blobs: &blobs,
        pointers: &pointers,
    };
    evident(&fetched.traces, &committed)
}
