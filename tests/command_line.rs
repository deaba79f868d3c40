//! What people see of the command line: help, errors, exit status.

mod common;

use std::path::Path;

use common::recrate;

fn help(arguments: &[&str]) -> String {
    // Help is as wide as the terminal: here, as wide as it likes.
    let done = recrate().args(arguments).env("COLUMNS", "100").assert().success();
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

#[test]
fn help_teaches() {
    let commands: [&[&str]; 12] = [
        &["--help"],
        &["verify", "--help"],
        &["plan", "--help"],
        &["explain", "--help"],
        &["diff", "--help"],
        &["reproduce", "--help"],
        &["toolchain", "--help"],
        &["toolchain", "add", "--help"],
        &["cache", "clean", "--help"],
        &["clean", "--help"],
        &["doctor", "--help"],
        &["completions", "--help"],
    ];
    let all = commands.map(|arguments| format!("$ recrate {}\n{}", arguments.join(" "), help(arguments)));
    insta::with_settings!({ prepend_module_to_snapshot => false }, { insta::assert_snapshot!("help", all.join("\n")) });
}

/// Runs in an empty folder; gives the exit status and what was said.
fn run(arguments: &[&str], input: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let done = recrate().current_dir(folder.path()).args(arguments).write_stdin(input).output().unwrap();
    (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
}

#[test]
fn what_can_not_be_read_is_told_with_what_to_do() {
    for (arguments, input, words) in [
        (&["verify"][..], "", "failed to read Cargo.lock: No such file or directory (os error 2)\nhelp: give the path"),
        (&["verify", "nowhere/Cargo.lock"], "", "give the path of a Cargo.lock, or NAME@VERSION"),
        (&["verify", "-"], "not a lock file", "this is not a Cargo.lock that recrate can read"),
        (&["verify", "/"], "", "failed to read /"),
        (&["verify", "serde@one"], "", "is not of the form NAME@VERSION"),
        (&["verify", "serde@1.0.0", "Cargo.lock"], "", "is not of the form NAME@VERSION"),
        (&["verify", "a", "b"], "", "give one lock file"),
        (&["verify", "--accept", "good"], "", "possible values"),
        (&["verify", "a@1.0.0", "--git-mirror", "nonsense"], "", "expected PREFIX=REPLACEMENT"),
        (&["verify", "a@1.0.0", "--git-mirror", "https://a/=ext::sh -c x"], "", "neither an https"),
        (&["verify", "a@1.0.0", "--config", "nowhere.toml"], "", "nowhere.toml"),
        (&["diff", "serde@1.0.0"], "", "run `recrate verify serde@1.0.0` first"),
        (&["toolchain", "add", "nowhere"], "", "nowhere"),
        (&["toolchain", "add", "--name", "../x", "/usr/bin/env"], "", "a toolchain's name has"),
        (&["nonsense"], "", "unrecognized subcommand"),
    ] {
        let (code, said) = run(arguments, input);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_lock_file_without_registry_crates_has_nothing_to_verify() {
    let lock = "version = 4\n\n[[package]]\nname = \"mine\"\nversion = \"0.1.0\"\n";
    let done = recrate().args(["verify", "-"]).write_stdin(lock).assert().code(4);
    let said = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
    assert!(said.contains("mine 0.1.0 (path)") && said.contains("nothing to verify"), "{said}");
}

#[test]
fn without_nix_the_machinery_fails_and_says_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut recrate = recrate();
    let done = recrate.current_dir(folder.path()).args(["verify", "serde@1.0.0"]).env("PATH", "/nonexistent").assert();
    let done = done.code(70);
    let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert!(said.contains("nix-bin"), "{said}");
}

#[test]
fn without_its_builder_the_machinery_fails_and_says_how_to_get_it() {
    let done = recrate().args(["verify", "serde@1.0.0"]).env("RECRATE_BUILDER", "/nonexistent").assert().code(70);
    let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert!(said.contains("cargo build-builder"), "{said}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut recrate = std::process::Command::new(env!("CARGO_BIN_EXE_recrate"));
    let done = recrate.args(["toolchain", "list", "--all"]).stdout(writer).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    assert!(done.status.success());
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(help(&["completions", shell]).contains("recrate"), "{shell}");
    }
}

#[test]
fn the_doctor_finds_this_machine_well() {
    let done = recrate().arg("doctor").assert().success();
    let said = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
    for check in ["Nix: nix-store (Nix)", "builder: static", "sandbox: on (a probe was built)", "toolchains: 1."] {
        assert!(said.contains(&format!("ok    {check}")), "no {check} in {said}");
    }
}

#[test]
fn the_doctor_says_what_a_run_of_a_lock_file_needs() {
    let folder = tempfile::tempdir().unwrap();
    let package = |n: u32| {
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        format!(
            "[[package]]\nname = \"p{n}\"\nversion = \"1.0.0\"\nsource = \"{registry}\"\nchecksum = \"{n:064}\"\n\n"
        )
    };
    let lock = (0..40).fold("version = 3\n\n".to_owned(), |text, n| text + &package(n));
    std::fs::write(folder.path().join("Cargo.lock"), lock).unwrap();
    let done = recrate().arg("doctor").current_dir(folder.path()).assert().success();
    let said = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
    let needs = "a first run: 40 packages of Cargo.lock take about 40.00 MB in the cache, 108.00 MB in the store and 10 seconds";
    assert!(said.contains(needs), "{said}");
}

#[test]
fn the_doctor_notices_a_limit_that_is_too_low() {
    let line = format!("ulimit -n 300 && exec '{}' doctor", env!("CARGO_BIN_EXE_recrate"));
    let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("fix:  open files: 300 at once: `ulimit -n 1024` allows more"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_doctor_tells_what_is_to_be_fixed() {
    let folder = tempfile::tempdir().unwrap();
    // A builder that links libraries, and no toolchain.
    let doctor = recrate().arg("doctor").arg("--data").arg(folder.path()).env("RECRATE_BUILDER", "/bin/sh").assert();
    let said = String::from_utf8_lossy(&doctor.code(1).get_output().stdout).into_owned();
    assert!(said.contains("fix:  builder:") && said.contains("cargo build-builder"), "{said}");
    assert!(said.contains("fix:  toolchains: none imported"), "{said}");
}

#[test]
fn the_cache_is_shown_and_cleaned_and_other_folders_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |place: &Path, arguments: &[&str]| {
        let done = recrate().args(arguments).arg("--cache").arg(place).output().unwrap();
        (done.status.code().unwrap(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
    };
    let out = folder.path().join("run");
    let run = ["verify", "none@1.0.0", "--offline", "--quiet", "--out", out.to_str().unwrap()];
    // Somebody's own folder.
    let own = folder.path().join("own");
    std::fs::create_dir_all(own.join("git")).unwrap();
    std::fs::write(own.join("git/mine"), "mine").unwrap();
    at(&own, &run);
    let (code, said) = at(&own, &["cache", "clean"]);
    assert!(code == 2 && said.contains("is not marked as a cache of recrate's"), "{said}");
    assert!(own.join("git/mine").is_file());

    // A run makes a new one.
    let cache = folder.path().join("cache");
    at(&cache, &run);
    std::fs::create_dir_all(cache.join("crates")).unwrap();
    std::fs::write(cache.join("crates/one"), "four").unwrap();
    let (_, shown) = at(&cache, &["cache", "show"]);
    assert!(shown.contains("crates             4 B       1 files  published crates\n"), "{shown}");
    assert_eq!(at(&cache, &["cache", "clean", "git", "index"]), (0, "0 B removed\n".to_owned()));
    assert_eq!(at(&cache, &["cache", "clean", "crates"]), (0, "4 B removed\n".to_owned()));
    assert!(!cache.join("crates").exists());
}
