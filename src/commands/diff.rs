//! `recrate diff`: how a published crate and its rebuild differ, line by line.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use similar::{ChangeTag, TextDiff};

use super::Failure;
use super::setting::{Places, cargo_config};
use crate::builder::status::{FILE, Outcome, Status};
use crate::edges::console::{colours_on_stdout, print};
use crate::edges::network::Network;
use crate::edges::registry::Registry;
use crate::edges::run_directory::{read_folder, read_kept};
use crate::model::krate::CrateId;
use crate::stages::artefact::{Archive, Entry};
use crate::stages::compare::Kind;
use crate::stages::report::{OUT, describe};

/// Show how a published crate and its rebuild differ.
///
/// File by file, as a diff from git to what was published; where every file is the same, how the archive differs.
/// Control characters are shown escaped. Exit status: 0 no difference, 1 a difference, 2 there is no such run.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// The crate, from a run of `recrate verify`
    #[arg(value_name = "NAME@VERSION")]
    krate: CrateId,
    /// Folder of that run
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    /// Use what is in the cache; fetch nothing
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    places: Places,
}

impl Diff {
    /// Prints the differences. The exit status is 0 where there are none, 1 where there are.
    ///
    /// # Errors
    /// Where the run does not have the crate, or its build is gone.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let id = &self.krate;
        let absent = |what: &str| Failure::usage(format!("{what}: run `recrate verify {id}` first"));
        let kept =
            read_kept(&self.out, id).ok_or_else(|| absent(&format!("{} has no record of {id}", self.out.display())))?;
        let record = kept.record;
        let (Some(tried), Some(checksum)) = (record.best.and_then(|at| record.tries.get(at)), record.checksum) else {
            return Err(Failure::usage(format!("nothing was rebuilt of {id}: {}", record.verdict.level())));
        };
        let out = PathBuf::from(&tried.out);
        let status = std::fs::read(out.join(FILE)).map_err(|_| absent(&format!("{} is no longer there", tried.out)))?;
        let status: Status = serde_json::from_slice(&status).map_err(Failure::machinery)?;
        let Outcome::Packaged { file } = status.outcome else {
            return Err(Failure::usage(format!(
                "cargo packaged nothing of {id}; see `nix-store --read-log {}`",
                tried.drv
            )));
        };
        let rebuilt = std::fs::read(out.join(file)).map_err(Failure::machinery)?;
        let folder = read_folder(&self.out).ok_or_else(|| absent(&format!("{} is no run", self.out.display())))?;
        let place = cargo_config(&folder)?.place(&kept.registry).map_err(Failure::usage)?;
        let network = Network::acquire(self.offline);
        let registry = Registry::new(place, self.places.cache()?, network);
        let published = registry.download(id, checksum).map_err(Failure::machinery)?;
        if published == rebuilt {
            print(&format!("{id}: no difference\n")).map_err(Failure::machinery)?;
            return Ok(ExitCode::SUCCESS);
        }
        let read = |bytes| Archive::read(id, bytes).map_err(Failure::machinery);
        let text = differences(&read(&published)?, &read(&rebuilt)?, colours_on_stdout());
        print(&text).map_err(Failure::machinery)?;
        Ok(ExitCode::FAILURE)
    }
}

fn differences(published: &Archive, rebuilt: &Archive, colour: bool) -> String {
    let mut out = String::new();
    let paths: std::collections::BTreeSet<&str> =
        published.entries.iter().chain(&rebuilt.entries).map(|entry| entry.path.as_str()).collect();
    let mut same = true;
    for path in paths {
        let (theirs, mine) = (published.file(path), rebuilt.file(path));
        if theirs == mine {
            continue;
        }
        same = false;
        let _ = writeln!(out, "--- from git   {path}\n+++ published  {path}");
        let text = |bytes: Option<&[u8]>| std::str::from_utf8(bytes.unwrap_or_default()).map(str::to_owned);
        match (text(mine), text(theirs)) {
            (Ok(mine), Ok(theirs)) => write_lines(&mut out, &mine, &theirs, colour),
            _ => {
                let _ = writeln!(out, "{}", describe(Kind::Bytes));
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
            let (sign, code) = match change.tag() {
                ChangeTag::Delete => ('-', "31"),
                ChangeTag::Insert => ('+', "32"),
                ChangeTag::Equal => (' ', ""),
            };
            // What can't be seen is shown: line endings and other control characters.
            let line: String = change.value().trim_end_matches('\n').chars().flat_map(visible).collect();
            if colour && !code.is_empty() {
                let _ = writeln!(out, "\x1b[{code}m{sign}{line}\x1b[0m");
            } else {
                let _ = writeln!(out, "{sign}{line}");
            }
        }
    }
}

/// Control characters are escaped: a crate must not steer the terminal.
fn visible(c: char) -> Vec<char> {
    if c.is_control() && c != '\t' { c.escape_default().collect() } else { vec![c] }
}

fn write_headers(out: &mut String, published: &Archive, rebuilt: &Archive) {
    for (theirs, mine) in published.entries.iter().zip(&rebuilt.entries) {
        if published.tar[theirs.header.clone()] != rebuilt.tar[mine.header.clone()] || theirs.path != mine.path {
            let said = |entry: &Entry| {
                let time = entry.mtime.map_or("none".to_owned(), |time| time.to_string());
                format!("{} mode {:o} time {time}", entry.path, entry.mode)
            };
            let _ = writeln!(out, "  rebuilt    {}\n  published  {}", said(mine), said(theirs));
        }
    }
    if published.tar == rebuilt.tar {
        out.push_str("  the tar is the same; the compression differs\n");
    }
}
