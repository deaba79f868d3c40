//! The worktree: copies the source out of the store and computes, on the way, the git objects it is made of.

use std::collections::BTreeMap;
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

/// The time that every file of the worktree gets. It must lie before the index is written, so that git's "racy"
/// entries don't arise, and be the same at every build: cargos before 1.50 record it.
const FILE_TIME: Duration = Duration::from_secs(1);

/// A git tree object.
#[derive(Debug)]
pub struct Tree {
    /// Its id.
    pub id: ObjectId,
    /// Its body, without the header.
    pub body: Vec<u8>,
}

/// A path that the git index lists.
#[derive(Debug)]
pub struct Tracked {
    /// Relative to the repository's root, `/` between the parts, any bytes.
    pub path: Vec<u8>,
    /// Blob id, or the commit id of a submodule.
    pub id: ObjectId,
    /// Its git mode.
    pub mode: Mode,
    /// What `lstat` says of the copy.
    pub metadata: std::fs::Metadata,
}

/// What copying a source came to.
#[derive(Debug)]
pub struct Worktree {
    /// The id of the root tree.
    pub root: ObjectId,
    /// Every tree object, the root's last.
    pub trees: Vec<Tree>,
    /// Every tracked path, in the order of git's index.
    pub tracked: Vec<Tracked>,
    /// Links of the worktree, relative to its root.
    pub links: Vec<PathBuf>,
    /// How it is checked out.
    pub conversion: Conversion,
}

/// Copies `source` to `destination`, which must not exist, as `conversion` says, and computes its git objects: those of
/// the source, whatever the checkout makes of it.
///
/// `gitlinks` are the submodules: path and commit. Their folders are empty in `source`.
///
/// # Errors
/// Where a file can't be read or written.
pub fn copy(
    source: &Path,
    destination: &Path,
    gitlinks: &BTreeMap<Vec<u8>, ObjectId>,
    conversion: &Conversion,
) -> Result<Worktree, Fault> {
    let (trees, tracked, links) = (Vec::new(), Vec::new(), Vec::new());
    let root = hash(Kind::Tree, b"");
    let mut worktree = Worktree { root, trees, tracked, links, conversion: conversion.clone() };
    worktree.root = worktree.copy_folder(source, destination, &mut Vec::new(), gitlinks)?;
    worktree.tracked.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(worktree)
}

impl Worktree {
    fn copy_folder(
        &mut self,
        source: &Path,
        destination: &Path,
        path: &mut Vec<u8>,
        gitlinks: &BTreeMap<Vec<u8>, ObjectId>,
    ) -> Result<ObjectId, Fault> {
        fs_err::create_dir(destination)?;
        let mut entries: Vec<(Vec<u8>, Mode, ObjectId)> = Vec::new();
        for entry in fs_err::read_dir(source)? {
            let entry = entry?;
            let name = entry.file_name();
            let (from, to) = (entry.path(), destination.join(&name));
            let length = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());

            let kind = entry.file_type()?;
            let (mode, id) = if let (true, Some(commit)) = (kind.is_dir(), gitlinks.get(path.as_slice())) {
                fs_err::create_dir(&to)?;
                self.track(path, *commit, Mode::Submodule, &to)?;
                (Mode::Submodule, *commit)
            } else if kind.is_dir() {
                (Mode::Tree, self.copy_folder(&from, &to, path, gitlinks)?)
            } else {
                let (mode, id) = copy_leaf(&from, &to, path, kind.is_symlink(), &self.conversion)?;
                self.track(path, id, mode, &to)?;
                if mode == Mode::Link && !self.conversion.checkout.links_as_text {
                    self.links.push(PathBuf::from(std::ffi::OsStr::from_bytes(path)));
                }
                (mode, id)
            };
            entries.push((name.as_bytes().to_vec(), mode, id));
            path.truncate(length);
        }
        // git sorts a tree as if the names of folders ended with a slash.
        entries.sort_by_cached_key(|(name, mode, _)| {
            let mut key = name.clone();
            if *mode == Mode::Tree {
                key.push(b'/');
            }
            key
        });
        let mut body = Vec::new();
        for (name, mode, id) in entries {
            body.extend_from_slice(mode.octal().as_bytes());
            body.push(b' ');
            body.extend_from_slice(&name);
            body.push(0);
            body.extend_from_slice(&id.0);
        }
        let id = hash(Kind::Tree, &body);
        self.trees.push(Tree { id, body });
        Ok(id)
    }

    fn track(&mut self, path: &[u8], id: ObjectId, mode: Mode, copy: &Path) -> Result<(), Fault> {
        let metadata = fs_err::symlink_metadata(copy)?;
        self.tracked.push(Tracked { path: path.to_vec(), id, mode, metadata });
        Ok(())
    }
}

/// Copies one file or link and says what git makes of it.
fn copy_leaf(
    from: &Path,
    to: &Path,
    path: &[u8],
    is_link: bool,
    conversion: &Conversion,
) -> Result<(Mode, ObjectId), Fault> {
    let checkout = &conversion.checkout;
    if is_link {
        let target = fs_err::read_link(from)?;
        let id = hash(Kind::Blob, target.as_os_str().as_bytes());
        if checkout.links_as_text {
            write_file(to, target.as_os_str().as_bytes(), 0o644)?;
        } else {
            symlink(&target, to)?;
        }
        return Ok((Mode::Link, id));
    }
    let body = fs_err::read(from)?;
    let executable = fs_err::metadata(from)?.mode() & 0o100 != 0;
    let mode = if executable { Mode::Executable } else { Mode::File };
    let kept = match checkout.executables {
        Executables::AsCommitted => executable,
        Executables::None => false,
        Executables::All => true,
    };
    let permissions = if kept { 0o755 } else { 0o644 };
    let id = hash(Kind::Blob, &body);
    write_file(to, &conversion.file(path, body)?, permissions)?;
    Ok((mode, id))
}

fn write_file(to: &Path, body: &[u8], permissions: u32) -> Result<(), Fault> {
    let mut file = fs_err::OpenOptions::new().write(true).create_new(true).mode(permissions).open(to)?;
    file.write_all(body)?;
    file.set_permissions(std::fs::Permissions::from_mode(permissions))?;
    Ok(file.set_modified(UNIX_EPOCH + FILE_TIME)?)
}

/// The modes that git gives to tree entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A file.
    File,
    /// A file with its owner's executable bit.
    Executable,
    /// A symbolic link.
    Link,
    /// A folder.
    Tree,
    /// A submodule.
    Submodule,
}

impl Mode {
    /// As in a tree object: octal, no leading zero.
    #[must_use]
    pub fn octal(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
            Self::Tree => "40000",
            Self::Submodule => "160000",
        }
    }

    /// As in the index.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::File => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Link => 0o120_000,
            Self::Tree => 0o040_000,
            Self::Submodule => 0o160_000,
        }
    }
}
