//! `recrate history`: what earlier runs found of a crate.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::Failure;
use super::build_options::Places;
use crate::edges::console::print;
use crate::model::krate::CrateName;
use crate::stages::history::{Change, turns};

/// Show what earlier runs found of a crate, and what made them find something else.
///
/// Every `recrate verify` adds what it found to the results database. Of each version there is a line for the first run that
/// looked at it, and one for each that found something else than the run before.
#[derive(Debug, clap::Args)]
pub struct History {
    /// The crate
    #[arg(value_name = "NAME")]
    name: CrateName,
    #[command(flatten)]
    places: Places,
}

impl History {
    /// Prints the turns of each version; exit status 4 where no run looked at the crate.
    ///
    /// # Errors
    /// Where the database can't be read.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let found = self.places.results()?.history(&self.name).map_err(Failure::internal)?;
        let mut text = String::new();
        for of_version in found.chunk_by(|a, b| a.record.key == b.record.key) {
            let Some(first) = of_version.first() else { continue };
            let runs = if of_version.len() == 1 { "run" } else { "runs" };
            let _ = writeln!(text, "{} ({} {runs})", first.record.key, of_version.len());
            for turn in turns(of_version) {
                text += &line(&turn);
            }
        }
        if text.is_empty() {
            eprintln!("no run has looked at {}", self.name);
            return Ok(ExitCode::from(4));
        }
        print(&text).map_err(Failure::internal)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What a run found of a package, and why that is something else than before.
fn line(turn: &Change<'_>) -> String {
    let Some(found) = turn.after else { return String::new() };
    let day = found.run.minute();
    let commit =
        found.record.findings.origin.as_ref().map_or(String::new(), |origin| format!("  {}", origin.commit.short()));
    let causes: Vec<String> = turn.causes().iter().map(ToString::to_string).collect();
    let why = match (turn.before, causes.is_empty()) {
        (None, _) => String::new(),
        (Some(_), true) => "  (the cause is not known)".to_owned(),
        (Some(_), false) => format!("  ({})", causes.join(", ")),
    };
    format!(
        "  {day}  run {:<4} {}, {}{commit}{why}\n",
        found.run.id.to_string(),
        found.record.verdict(),
        found.decision
    )
}
