//! A folder inside a repository.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Text that is not a folder inside a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a folder inside a repository")]
pub struct BadSubPath(String);

/// A folder inside a repository: relative, `/` between the parts, none of them `.`, `..` or `.git`; empty for the
/// root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubPath(String);

impl SubPath {
    /// The folder as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A file in this folder.
    #[must_use]
    pub fn join(&self, name: &str) -> String {
        if self.0.is_empty() { name.to_owned() } else { format!("{}/{name}", self.0) }
    }

    /// The folders above this one, nearest first, the root last; none for the root itself.
    #[must_use]
    pub fn ancestors(&self) -> Vec<Self> {
        let mut ancestors = Vec::new();
        let mut rest = self.0.as_str();
        while !rest.is_empty() {
            rest = rest.rsplit_once('/').map_or("", |(parent, _)| parent);
            ancestors.push(Self(rest.to_owned()));
        }
        ancestors
    }
}

impl fmt::Display for SubPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

impl FromStr for SubPath {
    type Err = BadSubPath;

    fn from_str(text: &str) -> Result<Self, BadSubPath> {
        let bad = || BadSubPath(text.to_owned());
        if text.starts_with('/') || text.chars().any(|c| c.is_control() || c == '\\') || text.len() > 4096 {
            return Err(bad());
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.iter().any(|part| *part == ".." || part.eq_ignore_ascii_case(".git")) {
            return Err(bad());
        }
        Ok(Self(parts.join("/")))
    }
}

impl TryFrom<String> for SubPath {
    type Error = BadSubPath;

    fn try_from(text: String) -> Result<Self, BadSubPath> {
        text.parse()
    }
}

impl From<SubPath> for String {
    fn from(path: SubPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_stay_inside_the_repository() {
        assert_eq!("a//b/./c/".parse::<SubPath>().unwrap().as_str(), "a/b/c");
        for text in ["/a", "a/../b", "..", "a\\b", ".git/x", "a/.GIT"] {
            assert!(text.parse::<SubPath>().is_err(), "{text}");
        }
        let ancestors = "a/b/c".parse::<SubPath>().unwrap().ancestors();
        assert_eq!(ancestors.iter().map(SubPath::as_str).collect::<Vec<_>>(), ["a/b", "a", ""]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<SubPath>();
        }
    }
}
