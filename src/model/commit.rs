//! A git commit's id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A git commit's id: 20 bytes, written as 40 hex digits. No branch and no tag fits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(pub [u8; 20]);

impl CommitId {
    /// The first ten digits, for people.
    #[must_use]
    pub fn short(self) -> String {
        hex::encode(&self.0[..5])
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitId({self})")
    }
}

/// Text that is not a commit id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCommitId {
    /// Not 40 hex digits.
    #[error("`{0}` is not a git commit id")]
    Malformed(String),
    /// 64 hex digits.
    #[error("`{0}` is an id of a SHA-256 repository; recrate supports SHA-1 repositories only")]
    Sha256(String),
}

impl FromStr for CommitId {
    type Err = BadCommitId;

    fn from_str(text: &str) -> Result<Self, BadCommitId> {
        let mut bytes = [0; 20];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) if text.len() == 64 && hex::decode(text).is_ok() => Err(BadCommitId::Sha256(text.to_owned())),
            Err(_) => Err(BadCommitId::Malformed(text.to_owned())),
        }
    }
}

impl TryFrom<String> for CommitId {
    type Error = BadCommitId;

    fn try_from(text: String) -> Result<Self, BadCommitId> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forty_hex_digits_are_an_id() {
        assert!("a".repeat(40).parse::<CommitId>().is_ok());
        for bad in ["a".repeat(39), "g".repeat(40), "é".repeat(20), "+1".repeat(20), "HEAD".to_owned()] {
            assert!(matches!(bad.parse::<CommitId>(), Err(BadCommitId::Malformed(_))), "{bad}");
        }
        assert!(matches!("a".repeat(64).parse::<CommitId>(), Err(BadCommitId::Sha256(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<CommitId>();
        }
    }
}
