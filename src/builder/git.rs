//! The minimal `.git` that cargo needs to see a commit: `HEAD`, a pack of the commit and its trees, an index, `config`, `refs/` and
//! `shallow`; no blobs and no parents.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha1_checked::{Digest as _, Sha1};

use super::Fault;
use super::worktree::Worktree;
use crate::contract::checkout::Executables;
use crate::contract::git::ObjectId;
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
    write_pack(&git.join("objects/pack"), commit, worktree)?;
    Ok(fs_err::write(git.join("index"), index_file(worktree))?)
}

/// Writes the commit and its trees as a pack: as loose objects they would be thousands of files.
fn write_pack(folder: &Path, commit: &CommitInput, worktree: &Worktree) -> Result<(), Fault> {
    const COMMIT: u8 = 1;
    const TREE: u8 = 2;
    let trees = worktree.trees.objects().iter().map(|(id, body)| (*id, TREE, body.as_slice()));
    let objects = std::iter::once((commit.id.into(), COMMIT, commit.object.0.as_slice())).chain(trees);
    let mut pack = Vec::new();
    pack.extend_from_slice(b"PACK");
    pack.extend_from_slice(&2_u32.to_be_bytes());
    pack.extend_from_slice(&(1 + worktree.trees.objects().len() as u32).to_be_bytes());
    // Id, CRC and offset of each object, as the pack's index has them.
    let mut listed: Vec<(ObjectId, u32, u32)> = Vec::new();
    for (id, kind, body) in objects {
        let start = pack.len();
        // Kind and length: four bits of it in the first byte, seven in each further one.
        let (mut byte, mut rest) = ((kind << 4) | (body.len() & 0xf) as u8, body.len() >> 4);
        while rest > 0 {
            pack.push(byte | 0x80);
            (byte, rest) = ((rest & 0x7f) as u8, rest >> 7);
        }
        pack.push(byte);
        // Stored, not compressed: it is gone in a moment.
        let mut stream = flate2::write::ZlibEncoder::new(&mut pack, flate2::Compression::none());
        // Writing to a Vec never fails.
        stream.write_all(body).and_then(|()| stream.finish().map(drop))?;
        let mut crc = flate2::Crc::new();
        crc.update(&pack[start..]);
        listed.push((id, crc.sum(), start as u32));
    }
    let checksum = sha1(&pack);
    pack.extend_from_slice(&checksum);
    listed.sort_by_key(|(id, _, _)| *id);
    let mut index = b"\xfftOc\0\0\0\x02".to_vec();
    for first in 0..=u8::MAX {
        let upto = listed.partition_point(|(id, _, _)| id.0[0] <= first);
        index.extend_from_slice(&(upto as u32).to_be_bytes());
    }
    listed.iter().for_each(|(id, _, _)| index.extend_from_slice(&id.0));
    listed.iter().for_each(|(_, crc, _)| index.extend_from_slice(&crc.to_be_bytes()));
    listed.iter().for_each(|(_, _, offset)| index.extend_from_slice(&offset.to_be_bytes()));
    index.extend_from_slice(&checksum);
    let own = sha1(&index);
    index.extend_from_slice(&own);
    let name = folder.join(format!("pack-{}", hex::encode(checksum)));
    fs_err::write(name.with_extension("pack"), pack)?;
    Ok(fs_err::write(name.with_extension("idx"), index)?)
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut hasher = Sha1::new();
    hasher.update(bytes);
    hasher.finalize().into()
}

/// The git index, version 3, which has the flag that a file is not checked out.
///
/// Entries carry the true `lstat` data of the worktree, so that cargo's check for uncommitted changes compares those
/// and neither rehashes the files nor applies a filter that the repository's attributes name. What a lean source does not
/// have is marked as not checked out (`skip-worktree`, which gix heeds) and as taken for unchanged (`assume-valid`, which
/// libgit2 heeds where a file is missing).
fn index_file(worktree: &Worktree) -> Vec<u8> {
    const ASSUME_VALID: u16 = 0x8000;
    const EXTENDED: u16 = 0x4000;
    const SKIP_WORKTREE: u16 = 0x4000;
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"DIRC");
    let mut word = |value: u32| bytes.extend_from_slice(&value.to_be_bytes());
    // Version 3 must have an entry that needs it.
    word(if worktree.tracked.iter().any(|tracked| tracked.metadata.is_none()) { 3 } else { 2 });
    word(worktree.tracked.len() as u32);
    for tracked in &worktree.tracked {
        let start = bytes.len();
        // git keeps the low 32 bits of each.
        let mode = tracked.leaf.mode.bits();
        let fields = tracked.metadata.as_ref().map_or([0, 0, 0, 0, 0, 0, mode, 0, 0, 0], |at| {
            [
                at.ctime() as u32,
                at.ctime_nsec() as u32,
                at.mtime() as u32,
                at.mtime_nsec() as u32,
                at.dev() as u32,
                at.ino() as u32,
                mode,
                at.uid(),
                at.gid(),
                at.size() as u32,
            ]
        });
        fields.iter().for_each(|field| bytes.extend_from_slice(&field.to_be_bytes()));
        bytes.extend_from_slice(&tracked.leaf.id.0);
        let length = tracked.path.len().min(0xfff) as u16;
        if tracked.metadata.is_some() {
            bytes.extend_from_slice(&length.to_be_bytes());
        } else {
            bytes.extend_from_slice(&(length | ASSUME_VALID | EXTENDED).to_be_bytes());
            bytes.extend_from_slice(&SKIP_WORKTREE.to_be_bytes());
        }
        bytes.extend_from_slice(&tracked.path);
        // One to eight NULs, up to a multiple of eight.
        let padding = 8 - (bytes.len() - start) % 8;
        bytes.resize(bytes.len() + padding, 0);
    }
    let checksum = sha1(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}
