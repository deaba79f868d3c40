//! *Faults*: what a policy does not accept of a package, each with the name by which waivers and rules speak of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::digest::Sha256;
use crate::model::foreign::{Foreign, brief, join};

/// Something that a policy requires and that findings do not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which finding it is.
    pub name: FaultName,
    /// What exactly; with another one it is another fault.
    pub particulars: Vec<Foreign>,
    /// The same for people.
    pub reason: String,
}

/// The findings that a policy may not accept, as waivers and rules name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultName {
    /// The bytes are not those of the lock file and the index.
    ChecksumMismatch,
    /// The bytes were not checked.
    ChecksumUnknown,
    /// The archive is one that no cargo writes.
    MalformedArchive,
    /// The archive was not read.
    ArchiveUnknown,
    /// Every file is the same, but not the container.
    SameContents,
    /// No known compressor gives the published bytes.
    CompressorUnknown,
    /// What cargo generates differs in form.
    GeneratedFilesDiffer,
    /// The package says or holds something that its commit does not.
    SourceDiffers,
    /// cargo refuses to package the commit.
    PackagingFailed,
    /// There is nothing to rebuild from.
    Missing,
    /// recrate could not do its work.
    Error,
    /// The plan does not have the package.
    NotPlanned,
    /// The contents were not compared for another reason.
    NotCompared,
    /// The package names no commit; a tag of its version does.
    FoundByTag,
    /// The package names no repository; another of its versions does.
    FoundByOtherVersion,
    /// Nothing says where the package comes from.
    OriginUnknown,
    /// The package names another repository than the one that the commit was fetched from.
    OtherRepository,
    /// A tag of the version is on another commit.
    TagElsewhere,
    /// The manifest at the commit has another version.
    OtherVersion,
    /// No branch or tag reaches the commit.
    UnreachableCommit,
    /// No branch or tag reaches the commit, but one reaches a commit with the same tree.
    SquashedCommit,
    /// Whether a branch or tag reaches the commit is unknown.
    ReachUnknown,
    /// The published Cargo.lock was an input.
    PublishedLockfile,
    /// It was, and something is wrong with it.
    LockfileFaults,
    /// It was, and nobody knows when some of its packages came out.
    LockfileUndated,
    /// It was, and was not checked.
    LockfileUnchecked,
}

impl FaultName {
    /// Whether it is something that could not be determined, not something that was.
    #[must_use]
    pub fn is_unknown(self) -> bool {
        match self {
            Self::ChecksumUnknown
            | Self::ArchiveUnknown
            | Self::Missing
            | Self::Error
            | Self::NotPlanned
            | Self::NotCompared
            | Self::FoundByTag
            | Self::FoundByOtherVersion
            | Self::OriginUnknown
            | Self::ReachUnknown
            | Self::LockfileUndated
            | Self::LockfileUnchecked => true,
            Self::ChecksumMismatch
            | Self::MalformedArchive
            | Self::SameContents
            | Self::CompressorUnknown
            | Self::GeneratedFilesDiffer
            | Self::SourceDiffers
            | Self::PackagingFailed
            | Self::OtherRepository
            | Self::TagElsewhere
            | Self::OtherVersion
            | Self::UnreachableCommit
            | Self::SquashedCommit
            | Self::PublishedLockfile
            | Self::LockfileFaults => false,
        }
    }

    /// Whether nobody can waive it. A waiver is for bytes: where these are others than the lock file's, or were not looked at
    /// because the plan is of another lock file, there is nothing to waive.
    #[must_use]
    pub fn cannot_be_waived(self) -> bool {
        matches!(self, Self::ChecksumMismatch | Self::NotPlanned)
    }
}

/// How many particulars of a fault a waiver has as text, and how long that is in characters.
const NAMED: usize = 16;
const LENGTH: usize = 160;

impl Fault {
    /// A fault without particulars.
    #[must_use]
    pub fn new(name: FaultName, reason: impl Into<String>) -> Self {
        Self { name, particulars: Vec::new(), reason: reason.into() }
    }

    /// The same with particulars.
    #[must_use]
    pub fn with(mut self, particulars: impl IntoIterator<Item = impl Into<Foreign>>) -> Self {
        self.particulars = particulars.into_iter().map(Into::into).collect();
        self
    }

    /// The fault as waivers have it: a line for each of its particulars. Of many, the rest is one line with their hash.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let name = self.name;
        if self.particulars.is_empty() {
            return vec![name.to_string()];
        }
        let (named, rest) = self.particulars.split_at(self.particulars.len().min(NAMED));
        let mut lines: Vec<String> = named.iter().map(|one| format!("{name}: {}", bounded(one))).collect();
        if !rest.is_empty() {
            let hash = Sha256::of(join(rest, "\n").raw().as_bytes());
            lines.push(format!("{name}: {} more, sha256 {hash}", rest.len()));
        }
        lines
    }
}

/// A particular as one line of bounded length: of what is left out, the hash is there.
fn bounded(particular: &Foreign) -> String {
    let shown = particular.to_string();
    let short = brief(&shown, LENGTH);
    if short == shown { shown } else { format!("{short} sha256 {}", Sha256::of(particular.raw().as_bytes())) }
}

impl fmt::Display for FaultName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The names in files and those for people are the same.
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_line_for_each_particular() {
        let fault = |count: usize| {
            Fault::new(FaultName::SourceDiffers, "").with((0..count).map(|at| format!("bytes a{at}"))).lines()
        };
        assert_eq!(fault(0), ["source-differs"]);
        assert_eq!(fault(2), ["source-differs: bytes a0", "source-differs: bytes a1"]);
        let many = fault(20);
        assert_eq!(many.len(), 17);
        assert!(many[16].starts_with("source-differs: 4 more, sha256 "), "{many:?}");
        // Every one of them counts.
        assert_ne!(many, fault(21));
    }
}
