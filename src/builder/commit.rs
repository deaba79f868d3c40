//! The proof that a folder of files is a commit's.

use std::path::Path;

use super::Fault;
use super::checkout::Conversion;
use super::worktree::{Source, Worktree};
use crate::contract::git::{self, Kind, ObjectId};
use crate::contract::lean::Selection;
use crate::contract::recipe::CommitInput;
use crate::contract::trees::Trees;

/// Copies a commit's files to `destination`, which must not exist, and proves them: the commit object hashes to the commit's
/// id, the trees are all of the commit's, and the files are those that are to be there, each the one that the trees name.
///
/// # Errors
/// Where they are not, or a file can't be read or written.
pub fn check_out(commit: &CommitInput, destination: &Path, conversion: &Conversion) -> Result<Worktree, Fault> {
    let bad = |reason: String| unproven(commit, reason);
    let id = git::hash(Kind::Commit, &commit.object.0);
    if id != commit.id.into() {
        return Err(bad(format!("the commit object of the plan is {id}")));
    }
    let root =
        git::tree_of_commit(&commit.object.0).ok_or_else(|| bad("the commit object names no tree".to_owned()))?;
    let trees = Trees::read(root, &fs_err::read(&commit.trees)?).map_err(|error| bad(error.to_string()))?;
    let leaves = trees.leaves().map_err(|error| bad(error.to_string()))?;
    // What the source says of itself counts once it is known to be the commit's.
    let read = |path: &[u8], id: ObjectId| read_proven(&commit.source, path, id).map_err(bad);
    let selection = Selection::of(&leaves, &commit.folder, read)?;
    let source = Source { folder: &commit.source, leaves: &leaves, selection: &selection };
    let worktree = source.check_out(trees, destination, conversion)?.map_err(bad)?;
    let there = worktree.tracked.iter().filter(|tracked| tracked.metadata.is_some()).count();
    eprintln!("recrate: proved commit {}: tree {root}, {there} of {} files", commit.id, leaves.len());
    Ok(worktree)
}

/// The content of a file or link of the source, proven to be what the commit has.
fn read_proven(source: &Path, path: &[u8], id: ObjectId) -> Result<Vec<u8>, String> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let place = source.join(std::ffi::OsStr::from_bytes(path));
    let lacks = |_| format!("it lacks {}", String::from_utf8_lossy(path));
    let is_link = fs_err::symlink_metadata(&place).map_err(lacks)?.is_symlink();
    let content =
        if is_link { fs_err::read_link(&place).map(|to| to.into_os_string().into_vec()) } else { fs_err::read(&place) };
    let content = content.map_err(lacks)?;
    let same = git::hash(Kind::Blob, &content) == id;
    same.then_some(content).ok_or_else(|| format!("its {} is another one", String::from_utf8_lossy(path)))
}

/// The fault that files are not this commit, or that it is not the commit that is wanted.
#[must_use]
pub fn unproven(commit: &CommitInput, reason: String) -> Fault {
    Fault::Unproven { commit: commit.id.to_string(), reason }
}
