//! In which orders the cargos of each era write the entries of a crate.

use std::collections::BTreeSet;

use crate::stages::artefact::{LOCK, MANIFEST, ORIGINAL_MANIFEST, VCS_INFO};

/// An order of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// That in which the rebuilding cargo wrote them.
    AsRebuilt,
    /// By path, part by part: from 1.43 on.
    Parts,
    /// That of git's index, up to 1.42.
    Index,
    /// That of git's index where file names ignore case, up to 1.42.
    IndexIgnoringCase,
}

impl Order {
    /// The order in which a crate's paths stand, the rebuilt crate's first of all; none where no cargo writes them so.
    #[must_use]
    pub fn of(published: &[&str], rebuilt: &[&str]) -> Option<Self> {
        if is_order_of(published, rebuilt) {
            return Some(Self::AsRebuilt);
        }
        [
            (Self::Parts, published.is_sorted_by(|a, b| a.split('/').le(b.split('/')))),
            (Self::Index, published.is_sorted_by_key(|path| old_place(path, str::to_owned))),
            (Self::IndexIgnoringCase, published.is_sorted_by_key(|path| old_place(path, str::to_ascii_lowercase))),
        ]
        .into_iter()
        .find_map(|(order, holds)| holds.then_some(order))
    }
}

/// Whether the paths that both have stand in the same order.
fn is_order_of(published: &[&str], rebuilt: &[&str]) -> bool {
    let (theirs, mine): (BTreeSet<_>, BTreeSet<_>) = (published.iter().collect(), rebuilt.iter().collect());
    let common = |path: &&&str| theirs.contains(path) && mine.contains(path);
    published.iter().filter(common).eq(rebuilt.iter().filter(common))
}

/// Where old cargos put a path: the original manifest right before the normalised one, vcs info and lock file last.
fn old_place(path: &str, spelled: fn(&str) -> String) -> (u8, String, u8) {
    match path {
        VCS_INFO => (1, String::new(), 0),
        LOCK => (2, String::new(), 0),
        ORIGINAL_MANIFEST => (0, spelled(MANIFEST), 0),
        _ => (0, spelled(path), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODERN: [&str; 6] = [VCS_INFO, LOCK, MANIFEST, ORIGINAL_MANIFEST, "README.md", "src/lib.rs"];

    #[test]
    fn every_order_that_a_cargo_writes_is_known() {
        assert_eq!(Order::of(&MODERN, &MODERN), Some(Order::AsRebuilt));
        let old = [ORIGINAL_MANIFEST, MANIFEST, "README.md", "src/lib.rs", VCS_INFO, LOCK];
        assert_eq!(Order::of(&old, &MODERN), Some(Order::Index));
        assert_eq!(Order::of(&MODERN, &old), Some(Order::Parts));
        let (lower, modern) = (["a", ORIGINAL_MANIFEST, MANIFEST, "d"], [MANIFEST, ORIGINAL_MANIFEST, "a", "d"]);
        assert_eq!(Order::of(&lower, &modern), Some(Order::IndexIgnoringCase));
    }

    #[test]
    fn other_orders_have_none() {
        let mut shuffled = MODERN;
        shuffled.swap(1, 4);
        assert_eq!(Order::of(&shuffled, &MODERN), None);
    }

    #[test]
    fn folders_stand_where_their_cargo_puts_them() {
        // Byte by byte a folder's slash stands after a hyphen and a point; part by part its name alone counts.
        assert_eq!(Order::of(&["a-b", "a.b", "a/b"], &["a/b", "a-b", "a.b"]), Some(Order::Index));
        assert_eq!(Order::of(&["a/b", "a-b", "a.b"], &["a.b", "a-b", "a/b"]), Some(Order::Parts));
    }
}
