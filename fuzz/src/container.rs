//! A crate and what was done to it: whatever is called the same is, to the plainest reader there could be.

use std::collections::BTreeMap;

use super::crates::{Damage, File, Path, entries, id, pack, plainly};
use recrate::model::digest::Sha256;
use recrate::stages::artefact::Archive;
use recrate::stages::compare::{Comparison, Context, compare};

/// What it is given.
pub type Given = (BTreeMap<Path, (Vec<u8>, bool)>, Vec<Damage>);

/// Drives it.
pub fn run(given: Given) {
    let (files, damage) = given;
    let files: Vec<File> =
        files.into_iter().map(|(path, (body, executable))| File { path, body, executable }).collect();
    let honest = pack(entries(&files), &[]);
    let published = pack(entries(&files), &damage);
    let mine = Archive::read(&id(), &honest).expect("cargo writes it so");
    let Ok(theirs) = Archive::read(&id(), &published) else { return };
    let sums = (Sha256::of(&published), Sha256::of(&honest));
    match compare(&id(), (&theirs, sums.0), (&mine, sums.1), &Context::default()) {
        Comparison::Identical => assert_eq!(published, honest),
        Comparison::SameFiles(account) => {
            let sorted = |bytes: &[u8]| {
                let mut files = plainly(bytes).expect("all of it is accounted for");
                files.sort();
                files
            };
            assert_eq!(sorted(&published), sorted(&honest), "{account:?}");
        }
        Comparison::Differs(differences) => assert!(differences.len() > 0),
    }
}
