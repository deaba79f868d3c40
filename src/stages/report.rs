//! *Report*: records become what people and programs read. The worst first, each with its reason and the next command.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::compare::proof::Proof;
use super::compare::{Difference, Kind};
use super::diff::visible;
use super::lock::Skipped;
use super::plan::Reach;
use super::verdict::{Level, Record, Verdict};

/// The version of the JSON form. Fields may be added within a version, none is taken away or changes its meaning.
pub const SCHEMA: u32 = 1;

/// The run directory's name where the user gives none.
pub const OUT: &str = "recrate.out";

/// A whole run. Its JSON is described in `docs/report.schema.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of recrate.
    pub recrate: String,
    /// What was good enough.
    pub accept: Level,
    /// How many crates came to each verdict; verdicts that none came to are left out.
    pub counts: BTreeMap<Level, usize>,
    /// The crates, the worst first, then by name.
    pub crates: Vec<Record>,
    /// Packages of the lock file that were not verified.
    pub skipped: Vec<Skipped>,
}

impl Report {
    /// Puts records in order and counts them.
    #[must_use]
    pub fn new(mut crates: Vec<Record>, skipped: Vec<Skipped>, accept: Level) -> Self {
        crates.sort_by(|a, b| {
            let key = |record: &Record| (record.verdict.level(), record.name.clone(), record.version.clone());
            key(a).cmp(&key(b))
        });
        let mut counts = BTreeMap::new();
        for record in &crates {
            *counts.entry(record.verdict.level()).or_default() += 1;
        }
        let recrate = env!("CARGO_PKG_VERSION").to_owned();
        Self { schema: SCHEMA, recrate, accept, counts, crates, skipped }
    }

    /// The report for programs.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every key is a string and every value plain data, so this can't fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The report for people; `out` is the run directory, for the commands that it tells of: none where there is no run.
    #[must_use]
    pub fn to_text(&self, out: Option<&Path>, colour: bool) -> String {
        let mut text = String::new();
        for level in Level::ALL {
            let records: Vec<&Record> = self.crates.iter().filter(|record| record.verdict.level() == level).collect();
            if records.is_empty() {
                continue;
            }
            let _ = writeln!(text, "{}", paint(&format!("{level} ({})", records.len()), level, colour));
            for record in records {
                write_record(&mut text, record, out);
            }
            text.push('\n');
        }
        if !self.skipped.is_empty() {
            let _ = writeln!(text, "skipped ({})", self.skipped.len());
            for skipped in &self.skipped {
                let _ = writeln!(text, "  {}  {}", visible(&skipped.package), visible(&skipped.reason));
            }
            text.push('\n');
        }
        let counts: Vec<String> = Level::ALL
            .iter()
            .filter_map(|level| Some(paint(&format!("{} {level}", self.counts.get(level)?), *level, colour)))
            .collect();
        let crates = if self.crates.len() == 1 { "crate" } else { "crates" };
        let counts = if counts.is_empty() { "nothing to verify".to_owned() } else { counts.join(", ") };
        let _ = writeln!(text, "{} {crates}: {counts}", self.crates.len());
        text
    }
}

/// Colours a text by how bad the level is.
fn paint(text: &str, level: Level, colour: bool) -> String {
    let code = match level {
        Level::ChecksumMismatch | Level::HostileArchive | Level::SourceDiffers | Level::UnreachedCommit => "1;31",
        Level::NotRebuilt | Level::GeneratedFilesDiffer => "33",
        Level::Unverifiable | Level::OtherCommit | Level::Inconclusive => "35",
        Level::ArchiveDiffers => "36",
        Level::Reproduced => "32",
    };
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// How many differences and details a crate gets in the report.
const DIFFERENCES: usize = 6;
const DETAILS: usize = 4;

fn write_record(text: &mut String, record: &Record, out: Option<&Path>) {
    let id = format!("{}@{}", record.name, record.version);
    let _ = write!(text, "  {id}");
    if let Verdict::Reproduced = record.verdict {
        let _ = writeln!(text, "  {}", how(record));
        for contradiction in &record.contradictions {
            let _ = writeln!(text, "      {}", visible(contradiction));
        }
        return;
    }
    text.push('\n');
    for line in reasons(record) {
        let _ = writeln!(text, "      {}", visible(&line));
    }
    if let Some(origin) = &record.origin {
        let path = origin
            .path
            .as_ref()
            .map_or(String::new(), |path| if path.as_str().is_empty() { String::new() } else { format!(", {path}") });
        let names = origin.reach.as_ref().map(Reach::names).unwrap_or_default();
        let names: Vec<String> = names.into_iter().map(visible).collect();
        let reach = if names.is_empty() { String::new() } else { format!(" (in {})", names.join(" and ")) };
        let _ = writeln!(text, "      from {} at {}{path}{reach}", origin.repository, origin.commit.short());
    }
    if record.best.is_some() {
        let _ = writeln!(text, "      {}", how(record));
    }
    if let Some(next) = out.and_then(|out| next_command(record, out)) {
        let _ = writeln!(text, "      see: {next}");
    }
}

/// Which cargo, under which conditions.
fn how(record: &Record) -> String {
    let Some(best) = record.best.and_then(|best| record.tries.get(best)) else { return String::new() };
    let mut parts = vec![format!("cargo {}", visible(&best.toolchain))];
    parts.extend(record.conditions.iter().map(|condition| visible(condition)));
    parts.join(", ")
}

/// What to do next about a crate.
fn next_command(record: &Record, out: &Path) -> Option<String> {
    let diff = || {
        let out = if out == Path::new(OUT) { String::new() } else { format!(" --out {}", out.display()) };
        Some(format!("recrate diff {}@{}{out}", record.name, record.version))
    };
    match record.verdict.level() {
        Level::SourceDiffers | Level::GeneratedFilesDiffer | Level::ArchiveDiffers => diff(),
        Level::UnreachedCommit | Level::OtherCommit if !record.verdict.differences().is_empty() => diff(),
        Level::Unverifiable if record.best.is_some() => diff(),
        Level::NotRebuilt => {
            let drv = &record.tries.get(record.best?)?.drv;
            Some(format!("nix-store --read-log {drv}"))
        }
        Level::Inconclusive if !record.tries.is_empty() => {
            Some(format!("{}/logs/{}-{}.log", out.display(), record.name, record.version))
        }
        Level::Inconclusive => Some("recrate doctor".to_owned()),
        Level::ChecksumMismatch
        | Level::HostileArchive
        | Level::UnreachedCommit
        | Level::OtherCommit
        | Level::Unverifiable
        | Level::Reproduced => None,
    }
}

/// Why a crate got its verdict, a line each.
fn reasons(record: &Record) -> Vec<String> {
    let mut lines = match &record.verdict {
        Verdict::ChecksumMismatch { reason }
        | Verdict::HostileArchive { reason }
        | Verdict::NotRebuilt { reason }
        | Verdict::Inconclusive { reason } => reason.lines().map(str::to_owned).collect(),
        Verdict::Unverifiable { reason, differences } => {
            let mut lines: Vec<String> = reason.lines().map(str::to_owned).collect();
            lines.extend(describe_all(differences));
            lines
        }
        Verdict::UnreachedCommit { bytes, differences } => {
            let mut lines = vec![
                "no branch and no tag of the repository reaches the commit: it may be of a fork, or of a branch that \
                 was deleted or rewritten"
                    .to_owned(),
                format!("as for its bytes: {bytes}"),
            ];
            lines.extend(describe_all(differences));
            lines
        }
        Verdict::OtherCommit { tag, bytes, differences } => {
            let mut lines = vec![format!(
                "it does not say which commit it comes from; against the one that the tag {tag} is on: {bytes}"
            )];
            lines.extend(describe_all(differences));
            lines
        }
        Verdict::SourceDiffers { differences } | Verdict::GeneratedFilesDiffer { differences } => {
            describe_all(differences.as_slice())
        }
        Verdict::ArchiveDiffers { aside, proof } => {
            let aside: Vec<String> = aside.iter().map(ToString::to_string).collect();
            let proof = match proof {
                Proof::Exact { compressor } => format!("with them taken over, the rebuild is exact ({compressor})"),
                Proof::Tar => {
                    "with them taken over, the tar is exact; its compression is none that is known".to_owned()
                }
                Proof::Files => "the container could not be put together again".to_owned(),
            };
            vec![format!("every file is the same; set aside: {}; {proof}", aside.join(", "))]
        }
        Verdict::Reproduced => Vec::new(),
    };
    lines.extend(lacking(record));
    lines.extend(record.contradictions.iter().cloned());
    lines
}

/// Where no cargo that the evidence allows was at hand, which would be needed.
fn lacking(record: &Record) -> Option<String> {
    let span = record.cargo_range?;
    let level = record.verdict.level();
    if record.tries.is_empty() || level == Level::Reproduced || record.tries.iter().any(|tried| tried.in_range) {
        return None;
    }
    Some(format!("its own bytes say that it was made by cargo {span}, of which none is at hand"))
}

fn describe_all(differences: &[Difference]) -> Vec<String> {
    let mut lines = Vec::new();
    for difference in differences.iter().take(DIFFERENCES) {
        lines.push(format!("{}: {}", difference.path, describe(difference.kind)));
        lines.extend(difference.details.iter().take(DETAILS).map(|detail| format!("    {detail}")));
        if difference.details.len() > DETAILS {
            lines.push(format!("    and {} more", difference.details.len() - DETAILS));
        }
    }
    if differences.len() > DIFFERENCES {
        lines.push(format!("and {} more files", differences.len() - DIFFERENCES));
    }
    lines
}

/// A kind of difference in words.
#[must_use]
pub fn describe(kind: Kind) -> String {
    match kind {
        Kind::Lines { published, rebuilt } => {
            let lines = |n: usize| if n == 1 { "1 line".to_owned() } else { format!("{n} lines") };
            let added = format!("{} that git does not have", lines(published));
            let lost = format!("{} of git missing", lines(rebuilt));
            match (published, rebuilt) {
                (_, 0) => added,
                (0, _) => lost,
                _ => format!("{added}, {lost}"),
            }
        }
        Kind::LineEndings => "only line endings differ".to_owned(),
        Kind::WhiteSpace => "only white space differs".to_owned(),
        Kind::Bytes => "its bytes differ".to_owned(),
        Kind::OnlyPublished => "stands only in the published crate, not in git".to_owned(),
        Kind::OnlyRebuilt => "is in git, but not in the published crate".to_owned(),
        Kind::Mode => "its executable bit differs".to_owned(),
        Kind::Repeated => "stands in the published crate twice, or twice but for case".to_owned(),
        Kind::Form => "says the same in another form".to_owned(),
        Kind::Meaning => "says something else".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::artefact::tests::id;

    #[test]
    fn what_strangers_wrote_does_not_steer_the_terminal() {
        let reason = "its Cargo.toml names `\u{1b}]0;x\u{7}` as repository\nand more".to_owned();
        let record =
            Record::new(&id(), None, Verdict::Unverifiable { reason: reason.clone(), differences: Vec::new() });
        let skipped = Skipped { package: "\u{1b}[2J".to_owned(), reason };
        let text = Report::new(vec![record], vec![skipped], Level::Reproduced).to_text(None, false);
        assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
        assert!(text.contains(r"names `\u{1b}]0;x\u{7}` as repository"), "{text}");
    }
}
