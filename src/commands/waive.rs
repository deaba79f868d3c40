//! `recrate waive`: writes waivers into `recrate.toml`.

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::civil::Date;

use super::Failure;
use super::build_options::BuildOptions;
use super::config::{Config, FILE};
use super::verify::today;
use crate::edges::cache::write_whole;
use crate::edges::console::print;
use crate::edges::run_directory::read_folder;
use crate::edges::worktree::author;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;
use crate::model::nonempty::NonEmpty;
use crate::model::package::{PackageKey, RegistryName};
use crate::stages::decision::Decision;
use crate::stages::lock::registry_of;
use crate::stages::policy::edit::with_waivers;
use crate::stages::policy::fault::{Fault, FaultName};
use crate::stages::policy::project::{Circumstances, ProjectPolicy};
use crate::stages::policy::waiver::{Waiver, counts, is_blank};
use crate::stages::report::{Entry, OUT, Report, SCHEMA};

/// Accept crates that the policy does not, by a waiver in recrate.toml.
///
/// A waiver is for the bytes with one sha256 and for what the last run found of them: another version, other bytes or another
/// finding make it void. Commit recrate.toml like any other source: whoever reviews it sees who accepts what, and why.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    written, or there was nothing to write
  2    usage error, or there is no such run
  3    written, but some crates can't be waived
  70   recrate or the machine is at fault

Examples:
  recrate waive foo@1.2.3 --reason 'dirty worktree, read the diff: only the changelog' --expires 2027-06-30
  recrate waive --all-current --reason 'the baseline of November'")]
pub struct Waive {
    /// Crates of the last run
    #[arg(value_name = "NAME@VERSION", required_unless_present = "all_current")]
    crates: Vec<CrateId>,
    /// Every crate of the last run that does not pass: the baseline of a project that starts today
    #[arg(long, conflicts_with = "crates")]
    all_current: bool,
    /// With --all-current, crates that could not be looked at because of an error, too
    #[arg(long, requires = "all_current")]
    errors: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who says so [default: the name in git's configuration]
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// The day from which on it does not count [default: what the waiver that is replaced says, or none]
    #[arg(long, value_name = "YYYY-MM-DD")]
    expires: Option<Date>,
    /// Where to read more
    #[arg(long, value_name = "ADDRESS")]
    link: Option<String>,
    /// The registry that the crates are from, where the run has them from several: as in Cargo.lock, or `default`
    #[arg(long, value_name = "REGISTRY", value_parser = registry_of)]
    registry: Option<RegistryName>,
    /// Folder of the run
    #[arg(long, value_name = "DIR", default_value = OUT)]
    out: PathBuf,
    #[command(flatten)]
    options: BuildOptions,
}

impl Waive {
    /// Writes the waivers and says which.
    ///
    /// # Errors
    /// Where there is no finished run, it does not have the crates, or the file can't be read or written.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let report = self.report()?;
        let folder = read_folder(&self.out).unwrap_or_else(|| PathBuf::from("."));
        let path = self.options.config().map_or_else(|| folder.join(FILE), ToOwned::to_owned);
        // A link stays one.
        let path = path.canonicalize().unwrap_or(path);
        if let Some(other) = Config::find(self.options.config(), &folder)
            .filter(|other| other.canonicalize().is_ok_and(|other| other != path))
        {
            return Err(Failure::usage(format!(
                "{} is in force, and would not be once there is {}\nhelp: add --config with the file to write to",
                other.display(),
                path.display()
            )));
        }
        // What the run was asked for counts, like --accept.
        let project = ProjectPolicy { policy: report.requirements.clone(), ..self.options.project(&folder)? };
        let today = today();
        if self.expires.is_some_and(|expires| expires <= today) {
            return Err(Failure::usage("--expires is not in the future"));
        }
        let who = self.who.clone().or_else(|| author(&folder)).map(Foreign::from).unwrap_or_default();
        if is_blank(&who) {
            return Err(Failure::usage("nobody says who accepts it\nhelp: add --who, or set user.name in git"));
        }
        let reason = Foreign::from(self.reason.as_str());
        if is_blank(&reason) {
            return Err(Failure::usage("--reason is empty"));
        }
        let (mut waivers, mut refused, mut undetermined) = (Vec::new(), Vec::new(), 0);
        for entry in self.entries(&report)? {
            let key = &entry.record.key;
            let circumstances = Circumstances { today: Some(today), new: entry.new };
            let decision = project.decide(&entry.record, circumstances);
            if decision.passes() {
                if !self.all_current {
                    eprintln!("nothing to waive: {key} is {}", decision.name());
                }
                continue;
            }
            let replaced = project.waiver.iter().find(|waiver| waiver.is_for(key));
            let expires = self.expires.or_else(|| replaced.and_then(|waiver| waiver.expires));
            let faults = project.faults(&entry.record, circumstances);
            let lines = NonEmpty::new(faults.iter().flat_map(Fault::lines).collect());
            match (entry.record.checksum, lines, self.refusal(&faults)) {
                (_, _, Some(reason)) => refused.push(format!("{key}: {reason}")),
                _ if !counts(expires, Some(today)) => {
                    refused.push(format!("{key}: its waiver expired: say until when with --expires"));
                }
                (Some(sha256), Some(findings), None) => {
                    undetermined += usize::from(matches!(decision, Decision::Undetermined { .. }));
                    waivers.push(Waiver {
                        krate: key.id(),
                        registry: key.registry.clone(),
                        sha256,
                        findings,
                        reason: reason.clone(),
                        who: who.clone(),
                        expires,
                        link: self.link.as_deref().map(Foreign::from),
                    });
                }
                _ => refused.push(format!("{key}: its checksum is not known")),
            }
        }
        if self.all_current {
            let unsupported = report.unsupported().map(|(skipped, reason)| {
                format!(
                    "{} {}: {reason}: only `undetermined` in recrate.toml decides on it",
                    skipped.name, skipped.version
                )
            });
            refused.extend(unsupported);
        }
        let text = if path.exists() { fs_err::read_to_string(&path).map_err(Failure::usage)? } else { String::new() };
        let edited =
            with_waivers(&text, &waivers).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        // What can't be read again must not take the place of what can.
        Config::parse(&edited).map_err(|error| Failure::internal(format!("{}: {error}", path.display())))?;
        if !waivers.is_empty() {
            write_whole(&path, edited.as_bytes()).map_err(Failure::internal)?;
        }
        let packages = if waivers.len() == 1 { "package" } else { "packages" };
        let of = if undetermined > 0 { format!(", {undetermined} of them undetermined") } else { String::new() };
        let looked_at = report.packages.len();
        let (count, path) = (waivers.len(), path.display());
        print(&format!("waived {count} {packages} of {looked_at} in the last run{of}: {path}\n"))
            .map_err(Failure::internal)?;
        for reason in &refused {
            eprintln!("not waived: {reason}");
        }
        Ok(ExitCode::from(if refused.is_empty() { 0 } else { 3 }))
    }

    fn report(&self) -> Result<Report, Failure> {
        let path = self.out.join("report.json");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!(
                "{}: {error}\nhelp: a waiver is for what a run found: `recrate verify` first; --out names its folder",
                path.display()
            ))
        })?;
        let report = serde_json::from_str::<Report>(&text).ok().filter(|report| report.schema == SCHEMA);
        report.ok_or_else(|| {
            let path = path.display();
            Failure::usage(format!("{path} is not a report of this recrate\nhelp: `recrate verify` makes a new one"))
        })
    }

    /// The packages that are meant.
    fn entries<'a>(&self, report: &'a Report) -> Result<Vec<&'a Entry>, Failure> {
        if self.all_current {
            return Ok(report.packages.iter().collect());
        }
        let mut entries = Vec::new();
        for id in &self.crates {
            let is_meant = |key: &PackageKey| {
                key.id() == *id && self.registry.as_ref().is_none_or(|registry| key.registry == *registry)
            };
            let found: Vec<&Entry> = report.packages.iter().filter(|entry| is_meant(&entry.record.key)).collect();
            if found.is_empty() {
                return Err(Failure::usage(format!(
                    "the run in {} has no {id}\nhelp: `recrate verify` looks at a whole Cargo.lock",
                    self.out.display()
                )));
            }
            if found.len() > 1 {
                return Err(Failure::usage(format!("the run has {id} from several registries\nhelp: add --registry")));
            }
            entries.extend(found);
        }
        Ok(entries)
    }

    /// Why faults are not waived; none where they are.
    fn refusal(&self, faults: &[Fault]) -> Option<String> {
        if let Some(fault) = faults.iter().find(|fault| fault.name.cannot_be_waived()) {
            return Some(format!("{} can't be waived: {}", fault.name, fault.reason));
        }
        // An error may be over tomorrow, and what it hides is not in the baseline.
        let error = faults.iter().any(|fault| fault.name == FaultName::Error);
        (error && self.all_current && !self.errors)
            .then(|| "recrate could not look at it: run it again, or add --errors".to_owned())
    }
}
