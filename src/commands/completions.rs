//! `recrate completions`: a completion script for a shell.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::{Cli, Failure};
use crate::edges::console::print;

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
    /// Where it can't be printed.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "recrate", &mut script);
        print(&String::from_utf8_lossy(&script)).map_err(Failure::internal)?;
        Ok(ExitCode::SUCCESS)
    }
}
