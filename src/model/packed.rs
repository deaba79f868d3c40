//! Much text or many bytes, kept compressed in memory and read in parts.
//!
//! What a run keeps of an index, and an archive of a quarter of a gigabyte, are a tenth of their size this way, and are read
//! about as fast.

use std::io::{self, Read};
use std::ops::Range;

use lz4_flex::block::{compress, decompress};

/// How many bytes are compressed together: what is read for a single line.
const BLOCK: usize = 32 << 10;

/// Bytes, compressed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed {
    blocks: Vec<Box<[u8]>>,
    length: usize,
}

impl Packed {
    /// Compresses everything that a reader gives.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn pack(from: &mut impl Read) -> io::Result<Self> {
        let mut packed = Self::default();
        let mut block = Vec::with_capacity(BLOCK);
        loop {
            block.clear();
            if from.by_ref().take(BLOCK as u64).read_to_end(&mut block)? == 0 {
                return Ok(packed);
            }
            packed.length += block.len();
            packed.blocks.push(compress(&block).into());
        }
    }

    /// How many bytes they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether they are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// A part of them; shorter where it goes past the end.
    #[must_use]
    pub fn get(&self, part: Range<usize>) -> Vec<u8> {
        self.parts().get(part)
    }

    /// Reads several parts; those that lie together are decompressed together.
    #[must_use]
    pub fn parts(&self) -> Parts<'_> {
        Parts { of: self, last: None }
    }

    /// All of them, in order, in blocks.
    pub fn blocks(&self) -> impl Iterator<Item = Vec<u8>> {
        (0..self.blocks.len()).map(|at| self.block(at))
    }

    fn block(&self, at: usize) -> Vec<u8> {
        let size = self.length.saturating_sub(at * BLOCK).min(BLOCK);
        decompress(&self.blocks[at], size).expect("it was compressed above, from as many bytes")
    }
}

/// Parts of bytes that are kept compressed.
#[derive(Debug)]
pub struct Parts<'a> {
    of: &'a Packed,
    last: Option<(usize, Vec<u8>)>,
}

impl Parts<'_> {
    /// A part; shorter where it goes past the end.
    pub fn get(&mut self, part: Range<usize>) -> Vec<u8> {
        let end = part.end.min(self.of.length);
        let mut at = part.start;
        let mut found = Vec::with_capacity(end.saturating_sub(at));
        while at < end {
            let number = at / BLOCK;
            if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
                self.last = Some((number, self.of.block(number)));
            }
            let block = self.last.as_ref().map_or(&[][..], |(_, block)| block);
            let inside = at % BLOCK..block.len().min(end - number * BLOCK);
            at += inside.len();
            found.extend_from_slice(&block[inside]);
        }
        found
    }
}

/// Reads all of them in order.
#[derive(Debug)]
pub struct Reader<'a> {
    parts: Parts<'a>,
    at: usize,
}

impl<'a> From<&'a Packed> for Reader<'a> {
    fn from(of: &'a Packed) -> Self {
        Self { parts: of.parts(), at: 0 }
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let found = self.parts.get(self.at..self.at + into.len().min(BLOCK));
        into[..found.len()].copy_from_slice(&found);
        self.at += found.len();
        Ok(found.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_was_packed_is_read_again(bytes: Vec<u8>, times in 1usize..3000, from: usize, length in 0usize..100_000) {
            let bytes = bytes.repeat(times);
            let packed = Packed::pack(&mut &bytes[..]).unwrap();
            assert_eq!(packed.len(), bytes.len());
            assert_eq!(packed.blocks().collect::<Vec<_>>().concat(), bytes);
            let mut read = Vec::new();
            Reader::from(&packed).read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
            let from = from % (bytes.len() + 1);
            assert_eq!(packed.get(from..from + length), &bytes[from..bytes.len().min(from + length)]);
        }
    }
}
