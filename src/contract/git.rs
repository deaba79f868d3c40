//! Git object ids. Hashing detects SHA-1 collisions, so that a proof by SHA-1 is one.

use std::fmt;

use sha1_checked::{Digest as _, Sha1};

use crate::model::commit::CommitId;

/// The id of a git object: a commit, a tree or a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId(pub [u8; 20]);

impl ObjectId {
    /// Reads 40 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 20];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(bytes))
    }
}

impl From<CommitId> for ObjectId {
    fn from(id: CommitId) -> Self {
        Self(id.0)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The kinds of object that are hashed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file's or link's content.
    Blob,
    /// A folder.
    Tree,
    /// A commit.
    Commit,
}

impl Kind {
    /// As in an object's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Tree => "tree",
            Self::Commit => "commit",
        }
    }
}

/// The id of an object with this body.
///
/// A body that was made to collide hashes to something else than SHA-1 would say, so it never proves anything.
#[must_use]
pub fn hash(kind: Kind, body: &[u8]) -> ObjectId {
    let mut hasher = Sha1::new();
    hasher.update(format!("{} {}\0", kind.name(), body.len()));
    hasher.update(body);
    ObjectId(hasher.finalize().into())
}

/// The tree that a commit object names in its first line.
#[must_use]
pub fn tree_of_commit(commit: &[u8]) -> Option<ObjectId> {
    let line = commit.split(|byte| *byte == b'\n').next()?;
    ObjectId::from_hex(std::str::from_utf8(line).ok()?.strip_prefix("tree ")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_hash_as_git_hashes_them() {
        // The ids of the empty blob and the empty tree are known to every git.
        assert_eq!(hash(Kind::Blob, b"").to_string(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(hash(Kind::Tree, b"").to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    }

    #[test]
    fn a_commit_names_its_tree_in_its_first_line() {
        let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let commit = format!("tree {tree}\nauthor A <a@b> 0 +0000\n\nm\n");
        assert_eq!(tree_of_commit(commit.as_bytes()), ObjectId::from_hex(tree));
        assert_eq!(tree_of_commit(b"parent x\n"), None);
        assert_eq!(tree_of_commit(b"\xff"), None);
    }
}
