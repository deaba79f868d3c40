//! Git LFS: files that a commit holds only a pointer to. The pointer names the content by its sha256, so it is proven with
//! the commit, and so is whatever is put in its stead: where that came from does not matter.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{At as _, Fault};

/// What git-lfs commits in the stead of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// The sha256 of the content.
    pub oid: [u8; 32],
    /// Its length in bytes.
    pub size: u64,
}

/// How long a pointer may be, by git-lfs's specification (`docs/spec.md`).
pub const POINTER_LIMIT: usize = 1024;

impl Pointer {
    /// Reads a file of a commit; none where it is no pointer, or one whose content goes through further programs.
    #[must_use]
    pub fn read(blob: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(blob).ok().filter(|text| text.len() < POINTER_LIMIT)?;
        let mut lines = text.lines().map(|line| line.split_once(' '));
        let mut value = |key: &str| lines.next()??.1.strip_prefix(key);
        value("https://git-lfs.github.com/spec/v1").filter(|rest| rest.is_empty())?;
        let (oid, size) = (value("sha256:")?, value("")?);
        let digit = |at: usize| u8::from_str_radix(oid.get(at..at + 2)?, 16).ok();
        let oid: Vec<u8> = (0..oid.len()).step_by(2).map(digit).collect::<Option<_>>()?;
        let pointer = Self { oid: oid.try_into().ok()?, size: size.parse().ok()? };
        (pointer.text() == text).then_some(pointer)
    }

    /// The pointer as git-lfs writes it.
    #[must_use]
    pub fn text(&self) -> String {
        let oid: String = self.oid.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {}\n", self.size)
    }

    /// The content from a file, if it is what the pointer names.
    ///
    /// # Errors
    /// Where it is not, or can't be read.
    pub fn content(&self, file: &Path) -> Result<Vec<u8>, Fault> {
        let body = std::fs::read(file).at(file)?;
        let found: [u8; 32] = Sha256::digest(&body).into();
        let right = found == self.oid && body.len() as u64 == self.size;
        right.then_some(body).ok_or_else(|| Fault::Object { path: file.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pointer_reads_back_and_nothing_else_is_one(oid: [u8; 32], size: u64, at in 0..120_usize, byte: u8) {
            let pointer = Pointer { oid, size };
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
