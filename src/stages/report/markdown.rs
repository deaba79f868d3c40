//! The report as Markdown, for summaries of CI jobs and comments.

use std::fmt::Write as _;

use super::brief::{Brief, Level};
use super::text::{changes_command, outcome, title};
use super::{Entry, Report};
use crate::model::foreign::brief;
use crate::stages::changes::{Change, Update, range, stat_text};
use crate::stages::decision::Decision;

/// How long it may be, in bytes: GitHub takes no summary of more than a mebibyte.
const LIMIT: usize = 800_000;
/// How long a cell may be, in characters.
const CELL: usize = 600;
/// How many files of an update are named.
const FILES: usize = 10;

impl Report {
    /// The report as Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = format!("## recrate: {}\n\n", outcome(self.exit()).unwrap_or("nothing to verify"));
        let decisions = self.decisions_in_words();
        let looked_at = self.packages.len();
        let packages = if looked_at == 1 { "package" } else { "packages" };
        let _ = write!(out, "{looked_at} {packages} looked at, policy {}", self.policy_name());
        if !decisions.is_empty() {
            let _ = write!(out, ": {decisions}");
        }
        out.push_str(".\n");
        if let Some(changed) = &self.changed_since {
            let _ = writeln!(out, "{}.", code(&changed.to_string()));
        }
        out.push('\n');
        let briefs = self.briefs();
        table(&mut out, "Failing", briefs.iter().filter(|brief| brief.level == Level::Error));
        table(&mut out, "Warnings", briefs.iter().filter(|brief| brief.level == Level::Warning));
        self.waived_as_markdown(&mut out);
        self.updates_as_markdown(&mut out);
        if self.packages.iter().any(|entry| !entry.decision.passes()) {
            out.push_str(
                "To repeat one on any machine: `recrate verify NAME@VERSION`, then `recrate diff NAME@VERSION`. \
                 What can be accepted: `recrate waive NAME@VERSION --reason …`.\n",
            );
        }
        for notice in &self.notices {
            if is_full(&out) {
                break;
            }
            let _ = writeln!(out, "\n> {}", cell(&notice.to_string()));
        }
        out
    }

    fn waived_as_markdown(&self, out: &mut String) {
        let waived: Vec<(&Entry, String)> = self
            .packages
            .iter()
            .filter_map(|entry| match &entry.decision {
                Decision::Waived { by, .. } => {
                    Some((entry, by.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
                }
                _ => None,
            })
            .collect();
        if waived.is_empty() {
            return;
        }
        let _ = writeln!(out, "<details><summary>Waived ({})</summary>\n", waived.len());
        out.push_str("| package | verdict | by |\n|---|---|---|\n");
        for (entry, by) in &waived {
            if is_full(out) {
                out.push_str("| … | | |\n");
                break;
            }
            let _ = writeln!(out, "| {} | {} | {} |", code(&title(&entry.record.key)), entry.verdict, cell(by));
        }
        out.push_str("\n</details>\n\n");
    }

    fn updates_as_markdown(&self, out: &mut String) {
        let updates: Vec<(&Entry, &Update)> =
            self.packages.iter().filter_map(|entry| Some((entry, entry.update.as_ref()?))).collect();
        if updates.is_empty() {
            return;
        }
        out.push_str("### Updates\n\n");
        for (entry, Update { from, change }) in updates {
            if is_full(out) {
                out.push_str("- …\n");
                break;
            }
            let key = &entry.record.key;
            let _ = writeln!(out, "- {} {from} → {}", code(key.name.as_str()), key.version);
            match change {
                Change::Unknown { reason } => {
                    let _ = writeln!(out, "  - not known: {}", cell(&reason.to_string()));
                }
                Change::Known { from: before, to: after, files } => {
                    let _ =
                        writeln!(out, "  - {}\n  - {}", code(&range(before, after)), code(&changes_command(key, from)));
                    for line in stat_text(files, FILES) {
                        let _ = writeln!(out, "  - {}", cell(&line));
                    }
                }
            }
        }
        out.push('\n');
    }
}

fn table<'a>(out: &mut String, heading: &str, briefs: impl Iterator<Item = &'a Brief<'a>>) {
    let briefs: Vec<&Brief<'_>> = briefs.collect();
    if briefs.is_empty() {
        return;
    }
    let _ = writeln!(out, "### {heading} ({})\n\n| what | why | line |\n|---|---|---|", briefs.len());
    for (at, one) in briefs.iter().enumerate() {
        if is_full(out) {
            let _ = writeln!(out, "| and {} more | | |", briefs.len() - at);
            break;
        }
        let lines: Vec<String> = one.lines.iter().map(|line| cell(&line.to_string())).collect();
        let line = one.entry.and_then(|entry| entry.line).map_or(String::new(), |line| line.to_string());
        let _ = writeln!(out, "| {} | {} | {line} |", cell(&one.title.to_string()), lines.join("<br>"));
    }
    out.push('\n');
}

fn is_full(out: &str) -> bool {
    out.len() > LIMIT
}

/// The same of the first part of a text.
pub(in crate::stages) fn cell(text: &str) -> String {
    code(&brief(text, CELL))
}

/// Text as code that nothing in it can end: every character with a meaning in Markdown or HTML is written by its number.
pub(in crate::stages) fn code(text: &str) -> String {
    let mut out = "<code>".to_owned();
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            let _ = write!(out, "&#{};", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out + "</code>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_is_no_markup() {
        assert_eq!(
            code("a|b <img> `x` [y](z)"),
            "<code>a&#124;b &#60;img&#62; &#96;x&#96; &#91;y&#93;&#40;z&#41;</code>"
        );
    }
}
