//! Rust releases, by their minor number: what decides how a cargo packages.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The `N` of Rust `1.N`. cargo `0.(N+1)` ships in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minor(pub u32);

impl Minor {
    /// Reads the minor number out of `1.N…`.
    #[must_use]
    pub fn of_release(release: &str) -> Option<Self> {
        let mut parts = release.split(['.', '-', ' ', '+']);
        (parts.next() == Some("1")).then_some(())?;
        parts.next()?.parse().ok().map(Self)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// A range of releases, both ends included; open above where `last` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first release of the range.
    pub first: Minor,
    /// The last; none where no release is known to be too new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Minor>,
}

impl Span {
    /// Every release.
    pub const ALL: Self = Self { first: Minor(0), last: None };

    /// From `first` on.
    #[must_use]
    pub const fn from(first: u32) -> Self {
        Self { first: Minor(first), last: None }
    }

    /// Up to `last`.
    #[must_use]
    pub const fn until(last: u32) -> Self {
        Self { first: Minor(0), last: Some(Minor(last)) }
    }

    /// From `first` to `last`.
    #[must_use]
    pub const fn between(first: u32, last: u32) -> Self {
        Self { first: Minor(first), last: Some(Minor(last)) }
    }

    /// The releases that are in both; none where there is none.
    #[must_use]
    pub fn and(self, other: Self) -> Option<Self> {
        let first = self.first.max(other.first);
        let last = match (self.last, other.last) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        last.is_none_or(|last| first <= last).then_some(Self { first, last })
    }

    /// Whether a release is in the range.
    #[must_use]
    pub fn contains(self, minor: Minor) -> bool {
        self.first <= minor && self.last.is_none_or(|last| minor <= last)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) if last == self.first => write!(f, "{last}"),
            Some(last) if self.first == Minor(0) => write!(f, "{last} or older"),
            Some(last) => write!(f, "{} to {last}", self.first),
            None if self.first == Minor(0) => f.write_str("any release"),
            None => write!(f, "{} or newer", self.first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minors_are_read_from_every_way_a_release_is_written() {
        assert_eq!(Minor::of_release("1.95.0"), Some(Minor(95)));
        assert_eq!(Minor::of_release("1.97.0-nightly (abc 2026-01-01)"), Some(Minor(97)));
        assert_eq!(Minor::of_release("0.86.0"), None);
        assert_eq!(Minor::of_release(""), None);
    }

    #[test]
    fn ranges_meet_or_do_not() {
        assert_eq!(Span::from(57).and(Span::until(87)), Some(Span::between(57, 87)));
        assert_eq!(Span::from(88).and(Span::until(87)), None);
        assert_eq!(Span::ALL.and(Span::from(3)), Some(Span::from(3)));
        assert_eq!(Span::between(55, 56).to_string(), "1.55 to 1.56");
    }
}
