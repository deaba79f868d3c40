//! The recipe: what a rebuild's derivation tells the builder, as one JSON document.
//!
//! Two generators write it, `stages/derivation.rs` and `nix/plan.nix`, and both must write the same bytes: compact, keys
//! sorted, as `builtins.toJSON` does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::checkout::Checkout;
use super::prune::Pruned;
use crate::model::commit::CommitId;
use crate::model::release::Minor;
use crate::model::sub_path::SubPath;

/// How a rebuild is made. Paths are store paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recipe {
    /// Whether cargo is told to pass over uncommitted changes: what the crate's own vcs info says.
    pub allow_dirty: bool,
    /// The cargo's folder, with `bin/cargo` and the libraries that it links in `lib`.
    pub cargo: PathBuf,
    /// Its release, as `1.N.P`.
    pub cargo_release: String,
    /// How the commit is checked out.
    pub checkout: Checkout,
    /// The package's commit.
    pub commit: CommitInput,
    /// Whether cargo is told to leave Cargo.lock out (from 1.87 on): the published crate has none.
    pub exclude_lockfile: bool,
    /// What members of the workspace take from git.
    pub git_dependencies: Vec<GitDependencyInput>,
    /// The index slice, as a cargo local registry.
    pub index: PathBuf,
    /// LFS objects that are put in place of the pointers at these paths.
    pub lfs: BTreeMap<String, PathBuf>,
    /// Whether it is packaged as from outside of git: cargo writes no vcs info then.
    pub outside_git: bool,
    /// The package's name.
    pub package_name: String,
    /// The package's folder.
    pub package_path: SubPath,
    /// What is removed from other manifests of the workspace.
    pub prune: Pruned,
    /// The published Cargo.lock, where it is an input.
    pub published_lockfile: Option<PublishedLockfile>,
    /// The submodules that are checked out, by path.
    pub submodules: BTreeMap<SubPath, CommitInput>,
}

/// A commit, and what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitInput {
    /// The folder of which `source` has everything, with what packaging from it reads besides: see [`super::lean`]. The root
    /// for the whole commit.
    pub folder: SubPath,
    /// Its id.
    pub id: CommitId,
    /// The commit object, in base64.
    pub object: Base64,
    /// The folder with its files; those of submodules are empty.
    pub source: PathBuf,
    /// The file of all its trees: see [`super::trees`].
    pub trees: PathBuf,
}

/// Packages that cargo wants from git in order to load a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitDependencyInput {
    /// The commit.
    pub commit: CommitInput,
    /// The folders of the packages in it.
    pub packages: Vec<SubPath>,
    /// What the manifests ask for.
    pub reference: Reference,
    /// The address, as manifests and lock file have it.
    pub url: String,
}

/// A published Cargo.lock that is put into the worktree before cargo runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishedLockfile {
    /// Its text, in base64.
    pub content: Base64,
    /// How cargo completes it before it packages.
    pub completion: Completion,
    /// The folders that it is put into: the package's and its workspace's.
    pub folders: BTreeSet<SubPath>,
}

/// How cargo completes a published Cargo.lock. It is a part of the workspace's: what the other members need is not in it, and
/// what cargo adds for them must not push up what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completion {
    /// By `cargo update --workspace`, which cargo has from 1.50 on.
    UpdateWorkspace,
    /// By a first `cargo package`, whose crate is thrown away.
    PackageTwice,
}

/// What a manifest asks a git repository for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// The default branch.
    Default,
    /// A branch.
    Branch(String),
    /// A tag.
    Tag(String),
    /// A commit or whatever else git takes.
    Rev(String),
}

/// The first cargo that starts from the workspace's Cargo.lock; older ones resolve a member afresh (rust-lang/cargo #11477).
pub const WORKSPACE_LOCK: Minor = Minor(68);

/// Bytes that JSON carries in base64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Base64(pub Vec<u8>);

impl TryFrom<String> for Base64 {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        BASE64.decode(text).map(Self)
    }
}

impl From<Base64> for String {
    fn from(bytes: Base64) -> Self {
        BASE64.encode(bytes.0)
    }
}

impl Recipe {
    /// The recipe's bytes in a derivation.
    ///
    /// # Panics
    /// Never: every key is a string and every path that recrate makes is UTF-8.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Through a value, which sorts the keys.
        serde_json::to_value(self).expect("plain data with string keys").to_string()
    }

    /// The commits besides the package's own.
    pub fn extra_commits(&self) -> impl Iterator<Item = &CommitInput> {
        self.submodules.values().chain(self.git_dependencies.iter().map(|dependency| &dependency.commit))
    }

    /// Every store path that the recipe names.
    pub fn store_paths(&self) -> impl Iterator<Item = &Path> {
        let commits = self.extra_commits().chain([&self.commit]);
        let commits = commits.flat_map(|commit| [&commit.source, &commit.trees]);
        commits.chain(self.lfs.values()).chain([&self.cargo, &self.index]).map(PathBuf::as_path)
    }
}
