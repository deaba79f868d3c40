//! *Decision*: what a policy decides on a package, and how a run ends for that.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::nonempty::NonEmpty;

/// What a policy decides on a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Decision {
    /// Every requirement is met.
    Accepted,
    /// A requirement is not met.
    Rejected {
        /// Which, in words.
        reasons: NonEmpty<String>,
    },
    /// No requirement is known not to be met, but some could not be determined.
    Undetermined {
        /// Which, in words.
        reasons: NonEmpty<String>,
    },
    /// Not accepted by the policy, but by a person, for this very checksum and these very findings. Nothing gives it yet.
    Waived {
        /// Why.
        reason: String,
    },
}

impl Decision {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> DecisionName {
        match self {
            Self::Accepted => DecisionName::Accepted,
            Self::Rejected { .. } => DecisionName::Rejected,
            Self::Undetermined { .. } => DecisionName::Undetermined,
            Self::Waived { .. } => DecisionName::Waived,
        }
    }

    /// Whether a gate lets the package pass.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Accepted | Self::Waived { .. } => true,
            Self::Rejected { .. } | Self::Undetermined { .. } => false,
        }
    }
}

/// A decision without its reasons: what reports count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionName {
    /// See [`Decision::Accepted`].
    Accepted,
    /// See [`Decision::Rejected`].
    Rejected,
    /// See [`Decision::Undetermined`].
    Undetermined,
    /// See [`Decision::Waived`].
    Waived,
}

impl DecisionName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Rejected, Self::Undetermined, Self::Waived];
}

impl fmt::Display for DecisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Undetermined => "undetermined",
            Self::Waived => "waived",
        })
    }
}

/// How a whole run ends, by the documented exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: every package passes.
    Passed,
    /// 1: a package is rejected.
    Rejected,
    /// 3: none is rejected, but some are undetermined.
    Undetermined,
    /// 4: there was nothing to verify.
    Nothing,
}

impl Exit {
    /// The status of a run with these decisions.
    #[must_use]
    pub fn of(decisions: impl Iterator<Item = DecisionName>) -> Self {
        decisions.fold(Self::Nothing, |exit, decision| match (exit, decision) {
            (Self::Rejected, _) | (_, DecisionName::Rejected) => Self::Rejected,
            (Self::Undetermined, _) | (_, DecisionName::Undetermined) => Self::Undetermined,
            (Self::Passed | Self::Nothing, DecisionName::Accepted | DecisionName::Waived) => Self::Passed,
        })
    }

    /// The status as the system takes it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Rejected => 1,
            Self::Undetermined => 3,
            Self::Nothing => 4,
        }
    }
}
