//! The proof that a folder of files is a commit.

use std::collections::BTreeMap;
use std::path::Path;

use super::Fault;
use super::checkout::Conversion;
use super::worktree::{self, Worktree};
use crate::contract::git::{self, Kind, ObjectId};
use crate::contract::recipe::CommitInput;

/// Copies a commit's files to `destination`, which must not exist, and proves them: they hash to the tree that the commit
/// object names, and the commit object hashes to the commit's id.
///
/// # Errors
/// Where they do not, or a file can't be read or written.
pub fn check_out(commit: &CommitInput, destination: &Path, conversion: &Conversion) -> Result<Worktree, Fault> {
    let gitlinks: BTreeMap<Vec<u8>, ObjectId> =
        commit.gitlinks.iter().map(|(path, id)| (path.as_bytes().to_vec(), (*id).into())).collect();
    let worktree = worktree::copy(&commit.source, destination, &gitlinks, conversion)?;
    let id = git::hash(Kind::Commit, &commit.object.0);
    if id != commit.id.into() {
        return Err(unproven(commit, format!("the commit object of the plan is {id}")));
    }
    let tree = git::tree_of_commit(&commit.object.0)
        .ok_or_else(|| unproven(commit, "the commit object names no tree".to_owned()))?;
    if tree != worktree.root {
        return Err(unproven(commit, format!("it has tree {tree}, the files hash to {}", worktree.root)));
    }
    eprintln!("recrate: proved commit {}: tree {}, {} files", commit.id, worktree.root, worktree.tracked.len());
    Ok(worktree)
}

/// The fault that files are not this commit, or that it is not the commit that is wanted.
#[must_use]
pub fn unproven(commit: &CommitInput, reason: String) -> Fault {
    Fault::Unproven { commit: commit.id.to_string(), reason }
}
