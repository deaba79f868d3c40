//! The worktree: a commit's files, copied out of the store and proven on the way.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use fs_err::os::unix::fs::{OpenOptionsExt as _, symlink};

use super::Fault;
use super::checkout::Conversion;
use crate::contract::checkout::Executables;
use crate::contract::git::{Kind, ObjectId, hash};
use crate::contract::lean::Selection;
use crate::contract::trees::{Leaf, Leaves, Mode, Trees, submodules};
use crate::model::commit::CommitId;

/// The time that every file of the worktree gets. It must lie before the index is written, so that git's "racy"
/// entries don't arise, and be the same at every build: cargos before 1.50 record it.
const FILE_TIME: Duration = Duration::from_secs(1);

/// A path that the git index lists.
#[derive(Debug)]
pub struct Tracked {
    /// Relative to the repository's root, `/` between the parts, any bytes.
    pub path: Vec<u8>,
    /// What the commit has there.
    pub leaf: Leaf,
    /// What `lstat` says of the copy; none where a lean source does not have it.
    pub metadata: Option<std::fs::Metadata>,
}

/// A proven worktree.
#[derive(Debug)]
pub struct Worktree {
    /// Every tree object.
    pub trees: Trees,
    /// Every tracked path, in the order of git's index.
    pub tracked: Vec<Tracked>,
    /// What was written to each file, as the id of a blob: what the commit has, or what the checkout makes of that. Those of
    /// submodules, too.
    pub contents: BTreeMap<Vec<u8>, ObjectId>,
    /// Links of the worktree, relative to its root.
    pub links: Vec<PathBuf>,
    /// The submodules, by path: the commits that the trees name. Where they are there their folders are empty.
    pub submodules: BTreeMap<String, CommitId>,
    /// How it is checked out.
    pub conversion: Conversion,
}

impl Worktree {
    /// Every manifest, in whatever folder, relative to the root.
    #[must_use]
    pub fn manifests(&self) -> Vec<PathBuf> {
        let files = self.contents.keys().map(|path| PathBuf::from(OsStr::from_bytes(path)));
        files.chain(self.links.iter().cloned()).filter(|path| path.ends_with("Cargo.toml")).collect()
    }
}

/// Where files come from, and which of them.
pub struct Source<'a> {
    /// The folder.
    pub folder: &'a Path,
    /// What the commit has.
    pub leaves: &'a Leaves,
    /// What of it the folder has to have.
    pub selection: &'a Selection,
}

impl Source<'_> {
    /// Copies the files to `destination`, which must not exist, as `conversion` says, and proves that they are the ones that
    /// the commit has, whatever the checkout makes of them. The outer error is ours, the inner one the source's.
    ///
    /// # Errors
    /// Where a file can't be read or written; where one is missing, another one, or one too many, in words.
    pub fn check_out(
        &self,
        trees: Trees,
        destination: &Path,
        conversion: &Conversion,
    ) -> Result<Result<Worktree, String>, Fault> {
        fs_err::create_dir_all(destination)?;
        let mut worktree = Worktree {
            trees,
            tracked: Vec::with_capacity(self.leaves.len()),
            contents: BTreeMap::new(),
            links: Vec::new(),
            submodules: submodules(self.leaves),
            conversion: conversion.clone(),
        };
        let (mut made, mut copied) = (PathBuf::from(destination), 0);
        for (path, leaf) in self.leaves {
            let relative = Path::new(std::ffi::OsStr::from_bytes(path));
            let mut metadata = None;
            if self.selection.has(path) {
                let to = destination.join(relative);
                if let Some(folder) = to.parent().filter(|folder| *folder != made) {
                    fs_err::create_dir_all(folder)?;
                    folder.clone_into(&mut made);
                }
                if leaf.mode == Mode::Submodule {
                    fs_err::create_dir(&to)?;
                } else {
                    let from = self.folder.join(relative);
                    let found = match fs_err::symlink_metadata(&from) {
                        Ok(found) => found,
                        Err(error) if is_absence(&error) => {
                            return Ok(Err(format!("it lacks {}", relative.display())));
                        }
                        Err(error) => return Err(error.into()),
                    };
                    let right = mode_of(&found) == Some(leaf.mode);
                    let Some(written) =
                        right.then(|| copy_leaf(&from, &to, path, *leaf, conversion)).transpose()?.flatten()
                    else {
                        return Ok(Err(format!("its {} is another one", relative.display())));
                    };
                    if leaf.mode != Mode::Link || conversion.checkout.links_as_text {
                        worktree.contents.insert(path.clone(), written);
                    }
                    copied += 1;
                }
                if leaf.mode == Mode::Link && !conversion.checkout.links_as_text {
                    worktree.links.push(relative.to_owned());
                }
                metadata = Some(fs_err::symlink_metadata(&to)?);
            }
            worktree.tracked.push(Tracked { path: path.clone(), leaf: *leaf, metadata });
        }
        let there = count_files(self.folder)?;
        Ok(if there == copied { Ok(worktree) } else { Err(format!("it has {there} files, the commit {copied}")) })
    }
}

fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// What git would make of something in the store; none where that is no file and no link.
fn mode_of(found: &std::fs::Metadata) -> Option<Mode> {
    let executable = found.mode() & 0o100 != 0;
    match found.file_type() {
        kind if kind.is_symlink() => Some(Mode::Link),
        kind if kind.is_file() => Some(if executable { Mode::Executable } else { Mode::File }),
        _ => None,
    }
}

/// How many files and links lie below a folder.
fn count_files(folder: &Path) -> Result<usize, Fault> {
    let (mut count, mut waiting) = (0, vec![folder.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            } else {
                count += 1;
            }
        }
    }
    Ok(count)
}

/// Copies one file or link where it is the commit's; gives the id of a blob with what was written then.
fn copy_leaf(
    from: &Path,
    to: &Path,
    path: &[u8],
    leaf: Leaf,
    conversion: &Conversion,
) -> Result<Option<ObjectId>, Fault> {
    let checkout = &conversion.checkout;
    if leaf.mode == Mode::Link {
        let target = fs_err::read_link(from)?;
        if hash(Kind::Blob, target.as_os_str().as_bytes()) != leaf.id {
            return Ok(None);
        }
        if checkout.links_as_text {
            write_file(to, target.as_os_str().as_bytes(), 0o644)?;
        } else {
            symlink(&target, to)?;
        }
        return Ok(Some(leaf.id));
    }
    let body = fs_err::read(from)?;
    let kept = match checkout.executables {
        Executables::AsCommitted => leaf.mode == Mode::Executable,
        Executables::None => false,
        Executables::All => true,
    };
    let permissions = if kept { 0o755 } else { 0o644 };
    if hash(Kind::Blob, &body) != leaf.id {
        return Ok(None);
    }
    let body = conversion.file(path, body)?;
    write_file(to, &body, permissions)?;
    let is_converted = *conversion != Conversion::default();
    Ok(Some(if is_converted { hash(Kind::Blob, &body) } else { leaf.id }))
}

fn write_file(to: &Path, body: &[u8], permissions: u32) -> Result<(), Fault> {
    let mut file = fs_err::OpenOptions::new().write(true).create_new(true).mode(permissions).open(to)?;
    file.write_all(body)?;
    file.set_permissions(std::fs::Permissions::from_mode(permissions))?;
    Ok(file.set_modified(UNIX_EPOCH + FILE_TIME)?)
}
