//! *New crate*: what a registry is told of a crate that is published, made of the crate itself: its normalised manifest and its README.
//!
//! The fields are cargo's, all of them (`transmit` in `cargo/ops/registry/publish.rs`); the default registry reads four. The line that a registry
//! will have of the crate in its index is made of the same.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cargo_util_schemas::manifest::{
    InheritableDependency, InheritableField, PackageName, StringOrBool, TomlDependency, TomlDetailedDependency,
    TomlManifest, TomlPlatform,
};
use crates_io::{NewCrate, NewCrateDependency};
use jiff::Timestamp;
use semver::VersionReq;
use serde_json::{Value, json};

use super::artefact::{Archive, Artefact, MANIFEST, Malformed};
use super::candidate::Candidate;
use crate::model::digest::Sha256;
use crate::model::package::{PackageKey, RegistryName};

/// The default registry's index, as manifests and uploads name it whatever its protocol is.
const DEFAULT_INDEX: &str = tame_index::CRATES_IO_INDEX;

/// READMEs that cargo finds by itself.
const READMES: [&str; 3] = ["README.md", "README.txt", "README"];

/// The first format of index lines that has features of the newer kinds.
const WITH_NEW_FEATURES: u32 = 2;

/// Why a crate can't be published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// cargo writes no such archive.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is another package than it is to be published as.
    #[error("its manifest is that of {0}")]
    Other(String),
    /// There is no manifest that cargo's schema reads.
    #[error("its manifest can't be read: {0}")]
    Manifest(String),
    /// The manifest lacks something that every registry wants.
    #[error("its manifest has no {0}")]
    Lacks(&'static str),
    /// A requirement is none.
    #[error("it requires {name} {text}, which is no requirement: {error}")]
    Requirement {
        /// The crate that is required.
        name: String,
        /// What the manifest says.
        text: String,
        /// What is wrong with it.
        error: semver::Error,
    },
}

/// A crate as the package that it is to be, as if it was published at a time.
///
/// # Errors
/// Where its bytes are not that package.
pub fn candidate(key: PackageKey, bytes: Vec<u8>, published: Timestamp) -> Result<Candidate, Error> {
    let id = key.id();
    let archive = Archive::read(&id, &bytes)?;
    let new = describe(&archive, &key.registry)?;
    if new.name != id.name.as_str() || new.vers != id.version.to_string() {
        return Err(Error::Other(format!("{}@{}", new.name, new.vers)));
    }
    let checksum = Sha256::of(&bytes);
    let line = index_line(&new, checksum, published);
    // Its own sha256 is what it has.
    let unpacked_size = Artefact::check(id, checksum, bytes.clone()).map_or(0, |artefact| artefact.unpacked_size());
    Ok(Candidate { key, checksum, bytes, unpacked_size, entries: archive.entries.len(), line })
}

/// What `registry` is told of a crate.
///
/// # Errors
/// Where its manifest is not one that cargo writes.
pub fn describe(archive: &Archive, registry: &RegistryName) -> Result<NewCrate, Error> {
    let text = archive.text(MANIFEST).ok_or_else(|| Error::Manifest("there is none".to_owned()))?;
    let manifest: TomlManifest = toml::from_str(&text).map_err(|error| Error::Manifest(error.to_string()))?;
    let package = manifest.package().ok_or(Error::Lacks("[package]"))?;
    let name = package.name.as_ref().ok_or(Error::Lacks("name"))?.to_string();
    let version = package.version.as_ref().and_then(InheritableField::as_value).ok_or(Error::Lacks("version"))?;
    let text = |field: &Option<InheritableField<String>>| field.as_ref().and_then(InheritableField::as_value).cloned();
    let list = |field: &Option<InheritableField<Vec<String>>>| {
        field.as_ref().and_then(InheritableField::as_value).cloned().unwrap_or_default()
    };
    let readme_file = match package.readme.as_ref().and_then(InheritableField::as_value) {
        Some(StringOrBool::String(path)) => Some(path.clone()),
        Some(StringOrBool::Bool(false)) => None,
        Some(StringOrBool::Bool(true)) => Some(READMES[0].to_owned()),
        None => READMES.iter().find(|path| archive.file(path).is_some()).map(|path| (*path).to_owned()),
    };
    let readme = readme_file.as_deref().and_then(|path| archive.text(path)).map(Cow::into_owned);
    let features = manifest.features().into_iter().flatten();
    let rust_version = package.rust_version.as_ref().and_then(InheritableField::as_value);
    Ok(NewCrate {
        name,
        vers: version.to_string(),
        deps: dependencies(&manifest, registry)?,
        features: features.map(|(name, values)| (name.to_string(), values.clone())).collect(),
        authors: list(&package.authors),
        description: text(&package.description),
        documentation: text(&package.documentation),
        homepage: text(&package.homepage),
        readme,
        readme_file,
        keywords: list(&package.keywords),
        categories: list(&package.categories),
        license: text(&package.license),
        license_file: text(&package.license_file),
        repository: text(&package.repository),
        badges: manifest.badges.clone().unwrap_or_default(),
        links: package.links.clone(),
        rust_version: rust_version.map(ToString::to_string),
    })
}

/// A table of dependencies, and of which kind and for which platform they are.
type Table<'a> = (&'a str, Option<&'a str>, Option<&'a BTreeMap<PackageName, InheritableDependency>>);

fn dependencies(manifest: &TomlManifest, registry: &RegistryName) -> Result<Vec<NewCrateDependency>, Error> {
    let mut tables: Vec<Table<'_>> = vec![
        ("normal", None, manifest.dependencies.as_ref()),
        ("dev", None, manifest.dev_dependencies()),
        ("build", None, manifest.build_dependencies()),
    ];
    for (platform, own) in manifest.target.iter().flatten() {
        let platform = Some(platform.as_str());
        tables.extend([
            ("normal", platform, own.dependencies.as_ref()),
            ("dev", platform, TomlPlatform::dev_dependencies(own)),
            ("build", platform, TomlPlatform::build_dependencies(own)),
        ]);
    }
    let mut all = Vec::new();
    for (kind, platform, table) in tables {
        for (key, dependency) in table.into_iter().flatten() {
            if let InheritableDependency::Value(dependency) = dependency {
                all.push(self::dependency((kind, platform), key.as_str(), dependency, registry)?);
            }
        }
    }
    Ok(all)
}

fn dependency(
    (kind, platform): (&str, Option<&str>),
    key: &str,
    dependency: &TomlDependency,
    registry: &RegistryName,
) -> Result<NewCrateDependency, Error> {
    let own;
    let detailed: &TomlDetailedDependency = match dependency {
        TomlDependency::Detailed(detailed) => detailed,
        TomlDependency::Simple(version) => {
            own = TomlDetailedDependency { version: Some(version.clone()), ..TomlDetailedDependency::default() };
            &own
        }
    };
    let name = detailed.package.as_ref().map_or_else(|| key.to_owned(), ToString::to_string);
    let text = detailed.version.clone().unwrap_or_else(|| "*".to_owned());
    let requirement: VersionReq =
        text.parse().map_err(|error| Error::Requirement { name: name.clone(), text, error })?;
    // To a registry, silence means its own crates; to a manifest, those of the default one.
    let index = detailed.registry_index.as_deref();
    let other = match (index, registry) {
        (None, RegistryName::Default) => None,
        (None, RegistryName::Index(_)) => Some(DEFAULT_INDEX.to_owned()),
        (Some(index), RegistryName::Index(own)) if index == own.as_str() => None,
        (Some(index), _) => Some(index.to_owned()),
    };
    let artifact = detailed.artifact.as_ref().map(|artifact| artifact.iter().cloned().collect::<Vec<_>>());
    Ok(NewCrateDependency {
        optional: detailed.optional.unwrap_or(false),
        default_features: detailed.default_features().unwrap_or(true),
        explicit_name_in_toml: detailed.package.is_some().then(|| key.to_owned()),
        name,
        features: detailed.features.clone().unwrap_or_default(),
        version_req: requirement.to_string(),
        target: platform.map(str::to_owned),
        kind: kind.to_owned(),
        registry: other,
        lib: artifact.is_some() && detailed.lib.unwrap_or(false),
        bindep_target: detailed.target.clone().filter(|_| artifact.is_some()),
        artifact,
    })
}

/// The line that a registry's index will have of a crate with this checksum; `published` is its time.
#[must_use]
pub fn index_line(new: &NewCrate, checksum: Sha256, published: Timestamp) -> String {
    let deps = new.deps.iter().map(|dependency| {
        let key = dependency.explicit_name_in_toml.as_ref();
        json!({
            "name": key.unwrap_or(&dependency.name),
            "req": dependency.version_req,
            "features": dependency.features,
            "optional": dependency.optional,
            "default_features": dependency.default_features,
            "target": dependency.target,
            "kind": dependency.kind,
            "registry": dependency.registry,
            "package": key.map(|_| &dependency.name),
        })
    });
    let is_new = |value: &String| value.starts_with("dep:") || value.contains("?/");
    let (newer, older): (BTreeMap<_, _>, BTreeMap<_, _>) =
        new.features.iter().partition(|(_, values)| values.iter().any(is_new));
    let mut line = json!({
        "name": new.name,
        "vers": new.vers,
        "deps": deps.collect::<Vec<Value>>(),
        "cksum": checksum,
        "features": older,
        "yanked": false,
        "links": new.links,
        "rust_version": new.rust_version,
        "pubtime": published.to_string(),
    });
    if !newer.is_empty() {
        line["features2"] = json!(newer);
        line["v"] = json!(WITH_NEW_FEATURES);
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::index::read_index;

    fn new(name: &str, features: &[(&str, &[&str])]) -> NewCrate {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        NewCrate {
            name: name.to_owned(),
            vers: "1.0.0".to_owned(),
            deps: Vec::new(),
            features: features.iter().map(|(name, own)| ((*name).to_owned(), values(own))).collect(),
            authors: Vec::new(),
            description: None,
            documentation: None,
            homepage: None,
            readme: None,
            readme_file: None,
            keywords: Vec::new(),
            categories: Vec::new(),
            license: None,
            license_file: None,
            repository: None,
            badges: BTreeMap::new(),
            links: None,
            rust_version: None,
        }
    }

    #[test]
    fn newer_kinds_of_features_take_the_newer_format() {
        let format = |features: &[(&str, &[&str])]| {
            let line = index_line(&new("a", features), Sha256([1; 32]), "2026-01-02T03:04:05Z".parse().unwrap());
            let lines = read_index(line.as_bytes());
            assert_eq!(lines[0].published.unwrap().to_string(), "2026-01-02T03:04:05Z");
            assert_eq!(lines[0].checksum, Sha256([1; 32]));
            lines[0].format
        };
        assert_eq!(format(&[("default", &["std"]), ("std", &[])]), 1);
        assert_eq!(format(&[("default", &["dep:b"])]), WITH_NEW_FEATURES);
        assert_eq!(format(&[("std", &["b?/std"])]), WITH_NEW_FEATURES);
    }
}
