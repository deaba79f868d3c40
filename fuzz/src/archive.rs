//! Any bytes as a crate: they are read or refused, and compared with themselves they are the same.

use super::crates::{id, plainly};
use recrate::model::digest::Sha256;
use recrate::stages::artefact::{Archive, UNPACKED_LIMIT};
use recrate::stages::compare::{Comparison, Context, compare};
use recrate::stages::container::Form;

/// Drives it.
pub fn run(bytes: &[u8]) {
    let Ok(archive) = Archive::read(&id(), bytes) else { return };
    assert!(archive.tar.len() as u64 <= UNPACKED_LIMIT);
    let sum = Sha256::of(bytes);
    assert_eq!(compare(&id(), (&archive, sum), (&archive, sum), &Context::default()), Comparison::Identical);
    // What is accounted for is what the plainest reader sees.
    if Form::of(&id(), &archive, &archive).is_ok() {
        let plain = plainly(bytes).expect("all of it is accounted for");
        let read: Vec<_> = archive
            .entries
            .iter()
            .map(|entry| (format!("a-1.0.0/{}", entry.path), archive.body(entry).to_vec()))
            .collect();
        assert_eq!(plain, read);
    }
}
