//! cargo's own configuration, as far as it says where registries are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::package::RegistryName;

/// Where a registry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A sparse index at this address, which ends in a slash.
    Sparse(String),
    /// A cargo local registry in this folder: crates beside an `index/`.
    Local(PathBuf),
}

/// What cargo's configuration files say of sources and registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CargoConfig {
    sources: BTreeMap<String, Source>,
    registries: BTreeMap<String, Registry>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Source {
    replace_with: Option<String>,
    registry: Option<String>,
    local_registry: Option<PathBuf>,
    directory: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Registry {
    index: Option<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    source: BTreeMap<String, Source>,
    #[serde(default)]
    registries: BTreeMap<String, Registry>,
}

/// Configuration that can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// A file is not what cargo would take.
    #[error("{path} is not a cargo configuration: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry is of a kind that recrate does not read.
    #[error(
        "the registry `{0}` is not a sparse index or a local registry; give it one in cargo's configuration, as \
         `[source.NAME]` with `registry = \"sparse+…\"` or `local-registry`"
    )]
    Unsupported(String),
}

impl CargoConfig {
    /// Reads the files that cargo would read in `folder`: those of the folder and everything above, then cargo's home.
    /// The nearest wins.
    ///
    /// # Errors
    /// Where a file is there but can't be read.
    pub fn read(folder: &Path, cargo_home: Option<&Path>) -> Result<Self, Error> {
        let mut config = Self::default();
        for path in files(folder, cargo_home) {
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            let text = fs_err::read_to_string(&path)?;
            let malformed = |error: toml::de::Error| Error::Malformed { path: path.clone(), reason: error.to_string() };
            let file: File = toml::from_str(&text).map_err(malformed)?;
            for (name, mut source) in file.source {
                // Paths count from the folder that holds `.cargo`.
                let base = folder.parent().unwrap_or(&folder);
                source.local_registry = source.local_registry.map(|path| base.join(path));
                let nearer = config.sources.entry(name).or_default();
                nearer.replace_with = nearer.replace_with.take().or(source.replace_with);
                nearer.registry = nearer.registry.take().or(source.registry);
                nearer.local_registry = nearer.local_registry.take().or(source.local_registry);
                nearer.directory = nearer.directory.take().or(source.directory);
            }
            for (name, registry) in file.registries {
                let nearer = config.registries.entry(name).or_default();
                nearer.index = nearer.index.take().or(registry.index);
            }
        }
        Ok(config)
    }

    /// Where a registry is, as a lock file names it.
    ///
    /// # Errors
    /// Where it is, or is replaced by, something that recrate does not read.
    pub fn place(&self, name: &RegistryName) -> Result<Place, Error> {
        match name {
            RegistryName::Default => self.default_registry(),
            RegistryName::Index(index) => self.registry(index.as_str()),
        }
    }

    /// The registry that the configuration, or a variable as cargo reads them, calls by a name.
    ///
    /// # Errors
    /// Where there is none, in words.
    pub fn index_of(&self, label: &str) -> Result<RegistryName, String> {
        let variable = format!("CARGO_REGISTRIES_{}_INDEX", label.to_ascii_uppercase().replace('-', "_"));
        let configured = || self.registries.get(label).and_then(|registry| registry.index.clone());
        let index = std::env::var(&variable).ok().or_else(configured).ok_or_else(|| {
            format!("cargo's configuration has no registry `{label}`\nhelp: add `[registries.{label}]` with `index = \"sparse+…\"`")
        })?;
        index.parse().map_err(|error| format!("the registry `{label}`: {error}"))
    }

    /// Where the default registry is.
    ///
    /// # Errors
    /// Where the configuration replaces it with something that recrate does not read.
    pub fn default_registry(&self) -> Result<Place, Error> {
        self.follow("crates-io")
    }

    /// Where the registry with this index is, as a lock file names it.
    ///
    /// # Errors
    /// Where it is neither sparse nor replaced by something that recrate reads.
    pub fn registry(&self, index: &str) -> Result<Place, Error> {
        let same = |address: &str| address.trim_end_matches('/') == index.trim_end_matches('/');
        let named = |source: &Source| {
            source.registry.as_deref().is_some_and(|address| same(address.trim_start_matches("registry+")))
        };
        if let Some((name, _)) = self.sources.iter().find(|(_, source)| named(source)) {
            return self.follow(name);
        }
        if let Some(name) = self.registries.iter().find(|(_, r)| r.index.as_deref().is_some_and(same)).map(|(n, _)| n)
            && self.sources.contains_key(name)
        {
            return self.follow(name);
        }
        sparse(index).ok_or_else(|| Error::Unsupported(index.to_owned()))
    }

    /// Follows `replace-with` to its end.
    fn follow(&self, name: &str) -> Result<Place, Error> {
        let mut name = name;
        let unsupported = |name: &str| Error::Unsupported(name.to_owned());
        // A ring of replacements never ends; cargo refuses it too.
        for _ in 0..=self.sources.len() {
            let Some(source) = self.sources.get(name) else {
                let registry = self.registries.get(name).and_then(|registry| registry.index.as_deref());
                return match (name, registry) {
                    ("crates-io", _) => sparse(tame_index::CRATES_IO_HTTP_INDEX).ok_or_else(|| unsupported(name)),
                    (_, Some(index)) => sparse(index).ok_or_else(|| unsupported(name)),
                    _ => Err(unsupported(name)),
                };
            };
            if let Some(next) = &source.replace_with {
                name = next;
            } else if let Some(folder) = &source.local_registry {
                return Ok(Place::Local(folder.clone()));
            } else if let Some(registry) = &source.registry {
                return sparse(registry).ok_or_else(|| unsupported(registry));
            } else if source.directory.is_some() || name != "crates-io" {
                return Err(unsupported(name));
            } else {
                return sparse(tame_index::CRATES_IO_HTTP_INDEX).ok_or_else(|| unsupported(name));
            }
        }
        Err(unsupported(name))
    }
}

/// What a project's own configuration may have where something is published: nothing of it says where what is uploaded goes, or who
/// gives the token.
const HARMLESS: [&str; 13] = [
    "alias",
    "build",
    "cache",
    "cargo-new",
    "doc",
    "env",
    "future-incompat-report",
    "install",
    "patch",
    "profile",
    "resolver",
    "target",
    "term",
];

/// The same of `[net]`: how sources are fetched.
const HARMLESS_NET: [&str; 3] = ["git-fetch-with-cli", "offline", "retry"];

/// What of cargo's configuration in a folder, besides that of cargo's home, could say where uploads go or who gives tokens; none where
/// nothing does. A registry may be named as the user names it.
#[must_use]
pub fn steering(folder: &Path, cargo_home: Option<&Path>) -> Option<String> {
    let users: Vec<PathBuf> = cargo_home.and_then(of_folder).into_iter().collect();
    let index = |path: &Path, label: &str| -> Option<toml::Value> {
        let table: toml::Table = fs_err::read_to_string(path).ok()?.parse().ok()?;
        table.get("registries")?.get(label).cloned()
    };
    let is_users = |label: &str, registry: &toml::Value| {
        let own = users.iter().find_map(|path| index(path, label));
        let only_index = registry.as_table().is_some_and(|table| table.keys().all(|key| key == "index"));
        only_index && own.is_some_and(|own| own.get("index") == registry.get("index"))
    };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let is_home = |path: &Path| users.iter().any(|own| real(own) == real(path));
    files(folder, cargo_home).filter(|path| !is_home(path)).find_map(|path| {
        let table = fs_err::read_to_string(&path).ok().and_then(|text| text.parse::<toml::Table>().ok());
        let Some(table) = table else { return Some("something that is no TOML".to_owned()) };
        table.iter().find_map(|(key, value)| match key.as_str() {
            key if HARMLESS.contains(&key) => None,
            "net" if value.as_table().is_some_and(|net| net.keys().all(|key| HARMLESS_NET.contains(&key.as_str()))) => {
                None
            }
            "registries" => value
                .as_table()?
                .iter()
                .find(|(label, registry)| !is_users(label, registry))
                .map(|(label, _)| format!("registries.{label}")),
            other => Some(other.to_owned()),
        })
    })
}

/// Where a registry itself is, whatever stands for it: what is uploaded goes there.
///
/// # Errors
/// Where its index is not sparse.
pub fn unreplaced(name: &RegistryName) -> Result<Place, Error> {
    let index = match name {
        RegistryName::Default => tame_index::CRATES_IO_HTTP_INDEX,
        RegistryName::Index(index) => index.as_str(),
    };
    sparse(index).ok_or_else(|| Error::Unsupported(index.to_owned()))
}

/// The files that cargo reads in `folder`, the nearest first: those of the folder and everything above, then that of cargo's home.
pub fn files(folder: &Path, cargo_home: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let own = folder.ancestors().map(|folder| folder.join(".cargo"));
    let folders: Vec<PathBuf> = own.chain(cargo_home.map(Path::to_owned)).collect();
    folders.into_iter().filter_map(|folder| of_folder(&folder))
}

/// The file of a folder: where there are both, cargo takes the one of old.
fn of_folder(folder: &Path) -> Option<PathBuf> {
    ["config", "config.toml"].map(|name| folder.join(name)).into_iter().find(|path| path.is_file())
}

/// The address of a sparse index, with a slash at its end.
fn sparse(index: &str) -> Option<Place> {
    let address = index.strip_prefix("sparse+")?;
    Some(Place::Sparse(format!("{}/", address.trim_end_matches('/'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projects_files_do_not_steer_uploads() {
        let home = tempfile::tempdir().unwrap();
        let project = tempfile::tempdir().unwrap();
        let users = "[registries.own]\nindex = \"sparse+https://a/\"\n[http]\nproxy = \"x\"\n";
        std::fs::write(home.path().join("config.toml"), users).unwrap();
        let steers = |text: &str| {
            std::fs::create_dir_all(project.path().join(".cargo")).unwrap();
            std::fs::write(project.path().join(".cargo/config.toml"), text).unwrap();
            steering(project.path(), Some(home.path()))
        };
        let same =
            "[registries.own]\nindex = \"sparse+https://a/\"\n[build]\njobs = 1\n[profile.release]\nlto = true\n";
        assert_eq!(steers(same), None);
        for (text, what) in [
            ("[registries.own]\nindex = \"sparse+https://b/\"\n", "registries.own"),
            ("[registries.Own]\nindex = \"sparse+https://a/\"\n", "registries.Own"),
            ("[registries.own]\nindex = \"sparse+https://a/\"\ntoken = \"x\"\n", "registries.own"),
            ("[registries.new]\nindex = \"sparse+https://c/\"\n", "registries.new"),
            ("[source.crates-io]\nreplace-with = \"x\"\n", "source"),
            ("[http]\nproxy = \"x\"\n", "http"),
            ("[registry]\nglobal-credential-providers = []\n", "registry"),
            ("include = [\"more.toml\"]\n", "include"),
            ("no TOML", "something that is no TOML"),
        ] {
            assert_eq!(steers(text).as_deref(), Some(what), "{text}");
        }
        // cargo takes this one, where both are there.
        assert_eq!(steers(same), None);
        std::fs::write(project.path().join(".cargo/config"), "[net]\nretry = 1\n").unwrap();
        assert_eq!(steering(project.path(), Some(home.path())), None);
        std::fs::write(project.path().join(".cargo/config"), "[net]\nretry = 1\nssh.known-hosts = []\n").unwrap();
        assert_eq!(steering(project.path(), Some(home.path())).as_deref(), Some("net"));
    }

    fn config(text: &str) -> (tempfile::TempDir, CargoConfig) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(".cargo")).unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join(".cargo/config.toml"), text).unwrap();
        let read = CargoConfig::read(&folder.path().join("a/b"), None).unwrap();
        (folder, read)
    }

    #[test]
    fn replacements_are_followed_from_a_folder_above() {
        let (folder, config) =
            config("[source.crates-io]\nreplace-with = \"mine\"\n[source.mine]\nlocal-registry = \"registry\"\n");
        assert_eq!(config.default_registry().unwrap(), Place::Local(folder.path().join("registry")));
    }

    #[test]
    fn without_configuration_the_default_registry_is_sparse() {
        let place = CargoConfig::default().default_registry().unwrap();
        assert!(matches!(place, Place::Sparse(address) if address.starts_with("https://") && address.ends_with('/')));
    }

    #[test]
    fn other_registries_are_found_by_their_index() {
        let (_folder, config) = config(
            "[registries.corp]\nindex = \"https://corp.example/index.git\"\n\
             [source.corp]\nregistry = \"https://corp.example/index.git\"\nreplace-with = \"near\"\n\
             [source.near]\nregistry = \"sparse+https://near.example/index\"\n",
        );
        let near = Place::Sparse("https://near.example/index/".to_owned());
        assert_eq!(config.registry("https://corp.example/index.git").unwrap(), near);
        assert_eq!(config.registry("sparse+https://near.example/index/").unwrap(), near);
        assert!(config.registry("https://else.example/index.git").is_err());
    }

    #[test]
    fn a_ring_of_replacements_is_an_error() {
        let (_folder, config) =
            config("[source.crates-io]\nreplace-with = \"a\"\n[source.a]\nreplace-with = \"crates-io\"\n");
        assert!(config.default_registry().is_err());
    }
}
