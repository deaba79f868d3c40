//! Seeding: puts the fixed-output inputs of builds into the store under the paths of their derivations, so that Nix need
//! not fetch what the driver has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::context::{Context, Error, Program};
use crate::edges::git;
use crate::edges::git::commit::Commit;
use crate::edges::network::{Answer, FILE_LIMIT};
use crate::edges::parallel::in_parallel;
use crate::edges::registry::write_slice;
use crate::model::digest::{Sha256, Sri};
use crate::model::krate::CrateId;
use crate::model::sub_path::SubPath;
use crate::stages::derivation::{Derivations, FixedInput, names};
use crate::stages::slice::Slice;
use crate::stages::toolchain::{Origin, Toolchain};

/// Where an input's content is.
pub enum Content<'a> {
    /// It is on the disk, under the name that it has in the store.
    Path(PathBuf),
    /// A commit's source for a folder, to be written out.
    Source(&'a Commit, SubPath),
    /// The trees of a commit, to be written out.
    Trees(&'a Commit),
    /// An index slice, to be written out.
    Slice(&'a Slice),
    /// An official archive, to be fetched.
    Archive {
        /// Its address.
        url: &'a str,
        /// Its checksum.
        sha256: Sri,
        /// The release that it has.
        release: &'a str,
    },
    /// An LFS object, wherever it is.
    LfsObject(&'a Path),
    /// A published crate.
    Published(&'a CrateId, &'a [u8]),
}

impl Context {
    /// Puts inputs into the store: those among the paths that are `missing` there. Gives the paths of those that are there
    /// then; Nix has to fetch the others.
    ///
    /// # Errors
    /// Where the store does not take one, or has it elsewhere.
    pub fn seed(
        &self,
        derivations: &Derivations,
        mut inputs: BTreeMap<FixedInput, Content<'_>>,
        missing: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Error> {
        let path = |input: &FixedInput| derivations.fixed_inputs.get(input);
        let mut there: BTreeSet<String> =
            inputs.keys().filter_map(path).filter(|path| !missing.contains(*path)).cloned().collect();
        inputs.retain(|input, _| path(input).is_some_and(|path| missing.contains(path)));
        if inputs.is_empty() {
            return Ok(there);
        }
        let staging = tempfile::tempdir_in(self.cache.temporary()?)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let staged = in_parallel(cores, inputs.into_iter().enumerate().collect(), |(at, (input, content))| {
            let place = staging.path().join(at.to_string());
            self.stage(content, &place).map(|path| path.map(|path| (input, path)))
        });
        let staged: Vec<(FixedInput, PathBuf)> =
            staged.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        there.extend(staged.iter().filter_map(|(input, _)| path(input)).cloned());
        let (flat, trees): (Vec<_>, Vec<_>) = staged.into_iter().partition(|(input, _)| is_flat(input));
        self.add(derivations, &flat, false)?;
        // One process hashes and copies on one core.
        let shares: Vec<_> = trees.chunks(trees.len().div_ceil(cores).max(1)).collect();
        in_parallel(cores, shares, |share| self.add(derivations, share, true))
            .into_iter()
            .collect::<Result<(), _>>()?;
        Ok(there)
    }

    /// recrate's programs and these cargos, by their names in the plan.
    #[must_use]
    pub fn own_inputs<'a>(
        &self,
        toolchains: impl Iterator<Item = (&'a String, &'a Toolchain)>,
    ) -> BTreeMap<FixedInput, Content<'a>> {
        let program = |program: &Program| Content::Path(program.file.clone());
        let mut inputs = BTreeMap::from([
            (FixedInput::Builder, program(&self.programs.builder)),
            (FixedInput::Fetcher, program(&self.programs.fetcher)),
            (FixedInput::Judge, program(&self.programs.judge)),
        ]);
        let mut runtimes = BTreeSet::new();
        for (name, toolchain) in toolchains {
            match &toolchain.origin {
                Origin::Imported { .. } => {
                    let content = Content::Path(self.toolchains.content(toolchain));
                    inputs.insert(FixedInput::Toolchain(name.clone()), content);
                }
                Origin::Archive { url, sha256, runtime } => {
                    let content = Content::Archive { url, sha256: *sha256, release: &toolchain.release };
                    inputs.insert(FixedInput::Archive(name.clone()), content);
                    runtimes.insert(*runtime);
                }
            }
        }
        for runtime in runtimes {
            if let Ok((folder, _)) = self.toolchains.runtime() {
                inputs.insert(FixedInput::Runtime(runtime), Content::Path(folder));
            }
        }
        inputs
    }

    /// Brings an input to the disk, under the name that it has in the store; none where it can't be had: then Nix may
    /// still have a way to it.
    fn stage(&self, content: Content<'_>, place: &Path) -> Result<Option<PathBuf>, Error> {
        Ok(match content {
            Content::Path(path) => Some(path),
            Content::Source(commit, folder) => {
                let to = place.join(names::SOURCE);
                fs_err::create_dir(place)?;
                available(commit.export(&folder, Some(&to)))?.map(|_| to)
            }
            Content::Trees(commit) => {
                let file = place.join(names::TREES);
                fs_err::create_dir(place)?;
                match available(commit.trees())? {
                    Some(trees) => {
                        fs_err::write(&file, trees)?;
                        Some(file)
                    }
                    None => None,
                }
            }
            Content::Slice(slice) => {
                let folder = place.join(names::INDEX);
                write_slice(slice, &folder)?;
                Some(folder)
            }
            Content::LfsObject(place_of_object) => {
                let file = place.join(names::LFS_OBJECT);
                fs_err::create_dir(place)?;
                fs_err::hard_link(place_of_object, &file)
                    .or_else(|_| fs_err::copy(place_of_object, &file).map(drop))?;
                Some(file)
            }
            Content::Archive { url, sha256, release } => self.fetch_archive(url, sha256, release),
            Content::Published(id, bytes) => {
                let file = place.join(names::published(id));
                fs_err::create_dir(place)?;
                fs_err::write(&file, bytes)?;
                Some(file)
            }
        })
    }

    /// Fetches an official archive into the cache; none where that fails.
    fn fetch_archive(&self, url: &str, sha256: Sri, release: &str) -> Option<PathBuf> {
        let name = format!("archives/{}.tar.xz", names::toolchain(release));
        if self.cache.read(&name).ok()?.is_none() {
            let Answer::Body { bytes, .. } = self.network.as_ref()?.get(url, None, FILE_LIMIT).ok()? else {
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

    /// Adds inputs to the store, and asserts that they are where the derivations look for them.
    fn add(&self, derivations: &Derivations, staged: &[(FixedInput, PathBuf)], recursive: bool) -> Result<(), Error> {
        let paths: Vec<PathBuf> = staged.iter().map(|(_, path)| path.clone()).collect();
        for ((input, path), actual) in staged.iter().zip(self.nix.add(&paths, recursive)?) {
            let expected = derivations.fixed_inputs[input].clone();
            if actual != expected {
                return Err(Error::Misplaced { what: path.display().to_string(), actual, expected });
            }
        }
        Ok(())
    }
}

/// What a repository gives; none where it lacks a part of a commit that an earlier run had whole: Nix may fetch it.
fn available<T>(given: Result<T, git::Error>) -> Result<Option<T>, git::Error> {
    match given {
        Err(error @ git::Error::File(_)) => Err(error),
        Err(error) => {
            tracing::warn!("left to Nix to fetch: {error}");
            Ok(None)
        }
        Ok(given) => Ok(Some(given)),
    }
}

/// Whether an input is hashed as the one file that it is.
fn is_flat(input: &FixedInput) -> bool {
    match input {
        FixedInput::Archive(_) | FixedInput::LfsObject(_) | FixedInput::Published(_) | FixedInput::Trees(_) => true,
        FixedInput::Builder
        | FixedInput::Fetcher
        | FixedInput::Judge
        | FixedInput::Toolchain(_)
        | FixedInput::Runtime(_)
        | FixedInput::Source(..)
        | FixedInput::Index(_) => false,
    }
}
