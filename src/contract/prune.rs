//! What is removed from manifests of other members of a workspace, so that cargo can load it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::sub_path::SubPath;

/// What is removed from a manifest that is not the package's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prune {
    /// Everything: no path leads there from the package's own manifest, nor from what replaces crates in the whole
    /// workspace.
    All,
    /// Its dev-dependencies.
    DevDependencies,
    /// All its dependencies.
    Dependencies,
    /// Of a workspace that is not a package itself: what replaces crates by others from git.
    GitPatches,
}

/// What is removed, by the manifest's folder.
pub type Pruned = BTreeMap<SubPath, Prune>;
