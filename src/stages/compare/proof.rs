//! Proof that only the container differs: graft and recompress.
//!
//! Cargos before 1.50 recorded the publisher's clock, user and permissions in the tar headers, and every era has its
//! compressor. Where all files are the same, just those fields are taken from the published archive, everything else
//! from the rebuilt one, and the archive is written again. If it then has the registry's checksum, it is known that
//! nothing else differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::digest::Sha256;
use crate::model::nonempty::NonEmpty;
use crate::model::release::Span;
use crate::stages::artefact::{Archive, Entry};
use crate::stages::deflate::Compressor;

/// Something of the container that was taken from the published one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalised {
    /// Times in tar headers.
    Times,
    /// Users and groups in tar headers.
    Owners,
    /// Permissions in tar headers, the owner's executable bit apart.
    Permissions,
    /// The kind of tar header.
    HeaderFormat,
    /// The order of entries.
    Order,
    /// The deflate stream.
    Compression,
    /// The gzip header.
    GzipHeader,
    /// Bytes that nothing accounts for; never part of a proof.
    Other,
}

impl fmt::Display for Normalised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Times => "times",
            Self::Owners => "owners",
            Self::Permissions => "permissions",
            Self::HeaderFormat => "tar header format",
            Self::Order => "order of entries",
            Self::Compression => "compression",
            Self::GzipHeader => "gzip header",
            Self::Other => "other bytes",
        })
    }
}

/// How far it is proven that nothing but what was normalised differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Proof {
    /// With just that taken over, the archive has the registry's checksum.
    Exact {
        /// The compressor that made it.
        compressor: Compressor,
    },
    /// With just that taken over, the tar is the published one to the byte, but no known compressor makes the
    /// published stream of it.
    Tar,
    /// Every file is the same, byte for byte; the rest of the container is not accounted for.
    Files,
}

/// Offsets of the fields of a tar header block.
mod field {
    use std::ops::Range;
    pub const NAME: Range<usize> = 0..100;
    pub const MODE: Range<usize> = 100..108;
    pub const OWNER: Range<usize> = 108..124;
    pub const TIME: Range<usize> = 136..148;
    pub const CHECKSUM: Range<usize> = 148..156;
    /// Magic and version.
    pub const MAGIC: Range<usize> = 257..265;
    /// User name, group name and device numbers.
    pub const NAMES: Range<usize> = 265..345;
    /// The front part of a long path, in POSIX headers.
    pub const PREFIX: Range<usize> = 345..500;
}

/// Shows what of the container differs, and how far that is all. To be called where every file is the same.
#[must_use]
pub fn prove(
    (published, expected): (&Archive, Sha256),
    rebuilt: &Archive,
    cargo_range: Option<Span>,
) -> (NonEmpty<Normalised>, Proof) {
    let mut normalised = BTreeSet::new();
    if published.gzip.bytes != rebuilt.gzip.bytes {
        normalised.insert(Normalised::GzipHeader);
    }
    let tar = if published.tar == rebuilt.tar {
        Some(rebuilt.tar.clone())
    } else {
        graft(published, rebuilt, &mut normalised)
    };
    // Nothing after the gzip stream is accounted for.
    let tar = tar.filter(|_| published.trailing == 0);
    let proof = match tar {
        None => {
            normalised.insert(Normalised::Other);
            Proof::Files
        }
        Some(tar) => recompress(published, &tar, expected, &Compressor::likeliest_first(cargo_range))
            .map_or(Proof::Tar, |compressor| Proof::Exact { compressor }),
    };
    if matches!(proof, Proof::Tar) || compressed_differently(published, rebuilt, proof) {
        normalised.insert(Normalised::Compression);
    }
    let normalised =
        NonEmpty::new(normalised.into_iter().collect()).unwrap_or_else(|| NonEmpty::one(Normalised::Other));
    (normalised, proof)
}

/// Whether the rebuilt crate was compressed by another compressor than the one that the proof found.
fn compressed_differently(published: &Archive, rebuilt: &Archive, proof: Proof) -> bool {
    match proof {
        // Of the same tar the published stream is what the proof's compressor makes.
        Proof::Exact { .. } if published.tar == rebuilt.tar => published.deflated != rebuilt.deflated,
        Proof::Exact { compressor } => compressor.compress(&rebuilt.tar) != rebuilt.deflated,
        Proof::Tar | Proof::Files => false,
    }
}

/// Finds the compressor with which the archive has the registry's checksum.
fn recompress(published: &Archive, tar: &[u8], expected: Sha256, by: &[Compressor]) -> Option<Compressor> {
    let mut sum = flate2::Crc::new();
    sum.update(tar);
    let trailer = [sum.sum().to_le_bytes(), (tar.len() as u32).to_le_bytes()].concat();
    by.iter().copied().find(|compressor| {
        let archive = [&published.gzip.bytes, &compressor.compress(tar), &trailer].map(Vec::as_slice).concat();
        Sha256::of(&archive) == expected
    })
}

/// Writes the rebuilt tar with the published one's order, times, owners, permissions and header format; notes which of
/// them differ. None where that does not give the published tar.
fn graft(published: &Archive, rebuilt: &Archive, normalised: &mut BTreeSet<Normalised>) -> Option<Vec<u8>> {
    let mut by_path: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in rebuilt.entries.iter().rev() {
        by_path.entry(&entry.path).or_default().push(entry);
    }
    let order = |archive: &Archive| archive.entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
    if order(published) != order(rebuilt) {
        normalised.insert(Normalised::Order);
    }
    let mut tar = Vec::with_capacity(published.tar.len());
    for theirs in &published.entries {
        let mine = by_path.get_mut(theirs.path.as_str())?.pop()?;
        // A long name in GNU's form stands in blocks of its own before the header, and only in that form.
        match (theirs.start..theirs.header.start, mine.start..mine.header.start) {
            (theirs, _) if theirs.is_empty() => {}
            (theirs, mine) if mine.is_empty() => tar.extend_from_slice(&published.tar[theirs]),
            (_, mine) => tar.extend_from_slice(&rebuilt.tar[mine]),
        }
        let header = graft_header(&published.tar[theirs.header.clone()], &rebuilt.tar[mine.header.clone()], normalised);
        tar.extend_from_slice(&header);
        tar.extend_from_slice(rebuilt.body(mine));
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    (tar == published.tar).then_some(tar)
}

fn graft_header(published: &[u8], rebuilt: &[u8], normalised: &mut BTreeSet<Normalised>) -> Vec<u8> {
    let mut header = rebuilt.to_vec();
    let mut take = |range: std::ops::Range<usize>, what: Normalised| {
        if header[range.clone()] != published[range.clone()] {
            header[range.clone()].copy_from_slice(&published[range]);
            normalised.insert(what);
        }
    };
    take(field::MODE, Normalised::Permissions);
    take(field::OWNER, Normalised::Owners);
    take(field::NAMES, Normalised::Owners);
    take(field::TIME, Normalised::Times);
    take(field::MAGIC, Normalised::HeaderFormat);
    // The path as a whole is the same; how it is split depends on the format.
    take(field::NAME, Normalised::HeaderFormat);
    take(field::PREFIX, Normalised::HeaderFormat);
    header[field::CHECKSUM].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[field::CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    // Old and new `tar` write the checksum with other padding; its value is checked by the reader.
    let value = |block: &[u8]| {
        String::from_utf8_lossy(&block[field::CHECKSUM]).trim_matches(['\0', ' ']).trim_start_matches('0').to_owned()
    };
    if value(&header) == value(published) {
        header[field::CHECKSUM].copy_from_slice(&published[field::CHECKSUM]);
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::artefact::tests::id;

    /// A crate with these entries, every header made by `shape`, compressed by `compressor`.
    fn crate_of(files: &[(&str, &str)], compressor: Compressor, shape: impl Fn(&mut tar::Header)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, body) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(body.len() as u64);
            header.set_mode(0o644);
            shape(&mut header);
            builder.append_data(&mut header, format!("{}/{path}", id().stem()), body.as_bytes()).unwrap();
        }
        let tar = builder.into_inner().unwrap();
        let mut sum = flate2::Crc::new();
        sum.update(&tar);
        let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
        [&header[..], &compressor.compress(&tar), &sum.sum().to_le_bytes(), &(tar.len() as u32).to_le_bytes()].concat()
    }

    fn proven(published: &[u8], rebuilt: &[u8]) -> (Vec<Normalised>, Proof) {
        let read = |bytes| Archive::read(&id(), bytes).unwrap();
        let (normalised, proof) = prove((&read(published), Sha256::of(published)), &read(rebuilt), None);
        (normalised.iter().copied().collect(), proof)
    }

    const FILES: [(&str, &str); 2] = [("a", "one"), ("b", "two")];

    #[test]
    fn times_owners_and_permissions_are_proven_to_be_all() {
        let published = crate_of(&FILES, Compressor::Zlib9, |header| {
            header.set_mtime(1_600_000_000);
            header.set_uid(1000);
            header.set_mode(0o100_664);
        });
        let rebuilt = crate_of(&FILES, Compressor::Zlib9, |_| {});
        let (normalised, proof) = proven(&published, &rebuilt);
        assert_eq!(normalised, [Normalised::Times, Normalised::Owners, Normalised::Permissions]);
        assert!(matches!(proof, Proof::Exact { .. }), "{proof:?}");
    }

    #[test]
    fn another_order_is_named() {
        let published = crate_of(&[FILES[1], FILES[0]], Compressor::Zlib8, |_| {});
        let (normalised, proof) = proven(&published, &crate_of(&FILES, Compressor::Zlib8, |_| {}));
        assert_eq!(normalised, [Normalised::Order]);
        assert!(matches!(proof, Proof::Exact { .. }));
    }

    #[test]
    fn another_compressor_is_found() {
        let body: String = (0..30_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
        let files = [("a", body.as_str())];
        let published = crate_of(&files, Compressor::ZlibRsOld, |_| {});
        let (normalised, proof) = proven(&published, &crate_of(&files, Compressor::Zlib8, |_| {}));
        assert_eq!(normalised, [Normalised::Compression]);
        assert_eq!(proof, Proof::Exact { compressor: Compressor::ZlibRsOld });
    }

    #[test]
    fn bytes_after_the_archive_are_not_explained_away() {
        let rebuilt = crate_of(&FILES, Compressor::Zlib8, |_| {});
        let (_, proof) = proven(&[&rebuilt[..], b"more"].concat(), &rebuilt);
        assert_eq!(proof, Proof::Files);
    }

    #[test]
    fn bytes_hidden_in_a_header_are_not_explained_away() {
        let published = crate_of(&FILES, Compressor::Zlib8, |header| {
            header.as_old_mut().linkname[0] = b'x';
        });
        let (normalised, proof) = proven(&published, &crate_of(&FILES, Compressor::Zlib8, |_| {}));
        assert_eq!((normalised, proof), (vec![Normalised::Other], Proof::Files));
    }
}
