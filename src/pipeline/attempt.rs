//! Fourth step: attempts to rebuild a package, until one is exact or nothing better can come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::build::Built;
use super::context::{Context, Error, Registries, check_interrupt, in_parallel};
use super::inspect::InspectedPackage;
use super::seed::Content;
use crate::edges::console::Console;
use crate::edges::registry::Registry;
use crate::edges::run_directory::{Kept, KeptBuild, RunDirectory};
use crate::model::krate::CrateName;
use crate::model::package::RegistryName;
use crate::stages::claims::Cause;
use crate::stages::derivation::{FixedInput, RebuildDrv, derive};
use crate::stages::findings::Findings;
use crate::stages::index::{Index, read_index};
use crate::stages::judge::{Case, Output, judge, judge_obstacle};
use crate::stages::plan::{Inputs, Plan, PlannedRebuild};
use crate::stages::published::Published;
use crate::stages::recipe::same_build;
use crate::stages::record::{AttemptRecord, Record};
use crate::stages::search::{Attempt, Attempted, Refusal, best, next};
use crate::stages::slice::Slice;
use crate::stages::verdict::Verdict;
use crate::stages::workspace::WorkspaceView;

/// A package with the attempts to rebuild it.
#[derive(Debug)]
pub struct AttemptedPackage {
    /// The package.
    pub package: InspectedPackage,
    attempts: Vec<Made>,
}

/// An attempt that was made.
#[derive(Debug, Clone)]
struct Made {
    attempted: Attempted,
    inputs: Inputs,
    drv: RebuildDrv,
}

/// An attempt with everything that it needs.
struct Prepared {
    attempted: AttemptedPackage,
    attempt: Attempt,
    inputs: Inputs,
    slice: Slice,
}

/// What comes after an attempt.
enum Step {
    /// Another one.
    Next(Box<Prepared>),
    /// Nothing: the search is over.
    Done(Box<AttemptedPackage>),
}

impl From<InspectedPackage> for AttemptedPackage {
    fn from(package: InspectedPackage) -> Self {
        Self { package, attempts: Vec::new() }
    }
}

impl Context {
    /// Makes the next attempt of every package; gives the packages that are done, and those that go on.
    ///
    /// # Errors
    /// Where Nix or the store does not do what it is asked.
    pub fn attempt(
        &self,
        open: Vec<AttemptedPackage>,
        number: u32,
        run: &RunDirectory,
        console: &Console,
        registries: &Registries,
    ) -> Result<(Vec<AttemptedPackage>, Vec<AttemptedPackage>), Error> {
        let (mut done, mut prepared) = (Vec::new(), Vec::new());
        for step in in_parallel(self.workers, open, |package| self.prepare(package, registries)) {
            match step {
                Step::Next(one) => prepared.push(*one),
                Step::Done(package) => done.push(*package),
            }
        }
        if prepared.is_empty() {
            return Ok((done, Vec::new()));
        }
        let mut plan = Plan::new(self.system.clone(), self.programs.pins());
        for one in &prepared {
            let package = &one.attempted.package;
            plan.add_rebuild(&package.locked, package.checksum, &one.inputs);
        }
        let derivations = derive(&plan)?;
        let built = self.build(&plan, &derivations, &format!("round {number}"), run, console, |jobs| {
            let needed = prepared.iter().filter(|one| jobs.contains(one.attempted.package.locked.key.job().as_str()));
            self.inputs_of(&needed.collect::<Vec<_>>())
        })?;
        check_interrupt()?;
        let read = in_parallel(self.workers.min(4), prepared, |one| {
            let drv = derivations.rebuilds[&one.attempted.package.locked.key.job()].clone();
            self.read_attempt(one, drv, &built, run, registries)
        });
        let mut going_on = Vec::new();
        for package in read {
            let package = package?;
            if next(&package.package.subject, &package.outcomes()).is_some() {
                going_on.push(package);
            } else {
                done.push(package);
            }
        }
        Ok((done, going_on))
    }

    /// Prepares the next attempt of a package. One that comes to the same build as an earlier one is not built again.
    fn prepare(&self, mut attempted: AttemptedPackage, registries: &Registries) -> Step {
        loop {
            let subject = &attempted.package.subject;
            let attempt = next(subject, &attempted.outcomes());
            let toolchain = attempt.as_ref().and_then(|attempt| subject.candidates.get(attempt.candidate));
            let registry = registries.get(&RegistryName::Default).and_then(|registry| registry.as_ref().ok());
            let (Some(attempt), Some(candidate), Some(registry)) = (attempt, toolchain, registry) else {
                return Step::Done(Box::new(attempted));
            };
            let blueprint = &attempted.package.blueprint;
            let mut need = blueprint.index_need(&attempt);
            let mut index = attempted.package.index.clone();
            let mut absent: BTreeSet<CrateName> = BTreeSet::new();
            loop {
                let lacking = need.lacking(&index, &attempt.missed, &absent);
                if lacking.is_empty() {
                    break;
                }
                let Ok(found) = registry.indexes(&lacking) else { return Step::Done(Box::new(attempted)) };
                absent.extend(lacking.into_iter().filter(|name| !found.contains_key(name)));
                index.extend(found);
            }
            let (inputs, slice) = blueprint.inputs(&attempt, &candidate.toolchain, need, &index);
            match attempted.attempts.iter().find(|made| same_build(&made.inputs, &inputs)).cloned() {
                Some(before) => {
                    let again = Attempted { attempt, ..before.attempted };
                    attempted.attempts.push(Made { attempted: again, inputs, drv: before.drv });
                }
                None => return Step::Next(Box::new(Prepared { attempted, attempt, inputs, slice })),
            }
        }
    }

    /// What each fixed-output input of these attempts is made of.
    fn inputs_of<'a>(&self, needed: &[&'a Prepared]) -> BTreeMap<FixedInput, Content<'a>> {
        let toolchains = needed.iter().map(|one| (&one.inputs.recipe.toolchain, &one.inputs.toolchain));
        let mut inputs = self.own_inputs(toolchains);
        for one in needed {
            let package = &one.attempted.package;
            inputs.insert(FixedInput::Commit(package.commit.id), Content::Commit(&package.commit));
            let extra = package.extra_commits.iter();
            inputs.extend(extra.map(|(id, commit)| (FixedInput::Commit(*id), Content::Commit(commit))));
            let objects = package.lfs_files.iter();
            inputs.extend(objects.map(|(hash, file)| (FixedInput::LfsObject(*hash), Content::LfsObject(file))));
            inputs.insert(FixedInput::Index(one.inputs.index.nar_hash), Content::Slice(&one.slice));
        }
        inputs
    }

    /// Reads what an attempt came to, and has it judged.
    fn read_attempt(
        &self,
        one: Prepared,
        drv: RebuildDrv,
        built: &Built,
        run: &RunDirectory,
        registries: &Registries,
    ) -> Result<AttemptedPackage, Error> {
        let Prepared { mut attempted, attempt, inputs, slice } = one;
        let package = &attempted.package;
        let output = self.output(&package.locked.key, &drv, built, run)?;
        let refusal = match &output {
            Output::Built { status, .. } => Refusal::of(&status.outcome),
            Output::Failed(_) => None,
        };
        let findings = match &registries[&package.locked.key.registry] {
            Ok(registry) => self.judge_attempt(package, &inputs, &slice, &output, registry),
            Err(reason) => package.judge_error(reason.clone()),
        };
        attempted.attempts.push(Made { attempted: Attempted { attempt, findings, refusal }, inputs, drv });
        Ok(attempted)
    }

    fn judge_attempt(
        &self,
        package: &InspectedPackage,
        inputs: &Inputs,
        slice: &Slice,
        output: &Output,
        registry: &Registry,
    ) -> Findings {
        let id = package.locked.key.id();
        // From the cache by its checksum, and checked again: its bytes were not kept in memory.
        let published = match registry.artefact(&id, package.checksum) {
            Ok(artefact) => {
                Published::read_with(&artefact, package.evidence.clone()).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let published = match published {
            Ok(published) => published,
            Err(reason) => return package.judge_error(reason),
        };
        let index = match inputs.recipe.published_lockfile {
            Some(_) => slice_index(slice, package),
            None => Index::new(),
        };
        let planned = package.planned(inputs);
        judge(&Case {
            id: &id,
            published: &published,
            planned: &planned,
            toolchain: &inputs.toolchain,
            output,
            index: &index,
            renamed: &self.renamed,
            claimed_by_plan: false,
        })
    }
}

/// The lines that a slice has of what the published Cargo.lock names.
fn slice_index(slice: &Slice, package: &InspectedPackage) -> Index {
    let names = package.blueprint.lock_evidence.locked.keys();
    let lines = names.filter_map(|name| Some((name.clone(), slice.file(name)?)));
    lines.map(|(name, text)| (name, Arc::new(read_index(text.as_bytes())))).collect()
}

impl InspectedPackage {
    /// The package's part of a plan.
    fn planned(&self, inputs: &Inputs) -> PlannedRebuild {
        PlannedRebuild {
            checksum: self.checksum,
            url: inputs.url.clone(),
            claims: inputs.claims.clone(),
            recipe: inputs.recipe.clone(),
        }
    }

    /// What there is to say where the published crate can't be had any more.
    fn judge_error(&self, reason: String) -> Findings {
        judge_obstacle(&self.obstacle(Cause::Error { reason: reason.into() }), false)
    }
}

impl AttemptedPackage {
    /// What was attempted, as the search looks at it.
    fn outcomes(&self) -> Vec<Attempted> {
        self.attempts.iter().map(|made| made.attempted.clone()).collect()
    }

    /// Ends the search: the best attempt decides.
    #[must_use]
    pub fn close(self) -> Kept {
        let Self { package, attempts } = self;
        let outcomes: Vec<Attempted> = attempts.iter().map(|made| made.attempted.clone()).collect();
        let Some(best) = best(&outcomes) else {
            let obstacle = package.obstacle(Cause::Error { reason: "nothing could be built".into() });
            let findings = judge_obstacle(&obstacle, false);
            let record = Record::new(package.locked.key, Some(package.checksum), findings);
            return Kept { record, build: KeptBuild::Obstacle(Box::new(obstacle)) };
        };
        let made = &attempts[best];
        let findings = made.attempted.findings.clone();
        let record = Record::new(package.locked.key.clone(), Some(package.checksum), findings);
        let records = attempts.iter().map(|made| AttemptRecord {
            toolchain: made.inputs.toolchain.name.clone(),
            in_range: package.subject.candidates[made.attempted.attempt.candidate].in_range,
            index_mode: made.attempted.attempt.index_mode,
            workspace: WorkspaceView::of(&made.inputs.recipe.prune),
            verdict: Verdict::of(&made.attempted.findings),
            drv: made.drv.drv.clone(),
            out: made.drv.out.clone(),
        });
        let attempts_made = records.collect();
        let record = Record { best: Some(best), attempts: attempts_made, ..record.with_evidence(&package.evidence) };
        Kept { record, build: KeptBuild::Inputs(Box::new(made.inputs.clone())) }
    }
}
