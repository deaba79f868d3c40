//! Git LFS pointers: what commits hold instead of large files. A pointer names the content by its sha256, so the content is
//! proven with the commit, wherever it came from.

use crate::model::digest::Sha256;

/// What git-lfs commits instead of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// The sha256 of the content.
    pub oid: Sha256,
    /// Its length in bytes.
    pub size: u64,
}

/// How long a pointer may be, by git-lfs's specification (`docs/spec.md`).
pub const POINTER_LIMIT: usize = 1024;

impl Pointer {
    /// Reads a file of a commit; none where it is not a pointer, or one whose content goes through other programs.
    #[must_use]
    pub fn read(blob: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(blob).ok().filter(|text| text.len() < POINTER_LIMIT)?;
        let mut lines = text.lines().map(|line| line.split_once(' '));
        let mut value = |key: &str| lines.next()??.1.strip_prefix(key);
        value("https://git-lfs.github.com/spec/v1").filter(|rest| rest.is_empty())?;
        let (oid, size) = (value("sha256:")?, value("")?);
        let pointer = Self { oid: oid.parse().ok()?, size: size.parse().ok()? };
        (pointer.text() == text).then_some(pointer)
    }

    /// The pointer as git-lfs writes it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n", self.oid, self.size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pointer_reads_back_and_nothing_else_is_one(oid: [u8; 32], size: u64, at in 0..120_usize, byte: u8) {
            let pointer = Pointer { oid: Sha256(oid), size };
            let mut text = pointer.text().into_bytes();
            prop_assert_eq!(Pointer::read(&text), Some(pointer));
            let at = at % text.len();
            let same = text[at] == byte;
            text[at] = byte;
            // Another digit makes another pointer, anything else makes none.
            prop_assert!(Pointer::read(&text).is_none_or(|read| (read == pointer) == same));
        }

        #[test]
        fn no_file_makes_it_panic(blob: Vec<u8>) {
            prop_assert_eq!(Pointer::read(&blob), None);
        }
    }
}
