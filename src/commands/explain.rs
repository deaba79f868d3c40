//! `recrate explain`: what crates and their commits say of how they were made.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::Failure;
use super::setting::Setting;
use crate::edges::console::print;
use crate::lab::case::{Case, Located};
use crate::model::krate::CrateId;
use crate::stages::diff::visible;
use crate::stages::lock::{LockedCrate, RegistryName};
use crate::stages::plan::Reach;
use crate::stages::toolchain::{Candidate, Dating, Origin};
use crate::stages::verdict::{Record, Verdict};

/// Show what crates say of how they were made, and which cargos would be tried.
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
    setting: Setting,
}

impl Explain {
    /// Prints what is known; exit status 3 where there is nothing to rebuild.
    ///
    /// # Errors
    /// Where the machinery fails.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let lab = self.setting.lab(Path::new("."))?;
        let locked = |id: &CrateId| LockedCrate { id: id.clone(), registry: RegistryName::Default, checksum: None };
        let (cases, settled) = lab.examine(&self.crates.iter().map(locked).collect::<Vec<_>>());
        let cases = cases.iter().map(|(case, verdict)| describe(case, verdict.as_ref()));
        let texts: Vec<String> = cases.chain(settled.iter().map(end)).collect();
        print(&texts.join("\n")).map_err(Failure::machinery)?;
        Ok(if settled.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }
}

/// Why there is nothing to rebuild.
fn end(record: &Record) -> String {
    let mut text = format!("{}: {}\n", record.id(), record.verdict.level());
    for line in record.verdict.reason().into_iter().flat_map(str::lines) {
        let _ = writeln!(text, "  {}", visible(line));
    }
    text
}

/// What is known of a crate; `verdict` is what there is to be said where its commit could not be looked into.
fn describe(case: &Case, verdict: Option<&Verdict>) -> String {
    let mut text = format!("{}\n", case.locked.id);
    if let Some(published) = case.published {
        let _ = writeln!(text, "  published {published}");
    }
    let origin = &case.origin;
    let path = origin.path.as_ref().map(|path| path.as_str()).filter(|path| !path.is_empty());
    let path = path.map_or(String::new(), |path| format!(", {path}"));
    let _ = writeln!(text, "  from {} at {}{path}", origin.repository, origin.commit);
    if let Some(tag) = &origin.found_by {
        let _ = writeln!(text, "  which it does not say itself: the tag {} is there", visible(tag));
    }
    if origin.dirty {
        text.push_str("  with uncommitted changes, as its vcs info says\n");
    }
    let contradictions = match &case.located {
        Some(located) => &located.facts.contradictions,
        None => &origin.contradictions,
    };
    for contradiction in contradictions {
        let _ = writeln!(text, "  {}", visible(contradiction));
    }
    for reason in verdict.and_then(Verdict::reason).into_iter().flat_map(str::lines) {
        let _ = writeln!(text, "  {}", visible(reason));
    }
    if let Some(located) = &case.located {
        write_commit(&mut text, located);
    }
    write_dating(&mut text, &case.dating);
    text.push_str("\nwould be tried, in this order:\n");
    for candidate in &case.subject.candidates {
        write_candidate(&mut text, candidate);
    }
    if case.subject.candidates.is_empty() {
        text.push_str("  none: `recrate toolchain add` imports a cargo\n");
    } else if let Some(span) = case.dating.span.filter(|_| !case.subject.candidates.iter().any(|one| one.in_range)) {
        let _ = writeln!(text, "  none of these made it: it takes a cargo {span}");
    }
    text
}

fn write_commit(text: &mut String, located: &Located) {
    match &located.facts.reach {
        Some(Reach::Nothing) => text.push_str("  which no branch and no tag of the repository reaches\n"),
        Some(reach) => {
            let names: Vec<String> = reach.names().into_iter().map(visible).collect();
            let _ = writeln!(text, "  which is in {}", names.join(" and "));
        }
        None => {}
    }
    if let Some(minor) = located.asked_for {
        let _ =
            writeln!(text, "  where rust-toolchain asks for {minor}: that cargo comes first among those that may be");
    }
    if located.facts.lock_tracked {
        text.push_str("  with the Cargo.lock that cargo started from\n");
    }
    for condition in located.checkout.conditions() {
        let _ = writeln!(text, "  {condition}");
    }
}

fn write_dating(text: &mut String, dating: &Dating) {
    match dating.span {
        Some(span) => {
            let _ = writeln!(text, "\nmade by cargo {span}:");
        }
        None => text.push_str("\nmade by no cargo that is known: its traits contradict each other:\n"),
    }
    for reading in &dating.readings {
        let _ = writeln!(text, "  {}: cargo {}", reading.trait_seen, reading.span);
    }
}

fn write_candidate(text: &mut String, candidate: &Candidate) {
    let toolchain = &candidate.toolchain;
    let origin = match toolchain.origin {
        Origin::Imported { .. } => "imported",
        Origin::Archive { .. } => "official, fetched when it is tried",
    };
    let outside = if candidate.in_range { "" } else { ", outside of that range" };
    let _ = writeln!(text, "  {} ({origin}{outside})", toolchain.name);
}
