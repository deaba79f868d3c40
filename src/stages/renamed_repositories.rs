//! *Renamed repositories*: those that have another address today. Code hosts redirect most of them; mirrors do not.

use serde::{Deserialize, Serialize};

use crate::model::repository::RepositoryUrl;

/// A repository that has another address today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renamed {
    /// The address that crates name.
    pub from: RepositoryUrl,
    /// The address today.
    pub to: RepositoryUrl,
}

/// The renamed repositories that recrate knows, after those that the verifier's configuration names.
///
/// # Panics
/// Never: a test holds the table to be canonical.
#[must_use]
pub fn with_known(mut own: Vec<Renamed>) -> Vec<Renamed> {
    let parse = |address: &str| address.parse().expect("the table is canonical");
    own.extend(KNOWN.map(|(from, to)| Renamed { from: parse(from), to: parse(to) }));
    own
}

/// Where repositories were, and where they are: as older and newer versions of the same crates name them.
const KNOWN: [(&str, &str); 14] = [
    ("https://github.com/Byron/gitoxide", "https://github.com/GitoxideLabs/gitoxide"),
    ("https://github.com/Kimundi/rustc-version-rs", "https://github.com/djc/rustc-version-rs"),
    ("https://github.com/alexcrichton/cc-rs", "https://github.com/rust-lang/cc-rs"),
    ("https://github.com/alexcrichton/flate2-rs", "https://github.com/rust-lang/flate2-rs"),
    ("https://github.com/alexcrichton/tar-rs", "https://github.com/composefs/tar-rs"),
    ("https://github.com/bytecodealliance/wasi", "https://github.com/bytecodealliance/wasi-rs"),
    ("https://github.com/cuviper/equivalent", "https://github.com/indexmap-rs/equivalent"),
    ("https://github.com/dguo/strsim-rs", "https://github.com/rapidfuzz/strsim-rs"),
    ("https://github.com/rust-lang-nursery/rustc-hash", "https://github.com/rust-lang/rustc-hash"),
    ("https://github.com/rustwasm/wasm-bindgen", "https://github.com/wasm-bindgen/wasm-bindgen"),
    ("https://github.com/starkat99/widestring-rs", "https://github.com/VoidStarKat/widestring-rs"),
    ("https://github.com/stjepang/async-lock", "https://github.com/smol-rs/async-lock"),
    ("https://github.com/svartalf/hostname", "https://github.com/djc/hostname"),
    ("https://github.com/tailhook/resolv-conf", "https://github.com/hickory-dns/resolv-conf"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_canonical() {
        for (from, to) in KNOWN {
            for address in [from, to] {
                assert_eq!(address.parse::<RepositoryUrl>().unwrap().as_str(), address);
            }
        }
        assert!(KNOWN.is_sorted());
    }
}
