//! The flake, with a stand-in for nixpkgs that hands over the programs which cargo built.

mod common;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use common::store::as_official_archive;
use common::workshop::{Cargo, hex};
use common::{assert_fits, root, static_program};
use sha2::{Digest as _, Sha256};

/// The stand-in for nixpkgs with the programs in it.
fn nixpkgs(folder: &Path) -> PathBuf {
    let stand_in = folder.join("nixpkgs");
    let recrate = Path::new(env!("CARGO_BIN_EXE_recrate"));
    let [builder, fetcher, judge] = ["recrate-builder", "recrate-fetcher", "recrate-judge"].map(static_program);
    let packages = [
        ("recrate-builder", vec![&*builder]),
        ("recrate-fetcher", vec![&*fetcher]),
        ("recrate-judge", vec![&*judge]),
        ("recrate", vec![recrate, &builder, &fetcher, &judge]),
    ];
    for (package, programs) in packages {
        let bin = stand_in.join("programs").join(package).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        for program in programs {
            std::fs::copy(program, bin.join(program.file_name().unwrap())).expect("scripts/setup builds the programs");
        }
    }
    let libraries = Cargo::find(85).unwrap().folder.join("lib");
    for package in ["glibc", "libgcc"] {
        let lib = stand_in.join("programs").join(package).join("lib");
        std::fs::create_dir_all(lib.join("gconv")).unwrap();
        for library in std::fs::read_dir(&libraries).unwrap().map(|entry| entry.unwrap()) {
            let name = library.file_name();
            if (package == "libgcc") == name.to_string_lossy().contains("gcc") {
                std::fs::copy(library.path(), lib.join(name)).unwrap();
            }
        }
    }
    std::os::unix::fs::symlink("recrate", stand_in.join("programs/recrate/bin/recrate-verify")).unwrap();
    std::fs::copy(root().join("tests/nixpkgs/flake.nix"), stand_in.join("flake.nix")).unwrap();
    stand_in
}

/// The flake as a user has it: what git tracks, without what was built.
fn flake(folder: &Path) -> PathBuf {
    let flake = folder.join("flake");
    let output = std::process::Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    for path in String::from_utf8(output.stdout).unwrap().split_terminator('\0') {
        let (from, to) = (root().join(path), flake.join(path));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let _ = std::fs::copy(from, to);
    }
    flake
}

fn nix(arguments: &[&str], flake: &Path, nixpkgs: &Path) -> Command {
    let mut nix = Command::new("nix");
    nix.args(["--extra-experimental-features", "nix-command flakes", "--option", "substitute", "false"]);
    nix.args(arguments).arg("--no-write-lock-file").args(["--override-input", "nixpkgs"]);
    nix.arg(format!("path:{}", nixpkgs.display())).current_dir(flake);
    nix
}

#[test]
fn the_app_verifies_a_lock_file() {
    let folder = tempfile::tempdir().unwrap();
    let (flake, nixpkgs) = (flake(folder.path()), nixpkgs(folder.path()));
    let reference = format!("path:{}#verify", flake.display());
    let example = root().join("examples/registry");
    let mut run = nix(&["run", &reference], &flake, &nixpkgs);
    run.args(["--", "Cargo.lock", "--toolchains", "imported", "--quiet", "--out"]).arg(folder.path().join("run"));
    let done = run.current_dir(example).assert().code(1);
    let said = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
    assert!(said.contains("14 packages: 1 checksum mismatch"), "{said}");
}

#[test]
fn the_flake_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let (flake, nixpkgs) = (flake(folder.path()), nixpkgs(folder.path()));
    let reference = format!("path:{}", flake.display());
    nix(&["flake", "check", &reference], &flake, &nixpkgs).assert().success();
    let shown = nix(&["flake", "show", &reference, "--json"], &flake, &nixpkgs).assert().success();
    let shown: serde_json::Value = serde_json::from_slice(&shown.get_output().stdout).unwrap();
    for output in ["apps", "checks", "devShells", "formatter", "hydraJobs", "overlays", "packages", "templates"] {
        assert!(shown[output].is_object(), "no {output} in {shown:#}");
    }
    let jobs = shown["hydraJobs"]["verdicts"].as_object().unwrap();
    assert_eq!(jobs.len(), 14, "one for each crate of the example");
    for job in jobs.keys() {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        assert!(job.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && job.chars().all(legal), "{job}");
    }
}

/// A plan of this machine's cargos and programs, of a lock file of the example registry.
fn plan_of(lock: &Path, to: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let mut recrate = Command::new(env!("CARGO_BIN_EXE_recrate"));
    recrate.current_dir(root().join("examples/registry")).args(["plan", "-", "--quiet", "--output"]).arg(to);
    let done = recrate.arg("--out").arg(folder.path().join("run")).pipe_stdin(lock).unwrap().output().unwrap();
    assert!(matches!(done.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&done.stderr));
}

fn build(installable: &str, flake: &Path, nixpkgs: &Path, more: &[&str]) -> Result<PathBuf, String> {
    let mut build = nix(&[&["build", "--no-link", "--json", installable], more].concat(), flake, nixpkgs);
    let output = build.output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let built: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    Ok(built[0]["outputs"]["out"].as_str().unwrap().into())
}

#[test]
fn the_jobs_of_the_example_say_what_verify_says() {
    let folder = tempfile::tempdir().unwrap();
    let (flake, nixpkgs) = (flake(folder.path()), nixpkgs(folder.path()));
    plan_of(&flake.join("examples/registry/Cargo.lock"), &flake.join("examples/registry/plan.json"));
    let report = build(&format!("path:{}#hydraJobs.report", flake.display()), &flake, &nixpkgs, &[]).unwrap();
    let text = std::fs::read_to_string(report.join("report.txt")).unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    // The counts and the decision.
    let end = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("14 packages: ") || line.starts_with("policy "));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(end(&text).len(), 2);
    assert_eq!(end(&text), end(readme.split("```text\n").nth(1).unwrap().split("```").next().unwrap()));
    assert!(report.join("nix-support/failed").exists(), "the aggregate is red");
}

#[test]
fn the_template_has_a_red_and_a_green_job() {
    let folder = tempfile::tempdir().unwrap();
    let (flake, nixpkgs) = (flake(folder.path()), nixpkgs(folder.path()));
    let project = folder.path().join("project");
    std::fs::create_dir(&project).unwrap();
    let template = root().join("templates/hydra");
    for file in ["Cargo.lock", "flake.nix", "recrate.toml"] {
        std::fs::copy(template.join(file), project.join(file)).unwrap();
    }
    plan_of(&template.join("Cargo.lock"), &project.join("plan.json"));
    let inputs = [
        "--override-input",
        "recrate",
        &format!("path:{}", flake.display()),
        "--override-input",
        "recrate/nixpkgs",
        &format!("path:{}", nixpkgs.display()),
    ];
    let job = |job: &str| build(&format!("path:{}#{job}", project.display()), &project, &nixpkgs, &inputs);
    assert!(!job("hydraJobs.verdicts.honest-1_0_0").unwrap().join("nix-support/failed").exists());
    assert!(job("hydraJobs.verdicts.backdoor-1_0_0").unwrap().join("nix-support/failed").exists());
    assert!(job("hydraJobs.report").unwrap().join("nix-support/failed").exists());
    job("checks.x86_64-linux.honest-1_0_0").unwrap();
    let said = job("checks.x86_64-linux.backdoor-1_0_0").unwrap_err();
    assert!(said.contains("only in the published crate"), "{said}");
    let jobsets: serde_json::Value =
        serde_json::from_slice(&std::fs::read(template.join("jobsets.json")).unwrap()).unwrap();
    assert_eq!(jobsets["crates"]["type"], 1, "a flake's jobset");
}

#[test]
fn official_cargos_run_with_the_c_library_of_nixpkgs() {
    let folder = tempfile::tempdir().unwrap();
    let (flake, nixpkgs) = (flake(folder.path()), nixpkgs(folder.path()));
    let file = flake.join("examples/registry/plan.json");
    let lock = root().join("templates/hydra/Cargo.lock");
    std::fs::copy(&lock, flake.join("examples/registry/Cargo.lock")).unwrap();
    plan_of(&lock, &file);
    let mut plan: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let mut origin = as_official_archive(folder.path(), "1.85.1");
    // A C library that nobody has.
    origin["runtime"] = format!("sha256-{}=", "A".repeat(43)).into();
    plan["toolchains"]["1.85.1"]["origin"] = origin;
    std::fs::write(&file, plan.to_string()).unwrap();
    let job = format!("path:{}#hydraJobs.verdicts.honest-1_0_0", flake.display());
    let verdict = build(&job, &flake, &nixpkgs, &[]).unwrap();
    let products = std::fs::read_to_string(verdict.join("nix-support/hydra-build-products")).unwrap();
    let rebuilt = products.lines().find_map(|line| line.strip_prefix("file crate-rebuilt ")).unwrap();
    let checksum = hex(&Sha256::digest(std::fs::read(rebuilt).unwrap()));
    assert_eq!(checksum, plan["packages"]["honest-1_0_0"]["checksum"].as_str().unwrap());
    // It is the test's own archive: that gets no verdict, whatever it builds.
    let said = std::fs::read_to_string(verdict.join("verdict.txt")).unwrap();
    assert!(said.starts_with("error (1)") && said.contains("is not the official release 1.85.1"), "{said}");
}

#[test]
fn without_flakes_there_is_a_door_too() {
    let folder = tempfile::tempdir().unwrap();
    let (flake, nixpkgs) = (flake(folder.path()), nixpkgs(folder.path()));
    let plan = folder.path().join("plan.json");
    plan_of(&root().join("templates/hydra/Cargo.lock"), &plan);
    let example = root().join("examples/registry");
    let arguments = format!(
        "{{ crates = \"file://${{{0}/registry}}\"; registry = \"${{{0}/registry}}\"; \
         gitMirrors = \"https://git.example/recrate/=${{{0}/repositories}}/\"; }}",
        example.display()
    );
    let pkgs = format!("(import {}/flake.nix).outputs {{ self = null; }}", nixpkgs.display());
    let mut build = Command::new("nix-build");
    build.arg(flake.join("default.nix")).args([
        "-A",
        "jobs.report",
        "--no-out-link",
        "--option",
        "substitute",
        "false",
    ]);
    build.arg("--arg").arg("pkgs").arg(format!("({pkgs}).legacyPackages.x86_64-linux"));
    build.arg("--argstr").arg("planFile").arg(&plan).args(["--arg", "arguments", &arguments]);
    let done = build.assert().success();
    let out = PathBuf::from(String::from_utf8_lossy(&done.get_output().stdout).trim());
    assert!(std::fs::read_to_string(out.join("report.txt")).unwrap().contains("1 source differs, 1 reproduced"));
}

#[test]
fn the_committed_plans_are_what_recrate_plans_today() {
    let folder = tempfile::tempdir().unwrap();
    for committed in ["examples/registry", "templates/hydra"].map(|place| root().join(place)) {
        let today = folder.path().join("plan.json");
        plan_of(&committed.join("Cargo.lock"), &today);
        let read = |file: &Path| {
            let mut plan: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            assert_fits("plan.schema.json", &plan);
            // Programs and cargos are those of the machine that planned.
            for pin in ["builder", "fetcher", "judge", "toolchains"] {
                plan.as_object_mut().unwrap().remove(pin);
            }
            // So is the day on which repositories were asked.
            for package in plan["packages"].as_object_mut().unwrap().values_mut() {
                for place in ["/build/rebuild/claims/asked/date", "/build/obstacle/origin/asked/date"] {
                    package.pointer_mut(place).map(serde_json::Value::take);
                }
            }
            plan
        };
        assert_eq!(read(&committed.join("plan.json")), read(&today), "{}", committed.display());
    }
}
