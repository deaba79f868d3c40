//! Git LFS: objects that commits have only pointers to, from the server of their repository or from beside a mirror.
//!
//! After git-lfs's own description of the batch API (`docs/api/batch.md`, `docs/api/basic-transfers.md`). What comes is
//! hashed here; who gives it is not trusted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Error, is_not_there};
use super::{Git, open_folder};
use crate::edges::network::{Answer, Network};
use crate::model::digest::{Sha256, Sri};
use crate::model::repository::RepositoryUrl;

/// The media type of questions and answers.
const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";

/// How many objects are asked for at once; servers take no more than about as many.
const BATCH: usize = 100;

/// The lengths of objects, by their sha256.
pub type Sizes = BTreeMap<Sri, u64>;

/// Where each object lies, by its sha256; an error where it can't be had.
pub type Objects = BTreeMap<Sri, Result<PathBuf, Error>>;

#[derive(Serialize)]
struct Question {
    operation: &'static str,
    transfers: [&'static str; 1],
    objects: Vec<Asked>,
    hash_algo: &'static str,
}

#[derive(Serialize)]
struct Asked {
    oid: Sha256,
    size: u64,
}

#[derive(Deserialize)]
struct Reply {
    objects: Vec<Offered>,
}

#[derive(Deserialize)]
struct Offered {
    oid: Sha256,
    #[serde(default)]
    actions: Actions,
    error: Option<Trouble>,
}

#[derive(Default, Deserialize)]
struct Actions {
    download: Option<Download>,
}

#[derive(Deserialize)]
struct Download {
    href: String,
    #[serde(default)]
    header: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Trouble {
    code: u16,
    message: String,
}

impl Git {
    /// Gets LFS objects of one repository, in as few requests as the server takes.
    #[must_use]
    pub fn lfs_objects(&self, repository: &RepositoryUrl, wanted: &Sizes) -> Objects {
        let address = self.address(repository);
        if address.starts_with('/') {
            let folder = open_folder(&address).map(|found| found.path().to_owned());
            let beside = |hash: &Sri| beside(folder.as_ref().map_err(Error::clone)?, *hash);
            return wanted.keys().map(|hash| (*hash, beside(hash))).collect();
        }
        let (mut found, mut missing) = (Objects::new(), Vec::new());
        for (hash, size) in wanted {
            let cached = self.cache.path(&cache_name(*hash));
            match &self.network {
                _ if is_whole(&cached, *hash) => drop(found.insert(*hash, Ok(cached))),
                None => drop(found.insert(*hash, Err(Error::OfflineObject(hash.0)))),
                Some(network) => missing.push((*hash, *size, network)),
            }
        }
        for batch in missing.chunks(BATCH) {
            let [(_, _, network), ..] = batch else { continue };
            let offers = offers(network, &address, batch.iter().map(|(hash, size, _)| (*hash, *size)));
            for (hash, _, _) in batch {
                let object = match &offers {
                    Ok(offers) => self.take(&address, *hash, offers.get(&hash.0), network),
                    Err(NoAnswer::Closed) => Err(Error::NoCommit(format!("{address} has no public LFS objects"))),
                    Err(NoAnswer::Failed(reason)) => Err(unreachable(&address, reason.clone())),
                };
                found.insert(*hash, object);
            }
        }
        found
    }

    /// Takes an object into the cache as its server offers it.
    fn take(&self, address: &str, hash: Sri, offer: Option<&Offered>, network: &Network) -> Result<PathBuf, Error> {
        let unreachable = |reason: String| unreachable(address, reason);
        let gone =
            |reason: &str| Error::NoCommit(format!("the LFS server of {address} does not have {}{reason}", hash.0));
        let offer = offer.ok_or_else(|| gone(""))?;
        match &offer.error {
            Some(Trouble { code: 404 | 410, message }) => return Err(gone(&format!(": {message}"))),
            Some(Trouble { code, message }) => {
                return Err(unreachable(format!("its LFS server says {code}: {message}")));
            }
            None => {}
        }
        let Download { href, header } = offer.actions.download.as_ref().ok_or_else(|| gone(""))?;
        // A server may send elsewhere, but not to a connection that is less safe than its own.
        let as_safe = href.starts_with("https://") || href.starts_with("http://") && address.starts_with("http://");
        if !as_safe {
            return Err(unreachable(format!("its LFS server sends to {href}")));
        }
        match network.get_with(href, header).map_err(|error| unreachable(error.to_string()))? {
            Answer::Body { bytes, .. } if Sha256::of(&bytes) == hash.0 => {
                let name = cache_name(hash);
                self.cache.write(&name, &bytes)?;
                Ok(self.cache.path(&name))
            }
            Answer::Body { .. } => Err(unreachable(format!("its LFS server gives something else than {}", hash.0))),
            Answer::Absent | Answer::NotModified => Err(gone("")),
        }
    }
}

/// Why a server offers nothing at all.
enum NoAnswer {
    /// It has none, or not for everybody.
    Closed,
    /// It could not be asked.
    Failed(String),
}

/// Asks the LFS server of a repository for objects; gives what it says of each.
fn offers(
    network: &Network,
    address: &str,
    wanted: impl Iterator<Item = (Sri, u64)>,
) -> Result<BTreeMap<Sha256, Offered>, NoAnswer> {
    if address.starts_with("ssh://") {
        return Err(NoAnswer::Failed("LFS objects are asked for over https only".to_owned()));
    }
    let objects = wanted.map(|(hash, size)| Asked { oid: hash.0, size }).collect();
    let question = Question { operation: "download", transfers: ["basic"], objects, hash_algo: "sha256" };
    let question = serde_json::to_vec(&question).expect("a question is plain data");
    let url = format!("{}.git/info/lfs/objects/batch", address.trim_end_matches(".git"));
    let bytes = match network.post(&url, Some((MEDIA_TYPE, &question))).map_err(|error| error.to_string()) {
        Ok(Answer::Body { bytes, .. }) => bytes,
        Ok(Answer::Absent | Answer::NotModified) => return Err(NoAnswer::Closed),
        Err(reason) if is_not_there(&reason) => return Err(NoAnswer::Closed),
        Err(reason) => return Err(NoAnswer::Failed(reason)),
    };
    let reply: Reply = serde_json::from_slice(&bytes)
        .map_err(|error| NoAnswer::Failed(format!("its LFS server's answer can't be read: {error}")))?;
    Ok(reply.objects.into_iter().map(|offered| (offered.oid, offered)).collect())
}

fn unreachable(address: &str, reason: String) -> Error {
    Error::Unreachable { url: address.to_owned(), reason }
}

fn cache_name(hash: Sri) -> String {
    format!("lfs/{}", hash.0)
}

/// An object as `git lfs fetch` leaves it in a repository.
fn beside(repository: &Path, hash: Sri) -> Result<PathBuf, Error> {
    let oid = hash.0.to_string();
    let file = repository.join("lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(&oid);
    let gone = || Error::NoCommit(format!("{} has no LFS object {oid}, or a damaged one", repository.display()));
    if is_whole(&file, hash) { Ok(file) } else { Err(gone()) }
}

fn is_whole(file: &Path, hash: Sri) -> bool {
    fs_err::read(file).is_ok_and(|bytes| Sha256::of(&bytes) == hash.0)
}
