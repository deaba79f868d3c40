//! *Plan*: everything that decides the builds, written down. Whoever has the plan can build without recrate.
//!
//! The JSON has no clock, no path of a machine and no "unknown" in it; maps are sorted, so the same plan is the same
//! bytes. `nix/plan.nix` reads it; `docs/plan.schema.json` describes it.

mod facts;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::checkout::Checkout;
use super::lock::Skipped;
use super::slice::{Cut, Index, Slice, UNDERSTANDS_FORMAT_2, Wanted, Yanked, cut, index_path};
use super::toolchain::Toolchain;
use super::verdict::{Record, Verdict};
use super::workspace::Others;
use crate::builder::further::Reference;
use crate::builder::left_out::Spare;
use crate::model::digest::{Sha256, Sri};
use crate::model::krate::{CrateId, CrateName};
use crate::model::release::Minor;
use crate::model::source::{CommitId, RepositoryUrl, SubPath};

pub use facts::{Facts, Reach};

/// The version of the format.
pub const SCHEMA: u32 = 1;

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The Nix system that the toolchains run on, like `x86_64-linux`.
    pub system: String,
    /// recrate's static builder.
    pub builder: ProgramPin,
    /// recrate's static fetcher: it brings commits, LFS objects and index slices where the store lacks them. What it brings is
    /// pinned, so no rebuild's output depends on it.
    pub fetcher: ProgramPin,
    /// recrate's static judge: it compares the rebuilt crates with the published ones.
    pub judge: ProgramPin,
    /// The cargos, by the name that rebuilds use.
    pub toolchains: BTreeMap<String, Toolchain>,
    /// The commits, by id.
    pub sources: BTreeMap<CommitId, Source>,
    /// The LFS objects, by their sha256.
    pub lfs_objects: BTreeMap<Sri, LfsObject>,
    /// The index slices, by [`IndexPin::key`].
    pub indexes: BTreeMap<Sri, IndexPin>,
    /// The rebuilds, by [`CrateId::job`].
    pub rebuilds: BTreeMap<String, Rebuild>,
    /// The crates that there is nothing to rebuild of, by [`CrateId::job`], with the verdict that was found.
    pub settled: BTreeMap<String, Record>,
    /// The packages of the lock file that have no published crate.
    pub skipped: Vec<Skipped>,
}

/// A static program of recrate's that Nix runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProgramPin {
    /// The hash of its NAR: one executable file.
    pub nar_hash: Sri,
}

/// A commit, and what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// Where it was asked for.
    pub repository: RepositoryUrl,
    /// The hash of the NAR of its files, as `builtins.fetchGit` would give it.
    pub nar_hash: Sri,
    /// The commit object, in base64. The builder hashes it.
    pub commit_object: String,
    /// Submodules, by path: the commit that the tree names. Their folders are empty.
    pub submodules: BTreeMap<String, CommitId>,
}

impl Source {
    /// A commit, by its object and what its files come to.
    #[must_use]
    pub fn of(repository: RepositoryUrl, commit: &[u8], nar_hash: Sri, submodules: BTreeMap<String, CommitId>) -> Self {
        Self { repository, nar_hash, commit_object: BASE64.encode(commit), submodules }
    }

    /// The submodules as the builder reads them: lines of a commit id, a space and a path.
    #[must_use]
    pub fn gitlinks(&self) -> String {
        self.submodules.iter().map(|(path, commit)| format!("{commit} {path}\n")).collect()
    }
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
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every key is a string and every value plain data, so this can't fail.
        serde_json::to_value(self).unwrap_or_default().to_string()
    }

    /// What rebuilds call it: the hash of the pin. Two pins can come to the same slice.
    #[must_use]
    pub fn key(&self) -> Sri {
        Sri(Sha256::of(self.to_json().as_bytes()))
    }
}

/// One rebuild: a crate and the recipe for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rebuild {
    /// The crate's name.
    pub name: CrateName,
    /// Its version.
    pub version: semver::Version,
    /// The registry's checksum. No rebuild sees it.
    pub checksum: Sha256,
    /// Where the published crate can be fetched; none where the registry is a folder.
    pub url: Option<String>,
    /// What the verdict has to know besides the two crates.
    pub facts: Facts,
    /// How it is built.
    pub recipe: Recipe,
}

impl Rebuild {
    /// Name and version.
    #[must_use]
    pub fn id(&self) -> CrateId {
        CrateId { name: self.name.clone(), version: self.version.clone() }
    }
}

/// How a crate is rebuilt: the five inputs that a `.crate` is a function of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recipe {
    /// Which cargo.
    pub toolchain: String,
    /// Which commit.
    pub source: CommitId,
    /// The package's folder.
    pub package_path: SubPath,
    /// Which index slice: an [`IndexPin::key`].
    pub index: Sri,
    /// How the slice, and with it Cargo.lock, came about.
    pub index_mode: IndexMode,
    /// How the publisher's git checked the commit out.
    pub checkout: Checkout,
    /// The submodules that were checked out, too, by path: each is a gitlink of the commit, or of a submodule above it.
    pub submodules: BTreeMap<String, CommitId>,
    /// What members of the workspace take from git, as the commit's own Cargo.lock, or a manifest by a full `rev`, says.
    pub git_dependencies: Vec<GitDependency>,
    /// What is taken out of manifests of other packages of the workspace so that cargo can load it, by folder.
    pub left_out: BTreeMap<SubPath, Spare>,
    /// Whether cargo is told to pass over uncommitted changes: what the crate's own vcs info says.
    pub allow_dirty: bool,
    /// Whether it is packaged as from outside of git: cargo leaves no note of a commit then.
    pub outside_git: bool,
    /// Whether cargo is told to leave Cargo.lock out (from 1.87 on): the published crate has none.
    pub exclude_lockfile: bool,
    /// The published Cargo.lock, where it is an input; empty otherwise.
    #[serde(default)]
    pub lock: String,
    /// Where it is put before cargo runs.
    #[serde(default)]
    pub lock_paths: Vec<String>,
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

impl Recipe {
    /// The commits that are needed besides the package's own.
    pub fn further(&self) -> impl Iterator<Item = CommitId> {
        self.submodules.values().copied().chain(self.git_dependencies.iter().map(|dependency| dependency.commit))
    }

    /// The conditions that a verdict names; none for the strongest claim. `dirty` as the crate itself says.
    #[must_use]
    pub fn conditions(&self, dirty: bool) -> Vec<String> {
        let index_mode = self.index_mode.condition().map(str::to_owned);
        let submodules = (!self.submodules.is_empty()).then(|| "with submodules checked out".to_owned());
        let dirty = dirty.then(|| "with --allow-dirty, as published".to_owned());
        let alone = Others::of(&self.left_out).condition().map(str::to_owned);
        let checkout = self.checkout.conditions().into_iter();
        index_mode.into_iter().chain(checkout).chain([submodules, alone, dirty].into_iter().flatten()).collect()
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

    /// The condition that a verdict names; nothing for the strongest claim.
    #[must_use]
    pub fn condition(self) -> Option<&'static str> {
        match self {
            Self::AtPublication => None,
            Self::WithSiblings => Some("with versions that came out within a minute after it"),
            Self::WithYanked => Some("with since yanked versions restored"),
            Self::MinutesBefore => Some("with the index as of ten minutes before"),
            Self::AtNewestLocked => Some("with the index as of the newest locked version"),
            Self::PublishedLock => Some("with the published Cargo.lock as input"),
        }
    }
}

impl Plan {
    /// A plan without rebuilds.
    #[must_use]
    pub fn new(system: String, [builder, fetcher, judge]: [ProgramPin; 3]) -> Self {
        Self {
            schema: SCHEMA,
            system,
            builder,
            fetcher,
            judge,
            toolchains: BTreeMap::new(),
            sources: BTreeMap::new(),
            lfs_objects: BTreeMap::new(),
            indexes: BTreeMap::new(),
            rebuilds: BTreeMap::new(),
            settled: BTreeMap::new(),
            skipped: Vec::new(),
        }
    }

    /// Adds a rebuild with everything it needs.
    pub fn add(&mut self, id: &CrateId, checksum: Sha256, inputs: &Inputs) {
        self.toolchains.insert(inputs.recipe.toolchain.clone(), inputs.toolchain.clone());
        self.sources.insert(inputs.recipe.source, inputs.source.clone());
        self.sources.extend(inputs.further.iter().map(|(commit, source)| (*commit, source.clone())));
        self.lfs_objects.extend(inputs.lfs_objects.iter().map(|(hash, object)| (*hash, object.clone())));
        self.indexes.insert(inputs.recipe.index, inputs.index.clone());
        let rebuild = Rebuild {
            name: id.name.clone(),
            version: id.version.clone(),
            checksum,
            url: inputs.url.clone(),
            facts: inputs.facts.clone(),
            recipe: inputs.recipe.clone(),
        };
        self.rebuilds.insert(id.job(), rebuild);
    }

    /// Adds a crate that there is nothing to rebuild of. What could not be found out is no part of a plan.
    pub fn settle(&mut self, record: &Record) {
        if !matches!(record.verdict, Verdict::Inconclusive { .. }) {
            self.settled.insert(record.id().job(), record.clone());
        }
    }

    /// The part of the plan that these jobs need.
    #[must_use]
    pub fn only(&self, jobs: &BTreeSet<&str>) -> Self {
        let mut part = self.clone();
        part.rebuilds.retain(|job, _| jobs.contains(job.as_str()));
        part.settled.retain(|job, _| jobs.contains(job.as_str()));
        let recipes = || part.rebuilds.values().map(|rebuild| &rebuild.recipe);
        part.toolchains.retain(|name, _| recipes().any(|recipe| recipe.toolchain == *name));
        let commits: BTreeSet<CommitId> =
            recipes().flat_map(|recipe| recipe.further().chain([recipe.source])).collect();
        part.sources.retain(|commit, _| commits.contains(commit));
        part.lfs_objects.retain(|hash, _| recipes().any(|recipe| recipe.checkout.lfs.values().any(|one| one == hash)));
        part.indexes.retain(|key, _| recipes().any(|recipe| recipe.index == *key));
        part
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// Where the text is none, in a few words.
    pub fn read(text: &str) -> Result<Self, String> {
        let any: serde_json::Value =
            serde_json::from_str(text).map_err(|error| format!("this is no plan of recrate: {error}"))?;
        match any.get("schema") {
            None => return Err("this is no plan of recrate: it has no schema".to_owned()),
            Some(schema) if *schema != SCHEMA => {
                return Err(format!("this plan has schema {schema}, this recrate reads schema {SCHEMA}"));
            }
            Some(_) => {}
        }
        serde_json::from_value(any).map_err(|error| format!("this plan is not as its schema says: {error}"))
    }

    /// The plan's bytes: pretty JSON, a newline at the end.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every key is a string and every value plain data, so this can't fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// A recipe with what its names stand for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// The recipe.
    pub recipe: Recipe,
    /// Its cargo.
    pub toolchain: Toolchain,
    /// Its commit.
    pub source: Source,
    /// The commits that it needs besides.
    pub further: BTreeMap<CommitId, Source>,
    /// The LFS objects that it needs.
    pub lfs_objects: BTreeMap<Sri, LfsObject>,
    /// Its index slice.
    pub index: IndexPin,
    /// Where the published crate can be fetched.
    pub url: Option<String>,
    /// What the verdict has to know.
    pub facts: Facts,
}
