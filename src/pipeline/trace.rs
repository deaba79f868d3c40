//! Second step: a package's commit, from where the package says or from elsewhere, and the history of its repository.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::context::Context;
use super::fetch::{Ended, FetchedPackage};
use super::sources::Sources;
use crate::contract::git::ObjectId;
use crate::edges::git;
use crate::edges::git::commit::{CargoFiles, Commit};
use crate::edges::git::history::History;
use crate::edges::parallel::in_parallel;
use crate::model::commit::CommitId;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;
use crate::stages::claims::{Cause, ClaimedOrigin, Claims, Missing, Obstacle, Reach};
use crate::stages::provenance::other_tags;
use crate::stages::toolchain::Search;

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

impl Context {
    /// Gets commits of several repositories, one request for each.
    #[must_use]
    pub fn commits_of(&self, wanted: BTreeMap<RepositoryUrl, BTreeSet<CommitId>>) -> Commits {
        let fetched = in_parallel(self.workers, wanted.into_iter().collect(), |(repository, ids)| {
            let whole = ids.into_iter().map(|id| (id, BTreeSet::from([SubPath::default()]))).collect();
            let commits = self.git.commits(&repository, &whole);
            commits.into_iter().map(|(id, commit)| ((repository.clone(), id), commit)).collect::<Vec<_>>()
        });
        fetched.into_iter().flatten().collect()
    }

    /// What cargo reads of a commit; none where it can't be had.
    #[must_use]
    pub fn commit_files(&self, repository: &RepositoryUrl, commit: CommitId) -> Option<CargoFiles> {
        self.git
            .commits(repository, &BTreeMap::from([(commit, BTreeSet::new())]))
            .remove(&commit)?
            .ok()?
            .cargo_files()
            .ok()
    }

    /// Finds the commit of a package.
    pub fn trace(&self, fetched: FetchedPackage, sources: &Sources<'_>) -> ControlFlow<Box<Ended>, TracedPackage> {
        let (own, id) = (fetched.named.repository.clone(), fetched.named.commit);
        let folder = fetched.named.path.clone();
        let error = match sources.commit(&own, id, folder.as_ref()) {
            Ok(commit) => return ControlFlow::Continue(with_history(fetched, own, commit, sources)),
            Err(error) => error.cause(),
        };
        let gone = self.search != Search::Nothing
            && matches!(error, Cause::Impossible { missing: Missing::Commit | Missing::RepositoryAtAddress, .. });
        match gone.then(|| self.elsewhere(&fetched, sources)).flatten() {
            Some((repository, commit)) => ControlFlow::Continue(with_history(fetched, repository, commit, sources)),
            None => ControlFlow::Break(Box::new(fetched.end(error))),
        }
    }

    /// Looks elsewhere for a commit that its repository does not have: where that was renamed to, and at what other
    /// versions of the crate name; then in the archive of all source code, if that may be asked. That the package itself
    /// names another repository will be a finding.
    fn elsewhere(&self, package: &FetchedPackage, sources: &Sources<'_>) -> Option<(RepositoryUrl, Commit)> {
        let (own, commit) = (&package.named.repository, package.named.commit);
        let key = &package.locked.key;
        let id = key.id();
        let registry = sources.registry(&key.registry).ok()?;
        let lines = sources.index((&key.registry, registry), &id.name, false).ok()?;
        let renamed = self.renamed.iter().filter(|renamed| renamed.from == *own).map(|renamed| renamed.to.clone());
        let mut places =
            renamed.chain(self.other_repositories(&id, registry, &lines)).filter(|repository| repository != own);
        let found = places.find_map(|repository| {
            let commit = sources.commit(&repository, commit, package.named.path.as_ref()).ok()?;
            Some((repository, commit))
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

fn with_history(
    fetched: FetchedPackage,
    repository: RepositoryUrl,
    commit: Commit,
    sources: &Sources<'_>,
) -> TracedPackage {
    let history = sources.history(&repository, Some(commit.id)).map_err(|error| error.to_string());
    TracedPackage { fetched, repository, commit, history }
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
