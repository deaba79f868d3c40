//! What repositories give in a run: each is asked by one package at a time, for all that wait for it by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use crate::edges::git::commit::Commit;
use crate::edges::git::history::History;
use crate::edges::git::{self, Git, Wanted};
use crate::edges::parallel::locked;
use crate::model::commit::CommitId;
use crate::model::digest::Sha256;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;

/// The repositories that packages under way have asked. A repository is let go of with the last of them: hundreds that stay
/// open would fill the memory with their packs.
#[derive(Debug, Default)]
pub struct Repositories {
    open: Mutex<BTreeMap<RepositoryUrl, Weak<Repository>>>,
    /// What could not be had: not asked for again.
    failed: Failures,
    hashes: Mutex<BTreeMap<RepositoryUrl, Option<Sha256>>>,
    arrivals: Arrivals,
}

/// Packages under way that have not said yet where they come from.
#[derive(Debug, Default)]
struct Arrivals {
    expected: Mutex<usize>,
    fewer: Condvar,
}

/// How long a server is not asked because more packages may come from the same repository.
const LINGER: Duration = Duration::from_millis(500);

type Failures = Arc<Mutex<BTreeMap<(RepositoryUrl, CommitId), git::Error>>>;

/// A repository that was asked.
#[derive(Debug)]
pub struct Repository {
    failed: Failures,
    /// The commits that packages wait for.
    wanted: Mutex<Wanted>,
    /// Held by who asks.
    given: Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    commits: BTreeMap<CommitId, Commit>,
    history: Option<Result<Arc<History>, git::Error>>,
    /// The commits that the history was asked about.
    about: BTreeSet<CommitId>,
}

impl Repositories {
    /// Expects packages: until they have said where they come from, or some time has passed, servers are not asked, so that each
    /// is asked once for all of them.
    pub fn expect(&self, packages: usize) {
        *locked(&self.arrivals.expected) += packages;
    }

    /// A package that was expected has said where it comes from, or ended.
    pub fn arrived(&self) {
        let mut expected = locked(&self.arrivals.expected);
        *expected = expected.saturating_sub(1);
        self.arrivals.fewer.notify_all();
    }

    /// Waits for packages that are expected.
    fn linger(&self) {
        let expected = locked(&self.arrivals.expected);
        // That the time is up is no error.
        drop(self.arrivals.fewer.wait_timeout_while(expected, LINGER, |expected| *expected > 0));
    }

    /// Gets a commit from a repository that is open; `folder` as for [`Repository::announce`].
    ///
    /// # Errors
    /// Where it can't be had.
    pub fn commit(
        &self,
        repository: &Repository,
        git: &Git,
        url: &RepositoryUrl,
        id: CommitId,
        folder: Option<&SubPath>,
    ) -> Result<Commit, git::Error> {
        repository.announce(id, folder);
        if git.would_ask(url, id) {
            self.linger();
        }
        repository.commit(git, url, id)
    }

    /// A repository; the same one for all that ask while any of them holds it.
    #[must_use]
    pub fn open(&self, url: &RepositoryUrl) -> Arc<Repository> {
        let mut open = locked(&self.open);
        if let Some(repository) = open.get(url).and_then(Weak::upgrade) {
            return repository;
        }
        let failed = Arc::clone(&self.failed);
        let repository = Arc::new(Repository { failed, wanted: Mutex::default(), given: Mutex::default() });
        open.insert(url.clone(), Arc::downgrade(&repository));
        repository
    }

    /// A hash of the branches and tags of a repository; none where they are not known well enough without asking a server.
    #[must_use]
    pub fn hash(&self, git: &Git, url: &RepositoryUrl) -> Option<Sha256> {
        if let Some(hash) = locked(&self.hashes).get(url) {
            return *hash;
        }
        let hash = git.history_hash(url);
        locked(&self.hashes).insert(url.clone(), hash);
        hash
    }
}

impl Repository {
    /// Says that a commit will be asked for, so that whoever asks first asks for it, too. `folder`: where the package lies that
    /// is wanted of it, where that is known.
    pub fn announce(&self, id: CommitId, folder: Option<&SubPath>) {
        locked(&self.wanted).entry(id).or_default().extend(folder.cloned());
    }

    fn commit(&self, git: &Git, url: &RepositoryUrl, id: CommitId) -> Result<Commit, git::Error> {
        let mut given = locked(&self.given);
        let failed = || locked(&self.failed).get(&(url.clone(), id)).cloned();
        // While another package asked, this one may have been asked for along with its own.
        if !given.commits.contains_key(&id) && failed().is_none() {
            let mut wanted = std::mem::take(&mut *locked(&self.wanted));
            wanted.entry(id).or_default();
            wanted.retain(|id, _| !given.commits.contains_key(id));
            for (id, commit) in git.commits(url, &wanted) {
                match commit {
                    Ok(commit) => drop(given.commits.insert(id, commit)),
                    Err(error) => drop(locked(&self.failed).insert((url.clone(), id), error)),
                }
            }
        }
        match given.commits.get(&id) {
            Some(commit) => Ok(commit.clone()),
            None => Err(failed().unwrap_or_else(|| git::Error::NoCommit(format!("{url} was not asked for {id}")))),
        }
    }

    /// Its branches and tags, asked about a commit, if there is one.
    ///
    /// # Errors
    /// Where they can't be asked for.
    pub fn history(
        &self,
        git: &Git,
        url: &RepositoryUrl,
        commit: Option<CommitId>,
    ) -> Result<Arc<History>, git::Error> {
        let mut given = locked(&self.given);
        if let Some(history) = &given.history
            && commit.is_none_or(|commit| given.about.contains(&commit))
        {
            return history.clone();
        }
        // All that came by now, so that a server is asked once.
        let about: BTreeSet<CommitId> = given.commits.keys().copied().chain(commit).collect();
        let history = git.history(url, &about.iter().copied().collect::<Vec<_>>()).map(Arc::new);
        given.about.extend(about);
        given.history = Some(history.clone());
        history
    }
}
