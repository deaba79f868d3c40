//! *Difference*: a published crate against its rebuild, entry by entry and line by line, for people.
//!
//! All of it is shown, repeated entries and what lies outside of entries included; where something is too long to be compared line
//! by line, that is said in its place. The same crates give the same text.

pub mod lines;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lines::{Budget, bytes, write_content};

use super::artefact::{Archive, Entry, LARGE};
use super::compare::Kind;
use super::container::Form;
use super::findings::Contents;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;

/// The differences, as a diff from git to what was published; `contents` is what the comparison found.
#[must_use]
pub fn differences(id: &CrateId, published: &Archive, rebuilt: &Archive, contents: &Contents, colour: bool) -> String {
    let mut out = String::new();
    let mut budget = Budget::default();
    let mut mine: BTreeMap<_, _> =
        rebuilt.by_path().into_iter().map(|(path, entries)| (path, entries.into_iter())).collect();
    let mut pairs: Vec<(Option<&Entry>, Option<&Entry>)> = Vec::new();
    for theirs in &published.entries {
        pairs.push((Some(theirs), mine.get_mut(theirs.path.as_str()).and_then(Iterator::next)));
    }
    let left = mine.into_values().flatten();
    pairs.extend(left.map(|own| (None, Some(own))));
    for (theirs, own) in pairs {
        let size = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.body.len());
        if size(theirs).max(size(own)) > LARGE {
            let is_same = theirs.zip(own).is_some_and(|(a, b)| published.same_body(a, rebuilt, b));
            if !is_same {
                write_large(&mut out, theirs, own);
            }
            continue;
        }
        let [a, b] =
            [(published, theirs), (rebuilt, own)].map(|(archive, entry)| entry.map(|entry| archive.body(entry)));
        if a != b {
            write_file(&mut out, theirs.or(own), (b.as_deref(), a.as_deref()), colour, &mut budget);
        }
    }
    let mut container = String::new();
    write_container(&mut container, id, published, rebuilt);
    if matches!(contents, Contents::SameContents { .. } | Contents::CompressorUnknown { .. }) {
        out.push_str("every file is the same; the container differs:\n");
    } else if !container.is_empty() {
        out.push_str("the container:\n");
    }
    out.push_str(&container);
    out
}

fn write_names(out: &mut String, path: Option<&str>, mine: bool, theirs: bool) {
    let path = path.map(Foreign::from).unwrap_or_default();
    let side = |there: bool| if there { path.clone() } else { Foreign::from("(none)") };
    let _ = writeln!(out, "--- from git   {}\n+++ published  {}", side(mine), side(theirs));
}

/// A file that differs and is too large to be looked at.
fn write_large(out: &mut String, theirs: Option<&Entry>, own: Option<&Entry>) {
    let path = theirs.or(own).map(|entry| entry.path.as_str());
    write_names(out, path, own.is_some(), theirs.is_some());
    let size = |entry: Option<&Entry>| bytes(entry.map_or(0, |entry| entry.body.len()));
    let _ = writeln!(out, "{}: {} and {}; not shown line by line", Kind::Bytes, size(own), size(theirs));
}

/// A file that is not the same on both sides, from git's to the published one; none where a side does not have it.
fn write_file(
    out: &mut String,
    entry: Option<&Entry>,
    (mine, theirs): (Option<&[u8]>, Option<&[u8]>),
    colour: bool,
    budget: &mut Budget,
) {
    write_names(out, entry.map(|entry| entry.path.as_str()), mine.is_some(), theirs.is_some());
    write_content(out, mine.unwrap_or_default(), theirs.unwrap_or_default(), colour, budget);
}

/// Everything besides the files' contents.
fn write_container(out: &mut String, id: &CrateId, published: &Archive, rebuilt: &Archive) {
    if let Err(leftovers) = Form::of(id, published, rebuilt) {
        for leftover in leftovers.iter() {
            let _ = match &leftover.path {
                Some(path) => {
                    writeln!(out, "  not accounted for: {} of {}", leftover.what, Foreign::from(path.as_str()))
                }
                None => writeln!(out, "  not accounted for: {}", leftover.what),
            };
        }
    }
    let paths = |archive: &Archive| archive.entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
    if paths(published) != paths(rebuilt) {
        write_entries(out, "from git", rebuilt);
        write_entries(out, "published", published);
    } else {
        for (theirs, mine) in published.entries.iter().zip(&rebuilt.entries) {
            if head(published, theirs) != head(rebuilt, mine) {
                let _ = writeln!(
                    out,
                    "  from git   {}\n  published  {}",
                    describe(rebuilt, mine),
                    describe(published, theirs)
                );
            }
        }
    }
    if published.gzip.bytes != rebuilt.gzip.bytes {
        let hex = |archive: &Archive| hex::encode(&archive.gzip.bytes);
        let _ = writeln!(out, "  gzip header from git   {}\n  gzip header published  {}", hex(rebuilt), hex(published));
    }
    if published.trailing > 0 {
        let _ = writeln!(out, "  {} after the published gzip stream", bytes(published.trailing));
    }
    if published.tar == rebuilt.tar && published.deflated != rebuilt.deflated {
        out.push_str("  the tar is the same; the compression differs\n");
    }
}

/// All entries, in order.
fn write_entries(out: &mut String, side: &str, archive: &Archive) {
    let _ = writeln!(out, "  entries {side}:");
    for entry in &archive.entries {
        let _ = writeln!(out, "    - {}", describe(archive, entry));
    }
}

/// All header blocks of an entry, its size and the checksum aside: what they are about was told.
fn head(archive: &Archive, entry: &Entry) -> Vec<u8> {
    let mut head = archive.tar.get(entry.start..entry.header.end).into_owned();
    let own = head.len() - 512;
    head[own + 124..own + 136].fill(0);
    head[own + 148..own + 156].fill(0);
    head
}

fn describe(archive: &Archive, entry: &Entry) -> String {
    let time = entry.mtime.map_or("none".to_owned(), |time| time.to_string());
    let header = archive.header(entry);
    let number = |value: std::io::Result<u64>| value.map_or("none".to_owned(), |value| value.to_string());
    let (owner, group) = (number(header.uid()), number(header.gid()));
    let path = Foreign::from(entry.path.as_str());
    format!("{path}: {}, mode {:o}, time {time}, owner {owner}, group {group}", bytes(entry.body.len()), entry.mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::artefact::tests::{id, pack};

    type Files<'a> = [(&'a str, &'a [u8], u32)];

    fn shown(published: &Files<'_>, rebuilt: &Files<'_>) -> String {
        let read = |files| Archive::read(&id(), &pack(&id(), files)).unwrap();
        differences(&id(), &read(published), &read(rebuilt), &Contents::NotCompared, false)
    }

    #[test]
    fn an_entry_that_stands_twice_is_shown_and_the_files_are_not_called_the_same() {
        let rebuilt: &Files<'_> = &[("src/LIB.rs", b"a\n", 0o644), ("src/lib.rs", b"b\n", 0o644)];
        let published: &Files<'_> = &[rebuilt[0], rebuilt[1], ("src/lib.rs", b"evil\n", 0o644)];
        insta::assert_snapshot!(shown(published, rebuilt), @"
        --- from git   (none)
        +++ published  src/lib.rs
        @@ -0,0 +1 @@
        +evil
        the container:
          entries from git:
            - src/LIB.rs: 2 bytes, mode 644, time 1153704088, owner 0, group 0
            - src/lib.rs: 2 bytes, mode 644, time 1153704088, owner 0, group 0
          entries published:
            - src/LIB.rs: 2 bytes, mode 644, time 1153704088, owner 0, group 0
            - src/lib.rs: 2 bytes, mode 644, time 1153704088, owner 0, group 0
            - src/lib.rs: 5 bytes, mode 644, time 1153704088, owner 0, group 0
        ");
    }

    #[test]
    fn modes_missing_ends_of_lines_and_what_steers_a_terminal_are_shown() {
        let rebuilt: &Files<'_> = &[("a", b"one\ntwo\n", 0o644)];
        insta::assert_snapshot!(shown(&[("a", b"one\n\x1b[31mtw\xe2\x80\xaeo", 0o755)], rebuilt), @r"
        --- from git   a
        +++ published  a
        @@ -1,2 +1,2 @@
         one
        -two
        +\u{1b}[31mtw\u{202e}o  (no end of line)
        the container:
          from git   a: 8 bytes, mode 644, time 1153704088, owner 0, group 0
          published  a: 15 bytes, mode 755, time 1153704088, owner 0, group 0
        ");
    }

    #[test]
    fn what_is_long_is_bounded() {
        let lines =
            |odd: bool| (0..400_000).map(|n| if (n % 2 == 0) == odd { "a\n" } else { "b\n" }).collect::<String>();
        let (a, b) = (lines(true), lines(false));
        let text = shown(&[("a", a.as_bytes(), 0o644)], &[("a", b.as_bytes(), 0o644)]);
        assert!(text.contains("not shown line by line: 800000 lines"), "{text}");
        let wide = "x".repeat(1 << 20);
        let text = shown(&[("a", wide.as_bytes(), 0o644)], &[("a", b"", 0o644)]);
        assert!(text.len() < 3_000 && text.contains("… and 1047576 bytes more"), "{text}");
    }
}
