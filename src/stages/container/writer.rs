//! *Writer profiles*: how the cargos of each era write an entry of a tar, as code.
//!
//! Read in `tar` 0.2.14 to 0.4.46, and seen in the headers of 2,200 published crates: no other form occurs.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::release::Span;

/// What the tar library of an era does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writer {
    /// `tar` from 0.4.30 on: GNU headers, long paths in blocks of their own.
    Gnu,
    /// `tar` 0.4.14 to 0.4.29: POSIX headers, long paths split into prefix and name.
    Ustar,
    /// `tar` 0.4.0 to 0.4.13: the same; the checksum ends with a space, and a time that is not set is empty.
    UstarSpaced,
    /// `tar` 0.2 and 0.3: as the younger POSIX headers, and cargo generated no file yet.
    UstarOldest,
}

/// What an entry has that neither the file nor the writer gives: taken from the published crate, value by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values {
    /// The time, in seconds since 1970; none where the field is empty.
    pub time: Option<u64>,
    /// The numeric owner.
    pub owner: u64,
    /// The numeric group.
    pub group: u64,
    /// Permission bits, and whether the mode says that it is a plain file.
    pub mode: Mode,
}

/// A mode that cargo may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(u32);

impl Mode {
    /// What cargo gives the files that it generates.
    pub const GENERATED: Self = Self(0o644);
    /// That of a plain file, in a mode.
    const PLAIN_FILE: u32 = 0o100_000;

    /// Reads a mode: bits within 0777, the owner may read, no setuid, setgid or sticky bit; that it is a plain file may stand
    /// in it.
    #[must_use]
    pub fn read(mode: u32) -> Option<Self> {
        (mode & !(Self::PLAIN_FILE | 0o777) == 0 && mode & 0o400 != 0).then_some(Self(mode))
    }

    /// Whether the owner may execute the file.
    #[must_use]
    pub fn executable(self) -> bool {
        self.0 & 0o100 != 0
    }

    /// Whether it is one that cargos write since 1.50, whatever the file system says.
    #[must_use]
    pub fn is_fixed(self) -> bool {
        matches!(self.0 & 0o777, 0o644 | 0o755)
    }

    /// The mode without the owner's executable bit.
    #[must_use]
    pub fn without_executable(self) -> u32 {
        self.0 & !0o100
    }
}

/// The latest time that fits into a header as octal digits: in the year 2242.
const LATEST: u64 = 0o77_777_777_777;

impl Writer {
    /// All of them, the youngest first.
    pub const ALL: [Self; 4] = [Self::Gnu, Self::Ustar, Self::UstarSpaced, Self::UstarOldest];

    /// The releases whose cargo has it.
    #[must_use]
    pub fn cargos(self) -> Span {
        match self {
            Self::Gnu => Span::from(46),
            Self::Ustar => Span::between(24, 45),
            Self::UstarSpaced => Span::between(8, 23),
            Self::UstarOldest => Span::until(7),
        }
    }

    /// Writes what stands before an entry's content, of `size` bytes. None where the writer can't write such a thing.
    #[must_use]
    pub fn head(self, path: &str, generated: bool, values: &Values, size: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(1536);
        let mut header = match self {
            Self::Gnu => tar::Header::new_gnu(),
            Self::Ustar | Self::UstarSpaced | Self::UstarOldest => tar::Header::new_ustar(),
        };
        if path.len() > 100 && self == Self::Gnu {
            long_name(&mut out, path)?;
            let start = path.get(..100).or_else(|| (97..100).rev().find_map(|end| path.get(..end)))?;
            header.as_old_mut().name[..start.len()].copy_from_slice(start.as_bytes());
        } else {
            header.set_path(Path::new(path)).ok()?;
        }
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(size as u64);
        header.set_mode(values.mode.0);
        self.times_and_owners(&mut header, generated, values)?;
        self.checksum(&mut header);
        out.extend_from_slice(header.as_bytes());
        Some(out)
    }

    fn times_and_owners(self, header: &mut tar::Header, generated: bool, values: &Values) -> Option<()> {
        // What systems have; a field of a header could hold more.
        let owners = [values.owner, values.group].into_iter().all(|id| u32::try_from(id).is_ok());
        if !owners || values.time.is_some_and(|time| time > LATEST) {
            return None;
        }
        match values.time {
            Some(time) => header.set_mtime(time),
            // Only what cargo generates has no time, and only where the library leaves the field alone.
            None if generated && self == Self::UstarSpaced => header.as_old_mut().mtime = [0; 12],
            None => return None,
        }
        if generated {
            // cargo never sets them for what it generates.
            (header.as_old_mut().uid, header.as_old_mut().gid) = ([0; 8], [0; 8]);
            return (values.owner == 0 && values.group == 0 && values.mode == Mode::GENERATED).then_some(());
        }
        header.set_uid(values.owner);
        header.set_gid(values.group);
        header.set_device_major(0).ok()?;
        header.set_device_minor(0).ok()
    }

    fn checksum(self, header: &mut tar::Header) {
        header.set_cksum();
        if self == Self::UstarSpaced {
            header.as_old_mut().cksum[7] = b' ';
        }
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tar as in cargo {}", self.cargos())
    }
}

/// GNU's way to hold a path that is longer than its field.
fn long_name(out: &mut Vec<u8>, path: &str) -> Option<()> {
    let mut header = tar::Header::new_gnu();
    let name = b"././@LongLink";
    header.as_gnu_mut()?.name[..name.len()].copy_from_slice(name);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    // The path ends with a NUL.
    header.set_size(path.len() as u64 + 1);
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(512), 0);
    Some(())
}
