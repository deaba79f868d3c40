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

/// The first `limit` characters of a text; what is left out is told by `…`.
#[must_use]
pub fn brief(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Texts one after another, as one.
#[must_use]
pub fn join<'a>(texts: impl IntoIterator<Item = &'a Foreign>, between: &str) -> Foreign {
    Foreign(texts.into_iter().map(Foreign::raw).collect::<Vec<_>>().join(between))
}

/// JSON with strangers' text in it, made safe to print: the same JSON, with what can't be seen or is a command to a CI system
/// written as escapes. Such characters stand in strings only.
#[must_use]
pub fn in_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    let mut units = [0; 2];
    for (at, c) in json.char_indices() {
        let seen = c.is_ascii() && c != '\u{7f}' || (c.escape_debug().count() == 1 && !BLANK.contains(&c));
        if seen && !json[at..].starts_with(COMMAND) {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
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

/// The mark by which CI systems know a command anywhere in what a job prints, where a letter or a bracket follows; they know
/// `::`, too, where a line begins.
const COMMAND: &str = "##";

/// Letters that are blank, though they count as ones that can be seen.
const BLANK: [char; 6] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}', '\u{1d159}'];

/// How many bytes of a text are shown.
const LIMIT: usize = 8_000;

fn show(text: &str, shown: &mut String) {
    let end = if text.len() > LIMIT { text.floor_char_boundary(LIMIT) } else { text.len() };
    show_all(&text[..end], shown);
    if end < text.len() {
        let _ = write!(shown, "… and {} bytes more", text.len() - end);
    }
}

fn show_all(text: &str, shown: &mut String) {
    let indented = text.len() - text.trim_start().len();
    for (at, c) in text.char_indices() {
        let command = (at == indented && text[at..].starts_with("::"))
            || text[at..]
                .strip_prefix(COMMAND)
                .is_some_and(|rest| rest.starts_with(|c: char| c == '[' || c.is_alphabetic()))
            || BLANK.contains(&c);
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
            ("##teamcity[x]", "\\u{23}#teamcity[x]"),
            ("\u{3164}", "\\u{3164}"),
        ] {
            assert_eq!(shown(text), safe, "{text:?}");
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let text = "##[error] \u{202e}\u{9b}\u{1d159} größer\n\"";
        let json = serde_json::to_string(text).unwrap();
        let safe = in_json(&json);
        assert_eq!(safe, r##""\u0023#[error] \u202e\u009b\ud834\udd59 größer\n\"""##);
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
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
