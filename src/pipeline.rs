//! The driver: takes each package from the lock file to its record.
//!
//! A package goes through types that are consumed: locked → [`fetch::FetchedPackage`] → [`trace::TracedPackage`] →
//! [`inspect::InspectedPackage`] → [`attempt::AttemptedPackage`] → [`Kept`]. What ends one package is its record and never
//! the run's end. Each step works on one package; what packages of one repository share is fetched together before. A
//! round has at most one build of each package; Nix builds them in parallel. Builds that the store already has are read
//! without asking Nix to do anything.

pub mod attempt;
mod build;
pub mod context;
mod extra_sources;
pub mod fetch;
pub mod inspect;
mod lfs;
pub mod preflight;
mod replay;
pub mod reproduce;
pub mod run_key;
mod seed;
pub mod trace;

use attempt::AttemptedPackage;
use context::{Context, Error, check_interrupt, in_parallel};
use fetch::Ended;
use inspect::{InspectedPackage, going_on};

use crate::edges::console::Console;
use crate::edges::run_directory::{Kept, KeptBuild, RunDirectory};
use crate::stages::coverage;
use crate::stages::derivation::derive;
use crate::stages::judge::judge_obstacle;
use crate::stages::lock::{Locked, LockedPackage};
use crate::stages::plan::Plan;
use crate::stages::record::Record;

impl Context {
    /// Verifies packages; gives a record of each and the plan of the builds that the findings are about. `from_lock_file`:
    /// whether a lock file names them.
    ///
    /// # Errors
    /// Where recrate or the machine is at fault. What is wrong with a package is its record.
    pub fn verify(
        &self,
        locked: &Locked,
        from_lock_file: bool,
        run: &RunDirectory,
        console: &Console,
    ) -> Result<(Vec<Record>, Plan), Error> {
        self.preflight()?;
        let mut done: Vec<(LockedPackage, Kept)> = Vec::new();
        let mut fresh: Vec<&LockedPackage> = Vec::new();
        for package in &locked.packages {
            // What could not be determined is asked again; so is what only the index has a checksum of, which may be another
            // today.
            let same = |kept: &Kept| package.checksum.is_some() && kept.record.checksum == package.checksum;
            match run.kept(&package.key).filter(|kept| kept.record.is_determined() && same(kept)) {
                Some(kept) => {
                    console.package_done(&kept.record);
                    done.push((package.clone(), kept));
                }
                None => fresh.push(package),
            }
        }
        let mut finish = |locked: LockedPackage, kept: Kept| -> Result<(), Error> {
            run.keep(&kept)?;
            console.package_done(&kept.record);
            done.push((locked, kept));
            Ok(())
        };
        let (mut open, ended) = self.prepare_all(&fresh, Some(console))?;
        for end in ended {
            let (locked, kept) = settle(end);
            finish(locked, kept)?;
        }
        let registries = self.registries(fresh.iter().map(|package| &package.key.registry));
        let mut number = 0;
        while !open.is_empty() {
            check_interrupt()?;
            number += 1;
            let (closed, going_on) = self.attempt(open, number, run, console, &registries)?;
            open = going_on;
            for package in closed {
                finish(package.package.locked.clone(), package.close())?;
            }
        }
        let mut plan = Plan::new(self.system.clone(), self.programs.pins());
        plan.skipped.clone_from(&locked.skipped);
        plan.lockfile = from_lock_file.then(|| coverage::digest(locked));
        for (locked, kept) in &done {
            match (&kept.build, kept.record.checksum) {
                (KeptBuild::Inputs(inputs), Some(checksum)) => plan.add_rebuild(locked, checksum, inputs),
                (KeptBuild::Obstacle(obstacle), checksum) => {
                    plan.add_obstacle(locked, checksum, obstacle.as_ref().clone());
                }
                // Nothing is built of a package whose checksum is not known.
                (KeptBuild::Inputs(_), None) => {}
            }
        }
        self.register(&plan, run)?;
        Ok((done.into_iter().map(|(_, kept)| kept.record).collect(), plan))
    }

    /// Takes packages through all steps before the first build; nothing is built.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn examine(&self, packages: &[LockedPackage]) -> Result<(Vec<InspectedPackage>, Vec<Ended>), Error> {
        let (open, ended) = self.prepare_all(&packages.iter().collect::<Vec<_>>(), None)?;
        Ok((open.into_iter().map(|package| package.package).collect(), ended))
    }

    fn prepare_all(
        &self,
        packages: &[&LockedPackage],
        console: Option<&Console>,
    ) -> Result<(Vec<AttemptedPackage>, Vec<Ended>), Error> {
        let stage = |text: String| console.into_iter().for_each(|console| console.stage(&text));
        let registries = self.registries(packages.iter().map(|package| &package.key.registry));
        let mut ended = Vec::new();
        stage(format!("fetching {} crates", packages.len()));
        let fetched = in_parallel(self.workers, packages.to_vec(), |package| self.fetch(package, &registries));
        let fetched = going_on(fetched, &mut ended);
        check_interrupt()?;
        stage(format!("fetching the commits of {} crates", fetched.len()));
        let gathered = self.gather(&fetched);
        check_interrupt()?;
        let traced = in_parallel(self.workers, fetched, |package| self.trace(package, &gathered, &registries));
        let traced = going_on(traced, &mut ended);
        check_interrupt()?;
        stage(format!("reading the commits of {} crates", traced.len()));
        let (inspected, ended_later) = self.inspect(traced, &registries);
        ended.extend(ended_later);
        check_interrupt()?;
        Ok((inspected.into_iter().map(AttemptedPackage::from).collect(), ended))
    }

    /// Whether a plan can be built here: it is complete, and for this system.
    ///
    /// # Errors
    /// Where it can't, in words.
    pub fn can_build(&self, plan: &Plan) -> Result<(), String> {
        derive(plan).map_err(|error| error.to_string())?;
        let system = &plan.system;
        if *system == self.system {
            Ok(())
        } else {
            Err(format!("the plan is for {system}, this machine is {}", self.system))
        }
    }
}

/// What is kept of a package that ends before it is rebuilt.
fn settle(ended: Ended) -> (LockedPackage, Kept) {
    let Ended { locked, checksum, obstacle } = ended;
    let record = Record::new(locked.key.clone(), checksum, judge_obstacle(&obstacle, false));
    (locked, Kept { record, build: KeptBuild::Obstacle(Box::new(obstacle)) })
}
