//! `recrate reproduce`: one crate once more, with the recipe in plain Nix commands.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Failure;
use super::setting::Setting;
use super::subject::in_run;
use crate::edges::console::print;
use crate::lab::reproduce::{Again, Reproduced};
use crate::model::krate::CrateId;
use crate::model::release::Minor;
use crate::stages::plan::Plan;
use crate::stages::report::OUT;
use crate::stages::verdict::Level;

/// Rebuild one crate of a run or a plan again, and tell how anybody can.
///
/// Three questions, each with its own answer: is the rebuild deterministic here (it is built a second time, and Nix
/// compares); does it equal the registry's crate; do others get the same (for them to tell: the hash to compare is
/// printed). With --export, a bundle lets others answer it with Nix alone, without recrate and without network.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    it is deterministic here and equals the registry's
  1    it is not, or does not
  2    wrong use or unreadable input
  70   the machinery failed
  130  interrupted

Examples:
  recrate reproduce itoa@1.0.18                        from the run in recrate.out
  recrate reproduce itoa@1.0.18 --plan plan.json
  recrate reproduce itoa@1.0.18 --export bundle        the bundle's README has the three commands that use it")]
pub struct Reproduce {
    /// The crate
    #[arg(value_name = "NAME@VERSION")]
    krate: CrateId,
    /// Folder of the run of `recrate verify` that has it
    #[arg(long, value_name = "DIR", default_value = OUT, conflicts_with = "plan")]
    run: PathBuf,
    /// A plan that has it
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Write a bundle that reproduces the verdict elsewhere to DIR
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// Folder for the recipe: plan and nix/plan.nix
    #[arg(long, value_name = "DIR", default_value = "recrate.reproduce")]
    out: PathBuf,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    setting: Setting,
}

impl Reproduce {
    /// Rebuilds and prints; the exit status is 0 where all is well.
    ///
    /// # Errors
    /// Where there is no such crate in the plan, or the machinery fails.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let file = self.plan.clone().unwrap_or_else(|| self.run.join("plan.json"));
        let plan = self.read(&file)?;
        let folder = self.folder(&file)?;
        let lab = self.setting.lab(&folder)?;
        lab.can_build(&plan).map_err(Failure::usage)?;
        let decides = format!("reproduce {}", plan.to_json());
        let bundle = self.export.as_deref().map(std::path::absolute).transpose().map_err(Failure::usage)?;
        if let Some(bundle) = bundle.as_deref().filter(|bundle| !is_free(bundle)) {
            return Err(Failure::usage(format!("{} is not empty: give another folder", bundle.display())));
        }
        let (done, _) = in_run(&self.out, &decides, &folder, 1, self.quiet, |run, console| {
            let (done, plan) = lab.reproduce(&plan, run, console)?;
            if let Some(bundle) = &bundle {
                console.stage("writing the bundle");
                lab.export(&plan, run, bundle)?;
            }
            Ok(done)
        })?;
        print(&self.describe(&plan, &done)).map_err(Failure::machinery)?;
        let fine = done.again == Some(Again::Same) && done.record.verdict.level() == Level::Reproduced;
        Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The part of the plan that is about the crate.
    fn read(&self, file: &Path) -> Result<Plan, Failure> {
        let id = &self.krate;
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::usage(format!("{}: {error}; run `recrate verify {id}` first, or give --plan", file.display()))
        })?;
        let plan = Plan::read(&text).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
        let job = id.job();
        if let Some(record) = plan.settled.get(&job) {
            let level = record.verdict.level();
            return Err(Failure::usage(format!("there is nothing to rebuild of {id}: it is {level}")));
        }
        if !plan.rebuilds.contains_key(&job) {
            return Err(Failure::usage(format!("{} has no {id}", file.display())));
        }
        Ok(plan.only(&[job.as_str()].into()))
    }

    /// The folder whose cargo and recrate configuration counts: that of the run, or of the plan.
    fn folder(&self, file: &Path) -> Result<PathBuf, Failure> {
        let run = crate::edges::run_directory::read_folder(&self.run).filter(|_| self.plan.is_none());
        let absolute = std::path::absolute(file).map_err(Failure::usage)?;
        Ok(run.unwrap_or_else(|| absolute.parent().unwrap_or(&absolute).to_owned()))
    }

    fn describe(&self, plan: &Plan, done: &Reproduced) -> String {
        let Reproduced { hermetic, record, again, nar_hash } = done;
        let id = &self.krate;
        let place = std::path::absolute(&self.out).unwrap_or_else(|_| self.out.clone());
        let place = place.display();
        let mut text = String::new();
        let cargo = plan.rebuilds.values().next().map(|rebuild| rebuild.recipe.toolchain.as_str()).unwrap_or_default();
        if let Some(origin) = &record.origin {
            let _ = writeln!(text, "{id} from {} at {}, cargo {cargo}\n", origin.repository, origin.commit);
        }
        let _ = writeln!(text, "With plain Nix:");
        let _ = writeln!(
            text,
            "  nix-instantiate {place}/plan.nix -A rebuilds.{} --argstr planFile {place}/plan.json",
            id.job()
        );
        let _ = writeln!(text, "  nix-store --realise {}", hermetic.drv);
        let _ = writeln!(text, "  nix-store --realise --check {}", hermetic.drv);
        let _ = writeln!(text, "  sha256sum {}/{}.crate\n", hermetic.out, id.stem());

        let minor = plan.toolchains.get(cargo).map(|toolchain| toolchain.minor);
        let again = match again {
            None => "not told: it could not be built".to_owned(),
            Some(Again::Same) => "yes: built again, it is the same".to_owned(),
            Some(Again::Differs(_)) if minor < Some(WITHOUT_CLOCK) => {
                "no: built again, it differs; a cargo before 1.50 writes the clock into the archive".to_owned()
            }
            Some(Again::Differs(said)) => format!("no: built again, it differs\n{said}"),
        };
        let _ = writeln!(text, "Is it deterministic here?    {again}");
        let level = record.verdict.level();
        let equal = match (level, record.checksum) {
            (Level::Reproduced, Some(checksum)) => format!("yes: sha256 {checksum}"),
            _ => format!("no: {level}"),
        };
        let equal = [vec![equal], record.conditions.clone()].concat().join(", ");
        let _ = writeln!(text, "Does it equal the registry?  {equal}");
        let others = match nar_hash {
            Some(hash) => format!("if their {} has {hash}", hermetic.out),
            None => "not told".to_owned(),
        };
        let _ = writeln!(text, "Do others get the same?      {others}");
        if let Some(bundle) = &self.export {
            let _ =
                writeln!(text, "\nA bundle for others is in {0}; {0}/README tells how to use it.", bundle.display());
        }
        text
    }
}

/// The first cargo that does not record the clock.
const WITHOUT_CLOCK: Minor = Minor(50);

/// Whether a folder can be written to without mixing with something else.
fn is_free(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none()) || !folder.exists()
}
