//! Differences between published crates and their rebuilds, for people.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::context::Context;
use crate::contract::status::{Outcome, Status};
use crate::edges::parallel::in_parallel;
use crate::judge::read_output;
use crate::model::package::PackageKey;
use crate::stages::artefact::Archive;
use crate::stages::diff::lines::Budget;
use crate::stages::diff::{Diff, diff};
use crate::stages::findings::Contents;
use crate::stages::judge::Output;
use crate::stages::record::Record;

/// Why there is no difference to show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The package was not rebuilt.
    #[error("it was not rebuilt")]
    NotRebuilt,
    /// The output of its build was removed.
    #[error("{0} is no longer there")]
    Gone(String),
    /// cargo refused to package it.
    #[error("cargo packaged nothing")]
    NothingPackaged {
        /// The derivation.
        drv: String,
    },
    /// The published crate can't be had, or one of the two can't be read.
    #[error("{0}")]
    Unreadable(String),
}

impl Context {
    /// How packages of the run in the folder `run` differ from their rebuilds, each at most as long as a page shows it. Packages that
    /// don't differ, or of which a crate is not there to be read, have none.
    #[must_use]
    pub fn differences<'a>(&self, records: impl Iterator<Item = &'a Record>, run: &Path) -> BTreeMap<PackageKey, Diff> {
        let differ =
            |record: &&Record| !matches!(record.findings.contents, Contents::BitForBit | Contents::NotCompared);
        let found = in_parallel(self.workers, records.filter(differ).collect(), |record: &Record| {
            (record.key.clone(), self.brief_difference(record, run))
        });
        found.into_iter().filter_map(|(key, diff)| Some((key, diff?))).collect()
    }

    fn brief_difference(&self, record: &Record, run: &Path) -> Option<Diff> {
        let made_of = (&record.best_attempt()?.out, record.checksum?, &record.findings.contents);
        // What another store built lies where anybody may have put something else.
        let known = if self.nix.store.is_some() { None } else { self.cache.recall("diff", &made_of) };
        known.or_else(|| {
            let diff = self.difference(record, run, Budget::of_page()).ok().flatten()?;
            if self.nix.store.is_none() {
                self.cache.remember("diff", &made_of, &diff);
            }
            Some(diff)
        })
    }

    /// How a package of the run in the folder `run` differs from its rebuild; none where it does not.
    ///
    /// # Errors
    /// Where there is nothing to compare.
    pub fn difference(&self, record: &Record, run: &Path, budget: Budget) -> Result<Option<Diff>, Error> {
        let unreadable = |error: &dyn ToString| Error::Unreadable(error.to_string());
        let checksum = record.checksum.ok_or(Error::NotRebuilt)?;
        let rebuilt = self.rebuilt(record, run)?;
        let registry = self.registry(&record.key.registry).map_err(|error| unreadable(&error))?;
        let id = record.key.id();
        let published = registry.artefact(&id, checksum).map_err(|error| unreadable(&error))?;
        if published.bytes() == rebuilt {
            return Ok(None);
        }
        self.permits.with(2 * published.unpacked_size(), || {
            let read = |bytes: &[u8]| Archive::read(&id, bytes).map_err(|error| unreadable(&error));
            let (theirs, mine) = (read(published.bytes())?, read(&rebuilt)?);
            Ok(Some(diff(&id, &theirs, &mine, &record.findings.contents, budget)))
        })
    }

    /// The crate that a package of the run in the folder `run` was rebuilt to.
    ///
    /// # Errors
    /// Where there is none.
    pub fn rebuilt(&self, record: &Record, run: &Path) -> Result<Vec<u8>, Error> {
        let attempt = record.best_attempt().ok_or(Error::NotRebuilt)?;
        // What another store built was copied.
        let copied = run.join("store").join(attempt.out.trim_start_matches('/'));
        let out = if copied.exists() { copied } else { PathBuf::from(&attempt.out) };
        if !out.exists() {
            return Err(Error::Gone(attempt.out.clone()));
        }
        match read_output(&out).map_err(Error::Unreadable)? {
            Output::Built { status: Status { outcome: Outcome::Packaged { .. }, .. }, rebuilt } => Ok(rebuilt),
            Output::Built { .. } | Output::Failed(_) => Err(Error::NothingPackaged { drv: attempt.drv.clone() }),
        }
    }
}
