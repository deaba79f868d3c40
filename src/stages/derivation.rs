//! *Derivation*: a plan becomes Nix derivations, in this process, before any Nix runs.
//!
//! This is one of two independent generators; the other is `nix/plan.nix`. Every run asserts that both give the same
//! `.drv` paths, which are hashes of the derivations' bytes: nobody has to trust this one. Keep them alike.

use std::collections::BTreeMap;

use super::plan::{Build, Plan, PlannedPackage, PlannedRebuild, SCHEMA};
use super::toolchain::{Origin, Toolchain};
use crate::contract::recipe::{CommitInput, GitDependencyInput, Recipe};
use crate::model::commit::CommitId;
use crate::model::digest::Sri;
use crate::model::package::PackageKey;
use crate::model::sub_path::SubPath;
use nix_derivation::{
    CAHash, DerivationBuilder, InputDerivation, InputDerivationHash, NixHash, Output, StorePath, ValidatedDerivation,
};

/// A rebuild's derivation, checked to be hermetic: not fixed-output, no way around the sandbox, and every fixed-output
/// input named in the plan. Only [`derive()`] makes one, and the store only builds these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildDrv {
    /// The `.drv`.
    pub drv: String,
    /// Where its output will be.
    pub out: String,
}

/// What a plan comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derivations {
    /// The rebuilds, by [`PackageKey::job`].
    pub rebuilds: BTreeMap<String, RebuildDrv>,
    /// The store paths of the fixed_inputs, by what they are.
    pub fixed_inputs: BTreeMap<FixedInput, String>,
}

/// A fixed-output input of a rebuild or a verdict.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FixedInput {
    /// recrate's builder.
    Builder,
    /// recrate's fetcher.
    Fetcher,
    /// recrate's judge.
    Judge,
    /// A published crate.
    Published(PackageKey),
    /// An imported cargo, by its name in the plan.
    Toolchain(String),
    /// An official archive, by its toolchain's name in the plan.
    Archive(String),
    /// The runtime of an official archive, by its hash.
    Runtime(Sri),
    /// A source of a commit: what packaging from a folder reads.
    Source(CommitId, SubPath),
    /// The trees of a commit.
    Trees(CommitId),
    /// An LFS object, by its hash.
    LfsObject(Sri),
    /// An index slice, by the hash of its NAR.
    Index(Sri),
}

/// Why a plan can't become derivations.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is of another version of the format.
    #[error("this plan has schema {0}, this recrate reads schema {SCHEMA}")]
    Schema(u32),
    /// It names something that it does not hold.
    #[error("the plan's rebuild of {job} names {what}, which the plan does not hold")]
    Missing {
        /// The rebuild.
        job: String,
        /// What it names.
        what: String,
    },
    /// Nix would not take such a derivation.
    #[error("the plan's {what} makes no valid derivation: {source}")]
    Invalid {
        /// What it would have been.
        what: String,
        /// Why it is none.
        source: nix_derivation::Error,
    },
    /// A derivation that could be built outside of the sandbox, or whose output could be there without a build.
    #[error("the rebuild of {0} is not hermetic")]
    NotHermetic(String),
}

/// Names of store paths; part of the paths, so both generators need the same.
pub mod names {
    use crate::model::krate::CrateId;

    /// The builder's file.
    pub const BUILDER: &str = "recrate-builder";
    /// The fetcher's file.
    pub const FETCHER: &str = "recrate-fetcher";
    /// The judge's file.
    pub const JUDGE: &str = "recrate-judge";
    /// A commit's files: the name that `builtins.fetchGit` gives.
    pub const SOURCE: &str = "source";
    /// A commit's trees.
    pub const TREES: &str = "trees";
    /// An LFS object.
    pub const LFS_OBJECT: &str = "lfs-object";
    /// An index slice.
    pub const INDEX: &str = "index-slice";
    /// A toolchain's runtime.
    pub const RUNTIME: &str = "cargo-runtime";

    /// A published crate: the name that nixpkgs gives it.
    #[must_use]
    pub fn published(id: &CrateId) -> String {
        format!("crate-{}.tar.gz", id.stem())
    }

    /// A toolchain of a release.
    #[must_use]
    pub fn toolchain(release: &str) -> String {
        format!("cargo-{release}")
    }
}

/// What Nix lets through from its own environment to the fetcher: see `src/fetcher.rs` for the first two.
const IMPURE: [&str; 7] = [
    "RECRATE_GIT_MIRRORS",
    "RECRATE_REGISTRY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "NIX_SSL_CERT_FILE",
];

/// Derives everything a plan asks for.
///
/// # Errors
/// Where the plan is not whole, or no derivation can be made of it.
pub fn derive(plan: &Plan) -> Result<Derivations, Error> {
    if plan.schema != SCHEMA {
        return Err(Error::Schema(plan.schema));
    }
    let mut generator = Generator { system: &plan.system, hashes: BTreeMap::new(), made: Derivations::default() };
    let builder = generator.program(names::BUILDER, plan.builder.nar_hash, FixedInput::Builder)?;
    let fetcher = generator.program(names::FETCHER, plan.fetcher.nar_hash, FixedInput::Fetcher)?;
    generator.program(names::JUDGE, plan.judge.nar_hash, FixedInput::Judge)?;
    let mut toolchains = BTreeMap::new();
    for (name, toolchain) in &plan.toolchains {
        toolchains.insert(name.as_str(), generator.toolchain(&builder, name, toolchain)?);
    }
    let mut commits = BTreeMap::new();
    for (id, pin) in &plan.commits {
        let asks = [("commitId", id.to_string()), ("repository", pin.repository.to_string())];
        let pinned = fixed(names::TREES, &plan.system, &fetcher.out, pin.trees, false);
        let trees = generator.fetched(&fetcher, pinned, FixedInput::Trees(*id), "trees", &asks)?;
        for (folder, hash) in &pin.sources {
            let [commit_id, repository] = asks.clone();
            let asks = [commit_id, repository, ("folder", folder.as_str().to_owned())];
            let pinned = fixed(names::SOURCE, &plan.system, &fetcher.out, *hash, true);
            let input = FixedInput::Source(*id, folder.clone());
            let source = generator.fetched(&fetcher, pinned, input, "source", &asks)?;
            let input = CommitInput {
                folder: folder.clone(),
                id: *id,
                object: pin.object.clone(),
                source: source.out.clone().into(),
                trees: trees.out.clone().into(),
            };
            commits.insert((*id, folder.clone()), ([source, trees.clone()], input));
        }
    }
    let mut objects = BTreeMap::new();
    for (hash, object) in &plan.lfs_objects {
        let asks = [("repository", object.repository.to_string()), ("size", object.size.to_string())];
        let pinned = fixed(names::LFS_OBJECT, &plan.system, &fetcher.out, *hash, false);
        let made = generator.fetched(&fetcher, pinned, FixedInput::LfsObject(*hash), "lfs-object", &asks)?;
        objects.insert(*hash, made);
    }
    let mut indexes = BTreeMap::new();
    for (key, pin) in &plan.indexes {
        let asks = [("slice", pin.to_json()), ("passAsFile", "slice".to_owned())];
        let pinned = fixed(names::INDEX, &plan.system, &fetcher.out, pin.nar_hash, true);
        indexes.insert(*key, generator.fetched(&fetcher, pinned, FixedInput::Index(pin.nar_hash), "index", &asks)?);
    }
    for (job, package) in &plan.packages {
        let Build::Rebuild(rebuild) = &package.build else { continue };
        generator.published(package, rebuild)?;
        let shelf = Shelf {
            job,
            builder: &builder,
            toolchains: &toolchains,
            commits: &commits,
            objects: &objects,
            indexes: &indexes,
        };
        let drv = generator.rebuild(plan, package, rebuild, &shelf)?;
        generator.made.rebuilds.insert(job.clone(), drv);
    }
    Ok(generator.made)
}

/// Sources of commits, by folder, with the derivations that they and their proofs come from.
type Commits = BTreeMap<(CommitId, SubPath), ([Made; 2], CommitInput)>;

/// Everything that rebuilds are made of, by its names in the plan.
struct Shelf<'a> {
    job: &'a str,
    builder: &'a Made,
    toolchains: &'a BTreeMap<&'a str, Made>,
    commits: &'a Commits,
    objects: &'a BTreeMap<Sri, Made>,
    indexes: &'a BTreeMap<Sri, Made>,
}

impl<'a> Shelf<'a> {
    fn find<K, V>(&self, what: &str, shelf: &'a BTreeMap<K, V>, key: &K) -> Result<&'a V, Error>
    where
        K: Ord + std::fmt::Display,
    {
        shelf.get(key).ok_or_else(|| Error::Missing { job: self.job.to_owned(), what: format!("the {what} {key}") })
    }

    fn commit(&self, id: CommitId, folder: &SubPath) -> Result<&'a ([Made; 2], CommitInput), Error> {
        let what = || format!("the source of commit {id} for {folder}");
        let found = self.commits.get(&(id, folder.clone()));
        found.ok_or_else(|| Error::Missing { job: self.job.to_owned(), what: what() })
    }
}

/// A derivation that others use.
#[derive(Debug, Clone)]
struct Made {
    drv: StorePath,
    out: String,
}

struct Generator<'a> {
    system: &'a str,
    /// What each derivation made so far is as an input of others.
    hashes: BTreeMap<StorePath, InputDerivationHash>,
    made: Derivations,
}

impl Generator<'_> {
    /// One of recrate's own programs: nothing but Nix itself could fetch it.
    fn program(&mut self, name: &str, hash: Sri, input: FixedInput) -> Result<Made, Error> {
        let derivation = fixed(name, "builtin", "builtin:fetchurl", hash, true)
            .environment("url", "")
            .environment("executable", "1");
        self.add_fixed(derivation, input)
    }

    /// A published crate. Of it and of the judge only the store paths matter here: no rebuild knows them.
    fn published(&mut self, package: &PlannedPackage, rebuild: &PlannedRebuild) -> Result<Made, Error> {
        let name = names::published(&package.key.id());
        let url = rebuild.url.as_deref().unwrap_or_default();
        let derivation =
            fixed(&name, "builtin", "builtin:fetchurl", Sri(rebuild.checksum), false).environment("url", url);
        self.add_fixed(derivation, FixedInput::Published(package.key.clone()))
    }

    /// An input that recrate's fetcher fetches where the store lacks it. Variables that Nix passes on say where registries and
    /// repositories are on this machine.
    fn fetched(
        &mut self,
        fetcher: &Made,
        pinned: DerivationBuilder,
        input: FixedInput,
        verb: &str,
        asks: &[(&str, String)],
    ) -> Result<Made, Error> {
        let mut derivation = pinned
            .argument(verb)
            .environment("impureEnvVars", IMPURE.join(" "))
            .input_derivation(fetcher.drv.clone(), InputDerivation::new(["out"]));
        for (variable, value) in asks {
            derivation = derivation.environment(*variable, value.as_str());
        }
        self.add_fixed(derivation, input)
    }

    /// An input that the driver puts into the store. Where it is missing, the builder says so.
    fn seeded(&mut self, builder: &Made, name: &str, hash: Sri, input: FixedInput) -> Result<Made, Error> {
        let derivation = fixed(name, self.system, &builder.out, hash, true)
            .argument("missing")
            .input_derivation(builder.drv.clone(), InputDerivation::new(["out"]));
        self.add_fixed(derivation, input)
    }

    fn toolchain(&mut self, builder: &Made, name: &str, toolchain: &Toolchain) -> Result<Made, Error> {
        let store_name = names::toolchain(&toolchain.release);
        match &toolchain.origin {
            Origin::Imported { nar_hash } => {
                self.seeded(builder, &store_name, *nar_hash, FixedInput::Toolchain(name.to_owned()))
            }
            Origin::Archive { url, sha256, runtime } => {
                let archive_name = format!("{store_name}.tar.xz");
                let archive = fixed(&archive_name, "builtin", "builtin:fetchurl", *sha256, false)
                    .environment("url", url.as_str());
                let archive = self.add_fixed(archive, FixedInput::Archive(name.to_owned()))?;
                let runtime = self.seeded(builder, names::RUNTIME, *runtime, FixedInput::Runtime(*runtime))?;
                let unpacked = self
                    .ordinary(&store_name, "unpack-toolchain", builder)
                    .environment("archive", archive.out.as_str())
                    .environment("runtime", runtime.out.as_str())
                    .environment("cargoRelease", toolchain.release.as_str());
                let unpacked = [&archive, &runtime].into_iter().fold(unpacked, |derivation, input| {
                    derivation.input_derivation(input.drv.clone(), InputDerivation::new(["out"]))
                });
                self.add(unpacked, &store_name)
            }
        }
    }

    fn rebuild(
        &mut self,
        plan: &Plan,
        package: &PlannedPackage,
        rebuild: &PlannedRebuild,
        shelf: &Shelf<'_>,
    ) -> Result<RebuildDrv, Error> {
        let planned = &rebuild.recipe;
        let toolchain_name = planned.toolchain.as_str();
        let toolchain = shelf.find("toolchain", shelf.toolchains, &toolchain_name)?;
        let index = shelf.find("index slice", shelf.indexes, &planned.index)?;
        let (own, commit) = shelf.commit(planned.commit, &planned.source_folder)?;
        let mut inputs = vec![toolchain, index];
        inputs.extend(own);
        let mut submodules = BTreeMap::new();
        for (path, id) in &planned.submodules {
            let (made, commit) = shelf.commit(*id, &SubPath::default())?;
            inputs.extend(made);
            submodules.insert(path.clone(), commit.clone());
        }
        let mut git_dependencies = Vec::new();
        for dependency in &planned.git_dependencies {
            let (made, commit) = shelf.commit(dependency.commit, &SubPath::default())?;
            inputs.extend(made);
            git_dependencies.push(GitDependencyInput {
                commit: commit.clone(),
                packages: dependency.packages.clone(),
                reference: dependency.reference.clone(),
                url: dependency.url.clone(),
            });
        }
        let mut lfs = BTreeMap::new();
        for (path, hash) in &planned.lfs {
            let made = shelf.find("LFS object", shelf.objects, hash)?;
            inputs.push(made);
            lfs.insert(path.clone(), made.out.clone().into());
        }
        let recipe = Recipe {
            allow_dirty: planned.allow_dirty,
            cargo: toolchain.out.clone().into(),
            cargo_release: plan.toolchains[toolchain_name].release.clone(),
            checkout: planned.checkout.clone(),
            commit: commit.clone(),
            exclude_lockfile: planned.exclude_lockfile,
            git_dependencies,
            index: index.out.clone().into(),
            lfs,
            outside_git: planned.outside_git,
            package_name: package.key.name.to_string(),
            package_path: planned.package_path.clone(),
            prune: planned.prune.clone(),
            published_lockfile: planned.published_lockfile.clone(),
            submodules,
        };
        let name = format!("rebuild-{}", package.key.id().stem());
        let mut derivation = self
            .ordinary(&name, "package", shelf.builder)
            .environment("passAsFile", "recipe")
            .environment("recipe", recipe.to_json());
        for input in inputs {
            derivation = derivation.input_derivation(input.drv.clone(), InputDerivation::new(["out"]));
        }
        let made = self.add(derivation, &name)?;
        self.check(&made.drv).then_some(()).ok_or_else(|| Error::NotHermetic(shelf.job.to_owned()))?;
        Ok(RebuildDrv { drv: made.drv.to_absolute_path(), out: made.out })
    }

    /// An input-addressed derivation that runs the builder with a verb.
    fn ordinary(&self, name: &str, verb: &str, builder: &Made) -> DerivationBuilder {
        DerivationBuilder::new(name, self.system, builder.out.as_str())
            .argument(verb)
            .input_addressed_output("out")
            .input_derivation(builder.drv.clone(), InputDerivation::new(["out"]))
            .environment("builder", builder.out.as_str())
            .environment("name", name)
            .environment("system", self.system)
    }

    fn add_fixed(&mut self, derivation: DerivationBuilder, input: FixedInput) -> Result<Made, Error> {
        let name = derivation.name().to_owned();
        let made = self.add(derivation, &name)?;
        self.made.fixed_inputs.insert(input, made.out.clone());
        Ok(made)
    }

    fn add(&mut self, derivation: DerivationBuilder, what: &str) -> Result<Made, Error> {
        let invalid = |source| Error::Invalid { what: what.to_owned(), source };
        let built: ValidatedDerivation = derivation
            .build_with_input_hashes(|path| self.hashes.get(path).copied().unwrap_or(InputDerivationHash::Deferred))
            .map_err(invalid)?;
        let hash = built
            .hash_input_derivation_modulo(|path| {
                self.hashes.get(path).copied().unwrap_or(InputDerivationHash::Deferred)
            })
            .map_err(invalid)?;
        let out = built.resolved_outputs().remove("out").and_then(|output| output.path);
        let out = out.expect("every derivation here has the one output `out`, whose path is known").to_absolute_path();
        let drv = built.drv_path();
        self.hashes.insert(drv.clone(), hash);
        Ok(Made { drv, out })
    }

    /// A fixed-output derivation has network, and counts as built as soon as its output is there; a deferred one could
    /// be anything.
    fn check(&self, drv: &StorePath) -> bool {
        matches!(self.hashes.get(drv), Some(InputDerivationHash::Regular(_)))
    }
}

/// A fixed-output derivation as Nix's `derivation` makes it.
fn fixed(name: &str, system: &str, builder: &str, hash: Sri, recursive: bool) -> DerivationBuilder {
    let digest = NixHash::Sha256(hash.0.0);
    let ca = if recursive { CAHash::Nar(digest) } else { CAHash::Flat(digest) };
    DerivationBuilder::new(name, system, builder)
        .output("out", Output::Fixed { ca })
        .environment("builder", builder)
        .environment("name", name)
        .environment("outputHash", hash.to_string())
        .environment("outputHashAlgo", "sha256")
        .environment("outputHashMode", if recursive { "recursive" } else { "flat" })
        .environment("system", system)
}
