//! `recrate clean`: lets garbage collection take what earlier runs have built.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use crate::edges::console::print;
use crate::edges::run_directory::{self, old};
use crate::stages::report::OUT;

/// Let garbage collection take what earlier runs have built.
///
/// A run directory keeps Nix from removing what its report names. This ends that, for the run before the last one; reports,
/// plans and logs stay, and can still be read. `nix-collect-garbage` frees the space.
#[derive(Debug, clap::Args)]
pub struct Clean {
    /// Folder of the run
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    /// The last run's, too
    #[arg(long)]
    all: bool,
}

impl Clean {
    /// Removes roots.
    ///
    /// # Errors
    /// Where a run is going on, or a file can't be removed.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let mut runs = vec![old(&self.out)];
        runs.extend(self.all.then(|| self.out.clone()));
        let mut text = String::new();
        for run in runs {
            let released = run_directory::release(&run).map_err(Failure::usage)?;
            text += &match released {
                Some(0) => format!("{}: nothing was held\n", run.display()),
                Some(count) => format!("{}: {count} builds are free to be collected\n", run.display()),
                None => format!("{}: no run\n", run.display()),
            };
        }
        print(&text).map_err(Failure::internal)?;
        Ok(ExitCode::SUCCESS)
    }
}
