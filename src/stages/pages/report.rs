//! The pages of a run and of a single verdict.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::Date;
use maud::{Markup, html};

use super::package::{accepting, commands, decided, findings};
use super::{diff, page};
use crate::model::foreign::Foreign;
use crate::model::package::PackageKey;
use crate::stages::decision::DecisionName;
use crate::stages::diff::Diff;
use crate::stages::lock::SkippedKind;
use crate::stages::policy::review::{Reviewed, State};
use crate::stages::report::causes::{Grouped, group};
use crate::stages::report::facts::facts;
use crate::stages::report::text::title;
use crate::stages::report::{Entry, OUT, Report};
use crate::stages::sign::Sign;
use crate::stages::verdict::Verdict;

/// What a page says besides the report.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The run directory; none where there is no run.
    pub out: Option<&'a Path>,
    /// The day; none where nobody says so.
    pub day: Option<Date>,
    /// How packages differ from their rebuilds.
    pub diffs: &'a BTreeMap<PackageKey, Diff>,
}

/// How many lines of diffs a page has, those of the worst packages: browsers take long for more.
const DIFF_LINES: usize = 8_000;

/// The page of a run.
#[must_use]
pub fn of_report(report: &Report, view: View<'_>) -> String {
    let mut lines = 0;
    let mut diffs = BTreeMap::new();
    for key in report.packages.iter().map(|entry| &entry.record.key) {
        let Some(diff) = view.diffs.get(key) else { continue };
        lines += diff.lines();
        if lines <= DIFF_LINES {
            diffs.insert(key, diff);
        }
    }
    let is_shown = |entry: &Entry| diffs.get(&entry.record.key).copied();
    let signs = report.packages.iter().map(|entry| {
        let sign = Sign::of_record(&entry.record);
        (sign, !entry.record.findings.conditions.is_empty())
    });
    // Those that can't be looked at are among the others.
    let counts = count(signs.chain(report.unsupported().map(|_| (Sign::Unverifiable, false))));
    let body = html! {
        header {
            h1 { "Are these crates what their commits give?" }
            (headline(&counts))
            p { "policy " (report.policy_name()) ": " strong { (report.outcome().unwrap_or("nothing to verify")) }
                " (" (report.decisions_in_words()) ")" }
            @if let Some(changed) = &report.changed_since { p { (changed.to_string()) } }
        }
        main {
            (filter(&report.decisions))
            @for verdict in Verdict::ALL {
                (of_verdict(report.packages.iter().filter(|entry| entry.verdict == verdict).collect(), verdict, view, &is_shown))
            }
            (around(report))
        }
        (footer(&report.recrate, view.day))
    };
    page(&format!("recrate: {}", report.outcome().unwrap_or("nothing to verify")), &body)
}

/// The page of one package.
#[must_use]
pub fn of_package(entry: &Entry, report: &Report, diff: Option<&Diff>) -> String {
    let record = &entry.record;
    let sign = Sign::of_record(&entry.record);
    let body = html! {
        header {
            h1 { (title(&record.key)) ": " span class=(sign.slug()) { (entry.verdict.to_string()) } }
            p { (entry.verdict.meaning()) }
        }
        main {
            (findings(record, &decided(entry)))
            (commands(record, None, accepting(entry)))
            @if let Some(diff) = diff { h2 { "From git to what was published" } (diff::markup(diff, "diff.txt")) }
            (around(report))
        }
        (footer(&report.recrate, None))
    };
    page(&format!("{}: {}", title(&record.key), entry.verdict), &body)
}

/// How many packages have a sign, and how many of them with conditions.
pub type Counts = BTreeMap<Sign, (usize, usize)>;

/// Counts signs, each with whether something had to be assumed for it.
pub fn count(signs: impl Iterator<Item = (Sign, bool)>) -> Counts {
    let mut counts = Counts::new();
    for (sign, conditional) in signs {
        let count = counts.entry(sign).or_default();
        count.0 += 1;
        count.1 += usize::from(conditional && sign >= Sign::SameContents);
    }
    counts
}

/// How many packages are what their commits give, and what became of the others.
pub fn headline(counts: &Counts) -> Markup {
    let count = |sign: Sign| counts.get(&sign).copied().unwrap_or_default();
    let total: usize = counts.values().map(|(count, _)| count).sum();
    let matching = count(Sign::BitForBit).0 + count(Sign::SameContents).0;
    let are = match (total, matching) {
        (1, _) => "crate is what its commit gives.",
        (_, 1) => "crates is what its commit gives.",
        _ => "crates are what their commits give.",
    };
    let mut left = 0;
    // Best first: the bar is read from the left.
    let shares: Vec<(Sign, usize, (usize, usize))> = Sign::ALL
        .into_iter()
        .rev()
        .map(|sign| {
            let own = (sign, left, count(sign));
            left += own.2.0;
            own
        })
        .collect();
    html! {
        p.headline { strong { (matching) " of " (total) } " " (are) }
        @if total > 0 {
            svg.bar viewBox={ "0 0 " (total) " 1" } preserveAspectRatio="none" aria-hidden="true" {
                @for (sign, from, (count, _)) in &shares { rect class=(sign.slug()) x=(from) y="0" width=(count) height="1" {} }
            }
        }
        ul.signs {
            @for (sign, _, (count, conditional)) in &shares {
                li class=(sign.slug()) { b { (count) } span { (sign.to_string())
                    @if *conditional > 0 { ", " (conditional) " of them with conditions" } } }
            }
        }
    }
}

/// The form that a script shows and reads.
pub fn filter(decisions: &BTreeMap<DecisionName, usize>) -> Markup {
    html! {
        form hidden role="search" aria-label="Filter" {
            label { "Search" input name="q" type="search" autocomplete="off"; }
            label { "Show" select name="sign" {
                option value="" { "all" }
                @for sign in Sign::ALL { option value=(sign.slug()) { (sign.to_string()) } }
            } }
            @if !decisions.is_empty() {
                label { "Decision" select name="decision" {
                    option value="" { "all" }
                    @for decision in decisions.keys() { option { (decision.to_string()) } }
                } }
            }
            output aria-live="polite" {}
        }
    }
}

fn of_verdict<'a>(
    entries: Vec<&'a Entry>,
    verdict: Verdict,
    view: View<'_>,
    is_shown: &impl Fn(&Entry) -> Option<&'a Diff>,
) -> Markup {
    if entries.is_empty() {
        return Markup::default();
    }
    let Grouped { alone, together } = group(&entries);
    // What is well is folded.
    let open = entries.iter().any(|entry| !entry.decision.passes());
    // The worst of them colours the heading.
    let sign = entries.iter().map(|entry| Sign::of_record(&entry.record)).min().unwrap_or(Sign::Unverifiable);
    html! {
        details.group open[open] {
            summary { h2 { span class=(sign.slug()) { (verdict.to_string()) } " (" (entries.len()) ")" } }
            p.dim { (verdict.meaning()) }
            @for entry in alone { (row(entry, view, is_shown(entry))) }
            @for (cause, with) in together {
                section.cause {
                    h3 { (cause.to_string()) " (" (with.len()) ")" }
                    @for entry in with { (row(entry, view, is_shown(entry))) }
                }
            }
        }
    }
}

/// A package: a line that opens.
fn row(entry: &Entry, view: View<'_>, shown: Option<&Diff>) -> Markup {
    let record = &entry.record;
    let sign = Sign::of_record(&entry.record);
    let decision = entry.decision.name().to_string();
    // The reason for its verdict comes first.
    let why =
        facts(record).first().and_then(|fact| fact.value.lines().next().map(|line| format!("{}: {line}", fact.label)));
    let run = view.out.filter(|out| *out != Path::new(OUT)).map(|out| out.display().to_string());
    let rest = format!(
        "recrate diff {}{}",
        record.key.id(),
        run.as_ref().map_or(String::new(), |run| format!(" --out {run}"))
    );
    html! {
        details.crate id=(record.key.job()) data-sign=(sign.slug()) data-decision=(decision) {
            summary {
                b { (title(&record.key)) }
                span class=(sign.slug()) { (entry.verdict.to_string()) @if !entry.decision.passes() || entry.verdict != Verdict::Reproduced { ", " (decision) } }
                span.dim { (why.unwrap_or_default()) }
            }
            div.inside {
                (findings(record, &decided(entry)))
                @if view.diffs.contains_key(&record.key) {
                    p.label { "From git to what was published" }
                    @match shown {
                        Some(diff) => (diff::markup(diff, &rest)),
                        None => p { "This page has enough of others: " code { (rest) } " shows it." },
                    }
                }
                (commands(record, run.as_deref(), accepting(entry)))
            }
        }
    }
}

/// What a report has besides packages.
fn around(report: &Report) -> Markup {
    let reviewed: Vec<&Reviewed> =
        report.reviewed.iter().filter(|one| one.state != State::Used || one.detail.is_some()).collect();
    let not_published: Vec<String> = report
        .skipped
        .iter()
        .filter(|skipped| !matches!(skipped.kind, SkippedKind::Unsupported(_)))
        .map(|skipped| format!("{} {}", skipped.name, skipped.version))
        .collect();
    let unsupported: Vec<_> = report.unsupported().collect();
    let notes = report.notes();
    html! {
        @if !unsupported.is_empty() {
            h2 { "Unsupported (" (unsupported.len()) ")" }
            ul { @for (skipped, reason) in unsupported {
                li { (skipped.name.to_string()) " " (skipped.version.to_string()) ": " (reason.to_string()) }
            } }
        }
        @if !reviewed.is_empty() {
            h2 { "Waivers and rules (" (reviewed.len()) ")" }
            ul { @for one in reviewed {
                li { (one.subject.to_string()) ": " (one.state.to_string())
                    @if let Some(detail) = &one.detail { ": " (detail.to_string()) } }
            } }
        }
        @if !not_published.is_empty() {
            h2 { "Not published (" (not_published.len()) ")" }
            p { (not_published.join(", ")) }
        }
        @if !notes.is_empty() {
            h2 { "Notes" }
            ul { @for note in notes { li { (note.to_string()) } } }
        }
    }
}

/// How the page came about.
pub fn footer(recrate: &str, day: Option<Date>) -> Markup {
    html! {
        footer {
            p {
                "Each crate was packaged again from its commit by a pinned cargo in the Nix sandbox, with the registry's index as it was "
                "when the crate was published, and compared with what the registry has. \"Bit for bit\" says that the published crate is "
                "what the commit gives, not that the commit does no harm. \"Unverifiable\" says nothing against a crate."
            }
            p { "recrate " (Foreign::from(recrate).to_string()) @if let Some(day) = day { ", " (day.to_string()) } }
        }
    }
}
