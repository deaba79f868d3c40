//! Everything that decides what a run finds: a run goes on only from one with the same key.

use std::collections::BTreeMap;

use serde::Serialize;

use super::context::Context;
use crate::edges::cargo_config::Place;
use crate::edges::git::Mirror;
use crate::model::digest::Sha256;
use crate::model::package::RegistryName;
use crate::stages::lock::Locked;
use crate::stages::plan::{Plan, ProgramPins};
use crate::stages::renamed_repositories::Renamed;
use crate::stages::toolchain::{Search, Toolchain};

/// Everything that decides what a run finds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunKey<'a> {
    work: Work<'a>,
    #[serde(flatten)]
    circumstances: Circumstances<'a>,
}

/// Everything that decides what is found of a package, besides the package.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Circumstances<'a> {
    registries: BTreeMap<RegistryName, Result<Place, String>>,
    git_mirrors: &'a [Mirror],
    renamed_repositories: &'a [Renamed],
    software_heritage: Option<&'a str>,
    online: bool,
    toolchains: &'a [Toolchain],
    search: Search,
    programs: ProgramPins,
    system: &'a str,
    store: Option<&'a str>,
    eval_store: Option<&'a str>,
    substitute: bool,
    build_options: &'a [String],
}

/// What a run does.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work<'a> {
    /// It verifies packages.
    Verify(&'a Locked),
    /// It plans them.
    Plan(&'a Locked),
    /// It verifies what the plan with this hash says.
    Replay(Sha256),
    /// It reproduces what the plan with this hash says.
    Reproduce(Sha256),
}

impl Work<'_> {
    /// Verifying what a plan says.
    #[must_use]
    pub fn replay(plan: &Plan) -> Self {
        Self::Replay(Sha256::of(plan.to_json().as_bytes()))
    }

    /// Reproducing what a plan says.
    #[must_use]
    pub fn reproduce(plan: &Plan) -> Self {
        Self::Reproduce(Sha256::of(plan.to_json().as_bytes()))
    }
}

impl Circumstances<'_> {
    /// A hash of them.
    ///
    /// # Panics
    /// Never: they are plain data.
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        Sha256::of(&serde_json::to_vec(self).expect("plain data with string keys"))
    }
}

impl Context {
    /// The key of a run.
    #[must_use]
    pub fn run_key<'a>(&'a self, work: Work<'a>, registries: impl Iterator<Item = RegistryName>) -> RunKey<'a> {
        RunKey { work, circumstances: self.circumstances(registries) }
    }

    /// The circumstances of a run.
    #[must_use]
    pub fn circumstances(&self, registries: impl Iterator<Item = RegistryName>) -> Circumstances<'_> {
        let place = |name: RegistryName| {
            let place = self.cargo_config.place(&name).map_err(|error| error.to_string());
            (name, place)
        };
        Circumstances {
            registries: registries.chain([RegistryName::Default]).map(place).collect(),
            git_mirrors: &self.git.mirrors,
            renamed_repositories: &self.renamed,
            software_heritage: self.git.archive.as_ref().map(|archive| archive.address.as_str()),
            online: self.network.is_some(),
            toolchains: &self.available,
            search: self.search,
            programs: self.programs.pins(),
            system: &self.system,
            store: self.nix.store.as_deref(),
            eval_store: self.nix.eval_store.as_deref(),
            substitute: self.nix.substitute,
            build_options: &self.nix.build_options,
        }
    }
}
