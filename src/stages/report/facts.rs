//! What is known of a package, as lines for people.

use std::fmt::Write as _;

use crate::model::foreign::{Foreign, join};
use crate::stages::claims::Reach;
use crate::stages::compare::Difference;
use crate::stages::findings::{ArchiveForm, Checksum, Contents, Lockfile, NamedBy, Rebuild};
use crate::stages::record::Record;

/// How many differences and details a package gets.
const DIFFERENCES: usize = 6;
const DETAILS: usize = 4;

/// A finding: what it is, and what was found.
pub(in crate::stages) struct Fact {
    /// What it is.
    pub label: &'static str,
    /// What was found, in one or more lines.
    pub value: Foreign,
}

pub(in crate::stages) fn fact(label: &'static str, value: impl Into<Foreign>) -> Fact {
    Fact { label, value: value.into() }
}

/// Everything that is known of a package, the reason for its verdict first.
pub(in crate::stages) fn facts(record: &Record) -> Vec<Fact> {
    let findings = &record.findings;
    let mut facts = Vec::new();
    if let Checksum::Mismatch { reason } = &findings.checksum {
        facts.push(fact("checksum", reason));
    }
    if let ArchiveForm::Malformed { reason } = &findings.archive {
        facts.push(fact("archive", reason));
    }
    facts.extend(findings.archive.alike().map(|names| fact("names", format!("{names} differ in letter case only"))));
    match &findings.rebuild {
        Rebuild::Refused { reason } => facts.push(fact("refused", reason)),
        Rebuild::Impossible { reason, .. } => facts.push(fact("missing", reason)),
        Rebuild::Error { reason } => facts.push(fact("error", reason)),
        Rebuild::Done | Rebuild::NotAttempted => {}
    }
    facts.extend(differences(findings.contents.differences()));
    if findings.contents != Contents::NotCompared && findings.contents.differences().is_empty() {
        facts.push(fact("contents", describe_contents(&findings.contents)));
    }
    match &findings.lockfile {
        Lockfile::Faults { faults } => facts.push(fact("Cargo.lock", join(faults, "\n"))),
        Lockfile::Undated { versions } => {
            facts.push(fact("Cargo.lock", format!("nobody knows when {} came out", join(versions, ", "))));
        }
        Lockfile::Consistent { yanked } if !yanked.is_empty() => {
            facts.push(fact("Cargo.lock", format!("has since yanked {}", join(yanked, ", "))));
        }
        Lockfile::Consistent { .. } | Lockfile::NotAnInput => {}
    }
    facts.extend(findings.conditions.iter().map(|condition| fact("condition", condition.to_string())));
    if findings.flags.dirty {
        facts.push(fact("flag", "dirty: the publisher's cargo saw uncommitted changes"));
    }
    facts.extend(origin(record));
    if let Some(attempt) = record.best_attempt() {
        let with = &attempt.toolchain;
        let by = match (record.lacking_cargo(), record.cargo_range) {
            (Some(span), _) => format!("cargo {span} (not available; rebuilt with {with})"),
            (None, Some(span)) => format!("cargo {span} (rebuilt with {with})"),
            (None, None) => format!("unknown cargo (rebuilt with {with})"),
        };
        facts.push(fact("packaged by", by));
    }
    facts
}

fn origin(record: &Record) -> Vec<Fact> {
    let findings = &record.findings;
    let Some(origin) = &findings.origin else { return Vec::new() };
    let mut facts: Vec<Fact> =
        origin.contradictions.iter().map(|contradiction| fact("contradicts", contradiction.to_string())).collect();
    let names = join(findings.reach.reach.names(), ", ");
    let names = if names.is_empty() { String::new() } else { format!("  {names}") };
    let path = origin.path.as_ref().map(|path| path.as_str()).filter(|path| !path.is_empty());
    let path = path.map_or(String::new(), |path| format!(", {path}"));
    let commit = origin.commit.short();
    match &findings.reach.reach {
        Reach::Reached { .. } => {}
        Reach::Squashed { commit, .. } => {
            facts.push(fact(
                "squashed",
                format!("no branch or tag reaches the commit; {} has the same tree", commit.short()),
            ));
        }
        Reach::Unreachable => facts.push(fact(
            "unreachable",
            "no branch or tag of the repository reaches the commit: it may be of a fork,\n\
             or of a branch that was deleted or rewritten",
        )),
        Reach::Unknown { reason } if findings.contents != Contents::NotCompared => {
            facts.push(fact("reach", format!("unknown: {reason}")));
        }
        Reach::Unknown { .. } => {}
    }
    let by = match &origin.named_by {
        NamedBy::Crate => String::new(),
        NamedBy::Tag(tag) => format!(" (not named by the crate: found by tag {tag})"),
        NamedBy::OtherVersion => " (the repository is named by another version only)".to_owned(),
    };
    facts.push(fact("commit", format!("{commit}{names}  {}{path}{by}", origin.repository)));
    facts
}

fn differences(differences: &[Difference]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for difference in differences.iter().take(DIFFERENCES) {
        let mut value = format!("{}: {}", difference.path, difference.kind);
        for detail in difference.details.iter().take(DETAILS) {
            let _ = write!(value, "\n{detail}");
        }
        if difference.details.len() > DETAILS {
            let _ = write!(value, "\nand {} more", difference.details.len() - DETAILS);
        }
        facts.push(fact("differs", value));
    }
    if differences.len() > DIFFERENCES {
        facts.push(fact("differs", format!("and {} more files", differences.len() - DIFFERENCES)));
    }
    facts
}

/// How contents compare, in words.
pub(super) fn describe_contents(contents: &Contents) -> String {
    match contents {
        Contents::BitForBit => "bit for bit".to_owned(),
        Contents::SameContents { normalised, compressor, .. } => {
            let words: Vec<String> = normalised.iter().map(ToString::to_string).collect();
            format!("every file the same; {} normalised, then bit for bit ({compressor})", words.join(", "))
        }
        Contents::CompressorUnknown { normalised, .. } => {
            let words: Vec<String> = normalised.iter().map(ToString::to_string).collect();
            format!("every file the same; {} normalised; no known compressor gives these bytes", words.join(", "))
        }
        Contents::GeneratedFilesDiffer { .. } => "generated files differ".to_owned(),
        Contents::SourceDiffers { .. } => "source differs".to_owned(),
        Contents::NotCompared => "not compared".to_owned(),
    }
}
