//! What `recrate verify` and `recrate plan` work on, and the work itself: packages to records and a plan.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde::Serialize;

use super::Failure;
use super::build_options::BuildOptions;
use crate::edges::console::{Console, Detail};
use crate::edges::nix;
use crate::edges::results::NewRun;
use crate::edges::run_directory::{self, RunDirectory};
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;
use crate::model::package::{PackageKey, RegistryName};
use crate::pipeline::context::{Context, Error, INTERRUPTED};
use crate::pipeline::run_key::Work;
use crate::stages::history::Word;
use crate::stages::lock::{self, Locked, LockedPackage};
use crate::stages::plan::Plan;
use crate::stages::policy::project::ProjectPolicy;
use crate::stages::record::Record;
use crate::stages::report::{OUT, Report};

/// Packages, and how they are rebuilt.
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
    /// Show what each package took: time, bytes from servers and builds. A text report has all findings then
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    options: BuildOptions,
}

/// What a subject is, once it was read.
#[derive(Debug)]
pub struct Read {
    /// The packages.
    pub locked: Locked,
    /// Whether a lock file names them.
    pub from_lock_file: bool,
    /// The folder whose cargo configuration counts.
    pub folder: PathBuf,
    /// The lock file, where one was named.
    pub lock: Option<LockText>,
}

/// A lock file as it was named and as it is written.
#[derive(Debug)]
pub struct LockText {
    /// Its path, as the user named it; none for standard input.
    pub path: Option<PathBuf>,
    /// What it says.
    pub text: String,
}

/// What working on a subject came to.
#[derive(Debug)]
pub struct Done {
    /// A record of each package.
    pub records: Vec<Record>,
    /// What was needed of the outside world.
    pub context: Context,
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

    /// Whether to show more than usual.
    #[must_use]
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// What the configuration file requires and accepts, for packages of a lock file in `folder`.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn project(&self, folder: &Path) -> Result<ProjectPolicy, Failure> {
        self.options.project(folder)
    }

    /// Adds a run to what earlier ones found. That this can't be done is told, and nothing fails for it.
    pub fn remember(&self, done: &Done, report: &Report, from_plan: bool) {
        let found: Vec<_> = report.packages.iter().map(|entry| (&entry.record, entry.decision.name())).collect();
        let what = if self.what.is_empty() { "Cargo.lock".to_owned() } else { self.what.join(" ") };
        let pins = serde_json::to_vec(&done.context.programs.pins()).unwrap_or_default();
        let run = NewRun {
            finished: Timestamp::now().round(Unit::Second).unwrap_or_default(),
            recrate: &report.recrate,
            programs: Sha256::of(&pins),
            subject: what.into(),
            plan: Sha256::of(done.plan.to_json().as_bytes()),
            outcome: report.outcome().unwrap_or("nothing"),
            word: if from_plan { Word::Plan } else { done.context.word },
        };
        let added = self.options.results().and_then(|mut results| results.add(&run, &found).map_err(Failure::internal));
        if let Err(failure) = added {
            eprintln!("note: this run is not in the history: {}", Foreign::from(failure.text()));
        }
    }

    /// The configuration file, where one was named.
    #[must_use]
    pub fn config(&self) -> Option<&Path> {
        self.options.config()
    }

    /// Whether crates or a lock file were named.
    #[must_use]
    pub fn is_given(&self) -> bool {
        !self.what.is_empty()
    }

    /// Verifies packages. What was done before in the same run directory, under the same circumstances, is not done again.
    ///
    /// # Errors
    /// Where the run directory can't be used, or recrate or the machine is at fault.
    pub fn verify(&self, read: &Read) -> Result<Done, Failure> {
        self.work(read, Work::Verify(&read.locked))
    }

    /// The same in order to plan.
    ///
    /// # Errors
    /// See [`Subject::verify`].
    pub fn plan(&self, read: &Read) -> Result<Done, Failure> {
        self.work(read, Work::Plan(&read.locked))
    }

    fn work(&self, read: &Read, work: Work<'_>) -> Result<Done, Failure> {
        let Read { locked, from_lock_file, folder, .. } = read;
        let context = self.options.context(folder)?;
        let registries = locked.packages.iter().map(|package| package.key.registry.clone());
        let key = context.run_key(work, registries);
        let ((records, plan), run) = self.in_run(&key, folder, locked.packages.len(), |run, console| {
            context.notices.iter().for_each(|notice| console.warn(notice));
            context.verify(locked, *from_lock_file, run, console)
        })?;
        Ok(Done { records, context, plan, run })
    }

    /// Builds and judges what a plan says.
    ///
    /// # Errors
    /// Where the plan is for other machines, the run directory can't be used, or recrate or the machine is at fault.
    pub fn replay(&self, plan: &Plan, folder: &Path) -> Result<Done, Failure> {
        let context = self.options.context(folder)?;
        context.can_build(plan).map_err(Failure::usage)?;
        let registries = plan.packages.values().map(|package| package.key.registry.clone());
        let key = context.run_key(Work::replay(plan), registries);
        let ((records, plan), run) =
            self.in_run(&key, folder, plan.packages.len(), |run, console| context.replay(plan, run, console))?;
        Ok(Done { records, context, plan, run })
    }

    /// [`in_run`] in the run directory and as loud as was asked for.
    fn in_run<T>(
        &self,
        key: &impl Serialize,
        folder: &Path,
        packages: usize,
        work: impl FnOnce(&RunDirectory, &Console) -> Result<T, Error>,
    ) -> Result<(T, RunDirectory), Failure> {
        in_run(&self.out, key, folder, packages, Detail::of(self.quiet, self.verbose), work)
    }

    /// The packages to verify.
    ///
    /// # Errors
    /// Where they can't be read.
    pub fn read(&self) -> Result<Read, Failure> {
        let here = std::env::current_dir().map_err(Failure::internal)?;
        if self.what.iter().any(|what| what.contains('@') && !Path::new(what).exists()) {
            let mut packages = Vec::new();
            for what in &self.what {
                let id: CrateId = what.parse().map_err(Failure::usage)?;
                packages.push(LockedPackage { key: PackageKey::new(RegistryName::Default, id), checksum: None });
            }
            packages.sort();
            packages.dedup();
            let locked = Locked { packages, skipped: Vec::new() };
            return Ok(Read { locked, from_lock_file: false, folder: here, lock: None });
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
                    "failed to read {what}: {error}\nhelp: give the path of a Cargo.lock, or NAME@VERSION"
                ))
            })?;
            let path = std::path::absolute(what).map_err(Failure::usage)?;
            (text, path.parent().unwrap_or(&here).to_owned())
        };
        let locked = lock::read(&text).map_err(|error| Failure::usage(format!("{what}: {error}")))?;
        let path = (what != "-").then(|| PathBuf::from(what));
        Ok(Read { locked, from_lock_file: true, folder, lock: Some(LockText { path, text }) })
    }
}

/// How long an interrupted run may take to end in order.
const MOMENT: Duration = Duration::from_millis(800);

/// Does something in a run directory, with progress and ^C. Only runs with the same `key` go on from each other; `folder` is
/// whose configuration counts.
///
/// # Errors
/// Where the run directory can't be used, or recrate or the machine is at fault.
pub fn in_run<T>(
    out: &Path,
    key: &impl Serialize,
    folder: &Path,
    packages: usize,
    detail: Detail,
    work: impl FnOnce(&RunDirectory, &Console) -> Result<T, Error>,
) -> Result<(T, RunDirectory), Failure> {
    let run = RunDirectory::open(out, key, folder).map_err(|error| match error {
        // A disk that is full is not the user's mistake.
        run_directory::Error::File(error) => Failure::internal(error),
        error => Failure::usage(error),
    })?;
    // Whatever is under way is given a moment: what is half done counts for nothing, and nobody likes to wait for a server. A
    // second ^C ends the program at once, as ever.
    let _ = ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("stopping; ^C again stops at once");
        nix::stop_builds();
        std::thread::spawn(|| {
            std::thread::sleep(MOMENT);
            eprintln!("error: {}", Error::Interrupted);
            std::process::exit(130);
        });
    });
    let console = Console::new(packages, detail);
    let done = work(&run, &console);
    console.finish();
    match done {
        Ok(done) => Ok((done, run)),
        Err(Error::Interrupted) => Err(Failure::Interrupted(Error::Interrupted.to_string())),
        Err(other) => Err(Failure::internal(other)),
    }
}
