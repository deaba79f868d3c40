//! The flake, with a stand-in for nixpkgs that hands over the programs which cargo built.

mod common;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use common::{root, static_program};

/// The stand-in for nixpkgs with the programs in it.
fn nixpkgs(folder: &Path) -> PathBuf {
    let stand_in = folder.join("nixpkgs");
    let recrate = Path::new(env!("CARGO_BIN_EXE_recrate"));
    let (builder, fetcher) = (static_program("recrate-builder"), static_program("recrate-fetcher"));
    let packages = [
        ("recrate-builder", vec![&*builder]),
        ("recrate-fetcher", vec![&*fetcher]),
        ("recrate", vec![recrate, &builder, &fetcher]),
    ];
    for (package, programs) in packages {
        let bin = stand_in.join("programs").join(package).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        for program in programs {
            std::fs::copy(program, bin.join(program.file_name().unwrap())).expect("scripts/setup builds the programs");
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
    assert!(said.contains("13 crates: 1 checksum mismatch"), "{said}");
}

#[test]
fn the_flake_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let (flake, nixpkgs) = (flake(folder.path()), nixpkgs(folder.path()));
    let reference = format!("path:{}", flake.display());
    nix(&["flake", "check", &reference], &flake, &nixpkgs).assert().success();
    let shown = nix(&["flake", "show", &reference, "--json"], &flake, &nixpkgs).assert().success();
    let shown: serde_json::Value = serde_json::from_slice(&shown.get_output().stdout).unwrap();
    for output in ["apps", "devShells", "formatter", "overlays", "packages"] {
        assert!(shown[output].is_object(), "no {output} in {shown:#}");
    }
}
