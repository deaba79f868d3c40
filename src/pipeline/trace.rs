//! Second step: a package's commit, from where the package says or from elsewhere, and the history of its repository.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::context::{Context, Registries, in_parallel};
use super::fetch::{Ended, FetchedPackage};
use crate::contract::git::ObjectId;
use crate::edges::git;
use crate::edges::git::commit::{CargoFiles, Commit};
use crate::edges::git::history::History;
use crate::model::commit::CommitId;
use crate::model::repository::RepositoryUrl;
use crate::stages::claims::{Cause, ClaimedOrigin, Claims, Missing, Obstacle, Reach};
use crate::stages::provenance::other_tags;

/// A package whose commit was fetched.
#[derive(Debug)]
pub struct TracedPackage {
    /// The package.
    pub fetched: FetchedPackage,
    /// The repository that has the commit.
    pub repository: RepositoryUrl,
    /// The commit.
    pub commit: Commit,
    /// The repository's history; why there is none.
    pub history: Result<Arc<History>, String>,
}

/// What came of asking repositories for commits.
pub type Commits = BTreeMap<(RepositoryUrl, CommitId), Result<Commit, git::Error>>;

/// What came of asking repositories for their branches and tags.
type Histories = BTreeMap<RepositoryUrl, Result<Arc<History>, String>>;

/// Everything that repositories gave for a run.
#[derive(Debug, Default)]
pub struct Gathered {
    commits: Commits,
    histories: Histories,
}

impl Context {
    /// Asks every repository once for the commits of all packages, and for what reaches them.
    #[must_use]
    pub fn gather(&self, packages: &[FetchedPackage]) -> Gathered {
        let mut wanted: BTreeMap<RepositoryUrl, BTreeSet<CommitId>> = BTreeMap::new();
        for package in packages {
            wanted.entry(package.named.repository.clone()).or_default().insert(package.named.commit);
        }
        let commits = self.commits_of(wanted);
        // Where no commit can be had there is nothing to reach.
        let mut found: BTreeMap<RepositoryUrl, Vec<CommitId>> = BTreeMap::new();
        for ((repository, id), _) in commits.iter().filter(|(_, commit)| commit.is_ok()) {
            found.entry(repository.clone()).or_default().push(*id);
        }
        let histories = in_parallel(self.workers, found.into_iter().collect(), |(repository, ids)| {
            let history = self.history_of(&repository, &ids);
            (repository, history)
        });
        Gathered { commits, histories: histories.into_iter().collect() }
    }

    /// Gets commits of several repositories, one request for each.
    #[must_use]
    pub fn commits_of(&self, wanted: BTreeMap<RepositoryUrl, BTreeSet<CommitId>>) -> Commits {
        let fetched = in_parallel(self.workers, wanted.into_iter().collect(), |(repository, ids)| {
            let ids: Vec<CommitId> = ids.into_iter().collect();
            let commits = self.git.commits(&repository, &ids);
            let keyed = ids.into_iter().zip(commits).map(|(id, commit)| ((repository.clone(), id), commit));
            keyed.collect::<Vec<_>>()
        });
        fetched.into_iter().flatten().collect()
    }

    /// What cargo reads of a commit; none where it can't be had.
    #[must_use]
    pub fn commit_files(&self, repository: &RepositoryUrl, commit: CommitId) -> Option<CargoFiles> {
        self.git.commits(repository, &[commit]).pop()?.ok()?.cargo_files().ok()
    }

    /// The branches and tags of a repository.
    ///
    /// # Errors
    /// Where they can't be asked for, in words.
    pub fn history_of(&self, repository: &RepositoryUrl, wanted: &[CommitId]) -> Result<Arc<History>, String> {
        self.git.history(repository, wanted).map(Arc::new).map_err(|error| error.to_string())
    }

    /// Finds the commit of a package.
    pub fn trace(
        &self,
        fetched: FetchedPackage,
        gathered: &Gathered,
        registries: &Registries,
    ) -> ControlFlow<Box<Ended>, TracedPackage> {
        let (repository, id) = (fetched.named.repository.clone(), fetched.named.commit);
        let error = match gathered.commits.get(&(repository.clone(), id)) {
            Some(Ok(commit)) => {
                let history = gathered.histories.get(&repository).cloned();
                let history = history.unwrap_or_else(|| Err("it was not asked for".to_owned()));
                return ControlFlow::Continue(TracedPackage { repository, commit: commit.clone(), history, fetched });
            }
            Some(Err(error)) => error.cause(),
            None => Cause::Error { reason: format!("{repository} was not asked").into() },
        };
        let gone = matches!(error, Cause::Impossible { missing: Missing::Commit | Missing::RepositoryAtAddress, .. });
        match gone.then(|| self.elsewhere(&fetched, registries)).flatten() {
            Some((repository, commit)) => {
                let history = self.history_of(&repository, &[id]);
                ControlFlow::Continue(TracedPackage { repository, commit, history, fetched })
            }
            None => ControlFlow::Break(Box::new(fetched.end(error))),
        }
    }

    /// Looks elsewhere for a commit that its repository does not have: where that was renamed to, and at what other
    /// versions of the crate name; then in the archive of all source code, if that may be asked. That the package itself
    /// names another repository will be a finding.
    fn elsewhere(&self, package: &FetchedPackage, registries: &Registries) -> Option<(RepositoryUrl, Commit)> {
        let (own, commit) = (&package.named.repository, package.named.commit);
        let key = &package.locked.key;
        let id = key.id();
        let registry = registries.get(&key.registry)?.as_ref().ok()?;
        let lines = registry.index(&id.name).ok()?;
        let renamed = self.renamed.iter().filter(|renamed| renamed.from == *own).map(|renamed| renamed.to.clone());
        let mut places =
            renamed.chain(self.other_repositories(&id, registry, &lines)).filter(|repository| repository != own);
        let found = places.find_map(|repository| {
            let commit = self.git.commits(&repository, &[commit]).pop()?.ok()?;
            Some((repository.clone(), commit))
        });
        found.or_else(|| match self.git.archived(own, commit) {
            Ok(commit) => Some((own.clone(), commit?)),
            Err(error) => {
                tracing::warn!("{key}: {error}");
                None
            }
        })
    }
}

/// Notes what a history shows of a commit with this tree. `names` are the tags that its release may have.
pub fn ask_reach(
    claims: &mut Claims,
    history: Result<&History, &String>,
    commit: CommitId,
    tree: ObjectId,
    names: &[String],
) {
    match history {
        Ok(history) => {
            claims.reach = history.reach(commit, tree, names);
            claims.asked = Some(history.asked().clone());
            let squashed_into = match claims.reach {
                Reach::Squashed { commit, .. } => Some(commit),
                _ => None,
            };
            claims.other_tags = other_tags(names, history.tags(), commit, squashed_into);
        }
        Err(reason) => {
            claims.reach = Reach::Unknown { reason: reason.clone().into() };
            claims.asked = None;
        }
    }
}

impl FetchedPackage {
    /// Ends a package that can't be rebuilt.
    #[must_use]
    pub fn end(self, cause: Cause) -> Ended {
        let named = self.named;
        let origin = ClaimedOrigin {
            repository: named.repository,
            commit: named.commit,
            path: named.path,
            tag: named.tag.map(Into::into),
            reach: Reach::Unknown { reason: "the commit was not examined".into() },
            asked: None,
        };
        let obstacle = Obstacle { cause, origin: Some(origin) };
        Ended { locked: self.locked, checksum: Some(self.checksum), obstacle }
    }
}
