//! Replay: what a plan says, built and judged as it is, without any search. What the plan claims of registry and
//! repositories is asked again where that can be done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::build::{Built, Order, Share};
use super::context::{Context, Error, Registries, check_interrupt};
use super::seed::Content;
use super::trace::ask_reach;
use crate::contract::git::tree_of_commit;
use crate::edges::console::Console;
use crate::edges::git::commit::Commit;
use crate::edges::git::history::History;
use crate::edges::git::lfs::Sizes;
use crate::edges::network::{Answer, FILE_LIMIT};
use crate::edges::parallel::in_parallel;
use crate::edges::registry::{Registry, told_by, too_early};
use crate::edges::run_directory::{Kept, KeptBuild, RunDirectory};
use crate::model::commit::CommitId;
use crate::model::digest::Sri;
use crate::model::krate::CrateName;
use crate::model::package::RegistryName;
use crate::model::repository::RepositoryUrl;
use crate::stages::artefact::{Archive, LOCK};
use crate::stages::claims::{Cause, Claims, Missing, Obstacle, Reach};
use crate::stages::derivation::{Derivations, FixedInput, RebuildDrv, derive};
use crate::stages::index::{Index, read_index};
use crate::stages::index_label::{self, Stated};
use crate::stages::judge::{Output, Replayed, judge_obstacle};
use crate::stages::lock_evidence::{examine, locked_versions};
use crate::stages::manifest::Manifest;
use crate::stages::plan::{self, Build, IndexMode, Plan, PlannedPackage, PlannedRebuild, PlannedRecipe};
use crate::stages::provenance::tag_names;
use crate::stages::record::Record;
use crate::stages::slice::Slice;
use crate::stages::toolchain::{Origin, Toolchain};

/// The branches and tags of a plan's repositories, asked again; why not where they can't be.
type Histories = BTreeMap<RepositoryUrl, Result<Arc<History>, String>>;

impl Context {
    /// Builds what a plan says and judges it; gives a record of each package and the plan as it was built.
    ///
    /// # Errors
    /// Where recrate or the machine is at fault. What is wrong with a package is its record.
    pub fn replay(&self, plan: &Plan, run: &RunDirectory, console: &Console) -> Result<(Vec<Record>, Plan), Error> {
        self.preflight()?;
        let plan = self.with_own_programs(plan, console);
        let derivations = derive(&plan)?;
        let untrusted = self.untrusted_toolchains(&plan);
        let buildable: BTreeSet<&str> = plan
            .rebuilds()
            .filter(|(_, _, rebuild)| !untrusted.contains(rebuild.recipe.toolchain.as_str()))
            .map(|(job, _, _)| job.as_str())
            .collect();
        let part = plan.only(&buildable);
        let part_derivations = derive(&part)?;
        let built = self.build_plan(&part, &part_derivations, run, console)?;
        console.stage("asking for branches and tags");
        let histories = self.ask_again(&plan);
        let registries = self.registries(plan.packages.values().map(|package| &package.key.registry));
        let replay = Replay {
            context: self,
            plan: &plan,
            derivations: &derivations,
            built: &built,
            run,
            registries: &registries,
            histories: &histories,
        };
        let packages: Vec<&PlannedPackage> = plan.packages.values().collect();
        let records = in_parallel(self.workers.min(4), packages, |package| {
            let record = match &package.build {
                Build::Rebuild(rebuild) if untrusted.contains(rebuild.recipe.toolchain.as_str()) => {
                    let reason = format!(
                        "the plan's cargo {} is not imported here: `recrate toolchain add` imports it",
                        rebuild.recipe.toolchain
                    );
                    Ok(replay.ended(package, Cause::Error { reason: reason.into() }))
                }
                Build::Rebuild(rebuild) => replay.judge(package, rebuild),
                Build::Obstacle(obstacle) => {
                    let findings = judge_obstacle(obstacle, true);
                    Ok(Record::new(package.key.clone(), package.checksum, findings))
                }
            };
            if let Ok(record) = &record {
                run.keep(&kept(&plan, package, record.clone()))?;
                console.package_done(record);
            }
            record
        });
        let records = records.into_iter().collect::<Result<Vec<_>, _>>()?;
        run.write("plan.json", &plan.to_json())?;
        Ok((records, plan))
    }

    /// The plan with this recrate's own programs: whoever wrote the plan is not trusted to say what proves a commit.
    fn with_own_programs(&self, plan: &Plan, console: &Console) -> Plan {
        let own = self.programs.pins();
        if own.builder != plan.builder {
            console
                .warn("the plan was made with another builder: recrate's own is used, and the store paths are others");
        }
        let mut plan = Plan { builder: own.builder, fetcher: own.fetcher, judge: own.judge, ..plan.clone() };
        // Nor what official cargos are run with: a loader can make anything of them.
        if let Some(own) = self.available.iter().find_map(Toolchain::runtime) {
            plan.toolchains.values_mut().for_each(|toolchain| toolchain.run_with(own));
        }
        plan
    }

    /// The plan's cargos that are neither official archives nor imported here.
    fn untrusted_toolchains<'a>(&self, plan: &'a Plan) -> BTreeSet<&'a str> {
        let trusted = |toolchain: &Toolchain| {
            // A cargo goes by its content; which release it is says whoever imported it here, and no plan.
            let is_own = |own: &Toolchain| {
                (&own.origin, &own.release, own.minor) == (&toolchain.origin, &toolchain.release, toolchain.minor)
            };
            let runs_as_here = self.available.iter().any(|own| own.runtime() == toolchain.runtime());
            toolchain.is_official() && runs_as_here || self.available.iter().any(is_own)
        };
        plan.toolchains.iter().filter(|(_, toolchain)| !trusted(toolchain)).map(|(name, _)| name.as_str()).collect()
    }

    /// Asks the plan's repositories for their branches and tags.
    fn ask_again(&self, plan: &Plan) -> Histories {
        let mut wanted: BTreeMap<RepositoryUrl, Vec<CommitId>> = BTreeMap::new();
        for (_, _, rebuild) in plan.rebuilds() {
            wanted.entry(rebuild.claims.repository.clone()).or_default().push(rebuild.recipe.commit);
        }
        let asked = in_parallel(self.workers, wanted.into_iter().collect(), |(repository, commits)| {
            let history = self.git.history(&repository, &commits).map(Arc::new).map_err(|error| error.to_string());
            (repository, history)
        });
        asked.into_iter().collect()
    }

    /// Builds what the store lacks of a plan. Inputs that can't be had are left to Nix, which has ways of its own.
    fn build_plan(
        &self,
        plan: &Plan,
        derivations: &Derivations,
        run: &RunDirectory,
        console: &Console,
    ) -> Result<Built, Error> {
        let missing = self.nix.missing(derivations.rebuilds.values().map(|drv| &drv.out))?;
        let lacking = derivations.rebuilds.iter().filter(|(_, drv)| missing.contains(&drv.out));
        let jobs: BTreeSet<&str> = lacking.map(|(job, _)| job.as_str()).collect();
        let mut inputs = Inputs::default();
        if !jobs.is_empty() {
            console.stage(&format!("fetching the inputs of {} builds", jobs.len()));
            inputs = self.inputs(&plan.only(&jobs), derivations)?;
            check_interrupt()?;
        }
        let order = Order { plan, derivations, share: Share::ALL };
        self.build(order, run, console, |_| self.content(&inputs), |_| {})
    }

    /// Fetches the commits, LFS objects and index slices of a plan that the store lacks, as far as they can be had.
    ///
    /// # Errors
    /// Where the store can't be asked.
    pub fn inputs(&self, plan: &Plan, derivations: &Derivations) -> Result<Inputs, Error> {
        let missing = self.nix.missing(derivations.fixed_inputs.values())?;
        let lacks = |input: &FixedInput| derivations.fixed_inputs.get(input).is_some_and(|path| missing.contains(path));
        let mut by_repository: BTreeMap<RepositoryUrl, BTreeSet<CommitId>> = BTreeMap::new();
        let mut sources = BTreeSet::new();
        for (id, pin) in &plan.commits {
            let lacking = pin.sources.keys().map(|folder| FixedInput::Source(*id, folder.clone()));
            let lacking: Vec<FixedInput> = lacking.chain([FixedInput::Trees(*id)]).filter(lacks).collect();
            if !lacking.is_empty() {
                by_repository.entry(pin.repository.clone()).or_default().insert(*id);
                sources.extend(lacking);
            }
        }
        let mut objects: BTreeMap<RepositoryUrl, Sizes> = BTreeMap::new();
        for (hash, object) in plan.lfs_objects.iter().filter(|(hash, _)| lacks(&FixedInput::LfsObject(**hash))) {
            objects.entry(object.repository.clone()).or_default().insert(*hash, object.size);
        }
        let objects = self.lfs_objects_of(objects).into_iter();
        let commits = self.commits_of(by_repository).into_values().filter_map(Result::ok);
        let commits: BTreeMap<CommitId, Commit> = commits.map(|commit| (commit.id, commit)).collect();
        // What a partial copy lacks Nix may still fetch.
        sources.retain(|input| match input {
            FixedInput::Source(id, folder) => {
                commits.get(id).is_some_and(|commit| self.source_of(commit, folder).is_ok())
            }
            FixedInput::Trees(id) => commits.contains_key(id),
            _ => false,
        });
        let registry = self.registry(&RegistryName::Default);
        let pins = plan.indexes.values().filter(|pin| lacks(&FixedInput::Index(pin.nar_hash))).collect();
        let slices = in_parallel(self.workers, pins, |pin| {
            let slice = pin.cut(&registry.as_ref().ok()?.indexes(&pin.names, None).ok()?);
            (slice.nar_hash() == pin.nar_hash).then_some((pin.nar_hash, slice))
        });
        // An imported cargo goes by its content, whatever it is called here and there.
        let here = |wanted: &Toolchain| match &wanted.origin {
            Origin::Imported { .. } => self.available.iter().find(|have| have.origin == wanted.origin).cloned(),
            Origin::Archive { .. } => Some(wanted.clone()),
        };
        let toolchains = plan.toolchains.iter().filter_map(|(name, wanted)| Some((name.clone(), here(wanted)?)));
        Ok(Inputs {
            commits,
            sources,
            objects: objects.filter_map(|((_, hash), found)| Some((hash, found.ok()?.1))).collect(),
            slices: slices.into_iter().flatten().collect(),
            toolchains: toolchains.collect(),
        })
    }

    /// What fixed-output inputs are made of.
    #[must_use]
    pub fn content<'a>(&self, inputs: &'a Inputs) -> BTreeMap<FixedInput, Content<'a>> {
        let mut content = self.own_inputs(inputs.toolchains.iter());
        for input in &inputs.sources {
            let made = match input {
                FixedInput::Source(id, folder) => {
                    inputs.commits.get(id).map(|commit| Content::Source(commit, folder.clone()))
                }
                FixedInput::Trees(id) => inputs.commits.get(id).map(Content::Trees),
                _ => None,
            };
            content.extend(made.map(|made| (input.clone(), made)));
        }
        content
            .extend(inputs.objects.iter().map(|(hash, file)| (FixedInput::LfsObject(*hash), Content::LfsObject(file))));
        content.extend(inputs.slices.iter().map(|(hash, slice)| (FixedInput::Index(*hash), Content::Slice(slice))));
        content
    }

    /// The published crate of a rebuild: from its registry, or from where the plan says. Only bytes with the expected
    /// checksum are given.
    ///
    /// # Errors
    /// Where it can't be had, in words.
    pub fn published(
        &self,
        package: &PlannedPackage,
        rebuild: &PlannedRebuild,
        registry: &Result<Registry, String>,
    ) -> Result<Vec<u8>, Cause> {
        let id = package.key.id();
        let failed = match registry {
            Ok(registry) => match registry.artefact(&id, rebuild.checksum) {
                Ok(artefact) => return Ok(artefact.bytes().to_vec()),
                Err(crate::edges::registry::Error::Mismatch(error)) => {
                    return Err(Cause::ChecksumMismatch { reason: error.to_string().into() });
                }
                Err(error) => error.to_string(),
            },
            Err(reason) => reason.clone(),
        };
        let (Some(url), Some(network)) = (&rebuild.url, &self.network) else {
            return Err(Cause::Error { reason: failed.into() });
        };
        match network.get(url, None, FILE_LIMIT) {
            Ok(Answer::Body { bytes, .. }) => Ok(bytes),
            Ok(Answer::Absent | Answer::NotModified) => {
                Err(Cause::Error { reason: format!("{url} is not there").into() })
            }
            Err(error) => Err(Cause::Error { reason: error.to_string().into() }),
        }
    }
}

/// A plan that was built.
struct Replay<'a> {
    context: &'a Context,
    plan: &'a Plan,
    derivations: &'a Derivations,
    built: &'a Built,
    run: &'a RunDirectory,
    registries: &'a Registries,
    histories: &'a Histories,
}

impl Replay<'_> {
    fn judge(&self, package: &PlannedPackage, rebuild: &PlannedRebuild) -> Result<Record, Error> {
        let RebuildDrv { drv, out } = &self.derivations.rebuilds[&package.key.job()];
        let output =
            self.context.output(&package.key, &self.derivations.rebuilds[&package.key.job()], self.built, self.run)?;
        if let Output::Failed(reason) = output {
            return Ok(self.ended(package, Cause::Error { reason: reason.into() }));
        }
        let registry = &self.registries[&package.key.registry];
        let bytes = match self.context.published(package, rebuild, registry) {
            Ok(bytes) => bytes,
            Err(cause) => return Ok(self.ended(package, cause)),
        };
        let index = match &rebuild.recipe.published_lockfile {
            Some(lockfile) => self.slice_of(rebuild, &String::from_utf8_lossy(&lockfile.content.0)),
            None => Index::new(),
        };
        let (claims, claimed_by_plan) = match self.claims(package, rebuild) {
            Ok(claims) => claims,
            Err(cause) => return Ok(self.ended(package, cause)),
        };
        let newest_locked = self.newest_locked(package, rebuild, &claims, &bytes);
        let label = match self.index_label(rebuild, &claims, newest_locked) {
            Ok(label) => label,
            Err(reason) => return Ok(self.ended(package, Cause::Error { reason: reason.into() })),
        };
        let claimed_by_plan = claimed_by_plan || label.is_none();
        let index_mode = label.unwrap_or(rebuild.recipe.index_mode);
        let recipe = PlannedRecipe { index_mode, ..rebuild.recipe.clone() };
        let replayed = Replayed {
            package,
            planned: &PlannedRebuild { claims, recipe, ..rebuild.clone() },
            toolchain: &self.plan.toolchains[&rebuild.recipe.toolchain],
            drv,
            out,
            output: &output,
            index: &index,
            renamed: &self.context.renamed,
            claimed_by_plan,
        };
        Ok(replayed.record(bytes))
    }

    /// A package that was not compared.
    fn ended(&self, package: &PlannedPackage, cause: Cause) -> Record {
        let findings = judge_obstacle(&Obstacle { cause, origin: None }, true);
        Record::new(package.key.clone(), package.checksum, findings)
    }

    /// The index lines of what a published Cargo.lock names: the registry's, where it can be asked.
    fn slice_of(&self, rebuild: &PlannedRebuild, lock: &str) -> Index {
        let names = locked_versions(lock).into_keys().collect();
        let registry = &self.registries[&RegistryName::Default];
        let since = rebuild.claims.published.map(told_by);
        let index =
            registry.as_ref().ok().and_then(|registry| registry.indexes(&names, since).ok()).unwrap_or_default();
        let pin = self.plan.indexes.get(&rebuild.recipe.index);
        // As cargo saw it: what the plan takes to be yanked is in the slice.
        let cut = pin.map(|pin| pin.cut(&index));
        let lines = |name| cut.as_ref().and_then(|cut| cut.file(name));
        names
            .iter()
            .filter_map(|name| Some((name.clone(), lines(name)?)))
            .map(|(name, text)| (name, Arc::new(read_index(text.as_bytes()))))
            .collect()
    }

    /// When the newest version that a published Cargo.lock names came out, where that is the time that the plan's index is of.
    fn newest_locked(
        &self,
        package: &PlannedPackage,
        rebuild: &PlannedRebuild,
        claims: &Claims,
        bytes: &[u8],
    ) -> Option<Timestamp> {
        if !matches!(rebuild.recipe.index_mode, IndexMode::AtNewestLocked | IndexMode::PublishedLock) {
            return None;
        }
        let archive = Archive::read(&package.key.id(), bytes).ok()?;
        let text = archive.text(LOCK)?;
        let names = locked_versions(&text).into_keys().collect();
        let registry = self.registries[&RegistryName::Default].as_ref().ok()?;
        let index = registry.indexes(&names, claims.published.map(told_by)).ok()?;
        examine(&text, &package.key.id(), &index, claims.published, &Manifest::of(&archive)).newest
    }

    /// What a build can't show, asked again; and whether it is what the plan says, because somebody can't be asked.
    ///
    /// # Errors
    /// Where the registry's index has another checksum of the package, or does not have it.
    fn claims(&self, package: &PlannedPackage, rebuild: &PlannedRebuild) -> Result<(Claims, bool), Cause> {
        let (mut claims, claimed_by_plan) = self.claims_of_origin(package, rebuild);
        let registry = self.registries[&package.key.registry].as_ref().ok();
        let lines = match registry.map(|registry| registry.index(&package.key.name)) {
            Some(Ok(lines)) => lines,
            Some(Err(crate::edges::registry::Error::Absent(_))) => Arc::default(),
            // Offline the plan's word is all there is, and the verdict says so. A registry that will not answer may have a reason.
            _ if self.context.network.is_none() => return Ok((claims, true)),
            Some(Err(error)) => return Err(Cause::Error { reason: error.to_string().into() }),
            None => {
                let reason = format!("the registry of {} can't be asked", package.key);
                return Err(Cause::Error { reason: reason.into() });
            }
        };
        let Some(line) = lines.iter().find(|line| line.version == package.key.version) else {
            let reason = format!("the registry has no {}", package.key).into();
            return Err(Cause::Impossible { missing: Missing::Version, reason });
        };
        if line.checksum != rebuild.checksum {
            let reason = format!("the registry's index says {}, the plan {}", line.checksum, rebuild.checksum);
            return Err(Cause::ChecksumMismatch { reason: reason.into() });
        }
        if let Some(reason) = too_early(line.published) {
            return Err(Cause::Error { reason: reason.into() });
        }
        claims.published = line.published;
        Ok((claims, claimed_by_plan))
    }

    fn claims_of_origin(&self, package: &PlannedPackage, rebuild: &PlannedRebuild) -> (Claims, bool) {
        let mut claims = rebuild.claims.clone();
        let recipe = &rebuild.recipe;
        let tree = self.plan.commits.get(&recipe.commit).and_then(|pin| tree_of_commit(&pin.object.0));
        let history = self.histories.get(&claims.repository);
        let offline = self.context.network.is_none();
        let looked_at = tree
            .zip(history)
            .filter(|(_, history)| history.is_ok() || !offline)
            .and_then(|asked| Some((asked, self.context.commit_files(&claims.repository, recipe.commit)?)));
        let Some(((tree, history), files)) = looked_at else {
            // Offline the plan's word is all there is, and the verdict says so.
            if !offline {
                let reason = format!("{} does not give the commit", claims.repository);
                claims.reach = Reach::Unknown { reason: reason.into() };
            }
            return (claims, true);
        };
        claims.only_package = files.has_only_one_package();
        claims.other_version = files.other_version(&recipe.package_path, &package.key.version).map(Into::into);
        let names = tag_names(&package.key.id(), claims.only_package);
        ask_reach(&mut claims, history.as_deref(), recipe.commit, tree, &names);
        (claims, false)
    }

    /// The label that the index of a rebuild deserves; none where the registry can't be asked: the plan's word is all there is.
    ///
    /// # Errors
    /// What of the plan's index the registry contradicts, in words.
    fn index_label(
        &self,
        rebuild: &PlannedRebuild,
        claims: &Claims,
        newest_locked: Option<Timestamp>,
    ) -> Result<Option<IndexMode>, String> {
        let pin = self.plan.indexes.get(&rebuild.recipe.index).ok_or("the plan lacks its index")?;
        let registry = self.registries[&RegistryName::Default].as_ref().ok();
        let since = claims.published.map(told_by);
        let index = match registry.map(|registry| registry.indexes(&pin.names, since)) {
            Some(Ok(index)) => Some(index),
            _ if self.context.network.is_none() => None,
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("the registry can't be asked".to_owned()),
        };
        let files = self.context.commit_files(&claims.repository, rebuild.recipe.commit);
        if files.is_none() && self.context.network.is_some() {
            return Err(format!("{} does not give the commit: what it requires is not known", claims.repository));
        }
        let (Some(index), Some(files)) = (index, files) else { return Ok(None) };
        let of_commit = files.manifests.values().flat_map(|text| Manifest::read(text).requirements());
        let required = of_commit.filter_map(|one| Some((one.name.parse::<CrateName>().ok()?, one.versions)));
        let stated = Stated {
            mode: rebuild.recipe.index_mode,
            cargo: self.plan.toolchains.get(&rebuild.recipe.toolchain).map(|toolchain| toolchain.minor),
            published: claims.published,
            newest_locked,
            required: required.collect(),
        };
        index_label::checked(pin, &stated, &index).map(Some)
    }
}

/// What the run directory keeps of a package of a plan that names nothing it does not hold.
fn kept(plan: &Plan, package: &PlannedPackage, record: Record) -> Kept {
    let build = match &package.build {
        Build::Obstacle(obstacle) => KeptBuild::Obstacle(obstacle.clone()),
        Build::Rebuild(rebuild) => {
            let recipe = rebuild.recipe.clone();
            let extra_commits = recipe.extra_commits().map(|id| (id, plan.commits[&id].clone())).collect();
            let lfs_objects = recipe.lfs.values().map(|hash| (*hash, plan.lfs_objects[hash].clone())).collect();
            KeptBuild::Inputs(Box::new(plan::Inputs {
                toolchain: plan.toolchains[&recipe.toolchain].clone(),
                commit: plan.commits[&recipe.commit].clone(),
                extra_commits,
                lfs_objects,
                index: plan.indexes[&recipe.index].clone(),
                url: rebuild.url.clone(),
                claims: rebuild.claims.clone(),
                recipe,
            }))
        }
    };
    Kept { record, build }
}

/// What the store lacks of a plan's fixed-output inputs, as far as it can be had here.
#[derive(Debug, Default)]
pub struct Inputs {
    commits: BTreeMap<CommitId, Commit>,
    /// Sources and trees of these commits.
    sources: BTreeSet<FixedInput>,
    objects: Vec<(Sri, PathBuf)>,
    slices: Vec<(Sri, Slice)>,
    /// The cargos of this machine, by their names in the plan.
    toolchains: BTreeMap<String, Toolchain>,
}
