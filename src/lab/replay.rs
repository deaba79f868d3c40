//! Replay: what a plan says, built and judged as it stands, without any search.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::seed::Content;
use super::{Error, Lab, Program, go_on, in_parallel};
use crate::edges::console::Console;
use crate::edges::git::commit::Commit;
use crate::edges::git::lfs::Sizes;
use crate::edges::network::Answer;
use crate::edges::registry::Registry;
use crate::edges::run_directory::{Kept, RunDirectory};
use crate::judge::{CaseFile, judge};
use crate::model::digest::{Sha256, Sri};
use crate::model::source::{CommitId, RepositoryUrl};
use crate::stages::derivation::{Derivations, Hermetic, Leaf, derive};
use crate::stages::lock::RegistryName;
use crate::stages::plan::{Plan, ProgramPin, Rebuild};
use crate::stages::slice::Slice;
use crate::stages::toolchain::{Origin, Toolchain};
use crate::stages::verdict::{Record, Verdict};

impl Lab {
    /// Builds what a plan says and judges it; gives a record of each crate and the plan as it was built.
    ///
    /// # Errors
    /// Where the machinery fails. What is wrong with a crate is its record.
    pub fn replay(&self, plan: &Plan, run: &RunDirectory, console: &Console) -> Result<(Vec<Record>, Plan), Error> {
        let plan = self.at_home(plan)?;
        let derivations = derive(&plan)?;
        self.build_plan(&plan, &derivations, run, console)?;
        let mut records: Vec<Record> = plan.settled.values().cloned().collect();
        let registry = self.default_registry();
        let cases = plan.rebuilds.iter().map(|(job, rebuild)| (rebuild, &derivations.rebuilds[job])).collect();
        for record in in_parallel(self.workers.min(4), cases, |(rebuild, hermetic)| {
            self.judge_rebuild(&plan, rebuild, hermetic, &registry, run)
        }) {
            records.push(record?);
        }
        for record in &records {
            let kept = Kept { record: record.clone(), registry: RegistryName::Default, inputs: None };
            run.keep(&record.id(), &kept)?;
            console.crate_done(record);
        }
        run.write("plan.json", &plan.to_json())?;
        Ok((records, plan))
    }

    /// The plan with this recrate's own programs in place of those that can't be had here. The fetcher changes no
    /// output, the judge no rebuild; another builder makes other store paths, but proves the commit all the same.
    pub fn at_home(&self, plan: &Plan) -> Result<Plan, Error> {
        let derivations = derive(plan)?;
        let programs = [Leaf::Builder, Leaf::Fetcher, Leaf::Judge];
        let missing = self.nix.missing(programs.iter().map(|leaf| &derivations.leaves[leaf]))?;
        let take = |pin: &mut ProgramPin, leaf: Leaf, own: &Program| {
            if *pin != own.pin && missing.contains(&derivations.leaves[&leaf]) {
                tracing::info!("the plan's {leaf:?} is not in the store; recrate's own is taken in its stead");
                *pin = own.pin;
            }
        };
        let mut plan = plan.clone();
        take(&mut plan.builder, Leaf::Builder, &self.builder);
        take(&mut plan.fetcher, Leaf::Fetcher, &self.fetcher);
        take(&mut plan.judge, Leaf::Judge, &self.judge);
        Ok(plan)
    }

    /// Builds what the store lacks of a plan. Leaves that can't be had are left to Nix, which has ways of its own.
    fn build_plan(
        &self,
        plan: &Plan,
        derivations: &Derivations,
        run: &RunDirectory,
        console: &Console,
    ) -> Result<(), Error> {
        let mut inputs = Inputs::default();
        let outputs = derivations.rebuilds.iter();
        let missing = self.nix.missing(derivations.rebuilds.values().map(|hermetic| &hermetic.out))?;
        let jobs: BTreeSet<&str> =
            outputs.filter(|(_, hermetic)| missing.contains(&hermetic.out)).map(|(job, _)| job.as_str()).collect();
        if !jobs.is_empty() {
            console.stage(&format!("fetching the inputs of {} builds", jobs.len()));
            inputs = self.inputs(&plan.only(&jobs), derivations)?;
            go_on()?;
        }
        self.build(plan, derivations, "the plan", run, console, |_| Ok(self.content(&inputs)))
    }

    /// Brings the commits, LFS objects and index slices of a plan that the store lacks, as far as they can be had.
    pub(super) fn inputs(&self, plan: &Plan, derivations: &Derivations) -> Result<Inputs, Error> {
        let missing = self.nix.missing(derivations.leaves.values())?;
        let lacks = |leaf: &Leaf| derivations.leaves.get(leaf).is_some_and(|path| missing.contains(path));
        let mut by_repository: BTreeMap<RepositoryUrl, BTreeSet<CommitId>> = BTreeMap::new();
        for (id, source) in plan.sources.iter().filter(|(id, _)| lacks(&Leaf::Source(**id))) {
            by_repository.entry(source.repository.clone()).or_default().insert(*id);
        }
        let mut objects: BTreeMap<RepositoryUrl, Sizes> = BTreeMap::new();
        for (hash, object) in plan.lfs_objects.iter().filter(|(hash, _)| lacks(&Leaf::LfsObject(**hash))) {
            objects.entry(object.repository.clone()).or_default().insert(*hash, object.size);
        }
        let objects = self.lfs_objects_of(objects).into_iter();
        let commits = self.commits_of(by_repository).into_values().filter_map(Result::ok);
        let registry = self.default_registry();
        let pins = plan.indexes.values().filter(|pin| lacks(&Leaf::Index(pin.nar_hash))).collect();
        let slices = in_parallel(self.workers, pins, |pin| {
            let slice = pin.cut(&registry.as_ref().ok()?.indexes(&pin.names).ok()?);
            (slice.nar_hash() == pin.nar_hash).then_some((pin.nar_hash, slice))
        });
        // An imported cargo goes by its content, whatever it is called here and there.
        let here = |wanted: &Toolchain| match &wanted.origin {
            Origin::Imported { .. } => self.available.iter().find(|have| have.origin == wanted.origin).cloned(),
            Origin::Archive { .. } => Some(wanted.clone()),
        };
        for (name, _) in plan
            .toolchains
            .iter()
            .filter(|(name, wanted)| lacks(&Leaf::Toolchain((*name).clone())) && here(wanted).is_none())
        {
            tracing::warn!(
                "the plan's cargo {name} is neither in the store nor imported here: what needs it can't be built"
            );
        }
        let toolchains = plan.toolchains.iter().filter_map(|(name, wanted)| Some((name.clone(), here(wanted)?)));
        Ok(Inputs {
            commits: commits.collect(),
            objects: objects.filter_map(|((_, hash), found)| Some((hash, found.ok()?.1))).collect(),
            slices: slices.into_iter().flatten().collect(),
            toolchains: toolchains.collect(),
        })
    }

    pub(super) fn content<'a>(&self, inputs: &'a Inputs) -> BTreeMap<Leaf, Content<'a>> {
        let mut leaves = self.own_leaves(inputs.toolchains.iter());
        leaves.extend(inputs.commits.iter().map(|commit| (Leaf::Source(commit.id), Content::Commit(commit))));
        leaves.extend(inputs.objects.iter().map(|(hash, file)| (Leaf::LfsObject(*hash), Content::LfsObject(file))));
        leaves.extend(inputs.slices.iter().map(|(hash, slice)| (Leaf::Index(*hash), Content::Slice(slice))));
        leaves
    }

    fn judge_rebuild(
        &self,
        plan: &Plan,
        rebuild: &Rebuild,
        hermetic: &Hermetic,
        registry: &Result<Registry, String>,
        run: &RunDirectory,
    ) -> Result<Record, Error> {
        let id = rebuild.id();
        let inconclusive = |verdict| Ok(Record::new(&id, Some(rebuild.checksum), verdict));
        let out = self.real(&hermetic.out, run);
        if !out.exists() {
            return inconclusive(self.failed(&id, hermetic, run)?);
        }
        let toolchain = plan.toolchains[&rebuild.recipe.toolchain].clone();
        let Hermetic { drv, out: path } = hermetic.clone();
        let case = CaseFile { rebuild: rebuild.clone(), toolchain, drv, out: path };
        let judged = self.published(rebuild, registry).and_then(|bytes| judge(&case, bytes, &out));
        judged.or_else(|reason| inconclusive(Verdict::Inconclusive { reason }))
    }

    /// The published crate of a rebuild: from the default registry, or from where the plan says.
    pub fn published(&self, rebuild: &Rebuild, registry: &Result<Registry, String>) -> Result<Vec<u8>, String> {
        let registry = registry.as_ref().map_err(String::clone)?;
        let found = registry.download(&rebuild.id(), rebuild.checksum).map_err(|error| error.to_string());
        let right = |bytes: &Vec<u8>| Sha256::of(bytes) == rebuild.checksum;
        let (Some(url), Some(network)) = (&rebuild.url, &self.network) else { return found };
        match found {
            Ok(bytes) if right(&bytes) => Ok(bytes),
            _ => match network.get(url, None).map_err(|error| error.to_string())? {
                Answer::Body { bytes, .. } => Ok(bytes),
                Answer::Absent | Answer::NotModified => Err(format!("{url} is not there")),
            },
        }
    }

    /// The registry that crates come from where nothing else is said.
    pub fn default_registry(&self) -> Result<Registry, String> {
        let place = self.cargo_config.place(&RegistryName::Default).map_err(|error| error.to_string())?;
        Ok(Registry::new(place, self.cache.clone(), self.network.clone()))
    }
}

/// What the store lacks of a plan's leaves, as far as it can be had here.
#[derive(Default)]
pub(super) struct Inputs {
    commits: Vec<Commit>,
    objects: Vec<(Sri, PathBuf)>,
    slices: Vec<(Sri, Slice)>,
    /// The cargos of this machine, by their names in the plan.
    toolchains: BTreeMap<String, Toolchain>,
}
