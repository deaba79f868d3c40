//! The typed status that a rebuild leaves beside the crate.

use serde::{Deserialize, Serialize};

use crate::model::krate::CrateName;

/// Name of the status file in a rebuild's output.
pub const FILE: &str = "status.json";
/// Name of cargo's own output, kept beside the status.
pub const LOG: &str = "cargo.log";
/// The version of this format.
pub const SCHEMA: u32 = 1;

/// What a rebuild came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The commit that the builder proved the source to be, in hex.
    pub commit: String,
    /// The git tree it computed from the files, in hex.
    pub tree: String,
    /// How far it came.
    pub outcome: Outcome,
}

/// How far a rebuild came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Outcome {
    /// cargo packaged the crate.
    Packaged {
        /// The file's name beside the status.
        file: String,
    },
    /// cargo refused: a result like any other, with its own words.
    Refused {
        /// cargo's exit code; none where a signal ended it.
        exit: Option<i32>,
        /// The end of what cargo printed.
        message: String,
    },
    /// A symbolic link of the repository leads to a file outside of it, which cargo would pack as if it were there.
    LinkLeavesTree {
        /// The link, relative to the repository.
        link: String,
        /// Where it leads.
        target: String,
    },
    /// cargo packed a file that is not the commit's: the crate is worth nothing, and is not kept.
    NotOfCommit {
        /// The file, relative to the crate.
        path: String,
    },
    /// The repository's own cargo configuration says where crates come from, and this cargo can't be told otherwise.
    OwnSources {
        /// The configuration, relative to the repository.
        path: String,
    },
    /// A manifest or the repository's cargo configuration takes something from outside of the repository.
    LeadsOut {
        /// The file that does so, relative to the repository.
        path: String,
    },
    /// cargo took an older version than the index slice has, and it can't be told whether that is for want of something that the
    /// slice does not have: the crate is worth nothing, and is not kept.
    Undecided {
        /// The newer version, like `dep 1.1.0`.
        passed_over: String,
        /// The crates that the slice lacks.
        lacks: Vec<CrateName>,
    },
    /// The folder that the crate claims to come from is not in the commit, or holds no manifest.
    NoPackage {
        /// The folder, relative to the repository.
        path: String,
    },
}
