//! The compressors that cargo has used: to prove that nothing but the compression differs.
//!
//! | Rust | compressor |
//! |---|---|
//! | up to 1.31 | miniz |
//! | 1.32 to 1.46 | C zlib, level 9, memory level 9 |
//! | 1.47 to 1.87 | C zlib, level 9, memory level 8 |
//! | 1.88 to 1.95 | zlib-rs before 0.6.3 |
//! | from 1.96 on | zlib-rs from 0.6.3 on |

use std::fmt;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

use crate::model::release::Span;

/// A compressor that some cargo used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compressor {
    /// C zlib with memory level 8.
    Zlib8,
    /// zlib-rs before 0.6.3.
    ZlibRsOld,
    /// zlib-rs from 0.6.3 on.
    ZlibRsNew,
    /// C zlib with memory level 9.
    Zlib9,
    /// miniz.
    Miniz,
}

impl fmt::Display for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let library = match self {
            Self::Zlib8 | Self::Zlib9 => "zlib",
            Self::ZlibRsOld | Self::ZlibRsNew => "zlib-rs",
            Self::Miniz => "miniz",
        };
        write!(f, "{library} as in cargo {}", self.cargos())
    }
}

impl Compressor {
    /// All of them, the likeliest first.
    pub const ALL: [Self; 5] = [Self::Zlib8, Self::ZlibRsOld, Self::ZlibRsNew, Self::Zlib9, Self::Miniz];

    /// The releases whose cargo used it.
    #[must_use]
    pub fn cargos(self) -> Span {
        match self {
            Self::Zlib8 => Span::between(47, 87),
            Self::ZlibRsOld => Span::between(88, 95),
            Self::ZlibRsNew => Span::from(96),
            Self::Zlib9 => Span::between(32, 46),
            Self::Miniz => Span::until(31),
        }
    }

    /// All of them, those first whose cargos may have made a crate with this range.
    #[must_use]
    pub fn likeliest_first(range: Option<Span>) -> Vec<Self> {
        let mut all = Self::ALL.to_vec();
        all.sort_by_key(|one| range.is_none_or(|range| one.cargos().and(range).is_none()));
        all
    }

    /// Compresses to a raw deflate stream, at the level that cargo uses.
    #[must_use]
    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Zlib8 => zlib(bytes, 8),
            Self::Zlib9 => zlib(bytes, 9),
            Self::ZlibRsOld => zlib_rs_old(bytes),
            Self::ZlibRsNew => zlib_rs_new(bytes),
            Self::Miniz => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
                // Writing to a Vec never fails.
                let _ = encoder.write_all(bytes);
                encoder.finish().unwrap_or_default()
            }
        }
    }
}

/// Room for the worst case: deflate grows what it can't compress by five bytes a block.
fn room(bytes: &[u8]) -> Vec<u8> {
    vec![0; bytes.len() + bytes.len() / 1000 + 1024]
}

fn zlib_rs_old(bytes: &[u8]) -> Vec<u8> {
    let mut out = room(bytes);
    let mut deflate = zlib_rs_old::Deflate::new(9, false, 15);
    let ended = deflate.compress(bytes, &mut out, zlib_rs_old::DeflateFlush::Finish);
    out.truncate(if ended.is_ok() { usize::try_from(deflate.total_out()).unwrap_or(0) } else { 0 });
    out
}

fn zlib_rs_new(bytes: &[u8]) -> Vec<u8> {
    let mut out = room(bytes);
    let mut deflate = zlib_rs::Deflate::new(9, false, 15);
    let ended = deflate.compress(bytes, &mut out, zlib_rs::DeflateFlush::Finish);
    out.truncate(if ended.is_ok() { usize::try_from(deflate.total_out()).unwrap_or(0) } else { 0 });
    out
}

/// C zlib; no safe library lets the memory level be chosen.
#[expect(unsafe_code, reason = "zlib's own interface")]
fn zlib(bytes: &[u8], memory_level: i32) -> Vec<u8> {
    let mut out = room(bytes);
    let (Ok(input), Ok(space)) = (u32::try_from(bytes.len()), u32::try_from(out.len())) else {
        // Past four gigabytes zlib wants to be fed in parts; archives are refused long before.
        return Vec::new();
    };
    let mut stream = std::mem::MaybeUninit::<libz_sys::z_stream>::zeroed();
    // SAFETY: zlib wants `zalloc`, `zfree` and `opaque` null, which the zeroed stream has, for its own allocator. The
    // input and output pointers and their lengths belong to buffers that outlive the calls; the stream stays where
    // it is until `deflateEnd`, which is called on every path after a successful `deflateInit2_`.
    let length = unsafe {
        let stream = stream.as_mut_ptr();
        let size = size_of::<libz_sys::z_stream>() as i32;
        let version = libz_sys::zlibVersion();
        let begun = libz_sys::deflateInit2_(
            stream,
            9,
            libz_sys::Z_DEFLATED,
            -15,
            memory_level,
            libz_sys::Z_DEFAULT_STRATEGY,
            version,
            size,
        );
        if begun != libz_sys::Z_OK {
            return Vec::new();
        }
        (*stream).next_in = bytes.as_ptr().cast_mut();
        (*stream).avail_in = input;
        (*stream).next_out = out.as_mut_ptr();
        (*stream).avail_out = space;
        let ended = libz_sys::deflate(stream, libz_sys::Z_FINISH);
        let length = (space - (*stream).avail_out) as usize;
        libz_sys::deflateEnd(stream);
        if ended == libz_sys::Z_STREAM_END { length } else { 0 }
    };
    out.truncate(length);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    proptest::proptest! {
        #[test]
        fn what_a_compressor_makes_inflates_to_what_it_was_given(bytes: Vec<u8>) {
            for compressor in Compressor::ALL {
                let mut back = Vec::new();
                let made = compressor.compress(&bytes);
                flate2::read::DeflateDecoder::new(&made[..]).read_to_end(&mut back).unwrap();
                assert_eq!(back, bytes, "{compressor}");
            }
        }
    }

    #[test]
    fn the_compressors_are_not_the_same() {
        let text: Vec<u8> =
            (0..60_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect();
        let made: Vec<_> = Compressor::ALL.iter().map(|compressor| compressor.compress(&text)).collect();
        for (at, one) in made.iter().enumerate() {
            assert!(!one.is_empty());
            assert!(made[at + 1..].iter().filter(|other| *other == one).count() <= 1, "two may agree on easy data");
        }
        assert_ne!(made[0], made[1], "C zlib and zlib-rs");
        assert_ne!(made[0], made[4], "C zlib and miniz");
    }
}
