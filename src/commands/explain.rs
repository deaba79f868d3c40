//! `recrate explain`: what a crate's own bytes say of how it was made.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::Failure;
use super::setting::Setting;
use crate::edges::console::print;
use crate::lab::case::Case;
use crate::lab::open::Opened;
use crate::model::krate::CrateId;
use crate::stages::diff::visible;
use crate::stages::lock::{LockedCrate, RegistryName};
use crate::stages::toolchain::{Candidate, Dating, Origin};

/// Show what a crate's own bytes say of how it was made, and which cargos would be tried.
///
/// Nothing is built. Each trait of the crate that dates its cargo is named with the releases that write it so; the cargos
/// follow in the order in which `recrate verify` tries them.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The crate
    #[arg(value_name = "NAME@VERSION")]
    krate: CrateId,
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
        let locked = LockedCrate { id: self.krate.clone(), registry: RegistryName::Default, checksum: None };
        let (text, code) = match lab.examine(&locked) {
            Opened::Case(case) => (describe(&case), ExitCode::SUCCESS),
            Opened::Settled(record) => {
                let mut text = format!("{}: {}\n", self.krate, record.verdict.level());
                for line in record.verdict.reason().into_iter().flat_map(str::lines) {
                    let _ = writeln!(text, "  {}", visible(line));
                }
                (text, ExitCode::from(3))
            }
        };
        print(&text).map_err(Failure::machinery)?;
        Ok(code)
    }
}

fn describe(case: &Case) -> String {
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
    for contradiction in &origin.contradictions {
        let _ = writeln!(text, "  {}", visible(contradiction));
    }
    if origin.dirty {
        text.push_str("  with uncommitted changes, as its vcs info says\n");
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
