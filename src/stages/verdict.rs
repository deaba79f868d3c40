//! *Verdict*: what is said of a crate, and what is kept of how it was found.
//!
//! Verdicts never flatter. Three things are never mixed up: the crate does not reproduce, recrate could not do its
//! work ([`Verdict::Inconclusive`]), and nobody could tell ([`Verdict::Unverifiable`]).

mod record;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::artefact::{Archive, MANIFEST};
use super::compare::proof::{Aside, Proof};
use super::compare::{Comparison, Context, Difference, Kind, Weight, compare};
use super::plan::{Facts, Reach};
use crate::builder::status::Outcome;
use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::model::nonempty::NonEmpty;

pub use record::{OriginRecord, Record, TryRecord};

/// What is said of a crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Verdict {
    /// The registry served bytes that are not what the lock file or the index says.
    ChecksumMismatch {
        /// Who says what.
        reason: String,
    },
    /// The archive is something that no cargo writes.
    HostileArchive {
        /// What it is.
        reason: String,
    },
    /// The published crate says something that its commit does not.
    SourceDiffers {
        /// What, the heaviest first.
        differences: NonEmpty<Difference>,
    },
    /// The bytes may be what the commit gives, but no branch and no tag of the repository reaches the commit.
    UnreachedCommit {
        /// What the bytes say.
        bytes: Level,
        /// What differs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        differences: Vec<Difference>,
    },
    /// cargo refuses to package the commit.
    NotRebuilt {
        /// In its own words.
        reason: String,
    },
    /// Everything from git is the same; what cargo generates differs.
    GeneratedFilesDiffer {
        /// What.
        differences: NonEmpty<Difference>,
    },
    /// There is nothing to rebuild from.
    Unverifiable {
        /// Why.
        reason: String,
        /// Where something was rebuilt all the same, what differs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        differences: Vec<Difference>,
    },
    /// It does not say which commit it comes from; one with a tag of its version was rebuilt.
    OtherCommit {
        /// The tag.
        tag: String,
        /// What the bytes say.
        bytes: Level,
        /// What differs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        differences: Vec<Difference>,
    },
    /// recrate could not do its work; the crate may be fine.
    Inconclusive {
        /// Why.
        reason: String,
    },
    /// Every file is the same; the container differs.
    ArchiveDiffers {
        /// What had to be set aside.
        aside: NonEmpty<Aside>,
        /// How far that is proven to be all.
        proof: Proof,
    },
    /// The rebuilt crate has the registry's checksum.
    Reproduced,
}

/// A verdict's name: what reports count and `--accept` takes. The worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "driver", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The registry served other bytes than the lock file or the index says.
    ChecksumMismatch,
    /// The archive is something that no cargo writes.
    HostileArchive,
    /// The crate says something that its commit does not.
    SourceDiffers,
    /// No branch and no tag of the repository reaches the commit.
    UnreachedCommit,
    /// cargo refuses to package the commit.
    NotRebuilt,
    /// Everything from git is the same; what cargo generates differs.
    GeneratedFilesDiffer,
    /// There is nothing to rebuild from.
    Unverifiable,
    /// It does not say which commit it comes from; one with a tag of its version was rebuilt.
    OtherCommit,
    /// recrate could not do its work.
    Inconclusive,
    /// Every file is the same; the container differs.
    ArchiveDiffers,
    /// The same bytes.
    Reproduced,
}

impl Level {
    /// All of them, the worst first.
    pub const ALL: [Self; 11] = [
        Self::ChecksumMismatch,
        Self::HostileArchive,
        Self::SourceDiffers,
        Self::UnreachedCommit,
        Self::NotRebuilt,
        Self::GeneratedFilesDiffer,
        Self::Unverifiable,
        Self::OtherCommit,
        Self::Inconclusive,
        Self::ArchiveDiffers,
        Self::Reproduced,
    ];

    /// Whether it says that nobody could tell, rather than what was found.
    #[must_use]
    pub fn untold(self) -> bool {
        match self {
            Self::Unverifiable | Self::OtherCommit | Self::Inconclusive => true,
            Self::ChecksumMismatch
            | Self::HostileArchive
            | Self::SourceDiffers
            | Self::UnreachedCommit
            | Self::NotRebuilt
            | Self::GeneratedFilesDiffer
            | Self::ArchiveDiffers
            | Self::Reproduced => false,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ChecksumMismatch => "checksum mismatch",
            Self::HostileArchive => "hostile archive",
            Self::SourceDiffers => "source differs",
            Self::UnreachedCommit => "unreached commit",
            Self::NotRebuilt => "not rebuilt",
            Self::GeneratedFilesDiffer => "generated files differ",
            Self::Unverifiable => "unverifiable",
            Self::OtherCommit => "other commit",
            Self::Inconclusive => "inconclusive",
            Self::ArchiveDiffers => "archive differs",
            Self::Reproduced => "reproduced",
        })
    }
}

impl Verdict {
    /// Its name.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::ChecksumMismatch { .. } => Level::ChecksumMismatch,
            Self::HostileArchive { .. } => Level::HostileArchive,
            Self::SourceDiffers { .. } => Level::SourceDiffers,
            Self::UnreachedCommit { .. } => Level::UnreachedCommit,
            Self::NotRebuilt { .. } => Level::NotRebuilt,
            Self::GeneratedFilesDiffer { .. } => Level::GeneratedFilesDiffer,
            Self::Unverifiable { .. } => Level::Unverifiable,
            Self::OtherCommit { .. } => Level::OtherCommit,
            Self::Inconclusive { .. } => Level::Inconclusive,
            Self::ArchiveDiffers { .. } => Level::ArchiveDiffers,
            Self::Reproduced => Level::Reproduced,
        }
    }

    /// That there is nothing to rebuild from.
    #[must_use]
    pub fn unverifiable(reason: String) -> Self {
        Self::Unverifiable { reason, differences: Vec::new() }
    }

    /// What a build alone says of a crate with these published bytes; `read` gives a file of the build's output.
    #[must_use]
    pub fn of_build(
        id: &CrateId,
        published: &[u8],
        outcome: &Outcome,
        read: impl FnOnce(&str) -> Result<Vec<u8>, String>,
        context: &Context,
    ) -> Self {
        match outcome {
            Outcome::Packaged { file } if *file != format!("{}.crate", id.stem()) => Self::SourceDiffers {
                differences: NonEmpty::one(Difference {
                    path: MANIFEST.to_owned(),
                    kind: Kind::Meaning,
                    weight: Weight::Source,
                    details: vec![format!("the commit packages {}", file.trim_end_matches(".crate"))],
                }),
            },
            Outcome::Packaged { file } => match read(file) {
                Ok(rebuilt) => Self::of_crates(id, published, &rebuilt, context),
                Err(reason) => Self::Inconclusive { reason },
            },
            Outcome::Refused { message, .. } => {
                Self::NotRebuilt { reason: format!("cargo refuses: {}", gist(message)) }
            }
            Outcome::LinkLeavesTree { link, target } => {
                Self::NotRebuilt { reason: format!("the repository's link {link} leads out of it, to {target}") }
            }
            Outcome::NoPackage { path } => {
                let at = if path.is_empty() { "the root" } else { path };
                Self::NotRebuilt { reason: format!("the commit has no Cargo.toml in {at}") }
            }
        }
    }

    fn of_crates(id: &CrateId, published: &[u8], rebuilt: &[u8], context: &Context) -> Self {
        let sums = (Sha256::of(published), Sha256::of(rebuilt));
        if sums.0 == sums.1 {
            return Self::Reproduced;
        }
        match (Archive::read(id, published), Archive::read(id, rebuilt)) {
            (Ok(theirs), Ok(mine)) => Self::of(compare((&theirs, sums.0), (&mine, sums.1), context)),
            (Err(error), _) => Self::HostileArchive { reason: error.to_string() },
            (_, Err(error)) => Self::Inconclusive { reason: format!("the rebuilt crate can't be read: {error}") },
        }
    }

    /// What the best build says of the crate itself, given how it was published and what is known of its commit.
    #[must_use]
    pub fn in_light_of(self, dirty: bool, facts: &Facts) -> Self {
        self.where_dirty(dirty).where_reached(facts.reach.as_ref()).where_found(facts.found_by.as_ref())
    }

    /// One that was published with uncommitted changes does not have to
    /// be what its commit gives.
    fn where_dirty(self, dirty: bool) -> Self {
        if !dirty || matches!(self.level(), Level::Reproduced | Level::ArchiveDiffers | Level::Inconclusive) {
            return self;
        }
        Self::Unverifiable {
            reason: "its own vcs info says that it was published with uncommitted changes".to_owned(),
            differences: self.differences().to_vec(),
        }
    }

    /// What it comes to where nothing of the repository reaches the commit: then equal bytes say only that somebody
    /// committed them somewhere.
    fn where_reached(self, reach: Option<&Reach>) -> Self {
        let bytes = self.level();
        let equal = matches!(bytes, Level::Reproduced | Level::ArchiveDiffers | Level::GeneratedFilesDiffer);
        if reach != Some(&Reach::Nothing) || !equal {
            return self;
        }
        Self::UnreachedCommit { bytes, differences: self.differences().to_vec() }
    }

    /// What it comes to where the commit was found by a tag and not named by the crate: nothing better than that.
    fn where_found(self, tag: Option<&String>) -> Self {
        match tag {
            Some(tag) if !matches!(self, Self::Inconclusive { .. } | Self::HostileArchive { .. }) => {
                Self::OtherCommit { tag: tag.clone(), bytes: self.level(), differences: self.differences().to_vec() }
            }
            _ => self,
        }
    }

    /// What a comparison says of a crate.
    #[must_use]
    pub fn of(comparison: Comparison) -> Self {
        match comparison {
            Comparison::Identical => Self::Reproduced,
            Comparison::SameFiles { aside, proof } => Self::ArchiveDiffers { aside, proof },
            Comparison::Differs(differences) => {
                if differences.iter().any(|difference| difference.weight == Weight::Source) {
                    Self::SourceDiffers { differences }
                } else {
                    Self::GeneratedFilesDiffer { differences }
                }
            }
        }
    }

    /// The reason that it gives in words; none where differences are the reason, or there is nothing to explain.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::ChecksumMismatch { reason }
            | Self::HostileArchive { reason }
            | Self::NotRebuilt { reason }
            | Self::Unverifiable { reason, .. }
            | Self::Inconclusive { reason } => Some(reason),
            Self::SourceDiffers { .. }
            | Self::UnreachedCommit { .. }
            | Self::OtherCommit { .. }
            | Self::GeneratedFilesDiffer { .. }
            | Self::ArchiveDiffers { .. }
            | Self::Reproduced => None,
        }
    }

    /// The differences that it names.
    #[must_use]
    pub fn differences(&self) -> &[Difference] {
        match self {
            Self::SourceDiffers { differences } | Self::GeneratedFilesDiffer { differences } => differences.as_slice(),
            Self::Unverifiable { differences, .. }
            | Self::UnreachedCommit { differences, .. }
            | Self::OtherCommit { differences, .. } => differences,
            _ => &[],
        }
    }
}

/// The first error of what cargo printed, with its causes.
fn gist(message: &str) -> String {
    const LINES: usize = 8;
    let from = message.find("error:").map_or(message, |at| &message[at..]);
    from.trim_start_matches("error:").trim().lines().take(LINES).collect::<Vec<_>>().join("\n")
}

/// How a whole run ends, by the documented exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: nothing is worse than the accepted level.
    Accepted,
    /// 1: a crate is worse.
    Worse,
    /// 3: nothing is worse, but some could not be told.
    Untold,
    /// 4: there was nothing to verify.
    Nothing,
}

impl Exit {
    /// The status of a run over crates with these levels, where `accept` is good enough.
    #[must_use]
    pub fn of(levels: impl Iterator<Item = Level>, accept: Level) -> Self {
        let mut exit = Self::Nothing;
        for level in levels {
            let this = if level >= accept {
                Self::Accepted
            } else if level.untold() {
                Self::Untold
            } else {
                Self::Worse
            };
            exit = match (exit, this) {
                (Self::Worse, _) | (_, Self::Worse) => Self::Worse,
                (Self::Untold, _) | (_, Self::Untold) => Self::Untold,
                _ => Self::Accepted,
            };
        }
        exit
    }

    /// The status as the system takes it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Worse => 1,
            Self::Untold => 3,
            Self::Nothing => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_says_the_worst() {
        let of = |levels: &[Level]| Exit::of(levels.iter().copied(), Level::ArchiveDiffers);
        assert_eq!(of(&[]), Exit::Nothing);
        assert_eq!(of(&[Level::Reproduced, Level::ArchiveDiffers]), Exit::Accepted);
        assert_eq!(of(&[Level::Reproduced, Level::Unverifiable]), Exit::Untold);
        assert_eq!(of(&[Level::Inconclusive, Level::Reproduced]), Exit::Untold);
        assert_eq!(of(&[Level::Unverifiable, Level::GeneratedFilesDiffer]), Exit::Worse);
        assert_eq!(of(&[Level::ChecksumMismatch, Level::Inconclusive]), Exit::Worse);
        let accepting = Exit::of([Level::GeneratedFilesDiffer].into_iter(), Level::GeneratedFilesDiffer);
        assert_eq!(accepting, Exit::Accepted);
    }

    #[test]
    #[cfg(feature = "driver")]
    fn levels_are_in_order_and_all_there() {
        assert!(Level::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(<Level as clap::ValueEnum>::value_variants(), Level::ALL);
    }
}
