//! What the NAR of a slice hashes to: its identity in the store.

use std::collections::{BTreeMap, BTreeSet};

use nix_archive::nar::Encoder;
use sha2::Digest as _;

use super::{Slice, SliceFile};
use crate::model::digest::{Sha256, Sri};

impl Slice {
    /// The hash of the slice's NAR: its identity in the store.
    ///
    /// # Panics
    /// Never: a slice's names are legal in a NAR, and come in order.
    #[must_use]
    pub fn nar_hash(&self) -> Sri {
        let encode = || -> Result<[u8; 32], nix_archive::nar::Error> {
            let mut encoder = Encoder::new(sha2::Sha256::new())?;
            encoder.start_directory(None)?;
            self.folder("index").encode(&mut encoder)?;
            encoder.end_directory()?;
            Ok(encoder.finish()?.finalize().into())
        };
        Sri(Sha256(encode().expect("hashing into memory fails only on illegal names, and a slice's names are crates'")))
    }

    /// The tree below the registry's root, which has the one folder `index` even where that is empty.
    fn folder(&self, top: &'static str) -> Folder<'_> {
        let mut root = Folder::default();
        root.folders.entry(top).or_default();
        for (path, file) in &self.files {
            let mut folder = &mut root;
            let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
            for part in parents.split('/') {
                folder = folder.folders.entry(part).or_default();
            }
            folder.files.insert(name, file);
        }
        root
    }
}

/// A folder in memory.
#[derive(Default)]
struct Folder<'a> {
    folders: BTreeMap<&'a str, Folder<'a>>,
    files: BTreeMap<&'a str, &'a SliceFile>,
}

impl Folder<'_> {
    fn encode(&self, encoder: &mut Encoder<sha2::Sha256>) -> Result<(), nix_archive::nar::Error> {
        for name in self.folders.keys().chain(self.files.keys()).collect::<BTreeSet<_>>() {
            match self.folders.get(name) {
                Some(folder) => {
                    encoder.start_directory(Some(name.as_bytes()))?;
                    folder.encode(encoder)?;
                    encoder.end_directory()?;
                }
                None => encoder.regular(Some(name.as_bytes()), false, self.files[name].text().as_bytes())?,
            }
        }
        Ok(())
    }
}
