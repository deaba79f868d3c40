//! *Plan*: everything that decides the rebuilds of a lock file, written down. Whoever has the plan can build without recrate.
//!
//! Every package of the lock file is in it, with how it is rebuilt or why it can't be. Nothing in a plan can say that contents
//! are the same: only a build and a comparison can. The JSON has no clock, no path of a machine and no "unknown" that decides a
//! build; maps are sorted, so the same plan is the same bytes. `nix/plan.nix` reads it; `docs/plan.schema.json` describes it.

mod index_pin;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::checkout;
use super::claims::{Claims, Obstacle};
use super::coverage;
use super::findings::Condition;
use super::lock::{Locked, LockedPackage, Skipped};
use super::toolchain::Toolchain;
use super::workspace::WorkspaceView;
use crate::contract::checkout::Checkout;
use crate::contract::prune::Pruned;
use crate::contract::recipe::{Base64, PublishedLockfile, Reference};
use crate::model::commit::CommitId;
use crate::model::digest::{Sha256, Sri};
use crate::model::package::PackageKey;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;

pub use index_pin::IndexPin;

/// The version of the format.
pub const SCHEMA: u32 = 3;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The Nix system that the toolchains run on, like `x86_64-linux`.
    pub system: String,
    /// The hash of the lock file's package list, by [`coverage::digest`]; none where no lock file was given.
    pub lockfile: Option<Sha256>,
    /// recrate's static builder.
    pub builder: ProgramPin,
    /// recrate's static fetcher: it fetches commits, LFS objects and index slices where the store lacks them. What it fetches
    /// is pinned, so no rebuild's output depends on it.
    pub fetcher: ProgramPin,
    /// recrate's static judge: it compares the rebuilt crates with the published ones.
    pub judge: ProgramPin,
    /// The cargos, by the name that recipes use.
    pub toolchains: BTreeMap<String, Toolchain>,
    /// The commits, by id.
    pub commits: BTreeMap<CommitId, CommitPin>,
    /// The LFS objects, by their sha256.
    pub lfs_objects: BTreeMap<Sri, LfsObject>,
    /// The index slices, by [`IndexPin::key`].
    pub indexes: BTreeMap<Sri, IndexPin>,
    /// Every registry package of the lock file, by [`PackageKey::job`].
    pub packages: BTreeMap<String, PlannedPackage>,
    /// The packages of the lock file that have no published crate that recrate could look at.
    pub skipped: Vec<Skipped>,
}

/// A static program of recrate's that Nix runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProgramPin {
    /// The hash of its NAR: one executable file.
    pub nar_hash: Sri,
}

/// recrate's static programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProgramPins {
    /// See [`Plan::builder`].
    pub builder: ProgramPin,
    /// See [`Plan::fetcher`].
    pub fetcher: ProgramPin,
    /// See [`Plan::judge`].
    pub judge: ProgramPin,
}

/// A commit, and what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitPin {
    /// Where it is fetched from.
    pub repository: RepositoryUrl,
    /// The commit object, in base64. The builder hashes it.
    pub object: Base64,
    /// The hash of the file of all its trees: see [`crate::contract::trees`].
    pub trees: Sri,
    /// Its sources: the hash of the NAR of what packaging from a folder reads, by that folder; see
    /// [`crate::contract::lean`]. The root's is the whole commit, as `builtins.fetchGit` would give it.
    pub sources: BTreeMap<SubPath, Sri>,
}

/// A file that a commit has only a pointer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LfsObject {
    /// The repository whose LFS server is asked for it.
    pub repository: RepositoryUrl,
    /// Its length in bytes.
    pub size: u64,
}

/// A package of the lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedPackage {
    /// Which package it is.
    #[serde(flatten)]
    pub key: PackageKey,
    /// The checksum that the lock file has.
    pub locked_checksum: Option<Sha256>,
    /// The checksum that its bytes must have: the lock file's, or else the index's.
    pub checksum: Option<Sha256>,
    /// How it is rebuilt, or why it can't be.
    pub build: Build,
}

/// How a package is rebuilt, or why it can't be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Build {
    /// It is rebuilt.
    Rebuild(Box<PlannedRebuild>),
    /// It can't be.
    Obstacle(Box<Obstacle>),
}

/// A rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedRebuild {
    /// The checksum that the published crate's bytes must have. No rebuild sees it.
    pub checksum: Sha256,
    /// Where the published crate can be fetched; none where the registry is a folder.
    pub url: Option<String>,
    /// What a build can't show.
    pub claims: Claims,
    /// How it is built.
    pub recipe: PlannedRecipe,
}

/// How a package is rebuilt: the five inputs that a `.crate` is a function of, by their names in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedRecipe {
    /// Which cargo.
    pub toolchain: String,
    /// Which commit.
    pub commit: CommitId,
    /// Which source of it: the root's is the whole commit, the package's folder's a lean one.
    pub source_folder: SubPath,
    /// The package's folder.
    pub package_path: SubPath,
    /// Which index slice: an [`IndexPin::key`].
    pub index: Sri,
    /// How the slice, and with it Cargo.lock, came about.
    pub index_mode: IndexMode,
    /// How the publisher's git checked the commit out.
    pub checkout: Checkout,
    /// The LFS objects that replace their pointers, by path relative to the repository: their sha256.
    pub lfs: BTreeMap<String, Sri>,
    /// The submodules that were checked out, by path: each is a gitlink of the commit, or of a submodule above it.
    pub submodules: BTreeMap<SubPath, CommitId>,
    /// What members of the workspace take from git, as the commit's own Cargo.lock, or a manifest by a full `rev`, says.
    pub git_dependencies: Vec<GitDependency>,
    /// What is removed from manifests of other packages of the workspace so that cargo can load it, by folder.
    pub prune: Pruned,
    /// Whether cargo is told to pass over uncommitted changes: what the crate's own vcs info says.
    pub allow_dirty: bool,
    /// Whether it is packaged as from outside of git: cargo writes no vcs info then.
    pub outside_git: bool,
    /// Whether cargo is told to leave Cargo.lock out (from 1.87 on): the published crate has none.
    pub exclude_lockfile: bool,
    /// The published Cargo.lock, where it is an input.
    pub published_lockfile: Option<PublishedLockfile>,
}

/// Packages that cargo wants from git in order to load a workspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitDependency {
    /// The commit.
    pub commit: CommitId,
    /// The folders of the packages in it.
    pub packages: Vec<SubPath>,
    /// What the manifests ask for.
    pub reference: Reference,
    /// The address, as manifests and lock file have it.
    pub url: String,
}

impl PlannedRecipe {
    /// The commits that are needed besides the package's own.
    pub fn extra_commits(&self) -> impl Iterator<Item = CommitId> {
        self.submodules.values().copied().chain(self.git_dependencies.iter().map(|dependency| dependency.commit))
    }

    /// The sources that it is made of. What is not packaged is whole.
    pub fn sources(&self) -> impl Iterator<Item = (CommitId, SubPath)> {
        let extra = self.extra_commits().map(|commit| (commit, SubPath::default()));
        extra.chain([(self.commit, self.source_folder.clone())])
    }

    /// What it assumes; nothing for the strongest claim. `binaries`: whether the package has some.
    #[must_use]
    pub fn conditions(&self, binaries: bool) -> Vec<Condition> {
        let index = match self.index_mode {
            IndexMode::AtPublication => None,
            IndexMode::WithSiblings => Some(Condition::IndexWithSiblings),
            IndexMode::WithYanked => Some(Condition::YankedRestored),
            IndexMode::MinutesBefore => Some(Condition::IndexMinutesBefore),
            IndexMode::AtNewestLocked => Some(Condition::IndexAtNewestLocked),
            IndexMode::PublishedLock => Some(Condition::PublishedLockfile { binaries }),
        };
        let lockfile = self.published_lockfile.as_ref().filter(|_| self.index_mode != IndexMode::PublishedLock);
        let conditions = [
            index,
            lockfile.map(|_| Condition::PublishedLockfile { binaries }),
            checkout::condition(&self.checkout),
            (!self.lfs.is_empty()).then_some(Condition::LfsObjects),
            (!self.submodules.is_empty()).then_some(Condition::Submodules),
            WorkspaceView::of(&self.prune).condition(),
            self.allow_dirty.then_some(Condition::AllowDirty),
            self.exclude_lockfile.then_some(Condition::ExcludeLockfile),
        ];
        conditions.into_iter().flatten().collect()
    }
}

/// How Cargo.lock comes about, the strongest claim first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexMode {
    /// From the index as it was right before publication.
    AtPublication,
    /// The same, with what came out together with it and is in the published Cargo.lock.
    WithSiblings,
    /// From the index right before publication, with versions of the published Cargo.lock taken as not yanked.
    WithYanked,
    /// From the index as it was some minutes before publication.
    MinutesBefore,
    /// From the index as it was when the newest entry of the published Cargo.lock appeared.
    AtNewestLocked,
    /// From the published Cargo.lock, which was put into the worktree: an input that git does not have.
    PublishedLock,
}

impl IndexMode {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 6] = [
        Self::AtPublication,
        Self::WithSiblings,
        Self::WithYanked,
        Self::MinutesBefore,
        Self::AtNewestLocked,
        Self::PublishedLock,
    ];
}

impl fmt::Display for IndexMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtPublication => "index as of publication",
            Self::WithSiblings => "the same, with versions published within a minute after it",
            Self::WithYanked => "the same, with since yanked versions restored",
            Self::MinutesBefore => "index as of ten minutes before",
            Self::AtNewestLocked => "index as of the newest locked version",
            Self::PublishedLock => "published Cargo.lock as input",
        })
    }
}

impl Plan {
    /// A plan for a lock file, without packages.
    #[must_use]
    pub fn new(system: String, pins: ProgramPins) -> Self {
        let ProgramPins { builder, fetcher, judge } = pins;
        Self {
            schema: SCHEMA,
            system,
            lockfile: None,
            builder,
            fetcher,
            judge,
            toolchains: BTreeMap::new(),
            commits: BTreeMap::new(),
            lfs_objects: BTreeMap::new(),
            indexes: BTreeMap::new(),
            packages: BTreeMap::new(),
            skipped: Vec::new(),
        }
    }

    /// Adds a package that is rebuilt, with everything that needs.
    pub fn add_rebuild(&mut self, locked: &LockedPackage, checksum: Sha256, inputs: &Inputs) {
        let recipe = &inputs.recipe;
        self.toolchains.insert(recipe.toolchain.clone(), inputs.toolchain.clone());
        for (commit, pin) in inputs.extra_commits.iter().chain([(&recipe.commit, &inputs.commit)]) {
            let pinned = self.commits.entry(*commit).or_insert_with(|| pin.clone());
            pinned.sources.extend(pin.sources.clone());
        }
        self.lfs_objects.extend(inputs.lfs_objects.iter().map(|(hash, object)| (*hash, object.clone())));
        self.indexes.insert(recipe.index, inputs.index.clone());
        let (url, claims) = (inputs.url.clone(), inputs.claims.clone());
        let rebuild = PlannedRebuild { checksum, url, claims, recipe: recipe.clone() };
        self.add(locked, Some(checksum), Build::Rebuild(Box::new(rebuild)));
    }

    /// Adds a package that can't be rebuilt.
    pub fn add_obstacle(&mut self, locked: &LockedPackage, checksum: Option<Sha256>, obstacle: Obstacle) {
        self.add(locked, checksum, Build::Obstacle(Box::new(obstacle)));
    }

    fn add(&mut self, locked: &LockedPackage, checksum: Option<Sha256>, build: Build) {
        let LockedPackage { key, checksum: locked_checksum } = locked.clone();
        self.packages.insert(key.job(), PlannedPackage { key, locked_checksum, checksum, build });
    }

    /// The rebuilds, by job.
    pub fn rebuilds(&self) -> impl Iterator<Item = (&String, &PlannedPackage, &PlannedRebuild)> {
        self.packages.iter().filter_map(|(job, package)| match &package.build {
            Build::Rebuild(rebuild) => Some((job, package, rebuild.as_ref())),
            Build::Obstacle(_) => None,
        })
    }

    /// What the plan is about, as a lock file has it.
    #[must_use]
    pub fn locked(&self) -> Locked {
        let locked =
            |package: &PlannedPackage| LockedPackage { key: package.key.clone(), checksum: package.locked_checksum };
        Locked { packages: self.packages.values().map(locked).collect(), skipped: self.skipped.clone() }
    }

    /// The part of the plan that these jobs need.
    #[must_use]
    pub fn only(&self, jobs: &BTreeSet<&str>) -> Self {
        /// What a map has of some keys.
        fn some<K: Ord + Clone, V: Clone>(map: &BTreeMap<K, V>, keys: impl IntoIterator<Item = K>) -> BTreeMap<K, V> {
            keys.into_iter().filter_map(|key| Some((key.clone(), map.get(&key)?.clone()))).collect()
        }
        let packages = some(&self.packages, jobs.iter().map(|job| (*job).to_owned()));
        let recipes = || {
            packages.values().filter_map(|package| match &package.build {
                Build::Rebuild(rebuild) => Some(&rebuild.recipe),
                Build::Obstacle(_) => None,
            })
        };
        let mut commits: BTreeMap<CommitId, CommitPin> = BTreeMap::new();
        for (id, folder) in recipes().flat_map(PlannedRecipe::sources) {
            let Some((pin, hash)) = self.commits.get(&id).and_then(|pin| Some((pin, pin.sources.get(&folder)?))) else {
                continue;
            };
            let only = || CommitPin { sources: BTreeMap::new(), ..pin.clone() };
            commits.entry(id).or_insert_with(only).sources.insert(folder, *hash);
        }
        Self {
            schema: self.schema,
            system: self.system.clone(),
            lockfile: None,
            builder: self.builder,
            fetcher: self.fetcher,
            judge: self.judge,
            toolchains: some(&self.toolchains, recipes().map(|recipe| recipe.toolchain.clone())),
            lfs_objects: some(&self.lfs_objects, recipes().flat_map(|recipe| recipe.lfs.values().copied())),
            indexes: some(&self.indexes, recipes().map(|recipe| recipe.index)),
            commits,
            packages,
            skipped: Vec::new(),
        }
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// Where the text is not a plan, or one that contradicts itself, in a few words.
    pub fn read(text: &str) -> Result<Self, String> {
        let any: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("this is not a plan of recrate: {error}"))?;
        match any.get("schema") {
            None => return Err("this is not a plan of recrate: it has no schema".to_owned()),
            Some(schema) if *schema != SCHEMA => {
                let new = "`recrate plan` writes a new one";
                return Err(format!("this plan has schema {schema}, this recrate reads schema {SCHEMA}; {new}"));
            }
            Some(_) => {}
        }
        let plan: Self =
            serde_json::from_value(any).map_err(|error| format!("this plan is not as its schema says: {error}"))?;
        plan.check()?;
        Ok(plan)
    }

    /// Whether every package has its own job, and they are those of the plan's lock file, as `nix/plan.nix` checks, too.
    fn check(&self) -> Result<(), String> {
        for (job, package) in &self.packages {
            let own = package.key.job();
            if own != *job {
                return Err(format!("this plan has {} as {job}, which is {own}", package.key));
            }
            if let Build::Rebuild(rebuild) = &package.build
                && Some(rebuild.checksum) != package.checksum
            {
                return Err(format!("this plan has two checksums for {}", package.key));
            }
            if let Build::Rebuild(rebuild) = &package.build
                && rebuild.recipe.index_mode != IndexMode::PublishedLock
                && self.indexes.get(&rebuild.recipe.index).is_some_and(|pin| !pin.pinned.is_empty())
            {
                return Err(format!("this plan leaves versions out of the index of {} without saying so", package.key));
            }
            let other = package.locked_checksum.filter(|checksum| Some(*checksum) != package.checksum);
            if other.is_some() {
                return Err(format!("this plan has another checksum for {} than its lock file", package.key));
            }
        }
        if let Some(skipped) = self.skipped.iter().find(|skipped| !skipped.is_what_its_source_says()) {
            return Err(format!("this plan skips {}, which has a source that may be a registry", skipped.name));
        }
        if self.lockfile.is_some_and(|digest| digest != coverage::digest(&self.locked())) {
            return Err("this plan does not have the packages of the lock file that it is for".to_owned());
        }
        Ok(())
    }

    /// The plan's bytes: pretty JSON, a newline at the end.
    ///
    /// # Panics
    /// Never: the plan is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data with string keys") + "\n"
    }
}

/// A recipe with what its names stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// The recipe.
    pub recipe: PlannedRecipe,
    /// Its cargo.
    pub toolchain: Toolchain,
    /// Its commit.
    pub commit: CommitPin,
    /// The commits that it needs besides.
    pub extra_commits: BTreeMap<CommitId, CommitPin>,
    /// The LFS objects that it needs.
    pub lfs_objects: BTreeMap<Sri, LfsObject>,
    /// Its index slice.
    pub index: IndexPin,
    /// Where the published crate can be fetched.
    pub url: Option<String>,
    /// What a build can't show.
    pub claims: Claims,
}
