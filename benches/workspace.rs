//! What a package of a large workspace costs, and the same package in a repository of its own.
//!
//! ```console
//! $ cargo bench --bench workspace
//! ```
//!
//! The workspace has 300 members and 20,000 other files. Both repositories are served by git on loopback; nothing of them is cached
//! or built before. Time is that of `recrate verify`; the store's bytes are those of the source, the file of trees aside; the bytes over
//! http are all that the server sends of the repository, with the commits' trees aside.

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::measure::measure;
use common::site::Site;
use common::workshop::{Bare, Cargo, Files, Item, Release};
use serde_json::Value;

const MEMBERS: usize = 300;
const OTHERS: usize = 20_000;
const ROUNDS: u32 = 5;

/// A text that does not compress to nothing, another one for each number.
fn text(number: usize, length: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut text = b"//! ".to_vec();
    while text.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend(format!("{:x} ", state >> 40).bytes());
    }
    text.push(b'\n');
    text
}

fn manifest(name: &str, repository: &str) -> Item {
    let text = format!(
        "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2018\"\nlicense = \"MIT\"\ndescription = \"x\"\n\
         repository = \"https://git.example/team/{repository}\"\n"
    );
    Item::File(text.into_bytes())
}

/// The package, below a folder: 40 files, 200 kB.
fn package(name: &str, repository: &str, folder: &str, round: u32) -> Files {
    let mut files = Files::from([(format!("{folder}Cargo.toml"), manifest(name, repository))]);
    files.insert(format!("{folder}src/lib.rs"), Item::File(format!("//! {round}\n").into_bytes()));
    let parts = (0..40).map(|number| (format!("{folder}src/part{number}.rs"), Item::File(text(number, 5_000))));
    files.extend(parts);
    files
}

/// The workspace around it.
fn workspace(round: u32) -> Files {
    let mut files = package("large", "family", "members/large/", round);
    files.insert("Cargo.toml".to_owned(), Item::File(b"[workspace]\nmembers = [\"members/*\"]\n".to_vec()));
    for number in 1..MEMBERS {
        let folder = format!("members/m{number}");
        files.insert(format!("{folder}/Cargo.toml"), manifest(&format!("m{number}"), "family"));
        files.insert(format!("{folder}/src/lib.rs"), Item::File(format!("//! {number}\n").into_bytes()));
    }
    for number in 0..OTHERS {
        let path = format!("docs/{}/{}/{number}.md", number % 20, number % 300);
        files.insert(path, Item::File(text(number, 1_000)));
    }
    files
}

/// What one verification costs.
struct Cost {
    time: Duration,
    peak: u64,
    store: u64,
    wire: usize,
    trees: u64,
}

fn cost(site: &Site, bare: &Bare, files: &Files, name: &str, folder: &str) -> Cost {
    bare.commit(files, name);
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(&bare.path).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(git.status().unwrap().success());
    };
    git(&["config", "uploadpack.allowFilter", "true"]);
    git(&["repack", "-adq"]);
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let bytes = cargo.package(bare, folder, &site.registry.path, &Files::new());
    let release = Release { name, version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };
    site.registry.publish(&release, &bytes);
    let _ = std::fs::remove_dir_all(site.folder.path().join("cache"));
    site.server.sent();
    let out = tempfile::tempdir().unwrap();
    let mut recrate = Command::new(env!("CARGO_BIN_EXE_recrate"));
    recrate.arg("verify").arg(format!("{name}@1.0.0")).arg("--out").arg(out.path().join("run"));
    recrate.args(["--format", "json", "--toolchains", "imported", "--quiet"]).current_dir(site.project());
    let measured = measure(recrate.env("RECRATE_CACHE", site.folder.path().join("cache")));
    let report: Value = serde_json::from_slice(&measured.output.stdout).unwrap();
    let package = &report["packages"][0];
    assert_eq!(package["verdict"], "reproduced", "{report:#}");
    let drv = package["attempts"][0]["drv"].as_str().unwrap();
    let recipe = Command::new("nix-store").args(["--query", "--binding", "recipe", drv]).output().unwrap();
    let recipe: Value = serde_json::from_slice(&recipe.stdout).unwrap();
    let path = |key: &str| PathBuf::from(recipe["commit"][key].as_str().unwrap());
    let trees = std::fs::metadata(path("trees")).unwrap().len();
    Cost { time: measured.time, peak: measured.peak, store: size(&path("source")), wire: site.server.sent(), trees }
}

fn size(path: &Path) -> u64 {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    if !metadata.is_dir() {
        return metadata.len();
    }
    std::fs::read_dir(path).unwrap().map(|entry| size(&entry.unwrap().path())).sum()
}

fn main() {
    let site = Site::new();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    println!("             time      driver's peak      store    over http   trees in the store");
    let (mut alone, mut member) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let number = now.wrapping_add(round);
        let bare = site.repository("alone");
        alone.push(cost(&site, &bare, &package("alone", "alone", "", number), "alone", ""));
        let bare = site.repository("family");
        member.push(cost(&site, &bare, &workspace(number), "large", "members/large"));
    }
    for (name, costs) in [("alone", &mut alone), ("of 300", &mut member)] {
        costs.sort_by_key(|cost| cost.time);
        let Cost { time, peak, store, wire, trees } = &costs[costs.len() / 2];
        println!(
            "{name:<8} {:>6.2} s {peak:>15} MB {:>7} kB {:>9} kB {:>15} kB",
            time.as_secs_f64(),
            store / 1000,
            wire / 1000,
            trees / 1000
        );
    }
}
