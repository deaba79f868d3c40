//! The two generators, the one in the driver and `nix/plan.nix`, derive the same from every kind of plan.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{assert_fits, root, workshop};
use recrate::stages::derivation::derive;
use recrate::stages::plan::Plan;
use serde_json::{Value, json};
use sha2::Digest as _;

fn run(command: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(command).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// What `nix/plan.nix` derives: `.drv` paths by job.
fn by_nix(plan: &Value) -> Result<BTreeMap<String, String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    std::fs::write(&file, plan.to_string()).unwrap();
    let nix = concat!(env!("CARGO_MANIFEST_DIR"), "/nix/plan.nix");
    let arguments =
        ["--eval", "--strict", "--json", "--read-write-mode", nix, "-A", "drvPaths", "--argstr", "planFile"];
    let said = run("nix-instantiate", &[&arguments[..], &[file.to_str().unwrap()]].concat())?;
    Ok(serde_json::from_str(&said).unwrap())
}

/// What the driver derives.
fn by_driver(plan: &Value) -> Result<BTreeMap<String, String>, String> {
    let plan: Plan = serde_json::from_value(plan.clone()).map_err(|error| error.to_string())?;
    let derivations = derive(&plan).map_err(|error| error.to_string())?;
    Ok(derivations.rebuilds.into_iter().map(|(job, hermetic)| (job, hermetic.drv)).collect())
}

fn sri(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(sha2::Sha256::digest(text)))
}

/// A plan with every kind of entry, each with every other.
fn every_kind() -> Value {
    let (index, bare) = (sri("index"), "a".repeat(40));
    let with_submodules = "b".repeat(40);
    let commit = |name: &str| {
        let source = |folder: &str| sri(&format!("{name} {folder}"));
        json!({
            "repository": "https://git.example/team/kinds", "trees": sri(name),
            // Longer than a variable of the environment can be.
            "object": BASE64.encode(vec![b'x'; 200_000]),
            "sources": { "": source(""), "crates/ö": source("ö"), "crates/sub": source("sub") }
        })
    };
    let toolchain = |name: &str, release: &str, origin: Value| json!({ "name": name, "release": release, "minor": 85, "origin": origin });
    let archive = json!({
        "kind": "archive", "url": "https://dist.example/cargo.tar.xz", "sha256": sri("archive"), "runtime": sri("runtime")
    });
    let pin = json!({
        "narHash": sri("slice"), "until": "2025-03-01T12:00:00Z", "late": { "a": ["1.9.0"] }, "pinned": { "a": ["1.0.0"] }, "secondFormat": true, "byCompiler": false, "names": ["a", "b-c"],
        "requirements": { "a": [">=0.9, <2", "^1"] }, "locked": { "b-c": ["1.0.0+x", "2.0.0-rc.1"] }, "yanked": ["a@1.0.0"]
    });
    let mut plain = pin.clone();
    plain["pinned"] = json!({});
    let crlf = [json!("none"), json!("all"), json!({ "files": ["a b", "ö/c"] })];
    let executables = ["as-committed", "none", "all"];
    let further = [
        (json!({}), json!([]), json!({})),
        (
            json!({ "vendor/a b": bare, "vendor/ö": with_submodules }),
            json!([]),
            json!({ "crates/a b": "all", "fuzz": "dev-dependencies" }),
        ),
        (
            json!({}),
            json!([
                { "commit": bare, "packages": ["", "ö"], "reference": { "branch": "a\"b" }, "url": "https://git.example/a/b?c" },
                { "commit": with_submodules, "packages": [], "reference": "default", "url": "https://git.example/x" },
            ]),
            json!({}),
        ),
    ];
    let asked = json!({ "source": "git.example", "date": "2026-11-01" });
    let reaches = [
        (json!({ "kind": "unknown", "reason": "\u{1b}[31m" }), Value::Null),
        (json!({ "kind": "unreachable" }), asked.clone()),
        (json!({ "kind": "reached", "branch": "ö", "tag": null }), asked.clone()),
    ];
    let registries = ["default", "https://git.example/index", "sparse+https://index.example/~a_b/?c=(d)"];
    let names = ["kinds", "kinds_two", "kinds-two"];
    let mut packages = serde_json::Map::new();
    for toolchain in ["1.85.1", "official-1.85.1", "nightly"] {
        for commit in [&bare, &with_submodules] {
            for flags in 0..8 {
                for (path, lock) in [
                    ("", Value::Null),
                    (
                        "crates/sub",
                        json!({ "content": "dmVyc2lvbiA9IDQK", "completion": "update-workspace", "folders": ["", "crates/sub"] }),
                    ),
                ] {
                    let number = packages.len();
                    let version = if number.is_multiple_of(2) {
                        format!("{number}.0.0")
                    } else {
                        format!("{number}.0.0-rc.1+b.2")
                    };
                    let (name, registry) = (names[number % 3], registries[number / 3 % 3]);
                    let (submodules, git_dependencies, prune) = &further[number % 3];
                    let (reach, asked) = &reaches[number % 3];
                    let recipe = json!({
                        "toolchain": toolchain, "commit": commit, "packagePath": path, "index": if lock.is_null() { sri("plain") } else { index.clone() },
                        "sourceFolder": if flags & 1 == 0 { path } else { "" },
                        "indexMode": if lock.is_null() { "at-publication" } else { "published-lock" },
                        "checkout": {
                            "crlf": crlf[flags % 3],
                            "linksAsText": flags & 2 != 0,
                            "executables": executables[flags / 3],
                        },
                        "lfs": if flags & 4 == 0 { json!({}) } else { json!({ "a b.png": sri("object"), "ö/\"": sri("object") }) },
                        "submodules": submodules, "gitDependencies": git_dependencies, "prune": prune,
                        "outsideGit": flags & 1 != 0, "allowDirty": flags & 2 != 0, "excludeLockfile": flags & 4 != 0,
                        "publishedLockfile": lock,
                    });
                    let rebuild = json!({
                        "checksum": "0".repeat(64), "recipe": recipe,
                        "url": if flags & 1 == 0 { json!("https://crates.example/kinds.crate") } else { json!(null) },
                        "claims": { "published": "2025-03-01T12:00:00Z", "lockTracked": false, "lockFaults": [], "onlyPackage": true,
                            "repository": "https://git.example/a/b", "tag": if flags & 1 == 0 { json!(null) } else { json!("v1") },
                            "reach": reach, "asked": asked, "otherTags": [], "otherVersion": null }
                    });
                    let package = json!({
                        "name": name, "version": version, "registry": registry, "lockedChecksum": "0".repeat(64),
                        "checksum": "0".repeat(64), "build": { "rebuild": rebuild },
                    });
                    let key: recrate::model::package::PackageKey = serde_json::from_value(package.clone()).unwrap();
                    packages.insert(key.job(), package);
                }
            }
        }
    }
    packages.insert(
        "gone-1_0_0".to_owned(),
        json!({
            "name": "gone", "version": "1.0.0", "registry": "default", "lockedChecksum": null, "checksum": null,
            "build": { "obstacle": {
                "cause": { "kind": "impossible", "missing": "commit", "reason": "nobody has it" },
                "origin": {
                    "repository": "https://git.example/a/b", "commit": bare, "path": null, "tag": null,
                    "reach": { "kind": "unknown", "reason": "it was not asked" }, "asked": null,
                },
            } },
        }),
    );
    json!({
        "schema": 3,
        "system": "x86_64-linux",
        "lockfile": null,
        "builder": { "narHash": sri("builder") },
        "fetcher": { "narHash": sri("fetcher") },
        "judge": { "narHash": sri("judge") },
        "toolchains": {
            "1.85.1": toolchain("1.85.1", "1.85.1", json!({ "kind": "imported", "narHash": sri("imported") })),
            "official-1.85.1": toolchain("official-1.85.1", "1.85.1", archive),
            "nightly": toolchain("nightly", "1.99.0-nightly", json!({ "kind": "imported", "narHash": sri("nightly") })),
        },
        "commits": {
            bare: commit("bare"),
            with_submodules: commit("with submodules"),
        },
        "lfsObjects": { sri("object"): { "repository": "https://git.example/team/kinds", "size": 7 } },
        "indexes": { index: pin, sri("plain"): plain },
        "packages": packages,
        "skipped": [{ "name": "local", "version": "1.0.0", "source": null, "checksum": null, "kind": "path" }],
    })
}

#[test]
fn both_derive_the_same_from_every_kind_of_entry() {
    let plan = every_kind();
    assert_fits("plan.schema.json", &plan);
    let (nix, driver) = (by_nix(&plan).unwrap(), by_driver(&plan).unwrap());
    assert_eq!(nix, driver);
    assert_eq!(nix.len(), 96);
    let distinct: std::collections::BTreeSet<&String> = nix.values().collect();
    // The index mode is a label: what it is for is in the slice and the lock file.
    assert_eq!(distinct.len(), 96, "versions differ, so every derivation does");
}

#[test]
fn neither_derives_anything_from_a_plan_that_is_not_whole() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 6] = [
        ("source", |plan| {
            drop(plan["commits"]["a".repeat(40)]["sources"].as_object_mut().unwrap().remove("crates/sub"))
        }),
        ("toolchain", |plan| drop(plan["toolchains"].as_object_mut().unwrap().remove("nightly"))),
        ("commit", |plan| drop(plan["commits"].as_object_mut().unwrap().remove(&"a".repeat(40)))),
        ("LFS object", |plan| plan["lfsObjects"].as_object_mut().unwrap().clear()),
        ("index slice", |plan| plan["indexes"].as_object_mut().unwrap().clear()),
        ("schema", |plan| plan["schema"] = json!(1)),
    ];
    for (what, change) in changes {
        let mut plan = every_kind();
        change(&mut plan);
        for said in [by_nix(&plan).unwrap_err(), by_driver(&plan).unwrap_err()] {
            assert!(said.contains(what), "{what}: {said}");
        }
    }
}

/// The plan of the example's honest crate, and its checksum.
fn honest_plan(folder: &Path) -> (Value, String) {
    let plan = common::plan_json(&root().join("examples/registry"), &["honest@1.0.0"], &folder.join("plan.json"));
    let checksum = plan["packages"]["honest-1_0_0"]["checksum"].as_str().unwrap().to_owned();
    (plan, checksum)
}

#[test]
fn a_cargo_out_of_an_archive_rebuilds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (mut plan, checksum) = honest_plan(folder.path());
    plan["toolchains"]["1.85.1"]["origin"] = common::store::as_official_archive(folder.path(), "1.85.1");
    let drv = by_nix(&plan).unwrap().remove("honest-1_0_0").unwrap();
    assert_eq!(drv, by_driver(&plan).unwrap()["honest-1_0_0"]);
    let out = run("nix-store", &["--realise", "--option", "substitute", "false", &drv]).unwrap();
    let rebuilt = std::fs::read(Path::new(&out).join("honest-1.0.0.crate")).unwrap();
    assert_eq!(workshop::hex(&sha2::Sha256::digest(rebuilt)), checksum);
}

#[test]
fn an_archive_of_another_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (mut plan, _) = honest_plan(folder.path());
    let origin = common::store::as_official_archive(folder.path(), "1.84.0");
    plan["toolchains"]["1.85.1"] = json!({ "name": "1.85.1", "release": "1.84.0", "minor": 84, "origin": origin });
    let drv = by_nix(&plan).unwrap().remove("honest-1_0_0").unwrap();
    let said = run("nix-store", &["--realise", "--option", "substitute", "false", &drv]).unwrap_err();
    assert!(said.contains("not of release 1.84.0"), "{said}");
}
