//! Builds: has Nix build what a plan says, and reads what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nix_archive::nar::{CaseHack, hash_path};
use nix_derivation::nixbase32;

use super::context::{Context, Error, check_interrupt};
use super::seed::Content;
use crate::edges::console::Console;
use crate::edges::nix::Event;
use crate::edges::run_directory::RunDirectory;
use crate::judge::read_output;
use crate::model::digest::Sha256;
use crate::model::package::PackageKey;
use crate::stages::derivation::{Derivations, FixedInput, RebuildDrv, derive};
use crate::stages::judge::Output;
use crate::stages::plan::Plan;

/// `nix/` as it was when this program was built: what registers the derivations.
const PLAN_NIX: &str = include_str!("../../nix/plan.nix");

/// How often builds are prepared and handed to Nix: each time a garbage collection may come between.
const COLLECTED_TRIES: usize = 5;

/// The part of the machine that a process of Nix gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which of the processes it is.
    pub number: usize,
    /// How many builds it does at once; as Nix is set up, where none is given.
    pub max_jobs: Option<u32>,
}

impl Share {
    /// All of it.
    pub const ALL: Self = Self { number: 0, max_jobs: None };
}

/// What Nix is asked to build.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What is derived from it.
    pub derivations: &'a Derivations,
    /// What Nix may use for it.
    pub share: Share,
}

/// What having Nix build came to, besides the outputs.
#[derive(Debug, Default)]
pub struct Built {
    /// Nix's own last errors, where it did not end well.
    pub errors: Option<String>,
}

impl Context {
    /// Has Nix build what the store does not have yet; `inputs` gives what the fixed-output inputs of those jobs are made
    /// of. `ready` is told of jobs whose outputs can be read before all are.
    ///
    /// # Errors
    /// Where Nix or the store does not do what it is asked. That a build fails is none.
    pub fn build<'a>(
        &self,
        order: Order<'_>,
        run: &RunDirectory,
        console: &Console,
        inputs: impl Fn(&BTreeSet<&str>) -> BTreeMap<FixedInput, Content<'a>>,
        mut ready: impl FnMut(&str),
    ) -> Result<Built, Error> {
        let Order { plan, derivations, share } = order;
        // What the store has already is rooted as well: whatever a report names is there as long as the run directory is.
        let outputs = derivations.rebuilds.values().map(|drv| &drv.out).collect();
        let mut missing = self.nix.keep(&outputs, derivations.fixed_inputs.values(), &run.next_root())?;
        let wanted: Vec<(&String, &RebuildDrv)> =
            derivations.rebuilds.iter().filter(|(_, drv)| missing.contains(&drv.out)).collect();
        let mut built = Built::default();
        if !wanted.is_empty() {
            console.stage(&format!("{} builds are handed to Nix", wanted.len()));
            let jobs: BTreeSet<&str> = wanted.iter().map(|(job, _)| job.as_str()).collect();
            let name = format!("batch-{}.json", share.number);
            let part = plan.only(&jobs);
            run.write(&name, &part.to_json())?;
            let builds: Vec<&RebuildDrv> = wanted.iter().map(|(_, drv)| *drv).collect();
            for _ in 0..COLLECTED_TRIES {
                let seeded = self.seed(derivations, inputs(&jobs), &missing)?;
                check_interrupt()?;
                self.instantiate(&part, derivations, run, &name)?;
                let mut under_way: Vec<(&String, &RebuildDrv)> = Vec::new();
                built.errors = self.nix.realise(&builds, &run.next_root(), share.max_jobs, |event| match event {
                    Event::Started(drv) => {
                        console.build_started(&drv);
                        under_way.extend(wanted.iter().filter(|(_, one)| one.drv == drv));
                    }
                    // Nix removes what lies at the place of an output before it builds, and moves an output there as a whole.
                    // What another store builds is copied from there in the end.
                    Event::Progress if self.nix.store.is_none() => under_way.retain(|(job, drv)| {
                        let is_there = Path::new(&drv.out).exists();
                        if is_there {
                            ready(job);
                        }
                        !is_there
                    }),
                    Event::Progress => {}
                    Event::Message(text) => tracing::debug!("nix: {text}"),
                })?;
                if built.errors.is_none() || !self.was_collected(&builds, &seeded)? {
                    break;
                }
                missing = self.nix.missing(derivations.fixed_inputs.values())?;
            }
        }
        self.copy_outputs(derivations, run)?;
        Ok(built)
    }

    /// Whether builds did not come about because garbage collection took what they are made of before they had begun.
    fn was_collected(&self, builds: &[&RebuildDrv], seeded: &BTreeSet<String>) -> Result<bool, Error> {
        let missing = self.nix.missing(builds.iter().map(|drv| &drv.out))?;
        let failed = builds.iter().filter(|drv| missing.contains(&drv.out));
        let made_of: Vec<&String> = failed.map(|drv| &drv.drv).chain(seeded).collect();
        Ok(!missing.is_empty() && !self.nix.missing(made_of.into_iter())?.is_empty())
    }

    /// Copies outputs of another store here, to be read.
    fn copy_outputs(&self, derivations: &Derivations, run: &RunDirectory) -> Result<(), Error> {
        let Some(store) = &self.nix.store else { return Ok(()) };
        let missing = self.nix.missing(derivations.rebuilds.values().map(|drv| &drv.out))?;
        let outputs = derivations.rebuilds.values().map(|drv| &drv.out);
        let wanted: Vec<&String> =
            outputs.filter(|out| !missing.contains(*out) && !self.real(out, run).exists()).collect();
        if !wanted.is_empty() {
            let to = format!("local?root={}", run.store().display());
            self.nix.copy(Some(store), Some(&to), false, wanted.into_iter())?;
        }
        Ok(())
    }

    /// Where an output can be read.
    fn real(&self, out: &str, run: &RunDirectory) -> PathBuf {
        if self.nix.store.is_some() { run.store().join(out.trim_start_matches('/')) } else { PathBuf::from(out) }
    }

    /// Instantiates a plan, which the run directory has in a file, with `nix/plan.nix`; asserts that it gives what this process
    /// derived.
    ///
    /// # Errors
    /// Where Nix does not take the plan, or derives something else.
    pub fn instantiate(
        &self,
        plan: &Plan,
        derivations: &Derivations,
        run: &RunDirectory,
        file: &str,
    ) -> Result<(), Error> {
        run.write_once("plan.nix", PLAN_NIX)?;
        let instantiated = self.nix.instantiate(&run.path().join("plan.nix"), &run.path().join(file), "drvPaths")?;
        for (job, _, _) in plan.rebuilds() {
            let nix = instantiated.get(job).cloned().unwrap_or_default();
            let recrate = derivations.rebuilds[job].drv.clone();
            if nix != recrate {
                return Err(Error::Disagreement { job: job.clone(), nix, recrate });
            }
        }
        Ok(())
    }

    /// Writes the whole plan into the run directory, and asserts that both generators derive the same from it.
    ///
    /// # Errors
    /// Where they don't, or it can't be written.
    pub fn register(&self, plan: &Plan, run: &RunDirectory) -> Result<(), Error> {
        let text = plan.to_json();
        run.write("plan.json", &text)?;
        if plan.rebuilds().next().is_none() {
            return Ok(());
        }
        let derivations = derive(plan)?;
        // Nix made the same of this very plan before, and still has it: the path of a derivation is the hash of its content.
        let asserted = Sha256::of(text.as_bytes());
        if self.cache.recall::<()>("derived", &asserted).is_some()
            && self.nix.missing(derivations.rebuilds.values().map(|drv| &drv.drv))?.is_empty()
        {
            return Ok(run.write_once("plan.nix", PLAN_NIX)?);
        }
        self.instantiate(plan, &derivations, run, "plan.json")?;
        self.cache.remember("derived", &asserted, &());
        Ok(())
    }

    /// Reads what a rebuild came to.
    ///
    /// # Errors
    /// Where Nix builds without a sandbox, or a log can't be kept.
    pub fn output(
        &self,
        key: &PackageKey,
        drv: &RebuildDrv,
        built: &Built,
        run: &RunDirectory,
    ) -> Result<Output, Error> {
        let place = self.real(&drv.out, run);
        // What was copied from another store lies where anybody may have put something else.
        if self.nix.store.is_some() && place.exists() {
            let nar = hash_path(&place, CaseHack::native()).map_err(std::io::Error::other)?;
            let (found, expected) = (format!("sha256:{}", nixbase32::encode(&nar.sha256)), self.nix.hash(&drv.out)?);
            if expected != found {
                let (place, out) = (place.display(), &drv.out);
                return Err(Error::CannotBuild(format!(
                    "{place} is not what the store has as {out}: remove it, and run again"
                )));
            }
        }
        // A build that fails may leave something behind.
        let unread = match place.exists().then(|| read_output(&place)) {
            Some(Ok(output)) => return Ok(output),
            Some(Err(reason)) => Some(reason),
            None => None,
        };
        let log = self.nix.log(&drv.drv);
        run.keep_log(key, &log)?;
        if let Some(at) = log.find("not building outside the Nix sandbox") {
            return Err(Error::CannotBuild(log[at..].trim().to_owned()));
        }
        let last: Vec<&str> = log.trim().lines().rev().take(3).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        let why = match (last.is_empty(), unread, &built.errors) {
            (false, _, _) => last,
            (true, Some(reason), _) => reason,
            (true, None, Some(errors)) => format!("Nix did not build it: {errors}"),
            (true, None, None) => "Nix kept no log of it".to_owned(),
        };
        Ok(Output::Failed(format!("the build of {} failed: {why}", drv.drv)))
    }
}
