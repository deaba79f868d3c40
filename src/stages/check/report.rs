//! What checking came to, in every form that a report of `recrate verify` has.

use std::fmt::Write as _;
use std::io;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Name, Problem, Weight};
use crate::model::commit::CommitId;
use crate::model::digest::Sha256;
use crate::model::foreign::{Foreign, in_json};
use crate::model::package::PackageKey;
use crate::model::repository::RepositoryUrl;
use crate::stages::report::brief::Level;
use crate::stages::report::github::{Annotation, commands};
use crate::stages::report::junit::{Case, Other, document};
use crate::stages::report::markdown::{cell, code};
use crate::stages::report::sarif::{Found, log_of};

/// The version of the JSON form. Fields may be added within a version, none is taken away or changes its meaning.
const SCHEMA: u32 = 1;

/// What checking packages came to. Its JSON is described in `docs/check.schema.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// The version of this form.
    pub schema: u32,
    /// The version of recrate.
    pub recrate: String,
    /// The packages, each after those that it needs.
    pub packages: Vec<Checked>,
    /// What else has to be known.
    pub notices: Vec<String>,
}

/// What checking a package came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// What it would be published as.
    #[serde(flatten)]
    pub package: PackageKey,
    /// Its manifest, as the repository has it.
    pub manifest: String,
    /// The sha256 of the crate that the sandbox made; none where it made none.
    pub sandbox: Option<Sha256>,
    /// The sha256 of the crate that cargo makes here; none where it makes none.
    pub here: Option<Sha256>,
    /// Where it comes from.
    pub origin: Option<From>,
    /// The cargo.
    pub cargo: String,
    /// Until when the gate lets it pass; none where it was not approved.
    pub approved_until: Option<Timestamp>,
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
}

/// Where a package comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct From {
    /// The repository.
    pub repository: RepositoryUrl,
    /// The commit.
    pub commit: CommitId,
}

impl Checked {
    /// What weighs most; nothing where the package can be published.
    #[must_use]
    pub fn worst(&self) -> Option<Weight> {
        self.problems.iter().map(|problem| problem.weight).filter(|weight| *weight != Weight::Note).min()
    }

    fn title(&self) -> String {
        format!("{} {}", self.package.name, self.package.version)
    }

    fn outcome(&self) -> &'static str {
        match self.worst() {
            None | Some(Weight::Note) => "ready",
            Some(Weight::Error) => "not ready",
            Some(Weight::Undetermined) => "undetermined",
        }
    }
}

/// What the rules of SARIF say of all problems.
const RULE: &str = "A package that is published like this could not be rebuilt from its commit by others.";

impl CheckReport {
    /// A report.
    #[must_use]
    pub fn new(packages: Vec<Checked>, notices: Vec<String>) -> Self {
        Self { schema: SCHEMA, recrate: env!("CARGO_PKG_VERSION").to_owned(), packages, notices }
    }

    /// 0 where all can be published, 1 where one must not be, 3 where something could not be determined.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.packages.iter().filter_map(Checked::worst).min() {
            None | Some(Weight::Note) => 0,
            Some(Weight::Error) => 1,
            Some(Weight::Undetermined) => 3,
        }
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self, colour: bool) -> String {
        let paint = |text: &str, weight: Option<Weight>| {
            let style = match weight {
                Some(Weight::Error) => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
                Some(Weight::Undetermined) => Style::new().fg_color(Some(AnsiColor::Magenta.into())),
                Some(Weight::Note) => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
                None => Style::new().fg_color(Some(AnsiColor::Green.into())),
            };
            if colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
        };
        let mut text = String::new();
        for package in &self.packages {
            let outcome = paint(package.outcome(), package.worst());
            let _ = writeln!(text, "{}: {outcome}", package.title());
            for Problem { name, weight, message, fix } in &package.problems {
                let kind = paint(said(*weight), Some(*weight));
                let mut lines = message.lines();
                let first = lines.next().unwrap_or_default();
                let _ = writeln!(text, "  {kind} {}: {first}", id(*name));
                for line in lines {
                    let _ = writeln!(text, "    | {line}");
                }
                let _ = writeln!(text, "    fix: {fix}");
            }
            if let Some(From { repository, commit }) = &package.origin {
                let _ = writeln!(text, "  from {repository} at {commit}, cargo {}", package.cargo);
            }
            match (package.sandbox, package.here) {
                (Some(sandbox), Some(here)) if sandbox == here => {
                    let _ = writeln!(text, "  the same here and in the sandbox: sha256 {sandbox}");
                }
                (sandbox, here) => {
                    let made = [("the sandbox makes", sandbox), ("cargo here makes", here)];
                    for (who, sha256) in made.into_iter().filter_map(|(who, sha256)| Some((who, sha256?))) {
                        let _ = writeln!(text, "  {who} sha256 {sha256}");
                    }
                }
            }
            if let Some(until) = package.approved_until {
                let _ = writeln!(text, "  approved for `recrate credential` until {}", until.strftime("%F %H:%M UTC"));
            }
            text.push('\n');
        }
        for notice in &self.notices {
            let mut lines = Foreign::from(notice.as_str()).lines().collect::<Vec<_>>().into_iter();
            let _ = writeln!(text, "note: {}", lines.next().unwrap_or_default());
            lines.for_each(|line| {
                let _ = writeln!(text, "  | {line}");
            });
        }
        let count = |wanted: &str| self.packages.iter().filter(|package| package.outcome() == wanted).count();
        let all = ["ready", "not ready", "undetermined"].into_iter();
        let counts: Vec<String> =
            all.filter(|outcome| count(outcome) > 0).map(|outcome| format!("{} {outcome}", count(outcome))).collect();
        let _ = writeln!(text, "{}", counts.join(", "));
        text
    }

    /// For programs.
    ///
    /// # Panics
    /// Never: it is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        in_json(&serde_json::to_string_pretty(self).expect("plain data with string keys")) + "\n"
    }

    /// Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = "## recrate check\n\n| package | outcome | what | fix |\n|---|---|---|---|\n".to_owned();
        for package in &self.packages {
            let (title, outcome) = (code(&package.title()), package.outcome());
            if package.problems.is_empty() {
                let _ = writeln!(out, "| {title} | {outcome} | | |");
            }
            for Problem { name, message, fix, .. } in &package.problems {
                let what = format!("{}: {message}", id(*name));
                let _ = writeln!(out, "| {title} | {outcome} | {} | {} |", cell(&what), cell(fix));
            }
        }
        out
    }

    /// Annotations for GitHub's runner.
    #[must_use]
    pub fn to_github(&self) -> String {
        let all = self.problems().map(|(package, problem)| Annotation {
            level: level(problem.weight),
            title: format!("{}: {}", package.title(), id(problem.name)),
            text: in_full(problem),
            place: Some((package.manifest.clone(), None)),
        });
        commands(&all.collect::<Vec<_>>())
    }

    /// SARIF 2.1.0.
    #[must_use]
    pub fn to_sarif(&self) -> String {
        let mut names: Vec<String> = self.problems().map(|(_, problem)| id(problem.name)).collect();
        names.sort();
        names.dedup();
        let rules: Vec<(String, &'static str)> = names.into_iter().map(|name| (name, RULE)).collect();
        let found = self.problems().map(|(package, problem)| Found {
            rule: id(problem.name),
            level: level(problem.weight),
            text: format!("{}: {}", package.title(), in_full(problem)),
            what: package.title(),
            place: (package.manifest.clone(), 1),
        });
        log_of(&self.recrate, &rules, found)
    }

    /// JUnit XML: a test for each package.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn to_junit(&self) -> io::Result<String> {
        let case = |package: &Checked| {
            let worst = package.worst();
            let lines: Vec<String> = package.problems.iter().map(in_full).collect();
            let other = worst.map(|worst| Other {
                element: if worst == Weight::Error { "failure" } else { "error" },
                kind: package.problems.first().map(|problem| id(problem.name)).unwrap_or_default(),
                message: package.problems.first().map(|problem| problem.message.to_string()).unwrap_or_default(),
                text: lines.join("\n"),
            });
            Case { name: package.title(), other }
        };
        document("recrate check", &self.packages.iter().map(case).collect::<Vec<_>>(), &self.notices)
    }

    fn problems(&self) -> impl Iterator<Item = (&Checked, &Problem)> {
        self.packages.iter().flat_map(|package| package.problems.iter().map(move |problem| (package, problem)))
    }
}

fn in_full(problem: &Problem) -> String {
    format!("{}\nfix: {}", problem.message, problem.fix)
}

fn level(weight: Weight) -> Level {
    match weight {
        Weight::Error | Weight::Undetermined => Level::Error,
        Weight::Note => Level::Warning,
    }
}

fn said(weight: Weight) -> &'static str {
    match weight {
        Weight::Error => "error",
        Weight::Undetermined => "undetermined",
        Weight::Note => "note",
    }
}

/// A name as in JSON.
fn id(name: Name) -> String {
    json!(name).as_str().map(str::to_owned).unwrap_or_default()
}
