//! The judge: compares what a plan's rebuilds made with what was published, as Nix derivations of its own.
//!
//! It is the builder of everything in a plan that comes after the rebuilds. It sees no network and no driver: what it
//! reports follows from the published bytes, the rebuild's output and the plan. It calls the same function as the driver.
//!
//! | verb | what | variables of the derivation |
//! |---|---|---|
//! | `verdict` | one package against its rebuild | `published`, `rebuilt`, `index`, `case`: a [`CaseFile`] in a file |
//! | `obstacle` | a package that can't be rebuilt | `package`: a [`PlannedPackage`] in a file |
//! | `gate` | fails where a package does not pass | `verdict` |
//! | `policy` | fails where recrate.toml can't be read | `file` |
//! | `unsupported` | fails: a package can't be looked at | `package` |
//! | `report` | all of them | `lockfile`; `skipped`, `toolchains` and `constituents`, the verdicts' paths, in files |
//!
//! All but gates have `projectPolicy`, what the project requires and accepts, in a file, and `date`, the day for what expires. A verdict
//! succeeds whatever it is; where the policy does not let the package pass, its output has `nix-support/failed`, which Hydra
//! shows as a failure with output. So does a report.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::contract::program::exit;
use crate::contract::status::{FILE, Outcome, Status};
use crate::model::foreign::Foreign;
use crate::stages::artefact::Archive;
use crate::stages::decision::{DecisionName, Exit};
use crate::stages::diff::lines::Budget;
use crate::stages::diff::{Diff, diff};
use crate::stages::findings::Contents;
use crate::stages::index::{Index, read_index};
use crate::stages::judge::{Output, Replayed, judge_obstacle};
use crate::stages::lock::Skipped;
use crate::stages::lock_evidence::locked_versions;
use crate::stages::pages::report::{View as PageView, of_package, of_report};
use crate::stages::plan::{Build, PlannedPackage};
use crate::stages::policy::project::ProjectPolicy;
use crate::stages::policy::review::Scope;
use crate::stages::record::Record;
use crate::stages::renamed_repositories::{Renamed, with_known};
use crate::stages::report::brief::{accept, of_entry, repeat};
use crate::stages::report::text::View;
use crate::stages::report::{Basis, Entry, Report};
use crate::stages::toolchain::{Origin, Toolchain};
use crate::stages::verdict::Verdict;

/// A package's part of the plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseFile {
    /// The package.
    pub package: PlannedPackage,
    /// Its cargo.
    pub toolchain: Toolchain,
    /// The rebuild's derivation.
    pub drv: String,
    /// The path of its output.
    pub out: String,
    /// Renamed repositories besides those that recrate knows: by whoever evaluates, not by the plan.
    pub renamed: Vec<Renamed>,
}

/// The judge's whole `main`: `arguments` as the system gives them, program name first.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let verb = arguments.get(1).and_then(|verb| verb.to_str()).unwrap_or_default();
    let done = match verb {
        "verdict" => verdict(),
        "obstacle" => obstacle(),
        "gate" => gate(),
        "policy" => policy(),
        "unsupported" => unsupported(),
        "report" => report(),
        _ => return exit::<String>("recrate-judge", None),
    };
    exit("recrate-judge", Some(done))
}

/// Reads what a rebuild left in its output, which lies at `place`.
///
/// # Errors
/// Where it is not there or not readable, in a few words.
pub fn read_output(place: &Path) -> Result<Output, String> {
    let status: Status = parse(&place.join(FILE))?;
    let rebuilt = match &status.outcome {
        Outcome::Packaged { file } => read(&place.join(file))?,
        Outcome::Refused { .. }
        | Outcome::LinkLeavesTree { .. }
        | Outcome::NotOfCommit { .. }
        | Outcome::OwnSources { .. }
        | Outcome::LeadsOut { .. }
        | Outcome::Undecided { .. }
        | Outcome::NoPackage { .. } => Vec::new(),
    };
    Ok(Output::Built { status, rebuilt })
}

fn verdict() -> Result<(), String> {
    let CaseFile { package, toolchain, drv, out, renamed } = given("case")?;
    let Build::Rebuild(planned) = &package.build else { return Err("the case is not a rebuild".to_owned()) };
    let (published, place) = (path("published")?, path("rebuilt")?);
    let output = read_output(&place)?;
    let index = match &planned.recipe.published_lockfile {
        Some(lockfile) => read_slice(&path("index")?, &String::from_utf8_lossy(&lockfile.content.0))?,
        None => Index::new(),
    };
    let replayed = Replayed {
        package: &package,
        planned,
        toolchain: &toolchain,
        drv: &drv,
        out: &out,
        output: &output,
        index: &index,
        renamed: &with_known(renamed),
        claimed_by_plan: true,
    };
    let bytes = read(&published)?;
    let record = replayed.record(bytes.clone());
    let (file, rebuilt) = match &output {
        Output::Built { status: Status { outcome: Outcome::Packaged { file }, .. }, rebuilt } => {
            (Some(place.join(file)), rebuilt.as_slice())
        }
        Output::Built { .. } | Output::Failed(_) => (None, &[][..]),
    };
    let id = package.key.id();
    let differs = !matches!(record.findings.contents, Contents::BitForBit | Contents::NotCompared);
    let archives = Archive::read(&id, &bytes).ok().zip(Archive::read(&id, rebuilt).ok()).filter(|_| differs);
    let found = archives.map(|(theirs, mine)| diff(&id, &theirs, &mine, &record.findings.contents, Budget::default()));
    write(record, &[("published", Some(published)), ("rebuilt", file)], found.as_ref())
}

/// The lines that an index slice has of what a lock file names.
fn read_slice(folder: &Path, lock: &str) -> Result<Index, String> {
    let mut index = Index::new();
    for name in locked_versions(lock).into_keys() {
        let file = folder.join(name.index_path());
        if file.is_file() {
            index.insert(name, Arc::new(read_index(&read(&file)?)));
        }
    }
    Ok(index)
}

fn obstacle() -> Result<(), String> {
    let package: PlannedPackage = given("package")?;
    let Build::Obstacle(obstacle) = &package.build else { return Err("the package can be rebuilt".to_owned()) };
    write(Record::new(package.key.clone(), package.checksum, judge_obstacle(obstacle, true)), &[], None)
}

/// How many lines of a verdict and of the differences a gate prints: outside of Hydra its log is the whole report, and what
/// shows logs shows the last hundred lines. A verdict's last lines say what was decided.
const VERDICT_LINES: usize = 35;
const LAST_LINES: usize = 15;
const DIFF_LINES: usize = 30;

fn gate() -> Result<(), String> {
    let verdict = path("verdict")?;
    let show = |file: &str, first: usize, last: usize| -> Result<(), String> {
        let text = read(&verdict.join(file))?;
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let left_out = lines.len().saturating_sub(first + last);
        let first = if left_out == 0 { lines.len() } else { first };
        lines[..first].iter().for_each(|line| eprintln!("{line}"));
        if left_out > 0 {
            eprintln!("({left_out} more lines in {})", verdict.join(file).display());
            lines[lines.len() - last..].iter().for_each(|line| eprintln!("{line}"));
        }
        Ok(())
    };
    // What matters most comes last: some show the last ten lines.
    if verdict.join("diff.txt").exists() {
        show("diff.txt", DIFF_LINES, 0)?;
    }
    show("verdict.txt", VERDICT_LINES, LAST_LINES)?;
    if verdict.join("nix-support/failed").exists() {
        let entry: Entry = parse(&verdict.join("verdict.json"))?;
        eprintln!("repeat: {}", repeat(&entry));
        if let Some(command) = accept(&entry) {
            eprintln!("accept: {command}");
        }
        let what = of_entry(&entry).map_or_else(String::new, |brief| format!(": {}", brief.in_a_line()));
        return Err(format!("not accepted by the policy{what}"));
    }
    fs_err::os::unix::fs::symlink(&verdict, path("out")?).map_err(text_of)
}

/// Reads all of recrate.toml as the driver does: Nix reads TOML in its own way, and verdicts only have the part that is theirs.
fn policy() -> Result<(), String> {
    let file = path("file")?;
    let text = String::from_utf8(read(&file)?).map_err(text_of)?;
    ProjectPolicy::of_file(&text).map_err(|error| format!("recrate.toml: {error}"))?;
    fs_err::write(path("out")?, "recrate.toml can be read\n").map_err(text_of)
}

fn unsupported() -> Result<(), String> {
    let package = std::env::var("package").unwrap_or_default();
    Err(format!("{} can't be looked at: the report says why", Foreign::from(package.as_str())))
}

fn report() -> Result<(), String> {
    let skipped: Vec<Skipped> = given("skipped")?;
    let toolchains: BTreeMap<String, Toolchain> = given("toolchains")?;
    let verdicts = String::from_utf8(read(&path("constituentsPath")?)?).map_err(text_of)?;
    let records: Vec<Record> = verdicts
        .split_whitespace()
        .map(|verdict| parse(&Path::new(verdict).join("verdict.json")))
        .collect::<Result<_, _>>()?;
    let mut notices = Vec::new();
    if std::env::var("lockfile").unwrap_or_default().is_empty() {
        notices.push(
            "the plan was not compared with a Cargo.lock: pass `lockFile` to notice when it is out of date".to_owned(),
        );
    }
    for toolchain in toolchains.values() {
        if let Origin::Imported { nar_hash } = &toolchain.origin {
            let name = &toolchain.name;
            notices.push(format!(
                "cargo {name} is not an official archive: the author of the plan imported it ({nar_hash})"
            ));
        }
    }
    let scope = Scope::AllBut(BTreeSet::new());
    let basis = Basis { skipped, notices, scope, ..basis()? };
    let day = basis.today;
    let report = Report::new(records, basis);
    let out = Out::new()?;
    out.write("report.json", &report.to_json())?;
    out.write("report.txt", &report.to_text(View { verbose: false, ..View::PLAIN }))?;
    // Verdicts are outputs of other derivations: their own pages have the differences.
    let view = PageView { out: None, day, diffs: &BTreeMap::new() };
    out.write("report.html", &of_report(&report, view))?;
    let mut metrics = format!("packages {}\nskipped {}\n", report.packages.len(), report.skipped.len());
    for verdict in Verdict::ALL {
        let name = verdict.to_string().replace(", ", "-").replace(' ', "-");
        let _ = writeln!(metrics, "verdicts.{name} {}", report.verdicts.get(&verdict).copied().unwrap_or(0));
    }
    for decision in DecisionName::ALL {
        let name = decision.to_string().replace(' ', "-");
        let _ = writeln!(metrics, "decisions.{name} {}", report.decisions.get(&decision).copied().unwrap_or(0));
    }
    let products = [
        ("report", "recrate", "", "report.html"),
        ("file", "json", "report.json", ""),
        ("file", "text", "report.txt", ""),
    ];
    let products = products.map(|(kind, subtype, file, index)| out.product(kind, subtype, file, index));
    out.support(&products, &metrics, "report")?;
    out.fail_unless(report.exit() == Exit::Passed)
}

/// Writes what a verdict's output has; `crates` are the two crates, as far as there are.
fn write(record: Record, crates: &[(&str, Option<PathBuf>)], diff: Option<&Diff>) -> Result<(), String> {
    let basis = basis()?;
    let entry = Entry::new(record.clone(), &basis);
    let report = Report::new(vec![record], basis);
    let out = Out::new()?;
    let json = serde_json::to_string_pretty(&entry).expect("a record is plain data");
    out.write("verdict.json", &(json + "\n"))?;
    out.write("verdict.txt", &report.to_text(View::PLAIN))?;
    out.write("verdict.html", &of_package(&entry, &report, diff))?;
    let mut products =
        vec![out.product("report", "verdict", "", "verdict.html"), out.product("file", "json", "verdict.json", "")];
    if let Some(diff) = diff {
        out.write("diff.txt", &diff.to_text(false))?;
        products.push(out.product("file", "diff", "diff.txt", ""));
    }
    let findings = &entry.record.findings;
    let mut metrics = format!(
        "reproduced {}\nfiles.differing {}\n",
        u8::from(entry.verdict == Verdict::Reproduced),
        findings.contents.differences().len()
    );
    for (what, file) in crates {
        let Some(file) = file.as_ref().filter(|file| file.is_file()) else { continue };
        products.push(format!("file crate-{what} {}\n", file.display()));
        let _ = writeln!(metrics, "{what}.size {} bytes", fs_err::metadata(file).map_err(text_of)?.len());
    }
    out.support(&products, &metrics, &entry.record.key.id().stem())?;
    out.fail_unless(entry.decision.passes())
}

/// The output that Nix wants.
struct Out(PathBuf);

impl Out {
    fn new() -> Result<Self, String> {
        let out = path("out")?;
        fs_err::create_dir_all(out.join("nix-support")).map_err(text_of)?;
        Ok(Self(out))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        fs_err::write(self.0.join(name), text).map_err(text_of)
    }

    /// A line of `hydra-build-products`: see Hydra's manual, "Build products".
    fn product(&self, kind: &str, subtype: &str, file: &str, index: &str) -> String {
        let path = if file.is_empty() { self.0.clone() } else { self.0.join(file) };
        format!("{kind} {subtype} {} {index}", path.display()).trim_end().to_owned() + "\n"
    }

    /// What Hydra reads beside the products.
    fn support(&self, products: &[String], metrics: &str, name: &str) -> Result<(), String> {
        self.write("nix-support/hydra-build-products", &products.concat())?;
        self.write("nix-support/hydra-metrics", metrics)?;
        self.write("nix-support/hydra-release-name", name)
    }

    fn fail_unless(&self, passes: bool) -> Result<(), String> {
        if passes { Ok(()) } else { self.write("nix-support/failed", "") }
    }
}

/// What the project requires and accepts, on the day that whoever evaluated says it is.
fn basis() -> Result<Basis, String> {
    let date = std::env::var("date").unwrap_or_default();
    let today = if date.is_empty() { None } else { Some(date.parse().map_err(text_of)?) };
    Ok(Basis { project: given("projectPolicy")?, today, ..Basis::default() })
}

fn path(variable: &str) -> Result<PathBuf, String> {
    std::env::var_os(variable).map(PathBuf::from).ok_or_else(|| format!("the derivation has no `{variable}`"))
}

/// A variable that Nix passes as a file with JSON.
fn given<T: DeserializeOwned>(variable: &str) -> Result<T, String> {
    parse(&path(&format!("{variable}Path"))?)
}

fn parse<T: DeserializeOwned>(file: &Path) -> Result<T, String> {
    serde_json::from_slice(&read(file)?).map_err(|error| format!("{}: {error}", file.display()))
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs_err::read(file).map_err(text_of)
}

fn text_of(error: impl std::fmt::Display) -> String {
    error.to_string()
}
