//! *Sign*: a verdict in the few words that fit beside a crate. Nothing is decided with it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::decision::Decision;
use super::policy::BuiltIn;
use super::policy::project::{Circumstances, ProjectPolicy};
use super::record::Record;
use super::verdict::Verdict;

/// What is shown beside a crate. Of crates that nobody looked at there is none: that is *unknown*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// The published crate is not what its commit gives.
    Differs,
    /// It could not be shown either way.
    Unverifiable,
    /// Every file is the same, and all of the container is accounted for.
    SameContents,
    /// The same bytes.
    BitForBit,
}

impl Sign {
    /// All of them, the worst first.
    pub const ALL: [Self; 4] = [Self::Differs, Self::Unverifiable, Self::SameContents, Self::BitForBit];

    /// The best sign of a verdict. Only what was compared and is not the same *differs*; whatever else is no match is
    /// *unverifiable*, however much may be known of it: the verdict says what.
    fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Reproduced => Self::BitForBit,
            Verdict::SameContents => Self::SameContents,
            Verdict::ChecksumMismatch
            | Verdict::MalformedArchive
            | Verdict::SourceDiffers
            | Verdict::GeneratedFilesDiffer => Self::Differs,
            Verdict::UnreachableCommit
            | Verdict::ContradictedOrigin
            | Verdict::PackagingFailed
            | Verdict::MatchedByTagOnly
            | Verdict::Unverifiable
            | Verdict::Error
            | Verdict::ReachUnknown
            | Verdict::CompressorUnknown => Self::Unverifiable,
        }
    }

    /// The sign of a record: a good one only for what the default policy accepts.
    #[must_use]
    pub fn of_record(record: &Record) -> Self {
        let sign = Self::of(record.verdict());
        let decision = ProjectPolicy::of(BuiltIn::Default).decide(record, Circumstances::default());
        if decision == Decision::Accepted { sign } else { sign.min(Self::Unverifiable) }
    }

    /// Its name in addresses, classes and JSON.
    #[must_use]
    pub fn slug(self) -> &'static str {
        match self {
            Self::Differs => "differs",
            Self::Unverifiable => "unverifiable",
            Self::SameContents => "same-contents",
            Self::BitForBit => "bit-for-bit",
        }
    }

    /// What it means, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Differs => "The published crate is not what its commit gives.",
            Self::Unverifiable => {
                "It could not be shown that the published crate is what its commit gives, nor that it is not."
            }
            Self::SameContents => {
                "Every file is what the commit gives; how they are packed differs, and that is accounted for."
            }
            Self::BitForBit => "The commit gives the published crate, to the byte.",
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Differs => "differs",
            Self::Unverifiable => "unverifiable",
            Self::SameContents => "same contents",
            Self::BitForBit => "bit for bit",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_policies_can_accept_gets_a_good_sign() {
        let good: Vec<Verdict> =
            Verdict::ALL.into_iter().filter(|verdict| Sign::of(*verdict) >= Sign::SameContents).collect();
        assert_eq!(good, [Verdict::SameContents, Verdict::Reproduced]);
        for sign in Sign::ALL {
            assert_eq!(serde_json::to_value(sign).unwrap(), sign.slug());
        }
    }
}
