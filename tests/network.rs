//! Crates, index files and commits over the network: real servers on loopback.

mod common;

use std::path::Path;
use std::process::Command;

use common::server::Server;
use common::site::Site;
use common::workshop::{Cargo, Files, Release, edit, files, name_commit, pack, unpack};
use serde_json::Value;

/// The verdict of each crate, by name.
fn kinds(report: &Value) -> Vec<(&str, &str)> {
    let crates = report["packages"].as_array().unwrap().iter();
    let mut kinds: Vec<_> =
        crates.map(|one| (one["name"].as_str().unwrap(), one["verdict"].as_str().unwrap())).collect();
    kinds.sort_unstable();
    kinds
}

fn reason<'a>(report: &'a Value, name: &str) -> &'a str {
    let one = report["packages"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    common::reason(one)
}

/// What git says in a repository; none where it fails.
fn git(repository: &Path, arguments: &[&str]) -> Option<String> {
    let done = Command::new("git").args(["-c", "safe.directory=*"]).args(arguments).current_dir(repository).output();
    let done = done.unwrap();
    done.status.success().then(|| String::from_utf8(done.stdout).unwrap().trim().to_owned())
}

#[test]
fn crates_and_commits_are_fetched_once_and_then_come_from_the_cache() {
    let site = Site::new();
    for name in ["one", "two", "three"] {
        site.publish(name, "shared", |bytes| bytes);
    }
    let all = ["one@1.0.0", "two@1.0.0", "three@1.0.0"];
    let expected = [("one", "reproduced"), ("three", "reproduced"), ("two", "reproduced")];
    assert_eq!(kinds(&site.verify(&all)), expected);
    let asked = site.server.asked();
    let count = |what: &str| asked.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count(".crate"), 3, "{asked:#?}");
    assert_eq!(count("/index/"), 3 + 1, "an index file each, and where downloads are: {asked:#?}");
    assert_eq!(count("shared.git/info/refs"), 2, "one visit for the commits, one for what reaches them: {asked:#?}");

    assert_eq!(kinds(&site.verify(&all)), expected);
    assert_eq!(site.server.asked(), [""; 0], "a second run asks nobody");
    assert_eq!(kinds(&site.verify(&[&all[..], &["--offline"]].concat())), expected);
}

#[test]
fn what_each_crate_took_is_told_where_that_is_wished() {
    let site = Site::new();
    site.publish("one", "one", |bytes| bytes);
    let said = |more: &[&str]| {
        let mut recrate = site.recrate();
        recrate.args(["verify", "one@1.0.0", "--toolchains", "imported"]).args(more);
        String::from_utf8(recrate.assert().code(0).get_output().stderr.clone()).unwrap()
    };
    let verbose = said(&["--verbose"]);
    let line = verbose.lines().find(|line| line.contains("one@1.0.0")).unwrap_or_else(|| panic!("{verbose}"));
    let costs = line.split_once("(1/1)  fetched in ").unwrap_or_else(|| panic!("{line}")).1;
    assert!(costs.contains("; 1 build in ") && costs.contains("; judged in "), "{line}");
    // The crate, its commit and files of the index: a few thousand bytes.
    let received =
        costs.split_once(" s, ").and_then(|(_, rest)| rest.split_once(" kB received")).map(|(count, _)| count);
    let received: f64 = received.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    assert!((1.0..20.0).contains(&received), "{line}");
    assert!(verbose.lines().last().unwrap().contains(&format!(", {received:.2} kB received")), "{verbose}");
    // Nothing had to be done again, and nothing is said where that is not wished.
    assert!(said(&["--verbose"]).contains("reproduced  one@1.0.0  (1/1)\nin all: "));
    assert!(!said(&["--fresh"]).contains("received"));
    assert_eq!(said(&["--quiet", "--verbose"]), "");
}

#[test]
fn of_a_commit_only_what_packaging_reads_is_fetched_and_the_rest_where_a_difference_needs_it() {
    let site = Site::new();
    let manifest = "[package]\nname = \"one\"\nversion = \"1.0.0\"\nedition = \"2018\"\nlicense = \"MIT\"\n\
        description = \"served\"\nreadme = \"../docs/one/READ.md\"\nrepository = \"https://git.example/team/family\"\n";
    let other = "[package]\nname = \"other\"\nversion = \"0.1.0\"\n";
    let tree = [
        ("Cargo.toml", "[workspace]\nmembers = [\"one\", \"other\"]\n"),
        ("film.bin", "a large file\n"),
        ("docs/one/READ.md", "# One\n"),
        ("docs/one/film.bin", "another\n"),
        ("one/Cargo.toml", manifest),
        ("one/src/deep/data.txt", "data\n"),
        ("one/src/lib.rs", "//! One.\n"),
        ("other/Cargo.toml", other),
        ("other/film.bin", "one more\n"),
        ("other/src/lib.rs", ""),
    ];
    let bare = site.repository("family");
    bare.commit(&files(tree), "one");
    git(&bare.path, &["config", "uploadpack.allowFilter", "true"]);
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let packaged = cargo.package(&bare, "one", &site.registry.path, &Files::new());
    let release = Release { name: "one", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };
    site.registry.publish(&release, &packaged);

    let cached = site.folder.path().join("cache/git/git.example/team/family.git");
    let not_fetched = || -> Vec<&str> {
        let id = |path: &str| git(&bare.path, &["rev-parse", &format!("HEAD:{path}")]).unwrap();
        let is_there = |path: &str| git(&cached, &["cat-file", "-e", &id(path)]).is_some();
        tree.iter().map(|(path, _)| *path).filter(|path| !is_there(path)).collect()
    };
    let report = site.verify(&["one@1.0.0"]);
    assert_eq!(kinds(&report), [("one", "reproduced")], "{report:#}");
    assert_eq!(not_fetched(), ["film.bin", "docs/one/film.bin", "other/film.bin"], "these are not read");
    assert_eq!(kinds(&site.verify(&["one@1.0.0", "--offline", "--fresh"])), [("one", "reproduced")]);

    let mut entries = unpack(&packaged);
    edit(&mut entries, "src/lib.rs", |text| format!("{text}pub fn backdoor() {{}}\n"));
    site.registry.publish(&release, &pack(&entries));
    std::fs::remove_dir_all(site.folder.path().join("cache/index")).unwrap();
    assert_eq!(kinds(&site.verify(&["one@1.0.0"])), [("one", "source-differs")]);
    assert_eq!(not_fetched(), [""; 0]);
}

#[test]
fn offline_nothing_is_fetched_and_the_verdict_says_so() {
    let site = Site::new();
    site.publish("one", "shared", |bytes| bytes);
    let report = site.verify(&["one@1.0.0", "--offline"]);
    assert_eq!(kinds(&report), [("one", "error")]);
    assert!(reason(&report, "one").contains("--offline"), "{report:#}");
    assert_eq!(site.server.asked(), [""; 0]);
}

#[test]
fn a_commit_that_is_gone_does_not_take_the_repositorys_others_with_it() {
    let site = Site::new();
    site.publish("here", "shared", |bytes| bytes);
    site.publish("gone", "shared", |bytes| {
        let mut entries = unpack(&bytes);
        name_commit(&mut entries, &"0123456789".repeat(4));
        pack(&entries)
    });
    let report = site.verify(&["here@1.0.0", "gone@1.0.0"]);
    assert_eq!(kinds(&report), [("gone", "unverifiable"), ("here", "reproduced")]);
    assert!(reason(&report, "gone").contains("has no commit 0123456789"), "{report:#}");
}

#[test]
fn a_repository_that_is_not_there_is_the_crates_verdict() {
    let site = Site::new();
    site.publish("here", "shared", |bytes| bytes);
    site.publish("homeless", "elsewhere", |bytes| bytes);
    std::fs::remove_dir_all(site.repository("elsewhere").path).unwrap();
    let report = site.verify(&["here@1.0.0", "homeless@1.0.0"]);
    assert_eq!(kinds(&report), [("here", "reproduced"), ("homeless", "unverifiable")]);
    assert!(reason(&report, "homeless").contains("is not there"), "{report:#}");
}

#[test]
fn a_server_that_is_down_leaves_the_crate_untold() {
    let mut site = Site::new();
    site.publish("one", "shared", |bytes| bytes);
    // The crate is served, its repository is where nobody listens.
    let mirror = "[[git-mirror]]\nprefix = \"https://git.example/\"\nreplacement = \"http://127.0.0.1:1/\"\n";
    std::fs::write(site.project().join("recrate.toml"), mirror).unwrap();
    let report = site.verify(&["one@1.0.0"]);
    assert_eq!(kinds(&report), [("one", "error")], "{report:#}");
    // Nobody serves the registry either.
    site.server = Server::of(Path::new("/nonexistent"));
    let report = site.verify(&["two@1.0.0"]);
    assert_eq!(kinds(&report), [("two", "error")], "{report:#}");
}

#[test]
fn every_way_in_which_a_registry_says_where_its_crates_are_is_understood() {
    let site = Site::new();
    site.publish("one", "shared", |bytes| bytes);
    let address = site.server.address();
    let checksum = site.registry.checksum("one", "1.0.0");
    let crates = std::fs::read(site.registry.file("one", "1.0.0")).unwrap();
    for (template, file) in [
        (format!("{address}/plain"), "plain/one/1.0.0/download".to_owned()),
        (format!("{address}/t/{{crate}}/{{version}}"), "t/one/1.0.0".to_owned()),
        (format!("{address}/p/{{prefix}}/{{lowerprefix}}/x"), "p/3/o/3/o/x".to_owned()),
        (format!("{address}/s/{{sha256-checksum}}"), format!("s/{checksum}")),
    ] {
        site.describe_downloads(&template);
        let file = site.folder.path().join("served").join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &crates).unwrap();
        let _ = std::fs::remove_dir_all(site.folder.path().join("cache"));
        assert_eq!(kinds(&site.verify(&["one@1.0.0"])), [("one", "reproduced")], "{template}");
    }
}

#[test]
fn a_crate_that_the_registry_lacked_a_moment_ago_is_asked_for_again() {
    let site = Site::new();
    site.publish("two", "shared", |bytes| bytes);
    assert_eq!(kinds(&site.verify(&["one@1.0.0"])), [("one", "unverifiable")]);
    site.publish("one", "shared", |bytes| bytes);
    assert_eq!(kinds(&site.verify(&["one@1.0.0"])), [("one", "reproduced")]);
}

#[test]
fn crates_of_another_registry_are_verified_against_that_one() {
    let site = Site::new();
    site.publish("one", "shared", |bytes| bytes);
    let index = format!("sparse+{}/registry/index/", site.server.address());
    site.configure("");
    let lock = format!(
        "version = 4\n\n[[package]]\nname = \"one\"\nversion = \"1.0.0\"\nsource = \"{index}\"\nchecksum = \"{}\"\n",
        site.registry.checksum("one", "1.0.0")
    );
    std::fs::write(site.project().join("Cargo.lock"), lock).unwrap();
    let report = site.verify(&["Cargo.lock"]);
    assert_eq!(kinds(&report), [("one", "reproduced")], "{report:#}");
}

#[test]
fn a_registry_that_serves_nonsense_is_no_crash() {
    let site = Site::new();
    site.publish("one", "shared", |bytes| bytes);
    site.publish("two", "shared", |bytes| bytes);
    std::fs::write(site.registry.file("one", "1.0.0"), b"\x1f\x8b nonsense").unwrap();
    std::fs::write(site.registry.path.join("index/3/t/two"), b"{\"nonsense\":\n\xff\xff\n[]\n").unwrap();
    let report = site.verify(&["one@1.0.0", "two@1.0.0", "three@1.0.0"]);
    assert_eq!(kinds(&report), [("one", "checksum-mismatch"), ("three", "unverifiable"), ("two", "unverifiable")]);
}
