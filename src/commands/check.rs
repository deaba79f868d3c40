//! `recrate check`: what keeps a package from being published so that others can rebuild it.

use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};

use super::Failure;
use super::author::{Author, Rehearsal};
use super::format::{self, Output, in_repository};
use crate::edges::console::colours_on_stdout;
use crate::pipeline::rehearsal::Project;
use crate::stages::check::report::CheckReport;

/// Check, before it is published, whether others can rebuild a package from its commit.
///
/// Packages it here, as `cargo publish` would, and in the Nix sandbox from the commit as its repository has it; both must be the same,
/// bit for bit. The commit must be pushed and reached by a branch or tag, no tag of the version may be elsewhere, and the registry must
/// take it. What passes is approved for a while: `recrate credential` lets just these bytes be published.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    every package can be published
  1    one must not be published like this
  2    usage error or unreadable input
  3    something could not be determined
  70   recrate or the machine is at fault
  130  interrupted

Examples:
  recrate check                          the package of this folder
  recrate check --workspace              all packages that may be published
  recrate check --format github          annotations in a job of GitHub's
  recrate check && cargo publish         under the gate: see `recrate credential --help`")]
pub struct Check {
    /// Form of the report on standard output, or in a file: text, json, junit, sarif, markdown or github. Can be given several times
    #[arg(long, value_name = "FORMAT[=FILE]")]
    format: Vec<Output>,
    #[command(flatten)]
    approve_for: ApproveFor,
    #[command(flatten)]
    author: Author,
}

/// How long an approval counts.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ApproveFor {
    /// How long the gate lets pass what was approved, like 30m or 1h
    #[arg(long = "approve-for", value_name = "TIME", default_value = "1h", value_parser = duration)]
    time: SignedDuration,
}

/// How long an approval can count, at most.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// Reads a duration that an approval can have.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let time: SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    if time.is_positive() && time <= LONGEST { Ok(time) } else { Err("more than nothing, and at most 24h".to_owned()) }
}

impl ApproveFor {
    /// Until when.
    #[must_use]
    pub fn until(self) -> Timestamp {
        Timestamp::now().checked_add(self.time).unwrap_or(Timestamp::MAX)
    }
}

impl Check {
    /// Checks and prints the report.
    ///
    /// # Errors
    /// Where the project can't be read, or recrate or the machine is at fault.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        format::check(&self.format)?;
        let project = self.author.project()?;
        self.author.withdraw(&project, &project.members)?;
        let rehearsal = self.author.rehearse(&project, &project.members, 0)?;
        let report = approve(&project, &rehearsal, self.approve_for.until())?;
        format::write_check(&self.format, &report, colours_on_stdout())?;
        Ok(ExitCode::from(report.exit_code()))
    }
}

/// Approves what nothing is wrong with, takes the approval of everything else back, and reports.
///
/// # Errors
/// Where approvals can't be kept.
pub fn approve(project: &Project, rehearsal: &Rehearsal, until: Timestamp) -> Result<CheckReport, Failure> {
    let approvals = rehearsal.approvals();
    let mut checked = Vec::new();
    for package in &rehearsal.packages {
        let approval = package.approval(project, until).filter(|_| package.worst().is_none());
        match &approval {
            Some(approval) => approvals.give(approval).map_err(Failure::internal)?,
            None => approvals.withdraw(&package.key).map_err(Failure::internal)?,
        }
        let manifest = in_repository(&package.member.manifest);
        checked.push(package.checked(project, manifest, approval.map(|approval| approval.until)));
    }
    let report = CheckReport::new(checked, rehearsal.context.notices.clone());
    rehearsal.run.write("check.json", &report.to_json()).map_err(Failure::internal)?;
    rehearsal.run.write("report.json", &rehearsal.report().to_json()).map_err(Failure::internal)?;
    Ok(report)
}
