//! `recrate runs`: earlier runs, and what differs between two of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use super::Failure;
use super::build_options::Places;
use crate::edges::console::print;
use crate::edges::results::Results;
use crate::stages::history::{Change, Direction, Found, RunId, compare};

/// List earlier runs, or show what got better or worse between two of them.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Runs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    places: Places,
}

/// What to do with runs.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what got better or worse from one run to another, and what made it so.
    ///
    /// Exit status: 0 nothing is worse, 1 something is.
    Diff {
        /// The run before, by its number
        #[arg(value_name = "A", value_parser = run_id)]
        before: RunId,
        /// The run after
        #[arg(value_name = "B", value_parser = run_id)]
        after: RunId,
    },
}

fn run_id(text: &str) -> Result<RunId, String> {
    text.parse().map(RunId).map_err(|_| "not the number of a run: `recrate runs` lists them".to_owned())
}

impl Runs {
    /// Prints the runs, or what differs; the exit status is 1 where something is worse.
    ///
    /// # Errors
    /// Where the database can't be read, or has no such run.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let results = self.places.results()?;
        let Some(What::Diff { before, after }) = &self.what else {
            let mut text = String::new();
            for run in results.runs().map_err(Failure::internal)? {
                let day = run.minute();
                let _ = writeln!(
                    text,
                    "{:<4} {day}  {:<14} recrate {}  {}",
                    run.id.to_string(),
                    run.outcome.to_string(),
                    run.recrate,
                    run.subject
                );
            }
            let text = if text.is_empty() { "no runs yet\n".to_owned() } else { text };
            print(&text).map_err(Failure::internal)?;
            return Ok(ExitCode::SUCCESS);
        };
        let (a, b) = (of_run(&results, *before)?, of_run(&results, *after)?);
        let changes = compare(&a, &b);
        let mut counts: BTreeMap<Direction, usize> = BTreeMap::new();
        let mut text = String::new();
        for change in &changes {
            *counts.entry(change.direction()).or_default() += 1;
            text += &line(change);
        }
        let same = b.len().saturating_sub(changes.iter().filter(|change| change.after.is_some()).count());
        let counted =
            counts.iter().fold(String::new(), |text, (direction, count)| format!("{text}{count} {direction}, "));
        let _ = writeln!(text, "run {before} to run {after}: {counted}{same} the same");
        print(&text).map_err(Failure::internal)?;
        Ok(ExitCode::from(u8::from(counts.contains_key(&Direction::Worse))))
    }
}

fn of_run(results: &Results, id: RunId) -> Result<Vec<Found>, Failure> {
    let found = results.of_run(id).map_err(Failure::internal)?;
    if found.is_empty() {
        return Err(Failure::usage(format!("there is no run {id}\nhelp: `recrate runs` lists them")));
    }
    Ok(found)
}

/// What became of a package.
fn line(change: &Change<'_>) -> String {
    let what = |found: Option<&Found>| {
        found.map_or("not looked at".to_owned(), |found| format!("{}, {}", found.record.verdict(), found.decision))
    };
    let causes: Vec<String> = change.causes().iter().map(ToString::to_string).collect();
    let why = if causes.is_empty() { String::new() } else { format!("  ({})", causes.join(", ")) };
    format!(
        "{:<7}{}: {} -> {}{why}\n",
        change.direction().to_string(),
        change.key,
        what(change.before),
        what(change.after)
    )
}
