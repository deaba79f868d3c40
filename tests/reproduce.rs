//! One crate reproduced, here and elsewhere: on a machine without recrate and without network, by a user whom its Nix
//! does not trust.

mod common;

use std::path::Path;

use common::daemon::{Daemon, as_nobody, install};
use common::{recrate, root};
use serde_json::Value;

/// Verifies the example registry into `run` below a folder.
fn verified(folder: &Path) {
    let mut program = recrate();
    program.current_dir(root().join("examples/registry")).args(["verify", "--quiet", "--out"]);
    program.arg(folder.join("run")).assert().code(1);
}

fn reproduce(folder: &Path, arguments: &[&str]) -> assert_cmd::Command {
    let mut program = recrate();
    program.current_dir(folder).args(["reproduce", "--run", "run", "--quiet"]).args(arguments);
    program
}

/// What is the same on every machine of what is said.
fn plain(said: &[u8], folder: &Path) -> String {
    let text = String::from_utf8_lossy(said).replace(&folder.display().to_string(), "HERE");
    let hash = |text: &str, before: &str, length: usize| -> String {
        let mut parts = text.split(before);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| format!("{text}{before}HASH{}", &part[length..]))
    };
    hash(&hash(&text, "/nix/store/", 32), "sha256:", 52)
}

#[test]
fn three_questions_are_kept_apart() {
    let folder = tempfile::tempdir().unwrap();
    verified(folder.path());
    let said = |krate: &str, code: i32| {
        let done = reproduce(folder.path(), &[krate]).assert().code(code);
        plain(&done.get_output().stdout, folder.path())
    };
    insta::assert_snapshot!(said("honest@1.0.0", 0), @r#"
    honest@1.0.0 from https://git.example/recrate/honest at 6e02fca0017348c23419b01241b131b555090b51, cargo 1.85.1

    With plain Nix:
      nix-instantiate HERE/recrate.reproduce/plan.nix -A rebuilds.honest-1_0_0 --argstr planFile HERE/recrate.reproduce/plan.json
      nix-store --realise /nix/store/HASH-rebuild-honest-1.0.0.drv
      nix-store --realise --check /nix/store/HASH-rebuild-honest-1.0.0.drv
      sha256sum /nix/store/HASH-rebuild-honest-1.0.0/honest-1.0.0.crate

    Is it deterministic here?    yes: built again, it is the same
    Does it equal the registry?  yes: sha256 d1a6033f6357678ad57b59204943a2d11c97cb4014f7f54c8a923387141b1dc5
    Do others get the same?      if their /nix/store/HASH-rebuild-honest-1.0.0 has sha256:HASH
    "#);
    let answers = |krate: &str, code: i32| said(krate, code).lines().rev().take(3).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(answers("vintage@1.0.0", 1), @"
    Do others get the same?      if their /nix/store/HASH-rebuild-vintage-1.0.0 has sha256:HASH
    Does it equal the registry?  no: same contents
    Is it deterministic here?    no: built again, it differs; a cargo before 1.50 writes the clock into the archive
    ");
    insta::assert_snapshot!(answers("stale-lock@1.0.0", 0), @"
    Do others get the same?      if their /nix/store/HASH-rebuild-stale-lock-1.0.0 has sha256:HASH
    Does it equal the registry?  yes: sha256 0f7fae21c436e291de45c3373a4a728ef95d580b6ec664e4ebab5fe06519fb9d, published Cargo.lock as input
    Is it deterministic here?    yes: built again, it is the same
    ");
}

#[test]
fn what_cannot_be_reproduced_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    verified(folder.path());
    let said = |arguments: &[&str]| {
        let done = reproduce(folder.path(), arguments).assert().code(2);
        String::from_utf8(done.get_output().stderr.clone()).unwrap()
    };
    let all = [
        said(&["lost@1.0.0"]),
        said(&["absent@1.0.0"]),
        said(&["honest@1.0.0", "--export", "run"]),
        String::from_utf8(
            recrate()
                .current_dir(&folder)
                .args(["reproduce", "honest@1.0.0"])
                .assert()
                .code(2)
                .get_output()
                .stderr
                .clone(),
        )
        .unwrap(),
    ];
    insta::assert_snapshot!(all.concat().replace(&folder.path().display().to_string(), "HERE"), @"
    error: lost@1.0.0 can't be rebuilt: `recrate verify lost@1.0.0` shows why
    error: run/plan.json has no absent@1.0.0
    error: HERE/run is not empty: give another folder
    error: recrate.out/plan.json: No such file or directory (os error 2)
    help: run `recrate verify honest@1.0.0` first, or give --from-plan
    ");
}

#[test]
fn a_bundle_is_enough_for_a_user_whom_nix_does_not_trust() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), Path::new(env!("CARGO_BIN_EXE_recrate")));
    verified(folder.path());
    reproduce(folder.path(), &["stale-lock@1.0.0", "--export", "home/bundle"]).assert().success();
    // Nix 2.8 notes realisations in a cache that it only reads.
    let everybody = std::process::Command::new("chmod").args(["-R", "a+rwX"]).arg(folder.path().join("home")).status();
    assert!(everybody.unwrap().success());
    let daemon = Daemon::start(folder.path());
    let bundle = folder.path().join("home/bundle");
    let how_to = std::fs::read_to_string(bundle.join("README")).unwrap();
    let commands: Vec<&str> = how_to.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(commands.len(), 3);
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for command in &commands {
        assert!(readme.contains(&format!("\n$ {command}\n")), "the README shows {command}");
    }
    let run = |command: &str| {
        let mut shell = as_nobody(&bundle, Path::new("sh"));
        let done = shell.args(["-c", command]).env("NIX_REMOTE", &daemon.address).assert().success();
        String::from_utf8(done.get_output().stdout.clone()).unwrap()
    };
    run(commands[0]);
    run(commands[1]);
    // The daemon's store is not where this machine's is.
    let verdict =
        run(&commands[2].replace("cat $(nix-store", &format!("cat {}/$(nix-store", daemon.real("").display())));
    assert!(verdict.starts_with("reproduced (1)\n  stale-lock 1.0.0\n"), "{verdict}");
    assert!(verdict.contains("published Cargo.lock as input"), "{verdict}");
    let log = daemon.log();
    assert!(log.contains(", user ") && !log.contains("trusted"), "{log}");
}

#[test]
fn nothing_needs_trust() {
    let folder = tempfile::tempdir().unwrap();
    let program = install(folder.path(), Path::new(env!("CARGO_BIN_EXE_recrate")));
    let daemon = Daemon::start(folder.path());
    let mut verify = as_nobody(&folder.path().join("home"), &program);
    verify.args(["verify", "--quiet", "--format", "json", "--store", &daemon.address]);
    verify.arg("--data").arg(folder.path().join("data"));
    let done = verify.arg(folder.path().join("example/Cargo.lock")).assert().code(1);
    let theirs: Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
    verified(folder.path());
    let mine: Value = serde_json::from_slice(&std::fs::read(folder.path().join("run/report.json")).unwrap()).unwrap();
    assert_eq!(theirs, mine, "verdicts, derivations and outputs");
    let log = daemon.log();
    assert!(log.contains(", user ") && !log.contains("trusted"), "{log}");
}
