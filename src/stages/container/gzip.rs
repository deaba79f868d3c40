//! The gzip file around a tar, as cargo writes it: a header of one form, one deflate stream, nothing after it.

use sha2::Digest as _;

use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::stages::artefact::Archive;
use crate::stages::deflate::Compressor;

/// What is left over of the gzip file around the deflate stream.
pub(super) fn gzip_leftovers(id: &CrateId, published: &Archive) -> Vec<String> {
    let mut found = Vec::new();
    // A file name, no time, the best compression; the system is the publisher's own up to 1.21, and unknown since.
    let known = [3, 7, 255].iter().any(|system| published.gzip.bytes == gzip_header(id, *system));
    if !known {
        found.push("a gzip header that no cargo writes".to_owned());
    }
    if published.trailing > 0 {
        found.push(format!("{} bytes after the gzip stream", published.trailing));
    }
    found
}

/// The gzip header that cargo writes.
pub(super) fn gzip_header(id: &CrateId, system: u8) -> Vec<u8> {
    let name = format!("{}.crate\0", id.stem());
    [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 2, system][..], name.as_bytes()].concat()
}

/// Finds the compressor with which the archive has the registry's checksum.
pub(super) fn recompress(published: &Archive, expected: Sha256, by: &[Compressor]) -> Option<Compressor> {
    let mut sum = flate2::Crc::new();
    for part in published.tar.parts() {
        sum.update(&part);
    }
    by.iter().copied().find(|compressor| {
        let mut hash = sha2::Sha256::new();
        hash.update(&published.gzip.bytes);
        let complete = compressor.stream(published.tar.parts(), &mut |made| {
            hash.update(made);
            true
        });
        hash.update(sum.sum().to_le_bytes());
        hash.update((published.tar.len() as u32).to_le_bytes());
        complete && Sha256(hash.finalize().into()) == expected
    })
}

/// Whether the rebuilt crate was compressed by another compressor than the published one.
pub(super) fn compressed_differently(published: &Archive, rebuilt: &Archive, compressor: Compressor) -> bool {
    if published.tar == rebuilt.tar {
        published.deflated != rebuilt.deflated
    } else {
        !compressor.makes(&rebuilt.tar, &rebuilt.deflated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::artefact::tests::{id, pack};

    #[test]
    fn a_gzip_header_with_more_in_it_is_left_over() {
        let whole = pack(&id(), &[("a", b"1", 0o644)]);
        let stream = &whole[gzip_header(&id(), 255).len()..];
        let builder = || flate2::GzBuilder::new().filename("a-1.0.0.crate").operating_system(255);
        let header = |builder: flate2::GzBuilder| {
            let empty = builder.write(Vec::new(), flate2::Compression::best()).finish().unwrap();
            // An empty stream is two bytes long, the trailer eight.
            empty[..empty.len() - 10].to_vec()
        };
        assert_eq!(header(builder()), gzip_header(&id(), 255));
        for odd in [
            builder().comment("evil"),
            builder().extra("evil"),
            builder().mtime(1),
            builder().filename("b-1.0.0.crate"),
            builder().operating_system(9),
            flate2::GzBuilder::new().operating_system(255),
        ] {
            let archive = Archive::read(&id(), &[&header(odd)[..], stream].concat()).unwrap();
            assert_eq!(gzip_leftovers(&id(), &archive), ["a gzip header that no cargo writes"]);
        }
    }
}
