//! *Verdict*: one name for people, from the findings: the worst one counts. Nothing is decided with it: see
//! [`super::policy`].

use std::fmt;

use serde::{Deserialize, Serialize};

use super::claims::Reach;
use super::findings::{ArchiveForm, Checksum, Contents, Findings, NamedBy, Rebuild};

/// A verdict. Reports list them in this order, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The registry served other bytes than the lock file or the index says.
    ChecksumMismatch,
    /// The archive is something that no cargo writes.
    MalformedArchive,
    /// The package says or holds something that its commit does not.
    SourceDiffers,
    /// The contents may match, but no branch and no tag of the repository reaches the commit.
    UnreachableCommit,
    /// The contents may match, but something contradicts where the package says that it comes from.
    ContradictedOrigin,
    /// cargo refuses to package the commit.
    PackagingFailed,
    /// Everything from git is the same; what cargo generates differs in form.
    GeneratedFilesDiffer,
    /// The package does not name its commit and repository; the one with a tag of its version was rebuilt.
    MatchedByTagOnly,
    /// There is nothing to rebuild from.
    Unverifiable,
    /// recrate could not do its work.
    Error,
    /// The contents match; whether a branch or tag reaches the commit could not be determined.
    ReachUnknown,
    /// Every file is the same, but no known compressor gives the published bytes.
    CompressorUnknown,
    /// Every file is the same, and all of the container is accounted for.
    SameContents,
    /// The same bytes, from a commit that the repository has.
    Reproduced,
}

impl Verdict {
    /// All of them, the worst first.
    pub const ALL: [Self; 14] = [
        Self::ChecksumMismatch,
        Self::MalformedArchive,
        Self::SourceDiffers,
        Self::UnreachableCommit,
        Self::ContradictedOrigin,
        Self::PackagingFailed,
        Self::GeneratedFilesDiffer,
        Self::MatchedByTagOnly,
        Self::Unverifiable,
        Self::Error,
        Self::ReachUnknown,
        Self::CompressorUnknown,
        Self::SameContents,
        Self::Reproduced,
    ];

    /// What it means, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::ChecksumMismatch => "The registry served other bytes than the lock file or the index says.",
            Self::MalformedArchive => "The archive is something that no cargo writes.",
            Self::SourceDiffers => "The crate says or holds something that its commit does not.",
            Self::UnreachableCommit => "No branch and no tag of the repository reaches the commit.",
            Self::ContradictedOrigin => "Something contradicts where the crate says that it comes from.",
            Self::PackagingFailed => "cargo refuses to package the commit.",
            Self::GeneratedFilesDiffer => {
                "Everything from git is the same; what cargo generates is formatted differently."
            }
            Self::MatchedByTagOnly => {
                "The crate does not name its commit and repository; the commit of its version's tag was rebuilt."
            }
            Self::Unverifiable => "There is nothing to rebuild the crate from.",
            Self::Error => "recrate could not do its work; the crate may be fine.",
            Self::ReachUnknown => {
                "The contents match; whether a branch or tag reaches the commit could not be determined."
            }
            Self::CompressorUnknown => "Every file is the same, but no known compressor gives the published bytes.",
            Self::SameContents => "Every file is the same, and all of the container is accounted for.",
            Self::Reproduced => "The same bytes, from a commit that the repository has.",
        }
    }

    /// The verdict on a package: the worst of what was found.
    #[must_use]
    pub fn of(findings: &Findings) -> Self {
        let contents = match (&findings.contents, &findings.rebuild) {
            (Contents::BitForBit, _) => Self::Reproduced,
            (Contents::SameContents { .. }, _) => Self::SameContents,
            (Contents::CompressorUnknown { .. }, _) => Self::CompressorUnknown,
            (Contents::GeneratedFilesDiffer { .. }, _) => Self::GeneratedFilesDiffer,
            (Contents::SourceDiffers { .. }, _) => Self::SourceDiffers,
            (Contents::NotCompared, Rebuild::Refused { .. }) => Self::PackagingFailed,
            (Contents::NotCompared, Rebuild::Impossible { .. }) => Self::Unverifiable,
            (Contents::NotCompared, Rebuild::Done | Rebuild::Error { .. } | Rebuild::NotAttempted) => Self::Error,
        };
        let checksum = match findings.checksum {
            Checksum::Mismatch { .. } => Self::ChecksumMismatch,
            Checksum::Matches | Checksum::Unknown => Self::Reproduced,
        };
        let archive = match findings.archive {
            ArchiveForm::Malformed { .. } => Self::MalformedArchive,
            ArchiveForm::WellFormed { .. } | ArchiveForm::Unknown => Self::Reproduced,
        };
        // Where nothing was compared, why not says more than where the commit is.
        let compared = findings.contents != Contents::NotCompared;
        let reach = match findings.reach.reach {
            Reach::Unreachable if compared => Self::UnreachableCommit,
            Reach::Unknown { .. } if compared => Self::ReachUnknown,
            _ => Self::Reproduced,
        };
        let origin = match &findings.origin {
            Some(origin) if compared && !origin.contradictions.is_empty() => Self::ContradictedOrigin,
            Some(origin) if compared && origin.named_by != NamedBy::Crate => Self::MatchedByTagOnly,
            None if compared => Self::Unverifiable,
            _ => Self::Reproduced,
        };
        [checksum, archive, reach, origin].into_iter().fold(contents, Self::min)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ChecksumMismatch => "checksum mismatch",
            Self::MalformedArchive => "malformed archive",
            Self::SourceDiffers => "source differs",
            Self::UnreachableCommit => "unreachable commit",
            Self::ContradictedOrigin => "contradicted origin",
            Self::PackagingFailed => "packaging failed",
            Self::GeneratedFilesDiffer => "generated files differ",
            Self::MatchedByTagOnly => "matched by tag only",
            Self::Unverifiable => "unverifiable",
            Self::Error => "error",
            Self::ReachUnknown => "reach unknown",
            Self::CompressorUnknown => "same contents, compressor unknown",
            Self::SameContents => "same contents",
            Self::Reproduced => "reproduced",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_in_order() {
        assert!(Verdict::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
