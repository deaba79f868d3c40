//! Tests of reading crates.

use super::*;
use std::io::Write as _;

/// A crate file as cargo writes it, with these entries (path inside the crate's folder, content, mode).
pub(crate) fn pack(id: &CrateId, files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, body, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(body.len() as u64);
        header.set_mode(*mode);
        header.set_mtime(1_153_704_088);
        if !GENERATED.contains(path) {
            header.set_uid(0);
            header.set_gid(0);
            header.set_device_major(0).unwrap();
            header.set_device_minor(0).unwrap();
        }
        header.set_cksum();
        builder.append_data(&mut header, format!("{}/{path}", id.stem()), *body).unwrap();
    }
    let tar = builder.into_inner().unwrap();
    gzip(&tar)
}

impl Tar {
    pub(crate) fn packed(bytes: &[u8]) -> Self {
        Self(Held::Packed(Packed::pack(&mut &*bytes).unwrap()))
    }
}

fn gzip(tar: &[u8]) -> Vec<u8> {
    let name = format!("{}.crate", id().stem());
    let header = flate2::GzBuilder::new().filename(name).operating_system(255);
    let mut encoder = header.write(Vec::new(), flate2::Compression::best());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn id() -> CrateId {
    "a@1.0.0".parse().unwrap()
}

/// A tar entry made by hand, as `tar` itself refuses to write such things.
fn raw(path: &str, kind: tar::EntryType) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.resize(tar.len() + 1024, 0);
    gzip(&tar)
}

#[test]
fn bytes_without_the_expected_checksum_have_no_type() {
    let wrong = Sha256::of(b"something else");
    let error = Artefact::check(id(), wrong, b"bytes".to_vec()).unwrap_err();
    assert_eq!(error, ChecksumMismatch { expected: wrong, actual: Sha256::of(b"bytes") });
}

#[test]
fn entries_are_kept_in_order_with_repetitions() {
    let bytes = pack(&id(), &[("b", b"1", 0o644), ("a", b"2", 0o755), ("b", b"3", 0o644), ("A", b"", 0o644)]);
    let archive = Archive::read(&id(), &bytes).unwrap();
    let paths: Vec<_> = archive.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["b", "a", "b", "A"]);
    assert_eq!(*archive.body(&archive.entries[2]), *b"3");
    assert!(archive.entries[1].executable());
}

#[test]
fn a_large_tar_is_read_like_a_small_one() {
    let large = vec![b'x'; PLAIN_LIMIT as usize];
    let bytes = pack(&id(), &[("a", b"1", 0o644), ("b", &large, 0o644), ("c", b"2", 0o755)]);
    let archive = Archive::read(&id(), &bytes).unwrap();
    assert!(matches!(archive.tar.0, Held::Packed(_)));
    let bodies: Vec<_> = archive.entries.iter().map(|entry| archive.body(entry).into_owned()).collect();
    assert_eq!(bodies, [b"1".to_vec(), large, b"2".to_vec()]);
    assert_eq!(archive.text("c").as_deref(), Some("2"));
    assert_eq!(archive.tar.parts().map(|part| part.len()).sum::<usize>(), archive.tar.len());
}

#[test]
fn names_longer_than_a_header_belong_to_their_entry() {
    let long = "d/".repeat(30) + &"x".repeat(120);
    let bytes = pack(&id(), &[("a", b"1", 0o644), (&long, b"2", 0o644)]);
    let archive = Archive::read(&id(), &bytes).unwrap();
    assert_eq!(archive.entries[1].path, long);
    assert_eq!(archive.entries[1].start, archive.entries[0].body.end.next_multiple_of(512));
    assert!(archive.entries[1].start < archive.entries[1].header.start);
}

#[test]
fn paths_that_lead_out_are_refused() {
    for path in ["a-1.0.0/../x", "/etc/passwd", "b-1.0.0/x", "a-1.0.0/", "a-1.0.0//x", "a-1.0.0/x\\..\\y"] {
        let read = Archive::read(&id(), &raw(path, tar::EntryType::Regular));
        assert!(matches!(read, Err(Malformed::Path(_))), "{path}: {read:?}");
    }
    let deep = format!("a-1.0.0/{}x", "d/".repeat(40));
    let bytes = pack(&id(), &[("d/".repeat(DEPTH_LIMIT + 1).trim_end_matches('/'), b"", 0o644)]);
    assert!(matches!(Archive::read(&id(), &bytes), Err(Malformed::Path(_))));
    assert!(Archive::read(&id(), &raw(&deep, tar::EntryType::Regular)).is_ok());
}

#[test]
fn what_stands_before_an_entry_is_never_read_as_a_whole() {
    let said = |kind, size| {
        let mut header = tar::Header::new_gnu();
        header.set_path("@LongLink").unwrap();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        let mut tar = header.as_bytes().to_vec();
        tar.resize(tar.len() + usize::try_from(size).unwrap().next_multiple_of(512), b'x');
        Archive::read(&id(), &gzip(&tar)).unwrap_err().to_string()
    };
    assert_eq!(said(tar::EntryType::GNULongName, 5000), "an entry has a name of 5000 bytes, more than 4096");
    assert!(said(tar::EntryType::GNULongName, 100).contains("a name has no entry"));
    for kind in [tar::EntryType::GNULongLink, tar::EntryType::XHeader, tar::EntryType::XGlobalHeader] {
        assert_eq!(said(kind, 100), "entry `@LongLink` is not a plain file");
    }
}

#[test]
fn files_that_are_read_as_a_whole_have_a_limit_and_others_have_none() {
    let large = vec![b'#'; TEXT_LIMIT as usize + 1];
    for name in TEXTS {
        let said = Archive::read(&id(), &pack(&id(), &[(name, &large, 0o644)])).unwrap_err().to_string();
        assert_eq!(said, format!("its {name} is larger than 4194304 bytes"));
        assert!(Archive::read(&id(), &pack(&id(), &[(name, &large[1..], 0o644)])).is_ok());
    }
    assert!(Archive::read(&id(), &pack(&id(), &[("data", &large, 0o644)])).is_ok());
}

#[test]
fn links_and_devices_are_refused() {
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char, tar::EntryType::Directory] {
        let read = Archive::read(&id(), &raw("a-1.0.0/x", kind));
        assert!(matches!(read, Err(Malformed::Kind(_))), "{kind:?}: {read:?}");
    }
}

#[test]
fn what_is_not_an_archive_is_malformed() {
    for bytes in [&b""[..], b"hello", &gzip(b"hello")[..10]] {
        assert!(matches!(Archive::read(&id(), bytes), Err(Malformed::Unreadable(_))));
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _ = Archive::read(&id(), &bytes);
        let _ = Archive::read(&id(), &gzip(&bytes));
    }

    #[test]
    fn a_damaged_crate_never_makes_the_reader_panic(at in 0usize..2000, byte: u8) {
        let bytes = pack(&id(), &[("a", b"1", 0o644), ("b", b"2", 0o644)]);
        let mut tar = Archive::read(&id(), &bytes).unwrap().tar.parts().collect::<Vec<_>>().concat();
        let at = at % tar.len();
        tar[at] = byte;
        let _ = Archive::read(&id(), &gzip(&tar));
    }
}
