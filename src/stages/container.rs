//! *Container*: where every file is the same, the published crate is written again, to the byte: from the rebuilt files, a
//! [`Writer`] profile of cargo's, an order, a compressor, and values of a type, one by one.
//!
//! What may be taken from the published crate is listed, and nothing else is: per entry time, numeric owner and group, permission
//! bits; the operating system byte of the gzip header. Whatever is left over then is a difference, and is named: other
//! unpackers may read it in another way.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::artefact::{Archive, Entry, ORIGINAL_MANIFEST};
use super::deflate::Compressor;
use super::toolchain::{NEW_TIME, OLD_TIME};
use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::model::nonempty::NonEmpty;
use crate::model::release::Span;

mod gzip;
mod leftover;
mod order;
mod writer;

use gzip::{compressed_differently, gzip_leftovers, recompress};
use leftover::{name_head, name_tail};
use order::Order;
pub use writer::Writer;
use writer::{Mode, Values};

/// Something of the container in which published and rebuilt crate differ, and that is accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalised {
    /// Times in tar headers.
    Times,
    /// Users and groups in tar headers.
    Owners,
    /// Permissions in tar headers, the owner's executable bit apart.
    Permissions,
    /// Executable bits: all files of the published crate have the same, whatever git says.
    ExecutableBits,
    /// The kind of tar header.
    HeaderFormat,
    /// The order of entries.
    Order,
    /// The deflate stream.
    Compression,
    /// The gzip header.
    GzipHeader,
}

impl fmt::Display for Normalised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Times => "times",
            Self::Owners => "owners",
            Self::Permissions => "permissions",
            Self::ExecutableBits => "executable bits",
            Self::HeaderFormat => "tar header format",
            Self::Order => "order of entries",
            Self::Compression => "compression",
            Self::GzipHeader => "gzip header",
        })
    }
}

/// What made a container, its compression excepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    writer: Writer,
    order: Order,
}

/// A container of which all is accounted for, its compression perhaps excepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// In what it differs from the rebuilt one.
    pub normalised: NonEmpty<Normalised>,
    /// How its entries are written.
    pub writer: Writer,
    /// The compressor that gives the published bytes; none where no known one does.
    pub compressor: Option<Compressor>,
}

impl Form {
    /// Finds what made a container, whatever files it holds: with it, every byte of the published tar is written again.
    ///
    /// # Errors
    /// What is left over, the entries in order.
    pub fn of(id: &CrateId, published: &Archive, rebuilt: &Archive) -> Result<Self, NonEmpty<Leftover>> {
        let whole = gzip_leftovers(id, published);
        let mut leftovers: Vec<Leftover> = whole.into_iter().map(|what| Leftover { path: None, what }).collect();
        let order = Order::of(&paths(published), &paths(rebuilt));
        if order.is_none() {
            leftovers.push(Leftover::whole("an order of entries that no cargo writes"));
        }
        // The writer that leaves least; the youngest of those.
        let tars = Writer::ALL.map(|writer| (tar_leftovers(writer, id, published), writer));
        let Some((left, writer)) = tars.into_iter().min_by_key(|(left, _)| left.len()) else {
            return Err(NonEmpty::one(Leftover::whole("no known writer")));
        };
        leftovers.extend(left);
        match (NonEmpty::new(leftovers), order) {
            (Some(leftovers), _) => Err(leftovers),
            (None, Some(order)) => Ok(Self { writer, order }),
            (None, None) => Err(NonEmpty::one(Leftover::whole("an unknown order of entries"))),
        }
    }

    /// Accounts for the container, where every file is the same and the crates are not.
    #[must_use]
    pub fn account(
        self,
        id: &CrateId,
        (published, expected): (&Archive, Sha256),
        rebuilt: &Archive,
        cargo_range: Option<Span>,
    ) -> Account {
        let compressor = recompress(published, expected, &Compressor::likeliest_first(cargo_range));
        let mut normalised = differing(id, self.writer, published, rebuilt);
        if self.order != Order::AsRebuilt {
            normalised.insert(Normalised::Order);
        }
        if published.gzip.bytes != rebuilt.gzip.bytes {
            normalised.insert(Normalised::GzipHeader);
        }
        if compressor.is_none_or(|compressor| compressed_differently(published, rebuilt, compressor)) {
            normalised.insert(Normalised::Compression);
        }
        // They differ, and nothing else is left that could.
        let normalised =
            NonEmpty::new(normalised.into_iter().collect()).unwrap_or(NonEmpty::one(Normalised::Compression));
        Account { normalised, writer: self.writer, compressor }
    }
}

/// Something of a container that nothing accounts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The entry that it is about.
    pub path: Option<String>,
    /// What it is, in a few words.
    pub what: String,
}

impl Leftover {
    fn whole(what: &str) -> Self {
        Self { path: None, what: what.to_owned() }
    }
}

fn paths(archive: &Archive) -> Vec<&str> {
    archive.entries.iter().map(|entry| entry.path.as_str()).collect()
}

/// What an archive has recorded of the machine that made it; nothing where its entries have only what cargos write everywhere.
#[must_use]
pub fn recorded(archive: &Archive) -> Option<Normalised> {
    archive.entries.iter().find_map(|entry| {
        let Ok(values) = values(archive, entry) else { return Some(Normalised::Owners) };
        let found = [
            (Normalised::Times, !values.time.is_some_and(|time| FIXED_TIMES.contains(&time))),
            (Normalised::Owners, (values.owner, values.group) != (0, 0)),
            (Normalised::Permissions, !values.mode.is_fixed()),
        ];
        found.into_iter().find_map(|(what, found)| found.then_some(what))
    })
}

/// The times that cargos write since 1.50, whatever the clock says.
const FIXED_TIMES: [u64; 4] = [0, 1, OLD_TIME, NEW_TIME];

/// The values of an entry, as its header has them.
fn values(archive: &Archive, entry: &Entry) -> Result<Values, String> {
    let header = archive.header(entry);
    let number = |field: [u8; 8], value: std::io::Result<u64>, what: &str| match value {
        // What cargo generates has no owner; whether this may be so, the writer knows.
        _ if field == [0; 8] => Ok(0),
        value => value.map_err(|_| format!("its {what} is no number")),
    };
    let raw = header.as_old();
    Ok(Values {
        time: entry.mtime,
        owner: number(raw.uid, header.uid(), "owner")?,
        group: number(raw.gid, header.gid(), "group")?,
        mode: Mode::read(entry.mode).ok_or_else(|| format!("no cargo writes its mode, {:o}", entry.mode))?,
    })
}

/// Whether the cargo that made an archive normalises manifests: before 1.19 the manifest was the source's own file.
fn normalises(archive: &Archive) -> bool {
    archive.file(ORIGINAL_MANIFEST).is_some()
}

/// What is left over of the tar where a writer writes its entries.
fn tar_leftovers(writer: Writer, id: &CrateId, archive: &Archive) -> Vec<Leftover> {
    let mut leftovers = Vec::new();
    let mut end = 0;
    let normalises = normalises(archive);
    for entry in &archive.entries {
        end = entry.body.end.next_multiple_of(512).min(archive.tar.len());
        let head = head(writer, id, (archive, normalises), entry).and_then(|written| {
            name_head(&archive.tar.get(entry.start..entry.header.end), &written).map_or(Ok(()), Err)
        });
        let padding = archive.tar.get(entry.body.end..end).iter().all(|byte| *byte == 0);
        let padding = (!padding).then(|| "bytes after its content".to_owned());
        let found = head.err().into_iter().chain(padding);
        leftovers.extend(found.map(|what| Leftover { path: Some(entry.path.clone()), what }));
    }
    leftovers.extend(name_tail(&archive.tar.get(end..archive.tar.len())).map(|what| Leftover { path: None, what }));
    leftovers
}

/// What a writer writes before an entry's content.
fn head(
    writer: Writer,
    id: &CrateId,
    (archive, normalises): (&Archive, bool),
    entry: &Entry,
) -> Result<Vec<u8>, String> {
    let path = format!("{}/{}", id.stem(), entry.path);
    let values = values(archive, entry)?;
    writer
        .head(&path, entry.generated() && normalises, &values, entry.body.len())
        .ok_or_else(|| "a header that no cargo writes".to_owned())
}

/// In what the entries differ from the rebuilt ones, each from the one of the same path: where every file is the same, no path
/// stands twice.
fn differing(id: &CrateId, writer: Writer, published: &Archive, rebuilt: &Archive) -> BTreeSet<Normalised> {
    let by_path = rebuilt.by_path();
    let mut found = BTreeSet::new();
    let normalises = normalises(rebuilt);
    for entry in &published.entries {
        let Some(mine) = by_path.get(entry.path.as_str()).and_then(|mine| mine.first()) else { continue };
        let (Ok(theirs), Ok(own)) = (values(published, entry), values(rebuilt, mine)) else { continue };
        let written = head(writer, id, (rebuilt, normalises), mine).ok();
        let differs = [
            (Normalised::Times, own.time != theirs.time),
            (Normalised::Owners, (own.owner, own.group) != (theirs.owner, theirs.group)),
            (Normalised::Permissions, own.mode.without_executable() != theirs.mode.without_executable()),
            (Normalised::ExecutableBits, own.mode.executable() != theirs.mode.executable()),
            (Normalised::HeaderFormat, written.as_deref() != Some(&*rebuilt.tar.get(mine.start..mine.header.end))),
        ];
        found.extend(differs.into_iter().filter_map(|(what, differs)| differs.then_some(what)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::gzip::gzip_header;
    use super::*;
    use crate::stages::artefact::Tar;
    use crate::stages::artefact::tests::id;

    /// The headers of cargo's own, before they are changed.
    fn header(body: &str) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_device_major(0).unwrap();
        header.set_device_minor(0).unwrap();
        header
    }

    fn tar_of(files: &[(&str, &str)], shape: impl Fn(&mut tar::Header)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, body) in files {
            let mut header = header(body);
            header.set_path(format!("{}/{path}", id().stem())).unwrap();
            shape(&mut header);
            header.set_cksum();
            builder.append(&header, body.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn pack(tar: &[u8], compressor: Compressor) -> Vec<u8> {
        let mut sum = flate2::Crc::new();
        sum.update(tar);
        let trailer = [sum.sum().to_le_bytes(), (tar.len() as u32).to_le_bytes()].concat();
        [gzip_header(&id(), 255), compressor.compress(tar), trailer].concat()
    }

    /// A crate with these entries, every header made by `shape`, compressed by `compressor`.
    fn crate_of(files: &[(&str, &str)], compressor: Compressor, shape: impl Fn(&mut tar::Header)) -> Vec<u8> {
        pack(&tar_of(files, shape), compressor)
    }

    fn accounted(published: &[u8], rebuilt: &[u8]) -> Result<Account, Vec<String>> {
        let read = |bytes| Archive::read(&id(), bytes).unwrap();
        // How a tar is kept makes no difference.
        let packed = |bytes| {
            let archive: Archive = read(bytes);
            let tar = Tar::packed(&archive.tar.parts().collect::<Vec<_>>().concat());
            Archive { tar, ..archive }
        };
        let found = account_of(published, &read(published), &read(rebuilt));
        let same = account_of(published, &packed(published), &packed(rebuilt));
        assert_eq!(same, found);
        found
    }

    fn account_of(published: &[u8], theirs: &Archive, mine: &Archive) -> Result<Account, Vec<String>> {
        let form = Form::of(&id(), theirs, mine).map_err(|leftovers| {
            leftovers
                .iter()
                .map(|Leftover { path, what }| format!("{}: {what}", path.as_deref().unwrap_or("-")))
                .collect::<Vec<_>>()
        })?;
        Ok(form.account(&id(), (theirs, Sha256::of(published)), mine, None))
    }

    fn normalised(account: &Account) -> &[Normalised] {
        account.normalised.as_slice()
    }

    const FILES: [(&str, &str); 2] = [("a", "one"), ("b", "two")];

    fn plain() -> Vec<u8> {
        crate_of(&FILES, Compressor::Zlib8, |_| {})
    }

    #[test]
    fn times_owners_and_permissions_are_proven_to_be_all() {
        let published = crate_of(&FILES, Compressor::Zlib9, |header| {
            header.set_mtime(1_600_000_000);
            header.set_uid(5_000_000);
            header.set_mode(0o100_664);
        });
        let found = accounted(&published, &crate_of(&FILES, Compressor::Zlib9, |_| {})).unwrap();
        assert_eq!(normalised(&found), [Normalised::Times, Normalised::Owners, Normalised::Permissions]);
        assert!(found.compressor.is_some() && found.writer == Writer::Gnu);
    }

    #[test]
    fn the_headers_of_a_neighbouring_era_are_accounted_for() {
        let ustar = |spaced: bool| {
            let mut tar = Vec::new();
            for (path, body) in FILES {
                let mut header = tar::Header::new_ustar();
                let gnu = header_bytes(&format!("{}/{path}", id().stem()), body);
                header.as_mut_bytes().copy_from_slice(&gnu);
                header.as_mut_bytes()[257..265].copy_from_slice(b"ustar\x0000");
                header.set_cksum();
                if spaced {
                    header.as_mut_bytes()[155] = b' ';
                }
                tar.extend_from_slice(header.as_bytes());
                tar.extend_from_slice(body.as_bytes());
                tar.resize(tar.len().next_multiple_of(512), 0);
            }
            tar.resize(tar.len() + 1024, 0);
            pack(&tar, Compressor::Zlib8)
        };
        for (spaced, writer) in [(false, Writer::Ustar), (true, Writer::UstarSpaced)] {
            let found = accounted(&ustar(spaced), &plain()).unwrap();
            assert_eq!((normalised(&found), found.writer), (&[Normalised::HeaderFormat][..], writer));
        }
    }

    fn header_bytes(path: &str, body: &str) -> Vec<u8> {
        let mut header = header(body);
        header.set_path(path).unwrap();
        header.as_bytes().to_vec()
    }

    #[test]
    fn another_order_is_named_where_cargos_have_it() {
        let published = crate_of(&[("a/b", "1"), ("a-b", "2")], Compressor::Zlib8, |_| {});
        let rebuilt = crate_of(&[("a-b", "2"), ("a/b", "1")], Compressor::Zlib8, |_| {});
        assert_eq!(normalised(&accounted(&published, &rebuilt).unwrap()), [Normalised::Order]);
        let shuffled = crate_of(&[FILES[1], FILES[0]], Compressor::Zlib8, |_| {});
        assert_eq!(accounted(&shuffled, &plain()).unwrap_err(), ["-: an order of entries that no cargo writes"]);
    }

    #[test]
    fn another_compressor_is_found_and_an_unknown_one_is_none() {
        let body: String = (0..30_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
        let files = [("a", body.as_str())];
        let published = crate_of(&files, Compressor::ZlibRsOld, |_| {});
        let rebuilt = crate_of(&files, Compressor::Zlib8, |_| {});
        let found = accounted(&published, &rebuilt).unwrap();
        assert_eq!(
            (normalised(&found), found.compressor),
            (&[Normalised::Compression][..], Some(Compressor::ZlibRsOld))
        );
        // Stored, not compressed.
        let tar = tar_of(&files, |_| {});
        let mut stored = Vec::new();
        let mut blocks = tar.chunks(65_535).peekable();
        while let Some(block) = blocks.next() {
            let length = u16::try_from(block.len()).unwrap();
            stored.push(u8::from(blocks.peek().is_none()));
            stored.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
            stored.extend_from_slice(block);
        }
        let whole = pack(&tar, Compressor::Zlib8);
        let unknown = [&gzip_header(&id(), 255)[..], &stored, &whole[whole.len() - 8..]].concat();
        let found = accounted(&unknown, &rebuilt).unwrap();
        assert_eq!((normalised(&found), found.compressor), (&[Normalised::Compression][..], None));
    }

    #[test]
    fn what_no_cargo_writes_into_a_header_is_left_over() {
        type Change = fn(&mut tar::Header);
        let changes: [(Change, &str); 12] = [
            (|header| header.as_old_mut().linkname[0] = b'x', "the link name of its header"),
            (|header| header.as_gnu_mut().unwrap().uname[0] = b'\x1b', "the user and group names of its header"),
            (|header| header.as_gnu_mut().unwrap().gname[3] = b'x', "the user and group names of its header"),
            (|header| header.as_mut_bytes()[400] = b'x', "the prefix of its header"),
            (|header| header.as_mut_bytes()[511] = 1, "the prefix of its header"),
            (|header| header.as_old_mut().name[60] = b'x', "the name of its header"),
            (|header| header.as_old_mut().linkflag = [0], "the kind of its header"),
            (|header| header.set_device_major(1).unwrap(), "the device numbers of its header"),
            (|header| header.as_old_mut().mtime.copy_from_slice(b"      00000 "), "the time of its header"),
            (|header| header.as_old_mut().uid.copy_from_slice(b"     00 "), "the owner of its header"),
            (|header| header.set_mode(0o4644), "no cargo writes its mode, 4644"),
            (|header| header.set_mode(0o000), "no cargo writes its mode, 0"),
        ];
        for (change, said) in changes {
            let found = accounted(&crate_of(&FILES, Compressor::Zlib8, change), &plain()).unwrap_err();
            assert_eq!(found, [format!("a: {said}"), format!("b: {said}")]);
        }
    }

    #[test]
    fn bytes_outside_of_entries_are_left_over() {
        let tar = tar_of(&FILES, |_| {});
        let end = tar.len() - 1024;
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut tar = tar.clone();
            change(&mut tar);
            accounted(&pack(&tar, Compressor::Zlib8), &plain()).unwrap_err()
        };
        assert_eq!(with(&|tar| tar[600] = 1), ["a: bytes after its content"]);
        assert_eq!(with(&|tar| tar.truncate(end)), ["-: the tar does not end with two empty blocks"]);
        assert_eq!(with(&|tar| tar.resize(end + 2048, 0)), ["-: 2048 empty bytes at the end of the tar, not 1024"]);
        assert_eq!(with(&|tar| tar.extend_from_slice(b"more")), ["-: 1028 bytes after the last entry"]);
        let whole = plain();
        let after = accounted(&[&whole[..], b"more"].concat(), &plain()).unwrap_err();
        assert_eq!(after, ["-: 4 bytes after the gzip stream"]);
        let twice = accounted(&[&whole[..], &whole].concat(), &plain()).unwrap_err();
        assert_eq!(twice, [format!("-: {} bytes after the gzip stream", whole.len())]);
    }

    #[test]
    fn other_headers_before_an_entry_are_left_over() {
        // A name that is not too long for a header.
        let name = format!("{}/a\0", id().stem());
        let mut header = tar::Header::new_gnu();
        header.set_path("@LongLink").unwrap();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(name.len() as u64);
        header.set_cksum();
        let mut tar = [header.as_bytes(), name.as_bytes()].concat();
        tar.resize(1024, 0);
        tar.extend(tar_of(&FILES, |_| {}));
        let found = accounted(&pack(&tar, Compressor::Zlib8), &plain()).unwrap_err();
        assert_eq!(found, ["a: 1024 bytes before its header: GNU long name"]);
    }

    #[test]
    fn long_names_are_written_as_each_era_does() {
        let long = format!("{}/{}", "d".repeat(40), "x".repeat(90));
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_data(&mut header("1"), format!("{}/{long}", id().stem()), &b"1"[..]).unwrap();
        let gnu = pack(&builder.into_inner().unwrap(), Compressor::Zlib8);
        let values = Values { time: Some(0), owner: 0, group: 0, mode: Mode::GENERATED };
        let mut tar = Writer::Ustar.head(&format!("{}/{long}", id().stem()), false, &values, 1).unwrap();
        tar.push(b'1');
        tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
        let ustar = pack(&tar, Compressor::Zlib8);
        assert_eq!(normalised(&accounted(&gnu, &ustar).unwrap()), [Normalised::HeaderFormat]);
        assert_eq!(normalised(&accounted(&ustar, &gnu).unwrap()), [Normalised::HeaderFormat]);
    }
}
