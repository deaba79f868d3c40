//! `recrate verify`: a lock file, one crate or a plan, to a report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Failure;
use super::baseline::Baseline;
use super::format::{self, Output};
use super::subject::{Done, Read, Subject};
use crate::edges::console::colours_on_stdout;
use crate::edges::parallel::in_parallel;
use crate::edges::run_directory::RunDirectory;
use crate::model::package::PackageKey;
use crate::stages::changes::{ChangedSince, changed, predecessors};
use crate::stages::claims::{Cause, Missing, Obstacle};
use crate::stages::coverage;
use crate::stages::judge::judge_obstacle;
use crate::stages::lock::lines::lines;
use crate::stages::lock::{Locked, LockedPackage, SkippedKind};
use crate::stages::pages::report::{View as PageView, of_report};
use crate::stages::plan::Plan;
use crate::stages::policy::BuiltIn;
use crate::stages::policy::project::ProjectPolicy;
use crate::stages::policy::review::Scope;
use crate::stages::record::Record;
use crate::stages::report::text::View;
use crate::stages::report::{Basis, Report};

/// Verify the packages of a lock file, or a single crate.
///
/// Builds each package again from its git commit, in the Nix sandbox, and compares. Git and path packages are listed as
/// not published. What is finished is kept in the run directory as it comes: after an interruption, the same command goes
/// on from there. Builds that the Nix store has are not built again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    the policy accepts every package, or a waiver or rule does, or nothing has changed
  1    it rejects a package
  2    usage error or unreadable input
  3    it rejects none, but some are undetermined
  4    there was nothing to verify
  70   recrate or the machine is at fault
  130  interrupted

Examples:
  recrate verify                                  the Cargo.lock of this folder
  recrate verify itoa@1.0.18                      one crate, without a lock file
  recrate verify --format json > report.json      for programs
  recrate verify --changed-since origin/main      only the crates that a pull request changes
  recrate verify --from-plan plan.json Cargo.lock what a plan says, and whether it covers the lock file
  recrate verify --git-mirror https://github.com/=ssh://git@git.example/mirrors/")]
pub struct Verify {
    /// The policy: what is required of a package, in place of `[policy]` in recrate.toml; waivers and rules count all the same
    /// [default: what recrate.toml requires, or default]
    #[arg(long, value_name = "POLICY")]
    accept: Option<BuiltIn>,
    /// Form of the report on standard output, or in a file: text, json, junit, sarif, markdown or github. Can be given several times
    #[arg(long, value_name = "FORMAT[=FILE]")]
    format: Vec<Output>,
    /// Verify only the packages that another lock file does not have, and those for which recrate.toml was changed, since a git
    /// revision, like origin/main, or another lock file. What is new and undetermined does not pass, unless
    /// recrate.toml has `undetermined` and `undetermined-when-new` as "warn"
    #[arg(long, value_name = "REV|LOCK", conflicts_with = "from_plan")]
    changed_since: Option<String>,
    /// Verify what the plan in FILE says, without any search. With a LOCK, packages that the plan does not cover are
    /// undetermined. What the plan says of registry and repositories is asked again, unless --offline is set
    #[arg(long, value_name = "FILE")]
    from_plan: Option<PathBuf>,
    #[command(flatten)]
    subject: Subject,
}

impl Verify {
    /// Verifies and prints the report.
    ///
    /// # Errors
    /// Where the input can't be read, or recrate or the machine is at fault.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        format::check(&self.format)?;
        if let Some(path) = &self.from_plan {
            return self.replay(path);
        }
        let read = self.subject.read()?;
        let mut basis = self.basis(Some(&read), &read.folder)?;
        basis.skipped.clone_from(&read.locked.skipped);
        if let Some(since) = &self.changed_since {
            return self.verify_changed(since, read, basis);
        }
        if read.locked.packages.is_empty() {
            return self.print(&Report::new(Vec::new(), basis), &read);
        }
        let mut done = self.subject.verify(&read)?;
        basis.notices.append(&mut done.context.notices);
        let report = Report::new(std::mem::take(&mut done.records), basis);
        self.finish(&done, &report)?;
        self.print(&report, &read)
    }

    /// Verifies only what another lock file does not have, and says what updates are.
    fn verify_changed(&self, since: &str, mut read: Read, mut basis: Basis) -> Result<ExitCode, Failure> {
        let Some(lock) = &read.lock else {
            return Err(Failure::usage("--changed-since compares lock files: name a Cargo.lock"));
        };
        let mut baseline = Baseline::read(since, lock, self.subject.config(), &read.folder, self.accept)?;
        basis.notices.append(&mut baseline.notices);
        // What nobody can look at is no news where it was there before, and decided on as it is now.
        let policy_changed = baseline.policy_changed();
        basis.skipped.retain(|skipped| policy_changed || !baseline.locked.skipped.contains(skipped));
        let from_git = basis
            .skipped
            .iter()
            .filter(|skipped| skipped.kind == SkippedKind::Git && !baseline.locked.skipped.contains(skipped));
        basis.notices.extend(from_git.map(|skipped| {
            let source = skipped.source.clone().unwrap_or_default();
            format!("new, and not looked at: {} {} from {source}", skipped.name, skipped.version)
        }));
        let locked = std::mem::take(&mut read.locked.packages);
        let whole = Locked { packages: locked, skipped: read.locked.skipped.clone() };
        let new = changed(&whole, &baseline.locked);
        let before = predecessors(&new, &baseline.locked);
        basis.new = new.into_iter().map(|package| package.key.clone()).collect();
        // What nobody looked at since a waiver or rule was changed is not as it was.
        let (wanted, others): (Vec<&LockedPackage>, Vec<&LockedPackage>) = whole
            .packages
            .iter()
            .partition(|package| basis.new.contains(&package.key) || baseline.needs_recheck(&package.key));
        basis.changed_since = Some(ChangedSince { since: since.into(), unchanged: others.len() });
        basis.scope = Scope::AllBut(others.into_iter().map(|package| package.key.clone()).collect());
        let wanted: BTreeSet<PackageKey> = wanted.into_iter().map(|package| package.key.clone()).collect();
        let mut packages: Vec<LockedPackage> =
            whole.packages.iter().filter(|package| wanted.contains(&package.key)).cloned().collect();
        // A version before that is looked at as the lock file has it now is not looked at as it was: its checksum may be another.
        packages
            .extend(before.values().filter(|package| !wanted.contains(&package.key)).map(|package| (*package).clone()));
        packages.sort();
        packages.dedup();
        if packages.is_empty() {
            let report = Report::new(Vec::new(), basis);
            let run =
                RunDirectory::open(self.subject.out(), &"nothing changed", &read.folder).map_err(Failure::usage)?;
            run.write("report.json", &report.to_json()).map_err(Failure::internal)?;
            return self.print(&report, &read);
        }
        read.locked.packages = packages;
        read.from_lock_file = false;
        let mut done = self.subject.verify(&read)?;
        let records = std::mem::take(&mut done.records);
        let by_key: BTreeMap<&PackageKey, &Record> = records.iter().map(|record| (&record.key, record)).collect();
        let as_it_was = |package: &LockedPackage| {
            let record = by_key.get(&package.key).copied();
            record.filter(|record| package.checksum.is_none_or(|checksum| record.checksum == Some(checksum)))
        };
        let updated = before.iter().filter_map(|(key, before)| Some((key, as_it_was(before)?, *by_key.get(key)?)));
        let updates = in_parallel(done.context.workers, updated.collect(), |(key, from, to)| {
            (key.clone(), done.context.update(from, to))
        });
        basis.updates = updates.into_iter().collect();
        basis.notices.append(&mut done.context.notices);
        let records = records.into_iter().filter(|record| wanted.contains(&record.key)).collect();
        let report = Report::new(records, basis);
        self.finish(&done, &report)?;
        self.print(&report, &read)
    }

    /// Writes the report and its page into the run directory, and what was found into the history.
    fn finish(&self, done: &Done, report: &Report) -> Result<(), Failure> {
        let records = report.packages.iter().map(|entry| &entry.record);
        let diffs = done.context.differences(records, done.run.path());
        let view = PageView { out: Some(self.subject.out()), day: Some(today()), diffs: &diffs };
        done.run.write("report.html", &of_report(report, view)).map_err(Failure::internal)?;
        done.run.write("report.json", &report.to_json()).map_err(Failure::internal)?;
        self.subject.remember(done, report, self.from_plan.is_some());
        Ok(())
    }

    /// What the report is about, as far as it is known before the work.
    fn basis(&self, read: Option<&Read>, folder: &Path) -> Result<Basis, Failure> {
        let mut project = self.subject.project(folder)?;
        if let Some(accept) = self.accept {
            project.policy = ProjectPolicy::of(accept).policy;
        }
        let lock = read.and_then(|read| read.lock.as_ref());
        let lines = lock.map(|lock| lines(&lock.text)).unwrap_or_default();
        let scope = lock.map_or(Scope::Part, |_| Scope::AllBut(BTreeSet::new()));
        Ok(Basis { project, today: Some(today()), lines, scope, ..Basis::default() })
    }

    fn replay(&self, path: &Path) -> Result<ExitCode, Failure> {
        let named = |error: String| Failure::usage(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| {
            named(format!("{error}\nhelp: `recrate plan --output {}` writes a plan", path.display()))
        })?;
        let plan = Plan::read(&text).map_err(named)?;
        let read = if self.subject.is_given() { Some(self.subject.read()?) } else { None };
        let locked = read.as_ref().map(|read| &read.locked);
        let uncovered = locked.map(|locked| uncovered(locked, &plan)).unwrap_or_default();
        let mut notices = Vec::new();
        match locked {
            None => notices.push(
                "the plan was not compared with a Cargo.lock: name it to notice when it is out of date".to_owned(),
            ),
            Some(locked)
                if read.as_ref().is_some_and(|read| read.from_lock_file)
                    && plan.lockfile != Some(coverage::digest(locked)) =>
            {
                notices.push("the plan was made for another Cargo.lock: `recrate plan` writes a new one".to_owned());
            }
            Some(_) => {}
        }
        let obstacles = plan.packages.len() - plan.rebuilds().count();
        if obstacles > 0 {
            notices.push(format!(
                "why {obstacles} of the plan's packages can't be rebuilt is what its author says: `recrate verify` without \
                 --from-plan looks for itself"
            ));
        }
        let mut skipped = plan.skipped.clone();
        skipped.extend(locked.into_iter().flat_map(|locked| locked.skipped.iter().cloned()));
        skipped.sort();
        skipped.dedup();
        // Never beside the plan: somebody else may have written what lies there.
        let here = std::env::current_dir().map_err(Failure::internal)?;
        let folder = read.as_ref().map_or(here, |read| read.folder.clone());
        let basis = Basis { skipped, notices, ..self.basis(read.as_ref(), &folder)? };
        let lock = read.as_ref().and_then(|read| read.lock.as_ref()).and_then(|lock| lock.path.as_deref());
        if plan.packages.is_empty() {
            return self.show(&Report::new(uncovered, basis), lock);
        }
        let mut done = self.subject.replay(&plan, &folder)?;
        let mut records = std::mem::take(&mut done.records);
        records.extend(uncovered);
        let report = Report::new(records, basis);
        self.finish(&done, &report)?;
        self.show(&report, lock)
    }

    fn print(&self, report: &Report, read: &Read) -> Result<ExitCode, Failure> {
        self.show(report, read.lock.as_ref().and_then(|lock| lock.path.as_deref()))
    }

    fn show(&self, report: &Report, lock: Option<&Path>) -> Result<ExitCode, Failure> {
        let view =
            View { out: Some(self.subject.out()), verbose: self.subject.is_verbose(), colour: colours_on_stdout() };
        format::write(&self.format, report, view, lock)?;
        Ok(ExitCode::from(report.exit().code()))
    }
}

/// The day, in UTC.
pub fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// The packages of a lock file that a plan does not cover: undetermined.
fn uncovered(locked: &Locked, plan: &Plan) -> Vec<Record> {
    let covered = |package: &&LockedPackage| {
        let planned = plan.packages.get(&package.key.job());
        planned.is_some_and(|planned| package.checksum.is_none_or(|checksum| planned.checksum == Some(checksum)))
    };
    let missing = locked.packages.iter().filter(|package| !covered(package));
    missing
        .map(|package| {
            let reason =
                format!("the plan has no {} with the lock file's checksum: run `recrate plan` again", package.key);
            let cause = Cause::Impossible { missing: Missing::Planned, reason: reason.into() };
            let findings = judge_obstacle(&Obstacle { cause, origin: None }, false);
            Record::new(package.key.clone(), package.checksum, findings)
        })
        .collect()
}
