//! What the publisher's git made of a commit's files when it checked them out. The commit is proven before: this changes
//! copies only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Fault;
use super::lfs::Pointer;

/// How files were checked out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkout {
    /// With `core.autocrlf`: text files have CRLF line endings.
    pub crlf: bool,
    /// Text files that alone have CRLF line endings, relative to the repository.
    pub crlf_files: BTreeSet<Vec<u8>>,
    /// Whether files are executable, whatever the commit says.
    pub executables: Option<bool>,
    /// Without `core.symlinks`: a link is a file that holds its target.
    pub links_as_text: bool,
    /// Files that lie elsewhere, by the path of their LFS pointers in the repository.
    pub lfs: BTreeMap<Vec<u8>, PathBuf>,
}

impl Checkout {
    /// Reads the derivation's variables: words with white space between them, and files, a line each.
    ///
    /// # Errors
    /// Where a word is unknown: to pass over it would be to do something else than the plan says.
    pub fn read(words: &str, crlf_files: &str, lfs: BTreeMap<String, PathBuf>) -> Result<Self, Fault> {
        let crlf_files = crlf_files.lines().map(|path| path.as_bytes().to_vec()).collect();
        let lfs = lfs.into_iter().map(|(path, object)| (path.into_bytes(), object)).collect();
        let mut checkout = Self { crlf_files, lfs, ..Self::default() };
        for word in words.split_whitespace() {
            match word {
                "crlf" => checkout.crlf = true,
                "executables-all" => checkout.executables = Some(true),
                "executables-none" => checkout.executables = Some(false),
                "links-as-text" => checkout.links_as_text = true,
                _ => return Err(Fault::Variable("checkout")),
            }
        }
        Ok(checkout)
    }

    /// The same for a submodule, whose own paths begin at `folder`.
    #[must_use]
    pub fn below(&self, folder: &str) -> Self {
        let inside = |path: &Vec<u8>| Some(path.strip_prefix(folder.as_bytes())?.strip_prefix(b"/")?.to_vec());
        let lfs = self.lfs.iter().filter_map(|(path, object)| Some((inside(path)?, object.clone())));
        let crlf_files = self.crlf_files.iter().filter_map(inside).collect();
        Self { crlf_files, lfs: lfs.collect(), ..self.clone() }
    }

    /// What a file holds after the checkout.
    ///
    /// # Errors
    /// Where it is to be an LFS object, but no pointer to it, or the object can't be read.
    pub fn file(&self, path: &[u8], body: Vec<u8>) -> Result<Vec<u8>, Fault> {
        if let Some(object) = self.lfs.get(path) {
            let pointer = Pointer::read(&body).ok_or_else(|| Fault::Object { path: object.clone() })?;
            return pointer.content(object);
        }
        let wanted = self.crlf || self.crlf_files.contains(path);
        Ok(if wanted && is_converted(&body) { with_crlf(&body) } else { body })
    }
}

/// Whether git converts a file that no attribute speaks of: it has lines, none of them ends with CR already, and it is
/// no binary. After git's own `convert.c`: `gather_stats`, `convert_is_binary`, `will_convert_lf_to_crlf`.
#[must_use]
pub fn is_converted(body: &[u8]) -> bool {
    // A final Ctrl-Z is the end of a DOS text.
    let text = body.strip_suffix(b"\x1a").unwrap_or(body);
    let odd = |byte: &u8| matches!(byte, 0..=7 | 11 | 14..=26 | 28..=31 | 127);
    let nonprintable = text.iter().filter(|byte| odd(byte)).count();
    let printable = text.iter().filter(|byte| !odd(byte) && !matches!(byte, b'\r' | b'\n')).count();
    text.contains(&b'\n') && !text.contains(&b'\r') && !text.contains(&0) && (printable >> 7) >= nonprintable
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

    #[test]
    fn text_gets_crlf_as_git_gives_it_and_nothing_else_changes() {
        let windows = Checkout { crlf: true, ..Checkout::default() };
        let file = |body: &[u8]| windows.file(b"a", body.to_vec()).unwrap();
        assert_eq!(file(b"a\nb\n"), b"a\r\nb\r\n");
        for same in [&b"a\r\nb\n"[..], b"no line", b"", b"a\0b\n", b"\x01\x02\x03\n", b"a\rb\n"] {
            assert_eq!(file(same), same);
        }
        // Among enough text an odd byte does not make a binary.
        let mostly = [&b"x".repeat(200)[..], b"\x01\n"].concat();
        assert!(file(&mostly).ends_with(b"\r\n"));
        assert_eq!(Checkout::default().file(b"a", b"a\n".to_vec()).unwrap(), b"a\n");
        let one = Checkout::read("", "src/a b.rs\nc", BTreeMap::new()).unwrap();
        assert_eq!(one.file(b"src/a b.rs", b"a\n".to_vec()).unwrap(), b"a\r\n");
        assert_eq!(one.file(b"src/b.rs", b"a\n".to_vec()).unwrap(), b"a\n");
    }

    #[test]
    fn an_object_stands_in_for_its_own_pointer_and_for_nothing_else() {
        use sha2::Digest as _;
        let (folder, body) = (tempfile::tempdir().unwrap(), b"content".to_vec());
        let object = folder.path().join("object");
        std::fs::write(&object, &body).unwrap();
        let lfs = BTreeMap::from([("vendored/big".to_owned(), object)]);
        let below = Checkout::read("crlf", "", lfs).unwrap().below("vendored");
        let pointer = |body: &[u8], size| Pointer { oid: sha2::Sha256::digest(body).into(), size }.text().into_bytes();
        assert_eq!(below.file(b"big", pointer(&body, 7)).unwrap(), body);
        for other in [pointer(b"other", 7), pointer(&body, 8), body.clone()] {
            assert!(matches!(below.file(b"big", other), Err(Fault::Object { .. })));
        }
        assert_eq!(below.file(b"vendored/big", body.clone()).unwrap(), body);
    }

    #[test]
    fn an_unknown_word_is_refused() {
        let read = |words: &str| Checkout::read(words, "", BTreeMap::new());
        assert!(read("crlf links-as-text").is_ok_and(|all| all.crlf && all.links_as_text));
        assert!(read("").is_ok_and(|none| none == Checkout::default()));
        assert!(read("crlf smudged").is_err());
    }
}
