//! *Changes*: what a lock file has that another has not, and what an update is: the files of the package that differ between the
//! commits of two versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::diff::lines::{Budget, body, count_lines, write_body};
use super::lock::{Locked, LockedPackage};
use crate::contract::trees::Mode;
use crate::model::commit::CommitId;
use crate::model::foreign::{Foreign, brief};
use crate::model::package::PackageKey;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;

/// What a run left out because another lock file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedSince {
    /// The revision or the file, as the user named it.
    pub since: Foreign,
    /// How many packages of the lock file were left out.
    pub unchanged: usize,
}

impl std::fmt::Display for ChangedSince {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let packages = if self.unchanged == 1 { "package" } else { "packages" };
        write!(f, "{} {packages} unchanged since {}", self.unchanged, self.since)
    }
}

/// What an update is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// The version before.
    pub from: Version,
    /// What changed.
    pub change: Change,
}

/// What changed between two versions of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Change {
    /// Both are what their commits give: the files between these.
    Known {
        /// Where the version before is from.
        from: Place,
        /// Where the version is from.
        to: Place,
        /// The files that differ.
        files: Vec<FileStat>,
    },
    /// It is not known.
    Unknown {
        /// Why.
        reason: Foreign,
    },
}

/// Where a version is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The repository.
    pub repository: RepositoryUrl,
    /// The commit.
    pub commit: CommitId,
    /// The package's folder.
    pub path: SubPath,
}

/// The range of commits between two versions, as git takes it; that they are from two repositories or folders is said.
#[must_use]
pub fn range(from: &Place, to: &Place) -> String {
    let folder = |place: &Place| {
        if place.path.as_str().is_empty() { ".".to_owned() } else { Foreign::from(place.path.as_str()).to_string() }
    };
    let (a, b) = (from.commit.short(), to.commit.short());
    let moved = if from.repository != to.repository {
        return format!("{a} in {} to {b} in {}: ANOTHER REPOSITORY", from.repository, to.repository);
    } else if from.path != to.path {
        format!(" {}", folder(from))
    } else {
        String::new()
    };
    format!("git diff {a} {b} --{moved} {}, in {}", folder(to), to.repository)
}

/// How much of a file changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileStat {
    /// Its path in the package's folder.
    pub path: Foreign,
    /// Lines that are new, and lines that are gone; none where it is no text, or too long.
    pub lines: Option<(usize, usize)>,
}

/// A file that differs between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// Its path in the package's folder.
    pub path: Foreign,
    /// What it was; none where there was none.
    pub before: Option<Side>,
    /// What it is; none where it is gone.
    pub after: Option<Side>,
}

/// One side of a file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Its mode.
    pub mode: Mode,
    /// Its content, or where a link leads; none where that is too large, or a submodule's.
    pub content: Option<Vec<u8>>,
}

/// The packages that a lock file has and another has not: by registry, name, version and checksum.
#[must_use]
pub fn changed<'a>(locked: &'a Locked, other: &Locked) -> Vec<&'a LockedPackage> {
    let known: BTreeSet<&LockedPackage> = other.packages.iter().collect();
    locked.packages.iter().filter(|package| !known.contains(package)).collect()
}

/// For packages that changed, the version that another lock file has in their place: the newest that is older, or else the oldest
/// that is newer.
#[must_use]
pub fn predecessors<'a>(changed: &[&LockedPackage], other: &'a Locked) -> BTreeMap<PackageKey, &'a LockedPackage> {
    let mut found = BTreeMap::new();
    for package in changed {
        let key = &package.key;
        let of_name = || {
            other.packages.iter().filter(|other| {
                other.key.name == key.name && other.key.registry == key.registry && other.key.version != key.version
            })
        };
        let older = of_name().filter(|other| other.key.version < key.version).max_by_key(|other| &other.key.version);
        let newer = || of_name().min_by_key(|other| &other.key.version);
        if let Some(before) = older.or_else(newer) {
            found.insert(key.clone(), before);
        }
    }
    found
}

impl FileStat {
    fn of(file: &ChangedFile, budget: &mut Budget) -> Self {
        let lines = match (content(file.before.as_ref()), content(file.after.as_ref())) {
            (Some(before), Some(after)) => count_lines(before, after, budget),
            _ => None,
        };
        Self { path: file.path.clone(), lines }
    }
}

/// What a side has; nothing where there is no such side, none where it is not known.
fn content(side: Option<&Side>) -> Option<&[u8]> {
    side.map_or(Some(&[]), |side| side.content.as_deref())
}

/// How much of each file changed.
#[must_use]
pub fn stat(files: &[ChangedFile]) -> Vec<FileStat> {
    let mut budget = Budget::default();
    files.iter().map(|file| FileStat::of(file, &mut budget)).collect()
}

/// The same in words: one line for all, then one for each of the first files, like `git diff --stat`.
#[must_use]
pub fn stat_text(files: &[FileStat], first: usize) -> Vec<String> {
    let counted = || files.iter().filter_map(|file| file.lines);
    let (added, removed) = counted().fold((0, 0), |(added, removed), (more, less)| (added + more, removed + less));
    let uncounted = files.len() - counted().count();
    let uncounted = if uncounted == 0 { String::new() } else { format!(", {uncounted} not counted") };
    let word = if files.len() == 1 { "file" } else { "files" };
    let mut lines = vec![format!("{} {word} changed, +{added} -{removed} lines{uncounted}", files.len())];
    lines.extend(files.iter().take(first).map(|file| {
        let path = brief(&file.path.to_string(), PATH);
        match file.lines {
            Some((more, less)) => format!("{path} +{more} -{less}"),
            None => format!("{path} (not counted)"),
        }
    }));
    if files.len() > first {
        lines.push(format!("and {} more", files.len() - first));
    }
    lines
}

/// How long a path may be in a list, in characters.
const PATH: usize = 200;

/// The files that differ, line by line.
#[must_use]
pub fn diff(files: &[ChangedFile], colour: bool) -> String {
    let mut out = String::new();
    let mut budget = Budget::default();
    for ChangedFile { path, before, after } in files {
        let name = |side: &Option<Side>| if side.is_some() { path.clone() } else { "/dev/null".into() };
        let _ = writeln!(out, "--- {}\n+++ {}", name(before), name(after));
        let mode = |side: &Option<Side>| side.as_ref().map(|side| side.mode);
        if let (Some(old), Some(new)) = (mode(before), mode(after))
            && old != new
        {
            let _ = writeln!(out, "mode {:o} to {:o}", old.bits(), new.bits());
        }
        match (content(before.as_ref()), content(after.as_ref())) {
            (Some(before), Some(after)) => write_body(&mut out, &body(before, after, &mut budget), colour),
            _ => out.push_str("a submodule, or too large to be shown\n"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::lock::read;

    fn lock(packages: &[(&str, &str, char)]) -> Locked {
        let mut text = "version = 4\n".to_owned();
        for (name, version, checksum) in packages {
            let checksum = checksum.to_string().repeat(64);
            let _ = writeln!(
                text,
                "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{}\"\nchecksum = \"{checksum}\"",
                crate::stages::lock::DEFAULT_SOURCE
            );
        }
        read(&text).unwrap()
    }

    #[test]
    fn what_another_lock_file_does_not_have_has_changed() {
        let old = lock(&[("a", "1.0.0", 'a'), ("b", "1.0.0", 'b'), ("b", "2.0.0", 'b'), ("c", "1.0.0", 'c')]);
        let new = lock(&[("a", "1.0.0", 'a'), ("b", "2.1.0", 'b'), ("c", "1.0.0", 'd'), ("d", "1.0.0", 'd')]);
        let changed = changed(&new, &old);
        let names: Vec<String> = changed.iter().map(|package| package.key.to_string()).collect();
        assert_eq!(names, ["b@2.1.0", "c@1.0.0", "d@1.0.0"], "another checksum is another package");
        let before: Vec<String> = predecessors(&changed, &old)
            .iter()
            .map(|(key, before)| format!("{key} after {}", before.key.version))
            .collect();
        assert_eq!(before, ["b@2.1.0 after 2.0.0"]);
    }

    #[test]
    fn changes_are_shown_as_git_shows_them() {
        let side = |text: &str, mode| Some(Side { mode, content: Some(text.into()) });
        let file = |path: &str, before, after| ChangedFile { path: path.into(), before, after };
        let files = [
            file("build.rs", None, side("fn main() {}\n", Mode::File)),
            file("run.sh", side("a\n", Mode::File), side("a\n", Mode::Executable)),
            file("src/\u{1b}[2J.rs", side("one\ntwo\n", Mode::File), side("one\n2\n\u{202e}\n", Mode::File)),
            file("x.bin", side("", Mode::File), Some(Side { mode: Mode::File, content: None })),
        ];
        insta::assert_snapshot!(diff(&files, false), @r"
        --- /dev/null
        +++ build.rs
        @@ -0,0 +1 @@
        +fn main() {}
        --- run.sh
        +++ run.sh
        mode 100644 to 100755
        --- src/\u{1b}[2J.rs
        +++ src/\u{1b}[2J.rs
        @@ -1,2 +1,3 @@
         one
        -two
        +2
        +\u{202e}
        --- x.bin
        +++ x.bin
        a submodule, or too large to be shown
        ");
        insta::assert_snapshot!(stat_text(&stat(&files), 3).join("\n"), @r"
        4 files changed, +3 -1 lines, 1 not counted
        build.rs +1 -0
        run.sh +0 -0
        src/\u{1b}[2J.rs +2 -1
        and 1 more
        ");
    }
}
