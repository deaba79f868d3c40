//! A fetched commit: what its tree holds, and its files as Nix hashes them.
//!
//! Nothing of the repository's configuration or attributes is looked at: files are written from raw blobs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use fs_err::os::unix::fs::{OpenOptionsExt as _, symlink};
use gix::objs::tree::EntryKind;
use nix_archive::nar::Encoder;
use semver::Version;
use sha2::Digest as _;

use super::error::{Error, object_id, refused};
use crate::contract::git::{ObjectId, tree_of_commit};
use crate::contract::lfs::{POINTER_LIMIT, Pointer};
use crate::model::commit::CommitId;
use crate::model::digest::{Sha256, Sri};
use crate::model::sub_path::SubPath;
use crate::stages::manifest::Manifest;

/// How many files a commit may have, how deep they may lie, and how much they may be together.
const FILE_LIMIT: usize = 300_000;
const DEPTH_LIMIT: usize = 128;
const SIZE_LIMIT: u64 = 4 << 30;

/// A fetched commit.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its id.
    pub id: CommitId,
    /// The object's body.
    pub body: Vec<u8>,
    /// Its tree's id.
    pub tree: ObjectId,
    repository: gix::ThreadSafeRepository,
    root: gix::ObjectId,
}

/// What exporting a commit's files came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Export {
    /// The hash of the NAR of the files, as `builtins.fetchGit` would give it.
    pub nar_hash: Sri,
    /// Submodules, by path.
    pub submodules: BTreeMap<String, CommitId>,
}

impl Commit {
    /// Reads a commit of a repository.
    pub(super) fn read(repository: &gix::ThreadSafeRepository, id: CommitId) -> Result<Self, Error> {
        let local = repository.to_thread_local();
        let gone = |what: &str| Error::NoCommit(format!("the repository has no commit {id}{what}"));
        let object = local.find_object(object_id(id)).map_err(|_| gone(""))?;
        if object.kind != gix::objs::Kind::Commit {
            return Err(gone(&format!(": that id is a {}", object.kind)));
        }
        let body = object.data.clone();
        let tree = tree_of_commit(&body).ok_or_else(|| gone(" that can be read"))?;
        let root = gix::ObjectId::Sha1(tree.0);
        Ok(Self { id, body, tree, repository: repository.clone(), root })
    }

    /// Every `Cargo.toml` and `Cargo.lock` of the commit, by folder.
    ///
    /// # Errors
    /// Where the tree can't be read.
    pub fn cargo_files(&self) -> Result<CargoFiles, Error> {
        let mut found = CargoFiles::default();
        let repository = self.repository.to_thread_local();
        walk(&repository, self.root, &mut |path, entry| {
            if !entry.is_file {
                let blob = repository.find_object(entry.id).map_err(lacking)?;
                found.links.insert(path.to_owned(), String::from_utf8_lossy(&blob.data).into_owned());
                return Ok(());
            }
            if entry.is_executable {
                found.executables.insert(path.to_owned());
            }
            if path == ".gitmodules" {
                let blob = repository.find_object(entry.id).map_err(lacking)?;
                found.submodules = addresses(&blob.data);
            }
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            if name == ".gitattributes" {
                let blob = repository.find_object(entry.id).map_err(lacking)?;
                found.uses_lfs |= blob.data.windows(LFS.len()).any(|word| word == LFS);
            }
            if name == "rust-toolchain.toml" || name == "rust-toolchain" && !found.toolchains.contains_key(folder) {
                let blob = repository.find_object(entry.id).map_err(lacking)?;
                found.toolchains.insert(folder.to_owned(), String::from_utf8_lossy(&blob.data).into_owned());
            }
            let into = match name {
                "Cargo.toml" => &mut found.manifests,
                "Cargo.lock" => &mut found.locks,
                _ => return Ok(()),
            };
            if let Ok(folder) = folder.parse::<SubPath>() {
                let blob = repository.find_object(entry.id).map_err(lacking)?;
                into.insert(folder, String::from_utf8_lossy(&blob.data).into_owned());
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The id of the blob at a path.
    #[must_use]
    pub fn blob(&self, path: &str) -> Option<ObjectId> {
        let repository = self.repository.to_thread_local();
        let entry = repository.find_tree(self.root).ok()?.lookup_entry_by_path(path).ok()??;
        entry.mode().is_blob().then(|| entry.object_id().as_bytes().try_into().ok().map(ObjectId))?
    }

    /// The LFS pointer at a path.
    #[must_use]
    pub fn pointer(&self, path: &str) -> Option<Pointer> {
        let repository = self.repository.to_thread_local();
        let entry = repository.find_tree(self.root).ok()?.lookup_entry_by_path(path).ok()??;
        let is_short = |header: gix::odb::find::Header| header.size() < POINTER_LIMIT as u64;
        let short = entry.mode().is_blob() && repository.find_header(entry.object_id()).is_ok_and(is_short);
        Pointer::read(&short.then(|| entry.object().ok())??.data)
    }

    /// Writes the commit's files to a new folder, if one is given, and hashes them as Nix does.
    ///
    /// # Errors
    /// Where the tree holds what is not to be written, or the folder can't be written.
    pub fn export(&self, to: Option<&Path>) -> Result<Export, Error> {
        let repository = self.repository.to_thread_local();
        let mut exporter = Exporter {
            repository: &repository,
            encoder: Encoder::new(sha2::Sha256::new()).map_err(refused)?,
            submodules: BTreeMap::new(),
            files: 0,
            size: 0,
        };
        exporter.folder(self.root, None, to, &mut String::new(), 0)?;
        let Exporter { encoder, submodules, .. } = exporter;
        let digest: [u8; 32] = encoder.finish().map_err(refused)?.finalize().into();
        Ok(Export { nar_hash: Sri(Sha256(digest)), submodules })
    }
}

fn lacking(error: impl std::fmt::Display) -> Error {
    Error::NoCommit(format!("the repository lacks a part of the commit: {error}"))
}

/// The files of a commit that say something to cargo, by folder, and its links.
#[derive(Debug, Clone, Default)]
pub struct CargoFiles {
    /// Manifests.
    pub manifests: BTreeMap<SubPath, String>,
    /// Lock files.
    pub locks: BTreeMap<SubPath, String>,
    /// Links, by path, with their targets.
    pub links: BTreeMap<String, String>,
    /// Executable files.
    pub executables: BTreeSet<String>,
    /// `rust-toolchain.toml`, or `rust-toolchain`, by folder.
    pub toolchains: BTreeMap<String, String>,
    /// Whether files may be pointers to LFS objects: a `.gitattributes` says so.
    pub uses_lfs: bool,
    /// Where submodules come from, by path, as `.gitmodules` has it.
    pub submodules: BTreeMap<String, String>,
}

impl CargoFiles {
    /// Whether the repository has no other package: then a tag like `v1.0.0` is this package's.
    #[must_use]
    pub fn has_only_one_package(&self) -> bool {
        self.manifests.values().filter(|text| Manifest::read(text).name().is_some()).count() == 1
    }

    /// The version that the manifest of a folder has, where it is another than this one.
    #[must_use]
    pub fn other_version(&self, folder: &SubPath, version: &Version) -> Option<String> {
        let manifest = Manifest::read(self.manifests.get(folder)?);
        manifest.version().filter(|other| *other != version.to_string()).map(str::to_owned)
    }
}

/// How `.gitattributes` says of files that they lie elsewhere.
const LFS: &[u8] = b"filter=lfs";

/// The addresses that a `.gitmodules` names, by path; none where it can't be read.
fn addresses(text: &[u8]) -> BTreeMap<String, String> {
    let options = gix::config::file::init::Options::default();
    let Ok(file) = gix::config::File::from_bytes_no_includes(text, gix::config::file::Metadata::api(), options) else {
        return BTreeMap::new();
    };
    let sections = file.sections_by_name("submodule").into_iter().flatten();
    sections
        .filter_map(|section| Some((section.value("path")?.to_string(), section.value("url")?.to_string())))
        .collect()
}

/// An entry of a tree, as [`walk`] shows it.
struct Leaf {
    id: gix::ObjectId,
    is_file: bool,
    is_executable: bool,
}

/// Shows every file of a tree, with its path. Stops at the limits.
fn walk(
    repository: &gix::Repository,
    root: gix::ObjectId,
    show: &mut dyn FnMut(&str, Leaf) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut seen = 0;
    let mut queue = vec![(String::new(), root, 0)];
    while let Some((folder, id, depth)) = queue.pop() {
        if depth > DEPTH_LIMIT {
            return Err(Error::Refused(format!("its folders lie more than {DEPTH_LIMIT} deep")));
        }
        let tree = repository.find_tree(id).map_err(lacking)?;
        for entry in tree.iter() {
            let entry = entry.map_err(refused)?;
            seen += 1;
            if seen > FILE_LIMIT {
                return Err(Error::Refused(format!("it has more than {FILE_LIMIT} files")));
            }
            let Ok(name) = std::str::from_utf8(entry.filename()) else { continue };
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            match entry.mode().kind() {
                EntryKind::Tree => queue.push((path, entry.object_id(), depth + 1)),
                EntryKind::Commit => {}
                kind => {
                    let is_executable = kind == EntryKind::BlobExecutable;
                    show(&path, Leaf { id: entry.object_id(), is_file: kind != EntryKind::Link, is_executable })?;
                }
            }
        }
    }
    Ok(())
}

struct Exporter<'a> {
    repository: &'a gix::Repository,
    encoder: Encoder<sha2::Sha256>,
    submodules: BTreeMap<String, CommitId>,
    files: usize,
    size: u64,
}

impl Exporter<'_> {
    fn folder(
        &mut self,
        id: gix::ObjectId,
        name: Option<&[u8]>,
        to: Option<&Path>,
        path: &mut String,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > DEPTH_LIMIT {
            return Err(Error::Refused(format!("its folders lie more than {DEPTH_LIMIT} deep")));
        }
        if let Some(to) = to {
            fs_err::create_dir(to)?;
        }
        self.encoder.start_directory(name).map_err(refused)?;
        let tree = self.repository.find_tree(id).map_err(lacking)?;
        let mut entries: Vec<_> = tree.iter().collect::<Result<_, _>>().map_err(refused)?;
        // git sorts folders as if their names ended in a slash, a NAR does not.
        entries.sort_by(|a, b| a.filename().cmp(b.filename()));
        for entry in entries {
            let name: &[u8] = entry.filename();
            if name.is_empty()
                || name == b"."
                || name == b".."
                || name.contains(&b'/')
                || name.eq_ignore_ascii_case(b".git")
            {
                return Err(Error::Refused(format!("it has a file named `{}`", entry.filename())));
            }
            self.files += 1;
            if self.files > FILE_LIMIT {
                return Err(Error::Refused(format!("it has more than {FILE_LIMIT} files")));
            }
            let place = to.map(|to| to.join(std::ffi::OsStr::from_bytes(name)));
            let length = path.len();
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(&String::from_utf8_lossy(name));
            match entry.mode().kind() {
                EntryKind::Tree => self.folder(entry.object_id(), Some(name), place.as_deref(), path, depth + 1)?,
                EntryKind::Commit => {
                    self.submodule(entry.object_id(), name, place.as_deref(), path)?;
                }
                kind => self.leaf(entry.object_id(), kind, name, place.as_deref())?,
            }
            path.truncate(length);
        }
        self.encoder.end_directory().map_err(refused)
    }

    fn submodule(&mut self, id: gix::ObjectId, name: &[u8], to: Option<&Path>, path: &str) -> Result<(), Error> {
        if path.contains('\n') {
            return Err(Error::Refused("it has a submodule with a line break in its path".to_owned()));
        }
        if let Some(to) = to {
            fs_err::create_dir(to)?;
        }
        self.encoder.start_directory(Some(name)).map_err(refused)?;
        self.encoder.end_directory().map_err(refused)?;
        let commit = id.as_bytes().try_into().map_err(refused)?;
        self.submodules.insert(path.to_owned(), CommitId(commit));
        Ok(())
    }

    fn leaf(&mut self, id: gix::ObjectId, kind: EntryKind, name: &[u8], to: Option<&Path>) -> Result<(), Error> {
        let blob = self.repository.find_object(id).map_err(lacking)?;
        self.size += blob.data.len() as u64;
        if self.size > SIZE_LIMIT {
            return Err(Error::Refused(format!("its files are larger than {SIZE_LIMIT} bytes together")));
        }
        if kind == EntryKind::Link {
            if let Some(to) = to {
                symlink(std::ffi::OsStr::from_bytes(&blob.data), to)?;
            }
            return self.encoder.symlink(Some(name), &blob.data).map_err(refused);
        }
        let executable = kind == EntryKind::BlobExecutable;
        if let Some(to) = to {
            let mode = if executable { 0o755 } else { 0o644 };
            let mut file = fs_err::OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
            file.write_all(&blob.data)?;
        }
        self.encoder.regular(Some(name), executable, &blob.data).map_err(refused)
    }
}
