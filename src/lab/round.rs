//! One round: at most one build of each open crate, all of them at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use semver::VersionReq;

use super::case::{Built, Case, Registries};
use super::seed::Content;
use super::{Error, Lab, go_on, in_parallel};
use crate::builder::status::{FILE, Status};
use crate::edges::console::Console;
use crate::edges::nix::Event;
use crate::edges::run_directory::RunDirectory;
use crate::model::krate::{CrateId, CrateName};
use crate::model::release::{Minor, Span};
use crate::stages::derivation::{Derivations, Hermetic, Leaf, derive};
use crate::stages::lock::RegistryName;
use crate::stages::plan::{IndexMode, IndexPin, Inputs, Plan, Recipe, Source};
use crate::stages::search::{Refusal, Tried, Try, next};
use crate::stages::slice::{Slice, Yanked, cut, required_by};
use crate::stages::verdict::Verdict;
use crate::stages::workspace::Others;
use crate::stages::yanked::since_yanked;

/// `nix/` as it was when this program was built: what registers the derivations.
const PLAN_NIX: &str = include_str!("../../nix/plan.nix");

/// The first cargo that has `--exclude-lockfile`, and the first that packs a lock file whatever the package is.
const EXCLUDES_LOCKFILE: Minor = Minor(87);

/// The cargos that leave no note of the commit with `--allow-dirty` (rust-lang/cargo #6280, #13960).
const NO_NOTE_WHERE_DIRTY: Span = Span::between(32, 80);

/// How many crates a slice grows to by what cargo missed. Everything reachable would be thousands.
const NAMES_LIMIT: usize = 500;

/// A try with everything it needs.
pub(super) struct Prepared {
    pub(super) case: Case,
    attempt: Try,
    pub(super) inputs: Inputs,
    pub(super) slice: Slice,
}

impl Lab {
    /// Takes the next try of every case; gives the cases that are done, and those that go on.
    pub(super) fn round(
        &self,
        open: Vec<Case>,
        number: u32,
        run: &RunDirectory,
        console: &Console,
        registries: &Registries,
    ) -> Result<(Vec<Case>, Vec<Case>), Error> {
        let mut closed = Vec::new();
        let mut prepared = Vec::new();
        for step in in_parallel(self.workers, open, |case| self.prepare(case, registries)) {
            match step {
                Ok(one) => prepared.push(one),
                Err(case) => closed.push(*case),
            }
        }
        if prepared.is_empty() {
            return Ok((closed, Vec::new()));
        }
        let mut plan = Plan::new(self.system.clone(), self.pins());
        for one in &prepared {
            plan.add(&one.case.locked.id, one.case.checksum, &one.inputs);
        }
        let derivations = derive(&plan)?;
        let label = format!("round {number}");
        self.build(&plan, &derivations, &label, run, console, |jobs| {
            let needed = prepared.iter().filter(|one| jobs.contains(one.case.locked.id.job().as_str()));
            Ok(self.leaves(&needed.collect::<Vec<_>>()))
        })?;
        go_on()?;

        let read = in_parallel(self.workers.min(4), prepared, |one| {
            let hermetic = &derivations.rebuilds[&one.case.locked.id.job()];
            self.read(one, hermetic, run, registries)
        });
        let mut going_on = Vec::new();
        for case in read {
            let case = case?;
            if next(&case.subject, &case.outcomes()).is_some() { going_on.push(case) } else { closed.push(case) }
        }
        Ok((closed, going_on))
    }

    /// Makes the next try of a case; gives the case back where there is none. A try that comes down to the same
    /// inputs as an earlier one is not built again.
    fn prepare(&self, mut case: Case, registries: &Registries) -> Result<Prepared, Box<Case>> {
        loop {
            let Some(attempt) = next(&case.subject, &case.outcomes()) else { return Err(Box::new(case)) };
            let Some((inputs, slice)) = inputs_of(&case, &attempt, registries) else { return Err(Box::new(case)) };
            let same = case.tried.iter().find(|(_, built)| {
                // The label of the index mode, and how the slice was arrived at, are no inputs; the slice is.
                let Recipe { index_mode, index, .. } = inputs.recipe;
                built.inputs.index.nar_hash == inputs.index.nar_hash
                    && Recipe { index_mode, index, ..built.inputs.recipe.clone() } == inputs.recipe
            });
            match same.cloned() {
                Some((before, built)) => case.tried.push((Tried { attempt, ..before }, Built { inputs, ..built })),
                None => return Ok(Prepared { case, attempt, inputs, slice }),
            }
        }
    }

    /// Has Nix build what the store does not have yet; `leaves` says what the leaves of those jobs are made of.
    pub(super) fn build<'a>(
        &self,
        plan: &Plan,
        derivations: &Derivations,
        label: &str,
        run: &RunDirectory,
        console: &Console,
        leaves: impl FnOnce(&BTreeSet<&str>) -> Result<BTreeMap<Leaf, Content<'a>>, Error>,
    ) -> Result<(), Error> {
        let missing = self.nix.missing(derivations.rebuilds.values().map(|hermetic| &hermetic.out))?;
        let wanted: Vec<(&String, &Hermetic)> =
            derivations.rebuilds.iter().filter(|(_, hermetic)| missing.contains(&hermetic.out)).collect();
        if wanted.is_empty() {
            return self.bring(derivations, run);
        }
        console.stage(&format!("{label}: {} of {} to build", wanted.len(), plan.rebuilds.len()));
        let jobs: BTreeSet<&str> = wanted.iter().map(|(job, _)| job.as_str()).collect();
        self.seed(derivations, leaves(&jobs)?)?;
        go_on()?;
        self.instantiate(&plan.only(&jobs), derivations, run, "round.json")?;
        let builds: Vec<&Hermetic> = wanted.iter().map(|(_, hermetic)| *hermetic).collect();
        self.nix.realise(&builds, &run.roots(), |event| match event {
            Event::Started(drv) => console.build_started(&drv),
            Event::Message(text) => tracing::debug!("nix: {text}"),
        })?;
        self.bring(derivations, run)
    }

    /// Brings outputs of another store here, to be read.
    pub(super) fn bring(&self, derivations: &Derivations, run: &RunDirectory) -> Result<(), Error> {
        let Some(store) = &self.nix.store else { return Ok(()) };
        let missing = self.nix.missing(derivations.rebuilds.values().map(|hermetic| &hermetic.out))?;
        let outputs = derivations.rebuilds.values().map(|hermetic| &hermetic.out);
        let wanted: Vec<&String> =
            outputs.filter(|out| !missing.contains(*out) && !self.real(out, run).exists()).collect();
        if !wanted.is_empty() {
            self.nix.copy(
                Some(store),
                Some(&format!("local?root={}", run.store().display())),
                false,
                wanted.into_iter(),
            )?;
        }
        Ok(())
    }

    /// Where an output can be read.
    pub(super) fn real(&self, out: &str, run: &RunDirectory) -> PathBuf {
        if self.nix.store.is_some() { run.store().join(out.trim_start_matches('/')) } else { PathBuf::from(out) }
    }

    /// Instantiates a plan with `nix/plan.nix` and asserts that it gives what this process derived.
    pub(super) fn instantiate(
        &self,
        plan: &Plan,
        derivations: &Derivations,
        run: &RunDirectory,
        name: &str,
    ) -> Result<(), Error> {
        run.write(name, &plan.to_json())?;
        run.write("plan.nix", PLAN_NIX)?;
        let instantiated = self.nix.instantiate(&run.path().join("plan.nix"), &run.path().join(name), "drvPaths")?;
        for job in plan.rebuilds.keys() {
            let nix = instantiated.get(job).cloned().unwrap_or_default();
            let recrate = derivations.rebuilds[job].drv.clone();
            if nix != recrate {
                return Err(Error::Disagreement { job: job.clone(), nix, recrate });
            }
        }
        Ok(())
    }

    /// Asserts that both generators derive the same from the whole plan.
    pub(super) fn assert_agreement(&self, plan: &Plan, run: &RunDirectory) -> Result<(), Error> {
        if plan.rebuilds.is_empty() { Ok(()) } else { self.instantiate(plan, &derive(plan)?, run, "plan.json") }
    }

    /// Reads what a build left and compares it.
    fn read(
        &self,
        one: Prepared,
        hermetic: &Hermetic,
        run: &RunDirectory,
        registries: &Registries,
    ) -> Result<Case, Error> {
        let Prepared { mut case, attempt, inputs, .. } = one;
        let out = self.real(&hermetic.out, run);
        let (verdict, refusal) = match status(&out) {
            Some(status) => (self.judge(&case, &out, &status, registries), Refusal::of(&status.outcome)),
            None => (self.failed(&case.locked.id, hermetic, run)?, None),
        };
        let tried = Tried { attempt, verdict, refusal };
        case.tried.push((tried, Built { inputs, drv: hermetic.drv.clone(), out: hermetic.out.clone() }));
        Ok(case)
    }

    /// What is said where a build failed by a fault of the machine.
    pub(super) fn failed(&self, id: &CrateId, hermetic: &Hermetic, run: &RunDirectory) -> Result<Verdict, Error> {
        let log = self.nix.log(&hermetic.drv);
        run.keep_log(id, &log)?;
        if let Some(at) = log.find("not building outside the Nix sandbox") {
            return Err(Error::Unsandboxed(log[at..].trim().to_owned()));
        }
        let last: Vec<&str> = log.trim().lines().rev().take(3).collect();
        let said = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        let said = if said.is_empty() { "Nix kept no log of it".to_owned() } else { said };
        Ok(Verdict::Inconclusive { reason: format!("the build of {} failed: {said}", hermetic.drv) })
    }

    /// What a build says of a case.
    fn judge(&self, case: &Case, out: &Path, status: &Status, registries: &Registries) -> Verdict {
        let inconclusive = |reason: String| Verdict::Inconclusive { reason };
        let Some(located) = &case.located else { return inconclusive("it was not located".to_owned()) };
        let Some(Ok(registry)) = registries.get(&case.locked.registry) else {
            return inconclusive("its registry can't be asked".to_owned());
        };
        let published = match registry.download(&case.locked.id, case.checksum) {
            Ok(published) => published,
            Err(error) => return inconclusive(error.to_string()),
        };
        let read = |file: &str| {
            let path = out.join(file);
            std::fs::read(&path).map_err(|error| format!("failed to read {}: {error}", path.display()))
        };
        let context = located.facts.context(case.dating.span);
        Verdict::of_build(&case.locked.id, &published, &status.outcome, read, &context)
    }
}

/// The status that a build left; none where it is not there.
fn status(out: &Path) -> Option<Status> {
    serde_json::from_slice(&std::fs::read(out.join(FILE)).ok()?).ok()
}

/// The inputs of a try, and the index slice among them.
fn inputs_of(case: &Case, attempt: &Try, registries: &Registries) -> Option<(Inputs, Slice)> {
    let located = case.located.as_ref()?;
    let toolchain = &case.subject.candidates.get(attempt.candidate)?.toolchain;
    let mut wanted = located.wanted.clone();
    let when = case.cut(attempt.index_mode);
    let lock = match attempt.index_mode {
        IndexMode::PublishedLock => {
            for (name, versions) in &located.locked {
                wanted.locked.entry(name.clone()).or_default().extend(versions.iter().cloned());
            }
            case.lock.clone().unwrap_or_default()
        }
        IndexMode::AtPublication
        | IndexMode::WithSiblings
        | IndexMode::WithYanked
        | IndexMode::MinutesBefore
        | IndexMode::AtNewestLocked => String::new(),
    };
    if matches!(attempt.index_mode, IndexMode::WithSiblings | IndexMode::PublishedLock) {
        wanted.late.clone_from(&located.siblings);
    }
    let mut index = located.index.clone();
    let registry = registries.get(&RegistryName::Default)?.as_ref().ok()?;
    // What cargo missed, with everything the manifests name, and what that requires in turn: else it would miss one
    // after the other.
    let mut asked: HashSet<(CrateName, VersionReq)> = HashSet::new();
    if !attempt.missed.is_empty() {
        asked.extend(attempt.missed.iter().map(|name| (name.clone(), VersionReq::STAR)));
        asked.extend(wanted.requirements.iter().cloned());
    }
    let mut seen = HashSet::new();
    while !asked.is_empty() && wanted.names.len() < NAMES_LIMIT {
        let names: BTreeSet<CrateName> = asked.iter().map(|(name, _)| name.clone()).collect();
        index.extend(registry.indexes(&names).ok()?);
        wanted.names.extend(names);
        let lines = |name| index.get(name).map(|lines| lines.as_slice()).unwrap_or_default();
        let required =
            asked.iter().flat_map(|(name, versions)| required_by(lines(name), versions, when, &attempt.missed));
        let required = required.filter(|one| !seen.contains(*one) && !asked.contains(*one)).cloned().collect();
        seen.extend(std::mem::replace(&mut asked, required));
    }
    if attempt.index_mode == IndexMode::WithYanked {
        let mut restored = located.yanked.clone();
        for (name, versions) in case.published.map(|own| since_yanked(&index, own)).unwrap_or_default() {
            restored.entry(name).or_default().extend(versions);
        }
        wanted.yanked = Yanked::TodayBut(restored);
    }
    let slice = cut(&index, &wanted, when, toolchain.minor);
    let pin = IndexPin::of(&slice, &wanted, toolchain.minor);
    // It has no note of a commit: cargo leaves none where it is told to pass over changes, or finds no git.
    let found = case.origin.found_by.is_some();
    let outside_git = found && !NO_NOTE_WHERE_DIRTY.contains(toolchain.minor);
    let left_out = match attempt.others {
        Others::Whole => BTreeMap::new(),
        Others::Needed => located.needed.clone(),
        Others::Bare => located.bare.clone(),
    };
    let inputs = Inputs {
        recipe: Recipe {
            toolchain: toolchain.name.clone(),
            source: case.origin.commit,
            package_path: located.path.clone(),
            index: pin.key(),
            index_mode: attempt.index_mode,
            checkout: located.checkout.clone(),
            submodules: located.further.submodules.clone(),
            git_dependencies: located.further.git_dependencies.clone(),
            left_out,
            allow_dirty: case.origin.dirty || found && !outside_git,
            outside_git,
            exclude_lockfile: case.lock.is_none() && toolchain.minor >= EXCLUDES_LOCKFILE,
            lock_paths: if lock.is_empty() { Vec::new() } else { located.lock_paths.clone() },
            lock: if lock.is_empty() { lock } else { BASE64.encode(lock) },
        },
        toolchain: toolchain.clone(),
        source: Source::of(
            case.origin.repository.clone(),
            &located.commit.body,
            located.export.nar_hash,
            located.export.submodules.clone(),
        ),
        further: located.further.commits.iter().map(|(id, (_, source))| (*id, source.clone())).collect(),
        lfs_objects: located.further.objects.iter().map(|(hash, (object, _))| (*hash, object.clone())).collect(),
        url: case.url.clone(),
        facts: located.facts.clone(),
        index: pin,
    };
    Some((inputs, slice))
}
