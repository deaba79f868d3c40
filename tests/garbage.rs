//! What stays and what goes: builds that a report names are kept, and can be let go; what was collected is built again.

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::place::Place;
use common::recrate;
use common::workshop::{Cargo, Files, Release, files};
use serde_json::Value;

const RELEASE: Release<'_> =
    Release { name: "kept", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };

/// A crate that a commit is packaged to. `salt` makes it another one in each run of the tests.
fn published() -> Place {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let salt = format!("//! {now}\n");
    let manifest = "[package]\nname = \"kept\"\nversion = \"1.0.0\"\nedition = \"2018\"\nlicense = \"MIT\"\n\
        description = \"Kept\"\nrepository = \"https://git.example/recrate/kept\"\n";
    let place = Place::new();
    let repository = place.repository("kept");
    repository.commit(&files([("Cargo.toml", manifest), ("src/lib.rs", &salt)]), "kept 1.0.0");
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    place.registry.publish(&RELEASE, &cargo.package(&repository, "", &place.registry.path, &Files::new()));
    place
}

fn verify(place: &Place) -> Value {
    let mut recrate = recrate();
    recrate.current_dir(place.folder.path()).args([
        "verify",
        "kept@1.0.0",
        "--format",
        "json",
        "--toolchains",
        "imported",
    ]);
    let said = recrate.output().unwrap();
    serde_json::from_slice(&said.stdout).unwrap()
}

fn output(report: &Value) -> String {
    report["packages"][0]["attempts"][0]["out"].as_str().unwrap().to_owned()
}

/// Whether garbage collection would take this.
fn can_be_collected(path: &str) -> bool {
    Command::new("nix-store").args(["--delete", path]).output().unwrap().status.success()
}

#[test]
fn what_a_report_names_is_kept_until_it_is_let_go() {
    let place = published();
    let clean = |arguments: &[&str]| {
        let done = recrate().current_dir(place.folder.path()).arg("clean").args(arguments).assert().success();
        String::from_utf8(done.get_output().stdout.clone()).unwrap()
    };
    let first = verify(&place);
    assert_eq!(first["packages"][0]["verdict"], "reproduced", "{first:#}");
    let out = output(&first);
    assert!(!can_be_collected(&out), "the run keeps it");
    assert_eq!(verify(&place)["packages"], first["packages"]);
    assert!(!can_be_collected(&out), "so does one that recalls what the first one found");
    clean(&[]);
    assert!(!can_be_collected(&out), "only the run before the last one was let go");
    assert!(clean(&["--all"]).contains("1 builds are free to be collected"));
    assert!(PathBuf::from(&out).exists() && can_be_collected(&out));
    // What is gone is built again.
    assert_eq!(verify(&place)["packages"], first["packages"]);
    assert!(PathBuf::from(&out).exists());
}
