//! `recrate completions`: a completion script for a shell.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::{Cli, Failure};

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Completions {
    /// Prints the script.
    ///
    /// # Errors
    /// None; for the sake of the other commands' form.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        clap_complete::generate(self.shell, &mut Cli::command(), "recrate", &mut std::io::stdout());
        Ok(ExitCode::SUCCESS)
    }
}
