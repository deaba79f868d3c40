//! `recrate verify`: a lock file, one crate or a plan, to a report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Failure;
use super::subject::{Done, Subject};
use crate::edges::console::{colours_on_stdout, print};
use crate::stages::claims::{Cause, Missing, Obstacle};
use crate::stages::coverage;
use crate::stages::judge::judge_obstacle;
use crate::stages::lock::Locked;
use crate::stages::plan::Plan;
use crate::stages::policy::BuiltIn;
use crate::stages::record::Record;
use crate::stages::report::Report;
use crate::stages::report::text::View;

/// Verify the packages of a lock file, or a single crate.
///
/// Builds each package again from its git commit, in the Nix sandbox, and compares. Git and path packages are listed as
/// not published. What is finished is kept in the run directory as it comes: after an interruption, the same command goes
/// on from there. Builds that the Nix store has are not built again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    the policy accepts every package
  1    it rejects a package
  2    usage error or unreadable input
  3    it rejects none, but some are undetermined
  4    there was nothing to verify
  70   recrate or the machine is at fault
  130  interrupted

Examples:
  recrate verify                                  the Cargo.lock of this folder
  recrate verify itoa@1.0.18                      one crate, without a lock file
  recrate verify --format json > report.json      for programs
  recrate verify --from-plan plan.json Cargo.lock what a plan says, and whether it covers the lock file
  recrate verify --git-mirror https://github.com/=ssh://git@git.example/mirrors/")]
pub struct Verify {
    /// The policy: what is required of a package
    #[arg(long, value_name = "POLICY", default_value = "default")]
    accept: BuiltIn,
    /// Form of the report on standard output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Verify what the plan in FILE says, without any search. With a LOCK, packages that the plan does not cover are
    /// undetermined. What the plan says of registry and repositories is asked again, unless --offline is set
    #[arg(long, value_name = "FILE")]
    from_plan: Option<PathBuf>,
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
    /// Where the input can't be read, or recrate or the machine is at fault.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        if let Some(path) = &self.from_plan {
            return self.replay(path);
        }
        let read = self.subject.read()?;
        if read.locked.packages.is_empty() {
            return self.print(&Report::new(Vec::new(), read.locked.skipped, self.accept, Vec::new()));
        }
        let Done { records, notices, run, .. } = self.subject.verify(&read)?;
        let report = Report::new(records, read.locked.skipped, self.accept, notices);
        run.write("report.json", &report.to_json()).map_err(Failure::internal)?;
        self.print(&report)
    }

    fn replay(&self, path: &Path) -> Result<ExitCode, Failure> {
        let named = |error: String| Failure::usage(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| {
            named(format!("{error}\nhelp: `recrate plan --output {}` writes a plan", path.display()))
        })?;
        let plan = Plan::read(&text).map_err(named)?;
        let read = if self.subject.is_given() { Some(self.subject.read()?) } else { None };
        let locked = read.as_ref().map(|read| &read.locked);
        let uncovered = locked.map(|locked| uncovered(locked, &plan)).unwrap_or_default();
        let mut notices = Vec::new();
        match locked {
            None => notices.push(
                "the plan was not compared with a Cargo.lock: name it to notice when it is out of date".to_owned(),
            ),
            Some(locked)
                if read.as_ref().is_some_and(|read| read.from_lock_file)
                    && plan.lockfile != Some(coverage::digest(locked)) =>
            {
                notices.push("the plan was made for another Cargo.lock: `recrate plan` writes a new one".to_owned());
            }
            Some(_) => {}
        }
        let obstacles = plan.packages.len() - plan.rebuilds().count();
        if obstacles > 0 {
            notices.push(format!(
                "why {obstacles} of the plan's packages can't be rebuilt is what its author says: `recrate verify` without \
                 --from-plan looks for itself"
            ));
        }
        let mut skipped = plan.skipped.clone();
        skipped.extend(locked.into_iter().flat_map(|locked| locked.skipped.iter().cloned()));
        skipped.sort();
        skipped.dedup();
        if plan.packages.is_empty() {
            return self.print(&Report::new(uncovered, skipped, self.accept, notices));
        }
        let absolute = std::path::absolute(path).map_err(Failure::usage)?;
        let beside = || absolute.parent().unwrap_or(&absolute).to_owned();
        let folder = read.as_ref().map_or_else(beside, |read| read.folder.clone());
        let done = self.subject.replay(&plan, &folder)?;
        let mut records = done.records;
        records.extend(uncovered);
        let report = Report::new(records, skipped, self.accept, notices);
        done.run.write("report.json", &report.to_json()).map_err(Failure::internal)?;
        self.print(&report)
    }

    fn print(&self, report: &Report) -> Result<ExitCode, Failure> {
        let view =
            View { out: Some(self.subject.out()), verbose: self.subject.is_verbose(), colour: colours_on_stdout() };
        let text = match self.format {
            Format::Text => report.to_text(view),
            Format::Json => report.to_json(),
        };
        print(&text).map_err(Failure::internal)?;
        Ok(ExitCode::from(report.exit().code()))
    }
}

/// The packages of a lock file that a plan does not cover: undetermined.
fn uncovered(locked: &Locked, plan: &Plan) -> Vec<Record> {
    let covered = |package: &&crate::stages::lock::LockedPackage| {
        let planned = plan.packages.get(&package.key.job());
        planned.is_some_and(|planned| package.checksum.is_none_or(|checksum| planned.checksum == Some(checksum)))
    };
    let missing = locked.packages.iter().filter(|package| !covered(package));
    missing
        .map(|package| {
            let reason =
                format!("the plan has no {} with the lock file's checksum: run `recrate plan` again", package.key);
            let cause = Cause::Impossible { missing: Missing::Planned, reason: reason.into() };
            let findings = judge_obstacle(&Obstacle { cause, origin: None }, false);
            Record::new(package.key.clone(), package.checksum, findings)
        })
        .collect()
}
