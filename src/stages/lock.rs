//! *Lock file*: the text of a `Cargo.lock` becomes the crates to verify and the packages that can't be.

use std::collections::{BTreeMap, BTreeSet};

use cargo_lock::Lockfile;
use cargo_lock::package::GitReference;
use serde::{Deserialize, Serialize};

use crate::builder::further::Reference;
use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::model::source::GitSource;

/// A registry crate as a lock file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedCrate {
    /// Name and version.
    pub id: CrateId,
    /// Which registry it comes from.
    pub registry: RegistryName,
    /// The checksum in the lock file; lock files may lack it for some crates.
    pub checksum: Option<Sha256>,
}

/// A registry as a lock file names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistryName {
    /// The default registry, wherever cargo's configuration says that it is.
    Default,
    /// Another registry by the address of its index, without `registry+`; sparse ones begin with `sparse+`.
    Index(String),
}

/// A package of the lock file that has no published crate to compare with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// `name@version`, as the lock file has it.
    pub package: String,
    /// Why it is not verified.
    pub reason: String,
}

/// What a lock file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The registry crates, sorted and without repetition.
    pub crates: Vec<LockedCrate>,
    /// Everything else, with the reason.
    pub skipped: Vec<Skipped>,
}

/// A lock file that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("this is no Cargo.lock that recrate can read: {0}")]
pub struct BadLock(#[from] cargo_lock::Error);

/// Reads a lock file of any version from 1 to 4.
///
/// # Errors
/// Where the text is no lock file.
pub fn read(text: &str) -> Result<Locked, BadLock> {
    let lockfile: Lockfile = text.parse()?;
    let mut locked = Locked { crates: Vec::new(), skipped: Vec::new() };
    let mut seen = BTreeSet::new();
    for package in &lockfile.packages {
        let name = package.name.as_str();
        let mut skip = |reason: &str| {
            locked.skipped.push(Skipped { package: format!("{name}@{}", package.version), reason: reason.to_owned() });
        };
        let Some(source) = &package.source else {
            skip("a path package: it was not published from this lock file's point of view");
            continue;
        };
        if source.is_git() {
            skip("a git package: cargo builds it from its commit already, there is no published crate");
            continue;
        }
        if !source.is_registry() {
            skip("not from a registry");
            continue;
        }
        let Ok(krate) = name.parse() else {
            skip("its name is none that a registry takes");
            continue;
        };
        let id = CrateId { name: krate, version: package.version.clone() };
        let registry = if source.is_default_registry() {
            RegistryName::Default
        } else {
            RegistryName::Index(source.to_string().trim_start_matches("registry+").to_owned())
        };
        if seen.insert((id.clone(), registry.clone())) {
            let checksum = package.checksum.as_ref().and_then(|checksum| checksum.as_sha256()).map(Sha256);
            locked.crates.push(LockedCrate { id, registry, checksum });
        }
    }
    locked.crates.sort_by(|a, b| a.id.cmp(&b.id));
    locked.skipped.sort();
    Ok(locked)
}

/// The packages that a lock file takes from git, by where from. A source that names no commit is left out, and so is a
/// text that is no lock file.
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
        read(text).unwrap().crates.iter().map(|locked| locked.id.to_string()).collect()
    }

    #[test]
    fn every_version_of_the_format_is_read() {
        let v1 = format!(
            "[[package]]\nname = \"itoa\"\nversion = \"1.0.18\"\nsource = \"{REGISTRY}\"\n\n\
             [metadata]\n\"checksum itoa 1.0.18 ({REGISTRY})\" = \"{CHECKSUM}\"\n"
        );
        assert_eq!(versions_of(&v1), ["itoa@1.0.18"]);
        assert_eq!(read(&v1).unwrap().crates[0].checksum, CHECKSUM.parse().ok());
        for header in ["", "version = 3\n", "version = 4\n"] {
            let text = format!(
                "{header}\n[[package]]\nname = \"itoa\"\nversion = \"1.0.18\"\nsource = \"{REGISTRY}\"\n\
                 checksum = \"{CHECKSUM}\"\n"
            );
            assert_eq!(versions_of(&text), ["itoa@1.0.18"], "{header:?}");
            assert_eq!(read(&text).unwrap().crates[0].checksum, CHECKSUM.parse().ok(), "{header:?}");
        }
    }

    #[test]
    fn git_and_path_packages_are_skipped_with_the_reason() {
        let text = "version = 4\n\n[[package]]\nname = \"mine\"\nversion = \"0.1.0\"\n\n\
             [[package]]\nname = \"theirs\"\nversion = \"0.2.0\"\n\
             source = \"git+https://github.com/a/b#4b825dc642cb6eb9a060e54bf8d69288fbee4904\"\n";
        let locked = read(text).unwrap();
        assert!(locked.crates.is_empty());
        let said: Vec<_> = locked.skipped.iter().map(|skipped| skipped.reason.split(':').next().unwrap()).collect();
        assert_eq!(said, ["a path package", "a git package"]);
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
        assert_eq!(locked.crates[0].registry, RegistryName::Index("sparse+https://registry.example/index/".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = read(&text);
        }
    }
}
