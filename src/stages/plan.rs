//! *Plan*: everything that decides the rebuilds of a lock file, written down. Whoever has the plan can build without recrate.
//!
//! Every package of the lock file is in it, with how it is rebuilt or why it can't be. Nothing in a plan can say that contents
//! are the same: only a build and a comparison can. The JSON has no clock, no path of a machine and no "unknown" that decides a
//! build; maps are sorted, so the same plan is the same bytes. `nix/plan.nix` reads it; `docs/plan.schema.json` describes it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::checkout;
use super::claims::{Claims, Obstacle};
use super::coverage;
use super::findings::Condition;
use super::index::{Index, index_path};
use super::lock::{Locked, LockedPackage, Skipped};
use super::slice::{Cut, Slice, UNDERSTANDS_FORMAT_2, Wanted, Yanked, cut};
use super::toolchain::Toolchain;
use super::workspace::WorkspaceView;
use crate::contract::checkout::Checkout;
use crate::contract::prune::Pruned;
use crate::contract::recipe::{Base64, PublishedLockfile, Reference};
use crate::model::commit::CommitId;
use crate::model::digest::{Sha256, Sri};
use crate::model::krate::CrateName;
use crate::model::package::PackageKey;
use crate::model::release::Minor;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;

/// The version of the format.
pub const SCHEMA: u32 = 2;

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
    /// The hash of the NAR of its files, as `builtins.fetchGit` would give it.
    pub nar_hash: Sri,
    /// The commit object, in base64. The builder hashes it.
    pub object: Base64,
    /// Submodules, by path: the commit that the tree names. Their folders are empty.
    pub gitlinks: BTreeMap<String, CommitId>,
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

/// An index slice: its hash, and how it is cut out of the default registry's index again, whatever came later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IndexPin {
    /// The hash of the slice's NAR.
    pub nar_hash: Sri,
    /// When the newest of its lines was published: it has nothing newer, but for `late`. None where the registry does
    /// not say.
    pub until: Option<Timestamp>,
    /// Versions that are in it although they are newer.
    pub late: BTreeMap<CrateName, BTreeSet<Version>>,
    /// Whether it has lines of the index's second format, which old cargos would misread.
    pub second_format: bool,
    /// The crates in it.
    pub names: BTreeSet<CrateName>,
    /// What is required of them to begin with; what they require of each other follows from their lines.
    pub requirements: BTreeMap<CrateName, BTreeSet<String>>,
    /// Versions that are in it whatever is required.
    pub locked: BTreeMap<CrateName, BTreeSet<Version>>,
    /// The versions that it takes to be yanked, as `name@version`.
    pub yanked: BTreeSet<String>,
}

impl IndexPin {
    /// Pins a slice that was cut out of an index for `wanted`. As far as possible the pin is what the slice is, not how
    /// it came about: the same slice is to have the same pin.
    #[must_use]
    pub fn of(slice: &Slice, wanted: &Wanted, cargo: Minor) -> Self {
        let has = |name: &CrateName| slice.files.contains_key(&index_path(name));
        let mut requirements: BTreeMap<CrateName, BTreeSet<String>> = BTreeMap::new();
        for (name, versions) in wanted.requirements.iter().filter(|(name, _)| has(name)) {
            requirements.entry(name.clone()).or_default().insert(versions.to_string());
        }
        let named = wanted.names.iter().chain(requirements.keys()).chain(wanted.locked.keys());
        let names: BTreeSet<CrateName> = named.filter(|name| has(name)).cloned().collect();
        let those = |versions: &BTreeMap<CrateName, BTreeSet<Version>>| {
            versions.iter().filter(|(name, _)| has(name)).map(|(name, them)| (name.clone(), them.clone())).collect()
        };
        let newest = |name: &CrateName| slice.files.get(&index_path(name))?.newest(wanted.late.get(name));
        Self {
            nar_hash: slice.nar_hash(),
            until: names.iter().filter_map(newest).max(),
            late: those(&wanted.late),
            second_format: slice.files.is_empty() || cargo >= UNDERSTANDS_FORMAT_2,
            names,
            locked: those(&wanted.locked),
            requirements,
            yanked: slice.yanked.iter().cloned().collect(),
        }
    }

    /// Cuts the same slice again out of the registry's lines of its crates.
    #[must_use]
    pub fn cut(&self, index: &Index) -> Slice {
        let cargo = if self.second_format { UNDERSTANDS_FORMAT_2 } else { Minor(0) };
        cut(index, &self.wanted(), self.until.map(Cut::Until), cargo)
    }

    fn wanted(&self) -> Wanted {
        let of = |(name, versions): (&CrateName, &BTreeSet<String>)| -> Vec<(CrateName, VersionReq)> {
            versions.iter().filter_map(|text| Some((name.clone(), text.parse().ok()?))).collect()
        };
        Wanted {
            names: self.names.clone(),
            locked: self.locked.clone(),
            late: self.late.clone(),
            requirements: self.requirements.iter().flat_map(of).collect(),
            yanked: Yanked::Just(self.yanked.clone()),
        }
    }

    /// The pin as the fetcher gets it: JSON with sorted keys, as Nix writes it.
    ///
    /// # Panics
    /// Never: the pin is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_value(self).expect("plain data with string keys").to_string()
    }

    /// What recipes call it: the hash of the pin. Two pins can come to the same slice.
    #[must_use]
    pub fn key(&self) -> Sri {
        Sri(Sha256::of(self.to_json().as_bytes()))
    }
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
        self.commits.insert(recipe.commit, inputs.commit.clone());
        self.commits.extend(inputs.extra_commits.iter().map(|(commit, pin)| (*commit, pin.clone())));
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
        let mut part = self.clone();
        part.packages.retain(|job, _| jobs.contains(job.as_str()));
        part.lockfile = None;
        part.skipped.clear();
        let recipes: Vec<PlannedRecipe> = part.rebuilds().map(|(_, _, rebuild)| rebuild.recipe.clone()).collect();
        part.toolchains.retain(|name, _| recipes.iter().any(|recipe| recipe.toolchain == *name));
        let commits: BTreeSet<CommitId> =
            recipes.iter().flat_map(|recipe| recipe.extra_commits().chain([recipe.commit])).collect();
        part.commits.retain(|commit, _| commits.contains(commit));
        part.lfs_objects.retain(|hash, _| recipes.iter().any(|recipe| recipe.lfs.values().any(|one| one == hash)));
        part.indexes.retain(|key, _| recipes.iter().any(|recipe| recipe.index == *key));
        part
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
