//! *Approval*: that the sandbox made a crate of a commit that passed every check, for a while. The gate before an upload goes by nothing
//! else.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::artefact::{Archive, Entry, LOCK, MANIFEST, VCS_INFO};
use super::provenance::VcsInfo;
use crate::model::commit::CommitId;
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;
use crate::model::package::PackageKey;
use crate::model::repository::RepositoryUrl;

/// That a crate may be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// What it is published as, and where.
    pub package: PackageKey,
    /// The sha256 of the crate that the sandbox made.
    pub checksum: Sha256,
    /// The repository that was asked for the commit.
    pub repository: RepositoryUrl,
    /// The commit.
    pub commit: CommitId,
    /// The cargo, like `1.95.0`.
    pub cargo: String,
    /// The derivation.
    pub drv: String,
    /// Its output.
    pub out: String,
    /// Until when it counts.
    pub until: Timestamp,
}

/// What somebody is about to upload.
#[derive(Debug, Clone, Copy)]
pub struct Upload<'a> {
    /// As what, and where.
    pub package: &'a PackageKey,
    /// The sha256 of the file.
    pub checksum: Sha256,
}

/// Why an upload is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has checked this package.
    NotApproved,
    /// That was too long ago.
    Expired(Timestamp),
    /// The sandbox made other bytes.
    OtherBytes(Sha256),
}

/// Whether a crate may be uploaded now.
///
/// # Errors
/// Where it may not.
pub fn allow(approval: Option<&Approval>, upload: Upload<'_>, now: Timestamp) -> Result<(), Refusal> {
    let approval = approval.filter(|approval| approval.package == *upload.package).ok_or(Refusal::NotApproved)?;
    if approval.until <= now {
        return Err(Refusal::Expired(approval.until));
    }
    if approval.checksum != upload.checksum {
        return Err(Refusal::OtherBytes(approval.checksum));
    }
    Ok(())
}

/// The first entry in which two crates differ, and what is likely behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstDifference {
    /// The entry; none where all files are the same.
    pub path: Option<Foreign>,
    /// Why that may be.
    pub cause: &'static str,
}

impl fmt::Display for FirstDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "the first file that differs is {path}: {}", self.cause),
            None => write!(f, "every file is the same: {}", self.cause),
        }
    }
}

/// Where the crate that would be uploaded first differs from the sandbox's; none where one of them can't be read.
#[must_use]
pub fn first_difference(id: &CrateId, uploaded: &[u8], approved: &[u8]) -> Option<FirstDifference> {
    let (theirs, ours) = (Archive::read(id, uploaded).ok()?, Archive::read(id, approved).ok()?);
    let (left, right) = (theirs.by_path(), ours.by_path());
    let paths: BTreeSet<&str> = left.keys().chain(right.keys()).copied().collect();
    let one = |entries: Option<&Vec<&Entry>>| entries.and_then(|entries| entries.first().copied()).cloned();
    let differs = |path: &&str| match (one(left.get(path)), one(right.get(path))) {
        (Some(a), Some(b)) => !theirs.same_body(&a, &ours, &b) || a.executable() != b.executable(),
        _ => true,
    };
    let commit = |archive: &Archive| VcsInfo::of(archive).ok().map(|info| info.commit);
    // What names the commit says more than what follows from it; that it says `dirty` follows from a file.
    let first = [VCS_INFO].into_iter().find(|_| commit(&theirs) != commit(&ours));
    let rest = || paths.iter().copied().filter(|path| *path != VCS_INFO).find(|path| differs(path));
    let lock = || [LOCK].into_iter().find(|path| paths.contains(path) && differs(path));
    let first = first.or_else(lock).or_else(rest).or_else(|| [VCS_INFO].into_iter().find(differs));
    let cause = match first {
        None => "another cargo, or another compressor, wrote the archive",
        Some(VCS_INFO) => "it was packaged from another commit",
        Some(LOCK) => {
            "Cargo.lock is not in the commit, or a dependency came out since: track Cargo.lock, or let `recrate publish` lay the \
             sandbox's into the checkout"
        }
        Some(MANIFEST) => "another cargo wrote it, or the tree is dirty",
        Some(_) => "the tree is dirty, or was changed after it was checked",
    };
    Some(FirstDifference { path: first.map(Foreign::from), cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::package::RegistryName;

    fn approval(until: &str) -> Approval {
        Approval {
            package: PackageKey::new(RegistryName::Default, "a@1.0.0".parse().unwrap()),
            checksum: Sha256([1; 32]),
            repository: "https://git.example/acme/a".parse().unwrap(),
            commit: CommitId([2; 20]),
            cargo: "1.95.0".to_owned(),
            drv: "/nix/store/x.drv".to_owned(),
            out: "/nix/store/x".to_owned(),
            until: until.parse().unwrap(),
        }
    }

    #[test]
    fn only_what_was_approved_passes_as_long_as_it_counts() {
        let approval = approval("2026-01-01T01:00:00Z");
        let now: Timestamp = "2026-01-01T00:59:59Z".parse().unwrap();
        let upload = Upload { package: &approval.package, checksum: approval.checksum };
        assert_eq!(allow(Some(&approval), upload, now), Ok(()));
        assert_eq!(allow(None, upload, now), Err(Refusal::NotApproved));
        assert_eq!(allow(Some(&approval), upload, approval.until), Err(Refusal::Expired(approval.until)));
        let other = Upload { checksum: Sha256([3; 32]), ..upload };
        assert_eq!(allow(Some(&approval), other, now), Err(Refusal::OtherBytes(approval.checksum)));
    }

    proptest::proptest! {
        #[test]
        fn another_package_another_registry_and_other_bytes_never_pass(
            name in "[ab]", version in "[01]\\.0\\.0", registry in "default|https://[ab]/", byte in 0_u8..3, second in 0_i64..3,
        ) {
            let approval = approval("1970-01-01T00:00:02Z");
            let key = PackageKey::new(registry.parse().unwrap(), format!("{name}@{version}").parse().unwrap());
            let upload = Upload { package: &key, checksum: Sha256([byte; 32]) };
            let now = Timestamp::from_second(second).unwrap();
            let is_it = key == approval.package && byte == 1 && second < 2;
            assert_eq!(allow(Some(&approval), upload, now).is_ok(), is_it);
        }
    }
}
