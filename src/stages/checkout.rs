//! *Checkout*: how the publisher's git checked the commit out, told from the crate's own bytes.
//!
//! A variant is taken only where the crate itself shows it: text files with CRLF that have LF in the commit, a file that
//! holds the target of what is a link in the commit, executable bits that are all gone or all set, all
//! marks of Windows or of its file systems; and files in the stead of the LFS pointers that the commit has.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::artefact::{Archive, MANIFEST, ORIGINAL_MANIFEST};
use crate::builder::checkout::is_converted;
use crate::builder::git::{Id, Kind, hash};
use crate::builder::lfs::Pointer;
use crate::model::digest::{Sha256, Sri};

/// How files were checked out; the default is what git does elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkout {
    /// Which text files have CRLF line endings.
    pub crlf: Crlf,
    /// Without `core.symlinks`: a link is a file that holds its target.
    pub links_as_text: bool,
    /// Which files are executable.
    pub executables: Executables,
    /// The LFS objects that stand where the commit has pointers to them, by path relative to the repository: their
    /// sha256, which is in the pointer.
    pub lfs: BTreeMap<String, Sri>,
}

/// Which text files have CRLF line endings that the commit has not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crlf {
    /// None.
    #[default]
    None,
    /// All that git takes for text, as with `core.autocrlf`.
    All,
    /// These, relative to the repository. git leaves a file that was written after the checkout as it is, so the rest
    /// have LF.
    Files(BTreeSet<String>),
}

/// Which files are executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Executables {
    /// Those of the commit.
    #[default]
    AsCommitted,
    /// None: Windows has no such bit.
    None,
    /// All: a Windows file system under Linux.
    All,
}

/// What a published crate shows of the publisher's checkout.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    /// Files that are as short as the target of a link.
    short: BTreeMap<String, String>,
    /// Text files with CRLF line endings: the git blob that they would be with LF.
    crlf: BTreeMap<String, Id>,
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
            let body = archive.body(entry);
            traces.files.insert(path.clone(), body.len() as u64);
            if entry.executable() {
                traces.executable.insert(path.clone());
            }
            if body.len() <= TARGET_LIMIT
                && let Ok(text) = std::str::from_utf8(body)
            {
                traces.short.insert(path.clone(), text.to_owned());
            }
            if is_converted(body) {
                traces.lf.insert(path);
            } else if let Some(text) = without_crlf(body) {
                traces.crlf.insert(path, hash(Kind::Blob, &text));
            }
        }
        traces
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
pub struct Committed<'a> {
    /// What paths of the package begin with: empty, or its folder with a slash.
    pub below: &'a str,
    /// Links, with their targets.
    pub links: &'a BTreeMap<String, String>,
    /// Executable files.
    pub executables: &'a BTreeSet<String>,
    /// The blob at a path.
    pub blob: &'a dyn Fn(&str) -> Option<Id>,
    /// The LFS pointer at a path.
    pub pointer: &'a dyn Fn(&str) -> Option<Pointer>,
}

impl Checkout {
    /// What a published crate shows of how this commit was checked out.
    #[must_use]
    pub fn evident(traces: &Traces, commit: &Committed<'_>) -> Self {
        let at = |path: &str| format!("{}{path}", commit.below);
        // Of this length: the builder sees to it that it is the very object.
        let object = |(path, length): (&String, &u64)| {
            let path = at(path);
            let pointer = (commit.pointer)(&path).filter(|pointer| pointer.size == *length)?;
            Some((path, Sri(Sha256(pointer.oid))))
        };
        let lfs: BTreeMap<String, Sri> = traces.files.iter().filter_map(object).collect();
        let converted = traces.crlf.iter().filter(|(path, blob)| (commit.blob)(&at(path)) == Some(**blob));
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
        let packed =
            |path: &String| path.strip_prefix(commit.below).is_some_and(|path| traces.files.contains_key(path));
        let executables = if traces.executable.is_empty() && commit.executables.iter().any(packed) {
            Executables::None
        } else if traces.executable.len() == traces.files.len() && traces.files.len() > 1 {
            Executables::All
        } else {
            Executables::AsCommitted
        };
        Self { crlf, links_as_text: commit.links.iter().any(text), executables, lfs }
    }

    /// The words that the builder takes.
    #[must_use]
    pub fn words(&self) -> String {
        let words = [
            (self.crlf == Crlf::All, "crlf"),
            (self.executables == Executables::All, "executables-all"),
            (self.executables == Executables::None, "executables-none"),
            (self.links_as_text, "links-as-text"),
        ];
        let words: Vec<&str> = words.into_iter().filter_map(|(on, word)| on.then_some(word)).collect();
        words.join(" ")
    }

    /// The files that alone have CRLF.
    pub fn crlf_files(&self) -> impl Iterator<Item = &String> {
        let files = if let Crlf::Files(files) = &self.crlf { Some(files) } else { None };
        files.into_iter().flatten()
    }

    /// The conditions that a verdict names; none for the default.
    #[must_use]
    pub fn conditions(&self) -> Vec<String> {
        let crlf = match &self.crlf {
            Crlf::None => None,
            Crlf::All => Some("CRLF".to_owned()),
            Crlf::Files(files) if files.len() == 1 => Some("CRLF in 1 file, as published".to_owned()),
            Crlf::Files(files) => Some(format!("CRLF in {} files, as published", files.len())),
        };
        let links = self.links_as_text.then(|| "links as text".to_owned());
        let executables = match self.executables {
            Executables::AsCommitted => None,
            Executables::None => Some("no executables".to_owned()),
            Executables::All => Some("all files executable".to_owned()),
        };
        let marks: Vec<String> = [crlf, links, executables].into_iter().flatten().collect();
        let windows = (!marks.is_empty()).then(|| format!("as checked out on Windows: {}", marks.join(", ")));
        let lfs = (!self.lfs.is_empty()).then(|| "with LFS objects checked out".to_owned());
        windows.into_iter().chain(lfs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::artefact::tests::{id, pack};

    /// What is evident of a crate with these files, for a commit whose blobs are `committed`.
    fn evident(files: &[(&str, &[u8], u32)], committed: &[(&str, &[u8])], executables: &[&str]) -> Checkout {
        let bytes = pack(&id(), files);
        let traces = Traces::read(&Archive::read(&id(), &bytes).unwrap());
        let blob = |path: &str| committed.iter().find(|(at, _)| *at == path).map(|(_, body)| hash(Kind::Blob, body));
        let links = BTreeMap::from([("sub/LICENSE".to_owned(), "../LICENSE".to_owned())]);
        let executables = executables.iter().map(|path| (*path).to_owned()).collect();
        let pointer =
            |path: &str| committed.iter().find(|(at, _)| *at == path).and_then(|(_, body)| Pointer::read(body));
        let commit =
            Committed { below: "sub/", links: &links, executables: &executables, blob: &blob, pointer: &pointer };
        Checkout::evident(&traces, &commit)
    }

    #[test]
    fn only_what_the_crate_shows_is_evident() {
        let plain = [("Cargo.toml", &b"[a]\n"[..], 0o644), ("src/lib.rs", b"b\n", 0o644)];
        let committed = [("sub/Cargo.toml", &b"[a]\n"[..]), ("sub/src/lib.rs", b"b\n")];
        assert_eq!(evident(&plain, &committed, &[]), Checkout::default());

        let windows = [("Cargo.toml", &b"[a]\r\n"[..], 0o644), ("src/lib.rs", b"b\r\n", 0o644)];
        assert_eq!(evident(&windows, &committed, &[]).crlf, Crlf::All);
        let in_one = [("Cargo.toml", &b"[a]\n"[..], 0o644), ("src/lib.rs", b"b\r\n", 0o644)];
        assert_eq!(evident(&in_one, &committed, &[]).crlf, Crlf::Files(["sub/src/lib.rs".to_owned()].into()));
        // In the commit already, or not what the commit has at all.
        assert_eq!(evident(&windows, &[("sub/Cargo.toml", b"[a]\r\n")], &[]).crlf, Crlf::None);
        assert_eq!(evident(&windows, &[("sub/Cargo.toml", b"[evil]\n")], &[]).crlf, Crlf::None);

        assert_eq!(evident(&plain, &committed, &["sub/src/lib.rs"]).executables, Executables::None);
        for elsewhere in ["sub/excluded.sh", "src/lib.rs"] {
            assert_eq!(evident(&plain, &committed, &[elsewhere]).executables, Executables::AsCommitted);
        }
        let all = plain.map(|(path, body, _)| (path, body, 0o755));
        assert_eq!(evident(&all, &committed, &[]).executables, Executables::All);

        let content = Sha256::of(b"b\n");
        let pointer = |size| Pointer { oid: content.0, size }.text();
        for (size, expected) in
            [(2, BTreeMap::from([("sub/src/lib.rs".to_owned(), Sri(content))])), (3, BTreeMap::new())]
        {
            assert_eq!(evident(&plain, &[("sub/src/lib.rs", pointer(size).as_bytes())], &[]).lfs, expected);
        }

        let linked = [("Cargo.toml", &b"[a]\n"[..], 0o644), ("LICENSE", b"../LICENSE", 0o644)];
        assert!(evident(&linked, &committed, &[]).links_as_text);
    }
}
