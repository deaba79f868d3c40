//! *Candidate*: a package that is not published yet, as its author's cargo packages it. It stands beside what its registry has, with
//! the line that the registry's index will have of it, and is verified like a published one.

use crate::model::digest::Sha256;
use crate::model::package::PackageKey;

/// A package that is not published yet.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What it would be published as.
    pub key: PackageKey,
    /// The sha256 of its bytes.
    pub checksum: Sha256,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many bytes it unpacks to.
    pub unpacked_size: u64,
    /// How many entries its archive has.
    pub entries: usize,
    /// The line of its index.
    pub line: String,
}
