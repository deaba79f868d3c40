//! *Claims*: what a plan says of a package that a build cannot show. They are facts about the registry and the repository on
//! a day; whoever made the plan asked for them. Nothing here can say that contents are the same.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::model::commit::CommitId;
use crate::model::foreign::Foreign;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;

/// What is known of a package besides its bytes and its rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claims {
    /// When the package was published, by the index.
    pub published: Option<Timestamp>,
    /// The repository that the commit was fetched from.
    pub repository: RepositoryUrl,
    /// The tag that the commit was found by, where the package itself names none.
    pub tag: Option<Foreign>,
    /// Whether the repository has no other package: then a tag like `v1.0.0` is this package's.
    pub only_package: bool,
    /// What of the repository reaches the commit.
    pub reach: Reach,
    /// Who was asked for that, and when; none where nobody could be.
    pub asked: Option<Asked>,
    /// Tags of this version that are on other commits.
    pub other_tags: Vec<OtherTag>,
    /// The version that the manifest at the commit has, where it is another.
    pub other_version: Option<Foreign>,
    /// Whether the commit holds the Cargo.lock that the publisher's cargo started from.
    pub lock_tracked: bool,
    /// What is wrong with the published Cargo.lock, by the whole index.
    pub lock_faults: Vec<Foreign>,
}

/// Who was asked, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The address that was asked; a folder of this machine is `local mirror`.
    pub source: Foreign,
    /// The day, in UTC.
    pub date: Date,
}

/// What of a repository reaches a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reach {
    /// A branch, the default one if it does, and the nearest tag. At least one of them.
    Reached {
        /// The branch.
        branch: Option<Foreign>,
        /// The tag.
        tag: Option<Foreign>,
    },
    /// Nothing reaches the commit, but its tree is the very tree of a commit that is reached: a pull request that was
    /// squashed after publication.
    Squashed {
        /// The commit with the same tree.
        commit: CommitId,
        /// A branch that reaches it.
        branch: Option<Foreign>,
        /// The nearest tag that does.
        tag: Option<Foreign>,
    },
    /// No branch and no tag: the commit may be of a fork, or of a branch that was deleted or rewritten.
    Unreachable,
    /// That could not be determined.
    Unknown {
        /// Why.
        reason: Foreign,
    },
}

impl Reach {
    /// The branch and the tag, as far as there are.
    #[must_use]
    pub fn names(&self) -> Vec<&Foreign> {
        match self {
            Self::Reached { branch, tag } | Self::Squashed { branch, tag, .. } => {
                [branch, tag].into_iter().flatten().collect()
            }
            Self::Unreachable | Self::Unknown { .. } => Vec::new(),
        }
    }
}

/// A tag of a version on another commit than the package's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherTag {
    /// The tag.
    pub tag: Foreign,
    /// The commit that it is on.
    pub commit: CommitId,
}

/// Why a package can't be rebuilt, and what is known of it all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Obstacle {
    /// Why.
    pub cause: Cause,
    /// Where the package says that it comes from, as far as that is known.
    pub origin: Option<ClaimedOrigin>,
}

/// Where a package that was not rebuilt comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimedOrigin {
    /// The repository.
    pub repository: RepositoryUrl,
    /// The commit.
    pub commit: CommitId,
    /// The package's folder; none where it is not known.
    pub path: Option<SubPath>,
    /// The tag that the commit was found by, where the package itself names none.
    pub tag: Option<Foreign>,
    /// What of the repository reaches the commit.
    pub reach: Reach,
    /// Who was asked for that, and when.
    pub asked: Option<Asked>,
}

/// Why a package can't be rebuilt. None of them speaks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Cause {
    /// The registry serves other bytes than the lock file or the index says.
    ChecksumMismatch {
        /// Who says what.
        reason: Foreign,
    },
    /// The archive is something that no cargo writes.
    MalformedArchive {
        /// What it is.
        reason: Foreign,
    },
    /// cargo would refuse: the package is not in the commit.
    NotPackageable {
        /// Why.
        reason: Foreign,
    },
    /// There is nothing to rebuild from.
    Impossible {
        /// What is missing.
        missing: Missing,
        /// The same in words, with particulars.
        reason: Foreign,
    },
    /// recrate could not do its work.
    Error {
        /// What went wrong.
        reason: Foreign,
    },
}

/// What a rebuild would need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The registry has no such version.
    Version,
    /// The package has no vcs info, and no tag of its version was found.
    VcsInfo,
    /// Its vcs info can't be read.
    ReadableVcsInfo,
    /// Its manifest can't be read.
    ReadableManifest,
    /// Its manifest names no repository.
    Repository,
    /// Its manifest names something that is not an allowed address.
    AllowedRepository,
    /// The repository is not there, or not public.
    RepositoryAtAddress,
    /// The repository does not have the commit.
    Commit,
    /// The commit has something that recrate does not unpack.
    AcceptableCommit,
    /// A submodule, an LFS object or what is taken from git.
    ExtraSource,
    /// The repository has ids of another kind than SHA-1.
    Sha1Ids,
    /// The plan has no such package.
    Planned,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Version => "the registry has no such version",
            Self::VcsInfo => "no vcs info, and no tag of the version was found",
            Self::ReadableVcsInfo => "the vcs info can't be read",
            Self::ReadableManifest => "the manifest can't be read",
            Self::Repository => "no repository named",
            Self::AllowedRepository => "not an allowed repository URL",
            Self::RepositoryAtAddress => "the repository is not there, or not public",
            Self::Commit => "the repository does not have the commit",
            Self::AcceptableCommit => "the commit can't be unpacked",
            Self::ExtraSource => "a submodule, LFS object or git dependency can't be fetched",
            Self::Sha1Ids => "SHA-256 repositories are not supported",
            Self::Planned => "not in the plan",
        })
    }
}
