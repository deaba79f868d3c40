//! `recrate reproduce`: one crate once more, with its recipe as plain Nix commands.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Failure;
use super::build_options::BuildOptions;
use super::subject::in_run;
use crate::edges::console::{Detail, print};
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;
use crate::model::package::RegistryName;
use crate::model::release::Minor;
use crate::pipeline::reproduce::{Again, Reproduced};
use crate::pipeline::run_key::Work;
use crate::stages::findings::Contents;
use crate::stages::plan::{Build, Plan, PlannedPackage, PlannedRebuild};
use crate::stages::report::OUT;

/// Rebuild one crate of a run or a plan again, and show how anybody can.
///
/// Three questions, each with its own answer: is the rebuild deterministic here (it is built a second time, and Nix
/// compares); does it equal the registry's crate; do others get the same (for them to find out: the hash to compare is
/// printed). With --export, a bundle lets others answer it with Nix alone, without recrate and without network.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    it is deterministic here and equals the registry's
  1    it is not, or does not
  2    usage error or unreadable input
  70   recrate or the machine is at fault
  130  interrupted

Examples:
  recrate reproduce itoa@1.0.18                        from the run in recrate.out
  recrate reproduce itoa@1.0.18 --from-plan plan.json
  recrate reproduce itoa@1.0.18 --export bundle        the bundle's README has the three commands that use it")]
pub struct Reproduce {
    /// The crate
    #[arg(value_name = "NAME@VERSION")]
    krate: CrateId,
    /// Folder of the run of `recrate verify` that has it
    #[arg(long, value_name = "DIR", default_value = OUT, conflicts_with = "from_plan")]
    run: PathBuf,
    /// A plan that has it
    #[arg(long, value_name = "FILE")]
    from_plan: Option<PathBuf>,
    /// The registry that the crate is from, where the plan has it from several: `default`, or the address of its index
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<RegistryName>,
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
    options: BuildOptions,
}

impl Reproduce {
    /// Rebuilds and prints; exit status 0 where it is deterministic and equal.
    ///
    /// # Errors
    /// Where there is no such crate in the plan, or recrate or the machine is at fault.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let file = self.from_plan.clone().unwrap_or_else(|| self.run.join("plan.json"));
        let (plan, package, rebuild) = self.read(&file)?;
        let folder = self.folder(&file)?;
        let context = self.options.context(&folder)?;
        context.can_build(&plan).map_err(Failure::usage)?;
        let key = context.run_key(Work::reproduce(&plan), std::iter::once(package.key.registry.clone()));
        let bundle = self.export.as_deref().map(std::path::absolute).transpose().map_err(Failure::usage)?;
        if let Some(bundle) = bundle.as_deref().filter(|bundle| !is_free(bundle)) {
            return Err(Failure::usage(format!("{} is not empty: give another folder", bundle.display())));
        }
        let (done, _) = in_run(&self.out, &key, &folder, 1, Detail::of(self.quiet, false), |run, console| {
            let (done, plan) = context.reproduce(&plan, run, console)?;
            if let Some(bundle) = &bundle {
                console.stage("writing the bundle");
                context.export(&plan, run, bundle)?;
            }
            Ok(done)
        })?;
        print(&self.describe(&plan, &package, &rebuild, &done)).map_err(Failure::internal)?;
        let fine = done.again == Some(Again::Same) && done.record.findings.contents == Contents::BitForBit;
        Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The part of the plan that is about the crate.
    fn read(&self, file: &Path) -> Result<(Plan, PlannedPackage, PlannedRebuild), Failure> {
        let id = &self.krate;
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::usage(format!(
                "{}: {error}\nhelp: run `recrate verify {id}` first, or give --from-plan",
                file.display()
            ))
        })?;
        let plan = Plan::read(&text).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
        let wanted = |package: &&PlannedPackage| {
            package.key.id() == *id && self.registry.as_ref().is_none_or(|registry| *registry == package.key.registry)
        };
        let found: Vec<&PlannedPackage> = plan.packages.values().filter(wanted).collect();
        let package = match found[..] {
            [] => return Err(Failure::usage(format!("{} has no {id}", file.display()))),
            [package] => package.clone(),
            _ => {
                let registries: Vec<String> = found.iter().map(|package| package.key.registry.to_string()).collect();
                return Err(Failure::usage(format!(
                    "the plan has {id} from several registries\nhelp: add --registry with one of {}",
                    registries.join(", ")
                )));
            }
        };
        let Build::Rebuild(rebuild) = &package.build else {
            return Err(Failure::usage(format!("{id} can't be rebuilt: `recrate verify {id}` shows why")));
        };
        let rebuild = rebuild.as_ref().clone();
        Ok((plan.only(&[package.key.job().as_str()].into()), package, rebuild))
    }

    /// The folder whose cargo and recrate configuration counts: that of the run, or of the plan.
    fn folder(&self, file: &Path) -> Result<PathBuf, Failure> {
        let run = crate::edges::run_directory::read_folder(&self.run).filter(|_| self.from_plan.is_none());
        let absolute = std::path::absolute(file).map_err(Failure::usage)?;
        Ok(run.unwrap_or_else(|| absolute.parent().unwrap_or(&absolute).to_owned()))
    }

    fn describe(&self, plan: &Plan, package: &PlannedPackage, rebuild: &PlannedRebuild, done: &Reproduced) -> String {
        let Reproduced { drv, record, again, nar_hash } = done;
        let id = &self.krate;
        let place = std::path::absolute(&self.out).unwrap_or_else(|_| self.out.clone());
        let place = place.display();
        let mut text = String::new();
        let cargo = rebuild.recipe.toolchain.as_str();
        let shown = Foreign::from(cargo);
        let (repository, commit) = (&rebuild.claims.repository, rebuild.recipe.commit);
        let _ = writeln!(text, "{id} from {repository} at {commit}, cargo {shown}\n");
        let _ = writeln!(text, "With plain Nix:");
        let _ = writeln!(
            text,
            "  nix-instantiate {place}/plan.nix -A rebuilds.{} --argstr planFile {place}/plan.json",
            package.key.job()
        );
        let _ = writeln!(text, "  nix-store --realise {}", drv.drv);
        let _ = writeln!(text, "  nix-store --realise --check {}", drv.drv);
        let _ = writeln!(text, "  sha256sum {}/{}.crate\n", drv.out, id.stem());

        let minor = plan.toolchains.get(cargo).map(|toolchain| toolchain.minor);
        let again = match again {
            None => "unknown: it could not be built".to_owned(),
            Some(Again::Same) => "yes: built again, it is the same".to_owned(),
            Some(Again::Differs(_)) if minor < Some(WITHOUT_CLOCK) => {
                "no: built again, it differs; a cargo before 1.50 writes the clock into the archive".to_owned()
            }
            Some(Again::Differs(output)) => {
                let lines: String =
                    Foreign::from(output.as_str()).lines().map(|line| format!("\n  | {line}")).collect();
                format!("no: built again, it differs{lines}")
            }
        };
        let _ = writeln!(text, "Is it deterministic here?    {again}");
        let equal = match (&record.findings.contents, record.checksum) {
            (Contents::BitForBit, Some(checksum)) => format!("yes: sha256 {checksum}"),
            _ => format!("no: {}", record.verdict()),
        };
        let conditions = record.findings.conditions.iter().map(ToString::to_string);
        let equal = std::iter::once(equal).chain(conditions).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "Does it equal the registry?  {equal}");
        let others = match nar_hash {
            Some(hash) => format!("if their {} has {hash}", drv.out),
            None => "unknown".to_owned(),
        };
        let _ = writeln!(text, "Do others get the same?      {others}");
        if let Some(bundle) = &self.export {
            let _ =
                writeln!(text, "\nA bundle for others is in {0}; {0}/README shows how to use it.", bundle.display());
        }
        text
    }
}

/// The first cargo that does not record the clock.
const WITHOUT_CLOCK: Minor = Minor(50);

/// Whether a folder can be written to without mixing with something else.
fn is_free(folder: &Path) -> bool {
    fs_err::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none()) || !folder.exists()
}
