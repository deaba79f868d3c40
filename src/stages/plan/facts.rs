//! Facts: what a verdict has to know besides the two crates.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::release::Span;
use crate::model::source::RepositoryUrl;
use crate::stages::compare::Context;
use crate::stages::verdict::Verdict;

/// What a verdict has to know besides the two crates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Facts {
    /// When the crate was published, by the index.
    pub published: Option<Timestamp>,
    /// Whether the commit holds the Cargo.lock that the publisher's cargo started from.
    pub lock_tracked: bool,
    /// Entries of the published Cargo.lock that can't have been there when the crate was published.
    pub lock_faults: Vec<String>,
    /// The repository that the commit was taken from.
    pub repository: RepositoryUrl,
    /// The tag that the commit was found by, where the crate itself names none.
    pub found_by: Option<String>,
    /// What of the repository reaches the commit; none where that could not be asked.
    pub reach: Option<Reach>,
    /// What contradicts where the crate says that it comes from.
    pub contradictions: Vec<String>,
}

impl Facts {
    /// What contradicts a verdict, or stands behind it: where cargo refuses, that may be for what the published Cargo.lock
    /// names. Where files are compared, the comparison says so itself.
    #[must_use]
    pub fn beside(&self, verdict: &Verdict) -> Vec<String> {
        const FAULTS: usize = 4;
        let mut said = self.contradictions.clone();
        if matches!(verdict, Verdict::NotRebuilt { .. }) {
            said.extend(self.lock_faults.iter().take(FAULTS).map(|fault| format!("of its Cargo.lock: {fault}")));
            if self.lock_faults.len() > FAULTS {
                said.push(format!("and {} more of its Cargo.lock", self.lock_faults.len() - FAULTS));
            }
        }
        said
    }

    /// What the comparison needs, for a crate that a cargo of this range made.
    #[must_use]
    pub fn context(&self, cargo_range: Option<Span>) -> Context {
        Context { lock_tracked: self.lock_tracked, lock_faults: self.lock_faults.clone(), cargo_range }
    }
}

/// What of a repository reaches a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// A branch, the default one if it does, and the nearest tag.
    By {
        /// The branch.
        branch: Option<String>,
        /// The tag.
        tag: Option<String>,
    },
    /// No branch and no tag: the commit may be of a fork, or of a branch that was deleted or rewritten.
    Nothing,
}

impl Reach {
    /// The branch and the tag, as far as there are.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::By { branch, tag } => [branch, tag].into_iter().flatten().map(String::as_str).collect(),
            Self::Nothing => Vec::new(),
        }
    }
}
