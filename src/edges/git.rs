//! Git: gets commits by their id, and nothing else, into one object cache.
//!
//! Repositories are hostile. They are asked for objects over https or at a configured mirror only, nothing of their
//! configuration, hooks, filters or attributes is ever looked at, and files are written from raw blobs.

pub mod commit;
pub mod error;
pub mod history;
pub mod lfs;
mod server;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::cache::Cache;
use super::network::Network;
use super::software_heritage::SoftwareHeritage;
use crate::model::commit::CommitId;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;
use commit::{Commit, Origin};
pub use error::Error;
use error::{object_id, refused};
use server::{Server, Wish, Without, by_either_name};

/// Commits, each with the folders of the packages that are wanted of it, as far as these are known. Of the root's package
/// everything is wanted.
pub type Wanted = BTreeMap<CommitId, BTreeSet<SubPath>>;

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
    /// From when on what servers said of branches and tags is believed; where there is none, for a day.
    pub asked_since: Option<Timestamp>,
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

    /// Gets commits of one repository together, with what is likely to be read of them.
    ///
    /// # Errors
    /// For each commit on its own: where it can't be had.
    pub fn commits(&self, repository: &RepositoryUrl, wanted: &Wanted) -> BTreeMap<CommitId, Result<Commit, Error>> {
        let each =
            |read: &dyn Fn(CommitId) -> Result<Commit, Error>| wanted.keys().map(|id| (*id, read(*id))).collect();
        let address = self.address(repository);
        if address.starts_with('/') {
            return match open_folder(&address) {
                Ok(found) => each(&|id| Commit::read(&found, id, Origin::Folder)),
                Err(error) => each(&|_| Err(error.clone())),
            };
        }
        let unreachable = |reason: &str| Error::Unreachable { url: address.clone(), reason: reason.to_owned() };
        let cached = match self.bare("git", &plain_name(repository)) {
            Ok(cached) => cached,
            Err(error) => return each(&|_| Err(unreachable(&error.to_string()))),
        };
        let local = cached.to_thread_local();
        let is_missing = |(id, _): &(&CommitId, &BTreeSet<SubPath>)| !local.has_object(object_id(**id));
        let missing: Wanted = wanted.iter().filter(is_missing).map(|(id, folders)| (*id, folders.clone())).collect();
        let patience = self.network.as_ref().map(|network| network.patience);
        let origin = || Origin::Server { address: address.clone(), patience };
        let Some(network) = self.network.as_ref().filter(|_| !missing.is_empty()) else {
            let had = |id| if missing.contains_key(&id) { Err(Error::Offline(id)) } else { Ok(id) };
            return each(&|id| Commit::read(&cached, had(id)?, origin()));
        };
        let fetch = |wanted: &Wanted| {
            let (cached, wanted) = (cached.clone(), wanted.clone());
            by_either_name(&address, network.patience, move |address| fetch_commits(&cached, address, &wanted))
        };
        let together = fetch(&missing);
        let fetch_one = |id: CommitId| {
            let Some(folders) = missing.get(&id) else { return Ok(()) };
            match &together {
                // One commit that is gone makes the whole request fail: the others are asked for one by one. Where the
                // server itself is the trouble, asking again for each would only take as long each time.
                Err(reason) if reason.contains(NO_SUCH_COMMIT) && missing.len() > 1 => {
                    fetch(&BTreeMap::from([(id, folders.clone())]))
                }
                done => done.clone(),
            }
        };
        each(&|id| match fetch_one(id) {
            Err(reason) if !reason.contains(NO_SUCH_COMMIT) => Err(Error::of_server(&address, reason)),
            _ => Commit::read(&cached, id, origin()),
        })
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
            return Commit::read(&found, id, Origin::Folder).map(Some);
        }
        Ok(None)
    }

    /// One of the cache's own copies of a repository, by a name for it: `git` has whatever commits of it were asked for
    /// before, with their files; `history` those that the branches and tags of one address reach, without.
    fn bare(&self, copies: &str, name: &str) -> Result<gix::ThreadSafeRepository, Error> {
        let folder = self.copy(copies, name);
        let is_there = || folder.join("HEAD").is_file();
        if !is_there() {
            // Made elsewhere and moved as a whole: others may be making it, too, or be killed meanwhile.
            let made = tempfile::tempdir_in(self.cache.temporary()?)?;
            let (place, options) = (made.path().join("made"), gix::create::Options::default());
            fs_err::create_dir(&place)?;
            gix::ThreadSafeRepository::init_opts(&place, gix::create::Kind::Bare, options, with_room())
                .map_err(refused)?;
            fs_err::create_dir_all(folder.parent().unwrap_or(&folder))?;
            if fs_err::rename(&place, &folder).is_err() && !is_there() {
                fs_err::remove_dir_all(&folder)?;
                fs_err::rename(&place, &folder)?;
            }
        }
        gix::ThreadSafeRepository::open_opts(&folder, with_room()).map_err(refused)
    }

    /// The same where it is there already: for who only looks.
    fn existing(&self, copies: &str, name: &str) -> Option<gix::ThreadSafeRepository> {
        let folder = self.copy(copies, name);
        let there = folder.join("HEAD").is_file();
        there.then(|| gix::ThreadSafeRepository::open_opts(&folder, as_it_is()).ok())?
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

/// Asks a server for commits by their ids, without their history; of files, for what is likely to be read of them, where it
/// can leave the others out.
fn fetch_commits(found: &gix::ThreadSafeRepository, address: &str, wanted: &Wanted) -> Result<(), String> {
    let local = found.to_thread_local();
    let mut server = Server::connect(&local, address)?;
    let ids = |wanted: &Wanted| wanted.keys().copied().map(object_id).collect::<Vec<_>>();
    if !server.gives_any_object() {
        let all = Wish { wanted: ids(wanted), ..Wish::default() };
        return match server.receive(all) {
            // Over ssh, git's version 2 protocol is seldom let through, and before it servers give by id only what a
            // branch or tag points at: everything is asked for then.
            Err(reason) if reason.contains(NO_SUCH_COMMIT) && address.starts_with("ssh://") => {
                let mut server = Server::connect(&local, address)?;
                let refs = server.refs(&["refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"])?;
                let wanted = refs.iter().filter_map(|one| one.unpack().1).map(ToOwned::to_owned).collect();
                server.receive(Wish { wanted, history: true, ..Wish::default() })
            }
            done => done,
        };
    }
    let (whole, lean): (Wanted, Wanted) =
        wanted.clone().into_iter().partition(|(_, folders)| folders.contains(&SubPath::default()));
    server.receive(Wish { wanted: ids(&whole), ..Wish::default() })?;
    server.receive(Wish { wanted: ids(&lean), without: Some(Without::Blobs), ..Wish::default() })?;
    let likely = lean.iter().filter_map(|(id, folders)| {
        let commit = Commit::read(found, *id, Origin::Folder).ok()?;
        commit.likely(folders).ok()
    });
    let blobs = commit::lacking(&found.to_thread_local(), likely.flatten());
    // Where this fails, it is asked for again when it is read.
    if let Err(reason) = server.receive(Wish { wanted: blobs, history: true, ..Wish::default() }) {
        tracing::debug!("{address}: {reason}");
    }
    Ok(())
}

/// How repositories are opened: nobody's configuration counts, and no object stands for another.
fn as_it_is() -> gix::open::Options {
    // Many repositories are read at once; each would keep up to 96 MB of what deltas begin with.
    gix::open::Options::isolated().config_overrides(["core.useReplaceRefs=false", "core.deltaBaseCacheLimit=8m"])
}

/// The same for a repository that is fetched into. Each fetch brings a pack or two, and a repository takes no more packs than it
/// had room for when it was opened.
fn with_room() -> gix::open::Options {
    as_it_is().object_store_slots(gix::odb::store::init::Slots::AsNeededByDiskState { multiplier: 2.0, minimum: 512 })
}

/// Opens a repository in a folder, with or without `.git` at the end of its name.
fn open_folder(address: &str) -> Result<gix::ThreadSafeRepository, Error> {
    let with_suffix = format!("{address}.git");
    let folder = if std::path::Path::new(&with_suffix).exists() { with_suffix.as_str() } else { address };
    gix::ThreadSafeRepository::open_opts(folder, as_it_is()).map_err(|_| {
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_repository_takes_as_many_packs_as_fetches_bring() {
        let folder = tempfile::tempdir().unwrap();
        gix::ThreadSafeRepository::init_opts(
            folder.path(),
            gix::create::Kind::Bare,
            gix::create::Options::default(),
            as_it_is(),
        )
        .unwrap();
        let opened = gix::ThreadSafeRepository::open_opts(folder.path(), with_room()).unwrap().to_thread_local();
        let git = |arguments: &[&str], input: &str| {
            let mut git = Command::new("git");
            git.arg("-C").arg(folder.path()).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut git = git.spawn().unwrap();
            git.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            let done = git.wait_with_output().unwrap();
            assert!(done.status.success());
            String::from_utf8(done.stdout).unwrap().trim().to_owned()
        };
        for number in 0..100 {
            let id = git(&["hash-object", "-w", "--stdin"], &number.to_string());
            git(&["pack-objects", "-q", "objects/pack/pack"], &format!("{id}\n"));
            fs_err::remove_file(folder.path().join("objects").join(&id[..2]).join(&id[2..])).unwrap();
            let id = gix::ObjectId::from_hex(id.as_bytes()).unwrap();
            assert_eq!(opened.find_object(id).unwrap().data, number.to_string().as_bytes());
        }
    }
}
