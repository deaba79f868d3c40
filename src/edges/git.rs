//! Git: gets commits by their id, and nothing else, into one object cache.
//!
//! Repositories are hostile. They are asked for objects over https or at a configured mirror only, nothing of their
//! configuration, hooks, filters or attributes is ever looked at, and files are written from raw blobs.

pub mod commit;
pub mod error;
pub mod history;
pub mod lfs;

use std::sync::atomic::AtomicBool;

use gix::remote::Direction;
use gix::remote::fetch::{Shallow, Tags};

use super::cache::Cache;
use super::network::{Network, chain};
use super::software_heritage::SoftwareHeritage;
use crate::model::commit::CommitId;
use crate::model::repository::RepositoryUrl;
use commit::Commit;
pub use error::Error;
use error::{is_not_there, object_id, refused};

/// A rule that sends repositories elsewhere: addresses that begin with `prefix` go to `replacement` instead.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The front of a canonical address, like `https://github.com/`.
    pub prefix: String,
    /// What replaces it: an `https://`, `http://`, `ssh://` or `file://` address, or a folder.
    pub replacement: String,
}

impl std::str::FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (prefix, replacement) = text
            .split_once('=')
            .ok_or("expected PREFIX=REPLACEMENT, like https://github.com/=/srv/mirrors/".to_owned())?;
        let replacement = without_file_scheme(replacement);
        let legal = ["https://", "http://", "ssh://", "/"].iter().any(|start| replacement.starts_with(start));
        if !legal {
            return Err(format!(
                "`{replacement}` is neither an https, http, ssh or file address nor an absolute folder"
            ));
        }
        Ok(Self { prefix: prefix.to_owned(), replacement: replacement.to_owned() })
    }
}

/// A folder as git's `file://` addresses name it.
#[must_use]
pub fn without_file_scheme(replacement: &str) -> &str {
    replacement.strip_prefix("file://localhost/").map_or_else(
        || replacement.strip_prefix("file://").unwrap_or(replacement),
        |rest| &replacement[replacement.len() - rest.len() - 1..],
    )
}

/// Where commits come from.
#[derive(Debug, Clone)]
pub struct Git {
    /// The object cache.
    pub cache: Cache,
    /// Rules, the first that fits counts.
    pub mirrors: Vec<Mirror>,
    /// The archive that is asked for commits that are nowhere else; none where it must not be.
    pub archive: Option<SoftwareHeritage>,
    /// Leave to ask repositories that no rule sends to a folder.
    pub network: Option<Network>,
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

    /// Whether getting a commit takes a server.
    #[must_use]
    pub fn would_ask(&self, repository: &RepositoryUrl, id: CommitId) -> bool {
        let is_folder = self.address(repository).starts_with('/');
        let is_cached = || {
            let cached = self.existing("git", &plain_name(repository));
            cached.is_some_and(|cached| cached.to_thread_local().has_object(object_id(id)))
        };
        !is_folder && self.network.is_some() && !is_cached()
    }

    /// Gets commits of one repository, all in one request.
    ///
    /// # Errors
    /// For each commit on its own: where it can't be had.
    pub fn commits(&self, repository: &RepositoryUrl, wanted: &[CommitId]) -> Vec<Result<Commit, Error>> {
        let address = self.address(repository);
        if address.starts_with('/') {
            return match open_folder(&address) {
                Ok(found) => wanted.iter().map(|id| Commit::read(&found, *id)).collect(),
                Err(error) => wanted.iter().map(|_| Err(error.clone())).collect(),
            };
        }
        let unreachable = |reason: &str| Error::Unreachable { url: address.clone(), reason: reason.to_owned() };
        let cached = match self.bare("git", &plain_name(repository)) {
            Ok(cached) => cached,
            Err(error) => return wanted.iter().map(|_| Err(unreachable(&error.to_string()))).collect(),
        };
        let local = cached.to_thread_local();
        let missing: Vec<CommitId> = wanted.iter().copied().filter(|id| !local.has_object(object_id(*id))).collect();
        if missing.is_empty() || self.network.is_none() {
            let had = |id: &CommitId| if missing.contains(id) { Err(Error::Offline(*id)) } else { Ok(*id) };
            return wanted.iter().map(|id| Commit::read(&cached, had(id)?)).collect();
        }
        let fetch = |ids: &[CommitId]| by_either_name(&address, |address| fetch_by_id(&local, address, ids));
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
                Err(Error::NoRepository(format!("{address} is not there, or not public")))
            }
            Err(reason) if reason.to_ascii_lowercase().contains("sha256") => Err(Error::Sha256(address.clone())),
            Err(reason) if !reason.contains(NO_SUCH_COMMIT) => Err(unreachable(&reason)),
            _ => Commit::read(&cached, *id),
        };
        wanted.iter().map(read).collect()
    }

    /// Gets a commit of a repository from the archive; none where it does not have it, or must not be asked.
    ///
    /// # Errors
    /// Where the archive can't be asked, or gives something else.
    pub fn archived(&self, repository: &RepositoryUrl, id: CommitId) -> Result<Option<Commit>, Error> {
        let Some(archive) = &self.archive else { return Ok(None) };
        let found = self.bare("archived", &plain_name(repository))?;
        let local = found.to_thread_local();
        let unreachable = |reason: String| Error::Unreachable { url: archive.address.clone(), reason };
        if local.has_object(object_id(id)) || archive.commit(id, &local).map_err(unreachable)? {
            return Commit::read(&found, id).map(Some);
        }
        Ok(None)
    }

    /// One of the cache's own copies of a repository, by a name for it: `git` has whatever commits of it were asked for
    /// before, with their files; `history` those that the branches and tags of one address reach, without.
    fn bare(&self, copies: &str, name: &str) -> Result<gix::ThreadSafeRepository, Error> {
        let folder = self.copy(copies, name);
        let isolated = gix::open::Options::isolated;
        if folder.join("HEAD").is_file() {
            gix::ThreadSafeRepository::open_opts(&folder, isolated()).map_err(refused)
        } else {
            fs_err::create_dir_all(&folder)?;
            let options = gix::create::Options::default();
            gix::ThreadSafeRepository::init_opts(&folder, gix::create::Kind::Bare, options, isolated()).map_err(refused)
        }
    }

    /// The same where it is there already: for who only looks, while somebody else may be making it.
    fn existing(&self, copies: &str, name: &str) -> Option<gix::ThreadSafeRepository> {
        let folder = self.copy(copies, name);
        let there = folder.join("HEAD").is_file();
        there.then(|| gix::ThreadSafeRepository::open_opts(&folder, gix::open::Options::isolated()).ok())?
    }

    fn copy(&self, copies: &str, name: &str) -> std::path::PathBuf {
        self.cache.path(copies).join(format!("{name}.git"))
    }
}

/// A repository as part of a path.
fn plain_name(repository: &RepositoryUrl) -> String {
    repository.as_str().trim_start_matches("https://").to_owned()
}

/// A server's words for a commit that it does not have.
const NO_SUCH_COMMIT: &str = "not our ref";

/// Asks a repository. Code hosts take its name with and without the suffix; a plain web server knows only one.
fn by_either_name<T>(address: &str, ask: impl Fn(&str) -> Result<T, String>) -> Result<T, String> {
    match ask(address) {
        Err(reason) if is_not_there(&reason) => ask(&format!("{address}.git")),
        done => done,
    }
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
fn open_folder(address: &str) -> Result<gix::ThreadSafeRepository, Error> {
    let options = gix::open::Options::isolated;
    let with_suffix = format!("{address}.git");
    let folder = if std::path::Path::new(&with_suffix).exists() { with_suffix.as_str() } else { address };
    gix::ThreadSafeRepository::open_opts(folder, options()).map_err(|_| {
        if has_sha256_ids(std::path::Path::new(folder)) {
            return Error::Sha256(folder.to_owned());
        }
        Error::NoRepository(format!("there is no git repository at {address} or {with_suffix}"))
    })
}

/// Whether a repository's configuration names SHA-256 as its object format: this program's library opens no such one.
fn has_sha256_ids(folder: &std::path::Path) -> bool {
    let config = [folder.join("config"), folder.join(".git/config")].into_iter().find(|file| file.is_file());
    let text = config.and_then(|file| fs_err::read_to_string(file).ok()).unwrap_or_default().to_ascii_lowercase();
    text.lines().any(|line| line.replace(' ', "").trim() == "objectformat=sha256")
}
