//! The publisher's checkout: crates packaged from checkouts that git itself made as on Windows come out exact.

mod common;

use std::path::Path;
use std::process::Command;

use common::place::Place;
use common::workshop::{Cargo, Files, Item, Release, edit, files, pack, unpack};
use common::{conditions, differences};
use serde_json::Value;

const RELEASE: Release<'_> =
    Release { name: "carried", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };

fn tree() -> Files {
    let manifest = "[package]\nname = \"carried\"\nversion = \"1.0.0\"\nedition = \"2018\"\nlicense = \"MIT\"\n\
        description = \"From another system\"\nrepository = \"https://git.example/recrate/carried\"\n";
    let mut tree = files([
        ("package/Cargo.toml", manifest),
        ("package/src/lib.rs", "//! Carried.\npub fn one() {}\n"),
        ("package/.gitignore", "/target\n"),
        ("package/dos.txt", "these\r\nalready\r\n"),
        ("package/mixed.txt", "this\r\nand that\n"),
        ("LICENSE", "Take it.\n"),
    ]);
    tree.insert("package/LICENSE".to_owned(), Item::Link("../LICENSE".to_owned()));
    tree.insert("package/picture".to_owned(), Item::File(b"\x89PNG\n\0\x01\n".to_vec()));
    tree.insert("package/run.sh".to_owned(), Item::Program(b"#!/bin/sh\n".to_vec()));
    tree
}

/// Packages a tree from a checkout that was changed, and publishes that with further changes; gives what is said.
fn said(tree: &Files, checkout: impl Fn(&Path), after: impl Fn(Vec<u8>) -> Vec<u8>) -> Value {
    let place = Place::new();
    let repository = place.repository("carried");
    repository.commit(tree, "carried 1.0.0");
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let bytes = cargo.package_as(&repository, "package", &place.registry.path, checkout);
    place.registry.publish(&RELEASE, &after(bytes));
    place.verify("carried@1.0.0")
}

/// Has git check everything out again with a setting.
fn again(tree: &Path, setting: &str, value: &str) {
    let git = |arguments: &[&str]| {
        let done = Command::new("git").arg("-C").arg(tree).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["config", setting, value]);
    git(&["rm", "-q", "--cached", "-r", "."]);
    git(&["reset", "-q", "--hard"]);
}

fn set_mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

/// Asserts that a crate was reproduced from a checkout as on Windows, and in which ways.
fn assert_reproduced(said: &Value, mark: &str) {
    assert_eq!(said["verdict"], "reproduced", "{said:#}");
    let condition = serde_json::json!({ "kind": "windows-checkout", "marks": [mark] });
    assert_eq!(said["findings"]["conditions"], serde_json::json!([condition]), "{said:#}");
}

#[test]
fn a_plain_checkout_needs_no_condition() {
    let said = said(&tree(), |_| {}, |bytes| bytes);
    assert_eq!((said["verdict"].as_str(), conditions(&said)), (Some("reproduced"), Vec::new()), "{said:#}");
}

#[test]
fn names_that_differ_in_letter_case_only_are_told_and_honest() {
    let mut tree = tree();
    for name in ["README.md", "readme.md", "Readme.md"] {
        tree.insert(format!("package/{name}"), Item::File(name.as_bytes().to_vec()));
    }
    let said = said(&tree, |_| {}, |bytes| bytes);
    assert_eq!((said["verdict"].as_str(), conditions(&said)), (Some("reproduced"), Vec::new()), "{said:#}");
    assert_eq!(said["findings"]["archive"]["alike"], serde_json::json!([["README.md", "Readme.md", "readme.md"]]));
}

#[test]
fn files_that_are_tracked_and_ignored_are_in_and_those_that_are_only_ignored_are_not() {
    let mut tree = tree();
    tree.insert("package/.gitignore".to_owned(), Item::File(b"/target\n*.txt\nCargo.lock\n".to_vec()));
    let beside = |tree: &Path| std::fs::write(tree.join("package/notes.txt"), "Mine.\n").unwrap();
    let said = said(&tree, beside, |bytes| {
        let paths: Vec<String> = unpack(&bytes).into_iter().map(|entry| entry.path).collect();
        assert!(paths.contains(&"carried-1.0.0/dos.txt".to_owned()), "{paths:?}");
        assert!(!paths.contains(&"carried-1.0.0/notes.txt".to_owned()), "{paths:?}");
        bytes
    });
    assert_eq!((said["verdict"].as_str(), conditions(&said)), (Some("reproduced"), Vec::new()), "{said:#}");
}

#[test]
fn with_autocrlf() {
    let said = said(&tree(), |tree| again(tree, "core.autocrlf", "true"), |bytes| bytes);
    assert_reproduced(&said, "CRLF");
}

#[test]
fn with_crlf_in_some_files() {
    let mut tree = tree();
    let attributes = "src/*.rs text eol=crlf\n";
    tree.insert("package/.gitattributes".to_owned(), Item::File(attributes.as_bytes().to_vec()));
    assert_reproduced(&said(&tree, |_| {}, |bytes| bytes), "CRLF in 1 file, as published");
}

#[test]
fn with_links_as_text() {
    let said = said(&tree(), |tree| again(tree, "core.symlinks", "false"), |bytes| bytes);
    assert_reproduced(&said, "links as text");
}

#[test]
fn with_all_executable_bits_lost_or_set() {
    let without = |tree: &Path| {
        again(tree, "core.fileMode", "false");
        set_mode(&tree.join("package/run.sh"), 0o644);
    };
    assert_reproduced(&said(&tree(), without, |bytes| bytes), "no executables");
    let with = |tree: &Path| {
        again(tree, "core.fileMode", "false");
        for file in
            ["Cargo.toml", "src/lib.rs", ".gitignore", "dos.txt", "mixed.txt", "picture", "run.sh", "../LICENSE"]
        {
            set_mode(&tree.join("package").join(file), 0o755);
        }
    };
    assert_reproduced(&said(&tree(), with, |bytes| bytes), "all files executable");
}

#[test]
fn what_the_commit_says_can_be_seen_before_anything_is_built() {
    let place = Place::new();
    let repository = place.repository("carried");
    let mut tree = tree();
    tree.insert("rust-toolchain".to_owned(), Item::File(b"1.84.1\n".to_vec()));
    repository.commit(&tree, "carried 1.0.0");
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let bytes =
        cargo.package_as(&repository, "package", &place.registry.path, |tree| again(tree, "core.autocrlf", "true"));
    place.registry.publish(&RELEASE, &bytes);
    let mut explain = common::recrate();
    explain.current_dir(place.folder.path()).args(["explain", "carried@1.0.0", "carried@2.0.0"]);
    let said = String::from_utf8(explain.assert().code(3).get_output().stdout.clone()).unwrap();
    for line in [
        "  reached by main\n  rust-toolchain asks for 1.84: among the cargos in range it comes first\n",
        "  checked out as on Windows (CRLF)\n",
        "\ncarried@2.0.0\n  can't be rebuilt: the registry's index has no carried@2.0.0\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn what_no_checkout_explains_is_still_a_difference_of_the_source() {
    let evil = |bytes: Vec<u8>| {
        let mut entries = unpack(&bytes);
        edit(&mut entries, "src/lib.rs", |text| text.replace("one", "evil"));
        pack(&entries)
    };
    let said = said(&tree(), |tree| again(tree, "core.autocrlf", "true"), evil);
    assert_eq!(said["verdict"], "source-differs", "{said:#}");
    let differences = differences(&said);
    assert_eq!(differences.len(), 1, "line endings are no part of it: {said:#}");
    assert_eq!(differences[0]["path"], "src/lib.rs");
}
