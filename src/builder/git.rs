//! Git objects by hand: hashing, and the minimal `.git` that cargo needs to see a commit.
//!
//! cargo wants `HEAD`, the commit object, its trees, an index, `config`, `refs/` and `shallow`; no blobs and no
//! parents. Hashing detects SHA-1 collisions, so that a proof by SHA-1 is one.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha1_checked::{Digest as _, Sha1};

use super::worktree::Worktree;
use super::{At, Fault};

/// An object id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(pub [u8; 20]);

impl Id {
    /// The id of no object.
    pub const NULL: Self = Self([0; 20]);

    /// Reads 40 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 40 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 20];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
    fn name(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Tree => "tree",
            Self::Commit => "commit",
        }
    }
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

    fn bits(self) -> u32 {
        match self {
            Self::File => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Link => 0o120_000,
            Self::Tree => 0o040_000,
            Self::Submodule => 0o160_000,
        }
    }
}

/// The id of an object with this body.
///
/// A body that was made to collide hashes to something else than SHA-1 would say, so it never proves anything.
#[must_use]
pub fn hash(kind: Kind, body: &[u8]) -> Id {
    let mut hasher = Sha1::new();
    hasher.update(format!("{} {}\0", kind.name(), body.len()));
    hasher.update(body);
    Id(hasher.finalize().into())
}

/// The tree that a commit object names in its first line.
#[must_use]
pub fn tree_of_commit(commit: &[u8]) -> Option<Id> {
    let line = commit.split(|byte| *byte == b'\n').next()?;
    Id::from_hex(std::str::from_utf8(line).ok()?.strip_prefix("tree ")?)
}

/// Writes the minimal `.git` into `root`: detached at `commit`, everything tracked, nothing changed.
///
/// `ignored` are paths for `info/exclude`: files that are inputs of the build but not of the commit.
///
/// # Errors
/// Where a file can't be written.
pub fn write_repository(
    root: &Path,
    worktree: &Worktree,
    commit: Id,
    commit_body: &[u8],
    ignored: &[String],
) -> Result<(), Fault> {
    let git = root.join(".git");
    for folder in ["refs/heads", "refs/tags", "objects/info", "objects/pack", "info"] {
        let folder = git.join(folder);
        std::fs::create_dir_all(&folder).at(folder)?;
    }
    let write = |name: &str, text: &str| {
        let file = git.join(name);
        std::fs::write(&file, text).at(file)
    };
    write("HEAD", &format!("{commit}\n"))?;
    write("shallow", &format!("{commit}\n"))?;
    // Without links and executable bits, git takes a file without them for unchanged.
    let symlinks = !worktree.checkout.links_as_text;
    let filemode = worktree.checkout.executables.is_none();
    write(
        "config",
        &format!(
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = {filemode}\n\tbare = false\n\tsymlinks = {symlinks}\n"
        ),
    )?;
    write("info/exclude", &ignored.iter().map(|path| format!("/{path}\n")).collect::<String>())?;
    write_object(&git, Kind::Commit, commit, commit_body)?;
    for tree in &worktree.trees {
        write_object(&git, Kind::Tree, tree.id, &tree.body)?;
    }
    let index = git.join("index");
    std::fs::write(&index, index_file(worktree)).at(index)
}

/// Writes a loose object, uncompressed: a zlib stream of stored blocks.
fn write_object(git: &Path, kind: Kind, id: Id, body: &[u8]) -> Result<(), Fault> {
    let hex = id.to_string();
    let folder = git.join("objects").join(&hex[..2]);
    std::fs::create_dir_all(&folder).at(&folder)?;
    let file = folder.join(&hex[2..]);
    let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::none());
    // Writing to a Vec never fails.
    let bytes = stream
        .write_all(format!("{} {}\0", kind.name(), body.len()).as_bytes())
        .and_then(|()| stream.write_all(body))
        .and_then(|()| stream.finish())
        .at(&file)?;
    std::fs::write(&file, bytes).at(file)
}

/// The git index, version 2.
///
/// Entries carry the true `lstat` data of the worktree, so that cargo's check for uncommitted changes compares those
/// and neither rehashes the files nor applies a filter that the repository's attributes name.
fn index_file(worktree: &Worktree) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"DIRC");
    let mut word = |value: u32| bytes.extend_from_slice(&value.to_be_bytes());
    word(2);
    word(worktree.tracked.len() as u32);
    for tracked in &worktree.tracked {
        let at = &tracked.metadata;
        let start = bytes.len();
        // git keeps the low 32 bits of each.
        for field in [
            at.ctime() as u32,
            at.ctime_nsec() as u32,
            at.mtime() as u32,
            at.mtime_nsec() as u32,
            at.dev() as u32,
            at.ino() as u32,
            tracked.mode.bits(),
            at.uid(),
            at.gid(),
            at.size() as u32,
        ] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        bytes.extend_from_slice(&tracked.id.0);
        bytes.extend_from_slice(&(tracked.path.len().min(0xfff) as u16).to_be_bytes());
        bytes.extend_from_slice(&tracked.path);
        // One to eight NULs, up to a multiple of eight.
        let padding = 8 - (bytes.len() - start) % 8;
        bytes.resize(bytes.len() + padding, 0);
    }
    let mut hasher = Sha1::new();
    hasher.update(&bytes);
    let digest = hasher.finalize();
    bytes.extend_from_slice(&digest);
    bytes
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
        assert_eq!(tree_of_commit(commit.as_bytes()), Id::from_hex(tree));
        assert_eq!(tree_of_commit(b"parent x\n"), None);
        assert_eq!(tree_of_commit(b"\xff"), None);
    }

    #[test]
    fn only_forty_hex_digits_are_an_id() {
        assert!(Id::from_hex(&"a".repeat(40)).is_some());
        assert!(Id::from_hex(&"a".repeat(39)).is_none());
        assert!(Id::from_hex(&"g".repeat(40)).is_none());
        assert!(Id::from_hex(&"é".repeat(20)).is_none());
    }
}
