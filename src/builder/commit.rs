//! A commit as an input: where its files lie, and what proves them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::checkout::Checkout;
use super::git::{self, Id, Kind};
use super::worktree::{self, Worktree};
use super::{Fault, file_variable, variable};

/// A commit of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Wire")]
pub struct Commit {
    /// Its id.
    pub id: Id,
    /// The object's body.
    pub body: Vec<u8>,
    /// Its submodules: path and commit. Their folders are empty in `source`.
    pub gitlinks: BTreeMap<Vec<u8>, Id>,
    /// Its files.
    pub source: PathBuf,
}

/// As the derivation writes it; the object is in base64, gitlinks are lines of a commit id, a space and a path.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    commit: String,
    commit_id: String,
    gitlinks: String,
    source: PathBuf,
}

impl TryFrom<Wire> for Commit {
    type Error = Fault;

    fn try_from(wire: Wire) -> Result<Self, Fault> {
        let gitlink = |line: &str| {
            let (id, path) = line.split_once(' ')?;
            Some((path.as_bytes().to_vec(), Id::from_hex(id)?))
        };
        Ok(Self {
            id: Id::from_hex(&wire.commit_id).ok_or(Fault::Variable("commitId"))?,
            body: BASE64.decode(wire.commit.trim()).map_err(|_| Fault::Variable("commit"))?,
            gitlinks: wire.gitlinks.lines().map(gitlink).collect::<Option<_>>().ok_or(Fault::Variable("gitlinks"))?,
            source: wire.source,
        })
    }
}

impl Commit {
    /// The package's own commit: the derivation has its parts as variables.
    ///
    /// # Errors
    /// Where one is missing or malformed.
    pub fn from_environment() -> Result<Self, Fault> {
        Self::try_from(Wire {
            commit: file_variable("commit")?,
            commit_id: variable("commitId")?,
            gitlinks: variable("gitlinks")?,
            source: variable("source")?.into(),
        })
    }

    /// Copies the files to `destination`, which must not exist, and proves them: they hash to the tree that the commit
    /// names, and the commit hashes to its id.
    ///
    /// # Errors
    /// Where they do not, or a file can't be read or written.
    pub fn check_out(&self, destination: &Path, checkout: &Checkout) -> Result<Worktree, Fault> {
        let worktree = worktree::copy(&self.source, destination, &self.gitlinks, checkout)?;
        let id = git::hash(Kind::Commit, &self.body);
        if id != self.id {
            return Err(self.unproven(format!("the commit object of the plan is {id}")));
        }
        let tree = git::tree_of_commit(&self.body)
            .ok_or_else(|| self.unproven("the commit object names no tree".to_owned()))?;
        if tree != worktree.root {
            return Err(self.unproven(format!("it has tree {tree}, the files hash to {}", worktree.root)));
        }
        eprintln!("recrate: proved commit {}: tree {}, {} files", self.id, worktree.root, worktree.tracked.len());
        Ok(worktree)
    }

    /// The fault that the files are not this commit, or that it is not the commit that is wanted.
    #[must_use]
    pub fn unproven(&self, reason: String) -> Fault {
        Fault::Unproven { commit: self.id.to_string(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gitlinks_are_lines_of_commit_and_path() {
        let id = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let read = |gitlinks: &str| {
            let (commit, commit_id) = (String::new(), id.to_owned());
            Commit::try_from(Wire { commit, commit_id, gitlinks: gitlinks.to_owned(), source: PathBuf::new() })
        };
        assert_eq!(read(&format!("{id} deps/a b\n")).unwrap().gitlinks.keys().next().unwrap(), b"deps/a b");
        assert!(read("").unwrap().gitlinks.is_empty());
        assert!(read("nonsense").is_err());
    }
}
