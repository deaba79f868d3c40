//! The report as commands to GitHub's runner: annotations at the packages' lines of the lock file. Forgejo's and Gitea's runners
//! read the same.

use std::fmt::Write as _;

use super::Report;
use super::brief::{Brief, Level};

/// How many annotations of each level a step can have: GitHub shows no more.
const LIMIT: usize = 10;

/// The annotations; `lockfile`: its path in the repository.
#[must_use]
pub fn annotations(report: &Report, lockfile: &str) -> String {
    let mut out = String::new();
    let briefs = report.briefs();
    for (level, command) in [(Level::Error, "error"), (Level::Warning, "warning")] {
        let of_level: Vec<&Brief<'_>> = briefs.iter().filter(|brief| brief.level == level).collect();
        // One annotation can say that there are more.
        let shown = if of_level.len() > LIMIT { LIMIT - 1 } else { of_level.len() };
        for brief in &of_level[..shown] {
            let lines: Vec<String> = brief.lines.iter().map(ToString::to_string).collect();
            let place = brief.entry.map_or_else(String::new, |entry| {
                let line = entry.line.map_or_else(String::new, |line| format!(",line={line}"));
                format!("file={}{line},", property(lockfile))
            });
            let (title, text) = (property(&brief.title.to_string()), message(&lines.join("\n")));
            let _ = writeln!(out, "::{command} {place}title={title}::{text}");
        }
        if shown < of_level.len() {
            let more = of_level.len() - shown;
            let _ = writeln!(out, "::{command} title=recrate::{more} more: the summary of this job has them all");
        }
    }
    out
}

/// Text as a command's message: <https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts>.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Text as a command's property.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}
