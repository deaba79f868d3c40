//! Text of strangers: paths, branch names, manifests, messages of cargo, git and servers.
//!
//! It has one way to people, its [`Display`](fmt::Display), and that one is safe: what can't be seen, moves the cursor, turns the
//! direction of writing, ends a line or is a command to a CI system is shown as its code point.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// A text that a stranger wrote, or that has such a text in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Foreign(String);

impl Foreign {
    /// The text as it is: for comparing and for machines, never for people.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// Its lines, each of them safe to show on a line of its own.
    pub fn lines(&self) -> impl Iterator<Item = Self> {
        self.0.lines().map(Self::from)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Texts one after another, as one.
#[must_use]
pub fn join<'a>(texts: impl IntoIterator<Item = &'a Foreign>, between: &str) -> Foreign {
    Foreign(texts.into_iter().map(Foreign::raw).collect::<Vec<_>>().join(between))
}

impl From<String> for Foreign {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Foreign {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&Self> for Foreign {
    fn from(text: &Self) -> Self {
        text.clone()
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::with_capacity(self.0.len());
        show(&self.0, &mut shown);
        f.pad(&shown)
    }
}

/// The marks by which CI systems know a command in what a job prints: `::` where a line begins, and these anywhere.
const COMMANDS: [&str; 2] = ["##[", "##vso["];

fn show(text: &str, shown: &mut String) {
    let indented = text.len() - text.trim_start().len();
    for (at, c) in text.char_indices() {
        let command = (at == indented && text[at..].starts_with("::"))
            || (c == '#' && COMMANDS.iter().any(|command| text[at..].starts_with(command)));
        // Rust's own list of what can be printed has neither control characters nor those without a width or with a
        // direction. It escapes quotes and backslashes, too: they do no harm here.
        let plain = matches!(c, '\t' | '\'' | '"' | '\\');
        // Writing to a String never fails.
        let _ = if command {
            write!(shown, "{}", c.escape_unicode())
        } else if plain {
            shown.write_char(c)
        } else {
            write!(shown, "{}", c.escape_debug())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Foreign::from(text).to_string()
    }

    #[test]
    fn what_people_write_is_shown_as_it_is() {
        for text in ["src/lib.rs", "a \"b\" 'c' \\d", "größer, 日本語, Привет", "## Heading", "std::fmt", "\tx"]
        {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn what_steers_hides_or_ends_a_line_is_shown_by_its_code() {
        for (text, safe) in [
            ("a\nb", "a\\nb"),
            ("a\r\x1b[31m\x07", "a\\r\\u{1b}[31m\\u{7}"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
            ("a\u{200b}\u{feff}\u{ad}", "a\\u{200b}\\u{feff}\\u{ad}"),
            ("a\u{2028}\u{85}\u{a0}", "a\\u{2028}\\u{85}\\u{a0}"),
            ("e\u{301}", "e\\u{301}"),
            ("\u{e0041}\u{e000}", "\\u{e0041}\\u{e000}"),
            ("::error::owned", "\\u{3a}:error::owned"),
            ("  ::error::owned", "  \\u{3a}:error::owned"),
            ("x ##[error]owned ##vso[task]", "x \\u{23}#[error]owned \\u{23}#vso[task]"),
        ] {
            assert_eq!(shown(text), safe, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_text_stays_on_its_line_and_showing_twice_changes_nothing(text: String) {
            let once = shown(&text);
            assert!(once.chars().all(|c| c == '\t' || !c.is_control()), "{once:?}");
            assert!(!once.trim_start().starts_with("::"));
            assert_eq!(shown(&once), once);
        }
    }
}
