//! What the targets share: crates made of arbitrary parts, and a reading of them that owes nothing to recrate.

use arbitrary::Arbitrary;
use recrate::stages::deflate::Compressor;

/// The crate that is fuzzed.
pub fn id() -> recrate::model::krate::CrateId {
    "a@1.0.0".parse().expect("a name and a version")
}

/// A file of the crate.
#[derive(Debug, Clone, Arbitrary)]
pub struct File {
    /// One of a few paths: others would never meet.
    pub path: Path,
    /// Its content.
    pub body: Vec<u8>,
    /// Whether the owner may execute it.
    pub executable: bool,
}

/// A path.
#[derive(Debug, Clone, Copy, Arbitrary, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    VcsInfo,
    Lock,
    Manifest,
    Original,
    Lib,
    Upper,
    Build,
    Long,
}

impl Path {
    /// The path inside the crate's folder.
    pub fn text(self) -> String {
        match self {
            Self::VcsInfo => ".cargo_vcs_info.json".to_owned(),
            Self::Lock => "Cargo.lock".to_owned(),
            Self::Manifest => "Cargo.toml".to_owned(),
            Self::Original => "Cargo.toml.orig".to_owned(),
            Self::Lib => "src/lib.rs".to_owned(),
            Self::Upper => "src/LIB.rs".to_owned(),
            Self::Build => "build.rs".to_owned(),
            Self::Long => format!("src/{}.rs", "long/".repeat(22)),
        }
    }

    fn generated(self) -> bool {
        matches!(self, Self::VcsInfo | Self::Lock | Self::Manifest)
    }
}

/// Something done to a crate's bytes.
#[derive(Debug, Clone, Arbitrary)]
pub enum Damage {
    /// A byte of the tar is another.
    Byte { at: u16, byte: u8 },
    /// A field of an entry's header is another.
    Header { entry: u8, at: u8, bytes: [u8; 4] },
    /// An entry stands twice, with another content.
    Again { entry: u8, body: Vec<u8> },
    /// Two entries stand in each other's place.
    Swap { one: u8, two: u8 },
    /// Blocks stand before an entry.
    Extension { entry: u8, kind: u8, body: Vec<u8> },
    /// Bytes stand at the end of the tar.
    Tail(Vec<u8>),
    /// Bytes stand after the gzip stream.
    After(Vec<u8>),
    /// The gzip header is another.
    Gzip { at: u8, byte: u8 },
}

/// A tar as cargo 1.46 and newer write it, entry by entry: header blocks, content and padding.
pub fn entries(files: &[File]) -> Vec<Vec<u8>> {
    files.iter().map(entry).collect()
}

fn entry(file: &File) -> Vec<u8> {
    let path = format!("a-1.0.0/{}", file.path.text());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(file.body.len() as u64);
    header.set_mode(if file.executable && !file.path.generated() { 0o755 } else { 0o644 });
    header.set_mtime(1);
    if !file.path.generated() {
        header.set_uid(0);
        header.set_gid(0);
        header.set_device_major(0).expect("it is a GNU header");
        header.set_device_minor(0).expect("it is a GNU header");
    }
    let mut blocks = Vec::new();
    if path.len() > 100 {
        blocks = extension(b'L', &[path.as_bytes(), b"\0"].concat());
        header.as_old_mut().name.copy_from_slice(&path.as_bytes()[..100]);
    } else {
        header.set_path(&path).expect("it fits");
    }
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
    blocks.extend_from_slice(&file.body);
    pad(blocks)
}

fn pad(mut blocks: Vec<u8>) -> Vec<u8> {
    blocks.resize(blocks.len().next_multiple_of(512), 0);
    blocks
}

/// Blocks that say something of the entry after them.
pub fn extension(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..13].copy_from_slice(b"././@LongLink");
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(body.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    pad([header.as_bytes(), body].concat())
}

/// Puts a crate together, with what was done to it.
pub fn pack(mut entries: Vec<Vec<u8>>, damage: &[Damage]) -> Vec<u8> {
    let count = entries.len().max(1);
    let (mut tail, mut after, mut gzip) = (vec![0; 1024], Vec::new(), header());
    for damage in damage {
        let at = |entry: &u8| usize::from(*entry) % count;
        match damage {
            Damage::Header { entry, at: place, bytes } => {
                let Some(blocks) = entries.get_mut(at(entry)) else { continue };
                let place = usize::from(*place) * 2;
                blocks[place..(place + 4).min(512)].copy_from_slice(&bytes[..(512 - place).min(4)]);
                // Put right, so that it is read at all.
                let mut header = tar::Header::new_old();
                header.as_mut_bytes().copy_from_slice(&blocks[..512]);
                if !(148..156).contains(&place) {
                    header.set_cksum();
                }
                blocks[..512].copy_from_slice(header.as_bytes());
            }
            Damage::Again { entry, body } => {
                let Some(blocks) = entries.get(at(entry)) else { continue };
                let mut header = tar::Header::new_old();
                header.as_mut_bytes().copy_from_slice(&blocks[..512]);
                header.set_size(body.len() as u64);
                header.set_cksum();
                entries.push(pad([header.as_bytes(), &body[..]].concat()));
            }
            Damage::Swap { one, two } if !entries.is_empty() => entries.swap(at(one), at(two)),
            Damage::Extension { entry, kind, body } => {
                let at = at(entry);
                if let Some(blocks) = entries.get_mut(at) {
                    *blocks = [extension(*kind, body), std::mem::take(blocks)].concat();
                }
            }
            Damage::Tail(bytes) => tail.extend_from_slice(bytes),
            Damage::After(bytes) => after.extend_from_slice(bytes),
            Damage::Gzip { at, byte } => {
                let at = usize::from(*at) % gzip.len();
                gzip[at] = *byte;
            }
            Damage::Swap { .. } | Damage::Byte { .. } => {}
        }
    }
    let mut tar = [entries.concat(), tail].concat();
    for damage in damage {
        if let Damage::Byte { at, byte } = damage {
            let at = usize::from(*at) % tar.len();
            tar[at] = *byte;
        }
    }
    let mut sum = flate2::Crc::new();
    sum.update(&tar);
    let length = u32::try_from(tar.len()).expect("it is small");
    [&gzip[..], &Compressor::Zlib8.compress(&tar), &sum.sum().to_le_bytes(), &length.to_le_bytes(), &after].concat()
}

fn header() -> Vec<u8> {
    [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 2, 255][..], b"a-1.0.0.crate\0"].concat()
}

/// The files of a crate as the plainest reader sees them that there could be: name fields, sizes, contents, GNU's long names and
/// nothing else. None where there is anything else, or a byte that this does not read.
pub fn plainly(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let start = 10 + bytes.get(10..)?.iter().position(|byte| *byte == 0)? + 1;
    let mut decoder = flate2::bufread::DeflateDecoder::new(bytes.get(start..)?);
    let mut tar = Vec::new();
    std::io::Read::read_to_end(&mut decoder, &mut tar).ok()?;
    if decoder.into_inner().len() != 8 {
        return None;
    }
    let text = |field: &[u8]| -> Option<String> {
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        field[end..].iter().all(|byte| *byte == 0).then(|| String::from_utf8(field[..end].to_vec()).ok())?
    };
    let (mut at, mut files, mut long) = (0, Vec::new(), None);
    loop {
        let header = tar.get(at..at + 512)?;
        if header.iter().all(|byte| *byte == 0) {
            return (tar.len() == at + 1024 && tar[at..].iter().all(|byte| *byte == 0) && long.is_none())
                .then_some(files);
        }
        let size = usize::from_str_radix(&text(&header[124..136])?, 8).ok()?;
        let body = tar.get(at + 512..at + 512 + size)?;
        let end = at + 512 + size.next_multiple_of(512);
        if tar.get(at + 512 + size..end)?.iter().any(|byte| *byte != 0) {
            return None;
        }
        // Link name, user and group; what follows the devices is the prefix.
        let names = [&header[157..257], &header[265..329]].concat();
        if names.iter().any(|byte| *byte != 0) {
            return None;
        }
        let prefix = text(&header[345..500])?;
        let gnu = &header[257..265] == b"ustar  \0";
        let name = text(&header[..100])?;
        match (header[156], gnu, prefix.as_str()) {
            (b'L', true, "") if long.is_none() => long = Some(text(body)?),
            (b'0', true, "") => files.push((long.take().unwrap_or(name), body.to_vec())),
            (b'0', false, "") => files.push((name, body.to_vec())),
            (b'0', false, prefix) => files.push((format!("{prefix}/{name}"), body.to_vec())),
            _ => return None,
        }
        at = end;
    }
}
