//! `recrate verify`: a lock file, or one crate, to a report.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use super::Failure;
use super::setting::Setting;
use crate::edges::cache::write_whole;
use crate::edges::console::{Console, colours_on_stdout, print};
use crate::edges::run_directory::RunDirectory;
use crate::lab::{Error, INTERRUPTED};
use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::stages::lock::{self, Locked, LockedCrate, RegistryName};
use crate::stages::report::{OUT, Report};
use crate::stages::verdict::{Exit, Level};

/// Verify the crates of a lock file, or a single crate.
///
/// Every registry crate gets a verdict; git and path packages are listed as skipped. What is finished is kept in the
/// run directory as it comes: after an interruption, the same command goes on from there. Builds that the Nix store
/// has are not built again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    nothing is worse than --accept
  1    a crate is worse
  2    wrong use or unreadable input
  3    nothing is worse, but some crates could not be told
  4    there was nothing to verify
  70   the machinery failed
  130  interrupted

Examples:
  recrate verify                                  the Cargo.lock of this folder
  recrate verify itoa@1.0.18                      one crate, without a lock file
  recrate verify --format json > report.json      for programs
  recrate verify --git-mirror https://github.com/=ssh://git@git.example/mirrors/")]
pub struct Verify {
    /// A Cargo.lock (`-` for standard input), or crates as NAME@VERSION
    #[arg(value_name = "LOCK|NAME@VERSION", default_value = "Cargo.lock")]
    what: Vec<String>,
    /// The weakest verdict that is good enough
    #[arg(long, value_name = "VERDICT", default_value = "archive-differs")]
    accept: Level,
    /// Form of the report on standard output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Write the plan, with which anybody can build the same, to FILE
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Folder of the run: records, logs, plan and report
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    setting: Setting,
}

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: see docs/report.schema.json.
    Json,
}

impl Verify {
    /// Verifies and prints the report.
    ///
    /// # Errors
    /// Where the input can't be read or the machinery fails.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let (locked, folder) = self.read()?;
        if locked.crates.is_empty() {
            return self.print(&Report::new(Vec::new(), &locked.skipped, self.accept), Exit::Nothing);
        }
        let lab = self.setting.lab(&folder)?;
        let (git, online) = (&lab.git.mirrors, lab.network.is_some());
        let decides = format!("{:?} {git:?} {online} {:?} {:?}", locked.crates, lab.available, lab.builder.pin);
        let fingerprint = Sha256::of(decides.as_bytes());
        let run = RunDirectory::open(&self.out, fingerprint, &folder).map_err(Failure::usage)?;
        // A second ^C ends the program at once, as ever.
        let _ = ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("ending what is under way; ^C again ends at once");
        });
        let console = Console::new(locked.crates.len(), self.quiet);
        let verified = lab.verify(&locked.crates, &run, &console);
        console.finish();
        let (records, plan) = verified.map_err(|error| match error {
            Error::Interrupted => Failure::Interrupted(error.to_string()),
            other => Failure::machinery(other),
        })?;
        if let Some(path) = &self.plan {
            write_whole(path, plan.to_json().as_bytes()).map_err(Failure::machinery)?;
        }
        let exit = Exit::of(records.iter().map(|record| record.verdict.level()), self.accept);
        let report = Report::new(records, &locked.skipped, self.accept);
        run.write("report.json", &report.to_json()).map_err(Failure::machinery)?;
        self.print(&report, exit)
    }

    fn print(&self, report: &Report, exit: Exit) -> Result<ExitCode, Failure> {
        let text = match self.format {
            Format::Text => report.to_text(&self.out, colours_on_stdout()),
            Format::Json => report.to_json(),
        };
        print(&text).map_err(Failure::machinery)?;
        Ok(ExitCode::from(exit.code()))
    }

    /// The crates to verify, and the folder whose cargo configuration counts.
    fn read(&self) -> Result<(Locked, PathBuf), Failure> {
        let here = std::env::current_dir().map_err(Failure::machinery)?;
        if self.what.iter().any(|what| what.contains('@') && !Path::new(what).exists()) {
            let mut crates = Vec::new();
            for what in &self.what {
                let id: CrateId = what.parse().map_err(Failure::usage)?;
                crates.push(LockedCrate { id, registry: RegistryName::Default, checksum: None });
            }
            crates.sort_by(|a, b| a.id.cmp(&b.id));
            crates.dedup();
            return Ok((Locked { crates, skipped: Vec::new() }, here));
        }
        let [what] = self.what.as_slice() else {
            return Err(Failure::usage("give one lock file, or crates as NAME@VERSION"));
        };
        let (text, folder) = if what == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(Failure::usage)?;
            (text, here)
        } else {
            let text = std::fs::read_to_string(what).map_err(|error| {
                Failure::usage(format!(
                    "failed to read {what}: {error}; give the path of a Cargo.lock, or NAME@VERSION"
                ))
            })?;
            let path = std::path::absolute(what).map_err(Failure::usage)?;
            (text, path.parent().unwrap_or(&here).to_owned())
        };
        let locked = lock::read(&text).map_err(|error| Failure::usage(format!("{what}: {error}")))?;
        Ok((locked, folder))
    }
}
