//! *Published crate*: bytes that were checked against their checksum, taken apart without trusting a single one.
//!
//! A crate has seven layers: files and their order, the normalised `Cargo.toml`, `Cargo.lock`, vcs info, tar headers,
//! the deflate stream, the gzip header. All of them are kept, duplicates included.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Range;

use crate::model::digest::Sha256;
use crate::model::foreign::{Foreign, brief};
use crate::model::krate::CrateId;
use crate::model::nonempty::NonEmpty;
use crate::model::packed::{self, Packed};

/// What an archive may unpack to, in bytes: the registry's own limit (`max_unpack_size` in its source).
pub const UNPACKED_LIMIT: u64 = 512 << 20;
/// What a file may have that cargo or we read as a whole, in bytes. The longest Cargo.lock of 2,205 crates has 124 kB.
pub const TEXT_LIMIT: u64 = 4 << 20;
/// How long a name may be that has an entry of its own, in bytes: the system's own limit of paths.
const NAME_LIMIT: u64 = 4096;
/// From how many bytes on a tar is kept compressed.
const PLAIN_LIMIT: u32 = 8 << 20;
/// Of files that are larger, in bytes, it is only told that they differ: looking closer takes several times the memory.
pub const LARGE: usize = 16 << 20;
/// How many entries an archive may have.
pub const ENTRY_LIMIT: usize = 100_000;
/// How many characters of a path are told that is refused: an archive can hold one of any length.
const PATH_LIMIT: usize = 300;
/// How many folders deep an entry may lie.
pub const DEPTH_LIMIT: usize = 64;

/// The files that cargo writes itself; everything else comes from the source.
pub const GENERATED: [&str; 3] = [VCS_INFO, MANIFEST, LOCK];
/// cargo's note of the commit.
pub const VCS_INFO: &str = ".cargo_vcs_info.json";
/// The manifest: normalised, from Rust 1.19 on.
pub const MANIFEST: &str = "Cargo.toml";
/// The manifest as it stands in the source.
pub const ORIGINAL_MANIFEST: &str = "Cargo.toml.orig";
/// The lock file that cargo makes for the package.
pub const LOCK: &str = "Cargo.lock";

/// The files that are read as a whole.
const TEXTS: [&str; 4] = [VCS_INFO, MANIFEST, ORIGINAL_MANIFEST, LOCK];

/// A crate file whose bytes were checked against the checksum that was expected of them. There is no other way to
/// make one.
#[derive(Debug, Clone)]
pub struct Artefact {
    /// Which crate it is.
    pub id: CrateId,
    /// The checksum it was checked against.
    pub checksum: Sha256,
    bytes: Vec<u8>,
}

/// Bytes that are not what the checksum says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the registry served bytes with checksum {actual}, expected {expected}")]
pub struct ChecksumMismatch {
    /// What the lock file or the index says.
    pub expected: Sha256,
    /// What came.
    pub actual: Sha256,
}

impl Artefact {
    /// Takes bytes that have the expected checksum.
    ///
    /// # Errors
    /// Where they have not.
    pub fn check(id: CrateId, expected: Sha256, bytes: Vec<u8>) -> Result<Self, ChecksumMismatch> {
        let actual = Sha256::of(&bytes);
        if actual == expected {
            Ok(Self { id, checksum: expected, bytes })
        } else {
            Err(ChecksumMismatch { expected, actual })
        }
    }

    /// How many bytes it unpacks to, as it says itself: good for planning ahead, and for nothing else.
    #[must_use]
    pub fn unpacked_size(&self) -> u64 {
        u64::from(size_in_trailer(&self.bytes))
    }

    /// The checked bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why an archive is not read further: no cargo writes such a thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The gzip stream or the tar can't be read.
    #[error("not a gzip-compressed tar archive: {0}")]
    Unreadable(String),
    /// It unpacks to more than [`UNPACKED_LIMIT`].
    #[error("unpacks to more than {UNPACKED_LIMIT} bytes")]
    TooLarge,
    /// It has more than [`ENTRY_LIMIT`] entries.
    #[error("has more than {ENTRY_LIMIT} entries")]
    TooMany,
    /// An entry lies outside the crate's own folder, has `..` in its path or lies too deep.
    #[error("entry `{0}` lies outside of the crate's folder or too deep in it")]
    Path(String),
    /// An entry is not a plain file, but a link, a folder or something that tells of the next one in a way that no cargo has.
    #[error("entry `{0}` is not a plain file")]
    Kind(String),
    /// An entry's name is longer than a path can be.
    #[error("an entry has a name of {0} bytes, more than {NAME_LIMIT}")]
    Name(u64),
    /// One of the files that are read as a whole is larger than [`TEXT_LIMIT`].
    #[error("its {0} is larger than {TEXT_LIMIT} bytes")]
    Text(&'static str),
}

/// The fields of a gzip header that differ between cargos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GzipHeader {
    /// The header as it stands, up to the deflate stream.
    pub bytes: Vec<u8>,
    /// The operating system byte: 255 since 1.22, before that the publisher's own.
    pub system: u8,
}

/// One entry of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path inside the crate's folder; lossy where it is not UTF-8.
    pub path: String,
    /// Where its header blocks begin in the tar: the one of a long name first, where it has one.
    pub start: usize,
    /// Where its own header block is.
    pub header: Range<usize>,
    /// Where its content is.
    pub body: Range<usize>,
    /// The mode field.
    pub mode: u32,
    /// The time field; none where it is empty.
    pub mtime: Option<u64>,
    /// Whether the header has GNU's magic rather than POSIX's.
    pub gnu: bool,
}

impl Entry {
    /// Whether the owner may execute it: all that git knows of a mode.
    #[must_use]
    pub fn executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// Whether cargo wrote its content itself.
    #[must_use]
    pub fn generated(&self) -> bool {
        GENERATED.contains(&self.path.as_str())
    }
}

/// An unpacked tar. A large one is kept compressed: some crates unpack to more than everything else that a run holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tar(Held);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    Plain(Vec<u8>),
    Packed(Packed),
}

impl Tar {
    /// How many bytes it is.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Held::Plain(bytes) => bytes.len(),
            Held::Packed(packed) => packed.len(),
        }
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part of it; nothing of what is past its end.
    #[must_use]
    pub fn get(&self, part: Range<usize>) -> Cow<'_, [u8]> {
        match &self.0 {
            Held::Plain(bytes) => {
                let end = part.end.min(bytes.len());
                Cow::Borrowed(&bytes[part.start.min(end)..end])
            }
            Held::Packed(packed) => Cow::Owned(packed.get(part)),
        }
    }

    /// All of it, in order, in parts.
    pub fn parts(&self) -> Box<dyn Iterator<Item = Cow<'_, [u8]>> + '_> {
        match &self.0 {
            Held::Plain(bytes) => Box::new(std::iter::once(Cow::Borrowed(bytes.as_slice()))),
            Held::Packed(packed) => Box::new(packed.blocks().map(Cow::Owned)),
        }
    }

    fn reader(&self) -> Box<dyn Read + '_> {
        match &self.0 {
            Held::Plain(bytes) => Box::new(bytes.as_slice()),
            Held::Packed(packed) => Box::new(packed::Reader::from(packed)),
        }
    }
}

/// A crate file taken apart.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The gzip header.
    pub gzip: GzipHeader,
    /// The deflate stream, without header and trailer.
    pub deflated: Vec<u8>,
    /// How many bytes follow the gzip trailer.
    pub trailing: usize,
    /// The whole tar.
    pub tar: Tar,
    /// Its entries, in order, repetitions included.
    pub entries: Vec<Entry>,
}

impl Archive {
    /// Takes a crate's bytes apart.
    ///
    /// # Errors
    /// Where it is something that no cargo writes.
    pub fn read(id: &CrateId, bytes: &[u8]) -> Result<Self, Malformed> {
        let (gzip, tar, deflated) = unpack(bytes)?;
        let entries = read_entries(id, &tar)?;
        let trailing = bytes.len().saturating_sub(deflated.end + 8);
        Ok(Self { gzip, deflated: bytes[deflated].to_vec(), trailing, tar, entries })
    }

    /// The content of an entry.
    #[must_use]
    pub fn body(&self, entry: &Entry) -> Cow<'_, [u8]> {
        self.tar.get(entry.body.clone())
    }

    /// Whether an entry has the content of another archive's entry; without holding either as a whole.
    #[must_use]
    pub fn same_body(&self, own: &Entry, other: &Self, theirs: &Entry) -> bool {
        const PART: usize = 1 << 20;
        let part = |body: &Range<usize>, at: usize| body.start + at..(body.start + at + PART).min(body.end);
        own.body.len() == theirs.body.len()
            && (0..own.body.len())
                .step_by(PART)
                .all(|at| self.tar.get(part(&own.body, at)) == other.tar.get(part(&theirs.body, at)))
    }

    /// The header block of an entry.
    #[must_use]
    pub fn header(&self, entry: &Entry) -> tar::Header {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&self.tar.get(entry.header.clone()));
        header
    }

    /// The entries of each path, in order: extracting an archive, the last one of a path hides those before it.
    #[must_use]
    pub fn by_path(&self) -> BTreeMap<&str, Vec<&Entry>> {
        let mut entries: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in &self.entries {
            entries.entry(entry.path.as_str()).or_default().push(entry);
        }
        entries
    }

    /// Names that differ in letter case only, those that are alike together.
    #[must_use]
    pub fn names_alike(&self) -> Vec<NonEmpty<Foreign>> {
        let mut names: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for entry in &self.entries {
            names.entry(entry.path.to_lowercase()).or_default().insert(&entry.path);
        }
        let alike = names.into_values().filter(|names| names.len() > 1);
        alike.filter_map(|names| NonEmpty::new(names.into_iter().map(Foreign::from).collect())).collect()
    }

    /// The content of the first entry with this path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<Cow<'_, [u8]>> {
        self.entries.iter().find(|entry| entry.path == path).map(|entry| self.body(entry))
    }

    /// The content of the first entry with this path, as text.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<Cow<'_, str>> {
        match self.file(path)? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        }
    }

    /// The manifest as it stands in the source: `Cargo.toml.orig`, or `Cargo.toml` from cargos that had no such file.
    #[must_use]
    pub fn original_manifest(&self) -> Option<Cow<'_, str>> {
        self.text(ORIGINAL_MANIFEST).or_else(|| self.text(MANIFEST))
    }
}

/// How many bytes a gzip stream unpacks to, as it says itself.
fn size_in_trailer(bytes: &[u8]) -> u32 {
    bytes.last_chunk().map_or(0, |size| u32::from_le_bytes(*size))
}

/// Splits gzip header, deflate stream and tar.
fn unpack(bytes: &[u8]) -> Result<(GzipHeader, Tar, Range<usize>), Malformed> {
    let unreadable = |error: std::io::Error| Malformed::Unreadable(error.to_string());
    let mut cursor = std::io::Cursor::new(bytes);
    let mut decoder = flate2::bufread::GzDecoder::new(&mut cursor);
    let mut plain = Vec::with_capacity(size_in_trailer(bytes).min(PLAIN_LIMIT) as usize);
    decoder.by_ref().take(u64::from(PLAIN_LIMIT)).read_to_end(&mut plain).map_err(unreadable)?;
    let mut rest = decoder.by_ref().take(UNPACKED_LIMIT + 1 - plain.len() as u64);
    let tar = Tar(if plain.len() < PLAIN_LIMIT as usize {
        Held::Plain(plain)
    } else {
        Held::Packed(Packed::pack(&mut plain.as_slice().chain(&mut rest)).map_err(unreadable)?)
    });
    if tar.len() as u64 > UNPACKED_LIMIT {
        return Err(Malformed::TooLarge);
    }
    drop(decoder);
    let end = usize::try_from(cursor.position()).unwrap_or(usize::MAX).saturating_sub(8);
    // The decoder has read the header already, so these ten bytes are there. FNAME is the one field cargo sets.
    let start = if bytes[3] & 8 == 0 {
        10
    } else {
        10 + bytes[10..].iter().position(|byte| *byte == 0).map_or(0, |length| length + 1)
    };
    let gzip = GzipHeader { bytes: bytes[..start].to_vec(), system: bytes[9] };
    Ok((gzip, tar, start..end.max(start)))
}

fn read_entries(id: &CrateId, tar: &Tar) -> Result<Vec<Entry>, Malformed> {
    let unreadable = |error: std::io::Error| Malformed::Unreadable(error.to_string());
    let root = format!("{}/", id.stem());
    let mut archive = tar::Archive::new(tar.reader());
    let mut entries: Vec<Entry> = Vec::new();
    // Raw: else the library reads whatever stands before an entry as a whole, however much it is.
    let mut long_name: Option<Vec<u8>> = None;
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        if entries.len() == ENTRY_LIMIT {
            return Err(Malformed::TooMany);
        }
        let is_known = entry.header().as_gnu().is_some() || entry.header().as_ustar().is_some();
        if is_known && long_name.is_none() && entry.header().entry_type().is_gnu_longname() {
            if entry.size() > NAME_LIMIT {
                return Err(Malformed::Name(entry.size()));
            }
            let mut name = Vec::new();
            entry.read_to_end(&mut name).map_err(unreadable)?;
            long_name = Some(name.strip_suffix(b"\0").map(<[u8]>::to_vec).unwrap_or(name));
            continue;
        }
        let path = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let path = String::from_utf8_lossy(&path).into_owned();
        let header = entry.header();
        if header.entry_type() != tar::EntryType::Regular {
            return Err(Malformed::Kind(brief(&path, PATH_LIMIT)));
        }
        let inside = path.strip_prefix(&root).filter(|inside| is_inside(inside));
        let Some(inside) = inside.map(str::to_owned) else {
            return Err(Malformed::Path(brief(&path, PATH_LIMIT)));
        };
        let position = |at: u64| usize::try_from(at).map_err(|_| Malformed::TooLarge);
        let (at, body) = (position(entry.raw_header_position())?, position(entry.raw_file_position())?);
        let end = body + position(entry.size())?;
        if end > tar.len() {
            return Err(Malformed::Unreadable(format!("the entry `{}` is cut off", brief(&path, PATH_LIMIT))));
        }
        if let Some(text) = TEXTS.into_iter().find(|text| inside == *text && entry.size() > TEXT_LIMIT) {
            return Err(Malformed::Text(text));
        }
        // A long name stands in an entry of its own, right after the content before it.
        let start = entries.last().map_or(0, |last| last.body.end.next_multiple_of(512)).min(at);
        let time = &header.as_bytes()[136..148];
        entries.push(Entry {
            path: inside,
            start,
            header: at..at + 512,
            body: body..end,
            mode: header.mode().map_err(unreadable)?,
            mtime: if time.iter().all(|byte| *byte == 0) { None } else { header.mtime().ok() },
            gnu: header.as_gnu().is_some(),
        });
    }
    if long_name.is_some() {
        return Err(Malformed::Unreadable("a name has no entry".to_owned()));
    }
    Ok(entries)
}

/// A relative path that goes down only.
fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', '\0'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && path.split('/').count() <= DEPTH_LIMIT
}

#[cfg(test)]
pub(crate) mod tests;
