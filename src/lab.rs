//! The driver: takes locked crates through all stages, in rounds of builds, and keeps what is found.
//!
//! Every crate is a [`case::Case`] on its own: what fails for one is that crate's record and never the run's end. A
//! round has at most one build of each crate; Nix builds them in parallel. Builds that the store already has are read
//! without asking Nix to do anything.

pub mod case;
mod commits;
pub mod further;
mod lfs;
pub mod open;
mod replay;
pub mod reproduce;
pub mod round;
mod seed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::edges::cache::{Cache, FileError};
use crate::edges::cargo_config::CargoConfig;
use crate::edges::console::Console;
use crate::edges::git::{self, Git};
use crate::edges::network::Network;
use crate::edges::nix::{self, Nix};
use crate::edges::registry::Registry;
use crate::edges::run_directory::{Kept, RunDirectory};
use crate::edges::toolchains::Toolchains;
use crate::model::krate::CrateId;
use crate::model::source::RepositoryUrl;
use crate::stages::derivation::derive;
use crate::stages::lock::{Locked, LockedCrate, RegistryName};
use crate::stages::plan::{Plan, ProgramPin};
use crate::stages::toolchain::Toolchain;
use crate::stages::verdict::Record;
use case::Registries;
use open::Opened;

/// Everything that a run needs of the outside world.
#[derive(Debug)]
pub struct Lab {
    /// recrate's cache.
    pub cache: Cache,
    /// cargo's configuration, for where registries are.
    pub cargo_config: CargoConfig,
    /// The network; none where offline.
    pub network: Option<Network>,
    /// Where commits come from.
    pub git: Git,
    /// Where repositories have moved to, from the first to the second address of each.
    pub moves: Vec<(RepositoryUrl, RepositoryUrl)>,
    /// The host's Nix.
    pub nix: Nix,
    /// Where imported toolchains lie.
    pub toolchains: Toolchains,
    /// The cargos that may be tried.
    pub available: Vec<Toolchain>,
    /// The static builder.
    pub builder: Program,
    /// The static fetcher.
    pub fetcher: Program,
    /// The static judge.
    pub judge: Program,
    /// The Nix system that is built for.
    pub system: String,
    /// How many things are done at once that wait for the network.
    pub workers: usize,
}

/// One of recrate's own static programs, which Nix runs.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its file, named as in the store.
    pub file: PathBuf,
    /// Its hash.
    pub pin: ProgramPin,
}

/// Why a run ends without verdicts: the machinery failed, whatever the crates are like.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nix does not do what it is asked.
    #[error(transparent)]
    Nix(#[from] nix::Error),
    /// A commit could not be written out for the store.
    #[error("failed to write out a commit's files: {0}")]
    Git(#[from] git::Error),
    /// The plan makes no derivations.
    #[error(transparent)]
    Derivation(#[from] crate::stages::derivation::Error),
    /// The two generators disagree: nothing that is built then says what it should.
    #[error(
        "nix/plan.nix and recrate derive {job} differently: {nix} and {recrate}. This is a bug in recrate: please \
         report it with the plan"
    )]
    Disagreement {
        /// The rebuild.
        job: String,
        /// The `.drv` that Nix instantiated.
        nix: String,
        /// The one that was expected.
        recrate: String,
    },
    /// The store put something elsewhere than expected.
    #[error("the store took {what} as {actual}, expected {expected}: has it changed on disk?")]
    Misplaced {
        /// What was added.
        what: String,
        /// Where it is.
        actual: String,
        /// Where it should be.
        expected: String,
    },
    /// Something can't be handed on, because it can't be had here.
    #[error("{0} is not in the store and can't be had here: without it the bundle would be good for nothing")]
    Lacking(String),
    /// Nix builds without a sandbox.
    #[error("{0}")]
    Unsandboxed(String),
    /// The user wants to stop.
    #[error("interrupted; what was finished is kept, the same command goes on from there")]
    Interrupted,
}

/// Set by ^C.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Fails once the user has asked to stop.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn go_on() -> Result<(), Error> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

impl Lab {
    /// Verifies crates; gives a record of each and the plan of the builds that the verdicts are about.
    ///
    /// # Errors
    /// Where the machinery fails. What is wrong with a crate is its record.
    pub fn verify(&self, locked: &Locked, run: &RunDirectory, console: &Console) -> Result<(Vec<Record>, Plan), Error> {
        let mut kept: Vec<(CrateId, Kept)> = Vec::new();
        let mut fresh: Vec<&LockedCrate> = Vec::new();
        for locked in &locked.crates {
            match run.kept(&locked.id) {
                Some(before) => {
                    console.crate_done(&before.record);
                    kept.push((locked.id.clone(), before));
                }
                None => fresh.push(locked),
            }
        }
        let mut finish = |id: &CrateId, done: Kept| -> Result<(), Error> {
            run.keep(id, &done)?;
            console.crate_done(&done.record);
            kept.push((id.clone(), done));
            Ok(())
        };

        console.stage(&format!("fetching {} crates", fresh.len()));
        let registries = self.registries(&fresh);
        let opened = in_parallel(self.workers, fresh, |locked| (locked, self.open(locked, &registries)));
        go_on()?;
        let mut cases = Vec::new();
        for (locked, opened) in opened {
            match opened {
                Opened::Case(case) => cases.push(*case),
                Opened::Settled(record) => finish(&locked.id, Kept::settled(locked, *record))?,
            }
        }

        console.stage(&format!("fetching the commits of {} crates", cases.len()));
        let traced = self.trace(cases, &registries);
        go_on()?;
        let mut open = Vec::new();
        let mut ended = Vec::new();
        for (case, located) in traced {
            match located {
                Ok(()) => open.push(case),
                Err(verdict) => ended.push(case.settle(verdict)),
            }
        }
        let (mut open, lacking) = self.furnish(open);
        for (locked, record) in ended.into_iter().chain(lacking) {
            finish(&locked.id, Kept::settled(&locked, *record))?;
        }

        let mut number = 0;
        while !open.is_empty() {
            go_on()?;
            number += 1;
            let (closed, rest) = self.round(open, number, run, console, &registries)?;
            open = rest;
            for case in closed {
                let id = case.locked.id.clone();
                finish(&id, case.close())?;
            }
        }

        let mut plan = Plan::new(self.system.clone(), self.pins());
        plan.skipped.clone_from(&locked.skipped);
        for (id, done) in &kept {
            match (&done.inputs, done.record.checksum) {
                (Some(inputs), Some(checksum)) => plan.add(id, checksum, inputs),
                _ => plan.settle(&done.record),
            }
        }
        run.write("plan.json", &plan.to_json())?;
        self.assert_agreement(&plan, run)?;
        Ok((kept.into_iter().map(|(_, done)| done.record).collect(), plan))
    }

    /// Whether a plan can be built here: it is whole, and for this system.
    ///
    /// # Errors
    /// Where it can't.
    pub fn can_build(&self, plan: &Plan) -> Result<(), String> {
        derive(plan).map_err(|error| error.to_string())?;
        let system = &plan.system;
        if *system == self.system {
            Ok(())
        } else {
            Err(format!("the plan is for {system}, this machine is {}", self.system))
        }
    }

    /// What plans pin of recrate itself.
    fn pins(&self) -> [ProgramPin; 3] {
        [self.builder.pin, self.fetcher.pin, self.judge.pin]
    }

    /// The registries that the crates come from.
    fn registries(&self, crates: &[&LockedCrate]) -> Registries {
        let mut registries = BTreeMap::new();
        let names = crates.iter().map(|locked| locked.registry.clone());
        // The default registry's index is what cargo resolves against, wherever a crate itself comes from.
        for name in names.chain([RegistryName::Default]) {
            let place = self.cargo_config.place(&name);
            registries.entry(name).or_insert_with(|| {
                place
                    .map(|place| Registry::new(place, self.cache.clone(), self.network.clone()))
                    .map_err(|error| error.to_string())
            });
        }
        registries
    }
}

/// Does something for every item, `workers` at a time, and gives the results in the items' order.
pub(crate) fn in_parallel<T: Send, R: Send>(workers: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let count = items.len();
    let queue = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..workers.min(count) {
            scope.spawn(|| {
                loop {
                    // Not a `while let`: the lock must not be held during the work.
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((at, item)) = next else { break };
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_work_keeps_the_order() {
        let squares = in_parallel(4, (0..100).collect(), |n: u32| n * n);
        assert_eq!(squares, (0..100).map(|n| n * n).collect::<Vec<_>>());
        assert!(in_parallel(4, Vec::<u32>::new(), |n| n).is_empty());
    }
}
