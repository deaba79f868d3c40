//! How time and memory grow with a plan.
//!
//! ```console
//! $ cargo bench --bench scale [-- PLAN]
//! ```
//!
//! Plans of 1,000 to 10,000 crates are made of the rebuilds of a plan, the example registry's where none is given: each copy has
//! a name, a commit and an index slice of its own. The driver reads, derives and writes them; `nix/plan.nix` derives the same.

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

use common::measure::measure;
use recrate::contract::git::{Kind, hash};
use recrate::model::commit::CommitId;
use recrate::model::digest::{Sha256, Sri};
use recrate::stages::coverage;
use recrate::stages::derivation::derive;
use recrate::stages::plan::{Build, Plan};

const SIZES: [usize; 3] = [1_000, 3_000, 10_000];

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [derive, file] = given.as_slice()
        && derive == "--derive"
    {
        return by_driver(file);
    }
    let example = common::root().join("examples/registry/plan.json");
    let file = given.first().map_or(example, |file| std::path::absolute(file).unwrap());
    let plan = Plan::read(&std::fs::read_to_string(file).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    println!("crates    bytes per crate    driver                nix-instantiate");
    for size in SIZES {
        let file = folder.path().join(format!("{size}.json"));
        let text = grown(&plan, size).to_json();
        std::fs::write(&file, &text).unwrap();
        let driver = measure(Command::new(std::env::current_exe().unwrap()).arg("--derive").arg(&file));
        let said = String::from_utf8_lossy(&driver.output.stderr);
        let derived: BTreeMap<String, String> = serde_json::from_slice(&driver.output.stdout).expect(&said);
        let mut nix = Command::new("nix-instantiate");
        nix.args(["--eval", "--strict", "--json", "-A", "drvPaths", "--argstr", "planFile"]).arg(&file);
        let nix = measure(nix.arg(common::root().join("nix/plan.nix")));
        let said = String::from_utf8_lossy(&nix.output.stderr);
        let by_nix: BTreeMap<String, String> = serde_json::from_slice(&nix.output.stdout).expect(&said);
        assert_eq!(derived, by_nix, "both derive the same");
        println!(
            "{size:>6}    {:>15}    {:>6.2} s {:>6} MB    {:>6.2} s {:>6} MB",
            text.len() / size,
            driver.time.as_secs_f64(),
            driver.peak,
            nix.time.as_secs_f64(),
            nix.peak
        );
    }
}

/// Reads and derives a plan, and writes it again; prints what was derived.
fn by_driver(file: &str) {
    let start = Instant::now();
    let text = std::fs::read_to_string(file).unwrap();
    let plan = Plan::read(&text).unwrap();
    let derived = derive(&plan).unwrap();
    assert_eq!(plan.to_json(), text);
    eprintln!("{:?}", start.elapsed());
    let drvs: BTreeMap<&String, &String> = derived.rebuilds.iter().map(|(job, drv)| (job, &drv.drv)).collect();
    println!("{}", serde_json::to_string(&drvs).unwrap());
}

/// A plan with so many rebuilds.
fn grown(plan: &Plan, size: usize) -> Plan {
    let mut grown = Plan { packages: BTreeMap::new(), ..plan.clone() };
    let rebuilt: Vec<_> = plan.packages.values().filter(|one| matches!(one.build, Build::Rebuild(_))).collect();
    for (number, package) in (0..size).zip(rebuilt.iter().cycle()) {
        let mut package = (*package).clone();
        package.key.name = format!("{}-{number}", package.key.name.as_str()).parse().unwrap();
        if let Build::Rebuild(rebuild) = &mut package.build {
            let mut pin = plan.commits[&rebuild.recipe.commit].clone();
            pin.object.0.extend(format!("{number}\n").bytes());
            rebuild.recipe.commit = CommitId(hash(Kind::Commit, &pin.object.0).0);
            grown.commits.insert(rebuild.recipe.commit, pin);
            let mut index = plan.indexes[&rebuild.recipe.index].clone();
            index.nar_hash = Sri(Sha256::of(number.to_string().as_bytes()));
            rebuild.recipe.index = index.key();
            grown.indexes.insert(index.key(), index);
        }
        grown.packages.insert(package.key.job(), package);
    }
    grown.lockfile = Some(coverage::digest(&grown.locked()));
    grown
}
