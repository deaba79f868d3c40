//! The minimal `.git` that cargo needs to see a commit: `HEAD`, the commit object, its trees, an index, `config`, `refs/` and
//! `shallow`; no blobs and no parents.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha1_checked::{Digest as _, Sha1};

use super::Fault;
use super::worktree::Worktree;
use crate::contract::checkout::Executables;
use crate::contract::git::{Kind, ObjectId};
use crate::contract::recipe::CommitInput;
use crate::model::sub_path::SubPath;

/// Writes the minimal `.git` into `root`: detached at `commit`, everything tracked, nothing changed.
///
/// `ignored` are folders whose Cargo.lock goes into `info/exclude`: an input of the build that the commit does not have.
///
/// # Errors
/// Where a file can't be written.
pub fn write_repository(
    root: &Path,
    worktree: &Worktree,
    commit: &CommitInput,
    ignored: &[SubPath],
) -> Result<(), Fault> {
    let git = root.join(".git");
    for folder in ["refs/heads", "refs/tags", "objects/info", "objects/pack", "info"] {
        fs_err::create_dir_all(git.join(folder))?;
    }
    let write = |name: &str, text: &str| fs_err::write(git.join(name), text);
    write("HEAD", &format!("{}\n", commit.id))?;
    write("shallow", &format!("{}\n", commit.id))?;
    // Without links and executable bits, git takes a file without them for unchanged.
    let symlinks = !worktree.conversion.checkout.links_as_text;
    let filemode = worktree.conversion.checkout.executables == Executables::AsCommitted;
    write(
        "config",
        &format!(
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = {filemode}\n\tbare = false\n\tsymlinks = {symlinks}\n"
        ),
    )?;
    let excluded = ignored.iter().map(|folder| format!("/{}\n", folder.join("Cargo.lock")));
    write("info/exclude", &excluded.collect::<String>())?;
    write_object(&git, Kind::Commit, commit.id.into(), &commit.object.0)?;
    for tree in &worktree.trees {
        write_object(&git, Kind::Tree, tree.id, &tree.body)?;
    }
    Ok(fs_err::write(git.join("index"), index_file(worktree))?)
}

/// Writes a loose object, uncompressed: a zlib stream of stored blocks.
fn write_object(git: &Path, kind: Kind, id: ObjectId, body: &[u8]) -> Result<(), Fault> {
    let hex = id.to_string();
    let folder = git.join("objects").join(&hex[..2]);
    fs_err::create_dir_all(&folder)?;
    let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::none());
    // Writing to a Vec never fails.
    let bytes = stream
        .write_all(format!("{} {}\0", kind.name(), body.len()).as_bytes())
        .and_then(|()| stream.write_all(body))
        .and_then(|()| stream.finish())?;
    Ok(fs_err::write(folder.join(&hex[2..]), bytes)?)
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
