//! *Decision*: what a policy decides on a package, and how a run ends for that.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::model::foreign::Foreign;
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
    /// The same, and the policy lets such packages pass.
    Warned {
        /// Which, in words.
        reasons: NonEmpty<String>,
    },
    /// Not accepted by the policy, but by a person: with a waiver, for this very checksum and these very findings, or with rules.
    Waived {
        /// Whether nothing is known to be wrong: what was waived could not be determined.
        undetermined: bool,
        /// What the policy does not accept, in words.
        reasons: NonEmpty<String>,
        /// Who does, and why.
        by: NonEmpty<Acceptance>,
    },
}

/// A person's acceptance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acceptance {
    /// The repository or owner that a rule is for; none for a waiver.
    pub rule: Option<Foreign>,
    /// Why.
    pub reason: Foreign,
    /// Who says so.
    pub who: Foreign,
    /// The day from which on it does not count.
    pub expires: Option<Date>,
    /// Where to read more.
    pub link: Option<Foreign>,
}

impl fmt::Display for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, reason, who, expires, link } = self;
        write!(f, "{reason} ({who}")?;
        rule.iter().try_for_each(|scope| write!(f, ", by the rule for {scope}"))?;
        expires.iter().try_for_each(|day| write!(f, ", until {day}"))?;
        link.iter().try_for_each(|link| write!(f, ", {link}"))?;
        f.write_str(")")
    }
}

impl Decision {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> DecisionName {
        match self {
            Self::Accepted => DecisionName::Accepted,
            Self::Rejected { .. } => DecisionName::Rejected,
            Self::Undetermined { .. } => DecisionName::Undetermined,
            Self::Warned { .. } => DecisionName::Warned,
            Self::Waived { undetermined: true, .. } => DecisionName::WaivedUndetermined,
            Self::Waived { undetermined: false, .. } => DecisionName::Waived,
        }
    }

    /// Whether a gate lets the package pass.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Accepted | Self::Warned { .. } | Self::Waived { .. } => true,
            Self::Rejected { .. } | Self::Undetermined { .. } => false,
        }
    }

    /// What the policy does not accept, in words.
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        match self {
            Self::Accepted => &[],
            Self::Rejected { reasons }
            | Self::Undetermined { reasons }
            | Self::Warned { reasons }
            | Self::Waived { reasons, .. } => reasons.as_slice(),
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
    /// See [`Decision::Warned`].
    Warned,
    /// See [`Decision::Waived`].
    Waived,
    /// The same of something that could not be determined.
    WaivedUndetermined,
}

impl DecisionName {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Accepted, Self::Rejected, Self::Undetermined, Self::Warned, Self::Waived, Self::WaivedUndetermined];
}

impl fmt::Display for DecisionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Undetermined => "undetermined",
            Self::Warned => "undetermined with a warning",
            Self::Waived => "waived",
            Self::WaivedUndetermined => "waived undetermined",
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
            (
                Self::Passed | Self::Nothing,
                DecisionName::Accepted | DecisionName::Warned | DecisionName::Waived | DecisionName::WaivedUndetermined,
            ) => Self::Passed,
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
