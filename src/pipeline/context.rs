//! What every step of the pipeline needs of the outside world.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use super::repositories::Repositories;
use crate::edges::cache::Cache;
use crate::edges::cargo_config::CargoConfig;
use crate::edges::git::{self, Git};
use crate::edges::network::Network;
use crate::edges::nix::{self, Nix};
use crate::edges::parallel::Permits;
use crate::edges::registry::Registry;
use crate::edges::toolchains::Toolchains;
use crate::model::package::RegistryName;
use crate::stages::candidate::Candidate;
use crate::stages::history::Word;
use crate::stages::plan::{ProgramPin, ProgramPins};
use crate::stages::renamed_repositories::Renamed;
use crate::stages::toolchain::{Search, Toolchain};

/// Everything that a run needs of the outside world.
#[derive(Debug)]
pub struct Context {
    /// recrate's cache.
    pub cache: Cache,
    /// cargo's configuration, for where registries are.
    pub cargo_config: CargoConfig,
    /// Whose configuration says where registries and repositories are.
    pub word: Word,
    /// The network; none where offline.
    pub network: Option<Network>,
    /// Where commits come from.
    pub git: Git,
    /// Repositories that have another address today.
    pub renamed: Vec<Renamed>,
    /// The host's Nix.
    pub nix: Nix,
    /// Where imported toolchains are.
    pub toolchains: Toolchains,
    /// Packages that are not published yet, to be verified as if they were.
    pub candidates: Vec<Candidate>,
    /// From when on what servers said is believed; where there is none, as long as usual.
    pub asked_since: Option<Timestamp>,
    /// The cargos that may be tried.
    pub available: Vec<Toolchain>,
    /// What the reader of a report should know of how it was made.
    pub notices: Vec<String>,
    /// How far to search.
    pub search: Search,
    /// recrate's static programs.
    pub programs: Programs,
    /// The Nix system that is built for.
    pub system: String,
    /// What repositories gave.
    pub repositories: Repositories,
    /// How many things are done at once that wait for the network.
    pub workers: usize,
    /// How much is done at once that takes a processor.
    pub permits: Permits,
}

/// recrate's own static programs, which Nix runs.
#[derive(Debug, Clone)]
pub struct Programs {
    /// It rebuilds.
    pub builder: Program,
    /// It fetches inputs.
    pub fetcher: Program,
    /// It compares.
    pub judge: Program,
}

/// A static program.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its file, named as in the store.
    pub file: PathBuf,
    /// Its hash.
    pub pin: ProgramPin,
}

impl Programs {
    /// What plans pin of them.
    #[must_use]
    pub fn pins(&self) -> ProgramPins {
        ProgramPins { builder: self.builder.pin, fetcher: self.fetcher.pin, judge: self.judge.pin }
    }
}

/// Registries by name; an error where one can't be used.
pub type Registries = BTreeMap<RegistryName, Result<Registry, String>>;

/// Why a run ends without verdicts: recrate or the machine is at fault, whatever the packages are like.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// Nix does not do what it is asked.
    #[error(transparent)]
    Nix(#[from] nix::Error),
    /// A commit could not be written out for the store.
    #[error("failed to write out a commit's files: {0}")]
    Git(#[from] git::Error),
    /// The plan makes no derivations.
    #[error(transparent)]
    Derivation(#[from] crate::stages::derivation::Error),
    /// The two generators disagree: nothing that is built then means what it should.
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
    #[error("the store has {what} as {actual}, expected {expected}: has it changed on disk?")]
    Misplaced {
        /// What was added.
        what: String,
        /// Where it is.
        actual: String,
        /// Where it should be.
        expected: String,
    },
    /// Something can't be handed on, because it can't be had here.
    #[error("{0} is not in the store and can't be fetched: without it the bundle would be incomplete")]
    Lacking(String),
    /// Nix can't build here, or builds without a sandbox.
    #[error("{0}")]
    CannotBuild(String),
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
pub fn check_interrupt() -> Result<(), Error> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

impl Context {
    /// The registries with these names. The default registry's index is what cargo resolves against, wherever a package
    /// itself comes from, so it is always among them.
    #[must_use]
    pub fn registries<'a>(&self, names: impl Iterator<Item = &'a RegistryName>) -> Registries {
        let mut registries = BTreeMap::new();
        for name in names.chain([&RegistryName::Default]) {
            registries.entry(name.clone()).or_insert_with(|| self.registry(name));
        }
        registries
    }

    /// A registry.
    ///
    /// # Errors
    /// Where the configuration names no place for it that recrate reads, in words.
    pub fn registry(&self, name: &RegistryName) -> Result<Registry, String> {
        let place = self.cargo_config.place(name).map_err(|error| error.to_string())?;
        // Dependencies may name the same place differently.
        let is_here =
            |candidate: &&Candidate| self.cargo_config.place(&candidate.key.registry).is_ok_and(|other| other == place);
        let candidates = self.candidates.iter().filter(is_here).cloned().collect();
        Ok(Registry::new(place, self.cache.clone(), self.network.clone()).with(candidates))
    }
}
