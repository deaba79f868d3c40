//! A registry: index files and crates, from the network or a folder, kept in the cache.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tame_index::KrateName;
use tame_index::index::IndexConfig;

use super::cache::{Cache, Doing as _, FileError};
use super::cargo_config::Place;
use super::network::{self, Answer, Network};
use crate::model::digest::Sha256;
use crate::model::krate::{CrateId, CrateName};
use crate::stages::slice::{Index, IndexLine, Slice, index_path, read_index};

/// How long an index file is believed before the registry is asked again. A slice is cut before a time that has
/// passed, so an older file lacks nothing of it; only `yanked` may have changed.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// A registry.
#[derive(Debug)]
pub struct Registry {
    place: Place,
    cache: Cache,
    network: Option<Network>,
    /// What the index says of downloads, or why it says nothing; asked for once, whoever comes first.
    downloads: Mutex<Option<Result<IndexConfig, String>>>,
    read: Mutex<HashMap<CrateName, Arc<Vec<IndexLine>>>>,
}

/// Why the registry gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request failed.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not in the cache, and the network must not be used.
    #[error("{0} is not in the cache, and --offline forbids to fetch it")]
    Offline(String),
    /// The registry does not have it.
    #[error("the registry has no {0}")]
    Absent(String),
    /// The registry's own description can't be read.
    #[error("the registry's config.json can't be read: {0}")]
    Config(String),
}

impl Registry {
    /// The registry at a place.
    #[must_use]
    pub fn new(place: Place, cache: Cache, network: Option<Network>) -> Self {
        Self { place, cache, network, downloads: Mutex::default(), read: Mutex::default() }
    }

    /// The index lines of a crate.
    ///
    /// # Errors
    /// Where the registry has no such crate or can't be asked.
    pub fn index(&self, name: &CrateName) -> Result<Arc<Vec<IndexLine>>, Error> {
        let held = |this: &Self| this.read.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(lines) = held(self) {
            return Ok(lines);
        }
        let bytes = match &self.place {
            Place::Local(root) => {
                let path = root.join(index_path(name));
                match std::fs::read(&path) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Err(Error::Absent(name.to_string()));
                    }
                    read => read.doing("read", &path)?,
                }
            }
            Place::Sparse(address) => self.fetch_index(address, name)?,
        };
        let lines = Arc::new(read_index(&bytes));
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), Arc::clone(&lines));
        Ok(lines)
    }

    /// The index lines of several crates. One that the registry does not have is left out: cargo will say if it wants
    /// it.
    ///
    /// # Errors
    /// Where the registry can't be asked.
    pub fn indexes(&self, names: &BTreeSet<CrateName>) -> Result<Index, Error> {
        let mut index = Index::new();
        for name in names {
            match self.index(name) {
                Ok(lines) => drop(index.insert(name.clone(), lines)),
                Err(Error::Absent(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(index)
    }

    fn fetch_index(&self, address: &str, name: &CrateName) -> Result<Vec<u8>, Error> {
        self.fetch(address, index_path(name).trim_start_matches("index/"))
    }

    /// A file of the index, or the registry's own description beside it: believed for a while, then asked for again.
    fn fetch(&self, address: &str, path: &str) -> Result<Vec<u8>, Error> {
        let absent = || Error::Absent(path.rsplit('/').next().unwrap_or(path).to_owned());
        let cached = format!("index/{}/index/{path}", folder_of(address));
        let (file, tag) = (format!("{cached}.json"), format!("{cached}.etag"));
        let before = self.cache.read(&file)?;
        let fresh = self.cache.age(&file).is_some_and(|age| age < FRESH);
        let network = match (before.clone(), &self.network) {
            (Some(bytes), _) if fresh => return Ok(bytes),
            (Some(bytes), None) => return Ok(bytes),
            (None, None) => return Err(Error::Offline(format!("the registry's {path}"))),
            (_, Some(network)) => network,
        };
        let etag = before.as_ref().and(self.cache.read(&tag)?).and_then(|tag| String::from_utf8(tag).ok());
        let url = format!("{address}{path}");
        let bytes = match (network.get(&url, etag.as_deref())?, before) {
            (Answer::NotModified, Some(bytes)) => bytes,
            (Answer::Body { bytes, etag }, _) => {
                match etag {
                    Some(etag) => self.cache.write(&tag, etag.as_bytes())?,
                    None => drop(std::fs::remove_file(self.cache.path(&tag))),
                }
                bytes
            }
            (Answer::Absent | Answer::NotModified, _) => return Err(absent()),
        };
        self.cache.write(&file, &bytes)?;
        Ok(bytes)
    }

    /// The bytes of a crate, unchecked: [`crate::stages::artefact::Artefact::check`] makes something of them. Cached
    /// by the checksum that is expected.
    ///
    /// # Errors
    /// Where the registry has no such crate or can't be asked.
    pub fn download(&self, id: &CrateId, expected: Sha256) -> Result<Vec<u8>, Error> {
        let file = format!("crates/{expected}.crate");
        if let Some(bytes) = self.cache.read(&file)? {
            if Sha256::of(&bytes) == expected {
                return Ok(bytes);
            }
            tracing::warn!("the cached {file} is damaged and is fetched again");
        }
        let bytes = match &self.place {
            Place::Local(root) => {
                let path = root.join(format!("{}.crate", id.stem()));
                return match std::fs::read(&path) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::Absent(id.to_string())),
                    read => Ok(read.doing("read", &path)?),
                };
            }
            Place::Sparse(address) => {
                let network = self.network.as_ref().ok_or_else(|| Error::Offline(id.to_string()))?;
                match network.get(&self.download_url(address, id, expected)?, None)? {
                    Answer::Body { bytes, .. } => bytes,
                    Answer::Absent | Answer::NotModified => return Err(Error::Absent(id.to_string())),
                }
            }
        };
        // Only what is right is kept: what is wrong is asked for again next time.
        if Sha256::of(&bytes) == expected {
            self.cache.write(&file, &bytes)?;
        }
        Ok(bytes)
    }

    /// Where a crate can be fetched; none where the registry is a folder, or does not tell.
    #[must_use]
    pub fn url(&self, id: &CrateId, expected: Sha256) -> Option<String> {
        match &self.place {
            Place::Local(_) => None,
            Place::Sparse(address) => self.download_url(address, id, expected).ok(),
        }
    }

    fn download_url(&self, address: &str, id: &CrateId, expected: Sha256) -> Result<String, Error> {
        let url = self.downloads(address)?.download_url(krate_name(&id.name)?, &id.version.to_string());
        Ok(url.replace("{sha256-checksum}", &expected.to_string()))
    }

    fn downloads(&self, address: &str) -> Result<IndexConfig, Error> {
        let mut held = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        held.get_or_insert_with(|| self.read_config(address)).clone().map_err(Error::Config)
    }

    fn read_config(&self, address: &str) -> Result<IndexConfig, String> {
        let bytes = self.fetch(address, "config.json").map_err(|error| error.to_string())?;
        // Only this of it matters here; the rest is written in more ways than the library takes, like a null `api`.
        #[derive(serde::Deserialize)]
        struct Wire {
            dl: String,
        }
        let Wire { dl } = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        Ok(IndexConfig { dl, api: None, auth_required: false })
    }
}

/// Lays a slice out as a cargo local registry, in a new folder.
///
/// # Errors
/// Where it can't be written.
pub fn write_slice(slice: &Slice, folder: &Path) -> Result<(), FileError> {
    let index = folder.join("index");
    std::fs::create_dir_all(&index).doing("create the folder", &index)?;
    for (path, file) in &slice.files {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).doing("create the folder", parent)?;
        std::fs::write(&path, file.text()).doing("write", &path)?;
    }
    Ok(())
}

fn krate_name(name: &CrateName) -> Result<KrateName<'_>, Error> {
    KrateName::cargo(name.as_str()).map_err(|error| Error::Absent(error.to_string()))
}

/// A folder name for an address.
fn folder_of(address: &str) -> String {
    let host = address.split("://").last().unwrap_or_default().split('/').next().unwrap_or_default();
    let plain: String = host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
    format!("{plain}-{}", &Sha256::of(address.as_bytes()).to_string()[..12])
}
