//! *Findings*: what is known of a package, each apart from the others and with its evidence. Nothing is folded into another:
//! [`super::verdict`] gives them one name for people, [`super::policy`] decides on them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::claims::{Asked, Missing, OtherTag, Reach};
use super::compare::Difference;
use super::container::{Normalised, Writer};
use super::deflate::Compressor;
use crate::model::commit::CommitId;
use crate::model::foreign::{Foreign, join};
use crate::model::nonempty::NonEmpty;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;

/// Everything that is known of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Whether its bytes are those that lock file and index say.
    pub checksum: Checksum,
    /// Whether its archive is one that a cargo may write.
    pub archive: ArchiveForm,
    /// Where it comes from; none where nothing says so.
    pub origin: Option<Origin>,
    /// Whether a branch or tag reaches the commit.
    pub reach: ReachFinding,
    /// Whether it was packaged again.
    pub rebuild: Rebuild,
    /// How the rebuilt crate compares with the published one.
    pub contents: Contents,
    /// The published Cargo.lock, where it was an input of the rebuild.
    pub lockfile: Lockfile,
    /// What had to be assumed for the rebuild; empty for the strongest claim.
    pub conditions: Vec<Condition>,
    /// What the publisher's cargo wrote of its own circumstances: reported, never believed in the package's favour.
    pub flags: Flags,
}

/// Whether a package's bytes are those that lock file and index say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Checksum {
    /// They are.
    Matches,
    /// They are not.
    Mismatch {
        /// Who says what.
        reason: Foreign,
    },
    /// The bytes could not be had.
    Unknown,
}

/// Whether an archive is one that a cargo may write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ArchiveForm {
    /// It is.
    WellFormed {
        /// Names that differ in letter case only, those that are alike together: where file systems don't tell them apart, one
        /// hides the other. Honest crates have some, like windows-link 0.2.0 (`README.md` and `readme.md`).
        #[serde(default)]
        alike: Vec<NonEmpty<Foreign>>,
    },
    /// It is not.
    Malformed {
        /// What it is.
        reason: Foreign,
    },
    /// It was not read.
    Unknown,
}

/// Where a package comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// Who names the commit.
    pub named_by: NamedBy,
    /// The repository that the commit was fetched from.
    pub repository: RepositoryUrl,
    /// The commit.
    pub commit: CommitId,
    /// The package's folder; none where it is not known.
    pub path: Option<SubPath>,
    /// What contradicts this origin.
    pub contradictions: Vec<Contradiction>,
}

/// Who names a package's commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedBy {
    /// The package itself, with its repository.
    Crate,
    /// A tag of its version: the package itself names no commit.
    Tag(Foreign),
    /// The package itself names the commit, but no repository: another version's was asked.
    OtherVersion,
}

/// Something that contradicts an origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Contradiction {
    /// The package names another repository than the one that the commit was fetched from.
    Repository {
        /// What its manifest names.
        named: Foreign,
    },
    /// A tag of the version is on another commit.
    Tag(OtherTag),
    /// The manifest at the commit has another version.
    Version {
        /// That version.
        version: Foreign,
    },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository { named } => {
                write!(f, "the crate names the repository {named}; the commit was fetched from another one")
            }
            Self::Tag(OtherTag { tag, commit }) => {
                write!(f, "tag {tag} is on another commit, {}", commit.short())
            }
            Self::Version { version } => write!(f, "the manifest at the commit has version {version}"),
        }
    }
}

/// Whether a branch or tag reaches the commit, who said so and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReachFinding {
    /// What reaches it.
    #[serde(flatten)]
    pub reach: Reach,
    /// Who was asked, and when; none where nobody could be.
    pub asked: Option<Asked>,
    /// Whether this is what the plan's author says, not what was asked for this report.
    pub claimed_by_plan: bool,
}

impl ReachFinding {
    /// That nothing is known.
    #[must_use]
    pub fn unknown(reason: &str) -> Self {
        Self { reach: Reach::Unknown { reason: reason.into() }, asked: None, claimed_by_plan: false }
    }
}

/// Whether a package was packaged again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Rebuild {
    /// It was.
    Done,
    /// cargo refused.
    Refused {
        /// In its own words.
        reason: Foreign,
    },
    /// There is nothing to rebuild from.
    Impossible {
        /// What is missing.
        missing: Missing,
        /// The same in words, with particulars.
        reason: Foreign,
    },
    /// recrate could not do its work; the package may be fine.
    Error {
        /// What went wrong.
        reason: Foreign,
    },
    /// Other findings made it pointless.
    NotAttempted,
}

/// How a rebuilt crate compares with the published one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Contents {
    /// The same bytes.
    BitForBit,
    /// Every file is the same, and all of the container is accounted for: written again with what was normalised taken
    /// from the published crate, it is the published crate to the byte.
    SameContents {
        /// What was taken from the published container.
        normalised: NonEmpty<Normalised>,
        /// How its tar is written.
        writer: Writer,
        /// The compressor that gives the published bytes.
        compressor: Compressor,
    },
    /// The same, but no known compressor gives the published bytes.
    CompressorUnknown {
        /// What was taken from the published container.
        normalised: NonEmpty<Normalised>,
        /// How its tar is written.
        writer: Writer,
    },
    /// Everything from git is the same; what cargo generates differs in form.
    GeneratedFilesDiffer {
        /// What.
        differences: NonEmpty<Difference>,
    },
    /// The package says or holds something that its commit does not.
    SourceDiffers {
        /// What, the heaviest first.
        differences: NonEmpty<Difference>,
    },
    /// There was nothing to compare.
    NotCompared,
}

impl ArchiveForm {
    /// Its names that differ in letter case only, in words; none where there are none.
    #[must_use]
    pub fn alike(&self) -> Option<Foreign> {
        let Self::WellFormed { alike } = self else { return None };
        let groups: Vec<Foreign> = alike.iter().map(|names| join(names, " and ")).collect();
        (!groups.is_empty()).then(|| join(&groups, ", "))
    }
}

impl Contents {
    /// What was taken from the published container.
    #[must_use]
    pub fn normalised(&self) -> &[Normalised] {
        match self {
            Self::SameContents { normalised, .. } | Self::CompressorUnknown { normalised, .. } => normalised.as_slice(),
            Self::BitForBit | Self::GeneratedFilesDiffer { .. } | Self::SourceDiffers { .. } | Self::NotCompared => &[],
        }
    }

    /// The differences that were found.
    #[must_use]
    pub fn differences(&self) -> &[Difference] {
        match self {
            Self::GeneratedFilesDiffer { differences } | Self::SourceDiffers { differences } => differences.as_slice(),
            Self::BitForBit | Self::SameContents { .. } | Self::CompressorUnknown { .. } | Self::NotCompared => &[],
        }
    }
}

/// A published Cargo.lock that was an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Lockfile {
    /// It was not an input, or there is none.
    NotAnInput,
    /// Each of its packages is in the index with its checksum and was there in time.
    Consistent {
        /// Those of its packages that are yanked today, as `name@version`.
        yanked: Vec<Foreign>,
    },
    /// It was an input, and nobody knows when some of its packages were published.
    Undated {
        /// Those, as `name@version`.
        versions: Vec<Foreign>,
    },
    /// It was an input, and something is wrong with it.
    Faults {
        /// What.
        faults: NonEmpty<Foreign>,
    },
}

/// Something that had to be assumed for a rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Condition {
    /// The index had versions that came out within a minute after the package.
    IndexWithSiblings,
    /// Versions that are yanked today were taken as not yanked.
    YankedRestored,
    /// The index was as of ten minutes before publication.
    IndexMinutesBefore,
    /// The index was as of the newest version in the published Cargo.lock.
    IndexAtNewestLocked,
    /// The published Cargo.lock was an input: everything except that file is proven to come from git.
    PublishedLockfile {
        /// Whether the package has binaries: `cargo install --locked` uses that Cargo.lock.
        binaries: bool,
    },
    /// git checked the commit out as on Windows.
    WindowsCheckout {
        /// In which ways.
        marks: NonEmpty<String>,
    },
    /// All files of the published crate are executable, or none is, whatever git says.
    ExecutableBitsAlike,
    /// Files replaced their LFS pointers.
    LfsObjects,
    /// Submodules were checked out.
    Submodules,
    /// Other members of the workspace were left out.
    WorkspacePruned,
    /// The same, and those that are left required nothing.
    WorkspaceStripped,
    /// cargo was told to pass over uncommitted changes, as the vcs info says of the publisher's.
    AllowDirty,
    /// cargo was told to leave Cargo.lock out, as the published crate has none.
    ExcludeLockfile,
    /// The repository has another address today than the package names.
    RenamedRepository {
        /// The address that the package names.
        from: RepositoryUrl,
    },
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IndexWithSiblings => f.write_str("index with versions published within a minute after it"),
            Self::YankedRestored => f.write_str("index with since yanked versions restored"),
            Self::IndexMinutesBefore => f.write_str("index as of ten minutes before"),
            Self::IndexAtNewestLocked => f.write_str("index as of the newest locked version"),
            Self::PublishedLockfile { binaries: false } => f.write_str("published Cargo.lock as input"),
            Self::PublishedLockfile { binaries: true } => {
                f.write_str("published Cargo.lock as input, which `cargo install --locked` uses")
            }
            Self::WindowsCheckout { marks } => {
                write!(f, "checked out as on Windows ({})", marks.as_slice().join(", "))
            }
            Self::ExecutableBitsAlike => f.write_str("published with the same executable bit on every file"),
            Self::LfsObjects => f.write_str("LFS objects checked out"),
            Self::Submodules => f.write_str("submodules checked out"),
            Self::WorkspacePruned => f.write_str("other workspace members left out"),
            Self::WorkspaceStripped => {
                f.write_str("other workspace members left out, and the dependencies of the rest")
            }
            Self::ExcludeLockfile => f.write_str("packaged with --exclude-lockfile"),
            Self::AllowDirty => f.write_str("packaged with --allow-dirty"),
            Self::RenamedRepository { from } => write!(f, "repository renamed from {from}"),
        }
    }
}

/// What the publisher's cargo wrote of its own circumstances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flags {
    /// The vcs info says that there were uncommitted changes.
    pub dirty: bool,
}
