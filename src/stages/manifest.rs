//! `Cargo.toml`: what it says, whichever cargo wrote it.

pub mod changes;
pub mod meaning;
mod targets;

use std::collections::BTreeSet;

use semver::VersionReq;
use toml::{Table, Value};

use super::artefact::{Archive, MANIFEST};
use super::lock::GitSource;
use crate::contract::recipe::Reference;
use crate::model::requirement;

/// A manifest; empty where the text is not TOML.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    table: Table,
}

/// The tables of dependencies, in the spelling of today.
const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// A requirement on another crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The crate, whatever the manifest calls it.
    pub name: String,
    /// The versions that will do; any where none is given.
    pub versions: VersionReq,
    /// The features that are asked of it.
    pub features: Vec<String>,
}

impl Manifest {
    /// Reads a manifest. What is not TOML reads as an empty one: cargo will say what is wrong with it.
    #[must_use]
    pub fn read(text: &str) -> Self {
        Self { table: text.parse().unwrap_or_default() }
    }

    /// The normalised manifest of a crate; an empty one where it has none.
    #[must_use]
    pub fn of(archive: &Archive) -> Self {
        archive.text(MANIFEST).map(|text| Self::read(&text)).unwrap_or_default()
    }

    fn package(&self) -> Option<&Table> {
        self.table.get("package").or_else(|| self.table.get("project"))?.as_table()
    }

    /// The package's name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.package()?.get("name")?.as_str()
    }

    /// The package's version; none where it is its workspace's.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.package()?.get("version")?.as_str()
    }

    /// The oldest Rust that the package says it needs.
    #[must_use]
    pub fn rust_version(&self) -> Option<&str> {
        self.package()?.get("rust-version")?.as_str()
    }

    /// Whether cargo may choose versions of dependencies by the compiler that they need: with the third resolver.
    #[must_use]
    pub fn resolves_by_rust_version(&self) -> bool {
        let says = |key: &str| self.package().and_then(|package| package.get(key)?.as_str());
        match says("resolver") {
            Some(resolver) => resolver != "1" && resolver != "2",
            None => says("edition").is_some_and(|edition| edition >= "2024"),
        }
    }

    /// The repository that the package names.
    #[must_use]
    pub fn repository(&self) -> Option<&str> {
        self.package()?.get("repository")?.as_str().filter(|text| !text.trim().is_empty())
    }

    /// Whether it is the root of a workspace.
    #[must_use]
    pub fn is_workspace(&self) -> bool {
        self.table.contains_key("workspace")
    }

    /// Whether it lists binaries.
    #[must_use]
    pub fn has_binaries(&self) -> bool {
        self.table.get("bin").and_then(Value::as_array).is_some_and(|binaries| !binaries.is_empty())
    }

    /// The indexes of other registries that dependencies name.
    #[must_use]
    pub fn registry_indexes(&self) -> BTreeSet<&str> {
        self.dependencies().filter_map(|(_, value)| value.get("registry-index")?.as_str()).collect()
    }

    /// Every requirement that it states, of any kind and for any target, those of its workspace included.
    #[must_use]
    pub fn requirements(&self) -> Vec<Requirement> {
        let requirement = |(key, value): (&String, &Value)| {
            let versions = value.as_str().or_else(|| value.get("version")?.as_str());
            let features = value.get("features").and_then(Value::as_array).into_iter().flatten();
            let by_features = self.asked_by_features(key);
            Requirement {
                features: features.filter_map(Value::as_str).map(str::to_owned).chain(by_features).collect(),
                name: value.get("package").and_then(Value::as_str).unwrap_or(key).to_owned(),
                versions: versions.map_or(VersionReq::STAR, requirement::versions),
            }
        };
        self.dependencies().map(requirement).collect()
    }

    /// What the package's own features ask of a dependency.
    fn asked_by_features(&self, key: &str) -> Vec<String> {
        let features = self.table.get("features").and_then(Value::as_table).into_iter().flat_map(Table::values);
        let wants = features.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        let of_it = wants.filter_map(|want| {
            let (dependency, feature) = want.split_once('/')?;
            (dependency.trim_end_matches('?') == key).then(|| feature.to_owned())
        });
        of_it.collect()
    }

    /// Every folder that it names: dependencies by path, and members of its workspace, as patterns.
    #[must_use]
    pub fn paths(&self) -> Vec<&str> {
        let members = self.table.get("workspace").and_then(|workspace| workspace.get("members")?.as_array());
        let members = members.into_iter().flatten().filter_map(Value::as_str);
        self.dependencies().filter_map(|(_, value)| path(value)).chain(members).collect()
    }

    /// The folders of the package's own dependencies.
    #[must_use]
    pub fn dependency_paths(&self) -> Vec<&str> {
        self.own_dependencies().filter_map(|(_, value)| path(value)).collect()
    }

    /// The dependencies that are taken from the workspace's list.
    #[must_use]
    pub fn inherited(&self) -> Vec<&str> {
        let inherited = self.own_dependencies().filter(|(_, value)| value.get("workspace").is_some());
        inherited.map(|(key, _)| key.as_str()).collect()
    }

    /// The folder of a dependency in the workspace's list.
    #[must_use]
    pub fn shared_path(&self, key: &str) -> Option<&str> {
        path(self.table.get("workspace")?.get("dependencies")?.get(key)?)
    }

    /// The folders of crates that replace others in the whole workspace.
    #[must_use]
    pub fn patches(&self) -> Vec<&str> {
        self.replacements().filter_map(path).collect()
    }

    /// Whether crates are replaced by others from git in the whole workspace.
    #[must_use]
    pub fn patches_from_git(&self) -> bool {
        self.replacements().any(|patch| patch.get("git").is_some())
    }

    /// What is taken from git by the full id of a commit, here or in the workspace's list.
    #[must_use]
    pub fn git_revisions(&self) -> BTreeSet<GitSource> {
        let pinned = |value: &Value| {
            let (url, rev) = (value.get("git")?.as_str()?.to_owned(), value.get("rev")?.as_str()?);
            Some(GitSource { url, reference: Reference::Rev(rev.to_owned()), commit: rev.parse().ok()? })
        };
        self.dependencies().map(|(_, value)| value).chain(self.replacements()).filter_map(pinned).collect()
    }

    fn replacements(&self) -> impl Iterator<Item = &Value> {
        let patches = self.table.get("patch").and_then(Value::as_table).into_iter().flat_map(Table::values);
        let replacements = self.table.get("replace").into_iter();
        patches.chain(replacements).filter_map(Value::as_table).flat_map(Table::values)
    }

    fn dependencies(&self) -> impl Iterator<Item = (&String, &Value)> {
        let workspace = self.table.get("workspace").and_then(Value::as_table);
        self.own_dependencies().chain(workspace.into_iter().flat_map(listed))
    }

    fn own_dependencies(&self) -> impl Iterator<Item = (&String, &Value)> {
        let targets = self.table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
        [&self.table].into_iter().chain(targets.filter_map(Value::as_table)).flat_map(listed)
    }
}

/// The dependencies of every kind in a table.
fn listed(table: &Table) -> impl Iterator<Item = (&String, &Value)> {
    DEPENDENCY_TABLES.into_iter().flat_map(|kind| {
        let listed = table.get(kind).or_else(|| table.get(&kind.replace('-', "_")));
        listed.and_then(Value::as_table).into_iter().flatten()
    })
}

/// A dependency's folder.
fn path(dependency: &Value) -> Option<&str> {
    dependency.get("path")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_of_every_kind_are_found() {
        let text = "[dependencies]\na = \"1\"\nb = { package = \"c\", version = \"2\" }\n\
            [target.'cfg(unix)'.dev-dependencies]\nd = \"3\"\n[workspace.dependencies]\ne = { git = \"x\" }\n";
        let found: Vec<_> =
            Manifest::read(text).requirements().into_iter().map(|r| format!("{} {}", r.name, r.versions)).collect();
        assert_eq!(found, ["a ^1", "c ^2", "d ^3", "e *"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text: String) {
            let _ = Manifest::read(&text).requirements();
        }
    }
}
