//! Seeding: puts the leaves of builds into the store under the paths of their fixed-output derivations, so that Nix
//! need not fetch what the driver has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::round::Prepared;
use super::{Error, Lab, Program, in_parallel};
use crate::edges::cache::Doing as _;
use crate::edges::git::commit::Commit;
use crate::edges::network::Answer;
use crate::edges::registry::write_slice;
use crate::model::digest::{Sha256, Sri};
use crate::model::krate::CrateId;
use crate::stages::derivation::{Derivations, Leaf, names};
use crate::stages::slice::Slice;
use crate::stages::toolchain::{Origin, Toolchain};

/// Where a leaf's content is.
pub(super) enum Content<'a> {
    /// It lies on the disk, under the name that it has in the store.
    Path(PathBuf),
    /// The files of a commit, to be written out.
    Commit(&'a Commit),
    /// An index slice, to be written out.
    Slice(&'a Slice),
    /// An official archive, to be fetched.
    Archive { url: &'a str, sha256: Sri, release: &'a str },
    /// An LFS object, wherever it lies.
    LfsObject(&'a Path),
    /// A published crate.
    Published(&'a CrateId, &'a [u8]),
}

impl Lab {
    /// Puts leaves into the store, where it lacks them.
    pub(super) fn seed(&self, derivations: &Derivations, mut leaves: BTreeMap<Leaf, Content<'_>>) -> Result<(), Error> {
        let missing = self.nix.missing(derivations.leaves.values())?;
        leaves.retain(|leaf, _| derivations.leaves.get(leaf).is_some_and(|path| missing.contains(path)));
        if leaves.is_empty() {
            return Ok(());
        }
        let staging = tempfile::tempdir().doing("write in", &std::env::temp_dir())?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let staged = in_parallel(cores, leaves.into_iter().enumerate().collect(), |(at, (leaf, content))| {
            let place = staging.path().join(at.to_string());
            self.stage(content, &place).map(|path| path.map(|path| (leaf, path)))
        });
        let staged: Vec<(Leaf, PathBuf)> =
            staged.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let (flat, trees): (Vec<_>, Vec<_>) = staged.into_iter().partition(|(leaf, _)| is_flat(leaf));
        self.add(derivations, &flat, false)?;
        // One process hashes and copies on one core.
        let shares: Vec<_> = trees.chunks(trees.len().div_ceil(cores).max(1)).collect();
        in_parallel(cores, shares, |share| self.add(derivations, share, true)).into_iter().collect()
    }

    /// What each leaf of these builds is made of.
    pub(super) fn leaves<'a>(&self, needed: &[&'a Prepared]) -> BTreeMap<Leaf, Content<'a>> {
        let toolchains = needed.iter().map(|one| (&one.inputs.recipe.toolchain, &one.inputs.toolchain));
        let mut leaves = self.own_leaves(toolchains);
        for one in needed {
            if let Some(located) = &one.case.located {
                leaves.insert(Leaf::Source(one.inputs.recipe.source), Content::Commit(&located.commit));
                let further = located.further.commits.iter();
                leaves.extend(further.map(|(id, (commit, _))| (Leaf::Source(*id), Content::Commit(commit))));
                let objects = located.further.objects.iter();
                leaves.extend(objects.map(|(hash, (_, file))| (Leaf::LfsObject(*hash), Content::LfsObject(file))));
            }
            leaves.insert(Leaf::Index(one.inputs.index.nar_hash), Content::Slice(&one.slice));
        }
        leaves
    }

    /// recrate's programs and these cargos, by their names in the plan.
    pub(super) fn own_leaves<'a>(
        &self,
        toolchains: impl Iterator<Item = (&'a String, &'a Toolchain)>,
    ) -> BTreeMap<Leaf, Content<'a>> {
        let program = |program: &Program| Content::Path(program.file.clone());
        let mut leaves = BTreeMap::from([
            (Leaf::Builder, program(&self.builder)),
            (Leaf::Fetcher, program(&self.fetcher)),
            (Leaf::Judge, program(&self.judge)),
        ]);
        let mut runtimes = BTreeSet::new();
        for (name, toolchain) in toolchains {
            match &toolchain.origin {
                Origin::Imported { .. } => {
                    let content = Content::Path(self.toolchains.content(toolchain));
                    leaves.insert(Leaf::Toolchain(name.clone()), content);
                }
                Origin::Archive { url, sha256, runtime } => {
                    let content = Content::Archive { url, sha256: *sha256, release: &toolchain.release };
                    leaves.insert(Leaf::Archive(name.clone()), content);
                    runtimes.insert(*runtime);
                }
            }
        }
        for runtime in runtimes {
            if let Ok((folder, _)) = self.toolchains.runtime() {
                leaves.insert(Leaf::Runtime(runtime), Content::Path(folder));
            }
        }
        leaves
    }

    /// Brings a leaf to the disk, under the name that it has in the store; none where it can't be had: then Nix may
    /// still have a way to it.
    fn stage(&self, content: Content<'_>, place: &Path) -> Result<Option<PathBuf>, Error> {
        Ok(match content {
            Content::Path(path) => Some(path),
            Content::Commit(commit) => {
                let folder = place.join(names::SOURCE);
                std::fs::create_dir(place).doing("create the folder", place)?;
                commit.export(Some(&folder))?;
                Some(folder)
            }
            Content::Slice(slice) => {
                let folder = place.join(names::INDEX);
                write_slice(slice, &folder)?;
                Some(folder)
            }
            Content::LfsObject(lies) => {
                let file = place.join(names::LFS_OBJECT);
                std::fs::create_dir(place).doing("create the folder", place)?;
                std::fs::hard_link(lies, &file)
                    .or_else(|_| std::fs::copy(lies, &file).map(drop))
                    .doing("copy", lies)?;
                Some(file)
            }
            Content::Archive { url, sha256, release } => self.fetch_archive(url, sha256, release),
            Content::Published(id, bytes) => {
                let file = place.join(names::published(id));
                std::fs::create_dir(place).doing("create the folder", place)?;
                std::fs::write(&file, bytes).doing("write", &file)?;
                Some(file)
            }
        })
    }

    /// Fetches an official archive into the cache; none where that fails.
    fn fetch_archive(&self, url: &str, sha256: Sri, release: &str) -> Option<PathBuf> {
        let name = format!("archives/{}.tar.xz", names::toolchain(release));
        if self.cache.read(&name).ok()?.is_none() {
            let Answer::Body { bytes, .. } = self.network.as_ref()?.get(url, None).ok()? else {
                return None;
            };
            if Sha256::of(&bytes) != sha256.0 {
                tracing::warn!("{url} is not what the catalogue says");
                return None;
            }
            self.cache.write(&name, &bytes).ok()?;
        }
        Some(self.cache.path(&name))
    }

    /// Adds leaves to the store, and asserts that they are where the derivations look for them.
    fn add(&self, derivations: &Derivations, staged: &[(Leaf, PathBuf)], recursive: bool) -> Result<(), Error> {
        let paths: Vec<PathBuf> = staged.iter().map(|(_, path)| path.clone()).collect();
        for ((leaf, path), actual) in staged.iter().zip(self.nix.add(&paths, recursive)?) {
            let expected = derivations.leaves[leaf].clone();
            if actual != expected {
                return Err(Error::Misplaced { what: path.display().to_string(), actual, expected });
            }
        }
        Ok(())
    }
}

/// Whether a leaf is hashed as the one file that it is.
fn is_flat(leaf: &Leaf) -> bool {
    match leaf {
        Leaf::Archive(_) | Leaf::LfsObject(_) | Leaf::Published(_) => true,
        Leaf::Builder
        | Leaf::Fetcher
        | Leaf::Judge
        | Leaf::Toolchain(_)
        | Leaf::Runtime(_)
        | Leaf::Source(_)
        | Leaf::Index(_) => false,
    }
}
