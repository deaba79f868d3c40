//! The compressors that cargo has used: to prove that nothing but the compression differs.
//!
//! | Rust | compressor |
//! |---|---|
//! | up to 1.31 | miniz |
//! | 1.32 to 1.46 | C zlib, level 9, memory level 9 |
//! | 1.47 to 1.87 | C zlib, level 9, memory level 8 |
//! | 1.88 to 1.95 | zlib-rs before 0.6.3 |
//! | from 1.96 on | zlib-rs from 0.6.3 on |

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::artefact::Tar;
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

/// A step of a compressor that counts what it has taken and given in all: three libraries have one, each with its own types.
macro_rules! counted {
    ($deflate:ident, $step:ident, $flush:ident, $end:pat) => {{
        let Step { input, output, last } = $step;
        let (taken, given) = ($deflate.total_in(), $deflate.total_out());
        let status = $deflate.compress(input, output, if last { $flush.1 } else { $flush.0 }).ok()?;
        // No more than the buffers' lengths.
        let (taken, given) = (($deflate.total_in() - taken) as usize, ($deflate.total_out() - given) as usize);
        Some(Stepped { taken, given, ended: matches!(status, $end) })
    }};
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

    /// Compresses to a raw deflate stream, at the level that cargo uses; nothing where the compressor fails.
    #[must_use]
    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        let mut made = Vec::new();
        let complete = self.stream(std::iter::once(bytes.into()), &mut |part| {
            made.extend_from_slice(part);
            true
        });
        if complete { made } else { Vec::new() }
    }

    /// Compresses what comes in parts, however large they are; ends where `take` wants no more of what it makes. Gives whether it
    /// came to the end.
    pub fn stream<'a>(self, tar: impl Iterator<Item = Cow<'a, [u8]>>, take: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        match self {
            Self::Zlib8 => Zlib::new(8).is_some_and(|mut zlib| feed(tar, take, |step| zlib.step(step))),
            Self::Zlib9 => Zlib::new(9).is_some_and(|mut zlib| feed(tar, take, |step| zlib.step(step))),
            Self::ZlibRsOld => {
                use zlib_rs_old::{Deflate, DeflateFlush, Status};
                let mut deflate = Deflate::new(9, false, 15);
                let flush = (DeflateFlush::NoFlush, DeflateFlush::Finish);
                feed(tar, take, |step| counted!(deflate, step, flush, Status::StreamEnd))
            }
            Self::ZlibRsNew => {
                use zlib_rs::{Deflate, DeflateFlush, Status};
                let mut deflate = Deflate::new(9, false, 15);
                let flush = (DeflateFlush::NoFlush, DeflateFlush::Finish);
                feed(tar, take, |step| counted!(deflate, step, flush, Status::StreamEnd))
            }
            Self::Miniz => {
                use flate2::{Compress, Compression, FlushCompress, Status};
                let mut deflate = Compress::new(Compression::best(), false);
                let flush = (FlushCompress::None, FlushCompress::Finish);
                feed(tar, take, |step| counted!(deflate, step, flush, Status::StreamEnd))
            }
        }
    }

    /// Whether it makes just this deflate stream of a tar. Where it does not, that shows after the first few kilobytes.
    #[must_use]
    pub fn makes(self, tar: &Tar, deflated: &[u8]) -> bool {
        let mut left = deflated;
        let complete = self.stream(tar.parts(), &mut |made| match left.strip_prefix(made) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        });
        complete && left.is_empty()
    }
}

/// What a compressor is given at once.
struct Step<'a> {
    input: &'a [u8],
    output: &'a mut [u8],
    /// Whether nothing comes after the input.
    last: bool,
}

/// What came of it: how many bytes it took and gave, and whether the stream has ended.
struct Stepped {
    taken: usize,
    given: usize,
    ended: bool,
}

/// How many bytes a compressor gives at once.
const OUTPUT: usize = 64 << 10;

/// Feeds a compressor; gives whether the stream came to its end.
fn feed<'a>(
    tar: impl Iterator<Item = Cow<'a, [u8]>>,
    take: &mut dyn FnMut(&[u8]) -> bool,
    mut step: impl FnMut(Step<'_>) -> Option<Stepped>,
) -> bool {
    let mut buffer = vec![0; OUTPUT];
    let mut go = |input: &[u8], last| {
        let stepped = step(Step { input, output: &mut buffer, last })?;
        let goes_on = stepped.ended || stepped.taken > 0 || stepped.given > 0;
        (goes_on && take(&buffer[..stepped.given])).then_some(stepped)
    };
    for part in tar {
        let mut at = 0;
        while at < part.len() {
            match go(&part[at..], false) {
                Some(stepped) => at += stepped.taken,
                None => return false,
            }
        }
    }
    loop {
        match go(&[], true) {
            Some(stepped) if stepped.ended => return true,
            Some(_) => {}
            None => return false,
        }
    }
}

/// C zlib; no safe library lets the memory level be chosen.
struct Zlib {
    /// Where it stays: zlib remembers the address.
    stream: Box<libz_sys::z_stream>,
}

#[expect(unsafe_code, reason = "zlib's own interface")]
impl Zlib {
    fn new(memory_level: i32) -> Option<Self> {
        let size = size_of::<libz_sys::z_stream>() as i32;
        // SAFETY: zlib wants `zalloc`, `zfree` and `opaque` null for its own allocator, which a zeroed stream has, and
        // initialises the rest. Where it fails it has allocated nothing.
        unsafe {
            let mut stream = Box::<libz_sys::z_stream>::new_zeroed();
            let begun = libz_sys::deflateInit2_(
                stream.as_mut_ptr(),
                9,
                libz_sys::Z_DEFLATED,
                -15,
                memory_level,
                libz_sys::Z_DEFAULT_STRATEGY,
                libz_sys::zlibVersion(),
                size,
            );
            (begun == libz_sys::Z_OK).then(|| Self { stream: stream.assume_init() })
        }
    }

    fn step(&mut self, Step { input, output, last }: Step<'_>) -> Option<Stepped> {
        let (all, room) = (u32::try_from(input.len()).unwrap_or(u32::MAX), u32::try_from(output.len()).ok()?);
        let flush = if last { libz_sys::Z_FINISH } else { libz_sys::Z_NO_FLUSH };
        self.stream.next_in = input.as_ptr().cast_mut();
        self.stream.avail_in = all;
        self.stream.next_out = output.as_mut_ptr();
        self.stream.avail_out = room;
        // SAFETY: the stream was begun. The pointers and lengths are those of buffers that outlive the call, and are set anew
        // before the next; zlib only reads its input.
        let status = unsafe { libz_sys::deflate(&raw mut *self.stream, flush) };
        let ended = status == libz_sys::Z_STREAM_END;
        let (taken, given) = ((all - self.stream.avail_in) as usize, (room - self.stream.avail_out) as usize);
        (ended || status == libz_sys::Z_OK).then_some(Stepped { taken, given, ended })
    }
}

#[expect(unsafe_code, reason = "zlib's own interface")]
impl Drop for Zlib {
    fn drop(&mut self) {
        // SAFETY: the stream was begun, and is not used again.
        unsafe {
            libz_sys::deflateEnd(&raw mut *self.stream);
        }
    }
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

    #[test]
    fn it_makes_no_difference_in_which_parts_a_tar_is_kept() {
        let text: Vec<u8> =
            (0..400_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect();
        let packed = Tar::packed(&text);
        for compressor in Compressor::ALL {
            let made = compressor.compress(&text);
            assert!(compressor.makes(&packed, &made), "{compressor}");
            assert!(!compressor.makes(&packed, &made[..made.len() - 1]), "{compressor}");
            assert!(!compressor.makes(&packed, &[&made[..], b"x"].concat()), "{compressor}");
            let mut other = made;
            other[1000] ^= 1;
            assert!(!compressor.makes(&packed, &other), "{compressor}");
        }
    }
}
