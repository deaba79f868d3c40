//! Approvals, sealed in the cache: whoever can write there can't make one up.

use std::io;

use jiff::Timestamp;

use super::cache::Cache;
use crate::model::digest::Sha256;
use crate::model::package::PackageKey;
use crate::stages::approval::Approval;

/// The approvals of this user.
#[derive(Debug, Clone)]
pub struct Approvals {
    cache: Cache,
}

impl Approvals {
    /// Those in a cache that holds results.
    #[must_use]
    pub fn of(cache: Cache) -> Self {
        Self { cache }
    }

    /// The approval of a package, whether it still counts or not.
    #[must_use]
    pub fn get(&self, package: &PackageKey) -> Option<Approval> {
        let found: Approval = serde_json::from_slice(&self.cache.read_sealed(&name(package))?).ok()?;
        (found.package == *package).then_some(found)
    }

    /// Keeps an approval, in place of any before.
    ///
    /// # Errors
    /// Where it can't be kept.
    pub fn give(&self, approval: &Approval) -> io::Result<()> {
        self.cache.write_sealed(&name(&approval.package), &serde_json::to_vec(approval)?);
        match self.get(&approval.package) {
            Some(found) if found == *approval => Ok(()),
            _ => Err(io::Error::other(
                "the approval can't be kept in the cache: RECRATE_CACHE and RECRATE_DATA put it elsewhere",
            )),
        }
    }

    /// Notes that a crate is about to be uploaded.
    ///
    /// # Errors
    /// Where that can't be kept.
    pub fn note_upload(&self, package: &PackageKey, checksum: Sha256) -> io::Result<()> {
        self.cache.write_sealed(&sent(package), &serde_json::to_vec(&(checksum, Timestamp::now()))?);
        Ok(())
    }

    /// What was about to be uploaded as a package, and when.
    #[must_use]
    pub fn upload(&self, package: &PackageKey) -> Option<(Sha256, Timestamp)> {
        serde_json::from_slice(&self.cache.read_sealed(&sent(package))?).ok()
    }

    /// Forgets that a crate was about to be uploaded: it was not.
    ///
    /// # Errors
    /// Where that can't be removed.
    pub fn forget_upload(&self, package: &PackageKey) -> io::Result<()> {
        remove(&self.cache, &sent(package))
    }

    /// Takes an approval back, if there is one.
    ///
    /// # Errors
    /// Where it can't be removed.
    pub fn withdraw(&self, package: &PackageKey) -> io::Result<()> {
        remove(&self.cache, &name(package))
    }
}

fn remove(cache: &Cache, name: &str) -> io::Result<()> {
    match fs_err::remove_file(cache.path(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where it is noted that it is about to be uploaded.
fn sent(package: &PackageKey) -> String {
    format!("approvals/{}.sent", Sha256::of(package.job().as_bytes()))
}

/// Where it is kept. Addresses of registries are too long for the name of a file.
fn name(package: &PackageKey) -> String {
    format!("approvals/{}.json", Sha256::of(package.job().as_bytes()))
}
