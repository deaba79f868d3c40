//! `recrate explain`: what crates and their commits say of how they were packaged.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::Failure;
use super::build_options::BuildOptions;
use crate::edges::console::print;
use crate::model::foreign::{Foreign, join};
use crate::model::krate::CrateId;
use crate::model::package::{PackageKey, RegistryName};
use crate::pipeline::fetch::Ended;
use crate::pipeline::inspect::InspectedPackage;
use crate::stages::checkout;
use crate::stages::claims::{Cause, ClaimedOrigin, Reach};
use crate::stages::lock::LockedPackage;
use crate::stages::toolchain::{Candidate, CargoEvidence, Origin};

/// Show how crates were packaged, as their bytes and commits tell, and which cargos would be tried.
///
/// Nothing is built. Where the commit can be had, what it says is shown, too: a `rust-toolchain` file, and how the publisher
/// checked it out. Each trait of the crate that dates its cargo is named with the releases that write it so; the cargos
/// follow in the order in which `recrate verify` tries them. Exit status 3 where there is nothing to rebuild.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The crates
    #[arg(value_name = "NAME@VERSION", required = true)]
    crates: Vec<CrateId>,
    #[command(flatten)]
    options: BuildOptions,
}

impl Explain {
    /// Prints what is known; exit status 3 where there is nothing to rebuild.
    ///
    /// # Errors
    /// Where recrate or the machine is at fault.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let context = self.options.context(Path::new("."))?;
        let locked =
            |id: &CrateId| LockedPackage { key: PackageKey::new(RegistryName::Default, id.clone()), checksum: None };
        let packages: Vec<LockedPackage> = self.crates.iter().map(locked).collect();
        let (inspected, ended) = context.examine(&packages);
        let texts: Vec<String> = inspected.iter().map(describe).chain(ended.iter().map(describe_end)).collect();
        print(&texts.join("\n")).map_err(Failure::internal)?;
        Ok(if ended.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }
}

/// Why there is nothing to rebuild.
fn describe_end(ended: &Ended) -> String {
    let mut text = format!("{}\n", ended.locked.key);
    if let Some(ClaimedOrigin { repository, commit, .. }) = &ended.obstacle.origin {
        let _ = writeln!(text, "  from {repository} at {commit}");
    }
    let (Cause::ChecksumMismatch { reason }
    | Cause::MalformedArchive { reason }
    | Cause::NotPackageable { reason }
    | Cause::Impossible { reason, .. }
    | Cause::Error { reason }) = &ended.obstacle.cause;
    for line in reason.lines() {
        let _ = writeln!(text, "  can't be rebuilt: {line}");
    }
    text
}

fn describe(package: &InspectedPackage) -> String {
    let mut text = format!("{}\n", package.locked.key);
    let blueprint = &package.blueprint;
    let claims = &blueprint.claims;
    if let Some(published) = claims.published {
        let _ = writeln!(text, "  published {published}");
    }
    let path = Some(blueprint.package_path.as_str()).filter(|path| !path.is_empty());
    let path = path.map_or(String::new(), |path| format!(", {}", Foreign::from(path)));
    let _ = writeln!(text, "  from {} at {}{path}", claims.repository, blueprint.commit);
    if let Some(tag) = &claims.tag {
        let _ = writeln!(text, "  not named by the crate: found by tag {tag}");
    }
    if blueprint.dirty {
        text.push_str("  with uncommitted changes, as its vcs info says\n");
    }
    for other in &claims.other_tags {
        let _ = writeln!(text, "  tag {} is on another commit, {}", other.tag, other.commit.short());
    }
    if let Some(version) = &claims.other_version {
        let _ = writeln!(text, "  the manifest at the commit has version {version}");
    }
    let names = join(claims.reach.names(), ", ");
    match &claims.reach {
        Reach::Reached { .. } => {
            let _ = writeln!(text, "  reached by {names}");
        }
        Reach::Squashed { commit, .. } => {
            let _ = writeln!(text, "  squashed into {} ({})", commit.short(), names);
        }
        Reach::Unreachable => text.push_str("  no branch or tag of the repository reaches it\n"),
        Reach::Unknown { reason } => {
            let _ = writeln!(text, "  whether a branch or tag reaches it is unknown: {reason}");
        }
    }
    if let Some(minor) = package.asked_for {
        let _ = writeln!(text, "  rust-toolchain asks for {minor}: among the cargos in range it comes first");
    }
    if claims.lock_tracked {
        text.push_str("  with the Cargo.lock that cargo started from\n");
    }
    if let Some(condition) = checkout::condition(&blueprint.checkout) {
        let _ = writeln!(text, "  {condition}");
    }
    write_evidence(&mut text, &package.evidence);
    text.push_str("\nwould be tried, in this order:\n");
    let candidates = &package.subject.candidates;
    for candidate in candidates {
        write_candidate(&mut text, candidate);
    }
    if let Some(range) = package.evidence.range.filter(|_| !candidates.iter().any(|one| one.in_range)) {
        let _ = writeln!(text, "  none of these packaged it: that was cargo {range}");
    }
    text
}

fn write_evidence(text: &mut String, evidence: &CargoEvidence) {
    match evidence.range {
        Some(range) => {
            let _ = writeln!(text, "\npackaged by cargo {range}:");
        }
        None => text.push_str("\npackaged by an unknown cargo; its traits contradict each other:\n"),
    }
    for clue in &evidence.clues {
        let _ = writeln!(text, "  {clue}");
    }
}

fn write_candidate(text: &mut String, candidate: &Candidate) {
    let toolchain = &candidate.toolchain;
    let origin = match toolchain.origin {
        Origin::Imported { .. } => "imported",
        Origin::Archive { .. } => "official, fetched when it is tried",
    };
    let outside = if candidate.in_range { "" } else { ", out of range" };
    let _ = writeln!(text, "  {} ({origin}{outside})", toolchain.name);
}
