//! `recrate cache`: what is kept, and how it gets smaller.

use std::fmt::Write as _;
use std::process::ExitCode;

use indicatif::HumanBytes;

use super::Failure;
use super::build_options::Places;
use crate::edges::cache::usage::{PARTS, RESULTS_LIMIT};
use crate::edges::console::print;

/// Show or clean what was fetched and what crates came to.
///
/// All of it can be fetched or computed again. Imported cargos are no part of the cache, nor is what Nix has built: see
/// `recrate clean`.
#[derive(Debug, clap::Subcommand)]
pub enum Cache {
    /// Show where the cache is and what it takes
    Show {
        /// Where recrate keeps things
        #[command(flatten)]
        places: Places,
    },
    /// Remove parts of the cache, or all of it
    Clean {
        /// The parts to remove [default: all]
        #[arg(value_parser = PARTS.map(|(part, _)| part))]
        parts: Vec<String>,
        /// Where recrate keeps things
        #[command(flatten)]
        places: Places,
    },
}

impl Cache {
    /// Shows or cleans.
    ///
    /// # Errors
    /// Where the cache can't be read, is in use, or is no cache.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let text = match self {
            Self::Show { places } => Self::show(places)?,
            Self::Clean { parts, places } => Self::clean(places, parts)?,
        };
        print(&text).map_err(Failure::internal)?;
        Ok(ExitCode::SUCCESS)
    }

    fn show(places: &Places) -> Result<String, Failure> {
        let cache = places.cache()?;
        let mut text = format!("{}\n", cache.path("").display());
        let mut total = 0;
        for (part, what) in PARTS {
            let usage = cache.usage(part).map_err(Failure::internal)?;
            total += usage.bytes;
            let size = HumanBytes(usage.bytes).to_string();
            let _ = writeln!(text, "{part:<9} {size:>12} {:>7} files  {what}", usage.files);
        }
        let total = HumanBytes(total).to_string();
        let bound = HumanBytes(RESULTS_LIMIT);
        let _ = writeln!(text, "{:<9} {total:>12}  results are bounded to {bound}, the longest unused go first", "all");
        Ok(text)
    }

    fn clean(places: &Places, parts: &[String]) -> Result<String, Failure> {
        let cache = places.cache()?;
        let all = PARTS.map(|(part, _)| part);
        let named: Vec<&str> = parts.iter().map(String::as_str).collect();
        let parts = if named.is_empty() { all.as_slice() } else { &named };
        let sizes = parts.iter().map(|part| cache.usage(part).map(|usage| usage.bytes));
        let freed: u64 = sizes.sum::<Result<u64, _>>().map_err(Failure::internal)?;
        if freed > 0 {
            cache.clean(parts).map_err(Failure::usage)?;
        }
        Ok(format!("{} removed\n", HumanBytes(freed)))
    }
}
