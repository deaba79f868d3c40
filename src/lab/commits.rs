//! The commits of crates: from where the crates say, or from where else they may lie.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::case::{Case, Fetched, Registries};
use super::{Lab, in_parallel};
use crate::edges::git;
use crate::edges::git::commit::Commit;
use crate::edges::git::history::History;
use crate::model::source::{CommitId, RepositoryUrl};
use crate::stages::verdict::Verdict;

/// What came of asking repositories for commits.
pub(super) type Commits = BTreeMap<(RepositoryUrl, CommitId), Result<Commit, git::Error>>;

/// What a repository's branches and tags tell; nothing where they could not be asked.
#[derive(Default)]
struct Told {
    history: Option<History>,
    tags: Arc<BTreeMap<String, CommitId>>,
}

impl Told {
    fn fetched(&self, id: CommitId, commit: Result<Commit, git::Error>) -> Fetched {
        let reach = self.history.as_ref().and_then(|history| history.reach(id));
        Fetched { commit, reach, tags: self.tags.clone() }
    }
}

impl Lab {
    /// Gets the commits of all cases and looks into them; an error where that can't be done.
    pub(super) fn trace(&self, cases: Vec<Case>, registries: &Registries) -> Vec<(Case, Result<(), Verdict>)> {
        let fetched = self.fetch_elsewhere(self.fetch_commits(cases), registries);
        in_parallel(self.workers, fetched, |(mut case, fetched)| {
            let located = case.locate(fetched, self, registries);
            (case, located)
        })
    }

    /// Gets the commits of all cases, and what reaches them, one request of each kind for each repository.
    fn fetch_commits(&self, cases: Vec<Case>) -> Vec<(Case, Fetched)> {
        let mut by_repository: BTreeMap<RepositoryUrl, Vec<Case>> = BTreeMap::new();
        for case in cases {
            by_repository.entry(case.origin.repository.clone()).or_default().push(case);
        }
        let fetched = in_parallel(self.workers, by_repository.into_iter().collect(), |(repository, cases)| {
            let wanted: Vec<CommitId> = cases.iter().map(|case| case.origin.commit).collect();
            let commits = self.git.commits(&repository, &wanted);
            // Where no commit can be had there is nothing to reach.
            let any = commits.iter().any(Result::is_ok);
            let told = if any { self.told(&repository, &wanted) } else { Told::default() };
            let commits = wanted.iter().zip(commits).map(|(id, commit)| told.fetched(*id, commit));
            cases.into_iter().zip(commits).collect::<Vec<_>>()
        });
        fetched.into_iter().flatten().collect()
    }

    /// Gets further commits of several repositories, one request for each.
    pub(super) fn commits_of(&self, wanted: BTreeMap<RepositoryUrl, BTreeSet<CommitId>>) -> Commits {
        let fetched = in_parallel(self.workers, wanted.into_iter().collect(), |(repository, ids)| {
            let ids: Vec<CommitId> = ids.into_iter().collect();
            let commits = self.git.commits(&repository, &ids);
            let keyed = ids.into_iter().zip(commits).map(|(id, commit)| ((repository.clone(), id), commit));
            keyed.collect::<Vec<_>>()
        });
        fetched.into_iter().flatten().collect()
    }

    /// Looks elsewhere for commits that their repositories do not have: where those moved to, and at what other versions
    /// of the crate name; then in the archive of all source code, if that may be asked.
    fn fetch_elsewhere(&self, traced: Vec<(Case, Fetched)>, registries: &Registries) -> Vec<(Case, Fetched)> {
        in_parallel(self.workers, traced, |(mut case, fetched)| {
            if !matches!(fetched.commit, Err(git::Error::Gone(_))) {
                return (case, fetched);
            }
            match self.elsewhere(&case, registries) {
                Some((repository, who, commit)) => {
                    let own = std::mem::replace(&mut case.origin.repository, repository.clone());
                    case.origin.contradictions.push(format!("{own} does not have the commit; {who}"));
                    let id = case.origin.commit;
                    let fetched = self.told(&repository, &[id]).fetched(id, Ok(commit));
                    (case, fetched)
                }
                None => (case, fetched),
            }
        })
    }

    fn elsewhere(&self, case: &Case, registries: &Registries) -> Option<(RepositoryUrl, String, Commit)> {
        let (own, id) = (&case.origin.repository, &case.locked.id);
        let registry = registries.get(&case.locked.registry)?.as_ref().ok()?;
        let lines = registry.index(&id.name).ok()?;
        let moved = self.moves.iter().filter(|(from, _)| from == own);
        let moved = moved.map(|(_, to)| (to.clone(), "where it moved to".to_owned()));
        let others = self.other_repositories(id, registry, &lines);
        let others = others.map(|(repository, version)| (repository, format!("which {version} names")));
        let mut places = moved.chain(others).filter(|(repository, _)| repository != own);
        let found = places.find_map(|(repository, who)| {
            let commit = self.git.commits(&repository, &[case.origin.commit]).pop()?.ok()?;
            Some((repository.clone(), format!("{repository}, {who}, does"), commit))
        });
        found.or_else(|| match self.git.archived(own, case.origin.commit) {
            Ok(commit) => Some((own.clone(), "Software Heritage does".to_owned(), commit?)),
            Err(error) => {
                tracing::warn!("{id}: {error}");
                None
            }
        })
    }

    fn told(&self, repository: &RepositoryUrl, wanted: &[CommitId]) -> Told {
        let history = self.git.history(repository, wanted);
        let history =
            history.inspect_err(|error| tracing::warn!("what reaches the commits can't be told: {error}")).ok();
        let tags = history.as_ref().map(|history| history.tags().clone()).unwrap_or_default();
        Told { history, tags: Arc::new(tags) }
    }
}
