//! What updates are: the files of a package between the commits of two versions that are both what their commits give.

use std::collections::BTreeSet;

use super::context::Context;
use crate::contract::trees::{Leaf, Mode};
use crate::edges::git::commit::Commit;
use crate::model::commit::CommitId;
use crate::model::foreign::Foreign;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;
use crate::stages::artefact::LARGE;
use crate::stages::changes::{Change, ChangedFile, Side, Update, stat};
use crate::stages::findings::Contents;
use crate::stages::record::Record;

/// Where a version is from, once that is shown.
#[derive(Debug)]
struct Source<'a> {
    repository: &'a RepositoryUrl,
    commit: CommitId,
    path: &'a SubPath,
}

impl Context {
    /// What the update from one version to another is.
    #[must_use]
    pub fn update(&self, from: &Record, to: &Record) -> Update {
        let known = || {
            let files = stat(&self.changed_files(from, to)?);
            let (before, after) = (source(from)?, source(to)?);
            Ok::<_, String>(Change::Known {
                repository: after.repository.clone(),
                from_commit: before.commit,
                to_commit: after.commit,
                path: after.path.clone(),
                files,
            })
        };
        let change = known().unwrap_or_else(|reason| Change::Unknown { reason: reason.into() });
        Update { from: from.key.version.clone(), change }
    }

    /// The files of a package that differ between the commits of two versions.
    ///
    /// # Errors
    /// Where one of them is not shown to be what its commit gives, or its files can't be had, in words.
    pub fn changed_files(&self, from: &Record, to: &Record) -> Result<Vec<ChangedFile>, String> {
        let (before, after) = (self.files(&source(from)?)?, self.files(&source(to)?)?);
        let paths: BTreeSet<&Vec<u8>> = before.leaves.keys().chain(after.leaves.keys()).collect();
        let differ = |path: &&Vec<u8>| before.leaves.get(*path) != after.leaves.get(*path);
        let paths: Vec<&Vec<u8>> = paths.into_iter().filter(differ).collect();
        let sides = |side: &Files| -> Result<Vec<Option<Side>>, String> {
            let leaves: Vec<Leaf> = paths.iter().filter_map(|path| side.leaves.get(*path).copied()).collect();
            let contents = side.commit.contents(&leaves, LARGE as u64).map_err(|error| error.to_string())?;
            let side = |path: &&Vec<u8>| {
                let leaf = side.leaves.get(*path)?;
                let content = (leaf.mode != Mode::Submodule).then(|| contents.get(&leaf.id).cloned()).flatten();
                Some(Side { mode: leaf.mode, content })
            };
            Ok(paths.iter().map(side).collect())
        };
        let both = sides(&before)?.into_iter().zip(sides(&after)?);
        let path = |path: &[u8]| Foreign::from(String::from_utf8_lossy(path).into_owned());
        Ok(paths.iter().zip(both).map(|(at, (before, after))| ChangedFile { path: path(at), before, after }).collect())
    }

    fn files(&self, source: &Source<'_>) -> Result<Files, String> {
        let Source { repository: url, commit, path } = source;
        let repository = self.repositories.open(url);
        let commit = self.repositories.commit(&repository, &self.git, url, *commit, Some(path));
        let commit = commit.map_err(|error| error.to_string())?;
        let leaves = commit.package_files(path).map_err(|error| error.to_string())?;
        Ok(Files { commit, leaves: leaves.into_iter().collect() })
    }
}

/// The files of a package at a commit.
struct Files {
    commit: Commit,
    leaves: std::collections::BTreeMap<Vec<u8>, Leaf>,
}

/// Where a version is from. Only where every file of it is the commit's: else a diff of commits would be of something else than
/// what was published.
fn source(record: &Record) -> Result<Source<'_>, String> {
    let origin = record.findings.origin.as_ref();
    let path = origin.and_then(|origin| origin.path.as_ref());
    match (&record.findings.contents, origin, path) {
        (Contents::BitForBit | Contents::SameContents { .. }, Some(origin), Some(path)) => {
            Ok(Source { repository: &origin.repository, commit: origin.commit, path })
        }
        _ => Err(format!("{} is not shown to be what its commit gives: {}", record.key, record.verdict())),
    }
}
