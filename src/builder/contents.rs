//! The proof that what cargo has packed is the commit's: every file of the crate, but for those that cargo writes itself.
//!
//! What a manifest names as its readme or licence may lie anywhere, what it includes may be a `.git`, and other manifests are
//! pruned: cargo packs whatever it finds. So the crate is opened, and a file in it that no commit has makes it worth nothing.

use std::collections::BTreeMap;
use std::io::Read as _;
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
    pub fn lacks(self, made: &Path, folder: &str) -> std::io::Result<Option<String>> {
        let decoder = || Ok::<_, std::io::Error>(GzDecoder::new(std::io::BufReader::new(File::open(made)?)));
        let mut has_original = false;
        for entry in tar::Archive::new(decoder()?).entries()? {
            has_original |= inside(&entry?).is_some_and(|path| path == ORIGINAL_MANIFEST);
        }
        for entry in tar::Archive::new(decoder()?).entries()? {
            let mut entry = entry?;
            let Some(path) = inside(&entry) else {
                return Ok(Some(String::from_utf8_lossy(&entry.path_bytes()).into_owned()));
            };
            let source = match path.as_str() {
                path if WRITTEN.contains(&path) => continue,
                MANIFEST if has_original => continue,
                ORIGINAL_MANIFEST => MANIFEST,
                path => path,
            };
            let mut body = Vec::new();
            entry.read_to_end(&mut body)?;
            let (place, content) = (Path::new(folder).join(source), hash(Kind::Blob, &body));
            // A readme or a licence from elsewhere is copied to the crate's own folder.
            let is_copied = !source.contains('/') && source == path;
            if self.at(&place) != Some(content) && !(is_copied && self.has_named(&place, content)) {
                return Ok(Some(path));
            }
        }
        Ok(None)
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

/// The path of an entry in the crate's own folder; none where it has none.
fn inside<R: std::io::Read>(entry: &tar::Entry<'_, R>) -> Option<String> {
    let path = String::from_utf8(entry.path_bytes().into_owned()).ok()?;
    let (_, inside) = path.split_once('/')?;
    entry.header().entry_type().is_file().then(|| inside.to_owned())
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
