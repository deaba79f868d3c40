//! Two contents of a file, line by line, for people: bounded in time and in length.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
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

/// The lines that differ between two contents, from the first to the second.
pub fn write_content(out: &mut String, before: &[u8], after: &[u8], colour: bool, budget: &mut Budget) {
    match (std::str::from_utf8(before), std::str::from_utf8(after)) {
        (Ok(before), Ok(after)) => write_lines(out, before, after, colour, budget),
        _ => {
            let _ = writeln!(out, "{}: {} and {}", Kind::Bytes, bytes(before.len()), bytes(after.len()));
        }
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

fn write_lines(out: &mut String, mine: &str, theirs: &str, colour: bool, budget: &mut Budget) {
    let diff = match comparable(mine, theirs, budget) {
        Ok(diff) => diff,
        Err(between) => {
            let kind = kind_of_change(theirs.as_bytes(), mine.as_bytes());
            let _ =
                writeln!(out, "{kind}; not shown line by line: {between} lines between the first and the last change");
            return;
        }
    };
    let mut shown = 0;
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        let _ = writeln!(out, "{}", hunk.header());
        for change in hunk.iter_changes() {
            shown += 1;
            if shown > SHOWN_LINES || budget.shown == 0 {
                let _ = writeln!(out, "{} lines were shown; the rest is not", shown - 1);
                return;
            }
            budget.shown -= 1;
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', Style::new().fg_color(Some(AnsiColor::Red.into()))),
                ChangeTag::Insert => ('+', Style::new().fg_color(Some(AnsiColor::Green.into()))),
                ChangeTag::Equal => (' ', Style::new()),
            };
            let style = if colour { style } else { Style::new() };
            let _ = writeln!(out, "{style}{sign}{}{style:#}", line(change.value()));
        }
    }
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
