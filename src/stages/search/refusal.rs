//! Why cargo refused, read in its own words.

use std::collections::BTreeSet;

use crate::contract::status::Outcome;
use crate::model::krate::CrateName;

/// Why cargo refused, as far as its words show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The index slice lacks crates.
    MissingCrates(BTreeSet<CrateName>),
    /// No version in the slice will do: one may have been yanked, or the lock file was made from another index.
    NoVersion,
    /// Something else.
    Other,
}

/// cargo's words for what an index slice can lack, from 1.46 to 1.97.
const NO_CRATE: [&str; 2] = ["no matching package named `", "no matching package found\nsearched package name: `"];
/// cargo's words for versions that can't be had.
const NO_VERSION: [&str; 4] =
    ["failed to select a version for", "is yanked", "candidate versions found which didn't match", "checksum for `"];

impl Refusal {
    /// Why there is no crate; none where there is one.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Packaged { .. } => None,
            Outcome::Refused { message, .. } => Some(Self::read(message)),
            Outcome::Undecided { lacks, .. } => Some(Self::MissingCrates(lacks.iter().cloned().collect())),
            Outcome::LinkLeavesTree { .. }
            | Outcome::NotOfCommit { .. }
            | Outcome::OwnSources { .. }
            | Outcome::LeadsOut { .. }
            | Outcome::NoPackage { .. } => Some(Self::Other),
        }
    }

    /// Reads cargo's words.
    #[must_use]
    pub fn read(message: &str) -> Self {
        let missing = NO_CRATE.iter().find_map(|words| {
            let rest = &message[message.find(words)? + words.len()..];
            rest.split('`').next()?.parse().ok()
        });
        if let Some(name) = missing.or_else(|| lacking_file(message)) {
            return Self::MissingCrates(BTreeSet::from([name]));
        }
        if NO_VERSION.iter().any(|words| message.contains(words)) { Self::NoVersion } else { Self::Other }
    }
}

/// The system's words for a file that is not there, and for a folder in its place.
const UNREAD: [&str; 2] = ["No such file", "Is a directory"];

/// The crate whose file a local registry lacks, where a cargo says only that: from 1.57 to 1.61 at least of one that is not there,
/// and all but old ones of a folder in its place, which the builder puts there.
fn lacking_file(message: &str) -> Option<CrateName> {
    let (_, rest) = message.split_once("failed to read `")?;
    let (path, rest) = rest.split_once('`')?;
    let found = path.contains("/index/")
        && rest.trim_start().starts_with("Caused by:")
        && UNREAD.iter().any(|words| rest.contains(words));
    path.rsplit_once('/').filter(|_| found)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_words_for_what_a_slice_lacks_are_known() {
        for words in [
            "error: no matching package named `foo-bar` found\nlocation searched: registry `crates-io`",
            "no matching package found\nsearched package name: `foo-bar`\nperhaps you meant: x",
        ] {
            assert_eq!(Refusal::read(words), Refusal::MissingCrates(["foo-bar".parse().unwrap()].into()));
        }
        let file = "failed to read `/nix/store/x-index-slice/index/un/ic/unicode-ident`\n\nCaused by:\n  No such file or directory (os error 2)";
        assert_eq!(Refusal::read(file), Refusal::MissingCrates(["unicode-ident".parse().unwrap()].into()));
        assert_eq!(Refusal::read(&file.replace("/index/", "/worktree/")), Refusal::Other);
        assert_eq!(Refusal::read("error: failed to select a version for `x`."), Refusal::NoVersion);
        assert_eq!(Refusal::read("error: license-file missing"), Refusal::Other);
    }
}
