//! `recrate diff`: how a published crate and its rebuild differ, line by line.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use super::setting::{Places, cargo_config};
use crate::builder::status::{FILE, Outcome, Status};
use crate::edges::console::{colours_on_stdout, print};
use crate::edges::network::Network;
use crate::edges::registry::Registry;
use crate::edges::run_directory::{read_folder, read_kept};
use crate::model::krate::CrateId;
use crate::stages::artefact::Archive;
use crate::stages::diff::differences;
use crate::stages::report::OUT;

/// Show how a published crate and its rebuild differ.
///
/// File by file, as a diff from git to what was published; where every file is the same, how the archive differs.
/// Control characters are shown escaped. Exit status: 0 no difference, 1 a difference, 2 there is no such run.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// The crate, from a run of `recrate verify`
    #[arg(value_name = "NAME@VERSION")]
    krate: CrateId,
    /// Folder of that run
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    /// Use what is in the cache; fetch nothing
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    places: Places,
}

impl Diff {
    /// Prints the differences. The exit status is 0 where there are none, 1 where there are.
    ///
    /// # Errors
    /// Where the run does not have the crate, or its build is gone.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let id = &self.krate;
        let absent = |what: &str| Failure::usage(format!("{what}: run `recrate verify {id}` first"));
        let kept =
            read_kept(&self.out, id).ok_or_else(|| absent(&format!("{} has no record of {id}", self.out.display())))?;
        let record = kept.record;
        let (Some(tried), Some(checksum)) = (record.best.and_then(|at| record.tries.get(at)), record.checksum) else {
            return Err(Failure::usage(format!("nothing was rebuilt of {id}: {}", record.verdict.level())));
        };
        // What another store built was copied.
        let copied = self.out.join("store").join(tried.out.trim_start_matches('/'));
        let out = if copied.exists() { copied } else { PathBuf::from(&tried.out) };
        let status = std::fs::read(out.join(FILE)).map_err(|_| absent(&format!("{} is no longer there", tried.out)))?;
        let status: Status = serde_json::from_slice(&status).map_err(Failure::machinery)?;
        let Outcome::Packaged { file } = status.outcome else {
            return Err(Failure::usage(format!(
                "cargo packaged nothing of {id}; see `nix-store --read-log {}`",
                tried.drv
            )));
        };
        let rebuilt = std::fs::read(out.join(file)).map_err(Failure::machinery)?;
        let folder = read_folder(&self.out).ok_or_else(|| absent(&format!("{} is no run", self.out.display())))?;
        let place = cargo_config(&folder)?.place(&kept.registry).map_err(Failure::usage)?;
        let network = Network::acquire(self.offline);
        let registry = Registry::new(place, self.places.cache()?, network);
        let published = registry.download(id, checksum).map_err(Failure::machinery)?;
        if published == rebuilt {
            print(&format!("{id}: no difference\n")).map_err(Failure::machinery)?;
            return Ok(ExitCode::SUCCESS);
        }
        let read = |bytes| Archive::read(id, bytes).map_err(Failure::machinery);
        let text = differences(&read(&published)?, &read(&rebuilt)?, colours_on_stdout());
        print(&text).map_err(Failure::machinery)?;
        Ok(ExitCode::FAILURE)
    }
}
