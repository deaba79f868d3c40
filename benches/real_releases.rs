//! How long real releases take: cold, warm, and by hand.
//!
//! ```console
//! $ cargo bench --bench real_releases
//! ```
//!
//! *Cold* is a run with nothing built and nothing seeded: the builder gets a salt, so that Nix has no build of it, and
//! commits and index slices are deleted from the store. Crates and index files are in the cache already: the network is
//! not measured. *Warm* is the same run again. *By hand* are the same cargos over checkouts that lie ready, with the
//! same index slices, one after the other, without Nix.

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::workshop::Cargo;
use common::{Release, mirror, real_releases, shared_folder, static_program};
use serde_json::Value;

fn main() {
    let Some(releases) = real_releases() else {
        eprintln!("the real commits do not lie beside this checkout: nothing is measured");
        return;
    };
    let mirrors = shared_folder().join("mirrors");
    mirror(&releases, &mirrors);
    let folder = tempfile::tempdir().unwrap();
    let builder = salted_builder(folder.path());
    let run = |name: &str| verify(&releases, &mirrors, &builder, &folder.path().join(name));

    // Brings crates and index files into the cache, and tells what there is to build.
    let first = run("first");
    let tries = tries(&first.report);
    forget(&tries);
    let builder = salted_builder(folder.path());
    let run = |name: &str| verify(&releases, &mirrors, &builder, &folder.path().join(name));
    let cold = run("cold");
    let warm = run("warm");
    assert_eq!(cold.report["verdicts"], warm.report["verdicts"]);
    let hand = by_hand(&tries, &mirrors, folder.path());

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{} releases, {} builds, {cores} cores", releases.len(), tries.len());
    println!("by hand  {:>6.2} s", hand.as_secs_f64());
    let ratio = cold.time.as_secs_f64() / hand.as_secs_f64();
    println!(
        "cold     {:>6.2} s   {ratio:.2} times by hand    driver's peak {} MB",
        cold.time.as_secs_f64(),
        cold.peak
    );
    let ratio = warm.time.as_secs_f64() / cold.time.as_secs_f64();
    println!(
        "warm     {:>6.2} s   {ratio:.3} times cold        driver's peak {} MB",
        warm.time.as_secs_f64(),
        warm.peak
    );
}

/// recrate's builder with something at its end that no other run has.
fn salted_builder(folder: &Path) -> PathBuf {
    let builder = static_program("recrate-builder");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let salted = folder.join(now.to_string()).join("recrate-builder");
    std::fs::create_dir(salted.parent().unwrap()).unwrap();
    std::fs::copy(builder, &salted).expect("`cargo build-builder` makes the builder");
    write!(std::fs::File::options().append(true).open(&salted).unwrap(), "{now}").unwrap();
    salted
}

struct Measured {
    report: Value,
    time: Duration,
    /// In MB.
    peak: u64,
}

fn verify(releases: &[Release], mirrors: &Path, builder: &Path, out: &Path) -> Measured {
    let mut recrate = Command::new(env!("CARGO_BIN_EXE_recrate"));
    recrate.arg("verify").args(releases.iter().map(Release::id)).arg("--out").arg(out).env("RECRATE_BUILDER", builder);
    recrate.args(["--format", "json", "--toolchains", "imported", "--quiet"]);
    recrate.arg(format!("--git-mirror=https://github.com/={}/", mirrors.display()));
    let start = Instant::now();
    let mut child = recrate.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // The kernel keeps the peak itself: the last look is the one that counts.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let said = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = said.map_or(peak, |kilobytes| kilobytes / 1000);
        std::thread::sleep(Duration::from_millis(5));
    }
    let time = start.elapsed();
    let report = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    Measured { report, time, peak }
}

/// One build: what decides it.
struct Build {
    id: String,
    repository: String,
    commit: String,
    path: String,
    drv: String,
    minor: u32,
}

/// Every build of a run, once.
fn tries(report: &Value) -> Vec<Build> {
    let mut builds: Vec<Build> = Vec::new();
    for krate in report["packages"].as_array().unwrap() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for tried in krate["attempts"].as_array().unwrap() {
            let drv = text(&tried["drv"]);
            if builds.iter().all(|build| build.drv != drv) {
                builds.push(Build {
                    id: format!("{}-{}", text(&krate["name"]), text(&krate["version"])),
                    repository: text(&krate["findings"]["origin"]["repository"]),
                    commit: text(&krate["findings"]["origin"]["commit"]),
                    path: text(&krate["findings"]["origin"]["path"]),
                    drv,
                    minor: text(&tried["toolchain"]).split('.').nth(1).unwrap().parse().unwrap(),
                });
            }
        }
    }
    builds
}

/// What a derivation tells the builder.
fn recipe(drv: &str) -> Value {
    let output = Command::new("nix-store").args(["--query", "--binding", "recipe", drv]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Deletes commits and index slices from the store, as far as nobody else holds them.
fn forget(builds: &[Build]) {
    for build in builds {
        let recipe = recipe(&build.drv);
        let paths = [&recipe["commit"]["source"], &recipe["index"]].map(|path| path.as_str().unwrap().to_owned());
        let _ =
            Command::new("nix-store").arg("--delete").args(paths).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Runs the same cargos over checkouts that lie ready.
fn by_hand(builds: &[Build], mirrors: &Path, folder: &Path) -> Duration {
    let mut commands = Vec::new();
    for (number, build) in builds.iter().enumerate() {
        let place = folder.join(format!("hand-{number}"));
        let (tree, home) = (place.join("tree"), place.join("home"));
        std::fs::create_dir_all(&home).unwrap();
        let mirror = format!("{}.git", build.repository.trim_start_matches("https://github.com/"));
        git(&["init", "-q", tree.to_str().unwrap()]);
        let from = mirrors.join(mirror);
        let inside = ["-C", tree.to_str().unwrap()];
        git(&[&inside[..], &["fetch", "-q", "--depth=1", from.to_str().unwrap(), &build.commit]].concat());
        git(&[&inside[..], &["checkout", "-q", &build.commit]].concat());
        let recipe = recipe(&build.drv);
        let lock = &recipe["publishedLockfile"];
        for path in lock["folders"].as_array().into_iter().flatten() {
            let content = lock["content"].as_str().unwrap();
            let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, content).unwrap();
            std::fs::write(tree.join(path.as_str().unwrap()).join("Cargo.lock"), bytes).unwrap();
        }
        let index = recipe["index"].as_str().unwrap();
        let config =
            format!("[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nlocal-registry = \"{index}\"\n");
        std::fs::write(home.join("config.toml"), &config).unwrap();
        std::fs::write(home.join("config"), &config).unwrap();
        let mut cargo = Cargo::find(build.minor).expect("it was used before").command();
        cargo.args(["package", "--no-verify", "--offline", "--allow-dirty"]).current_dir(tree.join(&build.path));
        cargo.env("CARGO_HOME", &home).env("CARGO_TARGET_DIR", place.join("target"));
        cargo.stdout(Stdio::null()).stderr(Stdio::null());
        commands.push((build.id.clone(), cargo));
    }
    let start = Instant::now();
    for (id, command) in &mut commands {
        // Some refuse, as they do in the sandbox: that takes its time, too.
        let status = command.status();
        assert!(status.is_ok(), "{id}");
    }
    start.elapsed()
}

fn git(arguments: &[&str]) {
    assert!(Command::new("git").args(arguments).stderr(Stdio::null()).status().unwrap().success(), "{arguments:?}");
}
