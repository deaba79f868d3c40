//! *Provenance*: where a published crate says that it comes from.

use std::collections::BTreeMap;

use super::artefact::{Archive, MANIFEST, VCS_INFO, VcsInfo};
use super::manifest::Manifest;
use crate::model::krate::{CrateId, CrateName};
use crate::model::source::{CommitId, RepositoryUrl, SubPath};

/// What a crate's vcs info says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The commit.
    pub commit: CommitId,
    /// The package's folder; none where the vcs info is of the old form that has none.
    pub path: Option<SubPath>,
    /// Whether it was published with uncommitted changes.
    pub dirty: bool,
}

/// Why a crate can't be traced to a commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untraceable {
    /// cargo left no note of a commit.
    #[error("it has no {VCS_INFO}: published with --allow-dirty, from outside of git, or by a cargo before 1.30")]
    NoVcsInfo,
    /// The note can't be read.
    #[error("{0}")]
    BadVcsInfo(String),
    /// The manifest names no repository.
    #[error("its {MANIFEST} names no repository")]
    NoRepository,
    /// The manifest's repository is no address that git is let loose on.
    #[error("its {MANIFEST} names `{0}` as repository, which is no https address")]
    BadRepository(String),
}

/// Reads which commit a crate says that it comes from.
///
/// # Errors
/// Where it does not say, or says it in a way that can't be followed: a finding about the crate.
pub fn claim(archive: &Archive) -> Result<Claim, Untraceable> {
    let vcs = archive.file(VCS_INFO).ok_or(Untraceable::NoVcsInfo)?;
    let vcs = VcsInfo::read(vcs).map_err(|error| Untraceable::BadVcsInfo(error.to_string()))?;
    Ok(Claim { commit: vcs.commit, path: vcs.path, dirty: vcs.dirty })
}

/// Reads which repository a crate's manifest names.
///
/// # Errors
/// Where it names none, or none that git is let loose on: a finding about the crate.
pub fn repository(archive: &Archive) -> Result<RepositoryUrl, Untraceable> {
    let manifest = archive.text(MANIFEST).map(Manifest::read).unwrap_or_default();
    let named = manifest.repository().ok_or(Untraceable::NoRepository)?;
    named.parse().map_err(|_| Untraceable::BadRepository(named.to_owned()))
}

/// What tags of a version may be called: with the package's name, and without, as is usual where a repository has only
/// one package.
#[must_use]
pub fn tag_names(id: &CrateId, alone: bool) -> Vec<String> {
    let CrateId { name, version } = id;
    let mut names: Vec<String> = ["-v", "-", "/v", "/", "@", "@v", "_v", "_"]
        .iter()
        .map(|between| format!("{name}{between}{version}"))
        .collect();
    if alone {
        names.extend([format!("v{version}"), version.to_string()]);
    }
    names
}

/// The tags of a crate's version that are on another commit than the crate's own, in words.
#[must_use]
pub fn tags_elsewhere(names: &[String], tags: &BTreeMap<String, CommitId>, own: CommitId) -> Vec<String> {
    let found = names.iter().filter_map(|name| Some((name, tags.get(name)?)));
    let elsewhere = found.filter(|(_, commit)| **commit != own);
    elsewhere.map(|(name, commit)| format!("the tag {name} is on another commit, {}", commit.short())).collect()
}

/// Finds the package's folder among the manifests of a commit, for vcs info that does not say it: the manifest of that
/// name; where several have it, the one that is the published original to the letter.
#[must_use]
pub fn locate<'a>(
    name: &CrateName,
    original: Option<&str>,
    manifests: impl Iterator<Item = (&'a SubPath, &'a str)>,
) -> Option<SubPath> {
    let mut named: Vec<(&SubPath, &str)> =
        manifests.filter(|(_, text)| Manifest::read(text).name() == Some(name.as_str())).collect();
    // On Windows git may have checked it out with other line endings.
    let same = |text: &str| original.is_some_and(|original| original == text || original.replace("\r\n", "\n") == text);
    named.sort_by_key(|(path, text)| (!same(text), path.as_str().len()));
    named.first().map(|(path, _)| (*path).clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::artefact::tests::{id, pack};

    const VCS: &[u8] = br#"{"git":{"sha1":"af77385d0d165b0e3edc4a5c2a44a5a0a4b6b1d0"},"path_in_vcs":"sub"}"#;

    fn archive(files: &[(&str, &[u8], u32)]) -> Archive {
        Archive::read(&id(), &pack(&id(), files)).unwrap()
    }

    #[test]
    fn manifest_and_vcs_info_together_name_the_source() {
        let manifest = b"[package]\nname = \"a\"\nrepository = \"https://github.com/o/r/tree/main/sub\"\n";
        let archive = archive(&[(VCS_INFO, VCS, 0o644), (MANIFEST, manifest, 0o644)]);
        assert_eq!(repository(&archive).unwrap().as_str(), "https://github.com/o/r");
        assert_eq!(claim(&archive).unwrap().path.unwrap().as_str(), "sub");
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(claim(&archive(&[(MANIFEST, b"", 0o644)])), Err(Untraceable::NoVcsInfo));
        assert_eq!(repository(&archive(&[(MANIFEST, b"", 0o644)])), Err(Untraceable::NoRepository));
        let option = b"[package]\nrepository = \"ext::sh -c id\"\n";
        let said = repository(&archive(&[(MANIFEST, option, 0o644)]));
        assert!(matches!(said, Err(Untraceable::BadRepository(_))), "{said:?}");
    }

    #[test]
    fn a_tag_of_the_version_on_another_commit_is_told() {
        let (own, other) = (CommitId([1; 20]), CommitId([2; 20]));
        let id = "a@1.0.0".parse().unwrap();
        let tags = |names: &[(&str, CommitId)]| names.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        let said = |alone, names: &[(&str, CommitId)]| tags_elsewhere(&tag_names(&id, alone), &tags(names), own);
        assert_eq!(said(true, &[("v1.0.0", own), ("v1.0.1", other)]), [""; 0]);
        assert_eq!(said(true, &[("v1.0.0", other)]), ["the tag v1.0.0 is on another commit, 0202020202"]);
        assert_eq!(said(false, &[("v1.0.0", other)]), [""; 0], "it may be another package's");
        assert_eq!(said(false, &[("a-v1.0.0", other)]).len(), 1);
    }

    #[test]
    fn a_package_is_found_by_its_name() {
        let path = |text: &str| text.parse::<SubPath>().unwrap();
        let (root, fuzz, copy) = (path(""), path("fuzz"), path("copy"));
        let manifests = [
            (&root, "[workspace]\nmembers = []\n"),
            (&fuzz, "[package]\nname = \"a-fuzz\"\n"),
            (&copy, "[package]\nname = \"a\" # copy\n"),
            (&copy, "[package]\nname = \"a\"\n"),
        ];
        let name = "a".parse().unwrap();
        assert_eq!(locate(&name, Some("[package]\nname = \"a\"\n"), manifests.into_iter()), Some(copy.clone()));
        assert_eq!(locate(&"zzz".parse().unwrap(), None, manifests.into_iter()), None);
    }
}
