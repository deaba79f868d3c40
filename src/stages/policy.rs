//! *Policy*: which findings are required. A policy asks for findings by name; what was not determined never meets a
//! requirement. Exit status, Hydra's red and green and every gate come from its decisions alone.
//!
//! What it does not accept are *faults*. [`project`] has what a project says of them: its requirements, waivers and rules.

#[cfg(feature = "driver")]
pub mod edit;
pub mod fault;
pub mod pattern;
pub mod project;
pub mod review;
pub mod waiver;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::claims::{Missing, OtherTag, Reach};
use super::compare::{Difference, Kind};
use super::findings::{
    ArchiveForm, Checksum, Condition, Contents, Contradiction, Findings, Lockfile, NamedBy, Rebuild,
};
use crate::model::foreign::{Foreign, join};
use fault::{Fault, FaultName};

/// What is required of a package. A higher value of a field requires more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How equal the contents must be.
    pub contents: RequiredContents,
    /// Whether the package itself must name the commit and its repository, and nothing may contradict that.
    pub origin_named: bool,
    /// What must reach the commit.
    pub reach: RequiredReach,
    /// Whether a match with the published Cargo.lock as an input is refused.
    pub no_published_lockfile: bool,
}

/// How equal the contents must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequiredContents {
    /// Bit for bit, or every file with all of the container accounted for.
    SameContents,
    /// Bit for bit.
    BitForBit,
}

/// What must reach the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequiredReach {
    /// Nothing.
    Nothing,
    /// A branch or tag, or one reaches a commit with the same tree.
    ReachedOrSquashed,
    /// A branch or tag.
    Reached,
}

/// The built-in policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "driver", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum BuiltIn {
    /// Bit for bit, without the published Cargo.lock as an input, from a commit that the crate names and a branch or tag reaches
    Strict,
    /// Bit for bit, or every file the same with all of the container accounted for; from a commit that the crate names
    /// and a branch or tag reaches, or that was squashed into one
    #[default]
    Default,
    /// Bit for bit, or every file the same, whatever commit that is: who wrote it is not looked at
    ContentsOnly,
}

impl BuiltIn {
    /// All of them, the strictest first.
    pub const ALL: [Self; 3] = [Self::Strict, Self::Default, Self::ContentsOnly];

    /// What it requires.
    #[must_use]
    pub fn policy(self) -> Policy {
        match self {
            Self::Strict => Policy {
                contents: RequiredContents::BitForBit,
                origin_named: true,
                reach: RequiredReach::Reached,
                no_published_lockfile: true,
            },
            Self::Default => Policy {
                contents: RequiredContents::SameContents,
                origin_named: true,
                reach: RequiredReach::ReachedOrSquashed,
                no_published_lockfile: false,
            },
            Self::ContentsOnly => Policy {
                contents: RequiredContents::SameContents,
                origin_named: false,
                reach: RequiredReach::Nothing,
                no_published_lockfile: false,
            },
        }
    }
}

impl fmt::Display for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::Default => "default",
            Self::ContentsOnly => "contents-only",
        })
    }
}

impl FromStr for BuiltIn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(|policy| policy.to_string()).join(", ");
        Self::ALL
            .into_iter()
            .find(|policy| policy.to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a policy: there are {names}"))
    }
}

impl Policy {
    /// Everything that it requires and that the findings do not meet.
    #[must_use]
    pub fn faults(&self, findings: &Findings) -> Vec<Fault> {
        let requirements = [
            checksum(findings),
            archive(findings),
            self.contents(findings),
            self.origin(findings),
            self.reach(findings),
        ];
        let mut faults: Vec<Fault> = requirements.into_iter().flatten().collect();
        faults.extend(self.lockfile(findings));
        faults.extend(self.contradictions(findings));
        if matches!(findings.rebuild, Rebuild::Impossible { .. } | Rebuild::Error { .. })
            && faults.iter().any(|fault| fault.name.is_unknown())
        {
            // Where there is no rebuild nothing else was looked at either: why there is none says it all.
            faults.retain(|fault| !fault.name.is_unknown());
            faults.push(not_compared(&findings.rebuild));
        }
        faults
    }

    fn contents(&self, findings: &Findings) -> Option<Fault> {
        match &findings.contents {
            Contents::BitForBit => None,
            Contents::SameContents { .. } if self.contents <= RequiredContents::SameContents => None,
            Contents::SameContents { .. } => {
                Some(Fault::new(FaultName::SameContents, "same contents, but not bit for bit"))
            }
            Contents::CompressorUnknown { .. } => {
                Some(Fault::new(FaultName::CompressorUnknown, "the compressor is unknown"))
            }
            Contents::GeneratedFilesDiffer { differences } => Some(
                Fault::new(FaultName::GeneratedFilesDiffer, "generated files differ")
                    .with(differences.iter().map(particular)),
            ),
            Contents::SourceDiffers { differences } => {
                Some(Fault::new(FaultName::SourceDiffers, "source differs").with(differences.iter().map(particular)))
            }
            Contents::NotCompared => Some(match &findings.rebuild {
                Rebuild::Refused { .. } => Fault::new(FaultName::PackagingFailed, "packaging failed"),
                rebuild => not_compared(rebuild),
            }),
        }
    }

    fn origin(&self, findings: &Findings) -> Option<Fault> {
        if !self.origin_named {
            return None;
        }
        match findings.origin.as_ref().map(|origin| &origin.named_by) {
            Some(NamedBy::Crate) => None,
            Some(NamedBy::Tag(tag)) => Some(
                Fault::new(FaultName::FoundByTag, format!("the crate names no commit; found by tag {tag}")).with([tag]),
            ),
            Some(NamedBy::OtherVersion) => {
                Some(Fault::new(FaultName::FoundByOtherVersion, "the crate names no repository"))
            }
            None => Some(Fault::new(FaultName::OriginUnknown, "origin unknown")),
        }
    }

    fn contradictions(&self, findings: &Findings) -> Vec<Fault> {
        let found = findings.origin.iter().flat_map(|origin| &origin.contradictions);
        let fault = |contradiction: &Contradiction| {
            let name = match contradiction {
                Contradiction::Repository { .. } => FaultName::OtherRepository,
                Contradiction::Tag(_) => FaultName::TagElsewhere,
                Contradiction::Version { .. } => FaultName::OtherVersion,
            };
            let particular = match contradiction {
                Contradiction::Repository { named } => named.clone(),
                Contradiction::Tag(OtherTag { tag, commit }) => format!("{} {commit}", tag.raw()).into(),
                Contradiction::Version { version } => version.clone(),
            };
            Fault::new(name, contradiction.to_string()).with([particular])
        };
        found.filter(|_| self.origin_named).map(fault).collect()
    }

    fn reach(&self, findings: &Findings) -> Option<Fault> {
        if self.reach == RequiredReach::Nothing {
            return None;
        }
        let commit = || findings.origin.as_ref().map(|origin| origin.commit.to_string());
        match &findings.reach.reach {
            Reach::Reached { .. } => None,
            Reach::Squashed { .. } if self.reach <= RequiredReach::ReachedOrSquashed => None,
            Reach::Squashed { .. } => {
                Some(Fault::new(FaultName::SquashedCommit, "the commit was squashed").with(commit()))
            }
            Reach::Unreachable => Some(Fault::new(FaultName::UnreachableCommit, "unreachable commit").with(commit())),
            Reach::Unknown { reason } => Some(Fault::new(FaultName::ReachUnknown, format!("reach unknown: {reason}"))),
        }
    }

    /// Each of its faults apart: who accepts one has not accepted the others.
    fn lockfile(&self, findings: &Findings) -> Vec<Fault> {
        let input = |condition: &Condition| matches!(condition, Condition::PublishedLockfile { .. });
        let is_input = findings.conditions.iter().any(input);
        let refused = (is_input && self.no_published_lockfile)
            .then(|| Fault::new(FaultName::PublishedLockfile, "published Cargo.lock as input"));
        let own = match &findings.lockfile {
            Lockfile::Faults { faults } => {
                let reason = format!("published Cargo.lock as input: {}", join(faults, "; "));
                Some(Fault::new(FaultName::LockfileFaults, reason).with(faults))
            }
            Lockfile::Undated { versions } => {
                let names = join(versions, ", ");
                let reason = format!("published Cargo.lock as input: nobody knows when {names} came out");
                Some(Fault::new(FaultName::LockfileUndated, reason).with(versions))
            }
            Lockfile::NotAnInput if is_input => {
                Some(Fault::new(FaultName::LockfileUnchecked, "the published Cargo.lock was not checked"))
            }
            Lockfile::Consistent { .. } | Lockfile::NotAnInput => None,
        };
        refused.into_iter().chain(own).collect()
    }
}

/// A difference as a waiver has it. These words stay, whatever people are told: others would make every waiver void.
fn particular(difference: &Difference) -> Foreign {
    let Difference { path, kind, details, .. } = difference;
    let kind = match kind {
        Kind::Lines { published, rebuilt } => format!("lines +{published} -{rebuilt}"),
        Kind::LineEndings => "line-endings".to_owned(),
        Kind::WhiteSpace => "white-space".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
        Kind::OnlyPublished => "only-published".to_owned(),
        Kind::OnlyRebuilt => "only-rebuilt".to_owned(),
        Kind::Mode => "mode".to_owned(),
        Kind::Repeated => "repeated".to_owned(),
        Kind::Form => "form".to_owned(),
        Kind::Meaning => "meaning".to_owned(),
        Kind::Container => "container".to_owned(),
    };
    let details = if details.is_empty() { String::new() } else { format!(" ({})", join(details, "; ").raw()) };
    format!("{kind} {}{details}", path.raw()).into()
}

/// Why the contents were not compared.
fn not_compared(rebuild: &Rebuild) -> Fault {
    match rebuild {
        Rebuild::Impossible { missing: Missing::Planned, .. } => {
            Fault::new(FaultName::NotPlanned, Missing::Planned.to_string())
        }
        Rebuild::Impossible { missing, .. } => {
            Fault::new(FaultName::Missing, missing.to_string()).with([NameOf(*missing).to_string()])
        }
        Rebuild::Error { .. } => Fault::new(FaultName::Error, "contents not compared"),
        Rebuild::Done | Rebuild::Refused { .. } | Rebuild::NotAttempted => {
            Fault::new(FaultName::NotCompared, "contents not compared")
        }
    }
}

/// What is missing, as JSON names it: words for people may become better ones.
struct NameOf(Missing);

impl fmt::Display for NameOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

fn checksum(findings: &Findings) -> Option<Fault> {
    match &findings.checksum {
        Checksum::Matches => None,
        Checksum::Mismatch { .. } => Some(Fault::new(FaultName::ChecksumMismatch, "checksum mismatch")),
        Checksum::Unknown => Some(Fault::new(FaultName::ChecksumUnknown, "checksum not checked")),
    }
}

fn archive(findings: &Findings) -> Option<Fault> {
    match &findings.archive {
        ArchiveForm::WellFormed { .. } => None,
        ArchiveForm::Malformed { .. } => Some(Fault::new(FaultName::MalformedArchive, "malformed archive")),
        ArchiveForm::Unknown => Some(Fault::new(FaultName::ArchiveUnknown, "archive not read")),
    }
}

#[cfg(test)]
mod tests;
