//! *Derivation*: a plan becomes Nix derivations, in this process, before any Nix runs.
//!
//! This is one of two independent generators; the other is `nix/plan.nix`. Every run asserts that both give the same
//! `.drv` paths, which are hashes of the derivations' bytes: nobody has to trust this one. Keep them alike.

use std::collections::BTreeMap;

use nix_derivation::{
    CAHash, DerivationBuilder, InputDerivation, InputDerivationHash, NixHash, Output, StorePath, ValidatedDerivation,
};
use serde::Serialize;

use super::plan::{GitDependency, Plan, Rebuild, SCHEMA};
use super::toolchain::{Origin, Toolchain};
use crate::builder::further::Reference;
use crate::model::digest::Sri;
use crate::model::krate::CrateId;
use crate::model::source::{CommitId, SubPath};

/// A rebuild's derivation, checked to be hermetic: not fixed-output, no way around the sandbox, and every fixed-output
/// input named in the plan. Only [`derive()`] makes one, and the store only builds these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hermetic {
    /// The `.drv`.
    pub drv: String,
    /// Where its output will be.
    pub out: String,
}

/// What a plan comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derivations {
    /// The rebuilds, by job name.
    pub rebuilds: BTreeMap<String, Hermetic>,
    /// The store paths of the leaves, by what they are.
    pub leaves: BTreeMap<Leaf, String>,
}

/// A fixed-output input of a rebuild or a verdict.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaf {
    /// recrate's builder.
    Builder,
    /// recrate's fetcher.
    Fetcher,
    /// recrate's judge.
    Judge,
    /// A published crate.
    Published(CrateId),
    /// An imported cargo, by its name in the plan.
    Toolchain(String),
    /// An official archive, by its toolchain's name in the plan.
    Archive(String),
    /// The runtime of an official archive, by its hash.
    Runtime(Sri),
    /// The files of a commit.
    Source(CommitId),
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
    let builder = generator.program(names::BUILDER, plan.builder.nar_hash, Leaf::Builder)?;
    let fetcher = generator.program(names::FETCHER, plan.fetcher.nar_hash, Leaf::Fetcher)?;
    generator.program(names::JUDGE, plan.judge.nar_hash, Leaf::Judge)?;
    let mut toolchains = BTreeMap::new();
    for (name, toolchain) in &plan.toolchains {
        toolchains.insert(name.as_str(), generator.toolchain(&builder, name, toolchain)?);
    }
    let mut sources = BTreeMap::new();
    for (commit, source) in &plan.sources {
        let asks = [("commitId", commit.to_string()), ("repository", source.repository.to_string())];
        let pinned = fixed(names::SOURCE, &plan.system, &fetcher.out, source.nar_hash, true);
        sources.insert(*commit, generator.fetched(&fetcher, pinned, Leaf::Source(*commit), "commit", &asks)?);
    }
    let mut objects = BTreeMap::new();
    for (hash, object) in &plan.lfs_objects {
        let asks = [("repository", object.repository.to_string()), ("size", object.size.to_string())];
        let pinned = fixed(names::LFS_OBJECT, &plan.system, &fetcher.out, *hash, false);
        objects.insert(*hash, generator.fetched(&fetcher, pinned, Leaf::LfsObject(*hash), "lfs-object", &asks)?);
    }
    let mut indexes = BTreeMap::new();
    for (key, pin) in &plan.indexes {
        let asks = [("slice", pin.to_json()), ("passAsFile", "slice".to_owned())];
        let pinned = fixed(names::INDEX, &plan.system, &fetcher.out, pin.nar_hash, true);
        indexes.insert(*key, generator.fetched(&fetcher, pinned, Leaf::Index(pin.nar_hash), "index", &asks)?);
    }
    for (job, rebuild) in &plan.rebuilds {
        generator.published(rebuild)?;
        let missing = |what: String| Error::Missing { job: job.clone(), what };
        let recipe = &rebuild.recipe;
        let toolchain = toolchains
            .get(recipe.toolchain.as_str())
            .ok_or_else(|| missing(format!("the toolchain {}", recipe.toolchain)))?;
        let source = |commit: CommitId| sources.get(&commit).ok_or_else(|| missing(format!("the commit {commit}")));
        let further = recipe.further().map(|commit| Ok((commit, source(commit)?))).collect::<Result<_, Error>>()?;
        let object = |(path, hash): (&'_ String, &Sri)| {
            let made = objects.get(hash).ok_or_else(|| missing(format!("the LFS object {hash}")))?;
            Ok((path.clone(), made))
        };
        let lfs = recipe.checkout.lfs.iter().map(object).collect::<Result<_, Error>>()?;
        let index = indexes.get(&recipe.index).ok_or_else(|| missing(format!("the index slice {}", recipe.index)))?;
        let inputs =
            RebuildInputs { builder: &builder, toolchain, source: source(recipe.source)?, further, lfs, index };
        let hermetic = generator.rebuild(plan, job, rebuild, &inputs)?;
        generator.made.rebuilds.insert(job.clone(), hermetic);
    }
    Ok(generator.made)
}

/// A derivation that others use.
#[derive(Debug, Clone)]
struct Made {
    drv: StorePath,
    out: String,
}

struct RebuildInputs<'a> {
    builder: &'a Made,
    toolchain: &'a Made,
    source: &'a Made,
    further: BTreeMap<CommitId, &'a Made>,
    /// LFS objects, by the paths of their pointers.
    lfs: BTreeMap<String, &'a Made>,
    index: &'a Made,
}

/// A commit besides the package's own, as the builder reads it. `nix/plan.nix` writes the same bytes: keys are sorted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Further<'a> {
    commit: &'a str,
    commit_id: String,
    gitlinks: String,
    source: &'a str,
}

/// The same for what is taken from git.
#[derive(Serialize)]
struct FurtherPackages<'a> {
    commit: Further<'a>,
    packages: &'a [SubPath],
    reference: &'a Reference,
    url: &'a str,
}

fn json(value: &impl Serialize) -> String {
    // Every key is a string and every value plain data, so this can't fail.
    serde_json::to_string(value).unwrap_or_default()
}

struct Generator<'a> {
    system: &'a str,
    /// What each derivation made so far is as an input of others.
    hashes: BTreeMap<StorePath, InputDerivationHash>,
    made: Derivations,
}

impl Generator<'_> {
    /// One of recrate's own programs: nothing but Nix itself could fetch it.
    fn program(&mut self, name: &str, hash: Sri, leaf: Leaf) -> Result<Made, Error> {
        let derivation = fixed(name, "builtin", "builtin:fetchurl", hash, true)
            .environment("url", "")
            .environment("executable", "1");
        self.add_leaf(derivation, leaf)
    }

    /// A published crate. Of it and of the judge only the store paths matter here: no rebuild knows them.
    fn published(&mut self, rebuild: &Rebuild) -> Result<Made, Error> {
        let id = rebuild.id();
        let name = names::published(&id);
        let url = rebuild.url.as_deref().unwrap_or_default();
        let derivation =
            fixed(&name, "builtin", "builtin:fetchurl", Sri(rebuild.checksum), false).environment("url", url);
        self.add_leaf(derivation, Leaf::Published(id))
    }

    /// A leaf that recrate's fetcher brings where the store lacks it. Where registries and repositories are on this
    /// machine is told by variables that Nix passes on.
    fn fetched(
        &mut self,
        fetcher: &Made,
        pinned: DerivationBuilder,
        leaf: Leaf,
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
        self.add_leaf(derivation, leaf)
    }

    /// A leaf that the driver puts into the store. Whoever lacks it is told so.
    fn leaf(&mut self, builder: &Made, name: &str, hash: Sri, leaf: Leaf) -> Result<Made, Error> {
        let derivation = fixed(name, self.system, &builder.out, hash, true)
            .argument("missing")
            .input_derivation(builder.drv.clone(), InputDerivation::new(["out"]));
        self.add_leaf(derivation, leaf)
    }

    fn toolchain(&mut self, builder: &Made, name: &str, toolchain: &Toolchain) -> Result<Made, Error> {
        let store_name = names::toolchain(&toolchain.release);
        match &toolchain.origin {
            Origin::Imported { nar_hash } => {
                self.leaf(builder, &store_name, *nar_hash, Leaf::Toolchain(name.to_owned()))
            }
            Origin::Archive { url, sha256, runtime } => {
                let archive_name = format!("{store_name}.tar.xz");
                let archive = fixed(&archive_name, "builtin", "builtin:fetchurl", *sha256, false)
                    .environment("url", url.as_str());
                let archive = self.add_leaf(archive, Leaf::Archive(name.to_owned()))?;
                let runtime = self.leaf(builder, names::RUNTIME, *runtime, Leaf::Runtime(*runtime))?;
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
        job: &str,
        rebuild: &Rebuild,
        inputs: &RebuildInputs<'_>,
    ) -> Result<Hermetic, Error> {
        let recipe = &rebuild.recipe;
        let id = rebuild.id();
        let source = &plan.sources[&recipe.source];
        let crlf_files: Vec<&str> = recipe.checkout.crlf_files().map(String::as_str).collect();
        let further = |commit: &CommitId| Further {
            commit: &plan.sources[commit].commit_object,
            commit_id: commit.to_string(),
            gitlinks: plan.sources[commit].gitlinks(),
            source: &inputs.further[commit].out,
        };
        let submodules: BTreeMap<&String, Further<'_>> =
            recipe.submodules.iter().map(|(path, commit)| (path, further(commit))).collect();
        let git_dependencies: Vec<FurtherPackages<'_>> = recipe
            .git_dependencies
            .iter()
            .map(|GitDependency { commit, packages, reference, url }| FurtherPackages {
                commit: further(commit),
                packages,
                reference,
                url,
            })
            .collect();
        let lfs: BTreeMap<&String, &str> =
            inputs.lfs.iter().map(|(path, object)| (path, object.out.as_str())).collect();
        let release = plan.toolchains[&recipe.toolchain].release.as_str();
        let name = format!("rebuild-{}", id.stem());
        let mut derivation = self
            .ordinary(&name, "package", inputs.builder)
            .environment("allowDirty", if recipe.allow_dirty { "1" } else { "" })
            .environment("cargoRelease", release)
            .environment("checkout", recipe.checkout.words())
            .environment("commit", source.commit_object.as_str())
            .environment("commitId", recipe.source.to_string())
            .environment("crlfFiles", crlf_files.join("\n"))
            .environment("excludeLockfile", if recipe.exclude_lockfile { "1" } else { "" })
            .environment("gitDependencies", json(&git_dependencies))
            .environment("gitlinks", source.gitlinks())
            .environment("index", inputs.index.out.as_str())
            .environment(
                "leftOut",
                recipe
                    .left_out
                    .iter()
                    .map(|(path, what)| format!("{} {}\n", what.word(), path.as_str()))
                    .collect::<String>(),
            )
            .environment("lfs", json(&lfs))
            .environment("lock", recipe.lock.as_str())
            .environment("lockPaths", recipe.lock_paths.join("\n"))
            .environment("outsideGit", if recipe.outside_git { "1" } else { "" })
            .environment("packageName", rebuild.name.as_str())
            .environment("packagePath", recipe.package_path.as_str())
            .environment("passAsFile", "commit crlfFiles gitDependencies leftOut lfs lock submodules")
            .environment("source", inputs.source.out.as_str())
            .environment("submodules", json(&submodules))
            .environment("toolchain", inputs.toolchain.out.as_str());
        let further = inputs.further.values().chain(inputs.lfs.values()).copied();
        for input in [inputs.toolchain, inputs.source, inputs.index].into_iter().chain(further) {
            derivation = derivation.input_derivation(input.drv.clone(), InputDerivation::new(["out"]));
        }
        let made = self.add(derivation, &name)?;
        self.check(&made.drv).then_some(()).ok_or_else(|| Error::NotHermetic(job.to_owned()))?;
        Ok(Hermetic { drv: made.drv.to_absolute_path(), out: made.out })
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

    fn add_leaf(&mut self, derivation: DerivationBuilder, leaf: Leaf) -> Result<Made, Error> {
        let name = derivation.name().to_owned();
        let made = self.add(derivation, &name)?;
        self.made.leaves.insert(leaf, made.out.clone());
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
        // Every derivation here has the one output `out`, whose path is known before it is built.
        let out = out.map(|path| path.to_absolute_path()).unwrap_or_default();
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
