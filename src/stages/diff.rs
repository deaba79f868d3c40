//! *Difference*: a published crate against its rebuild, line by line, for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use similar::{ChangeTag, TextDiff};

use super::artefact::{Archive, Entry};
use super::compare::Kind;
use super::escape::visible;

/// The differences file by file, as a diff from git to what was published; where every file is the same, those of the
/// archive. Control characters are shown escaped: a crate must not steer the terminal.
#[must_use]
pub fn differences(published: &Archive, rebuilt: &Archive, colour: bool) -> String {
    let mut out = String::new();
    let paths: BTreeSet<&str> =
        published.entries.iter().chain(&rebuilt.entries).map(|entry| entry.path.as_str()).collect();
    let mut same = true;
    for path in paths {
        let (theirs, mine) = (published.file(path), rebuilt.file(path));
        if theirs == mine {
            continue;
        }
        same = false;
        let _ = writeln!(out, "--- from git   {0}\n+++ published  {0}", visible(path));
        let text = |bytes: Option<&[u8]>| std::str::from_utf8(bytes.unwrap_or_default()).map(str::to_owned);
        match (text(mine), text(theirs)) {
            (Ok(mine), Ok(theirs)) => write_lines(&mut out, &mine, &theirs, colour),
            _ => {
                let _ = writeln!(out, "{}", Kind::Bytes);
            }
        }
    }
    if same {
        out.push_str("every file is the same; the container differs:\n");
        write_headers(&mut out, published, rebuilt);
    }
    out
}

fn write_lines(out: &mut String, mine: &str, theirs: &str, colour: bool) {
    let diff = TextDiff::from_lines(mine, theirs);
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        let _ = writeln!(out, "{}", hunk.header());
        for change in hunk.iter_changes() {
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', Style::new().fg_color(Some(AnsiColor::Red.into()))),
                ChangeTag::Insert => ('+', Style::new().fg_color(Some(AnsiColor::Green.into()))),
                ChangeTag::Equal => (' ', Style::new()),
            };
            // What can't be seen is shown: line endings and other control characters.
            let line = visible(change.value().trim_end_matches('\n'));
            let style = if colour { style } else { Style::new() };
            let _ = writeln!(out, "{style}{sign}{line}{style:#}");
        }
    }
}

fn write_headers(out: &mut String, published: &Archive, rebuilt: &Archive) {
    for (theirs, mine) in published.entries.iter().zip(&rebuilt.entries) {
        if published.tar[theirs.header.clone()] != rebuilt.tar[mine.header.clone()] || theirs.path != mine.path {
            let header = |entry: &Entry| {
                let time = entry.mtime.map_or("none".to_owned(), |time| time.to_string());
                format!("{} mode {:o} time {time}", visible(&entry.path), entry.mode)
            };
            let _ = writeln!(out, "  rebuilt    {}\n  published  {}", header(mine), header(theirs));
        }
    }
    if published.tar == rebuilt.tar {
        out.push_str("  the tar is the same; the compression differs\n");
    }
}
