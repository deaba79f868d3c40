//! One crate on its way: opened from the registry, located in its commit, closed with a record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use semver::Version;

use super::Lab;
use super::further::Further;
use crate::builder::left_out::Spare;
use crate::edges::git;
use crate::edges::git::commit::{CargoFiles, Commit, Export, export_memo};
use crate::edges::registry::Registry;
use crate::edges::run_directory::Kept;
use crate::model::digest::Sha256;
use crate::model::krate::CrateName;
use crate::model::release::Minor;
use crate::model::source::{CommitId, RepositoryUrl, SubPath};
use crate::stages::artefact::LOCK;
use crate::stages::checkout::{Checkout, Committed, Traces};
use crate::stages::lock::{self, LockedCrate, RegistryName};
use crate::stages::manifest::{Manifest, Requirement};
use crate::stages::plan::{Facts, IndexMode, Inputs, Reach};
use crate::stages::provenance::{locate, tag_names, tags_elsewhere};
use crate::stages::search::{Subject, Tried, best};
use crate::stages::slice::{Cut, Index, IndexLine, Wanted};
use crate::stages::toolchain::{Dating, asked_for, prefer};
use crate::stages::verdict::{OriginRecord, Record, TryRecord, Verdict};
use crate::stages::workspace::{Others, bare, needed, root_of};

/// A crate on its way.
#[derive(Debug)]
pub struct Case {
    /// The crate as the lock file has it.
    pub locked: LockedCrate,
    /// The checksum that its bytes were checked against.
    pub checksum: Sha256,
    /// Where the published crate can be fetched; none where the registry is a folder.
    pub url: Option<String>,
    /// When it was published.
    pub published: Option<Timestamp>,
    /// Where it comes from.
    pub origin: Origin,
    /// What its bytes say of its cargo.
    pub dating: Dating,
    /// The published Cargo.lock.
    pub lock: Option<String>,
    pub(super) original_manifest: Option<String>,
    pub(super) traces: Traces,
    pub(super) requirements: Vec<Requirement>,
    pub(super) reach: Option<Reach>,
    /// What tracing and locating found; none before.
    pub located: Option<Located>,
    /// The search's subject.
    pub subject: Subject,
    /// What was tried, and with what.
    pub tried: Vec<(Tried, Built)>,
}

/// Where a crate comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The repository that is asked.
    pub repository: RepositoryUrl,
    /// The commit.
    pub commit: CommitId,
    /// The package's folder; none where the crate does not say.
    pub path: Option<SubPath>,
    /// Whether it was published with uncommitted changes.
    pub dirty: bool,
    /// The tag that the commit was found by, where the crate names none.
    pub found_by: Option<String>,
    /// What is strange about this origin.
    pub contradictions: Vec<String>,
}

/// What a repository gave for a crate's commit.
#[derive(Debug)]
pub struct Fetched {
    /// The commit.
    pub commit: Result<Commit, git::Error>,
    /// What of the repository reaches it; none where that could not be asked.
    pub reach: Option<Reach>,
    /// All tags, with the commits that they are on.
    pub tags: Arc<BTreeMap<String, CommitId>>,
}

/// What is known of a crate's commit.
#[derive(Debug)]
pub struct Located {
    /// The commit at hand.
    pub commit: Commit,
    /// The package's folder.
    pub path: SubPath,
    /// The release that a `rust-toolchain` file asks for.
    pub asked_for: Option<Minor>,
    /// Hash and submodules of the commit's files.
    pub export: Export,
    /// How the publisher checked it out.
    pub checkout: Checkout,
    /// What it needs besides.
    pub further: Further,
    /// What of its workspace is left out so that cargo sees what the package needs.
    pub needed: BTreeMap<SubPath, Spare>,
    /// The same so that it sees nothing of what that requires.
    pub bare: BTreeMap<SubPath, Spare>,
    /// What the verdict has to know.
    pub facts: Facts,
    /// Where the published lock file would be put.
    pub lock_paths: Vec<String>,
    /// What cargo may ask of the index.
    pub wanted: Wanted,
    /// The newest publication among the entries of the published lock file.
    pub newest_locked: Option<Timestamp>,
    /// Versions of the published lock file that came out together with the crate, a little later.
    pub siblings: BTreeMap<CrateName, BTreeSet<Version>>,
    /// Versions of the published lock file that are yanked today.
    pub yanked: BTreeMap<CrateName, BTreeSet<Version>>,
    /// The registry that cargo resolves against.
    pub index: Index,
    /// The published lock file's own entries, for when it is an input.
    pub locked: BTreeMap<CrateName, BTreeSet<Version>>,
}

/// What a try was built from and where it is.
#[derive(Debug, Clone)]
pub struct Built {
    /// The inputs.
    pub inputs: Inputs,
    /// The derivation.
    pub drv: String,
    /// The output.
    pub out: String,
}

/// The first cargo that starts from the workspace's Cargo.lock; older ones resolve a member afresh (rust-lang/cargo
/// #11477).
const WORKSPACE_LOCK: Minor = Minor(68);

/// How much later the versions may have come out that were published together with a crate. The registry notes the time
/// of each by itself, and packages of a workspace may have been packed before the first of them was there.
const TOGETHER: SignedDuration = SignedDuration::from_secs(60);

/// How old an index may have been on the day: registries take some time to show a new version, and cargo builds a package
/// between resolving and uploading it.
const GAP: SignedDuration = SignedDuration::from_mins(10);

/// Registries by name; an error where one can't be used.
pub type Registries = BTreeMap<RegistryName, Result<Registry, String>>;

/// A crate that ends before it can be built.
pub type Settled = (Box<LockedCrate>, Box<Record>);

impl Case {
    /// Looks into the commit: where the package is, what lock files and manifests there are, what cargo may want.
    pub(super) fn locate(&mut self, fetched: Fetched, lab: &Lab, registries: &Registries) -> Result<(), Verdict> {
        self.reach = fetched.reach;
        self.look(fetched.commit, &fetched.tags, lab, registries)
    }

    /// Ends the case before anything was built.
    pub(super) fn settle(self, verdict: Verdict) -> Settled {
        let mut record = Record::new(&self.locked.id, Some(self.checksum), verdict).dated(&self.dating);
        record.origin = Some(self.origin_record(None));
        (Box::new(self.locked), Box::new(record))
    }

    fn look(
        &mut self,
        commit: Result<Commit, git::Error>,
        tags: &BTreeMap<String, CommitId>,
        lab: &Lab,
        registries: &Registries,
    ) -> Result<(), Verdict> {
        let inconclusive = |reason: String| Verdict::Inconclusive { reason };
        let commit = commit.map_err(|error| error.verdict(""))?;
        let files = commit.cargo_files().map_err(|error| error.verdict(""))?;
        let path = match &self.origin.path {
            Some(path) => path.clone(),
            None => {
                let manifests = files.manifests.iter().map(|(path, text)| (path, text.as_str()));
                locate(&self.locked.id.name, self.original_manifest.as_deref(), manifests).ok_or_else(|| {
                    Verdict::NotRebuilt {
                        reason: format!("no manifest of the commit names a package {}", self.locked.id.name),
                    }
                })?
            }
        };
        if self.subject.candidates.is_empty() {
            return Err(inconclusive("there is no cargo to try: `recrate toolchain add` imports one".to_owned()));
        }
        let above = std::iter::once(path.clone()).chain(path.ancestors());
        let toolchain = above.into_iter().find_map(|folder| files.toolchains.get(folder.as_str()));
        let asked_for = toolchain.and_then(|text| asked_for(text));
        if let Some(minor) = asked_for {
            prefer(&mut self.subject.candidates, minor);
        }
        let export = exported(&commit, lab).map_err(|error| error.verdict(""))?;

        let checkout = self.checkout(&path, &files, &commit);
        let workspace = root_of(&path, &files.manifests);
        let further = Further::of(&self.origin.repository, &path, &workspace, &files, &export, &self.traces);
        let tracked: Vec<&String> = [&path, &workspace].into_iter().filter_map(|at| files.locks.get(at)).collect();
        let mut wanted = self.wanted(&files, &tracked);
        let mut published = BTreeMap::new();
        if let Some(text) = &self.lock {
            add_locked(text, &mut published);
            wanted.names.extend(published.keys().cloned());
        }
        let registry = match &registries[&RegistryName::Default] {
            Ok(registry) => registry,
            Err(reason) => return Err(inconclusive(reason.clone())),
        };
        let index = registry.indexes(&wanted.names).map_err(|error| inconclusive(error.to_string()))?;

        let lock_tracked = files.locks.contains_key(&path)
            || files.locks.contains_key(&workspace)
                && self.dating.span.is_some_and(|span| span.first >= WORKSPACE_LOCK);
        let mut facts = Facts {
            published: self.published,
            lock_tracked,
            lock_faults: Vec::new(),
            repository: self.origin.repository.clone(),
            found_by: self.origin.found_by.clone(),
            reach: self.reach.clone(),
            contradictions: self.contradictions(&path, &files, tags),
        };
        let mut newest = None;
        let mut siblings: BTreeMap<CrateName, BTreeSet<Version>> = BTreeMap::new();
        let mut yanked: BTreeMap<CrateName, BTreeSet<Version>> = BTreeMap::new();
        for (name, versions) in &published {
            for version in versions {
                let line = index.get(name).and_then(|lines| lines.iter().find(|line| line.version == *version));
                let Some(line) = line else {
                    facts.lock_faults.push(format!("it names {name}@{version}, which the registry does not have"));
                    continue;
                };
                match self.published.zip(line.published) {
                    Some((own, theirs)) if theirs.duration_since(own) > TOGETHER => {
                        facts.lock_faults.push(format!("it names {name}@{version}, which came out after this crate"));
                    }
                    Some((own, theirs)) if theirs >= own => {
                        siblings.entry(name.clone()).or_default().insert(version.clone());
                    }
                    _ => newest = newest.max(line.published),
                }
                if line.yanked {
                    yanked.entry(name.clone()).or_default().insert(version.clone());
                }
            }
        }
        if let Some(text) = &self.lock {
            facts.lock_faults.extend(forged(text, &index));
            facts.lock_faults.extend(unmet(&self.requirements, &published));
        }
        self.subject.index_modes = IndexMode::ALL
            .into_iter()
            .filter(|mode| match mode {
                // What is yanked shows when cargo asks for it; a try that comes to the same as one before is not built.
                IndexMode::AtPublication | IndexMode::WithYanked => true,
                IndexMode::WithSiblings => !siblings.is_empty(),
                IndexMode::MinutesBefore => self.lock.is_some() && self.published.is_some(),
                IndexMode::AtNewestLocked => newest.is_some(),
                // A tracked lock file is part of the commit: then the published one is no input, but an output.
                IndexMode::PublishedLock => self.lock.is_some() && !facts.lock_tracked && facts.lock_faults.is_empty(),
            })
            .collect();
        let lock_paths = BTreeSet::from([workspace.join(LOCK), path.join(LOCK)]).into_iter().collect();
        let needed = needed(&path, &workspace, &files.manifests);
        let bare = bare(&needed, &workspace, &files.manifests);
        self.subject.can_be_alone = !bare.is_empty();
        self.located = Some(Located {
            commit,
            path,
            asked_for,
            export,
            checkout,
            further,
            needed,
            bare,
            facts,
            lock_paths,
            wanted,
            newest_locked: newest,
            siblings,
            yanked,
            index,
            locked: published,
        });
        Ok(())
    }

    /// What of the repository speaks against this commit being the release.
    fn contradictions(&self, path: &SubPath, files: &CargoFiles, tags: &BTreeMap<String, CommitId>) -> Vec<String> {
        let packages = files.manifests.values().filter(|text| Manifest::read(text).name().is_some());
        let names = tag_names(&self.locked.id, packages.count() == 1);
        let mut found = self.origin.contradictions.clone();
        found.extend(tags_elsewhere(&names, tags, self.origin.commit));
        let manifest = files.manifests.get(path).map(|text| Manifest::read(text)).unwrap_or_default();
        let version = &self.locked.id.version;
        if let Some(other) = manifest.version().filter(|other| *other != version.to_string()) {
            found.push(format!("the manifest at the commit says version {other}"));
        }
        found
    }

    /// How the publisher checked the commit out, as far as the crate shows it.
    fn checkout(&self, path: &SubPath, files: &CargoFiles, commit: &Commit) -> Checkout {
        let below = if path.as_str().is_empty() { String::new() } else { format!("{path}/") };
        let blob = |path: &str| commit.blob(path);
        let pointer = |path: &str| files.uses_lfs.then(|| commit.pointer(path)).flatten();
        let (links, executables) = (&files.links, &files.executables);
        Checkout::evident(
            &self.traces,
            &Committed { below: &below, links, executables, blob: &blob, pointer: &pointer },
        )
    }

    /// What cargo may ask of the index, from manifests and tracked lock files. Where neither the crate nor the commit
    /// has a lock file, cargo resolves nothing: no crate is asked for.
    fn wanted(&self, files: &CargoFiles, tracked: &[&String]) -> Wanted {
        let mut wanted = Wanted::default();
        for text in tracked {
            add_locked(text, &mut wanted.locked);
        }
        wanted.names.extend(wanted.locked.keys().cloned());
        let of_commit = files.manifests.values().flat_map(|text| Manifest::read(text).requirements());
        for requirement in self.requirements.iter().cloned().chain(of_commit) {
            if let Ok(name) = requirement.name.parse::<CrateName>() {
                wanted.requirements.push((name, requirement.versions));
            }
        }
        wanted
    }

    /// The time at which the index is cut for a mode.
    #[must_use]
    pub fn cut(&self, mode: IndexMode) -> Option<Cut> {
        let newest = self.located.as_ref().and_then(|located| located.newest_locked);
        match mode {
            IndexMode::AtNewestLocked => newest.map(Cut::Until),
            IndexMode::MinutesBefore => self.published.map(|own| Cut::Before(own - GAP)),
            IndexMode::AtPublication | IndexMode::WithSiblings | IndexMode::WithYanked | IndexMode::PublishedLock => {
                self.published.map(Cut::Before)
            }
        }
    }

    fn origin_record(&self, path: Option<SubPath>) -> OriginRecord {
        OriginRecord {
            repository: self.origin.repository.clone(),
            commit: self.origin.commit,
            path: path.or_else(|| self.origin.path.clone()),
            reach: self.reach.clone(),
        }
    }

    /// What was tried, as the search looks at it.
    pub(super) fn outcomes(&self) -> Vec<Tried> {
        self.tried.iter().map(|(tried, _)| tried.clone()).collect()
    }

    /// Ends the search: the best try decides.
    pub(super) fn close(self) -> Kept {
        let tried = self.outcomes();
        let best = best(&tried);
        let dirty = self.origin.dirty;
        let (verdict, conditions) = match best.map(|at| &self.tried[at]) {
            None => (Verdict::Inconclusive { reason: "nothing could be built".to_owned() }, Vec::new()),
            Some((found, built)) => {
                let Inputs { facts, recipe, .. } = &built.inputs;
                (found.verdict.clone().in_light_of(dirty, facts), recipe.conditions(dirty))
            }
        };
        let facts = self.located.as_ref().map(|located| &located.facts);
        let beside = facts.map(|facts| facts.beside(&verdict)).unwrap_or_default();
        let mut record = Record::new(&self.locked.id, Some(self.checksum), verdict).dated(&self.dating);
        record.conditions = conditions;
        record.contradictions = beside;
        record.origin = Some(self.origin_record(self.located.as_ref().map(|located| located.path.clone())));
        record.best = best;
        record.tries = self
            .tried
            .iter()
            .map(|(tried, built)| TryRecord {
                toolchain: built.inputs.toolchain.name.clone(),
                in_range: self.subject.candidates[tried.attempt.candidate].in_range,
                index_mode: tried.attempt.index_mode,
                others: Others::of(&built.inputs.recipe.left_out),
                level: tried.verdict.level(),
                drv: built.drv.clone(),
                out: built.out.clone(),
            })
            .collect();
        let inputs = best.map(|at| self.tried[at].1.inputs.clone());
        Kept { record, registry: self.locked.registry, inputs }
    }
}

/// The hash and submodules of a commit's files, remembered by tree.
pub(super) fn exported(commit: &Commit, lab: &Lab) -> Result<Export, git::Error> {
    let memo = export_memo(&commit.tree);
    let memo = memo.to_string_lossy();
    if let Some(export) = lab.cache.read(&memo)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(export);
    }
    let export = commit.export(None)?;
    lab.cache.write(&memo, &serde_json::to_vec(&export).unwrap_or_default())?;
    Ok(export)
}

/// Adds the registry crates of a lock file.
fn add_locked(text: &str, to: &mut BTreeMap<CrateName, BTreeSet<Version>>) {
    for locked in lock::read(text).map(|locked| locked.crates).unwrap_or_default() {
        to.entry(locked.id.name).or_default().insert(locked.id.version);
    }
}

/// Requirements of a crate that no version of its lock file meets.
fn unmet(requirements: &[Requirement], locked: &BTreeMap<CrateName, BTreeSet<Version>>) -> Vec<String> {
    let met = |requirement: &&Requirement| {
        let name = requirement.name.parse::<CrateName>().ok();
        let versions = name.and_then(|name| locked.get(&name)).into_iter().flatten();
        versions.into_iter().any(|version| requirement.versions.matches(version))
    };
    let unmet = requirements.iter().filter(|requirement| !met(requirement));
    unmet.map(|requirement| format!("it has no {} {}", requirement.name, requirement.versions)).collect()
}

/// Entries of a lock file whose checksum is not the index's.
fn forged(text: &str, index: &Index) -> Vec<String> {
    let line = |locked: &LockedCrate| -> Option<Arc<Vec<IndexLine>>> { index.get(&locked.id.name).cloned() };
    lock::read(text)
        .map(|locked| locked.crates)
        .unwrap_or_default()
        .iter()
        .filter(|locked| {
            line(locked).is_some_and(|lines| {
                lines.iter().any(|line| {
                    line.version == locked.id.version && locked.checksum.is_some_and(|said| said != line.checksum)
                })
            })
        })
        .map(|locked| format!("its checksum for {} is not the registry's", locked.id))
        .collect()
}
