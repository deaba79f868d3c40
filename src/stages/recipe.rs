//! *Recipe*: what is known of a package becomes the inputs of one attempt to rebuild it.

use std::collections::{BTreeMap, BTreeSet};

use semver::VersionReq;

use super::claims::Claims;
use super::index::Index;
use super::lock_evidence::{GAP, LockEvidence};
use super::plan::{CommitPin, GitDependency, IndexMode, IndexPin, Inputs, LfsObject, PlannedRecipe};
use super::search::{Attempt, Source};
use super::slice::{Closure, Cut, Slice, Wanted, Yanked, cut, left_out};
use super::toolchain::Toolchain;
use super::workspace::WorkspaceView;
use super::yanked_since::yanked_since;
use crate::contract::checkout::Checkout;
use crate::contract::prune::Pruned;
use crate::contract::recipe::{Base64, Completion, PublishedLockfile};
use crate::model::commit::CommitId;
use crate::model::digest::Sri;
use crate::model::krate::CrateName;
use crate::model::release::{Minor, Span};
use crate::model::sub_path::SubPath;

/// The first cargo that has `--exclude-lockfile`.
const EXCLUDES_LOCKFILE: Minor = Minor(87);

/// The first cargo that has `cargo update --workspace`.
const UPDATES_WORKSPACE: Minor = Minor(50);

/// The cargos that write no vcs info with `--allow-dirty` (rust-lang/cargo #6280, #13960).
const NO_VCS_INFO_WHERE_DIRTY: Span = Span::between(32, 80);

/// Everything about a package that recipes are made of.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// The commit.
    pub commit: CommitId,
    /// What proves it.
    pub pin: CommitPin,
    /// The package's folder.
    pub package_path: SubPath,
    /// How the publisher checked it out.
    pub checkout: Checkout,
    /// The LFS objects that replaced their pointers, by path.
    pub lfs: BTreeMap<String, Sri>,
    /// Where those are fetched.
    pub lfs_objects: BTreeMap<Sri, LfsObject>,
    /// The submodules, by path.
    pub submodules: BTreeMap<SubPath, CommitId>,
    /// What members of the workspace take from git.
    pub git_dependencies: Vec<GitDependency>,
    /// The commits of both.
    pub extra_commits: BTreeMap<CommitId, CommitPin>,
    /// What is removed of the workspace for [`WorkspaceView::Pruned`].
    pub pruned: Pruned,
    /// The same for [`WorkspaceView::Stripped`].
    pub stripped: Pruned,
    /// The published Cargo.lock.
    pub lock: Option<String>,
    /// Where it would be put.
    pub lock_folders: BTreeSet<SubPath>,
    /// What it says.
    pub lock_evidence: LockEvidence,
    /// What cargo may ask of the index.
    pub wanted: Wanted,
    /// Whether the vcs info says that there were uncommitted changes.
    pub dirty: bool,
    /// Where the published crate can be fetched.
    pub url: Option<String>,
    /// What a build can't show.
    pub claims: Claims,
}

/// What one attempt needs of the index, before it is cut.
#[derive(Debug, Clone)]
pub struct IndexNeed {
    wanted: Wanted,
    cut: Option<Cut>,
    missed: BTreeSet<CrateName>,
    /// What stands for versions that were left out and that cargo would have taken.
    left_out: BTreeSet<CrateName>,
    closure: Closure,
}

impl Blueprint {
    /// The folder that a source is for.
    #[must_use]
    pub fn source_folder(&self, source: Source) -> SubPath {
        match source {
            Source::Lean => self.package_path.clone(),
            Source::Whole => SubPath::default(),
        }
    }

    /// What an attempt needs of the index.
    #[must_use]
    pub fn index_need(&self, attempt: &Attempt) -> IndexNeed {
        let mut wanted = self.wanted.clone();
        let lock = &self.lock_evidence;
        if attempt.index_mode == IndexMode::PublishedLock {
            for (name, versions) in &lock.locked {
                wanted.locked.entry(name.clone()).or_default().extend(versions.iter().cloned());
            }
            wanted.pinned.clone_from(&lock.locked);
            // The whole of the publisher's lock file is not known, but it was older: it may well have had what is yanked now, and
            // what goes with the versions here may be nothing else.
            wanted.yanked = Yanked::Just(BTreeSet::new());
        }
        if matches!(attempt.index_mode, IndexMode::WithSiblings | IndexMode::PublishedLock) {
            wanted.late.clone_from(&lock.siblings);
        }
        let (left_out, missed): (BTreeSet<_>, BTreeSet<_>) = attempt.missed.iter().cloned().partition(left_out::is_one);
        let closure = Closure::begin(&wanted, &missed);
        IndexNeed { wanted, cut: self.cut(attempt.index_mode), missed, left_out, closure }
    }

    /// The time at which the index is cut for a mode.
    fn cut(&self, mode: IndexMode) -> Option<Cut> {
        let published = self.claims.published;
        match mode {
            IndexMode::AtNewestLocked => self.lock_evidence.newest.map(Cut::Until),
            // What cargo adds for other members is not to push up what the lock file has.
            IndexMode::PublishedLock => {
                self.lock_evidence.newest.map(Cut::Until).or_else(|| published.map(Cut::Before))
            }
            IndexMode::MinutesBefore => published.map(|own| Cut::Before(own - GAP)),
            IndexMode::AtPublication | IndexMode::WithSiblings | IndexMode::WithYanked => published.map(Cut::Before),
        }
    }

    /// The inputs of an attempt, and the index slice among them. `source` is the hash of the attempt's source, `index` has
    /// everything that [`IndexNeed::lacking`] asked for.
    #[must_use]
    pub fn inputs(
        &self,
        attempt: &Attempt,
        toolchain: &Toolchain,
        source: Sri,
        need: IndexNeed,
        index: &Index,
    ) -> (Inputs, Slice) {
        let IndexNeed { mut wanted, cut: when, .. } = need;
        if attempt.index_mode == IndexMode::WithYanked {
            let mut restored = self.lock_evidence.yanked.clone();
            for (name, versions) in self.claims.published.map(|own| yanked_since(index, own)).unwrap_or_default() {
                restored.entry(name).or_default().extend(versions);
            }
            wanted.yanked = Yanked::TodayBut(restored);
        }
        let slice = cut(index, &wanted, when, toolchain.minor);
        let pin = IndexPin::of(&slice, &wanted, toolchain.minor);
        // No vcs info: cargo writes none where it is told to pass over changes, or finds no git.
        let by_tag = self.claims.tag.is_some();
        let outside_git = by_tag && !NO_VCS_INFO_WHERE_DIRTY.contains(toolchain.minor);
        let prune = match attempt.workspace {
            WorkspaceView::Full => Pruned::new(),
            WorkspaceView::Pruned => self.pruned.clone(),
            WorkspaceView::Stripped => self.stripped.clone(),
        };
        let lock = self.lock.as_ref().filter(|_| attempt.index_mode == IndexMode::PublishedLock);
        let source_folder = self.source_folder(attempt.source);
        let recipe = PlannedRecipe {
            toolchain: toolchain.name.clone(),
            commit: self.commit,
            source_folder: source_folder.clone(),
            package_path: self.package_path.clone(),
            index: pin.key(),
            index_mode: attempt.index_mode,
            checkout: self.checkout.clone(),
            lfs: self.lfs.clone(),
            submodules: self.submodules.clone(),
            git_dependencies: self.git_dependencies.clone(),
            prune,
            allow_dirty: self.dirty || by_tag && !outside_git,
            outside_git,
            exclude_lockfile: self.lock.is_none() && toolchain.minor >= EXCLUDES_LOCKFILE,
            published_lockfile: lock.map(|text| PublishedLockfile {
                content: Base64(text.as_bytes().to_vec()),
                completion: if toolchain.minor >= UPDATES_WORKSPACE {
                    Completion::UpdateWorkspace
                } else {
                    Completion::PackageTwice
                },
                folders: self.lock_folders.clone(),
            }),
        };
        let inputs = Inputs {
            recipe,
            toolchain: toolchain.clone(),
            commit: CommitPin { sources: BTreeMap::from([(source_folder, source)]), ..self.pin.clone() },
            extra_commits: self.extra_commits.clone(),
            lfs_objects: self.lfs_objects.clone(),
            index: pin,
            url: self.url.clone(),
            claims: self.claims.clone(),
        };
        (inputs, slice)
    }
}

impl IndexNeed {
    /// The crates whose index files are needed besides those of `index`; `absent` are those that the registry does not
    /// have. To be asked again with them, until there are none.
    pub fn lacking(&mut self, index: &Index, absent: &BTreeSet<CrateName>) -> BTreeSet<CrateName> {
        let Self { wanted, cut, missed, left_out, closure } = self;
        loop {
            let lacking = closure.advance(wanted, index, *cut, missed, absent);
            if left_out.is_empty() {
                return lacking;
            }
            // Of a crate whose versions were left out all are required, whoever does.
            let is_left_out = |name: &&CrateName| left_out.contains(&left_out::of(name));
            let all: Vec<CrateName> =
                wanted.names.iter().chain(wanted.locked.keys()).filter(is_left_out).cloned().collect();
            if all.is_empty() {
                return lacking;
            }
            left_out.retain(|name| !all.iter().any(|found| left_out::of(found) == *name));
            closure.follow(&all);
            wanted.requirements.extend(all.into_iter().map(|name| (name, VersionReq::STAR)));
        }
    }
}

/// Whether two attempts come to the same build: the label of the index mode, and how the slice was arrived at, are no
/// inputs; the slice is.
#[must_use]
pub fn same_build(one: &Inputs, other: &Inputs) -> bool {
    let PlannedRecipe { index_mode, index, .. } = one.recipe;
    one.index.nar_hash == other.index.nar_hash
        && PlannedRecipe { index_mode, index, ..other.recipe.clone() } == one.recipe
}
