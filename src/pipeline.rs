//! The driver: takes each package from the lock file to its record.
//!
//! A package goes through types that are consumed: locked → [`fetch::FetchedPackage`] → [`trace::TracedPackage`] →
//! [`inspect::InspectedPackage`] → [`attempt::AttemptedPackage`] → [`Kept`]. What ends one package is its record and never
//! the run's end. Each package goes its way on its own; what packages share is shared by what they ask: the registry has one
//! answer for each name, a repository is asked by one package for all that wait for it ([`repositories`]), and Nix is handed
//! whatever is ready ([`builds`]). Builds that the store already has are read without asking Nix to do anything.

pub mod attempt;
mod build;
pub mod builds;
pub mod context;
pub mod differences;
mod extra_sources;
pub mod fetch;
pub mod inspect;
mod lfs;
mod outcomes;
pub mod preflight;
pub mod rehearsal;
mod replay;
pub mod repositories;
pub mod reproduce;
pub mod run_key;
mod seed;
mod sources;
pub mod trace;
pub mod updates;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use builds::{Builds, Stopped};
use context::{Context, Error, Registries};
use fetch::Ended;
use inspect::InspectedPackage;
use outcomes::Outcomes;
use sources::Sources;

use crate::edges::console::{Console, Watch};
use crate::edges::costs::Phase;
use crate::edges::parallel::in_parallel;
use crate::edges::run_directory::{Kept, KeptBuild, RunDirectory};
use crate::stages::coverage;
use crate::stages::derivation::derive;
use crate::stages::judge::judge_obstacle;
use crate::stages::lock::{Locked, LockedPackage};
use crate::stages::plan::Plan;
use crate::stages::record::Record;

/// How many packages are under way at once. Most of them wait: for a network, or for Nix.
const SIDE_BY_SIDE: usize = 48;

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
        let mut done: Vec<(LockedPackage, Kept)> = Vec::new();
        let fresh: Vec<&LockedPackage> = locked.packages.iter().collect();
        let registries = self.registries(fresh.iter().map(|package| &package.key.registry));
        let outcomes = Outcomes::of(self, &fresh);
        let (recalled, fresh) = outcomes.recall(self, fresh, &registries, run)?;
        for (package, kept) in recalled {
            run.keep(&kept)?;
            console.package_done(&kept.record);
            done.push((package, kept));
        }
        done.extend(self.go_through(fresh, &outcomes, &registries, run, console)?);
        done.sort_by(|(a, _), (b, _)| a.cmp(b));
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
        self.cache.settle();
        Ok((done.into_iter().map(|(_, kept)| kept.record).collect(), plan))
    }

    /// Takes packages all their way, many side by side; keeps each as soon as it is done.
    fn go_through(
        &self,
        packages: Vec<&LockedPackage>,
        outcomes: &Outcomes,
        registries: &Registries,
        run: &RunDirectory,
        console: &Console,
    ) -> Result<Vec<(LockedPackage, Kept)>, Error> {
        if packages.is_empty() {
            return Ok(Vec::new());
        }
        console.stage(&format!("verifying {} crates", packages.len()));
        let builds = Builds::default();
        let first = packages.len().min(SIDE_BY_SIDE);
        self.repositories.expect(first);
        let expected = AtomicUsize::new(first);
        let done = std::thread::scope(|scope| {
            scope.spawn(|| self.serve(&builds, run, console));
            let until_all_are_done = builds.closing();
            let done = in_parallel(SIDE_BY_SIDE, packages, |package| {
                builds.goes_on()?;
                let is_expected = |left: usize| left.checked_sub(1);
                if expected.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_expected).is_err() {
                    self.repositories.expect(1);
                }
                let sources = Sources::new(self, registries);
                let watch = console.watch();
                let kept = self.go(package, &builds, run, &watch, &sources)?;
                run.keep(&kept).map_err(|error| builds.stop(error.into()))?;
                watch.done(&kept.record);
                outcomes.remember(self, package, &kept, &sources);
                Ok((package.clone(), kept))
            });
            drop(until_all_are_done);
            done
        });
        let done: Result<_, Stopped> = done.into_iter().collect();
        builds.end()?;
        done.map_err(|Stopped| Error::Interrupted)
    }

    /// Takes a package all its way.
    fn go(
        &self,
        package: &LockedPackage,
        builds: &Builds,
        run: &RunDirectory,
        watch: &Watch<'_>,
        sources: &Sources<'_>,
    ) -> Result<Kept, Stopped> {
        match watch.during(Phase::Fetching, || self.look_at(package, sources)) {
            ControlFlow::Continue(inspected) => self.attempt(inspected, builds, run, watch, sources),
            ControlFlow::Break(ended) => Ok(settle(*ended)),
        }
    }

    /// Takes a package through all steps before the first build.
    fn look_at(&self, package: &LockedPackage, sources: &Sources<'_>) -> ControlFlow<Box<Ended>, InspectedPackage> {
        let fetched = self.fetch(package, sources);
        if let ControlFlow::Continue(fetched) = &fetched {
            let named = &fetched.named;
            sources.announce(&named.repository, named.commit, named.path.as_ref());
        }
        self.repositories.arrived();
        let fetched = fetched?;
        let traced = self.trace(fetched, sources)?;
        self.inspect(traced, sources)
    }

    /// Takes packages through all steps before the first build; nothing is built.
    #[must_use]
    pub fn examine(&self, packages: &[LockedPackage]) -> (Vec<InspectedPackage>, Vec<Ended>) {
        let registries = self.registries(packages.iter().map(|package| &package.key.registry));
        let looked_at = in_parallel(self.workers, packages.iter().collect(), |one| {
            self.look_at(one, &Sources::new(self, &registries))
        });
        let (mut inspected, mut ended) = (Vec::new(), Vec::new());
        for one in looked_at {
            match one {
                ControlFlow::Continue(package) => inspected.push(package),
                ControlFlow::Break(end) => ended.push(*end),
            }
        }
        (inspected, ended)
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
fn settle(ended: Ended) -> Kept {
    let Ended { locked, checksum, obstacle } = ended;
    let record = Record::new(locked.key, checksum, judge_obstacle(&obstacle, false));
    Kept { record, build: KeptBuild::Obstacle(Box::new(obstacle)) }
}
