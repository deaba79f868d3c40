//! What a package asks of registries and repositories, and a note of what they answered: as long as the answers are the same,
//! so is what came of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::context::{Context, Registries};
use super::repositories::Repository;
use crate::edges::git;
use crate::edges::git::commit::Commit;
use crate::edges::git::history::History;
use crate::edges::parallel::locked;
use crate::edges::registry::{self, Registry};
use crate::model::commit::CommitId;
use crate::model::digest::Sha256;
use crate::model::krate::CrateName;
use crate::model::package::RegistryName;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;
use crate::stages::index::{Index, IndexLine};
use crate::stages::record::Record;

/// The outside world, as one package asks it.
#[derive(Debug)]
pub struct Sources<'a> {
    context: &'a Context,
    registries: &'a Registries,
    asked: Mutex<Asked>,
}

/// What was asked.
#[derive(Debug, Default)]
struct Asked {
    index: BTreeMap<RegistryName, BTreeSet<CrateName>>,
    histories: BTreeSet<RepositoryUrl>,
    lacking: BTreeMap<RepositoryUrl, BTreeMap<CommitId, String>>,
    /// Kept open while the package is under way.
    open: BTreeMap<RepositoryUrl, Arc<Repository>>,
}

/// What was answered, by hash. That a commit is there is no answer: its id says what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Index files; none where the registry has no such crate.
    index: BTreeMap<RegistryName, BTreeMap<CrateName, Option<Sha256>>>,
    /// Branches and tags.
    histories: BTreeMap<RepositoryUrl, Sha256>,
    /// Commits that could not be had, and why.
    lacking: BTreeMap<RepositoryUrl, BTreeMap<CommitId, String>>,
}

impl Answers {
    /// Whether a commit could not be had.
    #[must_use]
    pub fn lack_a_commit(&self) -> bool {
        !self.lacking.is_empty()
    }
}

impl<'a> Sources<'a> {
    /// The outside world, before a package asks it.
    #[must_use]
    pub fn new(context: &'a Context, registries: &'a Registries) -> Self {
        Self { context, registries, asked: Mutex::default() }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        locked(&self.asked)
    }

    /// A registry.
    ///
    /// # Errors
    /// Where it can't be used, in words.
    pub fn registry(&self, name: &RegistryName) -> Result<&'a Registry, String> {
        match self.registries.get(name) {
            Some(Ok(registry)) => Ok(registry),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err(format!("{name} was not set up")),
        }
    }

    /// Whether a package's bytes would still be read with the checksum of an earlier run's record.
    #[must_use]
    pub fn still_has(&self, record: &Record) -> bool {
        let has = |registry: &Registry, checksum| registry.still_has(&record.key.id(), checksum);
        let registry = self.registry(&record.key.registry);
        record.checksum.is_none_or(|checksum| registry.is_ok_and(|registry| has(registry, checksum)))
    }

    /// The index lines of a crate; asked for again where `newest` says that they lack something.
    ///
    /// # Errors
    /// Where the registry has no such crate or can't be asked.
    pub fn index(
        &self,
        registry: (&RegistryName, &Registry),
        name: &CrateName,
        newest: bool,
    ) -> Result<Arc<Vec<IndexLine>>, registry::Error> {
        let (registry_name, registry) = registry;
        self.asked().index.entry(registry_name.clone()).or_default().insert(name.clone());
        if newest { registry.newest_index(name) } else { registry.index(name) }
    }

    /// The index lines of crates, from the default registry: what cargo resolves against, for a package that was `published` at
    /// a time.
    ///
    /// # Errors
    /// Where it can't be asked, in words.
    pub fn indexes(&self, names: &BTreeSet<CrateName>, published: Option<Timestamp>) -> Result<Index, String> {
        self.asked().index.entry(RegistryName::Default).or_default().extend(names.iter().cloned());
        let since =
            self.context.asked_since.map_or_else(|| published.map(registry::told_by), |since| Some(since.into()));
        self.registry(&RegistryName::Default)?.indexes(names, since).map_err(|error| error.to_string())
    }

    fn repository(&self, url: &RepositoryUrl) -> Arc<Repository> {
        let mut asked = self.asked();
        let repository = asked.open.entry(url.clone()).or_insert_with(|| self.context.repositories.open(url));
        Arc::clone(repository)
    }

    /// Says that a commit will be asked for, for the package in a folder of it, where that is known.
    pub fn announce(&self, url: &RepositoryUrl, id: CommitId, folder: Option<&SubPath>) {
        self.repository(url).announce(id, folder);
    }

    /// A commit of a repository; `folder` as for [`Sources::announce`].
    ///
    /// # Errors
    /// Where it can't be had.
    pub fn commit(&self, url: &RepositoryUrl, id: CommitId, folder: Option<&SubPath>) -> Result<Commit, git::Error> {
        let repository = self.repository(url);
        let commit = self.context.repositories.commit(&repository, &self.context.git, url, id, folder);
        if let Err(error) = &commit {
            self.asked().lacking.entry(url.clone()).or_default().insert(id, error.to_string());
        }
        commit
    }

    /// The branches and tags of a repository, asked about a commit, if there is one.
    ///
    /// # Errors
    /// Where they can't be asked for.
    pub fn history(&self, url: &RepositoryUrl, commit: Option<CommitId>) -> Result<Arc<History>, git::Error> {
        self.asked().histories.insert(url.clone());
        self.repository(url).history(&self.context.git, url, commit)
    }

    /// What was answered; none where an answer can't be told from another one.
    #[must_use]
    pub fn answers(&self) -> Option<Answers> {
        let asked = self.asked();
        let index = asked.index.iter().map(|(registry, names)| {
            let here = self.registry(registry).ok()?;
            let hashes = names.iter().map(|name| Some((name.clone(), here.index_hash(name).ok()?)));
            Some((registry.clone(), hashes.collect::<Option<_>>()?))
        });
        let index = index.collect::<Option<_>>()?;
        let histories = asked.histories.iter();
        let histories =
            histories.map(|url| Some((url.clone(), self.context.repositories.hash(&self.context.git, url)?)));
        Some(Answers { index, histories: histories.collect::<Option<_>>()?, lacking: asked.lacking.clone() })
    }

    /// Whether the same answers would be given now.
    #[must_use]
    pub fn would_answer(&self, answers: &Answers) -> bool {
        let same_index = |(registry, hashes): (&RegistryName, &BTreeMap<CrateName, Option<Sha256>>)| {
            let same = |here: &Registry| {
                hashes.iter().all(|(name, hash)| here.index_hash(name).is_ok_and(|found| found == *hash))
            };
            self.registry(registry).is_ok_and(same)
        };
        let git = &self.context.git;
        answers.index.iter().all(same_index)
            && answers.histories.iter().all(|(url, hash)| self.context.repositories.hash(git, url) == Some(*hash))
            && answers.lacking.iter().all(|(url, commits)| {
                let lacks = |(id, reason): (&CommitId, &String)| {
                    self.commit(url, *id, None).is_err_and(|error| error.to_string() == *reason)
                };
                commits.iter().all(lacks)
            })
    }
}
