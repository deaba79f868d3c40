//! `recrate diff`: how a published crate and its rebuild differ, line by line.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use super::build_options::BuildOptions;
use crate::edges::console::{colours_on_stdout, print};
use crate::edges::run_directory::{Kept, read_folder, read_kept};
use crate::model::krate::CrateId;
use crate::model::package::RegistryName;
use crate::pipeline::differences::Error;
use crate::stages::diff::lines::Budget;
use crate::stages::report::OUT;

/// Show how a published crate and its rebuild differ.
///
/// File by file, as a diff from git to what was published; then how the container differs: entries, headers, what follows.
/// Control characters are shown escaped. Nothing is built. Exit status: 0 no difference, 1 a difference, 2 there is no such
/// run.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// The crate, from a run of `recrate verify`
    #[arg(value_name = "NAME@VERSION")]
    krate: CrateId,
    /// Folder of that run
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    /// The registry that the crate is from, where the run has it from several: `default`, or the address of its index
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<RegistryName>,
    #[command(flatten)]
    options: BuildOptions,
}

impl Diff {
    /// Prints the differences. The exit status is 0 where there are none, 1 where there are.
    ///
    /// # Errors
    /// Where the run does not have the crate, or its build is gone.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let id = &self.krate;
        let absent = |what: &str| Failure::usage(format!("{what}\nhelp: run `recrate verify {id}` first"));
        let Kept { record, .. } = self.kept(&absent)?;
        let folder = read_folder(&self.out).ok_or_else(|| absent(&format!("{} is not a run", self.out.display())))?;
        let context = self.options.context(&folder)?;
        let diff = context.difference(&record, &self.out, Budget::default()).map_err(|error| match error {
            Error::NotRebuilt => Failure::usage(format!("{id} was not rebuilt: {}", record.verdict())),
            Error::Gone(_) => absent(&error.to_string()),
            Error::NothingPackaged { drv } => {
                Failure::usage(format!("cargo packaged nothing of {id}\nhelp: `nix-store --read-log {drv}` shows why"))
            }
            Error::Unreadable(_) => Failure::internal(error),
        })?;
        let Some(diff) = diff else {
            print(&format!("{id}: no difference\n")).map_err(Failure::internal)?;
            return Ok(ExitCode::SUCCESS);
        };
        print(&diff.to_text(colours_on_stdout())).map_err(Failure::internal)?;
        Ok(ExitCode::FAILURE)
    }

    /// What the run has of the crate.
    fn kept(&self, absent: &dyn Fn(&str) -> Failure) -> Result<Kept, Failure> {
        let id = &self.krate;
        let mut kept = read_kept(&self.out, id);
        kept.retain(|kept| self.registry.as_ref().is_none_or(|registry| *registry == kept.record.key.registry));
        if kept.len() > 1 {
            let registries: Vec<String> = kept.iter().map(|kept| kept.record.key.registry.to_string()).collect();
            return Err(Failure::usage(format!(
                "the run has {id} from several registries\nhelp: add --registry with one of {}",
                registries.join(", ")
            )));
        }
        kept.pop().ok_or_else(|| absent(&format!("{} has no record of {id}", self.out.display())))
    }
}
