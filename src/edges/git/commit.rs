//! A fetched commit: what its trees hold, and its files as Nix hashes them.
//!
//! Nothing of the repository's configuration or attributes is looked at: files are written from raw blobs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use fs_err::os::unix::fs::{OpenOptionsExt as _, symlink};
use nix_archive::nar::Encoder;
use semver::Version;
use sha2::Digest as _;

use super::error::{Error, object_id, refused};
use super::server::{Server, Wish, by_either_name};
use crate::contract::git::{Kind, ObjectId, hash, tree_of_commit};
use crate::contract::lean::{Selection, is_read_anywhere};
use crate::contract::lfs::{POINTER_LIMIT, Pointer};
use crate::contract::trees::{BadTrees, Leaf, Leaves, Mode, Trees, submodules};
use crate::edges::parallel::locked;
use crate::model::commit::CommitId;
use crate::model::digest::{Sha256, Sri};
use crate::model::sub_path::SubPath;
use crate::stages::artefact::TEXT_LIMIT;
use crate::stages::manifest::Manifest;

/// How large the files of a source may be together.
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
    origin: Origin,
    /// Read once for packages that are looked at together, and let go of after the last.
    listing: Arc<Mutex<Weak<Listing>>>,
    /// Keeps the listing for this package.
    held: OnceLock<Arc<Listing>>,
}

/// Where a commit's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// All of them in the repository that it was read from.
    Folder,
    /// Some there, the others at a server.
    Server {
        /// Its address.
        address: String,
        /// How long it may be asked; none where it must not be.
        patience: Option<Duration>,
    },
}

/// What a commit's trees hold.
#[derive(Debug)]
struct Listing {
    trees: Trees,
    leaves: Leaves,
}

impl From<BadTrees> for Error {
    fn from(error: BadTrees) -> Self {
        Self::Refused(error.to_string())
    }
}

impl Commit {
    /// Reads a commit of a repository.
    pub(super) fn read(repository: &gix::ThreadSafeRepository, id: CommitId, origin: Origin) -> Result<Self, Error> {
        let local = repository.to_thread_local();
        let gone = |what: &str| Error::NoCommit(format!("the repository has no commit {id}{what}"));
        let object = local.find_object(object_id(id)).map_err(|_| gone(""))?;
        if object.kind != gix::objs::Kind::Commit {
            return Err(gone(&format!(": that id is a {}", object.kind)));
        }
        let body = object.data.clone();
        let tree = tree_of_commit(&body).ok_or_else(|| gone(" that can be read"))?;
        let repository = repository.clone();
        Ok(Self { id, body, tree, repository, origin, listing: Arc::default(), held: OnceLock::new() })
    }

    fn listing(&self) -> Result<&Listing, Error> {
        if let Some(listing) = self.held.get() {
            return Ok(listing);
        }
        let mut shared = locked(&self.listing);
        if let Some(listing) = shared.upgrade() {
            return Ok(self.held.get_or_init(|| listing));
        }
        let repository = self.repository.to_thread_local();
        let trees = Trees::gather(self.tree, |id| -> Result<_, Error> {
            Ok(repository.find_tree(gix::ObjectId::Sha1(id.0)).map_err(gone)?.detach().data)
        })?;
        let leaves = trees.leaves()?;
        let listing = Arc::new(Listing { trees, leaves });
        *shared = Arc::downgrade(&listing);
        Ok(self.held.get_or_init(|| listing))
    }

    /// What is likely to be read of it in order to package the packages in these folders.
    pub(super) fn likely(&self, folders: &BTreeSet<SubPath>) -> Result<Vec<ObjectId>, Error> {
        let is_likely = |path: &[u8], mode| match mode {
            Mode::Link => true,
            Mode::File | Mode::Executable => std::str::from_utf8(path).is_ok_and(|path| is_likely(path, folders)),
            Mode::Tree | Mode::Submodule => false,
        };
        let leaves = self.listing()?.leaves.iter();
        Ok(leaves.filter(|(path, leaf)| is_likely(path, leaf.mode)).map(|(_, leaf)| leaf.id).collect())
    }

    /// Gets files from the server, as far as they are not here.
    fn bring(&self, wanted: impl IntoIterator<Item = ObjectId>) -> Result<(), Error> {
        let Origin::Server { address, patience } = &self.origin else { return Ok(()) };
        let wanted = lacking(&self.repository.to_thread_local(), wanted);
        if wanted.is_empty() {
            return Ok(());
        }
        let Some(patience) = *patience else { return Err(Error::Offline(self.id)) };
        let (into, id) = (self.repository.clone(), self.id);
        let ask = move |address: &str| {
            let repository = into.to_thread_local();
            let blobs = Wish { wanted: wanted.clone(), history: true, ..Wish::default() };
            // A server that does not give files by their ids gives the commit with all of them.
            Server::connect(&repository, address)?.receive(blobs).or_else(|_| {
                let whole = Wish { wanted: vec![object_id(id)], ..Wish::default() };
                Server::connect(&repository, address)?.receive(whole)
            })
        };
        by_either_name(address, patience, ask).map_err(|reason| Error::Unreachable { url: address.clone(), reason })
    }

    /// The content of a file.
    fn content(&self, repository: &gix::Repository, id: ObjectId) -> Result<Vec<u8>, Error> {
        blob(repository, id).or_else(|_| {
            self.bring([id])?;
            blob(repository, id)
        })
    }

    /// The file of all its trees.
    ///
    /// # Errors
    /// Where one can't be read.
    pub fn trees(&self) -> Result<Vec<u8>, Error> {
        Ok(self.listing()?.trees.to_bytes())
    }

    /// Everything of the commit that says something to cargo.
    ///
    /// # Errors
    /// Where the trees, or a file of these, can't be read.
    pub fn cargo_files(&self) -> Result<CargoFiles, Error> {
        let leaves = &self.listing()?.leaves;
        self.bring(self.likely(&BTreeSet::new())?)?;
        let repository = self.repository.to_thread_local();
        let mut found = CargoFiles { gitlinks: submodules(leaves), ..CargoFiles::default() };
        // Names that are no text are none that cargo looks for.
        let named = leaves.iter().filter_map(|(path, leaf)| Some((std::str::from_utf8(path).ok()?, leaf)));
        for (path, leaf) in named {
            let text = || Ok::<_, Error>(String::from_utf8_lossy(&text_blob(&repository, leaf.id)?).into_owned());
            match leaf.mode {
                Mode::Link => {
                    found.links.insert(path.to_owned(), text()?);
                    continue;
                }
                Mode::Executable => drop(found.executables.insert(path.to_owned())),
                Mode::File => {}
                Mode::Tree | Mode::Submodule => continue,
            }
            if path == ".gitmodules" {
                found.submodules = addresses(&text_blob(&repository, leaf.id)?);
            }
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            if name == ".gitattributes" {
                let text = text_blob(&repository, leaf.id)?;
                found.uses_lfs |= text.windows(LFS.len()).any(|word| word == LFS);
            }
            if name == "rust-toolchain.toml" || name == "rust-toolchain" && !found.toolchains.contains_key(folder) {
                found.toolchains.insert(folder.to_owned(), text()?);
            }
            let into = match name {
                "Cargo.toml" => &mut found.manifests,
                "Cargo.lock" => &mut found.locks,
                _ => continue,
            };
            if let Ok(folder) = folder.parse::<SubPath>() {
                into.insert(folder, text()?);
            }
        }
        Ok(found)
    }

    /// What lies at a path that is no folder.
    fn leaf(&self, path: &str) -> Option<Leaf> {
        self.listing().ok()?.leaves.get(path.as_bytes()).copied()
    }

    /// The id of the blob at a path.
    #[must_use]
    pub fn blob(&self, path: &str) -> Option<ObjectId> {
        let is_file = |leaf: &Leaf| matches!(leaf.mode, Mode::File | Mode::Executable);
        self.leaf(path).filter(is_file).map(|leaf| leaf.id)
    }

    /// The LFS pointer at a path.
    #[must_use]
    pub fn pointer(&self, path: &str) -> Option<Pointer> {
        let repository = self.repository.to_thread_local();
        let id = gix::ObjectId::Sha1(self.blob(path)?.0);
        let is_short = repository.find_header(id).is_ok_and(|header| header.size() < POINTER_LIMIT as u64);
        Pointer::read(&is_short.then(|| repository.find_object(id).ok())??.data)
    }

    /// The files of the package in `folder`, by their path in that; those of packages further down are not its.
    ///
    /// # Errors
    /// Where the trees can't be read.
    pub fn package_files(&self, folder: &SubPath) -> Result<BTreeMap<Vec<u8>, Leaf>, Error> {
        let leaves = &self.listing()?.leaves;
        let inside = |path: &[u8]| {
            let rest = path.strip_prefix(folder.as_str().as_bytes())?;
            let rest = if folder.as_str().is_empty() { rest } else { rest.strip_prefix(b"/")? };
            Some(rest.to_vec())
        };
        let mut files: BTreeMap<Vec<u8>, Leaf> =
            leaves.iter().filter_map(|(path, leaf)| Some((inside(path)?, *leaf))).collect();
        let others: Vec<Vec<u8>> = files
            .keys()
            .filter_map(|path| path.strip_suffix(b"/Cargo.toml").map(|folder| [folder, b"/"].concat()))
            .collect();
        let others: BTreeSet<Vec<u8>> = others.into_iter().collect();
        let is_other = |path: &[u8]| {
            let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            slashes.into_iter().any(|(at, _)| others.contains(&path[..=at]))
        };
        files.retain(|path, _| !is_other(path));
        Ok(files)
    }

    /// The contents of files, each at most `limit` bytes; none of what is larger, or no file.
    ///
    /// # Errors
    /// Where one can't be had, or is something else than its id says.
    pub fn contents(&self, leaves: &[Leaf], limit: u64) -> Result<BTreeMap<ObjectId, Vec<u8>>, Error> {
        let ids: BTreeSet<ObjectId> =
            leaves.iter().filter(|leaf| leaf.mode != Mode::Submodule).map(|leaf| leaf.id).collect();
        self.bring(ids.iter().copied())?;
        let repository = self.repository.to_thread_local();
        let mut contents = BTreeMap::new();
        for id in ids {
            let size = repository.find_header(gix::ObjectId::Sha1(id.0)).map_err(gone)?.size();
            if size <= limit {
                contents.insert(id, proven_blob(&repository, id, limit)?);
            }
        }
        Ok(contents)
    }

    /// Writes what packaging the package in `folder` reads to a new folder, if one is given, and hashes it as Nix does; for
    /// the root that is the whole commit, as `builtins.fetchGit` would give it.
    ///
    /// # Errors
    /// Where a file can't be read, or the folder can't be written.
    pub fn export(&self, folder: &SubPath, to: Option<&Path>) -> Result<Sri, Error> {
        let leaves = &self.listing()?.leaves;
        let repository = self.repository.to_thread_local();
        self.bring(self.likely(&BTreeSet::from([folder.clone()]))?)?;
        let selection = Selection::of(leaves, folder, |_, id| self.content(&repository, id))?;
        let mut root = Folder::default();
        for (path, leaf) in leaves.iter().filter(|(path, _)| selection.has(path)) {
            root.insert(path, *leaf);
        }
        let selected = leaves.iter().filter(|(path, leaf)| leaf.mode != Mode::Submodule && selection.has(path));
        self.bring(selected.map(|(_, leaf)| leaf.id))?;
        let encoder = Encoder::new(sha2::Sha256::new()).map_err(refused)?;
        let mut exporter = Exporter { repository: &repository, encoder, size: 0 };
        exporter.folder(&root, None, to)?;
        let digest: [u8; 32] = exporter.encoder.finish().map_err(refused)?.finalize().into();
        Ok(Sri(Sha256(digest)))
    }
}

/// Whether a file is likely to be read in order to package the packages in these folders: fetched together, such files take
/// one request, and few others are needed then.
fn is_likely(path: &str, folders: &BTreeSet<SubPath>) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let is_target = || {
        let parent = folder.rsplit('/').next().unwrap_or(folder);
        TARGETS.contains(&name) || TARGET_FOLDERS.contains(&parent) && name.ends_with(".rs")
    };
    let is_text = || folder.is_empty() && TEXTS.iter().any(|text| name.to_ascii_uppercase().starts_with(text));
    is_read_anywhere(path)
        || name.starts_with("rust-toolchain")
        || is_target()
        || is_text()
        || folders.iter().any(|own| Path::new(path).starts_with(own.as_str()))
}

/// Files that cargo looks for in every package of a workspace, and folders that it looks for more in.
const TARGETS: [&str; 3] = ["lib.rs", "main.rs", "build.rs"];
const TARGET_FOLDERS: [&str; 4] = ["bin", "examples", "tests", "benches"];

/// How the names of files begin that packages often take from the root.
const TEXTS: [&str; 4] = ["README", "LICENSE", "COPYING", "NOTICE"];

/// What one file of a commit may have, in bytes: it is in memory as a whole. Code hosts take no larger ones.
const BLOB_LIMIT: u64 = 512 << 20;

/// The content of a blob.
fn blob(repository: &gix::Repository, id: ObjectId) -> Result<Vec<u8>, Error> {
    blob_up_to(repository, id, BLOB_LIMIT)
}

/// The same, of a file that is read as a whole and taken apart. What a copy holds under an id may be something else: somebody else may
/// have put it there, and what the text says decides what is built.
fn text_blob(repository: &gix::Repository, id: ObjectId) -> Result<Vec<u8>, Error> {
    proven_blob(repository, id, TEXT_LIMIT)
}

/// The content of a blob, hashed.
fn proven_blob(repository: &gix::Repository, id: ObjectId, limit: u64) -> Result<Vec<u8>, Error> {
    let text = blob_up_to(repository, id, limit)?;
    if hash(Kind::Blob, &text) == id { Ok(text) } else { Err(gone(format!("{id} is something else in its copy"))) }
}

/// It is looked at how large it is before it is read.
fn blob_up_to(repository: &gix::Repository, id: ObjectId, limit: u64) -> Result<Vec<u8>, Error> {
    let size = repository.find_header(gix::ObjectId::Sha1(id.0)).map_err(gone)?.size();
    if size > limit {
        return Err(refused(format!("it has a file of {size} bytes, {id}, where {limit} are the most")));
    }
    Ok(repository.find_object(gix::ObjectId::Sha1(id.0)).map_err(gone)?.detach().data)
}

/// The objects that a repository does not have.
pub(super) fn lacking(repository: &gix::Repository, wanted: impl IntoIterator<Item = ObjectId>) -> Vec<gix::ObjectId> {
    let wanted: BTreeSet<gix::ObjectId> = wanted.into_iter().map(|id| gix::ObjectId::Sha1(id.0)).collect();
    let mut wanted: Vec<gix::ObjectId> = wanted.into_iter().collect();
    // Looking for something that is not there looks for new packs, too: once is enough.
    let mut once = repository.clone();
    once.objects.refresh_never();
    wanted.retain(|id| !once.has_object(id));
    if wanted.first().is_some_and(|id| repository.has_object(id)) {
        wanted.retain(|id| !repository.has_object(id));
    }
    wanted
}

fn gone(error: impl std::fmt::Display) -> Error {
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
    /// Submodules, by path: the commits that the trees name.
    pub gitlinks: BTreeMap<String, CommitId>,
}

impl CargoFiles {
    /// Whether a folder has a lock file, or a link in its place.
    #[must_use]
    pub fn has_lock(&self, folder: &SubPath) -> bool {
        self.locks.contains_key(folder) || self.links.contains_key(&folder.join("Cargo.lock"))
    }

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

/// A folder of a source: NARs have names in their own order, not in git's.
#[derive(Default)]
struct Folder<'a>(BTreeMap<&'a [u8], Node<'a>>);

enum Node<'a> {
    Folder(Folder<'a>),
    Leaf(Leaf),
}

impl<'a> Folder<'a> {
    fn insert(&mut self, path: &'a [u8], leaf: Leaf) {
        let Some(slash) = path.iter().position(|byte| *byte == b'/') else {
            self.0.insert(path, Node::Leaf(leaf));
            return;
        };
        let below = self.0.entry(&path[..slash]).or_insert_with(|| Node::Folder(Folder::default()));
        // A file and a folder of one name are refused where trees are read.
        if let Node::Folder(below) = below {
            below.insert(&path[slash + 1..], leaf);
        }
    }
}

struct Exporter<'a> {
    repository: &'a gix::Repository,
    encoder: Encoder<sha2::Sha256>,
    size: u64,
}

impl Exporter<'_> {
    fn folder(&mut self, folder: &Folder<'_>, name: Option<&[u8]>, to: Option<&Path>) -> Result<(), Error> {
        if let Some(to) = to {
            fs_err::create_dir(to)?;
        }
        self.encoder.start_directory(name).map_err(refused)?;
        for (name, node) in &folder.0 {
            let place = to.map(|to| to.join(std::ffi::OsStr::from_bytes(name)));
            match node {
                Node::Folder(below) => self.folder(below, Some(name), place.as_deref())?,
                Node::Leaf(leaf) => self.leaf(*leaf, name, place.as_deref())?,
            }
        }
        self.encoder.end_directory().map_err(refused)
    }

    fn leaf(&mut self, leaf: Leaf, name: &[u8], to: Option<&Path>) -> Result<(), Error> {
        // A submodule is an empty folder.
        if leaf.mode == Mode::Submodule {
            return self.folder(&Folder::default(), Some(name), to);
        }
        let content = blob(self.repository, leaf.id)?;
        self.size += content.len() as u64;
        if self.size > SIZE_LIMIT {
            return Err(Error::Refused(format!("its files are larger than {SIZE_LIMIT} bytes together")));
        }
        if leaf.mode == Mode::Link {
            if let Some(to) = to {
                symlink(std::ffi::OsStr::from_bytes(&content), to)?;
            }
            return self.encoder.symlink(Some(name), &content).map_err(refused);
        }
        let executable = leaf.mode == Mode::Executable;
        if let Some(to) = to {
            let mode = if executable { 0o755 } else { 0o644 };
            let mut file = fs_err::OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
            file.write_all(&content)?;
        }
        self.encoder.regular(Some(name), executable, &content).map_err(refused)
    }
}
