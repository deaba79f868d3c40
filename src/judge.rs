//! The judge: compares what a plan's rebuilds made with what was published, as Nix derivations of its own.
//!
//! It is the builder of everything in a plan that comes after the rebuilds. It sees no network and no driver: what it
//! says follows from the two crates and the plan's recipe alone.
//!
//! | verb | what | variables of the derivation |
//! |---|---|---|
//! | `verdict` | one crate against its rebuild | `published`, `rebuilt`, `accept`, `case`: a [`CaseFile`] in a file |
//! | `settled` | a crate that there is nothing to rebuild of | `accept`, `record`: a [`Record`] in a file |
//! | `gate` | fails where a verdict is worse than accepted | `verdict` |
//! | `report` | all of them | `accept`, `skipped` and `constituents`, the verdicts' paths, in files |
//!
//! A verdict succeeds whatever it says; where that is worse than `accept`, its output has `nix-support/failed`, which
//! Hydra shows as a failure with output. So does a report.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::builder::ended;
use crate::builder::status::{FILE, Outcome, Status};
use crate::model::release::Span;
use crate::stages::artefact::{Archive, Artefact};
use crate::stages::diff::differences;
use crate::stages::lock::Skipped;
use crate::stages::page;
use crate::stages::plan::{IndexMode, Rebuild};
use crate::stages::provenance::{Claim, Untraceable, claim};
use crate::stages::report::Report;
use crate::stages::toolchain::{Toolchain, date};
use crate::stages::verdict::{Exit, Level, OriginRecord, Record, TryRecord, Verdict};
use crate::stages::workspace::Others;

/// A crate's part of the plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseFile {
    /// The rebuild.
    pub rebuild: Rebuild,
    /// Its cargo.
    pub toolchain: Toolchain,
    /// Its derivation.
    pub drv: String,
    /// The derivation's output.
    pub out: String,
}

/// The judge's whole `main`: `arguments` as the system gives them, program name first.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let verb = arguments.get(1).and_then(|verb| verb.to_str()).unwrap_or_default();
    let done = match verb {
        "verdict" => verdict(),
        "settled" => settled(),
        "gate" => gate(),
        "report" => report(),
        _ => return ended::<String>("recrate-judge", None),
    };
    ended("recrate-judge", Some(done))
}

/// What a rebuild, whose output lies at `place`, says of the crate whose bytes were `published`.
///
/// # Errors
/// Where the plan's recipe is not about that crate, or the output can't be read: then nothing can be said.
pub fn judge(case: &CaseFile, published: Vec<u8>, place: &Path) -> Result<Record, String> {
    let CaseFile { rebuild, toolchain, drv, out } = case;
    let status: Status = parse(&place.join(FILE))?;
    let id = rebuild.id();
    let artefact = Artefact::check(id.clone(), rebuild.checksum, published).map_err(said)?;
    let archive = match Archive::read(&id, artefact.bytes()) {
        Ok(archive) => archive,
        Err(error) => {
            let verdict = Verdict::HostileArchive { reason: error.to_string() };
            return Ok(Record::new(&id, Some(rebuild.checksum), verdict));
        }
    };
    let claim = match claim(&archive) {
        Ok(claim) => Some(claim),
        Err(Untraceable::NoVcsInfo) if rebuild.facts.found_by.is_some() => None,
        Err(error) => return Err(format!("nothing can be rebuilt of {id}: {error}")),
    };
    agrees(rebuild, claim.as_ref(), &status)?;
    let dirty = claim.is_some_and(|claim| claim.dirty);

    let dating = date(&archive, rebuild.facts.published);
    let context = rebuild.facts.context(dating.span);
    let read_output = |file: &str| read(&place.join(file));
    let alone = Verdict::of_build(&id, artefact.bytes(), &status.outcome, read_output, &context);
    let level = alone.level();
    let recipe = &rebuild.recipe;
    let facts = &rebuild.facts;
    let verdict = alone.in_light_of(dirty, facts);
    let beside = facts.beside(&verdict);
    let mut record = Record::new(&id, Some(rebuild.checksum), verdict).dated(&dating);
    record.conditions = recipe.conditions(dirty);
    record.origin = Some(OriginRecord {
        repository: facts.repository.clone(),
        commit: recipe.source,
        path: Some(recipe.package_path.clone()),
        reach: facts.reach.clone(),
    });
    record.contradictions = beside;
    record.best = Some(0);
    record.tries.push(TryRecord {
        in_range: dating.span.unwrap_or(Span::ALL).contains(toolchain.minor),
        toolchain: toolchain.name.clone(),
        index_mode: recipe.index_mode,
        others: Others::of(&recipe.left_out),
        level,
        drv: drv.clone(),
        out: out.clone(),
    });
    Ok(record)
}

/// The two crates, where there are two, and what was found.
struct Judged {
    record: Record,
    published: PathBuf,
    rebuilt: Option<PathBuf>,
    diff: String,
}

fn verdict() -> Result<(), String> {
    let case: CaseFile = given("case")?;
    let (published, out) = (path("published")?, path("rebuilt")?);
    let bytes = read(&published)?;
    let record = judge(&case, bytes.clone(), &out)?;
    let rebuilt = rebuilt(&out)?;
    let id = case.rebuild.id();
    let archives = match &rebuilt {
        Some(file) if record.verdict != Verdict::Reproduced => {
            Archive::read(&id, &bytes).ok().zip(Archive::read(&id, &read(file)?).ok())
        }
        _ => None,
    };
    let diff = archives.map(|(theirs, mine)| differences(&theirs, &mine, false)).unwrap_or_default();
    write(&Judged { record, published, rebuilt, diff })
}

/// The crate in a rebuild's output; none where cargo made none.
fn rebuilt(out: &Path) -> Result<Option<PathBuf>, String> {
    let status: Status = parse(&out.join(FILE))?;
    Ok(match status.outcome {
        Outcome::Packaged { file } => Some(out.join(file)),
        Outcome::Refused { .. } | Outcome::LinkLeavesTree { .. } | Outcome::NoPackage { .. } => None,
    })
}

/// A recipe that is not about the crate proves nothing, however equal the bytes; nor does one that hides an input.
fn agrees(rebuild: &Rebuild, claim: Option<&Claim>, status: &Status) -> Result<(), String> {
    let (id, recipe) = (rebuild.id(), &rebuild.recipe);
    if status.commit != recipe.source.to_string() {
        return Err(format!("{id} was not rebuilt from the plan's commit, {}", recipe.source));
    }
    if let Some(claim) = claim {
        if claim.commit != recipe.source {
            return Err(format!(
                "the plan rebuilds {id} from commit {}, the crate itself names {}",
                recipe.source, claim.commit
            ));
        }
        if claim.path.as_ref().is_some_and(|path| *path != recipe.package_path) {
            return Err(format!("the plan rebuilds {id} from another folder than the crate itself names"));
        }
        if claim.dirty != recipe.allow_dirty {
            return Err(format!(
                "the plan and {id} itself disagree on whether it was published with uncommitted changes"
            ));
        }
        if recipe.outside_git {
            return Err(format!("the plan packages {id} as from outside of git, the crate itself names a commit"));
        }
    }
    if (recipe.index_mode == IndexMode::PublishedLock) == recipe.lock.is_empty() {
        return Err(format!("the plan does not say truly whether a Cargo.lock is an input of {id}"));
    }
    Ok(())
}

fn settled() -> Result<(), String> {
    let record: Record = given("record")?;
    write(&Judged { record, published: PathBuf::new(), rebuilt: None, diff: String::new() })
}

fn gate() -> Result<(), String> {
    let verdict = path("verdict")?;
    let text = read(&verdict.join("verdict.txt"))?;
    eprint!("{}", String::from_utf8_lossy(&text));
    if verdict.join("nix-support/failed").exists() {
        return Err("worse than what is accepted".to_owned());
    }
    std::os::unix::fs::symlink(&verdict, path("out")?).map_err(said)
}

fn report() -> Result<(), String> {
    let skipped: Vec<Skipped> = given("skipped")?;
    let verdicts = String::from_utf8(read(&path("constituentsPath")?)?).map_err(said)?;
    let records = verdicts
        .split_whitespace()
        .map(|verdict| parse(&Path::new(verdict).join("verdict.json")))
        .collect::<Result<_, _>>()?;
    let accept = accept()?;
    let report = Report::new(records, skipped, accept);
    let out = Output::new()?;
    out.write("report.json", &report.to_json())?;
    out.write("report.txt", &report.to_text(None, false))?;
    out.write("report.html", &page::of_report(&report))?;
    let mut metrics = format!("crates {}\nskipped {}\n", report.crates.len(), report.skipped.len());
    for level in Level::ALL {
        let name = level.to_string().replace(' ', "-");
        let _ = writeln!(metrics, "crates.{name} {}", report.counts.get(&level).copied().unwrap_or(0));
    }
    let products = [
        ("report", "recrate", "", "report.html"),
        ("file", "json", "report.json", ""),
        ("file", "text", "report.txt", ""),
    ];
    out.support(
        &products.map(|(kind, subtype, file, index)| out.product(kind, subtype, file, index)),
        &metrics,
        "report",
    )?;
    let exit = Exit::of(report.crates.iter().map(|record| record.verdict.level()), accept);
    out.fail_unless(exit == Exit::Accepted)
}

/// Writes what a verdict's output has.
fn write(judged: &Judged) -> Result<(), String> {
    let Judged { record, published, rebuilt, diff } = judged;
    let accept = accept()?;
    let level = record.verdict.level();
    let report = Report::new(vec![record.clone()], Vec::new(), accept);
    let out = Output::new()?;
    out.write("verdict.json", &(serde_json::to_string_pretty(record).map_err(said)? + "\n"))?;
    out.write("verdict.txt", &report.to_text(None, false))?;
    out.write("verdict.html", &page::of_crate(record, &report, diff))?;
    let mut products =
        vec![out.product("report", "verdict", "", "verdict.html"), out.product("file", "json", "verdict.json", "")];
    if !diff.is_empty() {
        out.write("diff.txt", diff)?;
        products.push(out.product("file", "diff", "diff.txt", ""));
    }
    let mut metrics = format!(
        "reproduced {}\nfiles.differing {}\n",
        u8::from(level == Level::Reproduced),
        record.verdict.differences().len()
    );
    for (what, file) in [("published", Some(published)), ("rebuilt", rebuilt.as_ref())] {
        let Some(file) = file.filter(|file| file.is_file()) else { continue };
        products.push(format!("file crate-{what} {}\n", file.display()));
        let _ = writeln!(metrics, "{what}.size {} bytes", file.metadata().map_err(said)?.len());
    }
    out.support(&products, &metrics, &format!("{}-{}", record.name, record.version))?;
    out.fail_unless(level >= accept)
}

/// The output that Nix wants.
struct Output(PathBuf);

impl Output {
    fn new() -> Result<Self, String> {
        let out = path("out")?;
        std::fs::create_dir_all(out.join("nix-support")).map_err(said)?;
        Ok(Self(out))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        std::fs::write(self.0.join(name), text).map_err(|error| format!("{name}: {error}"))
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

    fn fail_unless(&self, accepted: bool) -> Result<(), String> {
        if accepted { Ok(()) } else { self.write("nix-support/failed", "") }
    }
}

fn accept() -> Result<Level, String> {
    let name = std::env::var("accept").map_err(said)?;
    serde_json::from_value(serde_json::Value::String(name.clone()))
        .map_err(|_| format!("`{name}` is no verdict: see `recrate verify --help` for those there are"))
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
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
