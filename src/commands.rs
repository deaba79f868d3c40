//! The command line: one small file per subcommand. `main` parses, runs, prints and exits.

pub mod author;
pub mod baseline;
pub mod build_options;
pub mod cache;
pub mod changes;
pub mod check;
pub mod clean;
pub mod completions;
pub mod config;
pub mod credential;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod format;
pub mod history;
pub mod letter;
pub mod package;
pub mod plan;
pub mod publish;
pub mod reproduce;
pub mod runs;
pub mod site;
pub mod subject;
pub mod toolchain;
pub mod upload;
pub mod verify;
pub mod waive;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::contract::program::NO_SPACE;
use crate::model::foreign::Foreign;

/// Rebuild every crate of a Cargo.lock from its git commit, and compare bit for bit.
///
/// For each registry crate, recrate fetches the commit that the crate claims to come from, runs a pinned `cargo
/// package` on it in the Nix sandbox, with the registry's index as it was on the day of publication, and compares the
/// result's sha256 with the registry's checksum.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "First time here? `recrate doctor` checks what this machine still needs."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "each one's own documentation is its help")]
pub enum Command {
    Verify(verify::Verify),
    Check(check::Check),
    Package(package::Package),
    Publish(publish::Publish),
    Credential(credential::Credential),
    Upload(upload::Upload),
    Waive(waive::Waive),
    Changes(changes::Changes),
    History(history::History),
    Runs(runs::Runs),
    Site(site::MakeSite),
    Letter(letter::Write),
    Plan(plan::Plan),
    Explain(explain::Explain),
    Diff(diff::Diff),
    Reproduce(reproduce::Reproduce),
    #[command(subcommand)]
    Toolchain(toolchain::Toolchain),
    #[command(subcommand)]
    Cache(cache::Cache),
    Clean(clean::Clean),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

/// How a command ends, besides well.
#[derive(Debug)]
pub enum Failure {
    /// 1: what was asked for must not be done.
    Refused(String),
    /// 2: usage error or unreadable input.
    Usage(String),
    /// 70: recrate or the machine is at fault.
    Internal(String),
    /// 130: the user wanted to stop.
    Interrupted(String),
}

impl Failure {
    /// Usage error or unreadable input.
    pub fn usage(error: impl std::fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }

    /// What went wrong.
    #[must_use]
    pub fn text(&self) -> &str {
        let (Self::Refused(text) | Self::Usage(text) | Self::Internal(text) | Self::Interrupted(text)) = self;
        text
    }

    /// recrate or the machine is at fault.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        let text = error.to_string();
        let says = |words: &str| text.contains(words);
        let help = if says(NO_SPACE) || says(DATABASE_FULL) {
            NO_SPACE_HELP
        } else if says(READ_ONLY) {
            READ_ONLY_HELP
        } else {
            ""
        };
        Self::Internal(text + help)
    }
}

/// What to do where a file system is full.
const NO_SPACE_HELP: &str = "\nhelp: a disk is full: make room there (`recrate cache show`, `nix-collect-garbage`), or put the cache \
    elsewhere with RECRATE_CACHE and the run directory with --out; the same command goes on from where it was";

/// The words of Nix's database for that.
const DATABASE_FULL: &str = "database or disk is full";

/// The system's words for a file system that can't be written.
const READ_ONLY: &str = "Read-only file system";
/// What to do there.
const READ_ONLY_HELP: &str = "\nhelp: RECRATE_CACHE puts the cache elsewhere, and --out the run directory";

impl Cli {
    /// Runs the command; prints what went wrong on stderr and gives the exit status.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Verify(verify) => verify.run(),
            Command::Check(check) => check.run(),
            Command::Package(package) => package.run(),
            Command::Publish(publish) => publish.run(),
            Command::Upload(upload) => upload.run(),
            Command::Credential(credential) => credential.run(),
            Command::Waive(waive) => waive.run(),
            Command::Changes(changes) => changes.run(),
            Command::History(history) => history.run(),
            Command::Runs(runs) => runs.run(),
            Command::Site(site) => site.run(),
            Command::Letter(letter) => letter.run(),
            Command::Plan(plan) => plan.run(),
            Command::Explain(explain) => explain.run(),
            Command::Diff(diff) => diff.run(),
            Command::Reproduce(reproduce) => reproduce.run(),
            Command::Toolchain(toolchain) => toolchain.run(),
            Command::Cache(cache) => cache.run(),
            Command::Clean(clean) => clean.run(),
            Command::Doctor(doctor) => doctor.run(),
            Command::Completions(completions) => completions.run(),
        };
        let (code, text) = match done {
            Ok(code) => return code,
            Err(Failure::Refused(text)) => (1, text),
            Err(Failure::Usage(text)) => (2, text),
            Err(Failure::Internal(text)) => (70, text),
            Err(Failure::Interrupted(text)) => (130, text),
        };
        for (at, line) in text.lines().enumerate() {
            // A line that may be a stranger's does not begin with what is theirs.
            let mark = if at == 0 {
                "error: "
            } else if line.starts_with("help: ") {
                ""
            } else {
                "  | "
            };
            eprintln!("{mark}{}", Foreign::from(line));
        }
        ExitCode::from(code)
    }
}
