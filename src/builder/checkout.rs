//! What the publisher's git made of a commit's files when it checked them out. The commit is proven before: this changes
//! copies only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Fault;
use crate::contract::checkout::{Checkout, Crlf, is_converted};
use crate::contract::lfs::Pointer;
use crate::model::digest::Sha256;

/// A checkout to apply: its conversions, and the LFS objects by the paths of their pointers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conversion {
    /// How files are checked out.
    pub checkout: Checkout,
    /// LFS objects, by the path of their pointers in the repository.
    pub lfs: BTreeMap<String, PathBuf>,
}

impl Conversion {
    /// The same for a submodule, whose own paths begin at `folder`.
    #[must_use]
    pub fn below(&self, folder: &str) -> Self {
        let inside = |path: &String| Some(path.strip_prefix(folder)?.strip_prefix('/')?.to_owned());
        let lfs = self.lfs.iter().filter_map(|(path, object)| Some((inside(path)?, object.clone()))).collect();
        let crlf = match &self.checkout.crlf {
            Crlf::Files(files) => Crlf::Files(files.iter().filter_map(inside).collect()),
            whole => whole.clone(),
        };
        Self { checkout: Checkout { crlf, ..self.checkout.clone() }, lfs }
    }

    /// What a file holds after the checkout.
    ///
    /// # Errors
    /// Where it is to be an LFS object, but no pointer to it, or the object can't be read.
    pub fn file(&self, path: &[u8], body: Vec<u8>) -> Result<Vec<u8>, Fault> {
        // Paths that are not UTF-8 are named by no recipe.
        let path = std::str::from_utf8(path).unwrap_or_default();
        if let Some(object) = self.lfs.get(path) {
            let not_it = || Fault::Object { path: object.clone() };
            let pointer = Pointer::read(&body).ok_or_else(not_it)?;
            let body = fs_err::read(object)?;
            let right = Sha256::of(&body) == pointer.oid && body.len() as u64 == pointer.size;
            return right.then_some(body).ok_or_else(not_it);
        }
        let wanted = match &self.checkout.crlf {
            Crlf::None => false,
            Crlf::All => true,
            Crlf::Files(files) => files.contains(path),
        };
        Ok(if wanted && is_converted(&body) { with_crlf(&body) } else { body })
    }
}

fn with_crlf(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len() + body.len() / 16);
    for byte in body {
        if *byte == b'\n' {
            text.push(b'\r');
        }
        text.push(*byte);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(crlf: Crlf) -> Conversion {
        Conversion { checkout: Checkout { crlf, ..Checkout::default() }, ..Conversion::default() }
    }

    #[test]
    fn text_gets_crlf_as_git_gives_it_and_nothing_else_changes() {
        let windows = with(Crlf::All);
        let file = |body: &[u8]| windows.file(b"a", body.to_vec()).unwrap();
        assert_eq!(file(b"a\nb\n"), b"a\r\nb\r\n");
        for same in [&b"a\r\nb\n"[..], b"no line", b"", b"a\0b\n", b"\x01\x02\x03\n", b"a\rb\n"] {
            assert_eq!(file(same), same);
        }
        // Among enough text an odd byte does not make a binary.
        let mostly = [&b"x".repeat(200)[..], b"\x01\n"].concat();
        assert!(file(&mostly).ends_with(b"\r\n"));
        assert_eq!(Conversion::default().file(b"a", b"a\n".to_vec()).unwrap(), b"a\n");
        let one = with(Crlf::Files(["src/a b.rs".to_owned(), "c".to_owned()].into()));
        assert_eq!(one.file(b"src/a b.rs", b"a\n".to_vec()).unwrap(), b"a\r\n");
        assert_eq!(one.file(b"src/b.rs", b"a\n".to_vec()).unwrap(), b"a\n");
        assert_eq!(one.below("src").file(b"a b.rs", b"a\n".to_vec()).unwrap(), b"a\r\n");
    }

    #[test]
    fn an_object_replaces_its_own_pointer_and_nothing_else() {
        let (folder, body) = (tempfile::tempdir().unwrap(), b"content".to_vec());
        let object = folder.path().join("object");
        std::fs::write(&object, &body).unwrap();
        let lfs = BTreeMap::from([("vendored/big".to_owned(), object)]);
        let below = Conversion { lfs, ..with(Crlf::All) }.below("vendored");
        let pointer = |body: &[u8], size| Pointer { oid: Sha256::of(body), size }.text().into_bytes();
        assert_eq!(below.file(b"big", pointer(&body, 7)).unwrap(), body);
        for other in [pointer(b"other", 7), pointer(&body, 8), body.clone()] {
            assert!(matches!(below.file(b"big", other), Err(Fault::Object { .. })));
        }
        assert_eq!(below.file(b"vendored/big", body.clone()).unwrap(), body);
    }
}
