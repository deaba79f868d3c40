//! What updates are: the files of a package between the commits of two versions that are both what their commits give.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use crate::contract::trees::{Leaf, Mode};
use crate::edges::git::commit::Commit;
use crate::model::commit::CommitId;
use crate::model::foreign::Foreign;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;
use crate::stages::artefact::{Archive, Entry, LARGE, MANIFEST, ORIGINAL_MANIFEST, VCS_INFO};
use crate::stages::changes::{Change, ChangedFile, Place, Side, Update, stat};
use crate::stages::findings::Contents;
use crate::stages::record::Record;

/// Where a version is from, once that is shown.
#[derive(Debug)]
struct Source<'a> {
    repository: &'a RepositoryUrl,
    commit: CommitId,
    path: &'a SubPath,
}

/// Two versions, and the files that differ between them.
#[derive(Debug)]
pub struct Compared {
    /// What changed, as reports have it.
    pub change: Change,
    /// The files that differ.
    pub files: Vec<ChangedFile>,
}

impl Context {
    /// What the update from one version to another is.
    #[must_use]
    pub fn update(&self, from: &Record, to: &Record) -> Update {
        let compared = self.compare_versions(from, to);
        let unknown = |reason: String| Change::Unknown { reason: reason.into() };
        Update { from: from.key.version.clone(), change: compared.map_or_else(unknown, |compared| compared.change) }
    }

    /// Compares two versions of a package: their files by their commits, and then what of the published crates is not among these, like
    /// the manifest as cargo wrote it, or what a link leads to.
    ///
    /// # Errors
    /// Where one of them is not shown to be what its commit gives, or its files can't be had, in words.
    pub fn compare_versions(&self, from: &Record, to: &Record) -> Result<Compared, String> {
        let (before, after) = (source(from)?, source(to)?);
        let mut files = self.changed_files(&before, &after)?;
        files.extend(self.changed_as_published(from, to, &files)?);
        let place = |source: &Source<'_>| Place {
            repository: source.repository.clone(),
            commit: source.commit,
            path: source.path.clone(),
        };
        let change = Change::Known { from: place(&before), to: place(&after), files: stat(&files) };
        Ok(Compared { change, files })
    }

    fn changed_files(&self, from: &Source<'_>, to: &Source<'_>) -> Result<Vec<ChangedFile>, String> {
        let (before, after) = (self.files(from)?, self.files(to)?);
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

    /// Published files that differ, other than those that differ in git, too.
    fn changed_as_published(
        &self,
        from: &Record,
        to: &Record,
        known: &[ChangedFile],
    ) -> Result<Vec<ChangedFile>, String> {
        let read = |record: &Record| -> Result<BTreeMap<String, Side>, String> {
            let registry = self.registry(&record.key.registry)?;
            let checksum = record.checksum.ok_or("the checksum is not known")?;
            let id = record.key.id();
            let artefact = registry.artefact(&id, checksum).map_err(|error| error.to_string())?;
            let archive = Archive::read(&id, artefact.bytes()).map_err(|error| error.to_string())?;
            let side = |entry: &Entry| {
                let mode = if entry.executable() { Mode::Executable } else { Mode::File };
                let content = (entry.body.len() <= LARGE).then(|| archive.body(entry).into_owned());
                (entry.path.clone(), Side { mode, content })
            };
            Ok(archive.entries.iter().map(side).collect())
        };
        let (before, after) = (read(from)?, read(to)?);
        let own: BTreeSet<&str> = known.iter().map(|file| file.path.raw()).collect();
        let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let is_news = |path: &&String| {
            before.get(*path) != after.get(*path)
                && ![VCS_INFO, ORIGINAL_MANIFEST].contains(&path.as_str())
                // In git the manifest is another text.
                && (path.as_str() == MANIFEST || !own.contains(path.as_str()))
        };
        let changed = |path: &String| ChangedFile {
            path: format!("{path} (as published)").into(),
            before: before.get(path).cloned(),
            after: after.get(path).cloned(),
        };
        Ok(paths.into_iter().filter(is_news).map(changed).collect())
    }

    fn files(&self, source: &Source<'_>) -> Result<Files, String> {
        let Source { repository: url, commit, path } = source;
        let repository = self.repositories.open(url);
        let commit = self.repositories.commit(&repository, &self.git, url, *commit, Some(path));
        let commit = commit.map_err(|error| error.to_string())?;
        let leaves = commit.package_files(path).map_err(|error| error.to_string())?;
        Ok(Files { commit, leaves })
    }
}

/// The files of a package at a commit.
struct Files {
    commit: Commit,
    leaves: BTreeMap<Vec<u8>, Leaf>,
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
