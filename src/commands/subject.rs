//! What `recrate verify` and `recrate plan` work on, and the work itself: crates to records and a plan.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::Failure;
use super::setting::Setting;
use crate::edges::console::Console;
use crate::edges::run_directory::RunDirectory;
use crate::lab::{Error, INTERRUPTED};
use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::stages::lock::{self, Locked, LockedCrate, RegistryName};
use crate::stages::plan::Plan;
use crate::stages::report::OUT;
use crate::stages::verdict::Record;

/// Crates, and how they are rebuilt.
#[derive(Debug, Clone, clap::Args)]
pub struct Subject {
    /// A Cargo.lock (`-` for standard input), or crates as NAME@VERSION
    /// [default: Cargo.lock]
    #[arg(value_name = "LOCK|NAME@VERSION")]
    what: Vec<String>,
    /// Folder of the run: records, logs, plan and report
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    setting: Setting,
}

/// What working on a subject came to.
#[derive(Debug)]
pub struct Done {
    /// A record of each crate.
    pub records: Vec<Record>,
    /// The recipes of the verdicts.
    pub plan: Plan,
    /// The run directory, still locked.
    pub run: RunDirectory,
}

impl Subject {
    /// Folder of the run.
    #[must_use]
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Whether crates or a lock file were named.
    #[must_use]
    pub fn is_given(&self) -> bool {
        !self.what.is_empty()
    }

    /// Takes crates through all stages. What was done before in the same run directory is not done again.
    ///
    /// # Errors
    /// Where the run directory can't be used or the machinery fails.
    pub fn work(&self, locked: &Locked, folder: &Path) -> Result<Done, Failure> {
        let lab = self.setting.lab(folder)?;
        let (git, online) = (&lab.git.mirrors, lab.network.is_some());
        let decides = format!("{:?} {git:?} {online} {:?} {:?}", locked.crates, lab.available, lab.builder.pin);
        self.run(&decides, folder, locked.crates.len(), |run, console| lab.verify(locked, run, console))
    }

    /// Builds and judges what a plan says.
    ///
    /// # Errors
    /// Where the plan is for other machines, the run directory can't be used or the machinery fails.
    pub fn replay(&self, plan: &Plan, folder: &Path) -> Result<Done, Failure> {
        let lab = self.setting.lab(folder)?;
        lab.can_build(plan).map_err(Failure::usage)?;
        let crates = plan.rebuilds.len() + plan.settled.len();
        self.run(&plan.to_json(), folder, crates, |run, console| lab.replay(plan, run, console))
    }

    fn run(
        &self,
        decides: &str,
        folder: &Path,
        crates: usize,
        work: impl FnOnce(&RunDirectory, &Console) -> Result<(Vec<Record>, Plan), Error>,
    ) -> Result<Done, Failure> {
        let ((records, plan), run) = in_run(&self.out, decides, folder, crates, self.quiet, work)?;
        Ok(Done { records, plan, run })
    }

    /// The crates to verify, and the folder whose cargo configuration counts.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn read(&self) -> Result<(Locked, PathBuf), Failure> {
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
        let what = match self.what.as_slice() {
            [] => "Cargo.lock",
            [what] => what,
            _ => return Err(Failure::usage("give one lock file, or crates as NAME@VERSION")),
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

/// Does something in a run directory, with progress and ^C. `decides` tells runs apart that may not go on from each
/// other, `folder` is whose configuration counts.
///
/// # Errors
/// Where the run directory can't be used or the machinery fails.
pub fn in_run<T>(
    out: &Path,
    decides: &str,
    folder: &Path,
    crates: usize,
    quiet: bool,
    work: impl FnOnce(&RunDirectory, &Console) -> Result<T, Error>,
) -> Result<(T, RunDirectory), Failure> {
    let fingerprint = Sha256::of(decides.as_bytes());
    let run = RunDirectory::open(out, fingerprint, folder).map_err(Failure::usage)?;
    // A second ^C ends the program at once, as ever.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("ending what is under way; ^C again ends at once");
    });
    let console = Console::new(crates, quiet);
    let done = work(&run, &console);
    console.finish();
    match done {
        Ok(done) => Ok((done, run)),
        Err(Error::Interrupted) => Err(Failure::Interrupted(Error::Interrupted.to_string())),
        Err(other) => Err(Failure::machinery(other)),
    }
}
