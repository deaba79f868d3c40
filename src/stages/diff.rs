//! *Difference*: a published crate against its rebuild, entry by entry and line by line, for people.
//!
//! All of it is shown, repeated entries and what lies outside of entries included; where something is too long to be compared line
//! by line, that is said in its place. The same crates give the same text.

pub mod lines;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lines::{Body, Budget, body, bytes, write_body};
use serde::{Deserialize, Serialize};

use super::artefact::{Archive, Entry, LARGE};
use super::compare::Kind;
use super::container::Form;
use super::findings::Contents;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;

/// How a published crate and its rebuild differ, from git to what was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// The files that differ: the published ones in their order, then those that only git has.
    pub files: Vec<FileDiff>,
    /// Whether the comparison found every file to be the same.
    pub same_files: bool,
    /// How the container differs, line by line.
    pub container: Vec<String>,
}

/// A file that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiff {
    /// Its path.
    pub path: Foreign,
    /// Whether git has it.
    pub in_git: bool,
    /// Whether the published crate has it.
    pub in_published: bool,
    /// What differs in it.
    pub body: Body,
}

/// How two crates differ; `contents` is what the comparison found, `budget` how much is shown.
#[must_use]
pub fn diff(id: &CrateId, published: &Archive, rebuilt: &Archive, contents: &Contents, mut budget: Budget) -> Diff {
    let mut mine: BTreeMap<_, _> =
        rebuilt.by_path().into_iter().map(|(path, entries)| (path, entries.into_iter())).collect();
    let mut pairs: Vec<(Option<&Entry>, Option<&Entry>)> = Vec::new();
    for theirs in &published.entries {
        pairs.push((Some(theirs), mine.get_mut(theirs.path.as_str()).and_then(Iterator::next)));
    }
    let left = mine.into_values().flatten();
    pairs.extend(left.map(|own| (None, Some(own))));
    let mut files = Vec::new();
    for (theirs, own) in pairs {
        let size = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.body.len());
        let body = if size(theirs).max(size(own)) > LARGE {
            let is_same = theirs.zip(own).is_some_and(|(a, b)| published.same_body(a, rebuilt, b));
            let sizes = format!("{} and {}", bytes(size(own)), bytes(size(theirs)));
            (!is_same).then(|| Body::NotShown(format!("{}: {sizes}; not shown line by line", Kind::Bytes)))
        } else {
            let [a, b] =
                [(published, theirs), (rebuilt, own)].map(|(archive, entry)| entry.map(|entry| archive.body(entry)));
            (a != b).then(|| body(b.as_deref().unwrap_or_default(), a.as_deref().unwrap_or_default(), &mut budget))
        };
        let Some((body, entry)) = body.zip(theirs.or(own)) else { continue };
        let path = entry.path.as_str().into();
        files.push(FileDiff { path, in_git: own.is_some(), in_published: theirs.is_some(), body });
    }
    let same_files = matches!(contents, Contents::SameContents { .. } | Contents::CompressorUnknown { .. });
    Diff { files, same_files, container: container(id, published, rebuilt) }
}

impl Diff {
    /// The diff as text.
    #[must_use]
    pub fn to_text(&self, colour: bool) -> String {
        let mut out = String::new();
        for FileDiff { path, in_git, in_published, body } in &self.files {
            let side = |there: bool| if there { path.clone() } else { Foreign::from("(none)") };
            let _ = writeln!(out, "--- from git   {}\n+++ published  {}", side(*in_git), side(*in_published));
            write_body(&mut out, body, colour);
        }
        if let Some(heading) = self.container_heading() {
            let _ = writeln!(out, "{heading}:");
        }
        for line in &self.container {
            let _ = writeln!(out, "  {line}");
        }
        out
    }

    /// How many lines it shows.
    #[must_use]
    pub fn lines(&self) -> usize {
        let of_body = |body: &Body| match body {
            Body::Lines { hunks, .. } => hunks.iter().map(|hunk| hunk.lines.len()).sum(),
            Body::NotShown(_) => 1,
        };
        self.files.iter().map(|file| of_body(&file.body)).sum::<usize>() + self.container.len()
    }

    /// What to say before the differences of the container; none where there are none to speak of.
    #[must_use]
    pub fn container_heading(&self) -> Option<&'static str> {
        match (self.same_files, self.container.is_empty()) {
            (true, _) => Some("every file is the same; the container differs"),
            (false, false) => Some("the container"),
            (false, true) => None,
        }
    }
}

/// Everything besides the files' contents, line by line.
fn container(id: &CrateId, published: &Archive, rebuilt: &Archive) -> Vec<String> {
    let mut lines = Vec::new();
    if let Err(leftovers) = Form::of(id, published, rebuilt) {
        lines.extend(leftovers.iter().map(|leftover| {
            let of =
                leftover.path.as_ref().map_or(String::new(), |path| format!(" of {}", Foreign::from(path.as_str())));
            format!("not accounted for: {}{of}", leftover.what)
        }));
    }
    let paths = |archive: &Archive| archive.entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
    if paths(published) != paths(rebuilt) {
        for (side, archive) in [("from git", rebuilt), ("published", published)] {
            lines.push(format!("entries {side}:"));
            lines.extend(archive.entries.iter().map(|entry| format!("  - {}", describe(archive, entry))));
        }
    } else {
        for (theirs, mine) in published.entries.iter().zip(&rebuilt.entries) {
            if head(published, theirs) != head(rebuilt, mine) {
                lines.push(format!("from git   {}", describe(rebuilt, mine)));
                lines.push(format!("published  {}", describe(published, theirs)));
            }
        }
    }
    if published.gzip.bytes != rebuilt.gzip.bytes {
        let hex = |archive: &Archive| hex::encode(&archive.gzip.bytes);
        lines.push(format!("gzip header from git   {}", hex(rebuilt)));
        lines.push(format!("gzip header published  {}", hex(published)));
    }
    if published.trailing > 0 {
        lines.push(format!("{} after the published gzip stream", bytes(published.trailing)));
    }
    if published.tar == rebuilt.tar && published.deflated != rebuilt.deflated {
        lines.push("the tar is the same; the compression differs".to_owned());
    }
    lines
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
        diff(&id(), &read(published), &read(rebuilt), &Contents::NotCompared, Budget::default()).to_text(false)
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
