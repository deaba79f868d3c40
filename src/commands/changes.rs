//! `recrate changes`: what an update of a crate is, from the commits of both versions.

use std::process::ExitCode;

use semver::Version;

use super::Failure;
use super::build_options::BuildOptions;
use super::subject::in_run;
use crate::edges::console::{Detail, colours_on_stdout, print};
use crate::model::foreign::Foreign;
use crate::model::krate::{CrateId, CrateName};
use crate::model::package::{PackageKey, RegistryName};
use crate::pipeline::run_key::Work;
use crate::pipeline::updates::Compared;
use crate::stages::changes::{Change, diff, range, stat_text};
use crate::stages::lock::{Locked, LockedPackage, registry_of};

/// Show what an update of a crate is: the diff of its files between the commits of two versions.
///
/// Both versions are verified first: only where each is what its commit gives, a diff of the commits is one of what is
/// published. It has the files of the package's folder, those that are not published among them, and what of the published
/// crates does not lie there: the manifest as cargo wrote it, Cargo.lock, what links lead to. Control characters are shown
/// escaped.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    shown
  1    one of the versions is not shown to be what its commit gives
  2    usage error
  70   recrate or the machine is at fault
  130  interrupted

Examples:
  recrate changes itoa 1.0.17 1.0.18
  recrate changes itoa 1.0.17 1.0.18 --stat")]
pub struct Changes {
    /// The crate
    #[arg(value_name = "NAME")]
    name: CrateName,
    /// The version before
    #[arg(value_name = "FROM")]
    from: Version,
    /// The version after
    #[arg(value_name = "TO")]
    to: Version,
    /// The registry that the crate is from: as in Cargo.lock, or `default`
    #[arg(long, value_name = "REGISTRY", default_value = "default", value_parser = registry_of)]
    registry: RegistryName,
    /// Show only which files changed, and by how many lines
    #[arg(long)]
    stat: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    options: BuildOptions,
}

impl Changes {
    /// Prints the range, what changed and the diff.
    ///
    /// # Errors
    /// Where recrate or the machine is at fault.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        if self.from == self.to {
            return Err(Failure::usage("FROM and TO are the same version"));
        }
        let key = |version: &Version| {
            PackageKey::new(self.registry.clone(), CrateId { name: self.name.clone(), version: version.clone() })
        };
        let (from, to) = (key(&self.from), key(&self.to));
        let mut packages: Vec<LockedPackage> =
            [&from, &to].map(|key| LockedPackage { key: key.clone(), checksum: None }).into();
        packages.sort();
        let locked = Locked { packages, skipped: Vec::new() };
        let here = std::env::current_dir().map_err(Failure::internal)?;
        let context = self.options.context(&here)?;
        // Nobody goes on with such a run: the diff is all of it.
        let place = tempfile::tempdir().map_err(Failure::internal)?;
        let registries = locked.packages.iter().map(|package| package.key.registry.clone());
        let run_key = context.run_key(Work::Verify(&locked), registries);
        let out = place.path().join("run");
        let ((records, _), run) = in_run(&out, &run_key, &here, 2, Detail::of(self.quiet, false), |run, console| {
            context.verify(&locked, false, run, console)
        })?;
        let record = |key: &PackageKey| records.iter().find(|record| record.key == *key);
        let (Some(before), Some(after)) = (record(&from), record(&to)) else {
            return Err(Failure::internal("a version has no record"));
        };
        drop(run);
        let Compared { change, files } = match context.compare_versions(before, after) {
            Ok(compared) => compared,
            Err(reason) => {
                let registry =
                    if self.registry == RegistryName::Default { String::new() } else { " of its lock file".into() };
                let help = format!("`recrate verify {from} {to}`{registry} shows what was found");
                eprintln!("error: {}\nhelp: {help}", Foreign::from(reason));
                return Ok(ExitCode::FAILURE);
            }
        };
        let mut text = String::new();
        for record in [before, after] {
            text += &format!("{}: {}\n", record.key, record.verdict());
        }
        if let Change::Known { from, to, files } = change {
            text += &format!("{}\n\n", range(&from, &to));
            stat_text(&files, usize::MAX).iter().for_each(|line| text += &format!("  {line}\n"));
        }
        if !self.stat {
            text.push('\n');
            text += &diff(&files, colours_on_stdout());
        }
        print(&text).map_err(Failure::internal)?;
        Ok(ExitCode::SUCCESS)
    }
}
