//! A registry: index files and crates, from the network or a folder, kept in the cache.

#[cfg(feature = "driver")]
mod publishing;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tame_index::KrateName;
use tame_index::index::IndexConfig;

use super::cache::Cache;
use super::cargo_config::Place;
use super::network::{self, Answer, FILE_LIMIT, INDEX_LIMIT, Network};
use super::parallel::{in_parallel, locked};
use crate::model::digest::Sha256;
use crate::model::krate::{CrateId, CrateName};
use crate::stages::artefact::{Artefact, ChecksumMismatch};
use crate::stages::candidate::Candidate;
use crate::stages::index::{Index, IndexLine, read_index};
use crate::stages::slice::Slice;

/// How long an index file is believed before the registry is asked again. A slice that is cut at a time that had passed when it
/// was asked lacks nothing; only `yanked` may have changed.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// Which answer of a registry is believed without asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Believed {
    /// One of the last day.
    Lately,
    /// Such a one that is not older than this, either.
    Since(SystemTime),
    /// None.
    Never,
}

/// How long it is believed that a registry has no such crate: somebody may publish one.
const ABSENT: Duration = Duration::from_secs(60 * 60);

/// A registry.
#[derive(Debug)]
pub struct Registry {
    place: Place,
    cache: Cache,
    network: Option<Network>,
    /// What the index says of downloads, or why it says nothing; asked for once, whoever comes first.
    downloads: Mutex<Option<Result<IndexConfig, String>>>,
    /// Packages that are not published yet: they stand beside what the registry has.
    candidates: Vec<Candidate>,
    read: Mutex<HashMap<CrateName, Held>>,
    hashes: Mutex<HashMap<CrateName, Hash>>,
}

/// The hash of an index file, none where the registry does not have it; nothing before it was asked. Whoever comes first asks.
type Hash = Arc<Mutex<Option<Option<Sha256>>>>;

/// The lines of a crate, none where the registry does not have it; nothing before it was asked. Whoever comes first asks.
type Held = Arc<Mutex<Option<Lines>>>;

/// What the registry said, and when.
#[derive(Debug, Clone)]
struct Lines {
    lines: Option<Arc<Vec<IndexLine>>>,
    at: SystemTime,
}

/// From when on a registry's answer tells all that was published up to a time. It shows a new version after a while; what it
/// dates at that time and a little later, packages of the same workspace, is wanted, too.
#[must_use]
pub fn told_by(published: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(published.as_second().max(0).unsigned_abs()) + SHOWN
}

/// What a registry told of a file, when, and what it calls that. They are sealed together: whoever can write to the cache must not be
/// able to give an old answer the time or the name of a newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    /// None where nothing was told.
    bytes: Option<Vec<u8>>,
    etag: Option<String>,
    /// To the second.
    at: SystemTime,
}

impl Default for Told {
    fn default() -> Self {
        Self { bytes: None, etag: None, at: SystemTime::UNIX_EPOCH }
    }
}

impl Told {
    /// The time in seconds since 1970, the name with its length before it, the file.
    fn to_bytes(&self) -> Vec<u8> {
        let seconds = self.at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let etag = self.etag.as_deref().unwrap_or_default().as_bytes();
        let length = etag.len() as u64;
        [&seconds.to_le_bytes(), &length.to_le_bytes(), etag, self.bytes.as_deref().unwrap_or_default()].concat()
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (seconds, rest) = text.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::from_le_bytes(*seconds)))?;
        let (etag, bytes) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let etag = String::from_utf8(etag.to_vec()).ok().filter(|etag| !etag.is_empty());
        Some(Self { bytes: Some(bytes.to_vec()), etag, at })
    }
}

/// Why nothing can be said yet of a package that was published at a time; none where it can.
#[must_use]
pub fn too_early(published: Option<Timestamp>) -> Option<String> {
    let published = published?;
    let left = told_by(published).duration_since(SystemTime::now()).ok().filter(|left| !left.is_zero())?;
    Some(format!(
        "it was published at {published}, a moment ago: the registry may not yet show everything that was there; verify it in {} min",
        left.as_secs().div_ceil(60)
    ))
}

/// How long a registry takes to show a version, at most.
const SHOWN: Duration = Duration::from_secs(10 * 60);

/// The registry's own description. One that has none is set up wrongly, and may be right the next moment.
const DESCRIPTION: &str = "config.json";

/// How many index files are asked for at once.
const TOGETHER: usize = 16;

/// Why the registry gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request failed.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// It is not in the cache, and the network must not be used.
    #[error("{0} is not cached, and --offline is set")]
    Offline(String),
    /// The registry does not have it.
    #[error("the registry has no {0}")]
    Absent(String),
    /// The registry served other bytes than those with the expected checksum.
    #[error(transparent)]
    Mismatch(#[from] ChecksumMismatch),
    /// The registry's own description can't be read.
    #[error("the registry's config.json can't be read: {0}")]
    Config(String),
}

impl Registry {
    /// The registry at a place.
    #[must_use]
    pub fn new(place: Place, cache: Cache, network: Option<Network>) -> Self {
        Self {
            place,
            cache,
            network,
            downloads: Mutex::default(),
            candidates: Vec::new(),
            read: Mutex::default(),
            hashes: Mutex::default(),
        }
    }

    /// The same registry with packages that are not published yet. Where it has a version itself, that one counts.
    #[must_use]
    pub fn with(self, candidates: Vec<Candidate>) -> Self {
        Self { candidates, ..self }
    }

    /// The index lines of a crate.
    ///
    /// # Errors
    /// Where the registry has no such crate or can't be asked.
    pub fn index(&self, name: &CrateName) -> Result<Arc<Vec<IndexLine>>, Error> {
        self.index_since(name, Believed::Lately)
    }

    fn index_since(&self, name: &CrateName, believed: Believed) -> Result<Arc<Vec<IndexLine>>, Error> {
        let held = {
            let mut read = locked(&self.read);
            Arc::clone(read.entry(name.clone()).or_default())
        };
        let mut held = locked(&held);
        let is_enough = |held: &Lines| match believed {
            Believed::Lately => true,
            Believed::Since(time) => held.at >= time,
            Believed::Never => false,
        };
        if !held.as_ref().is_some_and(is_enough) {
            let (bytes, at) = self.read_index(name, believed)?;
            *locked(&self.hash_of(name)) = Some(bytes.as_deref().map(Sha256::of));
            let lines = bytes.map(|bytes| Arc::new(read_index(&bytes)));
            *held = Some(Lines { lines, at });
        }
        let lines = held.as_ref().and_then(|held| held.lines.clone());
        lines.ok_or_else(|| Error::Absent(name.to_string()))
    }

    /// An index file, and when it was the registry's; none where the registry has no such crate.
    fn read_index(&self, name: &CrateName, believed: Believed) -> Result<(Option<Vec<u8>>, SystemTime), Error> {
        let (mut bytes, at) = self.read_published(name, believed)?;
        for candidate in self.candidates.iter().filter(|candidate| candidate.key.name == *name) {
            let text = bytes.get_or_insert_default();
            if read_index(text).iter().all(|line| line.version != candidate.key.version) {
                if text.last().is_some_and(|last| *last != b'\n') {
                    text.push(b'\n');
                }
                text.extend_from_slice(candidate.line.as_bytes());
                text.push(b'\n');
            }
        }
        Ok((bytes, at))
    }

    /// The same of what is published.
    fn read_published(&self, name: &CrateName, believed: Believed) -> Result<(Option<Vec<u8>>, SystemTime), Error> {
        match &self.place {
            Place::Local(root) => match fs_err::read(root.join(name.index_path())) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((None, SystemTime::now())),
                read => Ok((Some(read?), SystemTime::now())),
            },
            Place::Sparse(address) => self.fetch(address, name.index_path().trim_start_matches("index/"), believed),
        }
    }

    /// The index lines of a crate, asked for again: a version may be younger than the cached file.
    ///
    /// # Errors
    /// Where the registry has no such crate or can't be asked.
    pub fn newest_index(&self, name: &CrateName) -> Result<Arc<Vec<IndexLine>>, Error> {
        self.index_since(name, Believed::Never)
    }

    /// A hash of the index file of a crate, without reading its lines; none where the registry has no such crate.
    ///
    /// # Errors
    /// Where it can't be asked.
    pub fn index_hash(&self, name: &CrateName) -> Result<Option<Sha256>, Error> {
        let hash = self.hash_of(name);
        let mut hash = locked(&hash);
        if let Some(hash) = *hash {
            return Ok(hash);
        }
        let found = self.read_index(name, Believed::Lately)?.0.as_deref().map(Sha256::of);
        *hash = Some(found);
        Ok(found)
    }

    fn hash_of(&self, name: &CrateName) -> Hash {
        let mut hashes = locked(&self.hashes);
        Arc::clone(hashes.entry(name.clone()).or_default())
    }

    /// The index lines of several crates, as the registry told them at a time or `since`. One that it does not have is left
    /// out: cargo will say if it wants it.
    ///
    /// # Errors
    /// Where the registry can't be asked.
    pub fn indexes(&self, names: &BTreeSet<CrateName>, since: Option<SystemTime>) -> Result<Index, Error> {
        let mut index = Index::new();
        // A time that is still to come is never reached.
        let believed = since.map_or(Believed::Lately, |since| Believed::Since(since.min(SystemTime::now())));
        let is_held = |name: &&CrateName| {
            let held = locked(&self.read).get(*name).cloned();
            held.is_some_and(|held| held.try_lock().is_ok_and(|held| held.is_some()))
        };
        let (held, fresh): (Vec<_>, Vec<_>) = names.iter().partition(is_held);
        let ask = |name| (name, self.index_since(name, believed));
        let asked = in_parallel(TOGETHER, fresh, ask);
        for (name, lines) in held.into_iter().map(ask).chain(asked) {
            match lines {
                Ok(lines) => drop(index.insert(name.clone(), lines)),
                Err(Error::Absent(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(index)
    }

    /// A file of the index, or the registry's own description beside it, and when it was the registry's; none where there is
    /// no such file. Believed as far as it is to be, then asked for again. It is sealed: what an index says is what a crate is
    /// compared with.
    fn fetch(&self, address: &str, path: &str, believed: Believed) -> Result<(Option<Vec<u8>>, SystemTime), Error> {
        let cached = format!("index/{}/index/{path}", folder_of(address));
        let file = format!("{cached}.told");
        let Told { bytes: before, etag, at } =
            self.cache.read_sealed(&file).and_then(|text| Told::read(&text)).unwrap_or_default();
        // None of what is told tomorrow.
        let age = SystemTime::now().duration_since(at).ok();
        // That there is nothing is kept as an empty file.
        let told = |bytes: Vec<u8>| Some(bytes).filter(|bytes| !bytes.is_empty());
        let most = if before.as_ref().is_some_and(Vec::is_empty) { ABSENT } else { FRESH };
        let is_recent = age.is_some_and(|age| age < most);
        let Some(network) = &self.network else {
            // Nobody can be asked again; what is older than the crate would still hide something.
            let is_enough = !matches!(believed, Believed::Since(time) if at < time);
            let bytes = before.filter(|_| is_enough);
            return Ok((told(bytes.ok_or_else(|| Error::Offline(format!("the registry's {path}")))?), at));
        };
        let is_believed = match believed {
            Believed::Lately => is_recent,
            Believed::Since(time) => is_recent && at >= time,
            Believed::Never => false,
        };
        let before = match before {
            Some(bytes) if is_believed => return Ok((told(bytes), at)),
            before => before.and_then(told),
        };
        let etag = etag.filter(|_| before.is_some());
        let now = SystemTime::now();
        let url = format!("{address}{path}");
        let (bytes, etag) = match (network.get(&url, etag.as_deref(), INDEX_LIMIT)?, before) {
            (Answer::NotModified, Some(before)) => (Some(before), etag),
            (Answer::NotModified, None) => {
                let reason = "the server says that nothing has changed, and was not asked that".to_owned();
                return Err(network::Error::Failed { url, reason }.into());
            }
            (Answer::Body { bytes, etag }, _) => (Some(bytes), etag),
            (Answer::Absent, _) => (None, None),
        };
        if bytes.is_some() || path != DESCRIPTION {
            let told = Told { bytes: Some(bytes.clone().unwrap_or_default()), etag, at: now };
            self.cache.write_sealed(&file, &told.to_bytes());
        }
        Ok((bytes, now))
    }

    /// A published crate, checked against its checksum: nothing else leaves this module. What a server gave is cached by
    /// its checksum.
    ///
    /// # Errors
    /// Where the registry has no such crate, can't be asked, or serves other bytes.
    pub fn artefact(&self, id: &CrateId, expected: Sha256) -> Result<Artefact, Error> {
        let absent = || Error::Absent(id.to_string());
        let is_it = |one: &&Candidate| one.key.id() == *id && one.checksum == expected;
        if let Some(candidate) = self.candidates.iter().find(is_it) {
            return Ok(Artefact::check(id.clone(), expected, candidate.bytes.clone())?);
        }
        let address = match &self.place {
            Place::Sparse(address) => address,
            Place::Local(root) => {
                return match fs_err::read(root.join(format!("{}.crate", id.stem()))) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(absent()),
                    read => Ok(Artefact::check(id.clone(), expected, read?)?),
                };
            }
        };
        let file = format!("crates/{expected}.crate");
        if let Some(bytes) = self.cache.read(&file)? {
            match Artefact::check(id.clone(), expected, bytes) {
                Ok(artefact) => return Ok(artefact),
                Err(_) => tracing::warn!("the cached {file} is damaged and is fetched again"),
            }
        }
        // Only what is right is kept: what is wrong is asked for again next time.
        let artefact = Artefact::check(id.clone(), expected, self.download(address, id, expected)?)?;
        self.cache.write(&file, artefact.bytes())?;
        Ok(artefact)
    }

    fn download(&self, address: &str, id: &CrateId, expected: Sha256) -> Result<Vec<u8>, Error> {
        let network = self.network.as_ref().ok_or_else(|| Error::Offline(id.to_string()))?;
        match network.get(&self.download_url(address, id, expected)?, None, FILE_LIMIT)? {
            Answer::Body { bytes, .. } => Ok(bytes),
            Answer::Absent | Answer::NotModified => Err(Error::Absent(id.to_string())),
        }
    }

    /// Whether a crate that was read before would be read again with the same checksum. A folder may have other bytes by now;
    /// what a server gave is kept by its checksum.
    #[must_use]
    pub fn still_has(&self, id: &CrateId, checksum: Sha256) -> bool {
        match &self.place {
            Place::Sparse(_) => true,
            Place::Local(_) => self.artefact(id, checksum).is_ok(),
        }
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
        let mut held = locked(&self.downloads);
        held.get_or_insert_with(|| self.read_config(address)).clone().map_err(Error::Config)
    }

    fn read_config(&self, address: &str) -> Result<IndexConfig, String> {
        let (bytes, _) = self.fetch(address, DESCRIPTION, Believed::Lately).map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or_else(|| Error::Absent(DESCRIPTION.to_owned()).to_string())?;
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
pub fn write_slice(slice: &Slice, folder: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(folder.join("index"))?;
    for (path, file) in &slice.files {
        let path = folder.join(path);
        fs_err::create_dir_all(path.parent().unwrap_or(folder))?;
        fs_err::write(&path, file.text())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_its_time_to_the_second() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (bytes, etag) in [(&b"a line\n"[..], Some("\"x\"".to_owned())), (b"", None)] {
            let told = Told { bytes: Some(bytes.to_vec()), etag, at: now };
            let later = Told { at: now + Duration::from_millis(7), ..told.clone() };
            assert_eq!(Told::read(&later.to_bytes()), Some(told));
        }
        assert_eq!(Told::read(b"short"), None);
        assert_eq!(Told::read(&[0xff; 16]), None, "a time that no clock shows, and a name that is too long");
    }

    #[test]
    fn nothing_is_said_of_what_was_published_a_moment_ago() {
        let now = Timestamp::now();
        let said = too_early(Some(now)).unwrap();
        assert!(said.ends_with("verify it in 10 min"), "{said}");
        assert_eq!(too_early(Some(now - jiff::SignedDuration::from_mins(11))), None);
        assert_eq!(too_early(None), None);
    }
}
