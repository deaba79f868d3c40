//! What commits hold: their first line, and LFS pointers.

use recrate::contract::git::tree_of_commit;
use recrate::contract::lfs::Pointer;

/// Drives it.
pub fn run(bytes: &[u8]) {
    if let Some(tree) = tree_of_commit(bytes) {
        let line = format!("tree {tree}");
        assert!(bytes.to_ascii_lowercase().starts_with(line.as_bytes()));
    }
    if let Some(pointer) = Pointer::read(bytes) {
        assert_eq!(pointer.text().as_bytes(), bytes, "a pointer is one text alone");
    }
}
