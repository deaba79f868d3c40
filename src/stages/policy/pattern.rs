//! Patterns for names of crates.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::krate::CrateName;

/// A name, in which `*` stands for any letters: `windows*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// Text that is no pattern for names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a crate's name, or a pattern for names with `*` in it")]
pub struct BadPattern(String);

impl Pattern {
    /// Whether a name is one of these.
    #[must_use]
    pub fn fits(&self, name: &CrateName) -> bool {
        fits(self.0.as_bytes(), name.as_str().as_bytes())
    }

    /// Whether every name is one of these.
    #[must_use]
    pub fn fits_all(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }
}

/// Each `*` takes as little as it can: where that is too little, the last one takes more.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut last: Option<(usize, usize)> = None;
    while in_name < name.len() {
        if pattern.get(at) == Some(&b'*') {
            last = Some((at, in_name));
            at += 1;
        } else if pattern.get(at) == Some(&name[in_name]) {
            (at, in_name) = (at + 1, in_name + 1);
        } else if let Some((star, begun)) = last {
            last = Some((star, begun + 1));
            (at, in_name) = (star + 1, begun + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte);
        if text.is_empty() || !text.bytes().all(legal) {
            return Err(BadPattern(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Self, BadPattern> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_is_any_letters() {
        let fits = |text: &str, name: &str| pattern(text).fits(&name.parse().unwrap());
        for (text, name) in [
            ("serde", "serde"),
            ("serde*", "serde"),
            ("serde*", "serde_json"),
            ("*-sys", "a-sys-sys"),
            ("*a*b*", "xxaxb"),
        ] {
            assert!(fits(text, name), "{text} {name}");
        }
        for (text, name) in [("serde", "serde_json"), ("serde*", "a-serde"), ("*-sys", "a-sys-b"), ("a*a", "a")] {
            assert!(!fits(text, name), "{text} {name}");
        }
        assert!(pattern("**").fits_all() && !pattern("*a").fits_all());
        for bad in ["", "a b", "[ab]", "a?"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_a_star_takes_does_not_matter(before in "[a-z]{1,6}", between in "[a-z_-]{0,8}", after in "[a-z]{0,6}") {
            let name = format!("{before}{between}{after}").parse().unwrap();
            let text = format!("{before}*{after}");
            prop_assert!(pattern(&text).fits(&name));
        }
    }
}
