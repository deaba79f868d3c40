//! *Lock file*: the text of a `Cargo.lock` becomes the packages to verify and those that have no published crate.

pub mod lines;
pub mod meaning;

use std::collections::{BTreeMap, BTreeSet};

use cargo_lock::Lockfile;
use cargo_lock::package::GitReference;
use serde::{Deserialize, Serialize};

use crate::contract::recipe::Reference;
use crate::model::commit::CommitId;
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;
use crate::model::package::{PackageKey, RegistryName};

/// How a lock file names the default registry, wherever cargo's configuration says that it is.
pub const DEFAULT_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A registry package as a lock file names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LockedPackage {
    /// Which package it is.
    pub key: PackageKey,
    /// The checksum in the lock file; lock files may lack it for some packages.
    pub checksum: Option<Sha256>,
}

/// A package of the lock file that has no published crate that recrate could look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Skipped {
    /// Its name, as the lock file has it.
    pub name: Foreign,
    /// Its version, as the lock file has it.
    pub version: Foreign,
    /// Its source, as the lock file has it.
    pub source: Option<Foreign>,
    /// Its checksum, as the lock file has it.
    pub checksum: Option<Foreign>,
    /// Why it is skipped.
    pub kind: SkippedKind,
}

impl Skipped {
    /// Whether its source allows it to be skipped: a plan's author may say anything. Undetermined is always allowed.
    #[must_use]
    pub fn is_what_its_source_says(&self) -> bool {
        match self.kind {
            SkippedKind::Path => self.source.is_none(),
            SkippedKind::Git => self.source.as_ref().is_some_and(|source| source.raw().starts_with("git+")),
            SkippedKind::Unsupported(_) => true,
        }
    }
}

/// Why a package is skipped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkippedKind {
    /// It is the user's own: nothing was published.
    Path,
    /// cargo builds it from its commit: nothing was published.
    Git,
    /// It may be published, but recrate can't look at it: undetermined.
    Unsupported(Foreign),
}

/// What a lock file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Locked {
    /// The registry packages, sorted.
    pub packages: Vec<LockedPackage>,
    /// Everything else.
    pub skipped: Vec<Skipped>,
}

/// A lock file that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum BadLock {
    /// Not a lock file.
    #[error("this is not a Cargo.lock that recrate can read: {0}")]
    Malformed(#[from] cargo_lock::Error),
    /// Not as cargo writes it.
    #[error("this is not a Cargo.lock that recrate can read: {0}")]
    Unreadable(String),
    /// cargo refuses such a lock file.
    #[error("this Cargo.lock has {0} twice; cargo refuses such a file")]
    Repeated(PackageKey),
}

/// A lock file as it is written: the library's own reading changes addresses.
#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    package: Vec<WirePackage>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct WirePackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

/// Reads a lock file of any version from 1 to 4.
///
/// # Errors
/// Where the text is not a lock file, or names a package twice.
pub fn read(text: &str) -> Result<Locked, BadLock> {
    let _: Lockfile = text.parse()?;
    let wire: Wire = toml::from_str(text).map_err(|error| BadLock::Unreadable(error.to_string()))?;
    let mut packages: BTreeMap<PackageKey, Option<Sha256>> = BTreeMap::new();
    let mut skipped = Vec::new();
    for WirePackage { name, version, source, checksum } in wire.package {
        let checksum = checksum.or_else(|| {
            wire.metadata
                .get(&metadata_key(&name, &version, source.as_deref()?))
                .filter(|checksum| *checksum != "<none>")
                .cloned()
        });
        match locate(&name, &version, source.as_deref(), checksum.as_deref()) {
            Ok((key, checksum)) => {
                if packages.insert(key.clone(), checksum).is_some() {
                    return Err(BadLock::Repeated(key));
                }
            }
            Err(kind) => skipped.push(Skipped {
                name: name.into(),
                version: version.into(),
                source: source.map(Into::into),
                checksum: checksum.map(Into::into),
                kind,
            }),
        }
    }
    skipped.sort();
    let packages = packages.into_iter().map(|(key, checksum)| LockedPackage { key, checksum }).collect();
    Ok(Locked { packages, skipped })
}

/// Where format 1 has a package's checksum, in its metadata.
fn metadata_key(name: &str, version: &str, source: &str) -> String {
    format!("checksum {name} {version} ({source})")
}

/// The key and checksum of a registry package, or why it is skipped.
fn locate(
    name: &str,
    version: &str,
    source: Option<&str>,
    checksum: Option<&str>,
) -> Result<(PackageKey, Option<Sha256>), SkippedKind> {
    let unsupported = |reason: &dyn std::fmt::Display| SkippedKind::Unsupported(reason.to_string().into());
    let source = source.ok_or(SkippedKind::Path)?;
    if source.starts_with("git+") {
        return Err(SkippedKind::Git);
    }
    if !source.starts_with("registry+") && !source.starts_with("sparse+") {
        return Err(unsupported(&format!("`{source}` is not a registry")));
    }
    let name = name.parse().map_err(|error| unsupported(&error))?;
    let version = version.parse().map_err(|error| unsupported(&error))?;
    let registry = registry_of(source).map_err(|error| unsupported(&error))?;
    let checksum = checksum.map(str::parse).transpose().map_err(|error| unsupported(&error))?;
    Ok((PackageKey::new(registry, CrateId { name, version }), checksum))
}

/// The registry that a lock file's `source` names.
///
/// # Errors
/// Where it names none.
pub fn registry_of(source: &str) -> Result<RegistryName, crate::model::package::BadRegistryName> {
    if source == DEFAULT_SOURCE { Ok(RegistryName::Default) } else { source.trim_start_matches("registry+").parse() }
}

/// How a lock file names a registry.
#[must_use]
pub fn source_of(registry: &RegistryName) -> String {
    match registry {
        RegistryName::Default => DEFAULT_SOURCE.to_owned(),
        RegistryName::Index(address) if address.as_str().starts_with("sparse+") => address.as_str().to_owned(),
        RegistryName::Index(address) => format!("registry+{}", address.as_str()),
    }
}

/// Where a lock file takes a package from git.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitSource {
    /// The address, as the lock file has it.
    pub url: String,
    /// What the manifest asks for.
    pub reference: Reference,
    /// The commit that it is locked to.
    pub commit: CommitId,
}

/// The packages that a lock file takes from git, by where from. A source that names no commit is left out, and so is a
/// text that is not a lock file.
#[must_use]
pub fn git_packages(text: &str) -> BTreeMap<GitSource, BTreeSet<String>> {
    let mut found: BTreeMap<GitSource, BTreeSet<String>> = BTreeMap::new();
    for package in text.parse::<Lockfile>().map(|lockfile| lockfile.packages).unwrap_or_default() {
        let source = package.source.as_ref().and_then(|source| {
            let commit = source.precise()?.parse().ok()?;
            let reference = match source.git_reference()? {
                GitReference::DefaultBranch => Reference::Default,
                GitReference::Branch(name) => Reference::Branch(name.clone()),
                GitReference::Tag(name) => Reference::Tag(name.clone()),
                GitReference::Rev(name) => Reference::Rev(name.clone()),
            };
            Some(GitSource { url: source.url().to_string(), reference, commit })
        });
        if let Some(source) = source {
            found.entry(source).or_default().insert(package.name.to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKSUM: &str = "8f42a60cbdf9a97f5d2305f08a87dc4e09308d1276d28c869c684d7777685682";
    const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

    fn versions_of(text: &str) -> Vec<String> {
        read(text).unwrap().packages.iter().map(|locked| locked.key.to_string()).collect()
    }

    #[test]
    fn every_version_of_the_format_is_read() {
        let v1 = format!(
            "[[package]]\nname = \"itoa\"\nversion = \"1.0.18\"\nsource = \"{REGISTRY}\"\n\n\
             [metadata]\n\"checksum itoa 1.0.18 ({REGISTRY})\" = \"{CHECKSUM}\"\n"
        );
        assert_eq!(versions_of(&v1), ["itoa@1.0.18"]);
        assert_eq!(read(&v1).unwrap().packages[0].checksum, CHECKSUM.parse().ok());
        for header in ["", "version = 3\n", "version = 4\n"] {
            let text = format!(
                "{header}\n[[package]]\nname = \"itoa\"\nversion = \"1.0.18\"\nsource = \"{REGISTRY}\"\n\
                 checksum = \"{CHECKSUM}\"\n"
            );
            assert_eq!(versions_of(&text), ["itoa@1.0.18"], "{header:?}");
            assert_eq!(read(&text).unwrap().packages[0].checksum, CHECKSUM.parse().ok(), "{header:?}");
        }
    }

    #[test]
    fn git_and_path_packages_are_skipped() {
        let text = "version = 4\n\n[[package]]\nname = \"mine\"\nversion = \"0.1.0\"\n\n\
             [[package]]\nname = \"theirs\"\nversion = \"0.2.0\"\n\
             source = \"git+https://github.com/a/b#4b825dc642cb6eb9a060e54bf8d69288fbee4904\"\n";
        let locked = read(text).unwrap();
        assert!(locked.packages.is_empty());
        let kinds: Vec<_> = locked.skipped.iter().map(|skipped| skipped.kind.clone()).collect();
        assert_eq!(kinds, [SkippedKind::Path, SkippedKind::Git]);
    }

    #[test]
    fn packages_from_git_are_told_with_their_commit() {
        let commit = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let text = ["a", "b"].map(|name| {
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"0.2.0\"\n\
                 source = \"git+https://github.com/a/b.git?branch=main#{commit}\"\n\n"
            )
        });
        let found = git_packages(&text.concat());
        let (source, names) = found.first_key_value().unwrap();
        assert_eq!((source.url.as_str(), found.len()), ("https://github.com/a/b.git", 1));
        assert_eq!(source.reference, Reference::Branch("main".to_owned()));
        assert_eq!((source.commit.to_string().as_str(), names.len()), (commit, 2));
        assert!(git_packages("no lock file").is_empty());
    }

    #[test]
    fn other_registries_keep_their_address() {
        let text = format!(
            "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
             source = \"sparse+https://registry.example/index/\"\nchecksum = \"{CHECKSUM}\"\n"
        );
        let locked = read(&text).unwrap();
        let registry = &locked.packages[0].key.registry;
        assert_eq!(*registry, "sparse+https://registry.example/index/".parse().unwrap());
        assert_eq!(source_of(registry), "sparse+https://registry.example/index/");
        let git = text.replace("sparse+https://registry.example/index/", "registry+https://registry.example/index.git");
        assert_eq!(
            source_of(&read(&git).unwrap().packages[0].key.registry),
            "registry+https://registry.example/index.git"
        );
    }

    fn entry(name: &str, source: &str, checksum: &str) -> String {
        format!(
            "[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{source}\"\nchecksum = \"{checksum}\"\n\n"
        )
    }

    #[test]
    fn the_same_crate_of_two_registries_is_two_packages_and_of_one_is_refused() {
        let other = entry("a", "sparse+https://registry.example/index/", CHECKSUM);
        let both = read(&(entry("a", REGISTRY, CHECKSUM) + &other)).unwrap();
        assert_eq!(both.packages.len(), 2);
        let twice = entry("a", REGISTRY, CHECKSUM) + &entry("a", REGISTRY, &"0".repeat(64));
        assert!(matches!(read(&twice), Err(BadLock::Repeated(_))));
    }

    #[test]
    fn what_recrate_can_not_look_at_is_unsupported_and_not_passed_over() {
        for (name, source) in [("0day", REGISTRY), ("a", "registry+https://registry.example/é")] {
            let locked = read(&entry(name, source, CHECKSUM)).unwrap();
            assert!(matches!(locked.skipped[0].kind, SkippedKind::Unsupported(_)), "{name} {source}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = read(&text);
        }
    }
}
