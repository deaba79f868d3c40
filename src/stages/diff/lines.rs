//! Two contents of a file, line by line, for people: bounded in time and in length.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::{Deserialize, Serialize};
use similar::{Algorithm, ChangeTag, TextDiff};

use crate::model::foreign::Foreign;
use crate::stages::compare::{Kind, kind_of_change};

/// Past so many lines between the first and the last change two texts are not compared line by line: the time for it grows with
/// the square.
const COMPARED_LINES: usize = 10_000;
/// Past so many lines a text is not taken apart: each takes memory, changed or not.
const TAKEN_APART: usize = 1_000_000;
/// How many lines of a file are shown.
const SHOWN_LINES: usize = 2_000;
/// How many characters of a line are shown.
const SHOWN_CHARACTERS: usize = 1_000;

/// What is left of the work that all files together may cause.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    compared: usize,
    shown: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { compared: 40_000, shown: 20_000 }
    }
}

impl Budget {
    /// As much as a page shows of a package that is one of many.
    #[must_use]
    pub fn of_page() -> Self {
        Self { shown: 300, ..Self::default() }
    }
}

/// What differs between two contents of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// Lines.
    Lines {
        /// The places where they differ.
        hunks: Vec<Hunk>,
        /// After how many lines the rest is left out; none where all is there.
        cut_after: Option<usize>,
    },
    /// It is not text, or too long: what can be said of it.
    NotShown(String),
}

/// A place where two texts differ, with the lines around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hunk {
    /// Which lines of both they are, as unified diffs say it.
    pub header: String,
    /// The first line's number in the first text, from 1.
    pub before: usize,
    /// The same in the second.
    pub after: usize,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A line of a diff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Which of the texts has it.
    pub side: Side,
    /// The line, safe to show.
    pub text: String,
}

/// Which of two texts has a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The first.
    Before,
    /// The second.
    After,
    /// Both.
    Both,
}

/// What differs between two contents, from the first to the second.
#[must_use]
pub fn body(before: &[u8], after: &[u8], budget: &mut Budget) -> Body {
    match (std::str::from_utf8(before), std::str::from_utf8(after)) {
        (Ok(before), Ok(after)) => lines(before, after, budget),
        _ => Body::NotShown(format!("{}: {} and {}", Kind::Bytes, bytes(before.len()), bytes(after.len()))),
    }
}

/// A body as text.
pub fn write_body(out: &mut String, body: &Body, colour: bool) {
    let (hunks, cut_after) = match body {
        Body::Lines { hunks, cut_after } => (hunks, cut_after),
        Body::NotShown(what) => {
            let _ = writeln!(out, "{what}");
            return;
        }
    };
    for hunk in hunks {
        let _ = writeln!(out, "{}", hunk.header);
        for Line { side, text } in &hunk.lines {
            let (sign, style) = match side {
                Side::Before => ('-', Style::new().fg_color(Some(AnsiColor::Red.into()))),
                Side::After => ('+', Style::new().fg_color(Some(AnsiColor::Green.into()))),
                Side::Both => (' ', Style::new()),
            };
            let style = if colour { style } else { Style::new() };
            let _ = writeln!(out, "{style}{sign}{text}{style:#}");
        }
    }
    if let Some(shown) = cut_after {
        let _ = writeln!(out, "{shown} lines were shown; the rest is not");
    }
}

/// How many lines the second content has that the first has not, and the other way round; none where that is not text, or would take
/// too long.
#[must_use]
pub fn count_lines(before: &[u8], after: &[u8], budget: &mut Budget) -> Option<(usize, usize)> {
    let (before, after) = (std::str::from_utf8(before).ok()?, std::str::from_utf8(after).ok()?);
    if before.is_empty() || after.is_empty() {
        return Some((after.lines().count(), before.lines().count()));
    }
    let diff = comparable(before, after, budget).ok()?;
    let count = |tag: ChangeTag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    Some((count(ChangeTag::Insert), count(ChangeTag::Delete)))
}

/// Compares two texts line by line, where that does not take too long; else how many lines lie between the first and the last change.
fn comparable<'a>(before: &'a str, after: &'a str, budget: &mut Budget) -> Result<TextDiff<'a, 'a, str>, usize> {
    let between = lines_between(before, after);
    let is_long = || before.lines().count().max(after.lines().count()) > TAKEN_APART;
    if between > COMPARED_LINES.min(budget.compared) || is_long() {
        return Err(between);
    }
    budget.compared -= between;
    Ok(TextDiff::configure().algorithm(Algorithm::Myers).diff_lines(before, after))
}

fn lines(before: &str, after: &str, budget: &mut Budget) -> Body {
    let diff = match comparable(before, after, budget) {
        Ok(diff) => diff,
        Err(between) => {
            let kind = kind_of_change(after.as_bytes(), before.as_bytes());
            return Body::NotShown(format!(
                "{kind}; not shown line by line: {between} lines between the first and the last change"
            ));
        }
    };
    let (mut hunks, mut shown) = (Vec::new(), 0);
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        let first = hunk.ops().first();
        let mut place = Hunk {
            header: hunk.header().to_string(),
            before: first.map_or(0, |op| op.old_range().start) + 1,
            after: first.map_or(0, |op| op.new_range().start) + 1,
            lines: Vec::new(),
        };
        for change in hunk.iter_changes() {
            if shown == SHOWN_LINES || budget.shown == 0 {
                hunks.push(place);
                return Body::Lines { hunks, cut_after: Some(shown) };
            }
            shown += 1;
            budget.shown -= 1;
            let side = match change.tag() {
                ChangeTag::Delete => Side::Before,
                ChangeTag::Insert => Side::After,
                ChangeTag::Equal => Side::Both,
            };
            place.lines.push(Line { side, text: line(change.value()) });
        }
        hunks.push(place);
    }
    Body::Lines { hunks, cut_after: None }
}

/// How many lines two texts have between the first and the last in which they differ.
fn lines_between(mine: &str, theirs: &str) -> usize {
    let same = |pairs: &mut dyn Iterator<Item = (&str, &str)>| -> usize {
        pairs.take_while(|(a, b)| a == b).map(|(line, _)| line.len()).sum()
    };
    let begin = same(&mut mine.split_inclusive('\n').zip(theirs.split_inclusive('\n')));
    let (mine, theirs) = (&mine[begin..], &theirs[begin..]);
    let end = same(&mut mine.split_inclusive('\n').rev().zip(theirs.split_inclusive('\n').rev()));
    [mine, theirs].map(|text| text[..text.len() - end].split_inclusive('\n').count()).into_iter().sum()
}

/// A line as it can be shown: what can't be seen is, line endings among it.
fn line(text: &str) -> String {
    let whole = text.strip_suffix('\n').unwrap_or(text);
    let Some((cut, _)) = whole.char_indices().nth(SHOWN_CHARACTERS) else {
        let end = if text.ends_with('\n') { "" } else { "  (no end of line)" };
        return format!("{}{end}", Foreign::from(whole));
    };
    format!("{}… and {} more", Foreign::from(&whole[..cut]), bytes(whole.len() - cut))
}

/// A number of bytes, in words.
#[must_use]
pub fn bytes(count: usize) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}
