//! What names a crate: name and version. The modules say `krate` because `crate` is a keyword.

use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Serialize};

/// A crate's name as a registry allows it: ASCII letters, digits, `-` and `_`, at most 64 of them, a letter or `_`
/// first. So it is safe in paths, in addresses and in the names of derivations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CrateName(String);

impl CrateName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where an index keeps a crate: `index/1/a`, `index/2/ab`, `index/3/a/abc`, `index/ab/cd/abcd`, in lower case.
    ///
    /// Not from the index library: that takes no name which is reserved today, and old crates require `alloc`.
    #[must_use]
    pub fn index_path(&self) -> String {
        let name = self.0.to_ascii_lowercase();
        // A crate name is ASCII and not empty.
        match name.len() {
            1 | 2 => format!("index/{}/{name}", name.len()),
            3 => format!("index/3/{}/{name}", &name[..1]),
            _ => format!("index/{}/{}/{name}", &name[..2], &name[2..4]),
        }
    }
}

/// Text that is not a crate name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a crate name")]
pub struct BadName(String);

impl FromStr for CrateName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if first && text.len() <= 64 && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(text.to_owned()))
        }
    }
}

impl TryFrom<String> for CrateName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<CrateName> for String {
    fn from(name: CrateName) -> Self {
        name.0
    }
}

impl fmt::Display for CrateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One version of one crate. Prints as `name@version`, the way cargo takes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrateId {
    /// Its name.
    pub name: CrateName,
    /// Its version, build metadata and all.
    pub version: Version,
}

impl CrateId {
    /// `name-version`: the folder in the archive, and the file's name without its ending.
    #[must_use]
    pub fn stem(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

impl fmt::Display for CrateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// Text that is not `name@version`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form NAME@VERSION, like itoa@1.0.18")]
pub struct BadCrateId(String);

impl FromStr for CrateId {
    type Err = BadCrateId;

    fn from_str(text: &str) -> Result<Self, BadCrateId> {
        text.split_once('@')
            .and_then(|(name, version)| Some(Self { name: name.parse().ok()?, version: version.parse().ok()? }))
            .ok_or_else(|| BadCrateId(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_place_in_an_index() {
        let paths =
            ["a", "ab", "aBc", "Some-Crate", "alloc"].map(|name| name.parse::<CrateName>().unwrap().index_path());
        let expected = ["index/1/a", "index/2/ab", "index/3/a/abc", "index/so/me/some-crate", "index/al/lo/alloc"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn ids_print_as_cargo_takes_them() {
        let id: CrateId = "openssl-src@300.2.3+3.2.1".parse().unwrap();
        assert_eq!(id.to_string(), "openssl-src@300.2.3+3.2.1");
        assert_eq!(id.stem(), "openssl-src-300.2.3+3.2.1");
    }

    #[test]
    fn names_that_could_leave_a_folder_or_look_like_an_option_are_refused() {
        for name in ["", "..", "a/b", "-x", "a b", "é", "0day", &"a".repeat(65)] {
            assert!(name.parse::<CrateName>().is_err(), "{name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<CrateId>();
        }
    }
}
