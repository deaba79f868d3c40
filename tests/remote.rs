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
    let crates = report["crates"].as_array().unwrap().iter();
    crates.map(|krate| serde_json::json!([krate["name"], krate["verdict"], krate["tries"]])).collect()
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
