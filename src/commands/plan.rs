//! `recrate plan`: a lock file, or one crate, to a plan.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use super::subject::Subject;
use crate::edges::cache::write_whole;
use crate::edges::console::print;
use crate::stages::verdict::Level;

/// Write the plan of a lock file: everything that decides its rebuilds.
///
/// Whoever has the plan can build the same with plain Nix, without recrate's own search. The same lock file and the same
/// answers of registry and repositories give the same plan, byte for byte; it has no path of this machine, no time of
/// day and no user in it. Crates that can't be rebuilt are in it with the reason; what could not be found out is not.
#[derive(Debug, clap::Args)]
pub struct Plan {
    /// Where to write it [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    subject: Subject,
}

impl Plan {
    /// Makes the plan; exit status 4 where there is nothing in it.
    ///
    /// # Errors
    /// Where the input can't be read or the machinery fails.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let (locked, folder) = self.subject.read()?;
        if locked.crates.is_empty() {
            return Ok(ExitCode::from(4));
        }
        let done = self.subject.work(&locked, &folder)?;
        for record in done.records.iter().filter(|record| record.best.is_none()) {
            let level = record.verdict.level();
            let why = if level == Level::Inconclusive { "not in the plan" } else { "nothing to rebuild" };
            eprintln!("{why}: {}@{}, {level}", record.name, record.version);
        }
        let text = done.plan.to_json();
        match &self.output {
            Some(path) => write_whole(path, text.as_bytes()).map_err(Failure::machinery)?,
            None => print(&text).map_err(Failure::machinery)?,
        }
        Ok(if done.plan.rebuilds.is_empty() { ExitCode::from(4) } else { ExitCode::SUCCESS })
    }
}
