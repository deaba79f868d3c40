//! *Provenance*: where a published crate says that it comes from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::artefact::{Archive, MANIFEST, VCS_INFO};
use super::claims::{Missing, OtherTag};
use super::manifest::Manifest;
use crate::model::commit::{BadCommitId, CommitId};
use crate::model::krate::{CrateId, CrateName};
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;

/// What a crate's `.cargo_vcs_info.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcsInfo {
    /// The commit.
    pub commit: CommitId,
    /// The package's folder; none in the form that cargos before 1.57 wrote.
    pub path: Option<SubPath>,
    /// Whether cargo saw uncommitted changes (from 1.81 on).
    pub dirty: bool,
}

/// Why a crate can't be traced to a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Untraceable {
    /// cargo wrote no vcs info.
    #[error("no {VCS_INFO}: published with --allow-dirty, from outside of git, or by a cargo before 1.30")]
    NoVcsInfo,
    /// The vcs info can't be read.
    #[error("{VCS_INFO} can't be read: {0}")]
    BadVcsInfo(String),
    /// The vcs info has an id of a SHA-256 repository.
    #[error("{0}")]
    Sha256(String),
    /// There is no manifest.
    #[error("there is no {MANIFEST}, or it is no text")]
    NoManifest,
    /// The manifest can't be read: it is no TOML, or nested too deeply.
    #[error("{MANIFEST} can't be read: {0}")]
    BadManifest(String),
    /// The manifest names no repository.
    #[error("{MANIFEST} names no repository")]
    NoRepository,
    /// The manifest's repository is not an allowed address.
    #[error("{MANIFEST} names `{0}` as repository, which is not an https address")]
    BadRepository(String),
}

impl Untraceable {
    /// What a rebuild would need.
    #[must_use]
    pub fn missing(&self) -> Missing {
        match self {
            Self::NoVcsInfo => Missing::VcsInfo,
            Self::BadVcsInfo(_) => Missing::ReadableVcsInfo,
            Self::Sha256(_) => Missing::Sha1Ids,
            Self::NoManifest | Self::BadManifest(_) => Missing::ReadableManifest,
            Self::NoRepository => Missing::Repository,
            Self::BadRepository(_) => Missing::AllowedRepository,
        }
    }
}

impl VcsInfo {
    /// The vcs info of a crate.
    ///
    /// # Errors
    /// Where there is none, or it is not what cargo writes: no JSON, no commit id, a folder that leads out of the
    /// repository. A finding about the crate.
    pub fn of(archive: &Archive) -> Result<Self, Untraceable> {
        Self::read(&archive.file(VCS_INFO).ok_or(Untraceable::NoVcsInfo)?)
    }

    fn read(bytes: &[u8]) -> Result<Self, Untraceable> {
        #[derive(Deserialize)]
        struct Wire {
            git: Git,
            path_in_vcs: Option<String>,
        }
        #[derive(Deserialize)]
        struct Git {
            sha1: String,
            #[serde(default)]
            dirty: bool,
        }
        let bad = |error: &dyn std::fmt::Display| Untraceable::BadVcsInfo(error.to_string());
        let wire: Wire = serde_json::from_slice(bytes).map_err(|error| bad(&error))?;
        let commit = wire.git.sha1.parse().map_err(|error| match error {
            BadCommitId::Sha256(_) => Untraceable::Sha256(error.to_string()),
            BadCommitId::Malformed(_) => bad(&error),
        })?;
        let path = wire.path_in_vcs.map(|path| path.parse()).transpose().map_err(|error| bad(&error))?;
        Ok(Self { commit, path, dirty: wire.git.dirty })
    }
}

/// Reads which repository a crate's manifest names.
///
/// # Errors
/// Where it names none, or none that is an allowed address: a finding about the crate.
pub fn repository(archive: &Archive) -> Result<RepositoryUrl, Untraceable> {
    let text = archive.text(MANIFEST).ok_or(Untraceable::NoManifest)?;
    if let Err(error) = text.parse::<toml::Table>() {
        return Err(Untraceable::BadManifest(error.message().to_owned()));
    }
    let manifest = Manifest::read(&text);
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

/// The tags of a crate's version that are on another commit than the crate's own. One that was squashed into another has
/// its tag there.
#[must_use]
pub fn other_tags(
    names: &[String],
    tags: &BTreeMap<String, CommitId>,
    own: CommitId,
    squashed_into: Option<CommitId>,
) -> Vec<OtherTag> {
    let found = names.iter().filter_map(|name| Some((name, *tags.get(name)?)));
    let elsewhere = found.filter(|(_, commit)| *commit != own && Some(*commit) != squashed_into);
    elsewhere.map(|(name, commit)| OtherTag { tag: name.as_str().into(), commit }).collect()
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
        assert_eq!(VcsInfo::of(&archive).unwrap().path.unwrap().as_str(), "sub");
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(VcsInfo::of(&archive(&[(MANIFEST, b"", 0o644)])), Err(Untraceable::NoVcsInfo));
        assert_eq!(repository(&archive(&[(MANIFEST, b"", 0o644)])), Err(Untraceable::NoRepository));
        assert_eq!(repository(&archive(&[(VCS_INFO, VCS, 0o644)])), Err(Untraceable::NoManifest));
        let deep = format!("a = {}{}", "[".repeat(10_000), "]".repeat(10_000));
        for text in ["no TOML", &deep] {
            let said = repository(&archive(&[(MANIFEST, text.as_bytes(), 0o644)]));
            assert!(matches!(said, Err(Untraceable::BadManifest(_))), "{said:?}");
        }
        let option = b"[package]\nrepository = \"ext::sh -c id\"\n";
        let said = repository(&archive(&[(MANIFEST, option, 0o644)]));
        assert!(matches!(said, Err(Untraceable::BadRepository(_))), "{said:?}");
    }

    #[test]
    fn a_tag_of_the_version_on_another_commit_is_found() {
        let (own, other) = (CommitId([1; 20]), CommitId([2; 20]));
        let id = "a@1.0.0".parse().unwrap();
        let tags = |names: &[(&str, CommitId)]| names.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        let found = |alone, names: &[(&str, CommitId)], squashed| -> Vec<String> {
            other_tags(&tag_names(&id, alone), &tags(names), own, squashed)
                .into_iter()
                .map(|one| one.tag.raw().to_owned())
                .collect()
        };
        assert_eq!(found(true, &[("v1.0.0", own), ("v1.0.1", other)], None), [""; 0]);
        assert_eq!(found(true, &[("v1.0.0", other)], None), ["v1.0.0"]);
        assert_eq!(found(true, &[("v1.0.0", other)], Some(other)), [""; 0], "it was squashed into that one");
        assert_eq!(found(false, &[("v1.0.0", other)], None), [""; 0], "it may be another package's");
        assert_eq!(found(false, &[("a-v1.0.0", other)], None).len(), 1);
    }

    #[test]
    fn vcs_info_of_every_age_is_read() {
        let sha1 = "af77385d0d165b0e3edc4a5c2a44a5a0a4b6b1d0";
        let old = VcsInfo::read(format!("{{\"git\": {{\"sha1\": \"{sha1}\"}}}}\n").as_bytes()).unwrap();
        assert_eq!((old.path, old.dirty), (None, false));
        let new = format!("{{\"git\":{{\"sha1\":\"{sha1}\",\"dirty\":true}},\"path_in_vcs\":\"a/b\"}}");
        let new = VcsInfo::read(new.as_bytes()).unwrap();
        assert_eq!(new.commit.to_string(), sha1);
        assert_eq!(new.path.unwrap().as_str(), "a/b");
        assert!(new.dirty);
        let out = format!("{{\"git\":{{\"sha1\":\"{sha1}\"}},\"path_in_vcs\":\"../x\"}}");
        assert!(VcsInfo::read(out.as_bytes()).is_err());
        assert!(VcsInfo::read(b"{}").is_err());
        let long = VcsInfo::read(format!("{{\"git\":{{\"sha1\":\"{}\"}}}}", "a".repeat(64)).as_bytes());
        assert!(matches!(long, Err(Untraceable::Sha256(_))), "{long:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = VcsInfo::read(&bytes);
        }
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
