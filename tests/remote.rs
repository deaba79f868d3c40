//! More than one machine: builds on another host over ssh, in another store, with derivations from a third.

mod common;

use std::path::Path;

use common::ssh::Machine;
use common::{recrate, root, shared_folder};
use serde_json::Value;

fn verify(folder: &Path, machine: &Machine, arguments: &[&str]) -> Value {
    let mut program = recrate();
    program.current_dir(root().join("examples/registry")).env("NIX_SSHOPTS", &machine.options);
    program.args(["verify", "--quiet", "--format", "json", "--out"]).arg(folder.join("run")).args(arguments);
    let done = program.assert().code(1);
    serde_json::from_slice(&done.get_output().stdout).unwrap()
}

fn said(report: &Value) -> Vec<Value> {
    let crates = report["packages"].as_array().unwrap().iter();
    crates.map(|krate| serde_json::json!([krate["name"], krate["verdict"], krate["attempts"]])).collect()
}

/// What there is in the other machine's store of rebuilds.
fn rebuilt(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder.join("store/nix/store")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("-rebuild-") && !name.ends_with(".drv")).count()
}

#[test]
fn a_remote_builder_builds_everything() {
    let folder = tempfile::tempdir_in(shared_folder()).unwrap();
    let machine = Machine::start(folder.path());
    let local = tempfile::tempdir().unwrap();
    let here = format!("local?root={}", local.path().join("store").display());
    let builders = format!("{} x86_64-linux - 2", machine.address);
    let remote = verify(local.path(), &machine, &["--store", &here, "--builders", &builders, "-j", "0"]);
    let plain = tempfile::tempdir().unwrap();
    assert_eq!(said(&remote), said(&verify(plain.path(), &machine, &[])));
    assert!(rebuilt(folder.path()) >= 10, "they were built there");
}

#[test]
fn another_machines_store_builds_what_is_evaluated_here() {
    let folder = tempfile::tempdir_in(shared_folder()).unwrap();
    let machine = Machine::start(folder.path());
    let local = tempfile::tempdir().unwrap();
    let evaluated = format!("local?root={}", local.path().join("eval").display());
    let arguments = ["--store", &machine.address, "--eval-store", &evaluated];
    let remote = verify(local.path(), &machine, &arguments);
    let plain = tempfile::tempdir().unwrap();
    assert_eq!(said(&remote), said(&verify(plain.path(), &machine, &[])));
    assert!(rebuilt(folder.path()) >= 10, "they were built there");
    // What another machine built can be looked at here.
    let mut diff = recrate();
    diff.current_dir(root().join("examples/registry")).args(["diff", "backdoor@1.0.0", "--out"]);
    diff.arg(local.path().join("run")).assert().code(1);
}

#[test]
fn a_binary_cache_is_only_believed_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::start(folder.path());
    let store = |name: &str| format!("local?root={}", folder.path().join(name).display());
    let run = |name: &str, more: &[&str]| {
        let place = folder.path().join(format!("run-{name}"));
        std::fs::create_dir(&place).unwrap();
        verify(&place, &machine, &[&["--store", &store(name)], more].concat())
    };
    let built = run("first", &[]);
    let cache = format!("file://{}", folder.path().join("cache").display());
    let outputs = built["packages"].as_array().unwrap().iter().flat_map(|krate| krate["attempts"].as_array().unwrap());
    let outputs: Vec<&str> = outputs.map(|tried| tried["out"].as_str().unwrap()).collect();
    let copied = std::process::Command::new("nix")
        .args(["--extra-experimental-features", "nix-command", "copy", "--from", &store("first"), "--to", &cache])
        .args(outputs)
        .status();
    assert!(copied.unwrap().success());
    // Nothing can be built without any job: what comes, comes from the cache.
    let from_cache = ["--option", "substituters", &cache, "--option", "require-sigs", "false", "--max-jobs", "0"];
    let from_cache = from_cache.map(|option| format!("--nix-option={option}"));
    let mut options: Vec<&str> = from_cache.iter().map(String::as_str).collect();
    let without = run("second", &options);
    assert!(without["verdicts"]["error"].as_u64() >= Some(9), "{}", without["verdicts"]);
    options.push("--substitute");
    assert_eq!(said(&run("third", &options)), said(&built));
}
