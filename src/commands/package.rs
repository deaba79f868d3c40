//! `recrate package`: the crate as the sandbox makes it from the repository's commit.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use super::author::Author;
use crate::edges::cache::write_whole;
use crate::edges::console::{colours_on_stdout, print};
use crate::model::digest::Sha256;
use crate::pipeline::rehearsal::Rehearsed;
use crate::stages::report::text::View;

/// Package in the Nix sandbox, from the commit as its repository has it.
///
/// Writes the crate as the sandbox makes it with this project's cargo, the plan that anybody can repeat it with, and says what the
/// verdict would be if it was published now. Nothing is approved: `recrate check` does that.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    the crate was written, and cargo makes the same here
  1    cargo does not make the same here, or the sandbox makes none
  2    usage error or unreadable input
  3    something could not be determined
  70   recrate or the machine is at fault
  130  interrupted

Examples:
  recrate package                        target/package/NAME-VERSION.crate and NAME-VERSION.plan.json
  recrate verify --from-plan target/package/NAME-VERSION.plan.json
                                         the same once it is published, by anybody")]
pub struct Package {
    /// Folder for crates and plans [default: package in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    author: Author,
}

impl Package {
    /// Packages, writes and prints the verdicts.
    ///
    /// # Errors
    /// Where the project can't be read, a file can't be written, or recrate or the machine is at fault.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let project = self.author.project()?;
        let rehearsal = self.author.rehearse(&project, &project.members, 0)?;
        let folder = self.output.clone().unwrap_or_else(|| project.workspace.target.join("package"));
        let report = rehearsal.report();
        rehearsal.run.write("report.json", &report.to_json()).map_err(Failure::internal)?;
        let view = View { out: Some(&project.out), verbose: true, colour: colours_on_stdout() };
        let mut text = if report.packages.is_empty() { String::new() } else { report.to_text(view) };
        let mut code = if report.packages.is_empty() { 1 } else { report.exit().code() };
        for Rehearsed { key, sandbox, problems, .. } in &rehearsal.packages {
            let Some(bytes) = sandbox else {
                code = code.max(1);
                for problem in problems {
                    text += &format!("{key}: {}\nfix: {}\n", problem.message, problem.fix);
                }
                continue;
            };
            let stem = key.id().stem();
            let (krate, plan) = (folder.join(format!("{stem}.crate")), folder.join(format!("{stem}.plan.json")));
            write_whole(&krate, bytes).map_err(Failure::internal)?;
            let part = rehearsal.plan.only(&[key.job().as_str()].into());
            write_whole(&plan, part.to_json().as_bytes()).map_err(Failure::internal)?;
            text += &format!(
                "{}: sha256 {}\n{}: how anybody can repeat it\n",
                krate.display(),
                Sha256::of(bytes),
                plan.display()
            );
        }
        print(&text).map_err(Failure::internal)?;
        Ok(ExitCode::from(code))
    }
}
