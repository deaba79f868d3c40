//! Fourth step: attempts to rebuild a package, until one is exact or nothing better can come.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::build::Built;
use super::builds::{Builds, Request, Stopped};
use super::context::{Context, Error};
use super::inspect::InspectedPackage;
use super::sources::Sources;
use crate::edges::console::Watch;
use crate::edges::costs::Phase;
use crate::edges::git;
use crate::edges::registry::Registry;
use crate::edges::run_directory::{Kept, KeptBuild, RunDirectory};
use crate::model::krate::CrateName;
use crate::stages::claims::Cause;
use crate::stages::derivation::RebuildDrv;
use crate::stages::findings::{Findings, Rebuild};
use crate::stages::index::{Index, read_index};
use crate::stages::judge::{Case, Output, judge, judge_obstacle};
use crate::stages::plan::{Inputs, PlannedRebuild};
use crate::stages::published::Published;
use crate::stages::recipe::same_build;
use crate::stages::record::{AttemptRecord, Record};
use crate::stages::search::{Attempt, Attempted, Refusal, best, is_the_same, next};
use crate::stages::slice::Slice;
use crate::stages::verdict::Verdict;
use crate::stages::workspace::WorkspaceView;

/// A package with the attempts to rebuild it.
#[derive(Debug)]
pub struct AttemptedPackage {
    /// The package.
    pub package: InspectedPackage,
    attempts: Vec<Made>,
    /// What keeps the next attempt from being made.
    ended: Option<Cause>,
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
    request: Arc<Request>,
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
        Self { package, attempts: Vec::new(), ended: None }
    }
}

impl Context {
    /// Attempts to rebuild a package until it is done; gives what is kept of it.
    ///
    /// # Errors
    /// [`Stopped`] where the run ends before.
    pub fn attempt(
        &self,
        package: InspectedPackage,
        builds: &Builds,
        run: &RunDirectory,
        watch: &Watch<'_>,
        sources: &Sources<'_>,
    ) -> Result<Kept, Stopped> {
        let mut attempted = AttemptedPackage::from(package);
        loop {
            builds.goes_on()?;
            let step = watch.during(Phase::Fetching, || self.prepare(attempted, sources));
            let prepared = match step {
                Step::Done(done) => return Ok(done.close()),
                Step::Next(prepared) => prepared,
            };
            let (drv, built) = watch.during(Phase::Building, || builds.build(Arc::clone(&prepared.request)))?;
            let read = watch.during(Phase::Judging, || {
                // Two crates are compared.
                let size = 2 * prepared.attempted.package.unpacked_size;
                self.permits.with(size, || self.read_attempt(*prepared, drv, &built, run, sources))
            });
            attempted = read.map_err(|error| builds.stop(error))?;
        }
    }

    /// Prepares the next attempt of a package. One that comes to the same build as an earlier one is not built again.
    fn prepare(&self, mut attempted: AttemptedPackage, sources: &Sources<'_>) -> Step {
        loop {
            let subject = &attempted.package.subject;
            let attempt = next(subject, &attempted.outcomes());
            let toolchain = attempt.as_ref().and_then(|attempt| subject.candidates.get(attempt.candidate));
            let (Some(attempt), Some(candidate)) = (attempt, toolchain) else {
                return Step::Done(Box::new(attempted));
            };
            let folder = attempted.package.blueprint.source_folder(attempt.source);
            let source = match self.source_of(&attempted.package.commit, &folder) {
                Ok(source) => source,
                Err(error) => {
                    attempted.ended = Some(attempted.not_whole(&error));
                    return Step::Done(Box::new(attempted));
                }
            };
            let published = attempted.package.blueprint.claims.published;
            let blueprint = &attempted.package.blueprint;
            let mut need = blueprint.index_need(&attempt);
            let mut index = attempted.package.index.clone();
            let mut absent: BTreeSet<CrateName> = BTreeSet::new();
            loop {
                let lacking = need.lacking(&index, &absent);
                if lacking.is_empty() {
                    break;
                }
                let found = match sources.indexes(&lacking, published) {
                    Ok(found) => found,
                    Err(reason) => {
                        attempted.ended = Some(Cause::Error { reason: reason.into() });
                        return Step::Done(Box::new(attempted));
                    }
                };
                absent.extend(lacking.into_iter().filter(|name| !found.contains_key(name)));
                index.extend(found);
            }
            let (inputs, slice) = blueprint.inputs(&attempt, &candidate.toolchain, source, need, &index);
            match attempted.attempts.iter().find(|made| same_build(&made.inputs, &inputs)).cloned() {
                Some(before) => {
                    let again = Attempted { attempt, ..before.attempted };
                    attempted.attempts.push(Made { attempted: again, inputs, drv: before.drv });
                }
                None => {
                    let package = &attempted.package;
                    let own = (package.commit.id, package.commit.clone());
                    let request = Request {
                        locked: package.locked.clone(),
                        checksum: package.checksum,
                        inputs,
                        slice,
                        commits: package.extra_commits.clone().into_iter().chain([own]).collect(),
                        lfs_files: package.lfs_files.clone(),
                        before: attempted.attempts.len(),
                    };
                    return Step::Next(Box::new(Prepared { attempted, attempt, request: Arc::new(request) }));
                }
            }
        }
    }

    /// Reads what an attempt came to, and has it judged.
    fn read_attempt(
        &self,
        one: Prepared,
        drv: RebuildDrv,
        built: &Built,
        run: &RunDirectory,
        sources: &Sources<'_>,
    ) -> Result<AttemptedPackage, Error> {
        let Prepared { mut attempted, attempt, request } = one;
        let package = &attempted.package;
        let output = self.output(&package.locked.key, &drv, built, run)?;
        let refusal = match &output {
            Output::Built { status, .. } => Refusal::of(&status.outcome),
            Output::Failed(_) => None,
        };
        let Request { inputs, slice, .. } = request.as_ref();
        let findings = match sources.registry(&package.locked.key.registry) {
            Ok(registry) => self.judge_attempt(package, inputs, slice, &output, registry),
            Err(reason) => package.judge_error(reason),
        };
        let inputs = inputs.clone();
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

    /// That the whole commit can't be had, with what its lean source came to.
    fn not_whole(&self, error: &git::Error) -> Cause {
        let differences = |made: &Made| -> Vec<String> {
            let findings = &made.attempted.findings;
            let refused = match &findings.rebuild {
                Rebuild::Refused { reason } => Some(format!("cargo refused: {reason}")),
                Rebuild::NotAttempted | Rebuild::Done | Rebuild::Impossible { .. } | Rebuild::Error { .. } => None,
            };
            let paths = findings.contents.differences().iter().map(|one| format!("{} differs", one.path));
            refused.into_iter().chain(paths).take(5).collect()
        };
        let lean = self.attempts.last().map(differences).unwrap_or_default().join(", ");
        Cause::Error { reason: format!("whole commit not available: {error}; without the rest of it: {lean}").into() }
    }

    /// Ends the search: the best attempt decides.
    #[must_use]
    pub fn close(self) -> Kept {
        let Self { package, attempts, ended } = self;
        let outcomes: Vec<Attempted> = attempts.iter().map(|made| made.attempted.clone()).collect();
        // What keeps the next attempt from being made takes nothing from files that are shown to be the same.
        let stands = |best: &usize| ended.is_none() || is_the_same(&outcomes[*best].findings);
        let Some(best) = best(&outcomes, package.subject.is_lean).filter(stands) else {
            let nothing = || Cause::Error { reason: "nothing could be built".into() };
            let obstacle = package.obstacle(ended.unwrap_or_else(nothing));
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
