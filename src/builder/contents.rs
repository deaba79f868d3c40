//! The proof that what cargo has packed is the commit's: every file of the crate, but for those that cargo writes itself.
//!
//! What a manifest names as its readme or licence may lie anywhere, what it includes may be a `.git`, and other manifests are
//! pruned: cargo packs whatever it finds. So the crate is opened, and a file in it that no commit has makes it worth nothing.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use fs_err::File;

use super::links;
use crate::contract::git::{Kind, ObjectId, hash};

/// The manifest as it stands in the source; cargo packs it under another name where it writes one of its own.
const MANIFEST: &str = "Cargo.toml";
const ORIGINAL_MANIFEST: &str = "Cargo.toml.orig";
/// What cargo writes itself, besides the manifest.
const WRITTEN: [&str; 2] = ["Cargo.lock", ".cargo_vcs_info.json"];

/// A repository as it was checked out, submodules included.
#[derive(Debug, Clone, Copy)]
pub struct Committed<'a> {
    /// What was written to each file, as the id of a blob.
    pub contents: &'a BTreeMap<Vec<u8>, ObjectId>,
    /// Links.
    pub links: &'a [PathBuf],
    /// Where it is.
    pub root: &'a Path,
}

impl Committed<'_> {
    /// The first file of a crate that the package in `folder` does not have from the commit, or from a submodule that is
    /// checked out; none where there is no such file.
    ///
    /// # Errors
    /// Where the crate can't be read.
    pub fn lacks(self, made: &Path, folder: &str) -> io::Result<Option<String>> {
        // Whether cargo wrote the manifest shows once all files are seen.
        let (mut foreign, mut foreign_manifest, mut has_original) = (None, false, false);
        each_file(made, |path, file| {
            let source = match path {
                _ if foreign.is_some() => return Ok(()),
                path if WRITTEN.contains(&path) => return Ok(()),
                ORIGINAL_MANIFEST => MANIFEST,
                path => path,
            };
            let mut body = Vec::new();
            file.read_to_end(&mut body)?;
            let (place, content) = (Path::new(folder).join(source), hash(Kind::Blob, &body));
            // A readme or a licence from elsewhere is copied to the crate's own folder.
            let is_copied = !source.contains('/') && source == path;
            let is_foreign = self.at(&place) != Some(content) && !(is_copied && self.has_named(&place, content));
            has_original |= path == ORIGINAL_MANIFEST;
            if path == MANIFEST {
                foreign_manifest |= is_foreign;
            } else if is_foreign {
                foreign = Some(path.to_owned());
            }
            Ok(())
        })?;
        Ok(foreign.or_else(|| (foreign_manifest && !has_original).then(|| MANIFEST.to_owned())))
    }

    /// Whether a file with this name and content lies anywhere.
    fn has_named(&self, path: &Path, content: ObjectId) -> bool {
        let name = path.file_name();
        let files = self.contents.iter();
        let named = files.filter(|(path, _)| Path::new(std::ffi::OsStr::from_bytes(path)).file_name() == name);
        let links = self.links.iter().filter(|link| link.file_name() == name);
        named.map(|(_, found)| *found).chain(links.filter_map(|link| self.at(link))).any(|found| found == content)
    }

    /// What was checked out where a path leads.
    fn at(&self, path: &Path) -> Option<ObjectId> {
        let place = links::follow(self.root, path).ok()??;
        self.contents.get(place.as_os_str().as_bytes()).copied()
    }
}

/// Shows every file of a crate, with its path in the crate's own folder.
///
/// # Errors
/// Where the crate can't be read, or has something else than files in that folder: no cargo writes such a thing.
pub fn each_file(made: &Path, mut see: impl FnMut(&str, &mut dyn Read) -> io::Result<()>) -> io::Result<()> {
    let decoder = GzDecoder::new(io::BufReader::new(File::open(made)?));
    for entry in tar::Archive::new(decoder).entries()? {
        let mut entry = entry?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).ok();
        let inside = path.as_deref().and_then(|path| Some(path.split_once('/')?.1));
        let inside = inside.filter(|_| entry.header().entry_type().is_file());
        see(inside.ok_or_else(|| io::Error::other("cargo has packed something that is no file"))?, &mut entry)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    /// What is foreign in a crate with these files, of a package in `pk` of a repository with those; a link is one to `>TARGET`.
    fn foreign_of(packed: &[(&str, &str)], committed: &[(&str, &str)]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let (mut contents, mut links) = (BTreeMap::new(), Vec::new());
        for (path, text) in committed {
            let place = root.join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            if let Some(target) = text.strip_prefix('>') {
                symlink(target, place).unwrap();
                links.push(path.into());
            } else {
                std::fs::write(place, text).unwrap();
                contents.insert(path.as_bytes().to_vec(), hash(Kind::Blob, text.as_bytes()));
            }
        }
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (path, text) in packed {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("a-1.0.0/{path}"), text.as_bytes()).unwrap();
        }
        let made = folder.path().join("a-1.0.0.crate");
        File::create(&made).unwrap().write_all(&tar.into_inner().unwrap().finish().unwrap()).unwrap();
        Committed { contents: &contents, links: &links, root: &root }.lacks(&made, "pk").unwrap()
    }

    #[test]
    fn what_the_commit_has_at_its_place_is_no_stranger() {
        let packed = [
            (".cargo_vcs_info.json", "{}"),
            ("Cargo.lock", "made"),
            ("Cargo.toml", "normalised"),
            ("Cargo.toml.orig", "own"),
            ("src/lib.rs", "code"),
            ("src/linked.rs", "beside"),
            ("through/b.rs", "there"),
            ("README.md", "read"),
            ("LICENSE", "licence"),
        ];
        let committed = [
            ("pk/Cargo.toml", "own"),
            ("pk/src/lib.rs", "code"),
            ("pk/src/linked.rs", ">../../other/x.rs"),
            ("other/x.rs", "beside"),
            ("pk/through", ">../folder"),
            ("folder/b.rs", "there"),
            // Named as the readme, wherever that is; or a link to it.
            ("README.md", "read"),
            ("top/LICENSE", ">../licences/mit"),
            ("licences/mit", "licence"),
        ];
        assert_eq!(foreign_of(&packed, &committed), None);
    }

    #[test]
    fn whatever_the_commit_does_not_have_is_a_stranger() {
        let committed =
            [("pk/Cargo.toml", "own"), ("pk/src/lib.rs", "code"), ("sub/Cargo.toml", "sub"), ("pk/out", ">../../etc")];
        for (path, text) in [
            ("src/lib.rs", "other code"),
            ("build.rs", "fn main() {}"),
            ("src/build.rs", "code"),
            (".git/HEAD", "ref: refs/heads/main"),
            ("out/passwd", "root"),
            ("Cargo.toml.orig", "sub"),
        ] {
            let packed = [("Cargo.toml.orig", "own"), ("Cargo.toml", "normalised"), (path, text)];
            assert_eq!(foreign_of(&packed, &committed), Some(path.to_owned()));
        }
        // A cargo that normalises nothing packs the source's own.
        assert_eq!(foreign_of(&[("Cargo.toml", "own")], &committed), None);
        assert_eq!(foreign_of(&[("Cargo.toml", "other")], &committed), Some("Cargo.toml".to_owned()));
    }
}
