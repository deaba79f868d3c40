//! `recrate letter`: a text to the maintainer of a crate that does not match.

use std::process::ExitCode;

use super::Failure;
use super::build_options::Places;
use crate::edges::console::print;
use crate::model::krate::CrateId;
use crate::model::package::RegistryName;
use crate::stages::history::Word;
use crate::stages::letter::letter;
use crate::stages::verdict::Verdict;

/// Write a text to the maintainer of a crate: what differs from git, where it may be from, and how the next version can match.
///
/// Printed, and sent nowhere: read it, and change it as you like. It is about what the last run found that looked at the crate.
/// Exit status: 0 a text, 4 there is nothing to write about.
#[derive(Debug, clap::Args)]
pub struct Write {
    /// The crate
    #[arg(value_name = "NAME@VERSION")]
    krate: CrateId,
    /// The registry that the crate is from, where runs had it from several: `default`, or the address of its index
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<RegistryName>,
    #[command(flatten)]
    places: Places,
}

impl Write {
    /// Prints the text.
    ///
    /// # Errors
    /// Where no run looked at the crate, or the database can't be read.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let id = &self.krate;
        let mut found = self.places.results()?.history(&id.name).map_err(Failure::internal)?;
        // What the author of a plan says is nothing to write to somebody.
        found.retain(|found| found.record.key.id() == *id && found.run.word != Word::Plan);
        found.retain(|found| self.registry.as_ref().is_none_or(|registry| *registry == found.record.key.registry));
        let Some(last) = found.iter().max_by_key(|found| found.run.id) else {
            return Err(Failure::usage(format!("no run has looked at {id}\nhelp: run `recrate verify {id}` first")));
        };
        let record = &last.record;
        let Some(text) = letter(record) else {
            let why = match record.verdict() {
                Verdict::Reproduced => "it is what its commit gives, bit for bit: nothing to write about",
                _ => "recrate could not do its work: nothing is known that a maintainer could help with",
            };
            eprintln!("{id}: {why}");
            return Ok(ExitCode::from(4));
        };
        print(&text).map_err(Failure::internal)?;
        Ok(ExitCode::SUCCESS)
    }
}
