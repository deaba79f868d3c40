//! *Checkout*: how the publisher's git checked the commit out, told from the crate's own bytes.
//!
//! A variant is taken only where the crate itself shows it: text files with CRLF that have LF in the commit, a file that
//! holds the target of what is a link in the commit, executable bits that are all gone or all set, all
//! marks of Windows or of its file systems; and files instead of the LFS pointers that the commit has.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::artefact::{Archive, LARGE, MANIFEST, ORIGINAL_MANIFEST};
use super::findings::Condition;
use crate::contract::checkout::{Checkout, Crlf, Executables, is_converted};
use crate::contract::git::{Kind, ObjectId, hash};
use crate::contract::lfs::Pointer;
use crate::model::digest::Sri;
use crate::model::nonempty::NonEmpty;

/// What a published crate shows of the publisher's checkout.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Traces {
    /// Files that are as short as the target of a link.
    short: BTreeMap<String, String>,
    /// Text files with CRLF line endings: the git blob that they would be with LF.
    crlf: BTreeMap<String, [u8; 20]>,
    /// Text files with LF that git would have given CRLF.
    lf: BTreeSet<String>,
    /// Executable files.
    executable: BTreeSet<String>,
    /// The files that come from the source, with their lengths.
    files: BTreeMap<String, u64>,
}

/// How long a link's target may be, to be looked for.
const TARGET_LIMIT: usize = 200;

impl Traces {
    /// Reads a published crate. Paths are those that the source has.
    #[must_use]
    pub fn read(archive: &Archive) -> Self {
        let mut traces = Self::default();
        let has_original = archive.file(ORIGINAL_MANIFEST).is_some();
        for entry in &archive.entries {
            let path = match entry.path.as_str() {
                ORIGINAL_MANIFEST => MANIFEST.to_owned(),
                MANIFEST if !has_original => MANIFEST.to_owned(),
                _ if entry.generated() => continue,
                path => path.to_owned(),
            };
            traces.files.insert(path.clone(), entry.body.len() as u64);
            if entry.executable() {
                traces.executable.insert(path.clone());
            }
            // Their line endings tell nothing that others don't, and they need not be in memory as a whole.
            if entry.body.len() > LARGE {
                continue;
            }
            let body = &*archive.body(entry);
            if body.len() <= TARGET_LIMIT
                && let Ok(text) = std::str::from_utf8(body)
            {
                traces.short.insert(path.clone(), text.to_owned());
            }
            if is_converted(body) {
                traces.lf.insert(path);
            } else if let Some(text) = without_crlf(body) {
                traces.crlf.insert(path, hash(Kind::Blob, &text).0);
            }
        }
        traces
    }

    /// Files whose blob at the commit decides whether line endings were converted, relative to the package.
    pub fn converted(&self) -> impl Iterator<Item = &str> {
        self.crlf.keys().map(String::as_str)
    }

    /// The files that come from the source, relative to the package.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

/// A text whose lines all end with CRLF, with LF instead.
fn without_crlf(body: &[u8]) -> Option<Vec<u8>> {
    let ends = body.windows(2).filter(|two| *two == b"\r\n").count();
    let count = |wanted: u8| body.iter().filter(|byte| **byte == wanted).count();
    let all = ends > 0 && count(b'\r') == ends && count(b'\n') == ends && !body.contains(&0);
    all.then(|| body.iter().copied().filter(|byte| *byte != b'\r').collect())
}

/// What a commit has, by path relative to the repository.
#[derive(Debug, Clone, Copy)]
pub struct Committed<'a> {
    /// What paths of the package begin with: empty, or its folder with a slash.
    pub below: &'a str,
    /// Links, with their targets.
    pub links: &'a BTreeMap<String, String>,
    /// Executable files.
    pub executables: &'a BTreeSet<String>,
    /// The blobs of [`Traces::converted`].
    pub blobs: &'a BTreeMap<String, ObjectId>,
    /// The LFS pointers among [`Traces::files`].
    pub pointers: &'a BTreeMap<String, Pointer>,
}

/// What a published crate shows of how a commit was checked out, and the LFS objects that replaced their pointers: their
/// sha256, by path relative to the repository.
#[must_use]
pub fn evident(traces: &Traces, commit: &Committed<'_>) -> (Checkout, BTreeMap<String, Sri>) {
    let at = |path: &str| format!("{}{path}", commit.below);
    // Of this length: the builder sees to it that it is the very object.
    let object = |(path, length): (&String, &u64)| {
        let path = at(path);
        let pointer = commit.pointers.get(&path).filter(|pointer| pointer.size == *length)?;
        Some((path, Sri(pointer.oid)))
    };
    let lfs: BTreeMap<String, Sri> = traces.files.iter().filter_map(object).collect();
    let converted = traces.crlf.iter().filter(|(path, blob)| commit.blobs.get(&at(path)) == Some(&ObjectId(**blob)));
    let files: BTreeSet<String> = converted.map(|(path, _)| at(path)).collect();
    // git converts what lies elsewhere as little as a binary.
    let lf = traces.lf.iter().any(|path| !lfs.contains_key(&at(path)));
    let crlf = match (files.is_empty(), lf) {
        (true, _) => Crlf::None,
        (false, false) => Crlf::All,
        (false, true) => Crlf::Files(files),
    };
    let text = |(link, target): (&String, &String)| {
        link.strip_prefix(commit.below).is_some_and(|path| traces.short.get(path) == Some(target))
    };
    let packed = |path: &String| path.strip_prefix(commit.below).is_some_and(|path| traces.files.contains_key(path));
    let executables = if traces.executable.is_empty() && commit.executables.iter().any(packed) {
        Executables::None
    } else if traces.executable.len() == traces.files.len() && traces.files.len() > 1 {
        Executables::All
    } else {
        Executables::AsCommitted
    };
    (Checkout { crlf, links_as_text: commit.links.iter().any(text), executables }, lfs)
}

/// The condition that a report names of a checkout; none for the default.
#[must_use]
pub fn condition(checkout: &Checkout) -> Option<Condition> {
    let crlf = match &checkout.crlf {
        Crlf::None => None,
        Crlf::All => Some("CRLF".to_owned()),
        Crlf::Files(files) if files.len() == 1 => Some("CRLF in 1 file, as published".to_owned()),
        Crlf::Files(files) => Some(format!("CRLF in {} files, as published", files.len())),
    };
    let links = checkout.links_as_text.then(|| "links as text".to_owned());
    let executables = match checkout.executables {
        Executables::AsCommitted => None,
        Executables::None => Some("no executables".to_owned()),
        Executables::All => Some("all files executable".to_owned()),
    };
    let marks = NonEmpty::new([crlf, links, executables].into_iter().flatten().collect())?;
    Some(Condition::WindowsCheckout { marks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::Sha256;
    use crate::stages::artefact::tests::{id, pack};

    /// What is evident of a crate with these files, for a commit whose blobs are `committed`.
    fn shown(
        files: &[(&str, &[u8], u32)],
        committed: &[(&str, &[u8])],
        executables: &[&str],
    ) -> (Checkout, BTreeMap<String, Sri>) {
        let bytes = pack(&id(), files);
        let traces = Traces::read(&Archive::read(&id(), &bytes).unwrap());
        let owned = |(path, body): &(&str, &[u8])| ((*path).to_owned(), hash(Kind::Blob, body));
        let blobs = committed.iter().map(owned).collect();
        let pointer = |(path, body): &(&str, &[u8])| Some(((*path).to_owned(), Pointer::read(body)?));
        let pointers = committed.iter().filter_map(pointer).collect();
        let links = BTreeMap::from([("sub/LICENSE".to_owned(), "../LICENSE".to_owned())]);
        let executables = executables.iter().map(|path| (*path).to_owned()).collect();
        let commit =
            Committed { below: "sub/", links: &links, executables: &executables, blobs: &blobs, pointers: &pointers };
        super::evident(&traces, &commit)
    }

    #[test]
    fn only_what_the_crate_shows_is_evident() {
        let plain = [("Cargo.toml", &b"[a]\n"[..], 0o644), ("src/lib.rs", b"b\n", 0o644)];
        let committed = [("sub/Cargo.toml", &b"[a]\n"[..]), ("sub/src/lib.rs", b"b\n")];
        assert_eq!(shown(&plain, &committed, &[]), (Checkout::default(), BTreeMap::new()));

        let windows = [("Cargo.toml", &b"[a]\r\n"[..], 0o644), ("src/lib.rs", b"b\r\n", 0o644)];
        assert_eq!(shown(&windows, &committed, &[]).0.crlf, Crlf::All);
        let in_one = [("Cargo.toml", &b"[a]\n"[..], 0o644), ("src/lib.rs", b"b\r\n", 0o644)];
        assert_eq!(shown(&in_one, &committed, &[]).0.crlf, Crlf::Files(["sub/src/lib.rs".to_owned()].into()));
        // In the commit already, or not what the commit has at all.
        assert_eq!(shown(&windows, &[("sub/Cargo.toml", b"[a]\r\n")], &[]).0.crlf, Crlf::None);
        assert_eq!(shown(&windows, &[("sub/Cargo.toml", b"[evil]\n")], &[]).0.crlf, Crlf::None);

        assert_eq!(shown(&plain, &committed, &["sub/src/lib.rs"]).0.executables, Executables::None);
        for elsewhere in ["sub/excluded.sh", "src/lib.rs"] {
            assert_eq!(shown(&plain, &committed, &[elsewhere]).0.executables, Executables::AsCommitted);
        }
        let all = plain.map(|(path, body, _)| (path, body, 0o755));
        assert_eq!(shown(&all, &committed, &[]).0.executables, Executables::All);

        let content = Sha256::of(b"b\n");
        let pointer = |size| Pointer { oid: content, size }.text();
        for (size, expected) in
            [(2, BTreeMap::from([("sub/src/lib.rs".to_owned(), Sri(content))])), (3, BTreeMap::new())]
        {
            assert_eq!(shown(&plain, &[("sub/src/lib.rs", pointer(size).as_bytes())], &[]).1, expected);
        }

        let linked = [("Cargo.toml", &b"[a]\n"[..], 0o644), ("LICENSE", b"../LICENSE", 0o644)];
        assert!(shown(&linked, &committed, &[]).0.links_as_text);
    }
}
