//! Builds as a stream: what packages want built is handed to Nix in batches, while other packages are still fetched and judged.
//!
//! Each package waits for its own build only. Nix is never idle while a build is wanted, and all its processes together do no
//! more builds at once than it is set up for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::build::{Built, Order, Share};
use super::context::{Context, Error, check_interrupt};
use super::seed::Content;
use crate::edges::console::Console;
use crate::edges::git::commit::Commit;
use crate::edges::parallel::locked;
use crate::edges::run_directory::RunDirectory;
use crate::model::commit::CommitId;
use crate::model::digest::{Sha256, Sri};
use crate::stages::derivation::{FixedInput, RebuildDrv, derive};
use crate::stages::lock::LockedPackage;
use crate::stages::plan::{Inputs, Plan};
use crate::stages::slice::Slice;

/// A build that a package wants, with everything that it is made of.
#[derive(Debug)]
pub struct Request {
    /// The package.
    pub locked: LockedPackage,
    /// The checksum of the published crate, which no rebuild sees.
    pub checksum: Sha256,
    /// The recipe and what it names.
    pub inputs: Inputs,
    /// The index slice.
    pub slice: Slice,
    /// The commits.
    pub commits: BTreeMap<CommitId, Commit>,
    /// The LFS objects, and where they are.
    pub lfs_files: BTreeMap<Sri, PathBuf>,
    /// How many builds the package had before. Those with the most are made first: they need the longest.
    pub before: usize,
}

/// The run ends: [`Builds::end`] says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// What came of handing a build to Nix: the derivation, and what came of its batch.
pub type Answer = (RebuildDrv, Arc<Built>);

/// The builds that are wanted, and what keeps a run from going on.
#[derive(Debug, Default)]
pub struct Builds {
    queue: Mutex<Queue>,
    changed: Condvar,
    failure: Mutex<Option<Error>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// No further build will be wanted.
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    request: Arc<Request>,
    answer: Sender<Answer>,
}

/// How many builds Nix is handed at once. Handing over takes a tenth of a second, so does a build.
const BATCH: usize = 24;

/// How many of Nix's processes build side by side, at most.
const PROCESSES: usize = 4;

/// Closes builds when it is dropped, however that comes about: who makes them would wait for more for ever.
#[derive(Debug)]
pub struct Closing<'a>(&'a Builds);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Builds {
    /// Waits until a build was made, or could not be.
    ///
    /// # Errors
    /// Where the run ends before.
    pub fn build(&self, request: Arc<Request>) -> Result<Answer, Stopped> {
        let (answer, answered) = channel();
        {
            let mut queue = locked(&self.queue);
            if queue.closed {
                return Err(Stopped);
            }
            let place = queue.waiting.partition_point(|one| one.request.before >= request.before);
            queue.waiting.insert(place, Waiting { request, answer });
        }
        self.changed.notify_one();
        answered.recv().map_err(|_| Stopped)
    }

    /// What is handed to Nix next: a fair share of what waits. Waits until there is something; none once there never will be.
    fn take(&self, processes: usize) -> Option<Vec<Waiting>> {
        let mut queue = self.wait()?;
        let share = queue.waiting.len().div_ceil(processes).min(BATCH);
        Some(queue.waiting.drain(..share).collect())
    }

    /// Waits until there is something to hand to Nix; none once there never will be.
    fn wait(&self) -> Option<MutexGuard<'_, Queue>> {
        let is_idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.closed;
        let queue = self.changed.wait_while(locked(&self.queue), is_idle).unwrap_or_else(PoisonError::into_inner);
        (!queue.closed).then_some(queue)
    }

    /// Closes when what it gives is dropped.
    #[must_use]
    pub fn closing(&self) -> Closing<'_> {
        Closing(self)
    }

    /// No further build will be wanted; those that wait are not made any more.
    fn close(&self) {
        let mut queue = locked(&self.queue);
        queue.closed = true;
        queue.waiting.clear();
        self.changed.notify_all();
    }

    /// Ends the run; the first reason counts.
    pub fn stop(&self, why: Error) -> Stopped {
        locked(&self.failure).get_or_insert(why);
        self.close();
        Stopped
    }

    /// Whether the run goes on.
    ///
    /// # Errors
    /// Where it does not, or the user has asked to stop.
    pub fn goes_on(&self) -> Result<(), Stopped> {
        check_interrupt().map_err(|error| self.stop(error))?;
        if locked(&self.queue).closed { Err(Stopped) } else { Ok(()) }
    }

    /// How the run ended.
    ///
    /// # Errors
    /// What stopped it.
    pub fn end(self) -> Result<(), Error> {
        let failure = self.failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or_else(check_interrupt, Err)
    }
}

impl Context {
    /// The shares of the machine that Nix's processes get: together as many builds at once as Nix is set up for.
    ///
    /// # Errors
    /// Where Nix does not say.
    fn shares(&self) -> Result<Vec<Share>, Error> {
        let jobs = self.nix.max_jobs()? as usize;
        // Where everything is built elsewhere, the machines there say how much.
        let processes = if jobs == 0 { 2 } else { jobs.min(PROCESSES) };
        let share = |number| {
            let own = jobs / processes + usize::from(number < jobs % processes);
            Share { number, max_jobs: (jobs > 0).then_some(own as u32) }
        };
        Ok((0..processes).map(share).collect())
    }

    /// Has Nix make what is wanted until nothing more is, with several processes side by side. Whether it can build here at
    /// all is found out while nothing is wanted yet.
    pub fn serve(&self, builds: &Builds, run: &RunDirectory, console: &Console) {
        let shares = match self.preflight().and_then(|()| self.shares()) {
            Ok(shares) => shares,
            Err(error) => {
                builds.stop(error);
                return;
            }
        };
        std::thread::scope(|scope| {
            for share in &shares {
                scope.spawn(|| self.serve_one(builds, *share, shares.len(), run, console));
            }
        });
    }

    fn serve_one(&self, builds: &Builds, share: Share, processes: usize, run: &RunDirectory, console: &Console) {
        while let Some(batch) = builds.take(processes) {
            if let Err(error) = self.make(&batch, share, run, console) {
                builds.stop(error);
            }
        }
    }

    fn make(&self, batch: &[Waiting], share: Share, run: &RunDirectory, console: &Console) -> Result<(), Error> {
        let mut plan = Plan::new(self.system.clone(), self.programs.pins());
        for Waiting { request, .. } in batch {
            plan.add_rebuild(&request.locked, request.checksum, &request.inputs);
        }
        let derivations = derive(&plan)?;
        let inputs = |jobs: &BTreeSet<&str>| {
            let needed = batch.iter().map(|one| one.request.as_ref());
            let needed = needed.filter(|request| jobs.contains(request.locked.key.job().as_str()));
            self.inputs_of(&needed.collect::<Vec<_>>())
        };
        let answer = |Waiting { request, answer }: &Waiting, built: &Arc<Built>| {
            let drv = derivations.rebuilds[&request.locked.key.job()].clone();
            // Who does not wait any more has been answered, or stopped.
            let _ = answer.send((drv, Arc::clone(built)));
        };
        let well = Arc::new(Built::default());
        let ready = |job: &str| {
            batch.iter().filter(|one| one.request.locked.key.job() == job).for_each(|one| answer(one, &well));
        };
        let order = Order { plan: &plan, derivations: &derivations, share };
        let built = Arc::new(self.build(order, run, console, inputs, ready)?);
        check_interrupt()?;
        batch.iter().for_each(|one| answer(one, &built));
        Ok(())
    }

    /// What each fixed-output input of these builds is made of.
    fn inputs_of<'a>(&self, needed: &[&'a Request]) -> BTreeMap<FixedInput, Content<'a>> {
        let toolchains = needed.iter().map(|one| (&one.inputs.recipe.toolchain, &one.inputs.toolchain));
        let mut inputs = self.own_inputs(toolchains);
        for one in needed {
            for (id, folder) in one.inputs.recipe.sources() {
                if let Some(commit) = one.commits.get(&id) {
                    inputs.insert(FixedInput::Trees(id), Content::Trees(commit));
                    inputs.insert(FixedInput::Source(id, folder.clone()), Content::Source(commit, folder));
                }
            }
            let objects = one.lfs_files.iter();
            inputs.extend(objects.map(|(hash, file)| (FixedInput::LfsObject(*hash), Content::LfsObject(file))));
            inputs.insert(FixedInput::Index(one.inputs.index.nar_hash), Content::Slice(&one.slice));
        }
        inputs
    }
}
