//! The report for people: the worst first; packages with one cause together, others each with its findings and the next
//! command.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use semver::Version;

use super::causes::{Grouped, group};
use super::facts::{Fact, fact, facts};
use super::{Entry, OUT, Report};
use crate::model::foreign::Foreign;
use crate::model::package::{PackageKey, RegistryName};
use crate::stages::changes::{Change, Update, range, stat_text};
use crate::stages::decision::{Decision, DecisionName, Exit};
use crate::stages::findings::{Contents, Rebuild};
use crate::stages::lock::SkippedKind;
use crate::stages::policy::review::{Reviewed, State};
use crate::stages::record::Record;
use crate::stages::verdict::Verdict;

/// How a report is shown.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The run directory, for the commands that the report names: none where there is no run.
    pub out: Option<&'a Path>,
    /// Whether every package is shown with all its findings.
    pub verbose: bool,
    /// Whether verdicts are coloured.
    pub colour: bool,
}

impl View<'_> {
    /// Plain text with everything, outside of any run.
    pub const PLAIN: View<'static> = View { out: None, verbose: true, colour: false };
}

/// How many packages of a verdict are shown with all their findings, and how many lines of names a cause gets.
const DETAILED: usize = 4;
const NAME_LINES: usize = 3;
/// How many files of an update, and how many waivers and rules.
const FILES: usize = 8;
const REVIEWED: usize = 40;
const WIDTH: usize = 110;

impl Report {
    /// The report for people.
    #[must_use]
    pub fn to_text(&self, view: View<'_>) -> String {
        let mut text = String::new();
        for verdict in Verdict::ALL {
            let entries: Vec<&Entry> = self.packages.iter().filter(|entry| entry.verdict == verdict).collect();
            if !entries.is_empty() {
                let heading = paint(&format!("{verdict} ({})", entries.len()), verdict, view.colour);
                let _ = writeln!(text, "{heading}");
                write_verdict(&mut text, &entries, view);
                text.push('\n');
            }
        }
        self.write_updates(&mut text);
        self.write_reviewed(&mut text);
        self.write_skipped(&mut text);
        self.write_end(&mut text, view);
        text
    }

    fn write_updates(&self, text: &mut String) {
        let updates: Vec<_> =
            self.packages.iter().filter_map(|entry| Some((&entry.record.key, entry.update.as_ref()?))).collect();
        if updates.is_empty() {
            return;
        }
        let _ = writeln!(text, "updates ({})", updates.len());
        for (key, update) in updates {
            let _ = writeln!(text, "  {} {} to {}", key.name, update.from, key.version);
            update_facts(key, update).iter().for_each(|fact| write_fact(text, fact));
        }
        text.push('\n');
    }

    /// Waivers and rules of which something has to be known.
    fn write_reviewed(&self, text: &mut String) {
        let reviewed: Vec<_> =
            self.reviewed.iter().filter(|one| one.state != State::Used || one.detail.is_some()).collect();
        if reviewed.is_empty() {
            return;
        }
        let _ = writeln!(text, "waivers and rules ({})", reviewed.len());
        let more = reviewed.len().saturating_sub(REVIEWED);
        for Reviewed { subject, state, detail, .. } in reviewed.into_iter().take(REVIEWED) {
            let detail = detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
            let _ = writeln!(text, "  - {subject}: {state}{detail}");
        }
        if more > 0 {
            let _ = writeln!(text, "  - and {more} more: report.json has them all");
        }
        text.push('\n');
    }

    fn write_skipped(&self, text: &mut String) {
        let skipped = self.skipped.iter().filter_map(|skipped| {
            let why = match skipped.kind {
                SkippedKind::Path => "path",
                SkippedKind::Git => "git",
                SkippedKind::Unsupported(_) => return None,
            };
            Some(format!("{} {} ({why})", skipped.name, skipped.version))
        });
        let skipped: Vec<String> = skipped.collect();
        if !skipped.is_empty() {
            let _ = writeln!(text, "not published ({})", skipped.len());
            write_names(text, "    - ", &skipped, NAME_LINES);
            text.push('\n');
        }
        let unsupported: Vec<_> = self.unsupported().collect();
        if !unsupported.is_empty() {
            let _ = writeln!(text, "unsupported ({})", unsupported.len());
            for (skipped, reason) in unsupported {
                let _ = writeln!(text, "  - {} {}: {reason}", skipped.name, skipped.version);
            }
            text.push('\n');
        }
    }

    fn write_end(&self, text: &mut String, view: View<'_>) {
        for note in self.notes() {
            let _ = writeln!(text, "note: {note}");
        }
        let counts: Vec<String> = Verdict::ALL
            .iter()
            .filter_map(|verdict| {
                Some(paint(&format!("{} {verdict}", self.verdicts.get(verdict)?), *verdict, view.colour))
            })
            .collect();
        let total = self.packages.len();
        let has_news = total > 0 || self.changed_since.is_none();
        let packages = if total == 1 { "package" } else { "packages" };
        let counts = if counts.is_empty() { "nothing to verify".to_owned() } else { counts.join(", ") };
        if has_news {
            let _ = writeln!(text, "{total} {packages}: {counts}");
        }
        let decisions = self.decisions_in_words();
        if let Some(changed) = &self.changed_since {
            let _ = writeln!(text, "{changed}");
        }
        let Some(outcome) = outcome(self.exit()) else { return };
        let decisions = if decisions.is_empty() { "nothing changed".to_owned() } else { decisions };
        let _ = writeln!(text, "policy {}: {outcome} ({decisions})", self.policy_name());
        let mut failing = self.packages.iter().filter(|entry| !entry.decision.passes());
        let next = view.out.and_then(|out| failing.find_map(|entry| next_command(&entry.record, out)));
        if let Some(next) = next {
            let _ = writeln!(text, "next: {next}");
        }
    }

    /// What the reader should know about the run as a whole.
    pub(in crate::stages) fn notes(&self) -> Vec<Foreign> {
        let asked = self.reach_asked().map(Foreign::from);
        self.notices.iter().cloned().chain(asked).collect()
    }

    /// How many packages came to each decision; empty where there are none.
    pub(in crate::stages) fn decisions_in_words(&self) -> String {
        let counts = DecisionName::ALL.iter().filter_map(|decision| Some((self.decisions.get(decision)?, decision)));
        counts.map(|(count, decision)| format!("{count} {decision}")).collect::<Vec<_>>().join(", ")
    }

    /// Who was asked which branches and tags reach the commits, and when.
    fn reach_asked(&self) -> Option<String> {
        let reach = || self.packages.iter().map(|entry| &entry.record.findings.reach);
        let mut sources: BTreeMap<&Foreign, usize> = BTreeMap::new();
        let dates = reach().filter_map(|reach| reach.asked.as_ref());
        let dates: Vec<_> = dates.inspect(|asked| *sources.entry(&asked.source).or_default() += 1).collect();
        let (first, last) = (dates.iter().map(|asked| asked.date).min()?, dates.iter().map(|asked| asked.date).max()?);
        let days = if first == last { format!("on {first}") } else { format!("from {first} to {last}") };
        let of = match sources.len() {
            1 => sources.keys().next().map(|source| format!(" ({source})")).unwrap_or_default(),
            count => format!(" ({count} sources)"),
        };
        let claimed = reach().any(|reach| reach.claimed_by_plan && reach.asked.is_some());
        let by = if claimed { ", as the author of the plan says" } else { "" };
        Some(format!("which branches and tags reach the commits was asked {days}{of}{by}"))
    }
}

/// How a run ends, in a word; none where there was nothing.
pub(super) fn outcome(exit: Exit) -> Option<&'static str> {
    match exit {
        Exit::Passed => Some("accepted"),
        Exit::Rejected => Some("rejected"),
        Exit::Undetermined => Some("undetermined"),
        Exit::Nothing => None,
    }
}

fn write_verdict(text: &mut String, entries: &[&Entry], view: View<'_>) {
    let Grouped { alone, together } =
        if view.verbose { Grouped { alone: entries.to_vec(), together: Vec::new() } } else { group(entries) };
    let limit = if view.verbose { usize::MAX } else { DETAILED };
    for entry in alone.iter().take(limit) {
        write_entry(text, entry, view);
    }
    if alone.len() > limit {
        let _ = writeln!(text, "  and {} more (--verbose shows all):", alone.len() - limit);
        write_names(text, NAMES, &names(&alone[limit..]), NAME_LINES);
    }
    for (cause, with) in together {
        let _ = writeln!(text, "  * {cause} ({})", with.len());
        let lines = if with.iter().all(|entry| entry.decision.passes()) { 1 } else { NAME_LINES };
        write_names(text, NAMES, &names(&with), lines);
    }
}

fn names(entries: &[&Entry]) -> Vec<String> {
    entries.iter().map(|entry| title(&entry.record.key)).collect()
}

/// A package as people name it; with its registry where that is not the default one.
pub(in crate::stages) fn title(key: &PackageKey) -> String {
    let registry = match &key.registry {
        RegistryName::Default => String::new(),
        RegistryName::Index(address) => format!(" from {}", address.as_str()),
    };
    format!("{} {}{registry}", key.name, key.version)
}

/// What stands before the names of crates.
const NAMES: &str = "      ";

/// Writes names with commas between them, on at most so many lines, each of which begins with `start`.
fn write_names(text: &mut String, start: &str, names: &[String], lines: usize) {
    let (mut line, mut written) = (String::new(), 0);
    for (at, name) in names.iter().enumerate() {
        let separator = if line.is_empty() { "" } else { ", " };
        if !line.is_empty() && line.len() + separator.len() + name.len() > WIDTH - 6 {
            written += 1;
            if written == lines {
                let _ = writeln!(text, "{start}{line} and {} more", names.len() - at);
                return;
            }
            let _ = writeln!(text, "{start}{line},");
            line.clear();
        }
        line = if line.is_empty() { name.clone() } else { format!("{line}, {name}") };
    }
    let _ = writeln!(text, "{start}{line}");
}

fn write_entry(text: &mut String, entry: &Entry, view: View<'_>) {
    let record = &entry.record;
    let _ = writeln!(text, "  {}", title(&record.key));
    let mut facts = facts(record);
    if view.verbose && !entry.decision.reasons().is_empty() {
        facts.push(fact("decision", format!("{}: {}", entry.decision.name(), entry.decision.reasons().join("; "))));
    }
    if let Decision::Waived { by, .. } = &entry.decision {
        facts.extend(by.iter().map(|by| fact("waived", by.to_string())));
    }
    facts.extend(view.out.and_then(|out| next_command(record, out)).map(|next| fact("next", next)));
    facts.iter().for_each(|fact| write_fact(text, fact));
}

fn write_fact(text: &mut String, Fact { label, value }: &Fact) {
    let mut lines = value.lines();
    let first = lines.next().unwrap_or_default();
    let _ = writeln!(text, "      {label:<14} {first}");
    for line in lines {
        // Never a stranger's text first: some CI systems take what a line begins with for a command.
        let _ = writeln!(text, "      {:<14} {line}", "|");
    }
}

/// What an update is.
pub(in crate::stages) fn update_facts(key: &PackageKey, Update { from, change }: &Update) -> Vec<Fact> {
    match change {
        Change::Unknown { reason } => vec![fact("not known", reason)],
        Change::Known { from: before, to: after, files } => vec![
            fact("commits", range(before, after)),
            fact("changed", stat_text(files, FILES).join("\n")),
            fact("next", changes_command(key, from)),
        ],
    }
}

/// The command that shows what an update is.
pub(super) fn changes_command(key: &PackageKey, from: &Version) -> String {
    format!("recrate changes {} {from} {}{}", key.name, key.version, registry_option(key))
}

/// The option by which commands are told a package's registry, where that is not the default one.
pub(in crate::stages) fn registry_option(key: &PackageKey) -> String {
    match &key.registry {
        RegistryName::Default => String::new(),
        // Strangers choose addresses, and shells read commands.
        RegistryName::Index(address) => {
            shlex::try_quote(address.as_str()).map_or_else(|_| String::new(), |quoted| format!(" --registry {quoted}"))
        }
    }
}

/// What to do next about a package.
fn next_command(record: &Record, out: &Path) -> Option<String> {
    let findings = &record.findings;
    let id = record.key.id();
    let place = if out == Path::new(OUT) { String::new() } else { format!(" --out {}", out.display()) };
    if let Some(span) = record.lacking_cargo() {
        return Some(format!("recrate toolchain add PATH with a cargo {span}, then recrate verify {id}"));
    }
    match (&findings.contents, &findings.rebuild) {
        (Contents::BitForBit, _) => None,
        (Contents::NotCompared, Rebuild::Refused { .. }) => {
            Some(format!("nix-store --read-log {}", record.best_attempt()?.drv))
        }
        (Contents::NotCompared, Rebuild::Error { .. }) if record.attempts.is_empty() => {
            Some("recrate doctor".to_owned())
        }
        (Contents::NotCompared, Rebuild::Error { .. }) => {
            Some(format!("{}/logs/{}.log", out.display(), record.key.job()))
        }
        (Contents::NotCompared, _) => None,
        _ => Some(format!("recrate diff {id}{place}")),
    }
}

/// The style of a verdict.
fn paint(text: &str, verdict: Verdict, colour: bool) -> String {
    let style = match verdict {
        Verdict::ChecksumMismatch
        | Verdict::MalformedArchive
        | Verdict::SourceDiffers
        | Verdict::UnreachableCommit
        | Verdict::ContradictedOrigin => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
        Verdict::PackagingFailed | Verdict::GeneratedFilesDiffer => {
            Style::new().fg_color(Some(AnsiColor::Yellow.into()))
        }
        Verdict::MatchedByTagOnly
        | Verdict::Unverifiable
        | Verdict::Error
        | Verdict::ReachUnknown
        | Verdict::CompressorUnknown => Style::new().fg_color(Some(AnsiColor::Magenta.into())),
        Verdict::SameContents => Style::new().fg_color(Some(AnsiColor::Cyan.into())),
        Verdict::Reproduced => Style::new().fg_color(Some(AnsiColor::Green.into())),
    };
    if colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::claims::{Cause, Missing, Obstacle};
    use crate::stages::judge::judge_obstacle;
    use crate::stages::lock::Skipped;
    use crate::stages::policy::BuiltIn;
    use crate::stages::report::Basis;

    fn unverifiable(name: &str, reason: &str) -> Record {
        let cause = Cause::Impossible { missing: Missing::VcsInfo, reason: reason.into() };
        let key = PackageKey::new(RegistryName::Default, format!("{name}@1.0.0").parse().unwrap());
        Record::new(key, None, judge_obstacle(&Obstacle { cause, origin: None }, false))
    }

    #[test]
    fn what_strangers_wrote_does_not_steer_the_terminal() {
        let reason = "names `\u{1b}]0;x\u{7}` as repository\nand more";
        let skipped = Skipped {
            name: "\u{1b}[2J".into(),
            version: "1.0.0".into(),
            source: None,
            checksum: None,
            kind: SkippedKind::Unsupported("\u{1b}[2J".into()),
        };
        let report = Report::new(
            vec![unverifiable("a", reason)],
            Basis { skipped: vec![skipped], ..Basis::of(BuiltIn::Default) },
        );
        let text = report.to_text(View::PLAIN);
        assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
        assert!(text.contains(r"names `\u{1b}]0;x\u{7}` as repository"), "{text}");
        assert!(text.contains("policy default: undetermined (2 undetermined)"), "{text}");
    }

    #[test]
    fn packages_with_one_cause_stand_together_and_many_fit_on_a_screen() {
        let records = (0..500).map(|n| unverifiable(&format!("crate-{n}"), "no vcs info")).collect();
        let report = Report::new(records, Basis::of(BuiltIn::Default));
        let view = View { verbose: false, ..View::PLAIN };
        let text = report.to_text(view);
        assert!(text.lines().count() < 12, "{text}");
        assert!(text.contains("no vcs info, and no tag of the version was found (500)"), "{text}");
        assert!(report.to_text(View::PLAIN).lines().count() > 500);
    }
}
