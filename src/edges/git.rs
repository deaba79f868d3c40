//! Git: gets commits by their id, and nothing else, into one object cache.
//!
//! Repositories are hostile. They are asked for objects over https or at a configured mirror only, nothing of their
//! configuration, hooks, filters or attributes is ever looked at, and files are written from raw blobs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use gix::objs::tree::EntryKind;
use gix::remote::Direction;
use gix::remote::fetch::{Shallow, Tags};
use nix_archive::nar::Encoder;
use sha2::Digest as _;

use super::cache::{Cache, Doing as _, FileError};
use super::network::chain;
use crate::builder::git::Id;
use crate::model::digest::{Sha256, Sri};
use crate::model::source::{CommitId, RepositoryUrl, SubPath};

/// How many files a commit may have, how deep they may lie, and how much they may be together.
const FILE_LIMIT: usize = 300_000;
const DEPTH_LIMIT: usize = 128;
const SIZE_LIMIT: u64 = 4 << 30;

/// A rule that sends repositories elsewhere: addresses that begin with `prefix` go to `replacement` instead.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The front of a canonical address, like `https://github.com/`.
    pub prefix: String,
    /// What stands in its stead: an `https://` or `http://` address, an `ssh://` one, or a folder.
    pub replacement: String,
}

impl std::str::FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (prefix, replacement) = text
            .split_once('=')
            .ok_or("expected PREFIX=REPLACEMENT, like https://github.com/=/srv/mirrors/".to_owned())?;
        let legal = ["https://", "http://", "ssh://", "/"].iter().any(|start| replacement.starts_with(start));
        if !legal {
            return Err(format!("`{replacement}` is neither an https, http or ssh address nor an absolute folder"));
        }
        Ok(Self { prefix: prefix.to_owned(), replacement: replacement.to_owned() })
    }
}

/// Where commits come from.
#[derive(Debug, Clone)]
pub struct Git {
    /// The object cache.
    pub cache: Cache,
    /// Rules, the first that fits counts.
    pub mirrors: Vec<Mirror>,
    /// Whether repositories that no rule sends to a folder may be asked.
    pub online: bool,
}

/// Why a commit can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository or the commit is not there: a finding about the crate.
    #[error("{0}")]
    Gone(String),
    /// The repository could not be asked.
    #[error("failed to fetch from {url}: {reason}")]
    Unreachable {
        /// The address that was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// It is not in the cache, and the network must not be used.
    #[error("commit {0} is not in the cache, and --offline forbids to fetch it")]
    Offline(CommitId),
    /// The commit is something that this program does not unpack.
    #[error("the commit is refused: {0}")]
    Refused(String),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A commit at hand.
#[derive(Debug)]
pub struct Commit {
    /// Its id.
    pub id: CommitId,
    /// The object's body.
    pub body: Vec<u8>,
    /// Its tree's id, in hex.
    pub tree: String,
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

impl Git {
    /// Where a repository is asked for, after the mirror rules.
    #[must_use]
    pub fn address(&self, repository: &RepositoryUrl) -> String {
        let address = repository.as_str();
        self.mirrors
            .iter()
            .find_map(|mirror| Some(format!("{}{}", mirror.replacement, address.strip_prefix(&mirror.prefix)?)))
            .unwrap_or_else(|| address.to_owned())
    }

    /// Gets commits of one repository, all in one request.
    ///
    /// # Errors
    /// For each commit on its own: where it can't be had.
    pub fn commits(&self, repository: &RepositoryUrl, wanted: &[CommitId]) -> Vec<Result<Commit, Error>> {
        let address = self.address(repository);
        if address.starts_with('/') {
            return match open_folder(&address) {
                Ok(found) => wanted.iter().map(|id| read_commit(&found, *id)).collect(),
                Err(reason) => wanted.iter().map(|_| Err(Error::Gone(reason.clone()))).collect(),
            };
        }
        let unreachable = |reason: &str| Error::Unreachable { url: address.clone(), reason: reason.to_owned() };
        let cached = match self.cached(repository) {
            Ok(cached) => cached,
            Err(error) => return wanted.iter().map(|_| Err(unreachable(&error.to_string()))).collect(),
        };
        let local = cached.to_thread_local();
        let missing: Vec<CommitId> = wanted.iter().copied().filter(|id| !local.has_object(object_id(*id))).collect();
        if missing.is_empty() || !self.online {
            let had = |id: &CommitId| if missing.contains(id) { Err(Error::Offline(*id)) } else { Ok(*id) };
            return wanted.iter().map(|id| read_commit(&cached, had(id)?)).collect();
        }
        // Code hosts take a repository's name with and without the suffix; a plain web server knows only one.
        let fetch = |ids: &[CommitId]| match fetch_by_id(&local, &address, ids) {
            Err(reason) if is_not_there(&reason) => fetch_by_id(&local, &format!("{address}.git"), ids),
            done => done,
        };
        let together = fetch(&missing);
        let fetch_one = |id: &CommitId| {
            if !missing.contains(id) {
                return Ok(());
            }
            match &together {
                // One commit that is gone makes the whole request fail: the others are asked for one by one. Where the
                // server itself is the trouble, asking again for each would only take as long each time.
                Err(reason) if reason.contains(NO_SUCH_COMMIT) && missing.len() > 1 => fetch(&[*id]),
                done => done.clone(),
            }
        };
        let read = |id: &CommitId| match fetch_one(id) {
            Err(reason) if is_not_there(&reason) => {
                Err(Error::Gone(format!("{address} is not there, or not for everybody")))
            }
            Err(reason) if !reason.contains(NO_SUCH_COMMIT) => Err(unreachable(&reason)),
            _ => read_commit(&cached, *id),
        };
        wanted.iter().map(read).collect()
    }

    /// The cache's own copy of a repository: whatever commits of it were asked for before.
    fn cached(&self, repository: &RepositoryUrl) -> Result<gix::ThreadSafeRepository, Error> {
        let plain = repository.as_str().trim_start_matches("https://");
        let folder = self.cache.path("git").join(format!("{plain}.git"));
        let isolated = gix::open::Options::isolated;
        if folder.join("HEAD").is_file() {
            gix::ThreadSafeRepository::open_opts(&folder, isolated()).map_err(refused)
        } else {
            std::fs::create_dir_all(&folder).doing("create the folder", &folder)?;
            let options = gix::create::Options::default();
            gix::ThreadSafeRepository::init_opts(&folder, gix::create::Kind::Bare, options, isolated()).map_err(refused)
        }
    }
}

/// A server's words for a commit that it does not have.
const NO_SUCH_COMMIT: &str = "not our ref";

/// What a fetch ends with where the server has no such repository for everybody: code hosts ask for a password rather
/// than say that there is nothing.
fn is_not_there(reason: &str) -> bool {
    ["No credentials were returned", "HTTP status 401", "404 Not Found", "403 Forbidden"]
        .iter()
        .any(|words| reason.contains(words))
}

/// Asks a repository for commits by their ids, without their history.
fn fetch_by_id(cached: &gix::Repository, address: &str, wanted: &[CommitId]) -> Result<(), String> {
    let specs: Vec<String> = wanted.iter().map(|id| format!("+{id}:refs/recrate/{id}")).collect();
    match receive(cached, address, &specs, Shallow::DepthAtRemote(std::num::NonZeroU32::MIN)) {
        // Over ssh, git's version 2 protocol is seldom let through, and before it servers give by id only what a
        // branch or tag points at: everything is asked for then.
        Err(reason) if reason.contains(NO_SUCH_COMMIT) && address.starts_with("ssh://") => {
            let all = ["heads", "tags"].map(|kind| format!("+refs/{kind}/*:refs/recrate/{kind}/*"));
            receive(cached, address, &all, Shallow::undo())
        }
        done => done,
    }
}

/// Receives what some refspecs ask for.
fn receive(cached: &gix::Repository, address: &str, specs: &[String], history: Shallow) -> Result<(), String> {
    let remote = cached
        .remote_at(address)
        .map_err(|error| chain(&error))?
        .with_refspecs(specs.iter().map(String::as_str), Direction::Fetch)
        .map_err(|error| chain(&error))?
        .with_fetch_tags(Tags::None);
    // A repository that is not for everybody is none; nobody is to be asked for a password.
    let connection = remote.connect(Direction::Fetch).map_err(|error| chain(&error))?.with_credentials(|_| Ok(None));
    connection
        .prepare_fetch(gix::progress::Discard, gix::remote::ref_map::Options::default())
        .map_err(|error| chain(&error))?
        .with_shallow(history)
        .receive(gix::progress::Discard, &AtomicBool::new(false))
        .map_err(|error| chain(&error))?;
    Ok(())
}

/// Opens a repository in a folder, with or without `.git` at the end of its name.
fn open_folder(address: &str) -> Result<gix::ThreadSafeRepository, String> {
    let options = gix::open::Options::isolated;
    gix::ThreadSafeRepository::open_opts(format!("{address}.git"), options())
        .or_else(|_| gix::ThreadSafeRepository::open_opts(address, options()))
        .map_err(|_| format!("there is no git repository at {address} or {address}.git"))
}

fn object_id(id: CommitId) -> gix::ObjectId {
    gix::ObjectId::Sha1(id.0)
}

fn read_commit(repository: &gix::ThreadSafeRepository, id: CommitId) -> Result<Commit, Error> {
    let local = repository.to_thread_local();
    let gone = |what: &str| Error::Gone(format!("the repository has no commit {id}{what}"));
    let object = local.find_object(object_id(id)).map_err(|_| gone(""))?;
    if object.kind != gix::objs::Kind::Commit {
        return Err(gone(&format!(": that id is a {}", object.kind)));
    }
    let body = object.data.clone();
    let root = crate::builder::git::tree_of_commit(&body).ok_or_else(|| gone(" that can be read"))?;
    let root = gix::ObjectId::Sha1(root.0);
    Ok(Commit { id, body, tree: root.to_string(), repository: repository.clone(), root })
}

impl Commit {
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
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
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
    pub fn blob(&self, path: &str) -> Option<Id> {
        let repository = self.repository.to_thread_local();
        let entry = repository.find_tree(self.root).ok()?.lookup_entry_by_path(path).ok()??;
        entry.mode().is_blob().then(|| entry.object_id().as_bytes().try_into().ok().map(Id))?
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
    Error::Gone(format!("the repository lacks a part of the commit: {error}"))
}

fn refused(error: impl std::fmt::Display) -> Error {
    Error::Refused(error.to_string())
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
            std::fs::create_dir(to).doing("create the folder", to)?;
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
            std::fs::create_dir(to).doing("create the folder", to)?;
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
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&blob.data), to).doing("link", to)?;
            }
            return self.encoder.symlink(Some(name), &blob.data).map_err(refused);
        }
        let executable = kind == EntryKind::BlobExecutable;
        if let Some(to) = to {
            let mode = if executable { 0o755 } else { 0o644 };
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(to).doing("create", to)?;
            file.write_all(&blob.data).doing("write", to)?;
        }
        self.encoder.regular(Some(name), executable, &blob.data).map_err(refused)
    }
}

/// Where a commit's export is remembered: by tree, as the files depend on nothing else.
#[must_use]
pub fn export_memo(tree: &str) -> PathBuf {
    Path::new("exports").join(format!("{tree}.json"))
}
