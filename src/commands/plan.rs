//! `recrate plan`: a lock file, or one crate, to a plan.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use super::subject::{Done, Subject};
use crate::edges::cache::write_whole;
use crate::edges::console::print;
use crate::model::foreign::in_json;
use crate::stages::decision::{DecisionName, Exit};
use crate::stages::policy::BuiltIn;
use crate::stages::report::{Basis, Report};

/// Write the plan of a lock file: everything that decides its rebuilds.
///
/// To find the recipes, it searches: it builds like `recrate verify`. Whoever has the plan can build the same with plain
/// Nix, without recrate's own search. The same lock file and the same answers of registry and repositories give the same
/// plan, byte for byte; it has no path of this machine and no user in it. Every package of the lock file is in it, with how
/// it is rebuilt or why it can't be.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    every package could be looked at
  2    usage error or unreadable input
  3    the plan was written, but some packages are undetermined in it
  4    there was nothing to plan
  70   recrate or the machine is at fault
  130  interrupted")]
pub struct Plan {
    /// Where to write it [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    subject: Subject,
}

impl Plan {
    /// Makes the plan; exit status 3 where something in it is undetermined, 4 where there is nothing in it.
    ///
    /// # Errors
    /// Where the input can't be read, or recrate or the machine is at fault.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let read = self.subject.read()?;
        if read.locked.packages.is_empty() && read.locked.skipped.is_empty() {
            return Ok(ExitCode::from(Exit::Nothing.code()));
        }
        let Done { records, context, plan, run } = self.subject.plan(&read)?;
        let (skipped, notices) = (plan.skipped.clone(), context.notices);
        let report = Report::new(records, Basis { skipped, notices, ..Basis::of(BuiltIn::Default) });
        for entry in report.packages.iter().filter(|entry| entry.record.best.is_none()) {
            eprintln!("not rebuilt: {}, {}", entry.record.key, entry.verdict);
        }
        let text = plan.to_json();
        match &self.output {
            Some(path) => write_whole(path, text.as_bytes()).map_err(Failure::internal)?,
            None => print(&in_json(&text)).map_err(Failure::internal)?,
        }
        // Written last: a finished run is not gone on with.
        run.write("report.json", &report.to_json()).map_err(Failure::internal)?;
        let undetermined = report.decisions.contains_key(&DecisionName::Undetermined);
        Ok(match report.exit() {
            Exit::Nothing => ExitCode::from(Exit::Nothing.code()),
            _ if undetermined => ExitCode::from(Exit::Undetermined.code()),
            _ => ExitCode::SUCCESS,
        })
    }
}
