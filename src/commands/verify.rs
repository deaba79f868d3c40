//! `recrate verify`: a lock file, or one crate, to a report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Failure;
use super::subject::{Done, Subject};
use crate::edges::cache::write_whole;
use crate::edges::console::{colours_on_stdout, print};
use crate::stages::lock::Skipped;
use crate::stages::plan::Plan;
use crate::stages::report::Report;
use crate::stages::verdict::{Exit, Level};

/// Verify the crates of a lock file, or a single crate.
///
/// Every registry crate gets a verdict; git and path packages are listed as skipped. What is finished is kept in the
/// run directory as it comes: after an interruption, the same command goes on from there. Builds that the Nix store
/// has are not built again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    nothing is worse than --accept
  1    a crate is worse
  2    wrong use or unreadable input
  3    nothing is worse, but some crates could not be told
  4    there was nothing to verify
  70   the machinery failed
  130  interrupted

Examples:
  recrate verify                                  the Cargo.lock of this folder
  recrate verify itoa@1.0.18                      one crate, without a lock file
  recrate verify --format json > report.json      for programs
  recrate verify --git-mirror https://github.com/=ssh://git@git.example/mirrors/")]
pub struct Verify {
    /// The weakest verdict that is good enough
    #[arg(long, value_name = "VERDICT", default_value = "archive-differs")]
    accept: Level,
    /// Form of the report on standard output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// With a LOCK or crates: write the plan, with which anybody can build the same, to FILE. Without: verify what the
    /// plan in FILE says, as it stands
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    subject: Subject,
}

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: see docs/report.schema.json.
    Json,
}

impl Verify {
    /// Verifies and prints the report.
    ///
    /// # Errors
    /// Where the input can't be read or the machinery fails.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        if let Some(path) = self.plan.as_deref().filter(|_| !self.subject.is_given()) {
            return self.replay(path);
        }
        let (locked, folder) = self.subject.read()?;
        if locked.crates.is_empty() {
            return self.print(&Report::new(Vec::new(), locked.skipped, self.accept), Exit::Nothing);
        }
        let done = self.subject.work(&locked, &folder)?;
        if let Some(path) = &self.plan {
            write_whole(path, done.plan.to_json().as_bytes()).map_err(Failure::machinery)?;
        }
        self.report(done, locked.skipped)
    }

    fn replay(&self, path: &Path) -> Result<ExitCode, Failure> {
        let named = |error: String| Failure::usage(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path)
            .map_err(|error| named(format!("{error}; `recrate plan --output {}` writes a plan", path.display())))?;
        let plan = Plan::read(&text).map_err(named)?;
        if plan.rebuilds.is_empty() && plan.settled.is_empty() {
            return self.print(&Report::new(Vec::new(), plan.skipped, self.accept), Exit::Nothing);
        }
        let absolute = std::path::absolute(path).map_err(Failure::usage)?;
        let folder = absolute.parent().unwrap_or(&absolute);
        let done = self.subject.replay(&plan, folder)?;
        self.report(done, plan.skipped)
    }

    fn report(&self, done: Done, skipped: Vec<Skipped>) -> Result<ExitCode, Failure> {
        let exit = Exit::of(done.records.iter().map(|record| record.verdict.level()), self.accept);
        let report = Report::new(done.records, skipped, self.accept);
        done.run.write("report.json", &report.to_json()).map_err(Failure::machinery)?;
        self.print(&report, exit)
    }

    fn print(&self, report: &Report, exit: Exit) -> Result<ExitCode, Failure> {
        let text = match self.format {
            Format::Text => report.to_text(Some(self.subject.out()), colours_on_stdout()),
            Format::Json => report.to_json(),
        };
        print(&text).map_err(Failure::machinery)?;
        Ok(ExitCode::from(exit.code()))
    }
}
