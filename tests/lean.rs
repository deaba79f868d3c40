//! Lean sources: a package is rebuilt from what packaging it reads, whatever else its repository holds or lacks; and what
//! differs is said of the whole commit only.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::place::Place;
use common::workshop::{Bare, Cargo, Files, Item, Release, edit, files, pack, unpack};
use serde_json::Value;

const RELEASE: Release<'_> =
    Release { name: "own", version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };

/// A member of a workspace that reaches for what lies outside of its folder, among files that it has nothing to do with.
fn workspace() -> Files {
    let mut tree = files([
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"crates/*\", \"tools/outside\"]\nexclude = [\"crates/excluded\", \"nested\"]\n",
        ),
        (".gitignore", "*.log\n"),
        (".gitattributes", "*.bin binary\n"),
        ("README.md", "# Own\n"),
        ("LICENSE", "Do as you like.\n"),
        ("data/shared.txt", "shared\n"),
        ("data/deep/more.txt", "more\n"),
        ("film.bin", "a large file that nobody needs\n"),
        ("docs/chapter/one.md", "one\n"),
        (
            "crates/own/Cargo.toml",
            "[package]\nname = \"own\"\nversion = \"1.0.0\"\nedition = \"2018\"\nlicense-file = \"LICENSE\"\n\
             description = \"Among others\"\nrepository = \"https://git.example/recrate/own\"\n\
             readme = \"README.md\"\ninclude = [\"src/**\", \"data\", \"data/**\", \"LICENSE\", \"README.md\"]\n\
             [dev-dependencies]\noutside = { path = \"../../tools/outside\" }\n",
        ),
        ("crates/own/src/lib.rs", "//! Own.\n"),
        ("crates/own/README.md", "# Own\n"),
        (
            "crates/other/Cargo.toml",
            "[package]\nname = \"other\"\nversion = \"0.1.0\"\n[[bin]]\nname = \"x\"\npath = \"bin/x.rs\"\n",
        ),
        ("crates/other/bin/x.rs", "fn main() {}\n"),
        ("crates/other/assets/film.bin", "another large file\n"),
        ("crates/excluded/Cargo.toml", "manifest = \"of another kind\"\n"),
        ("tools/outside/Cargo.toml", "[package]\nname = \"outside\"\nversion = \"0.0.0\"\nworkspace = \"../..\"\n"),
        ("tools/outside/src/lib.rs", ""),
        ("nested/Cargo.toml", "[workspace]\nmembers = [\"inner\"]\n"),
        ("nested/inner/Cargo.toml", "[package]\nname = \"inner\"\nversion = \"0.0.0\"\n"),
        ("nested/inner/src/lib.rs", ""),
    ]);
    tree.insert("crates/own/LICENSE".to_owned(), Item::Link("../../LICENSE".to_owned()));
    tree.insert("crates/own/data".to_owned(), Item::Link("../../data".to_owned()));
    tree
}

/// Files that packaging does not read.
const UNREAD: [&str; 3] = ["film.bin", "docs/chapter/one.md", "crates/other/assets/film.bin"];

/// Where a repository keeps a file's content.
fn object(repository: &Bare, path: &str) -> PathBuf {
    let mut git = Command::new("git");
    let asked = git.args(["rev-parse", &format!("HEAD:{path}")]).current_dir(&repository.path).output().unwrap();
    let id = String::from_utf8(asked.stdout).unwrap();
    let (front, back) = id.trim().split_at(2);
    repository.path.join("objects").join(front).join(back)
}

/// Publishes `own` as a cargo packages it.
fn publish(place: &Place, cargo: &Cargo, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Bare {
    let repository = place.repository("own");
    repository.commit(&workspace(), "own 1.0.0");
    let packaged = cargo.package(&repository, "crates/own", &place.registry.path, &Files::new());
    place.registry.publish(&RELEASE, &change(packaged));
    repository
}

/// The folder whose source the verdict is about.
fn source_folder(place: &Place) -> Value {
    let plan = common::plan_json(place.folder.path(), &["own@1.0.0"], &place.folder.path().join("plan.json"));
    plan["packages"]["own-1_0_0"]["build"]["rebuild"]["recipe"]["sourceFolder"].clone()
}

#[test]
fn every_class_of_cargos_packages_from_a_lean_source_what_it_packages_from_the_commit() {
    let mut tried = Vec::new();
    // The first of the classes that git is asked in different ways by, as far as they are imported.
    for minor in [46, 65, 78, 85, 95, 97] {
        let Some(cargo) = Cargo::find(minor) else { continue };
        let place = Place::new();
        let repository = publish(&place, &cargo, |bytes| bytes);
        for path in UNREAD {
            std::fs::remove_file(object(&repository, path)).unwrap();
        }
        let said = place.verify("own@1.0.0");
        // Before 1.54 the clock of the publisher is in the archive.
        let expected = if minor < 54 { "same-contents" } else { "reproduced" };
        assert_eq!(said["verdict"], expected, "cargo 1.{minor}: {said:#}");
        assert_eq!(common::conditions(&said), [""; 0], "{said:#}");
        assert_eq!(source_folder(&place), "crates/own");
        tried.push(minor);
    }
    assert!(tried.contains(&85), "{tried:?}");
}

#[test]
fn what_differs_is_said_of_the_whole_commit_and_of_nothing_less() {
    let place = Place::new();
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let repository = publish(&place, &cargo, |bytes| {
        let mut entries = unpack(&bytes);
        edit(&mut entries, "src/lib.rs", |text| format!("{text}pub fn backdoor() {{}}\n"));
        pack(&entries)
    });
    let film = object(&repository, "film.bin");
    let aside = place.folder.path().join("film");
    std::fs::rename(&film, &aside).unwrap();
    // An earlier run of the same program may have come to more.
    let said = common::verify_json(place.folder.path(), &["own@1.0.0", "--fresh"])["packages"][0].clone();
    assert_eq!(said["verdict"], "error", "{said:#}");
    let reason = common::reason(&said);
    assert!(reason.contains("whole commit not available") && reason.contains("src/lib.rs differs"), "{reason}");
    assert_eq!(said["decision"]["kind"], "undetermined", "{said:#}");

    std::fs::rename(&aside, &film).unwrap();
    let said = place.verify("own@1.0.0");
    assert_eq!(said["verdict"], "source-differs", "{said:#}");
    assert_eq!(source_folder(&place), "");
}

#[test]
fn a_link_leads_through_folders_that_packaging_does_not_read() {
    let mut tree = workspace();
    let Item::File(manifest) = &tree["crates/own/Cargo.toml"] else { unreachable!("a manifest is a file") };
    let manifest = String::from_utf8_lossy(manifest).replace("\"data\",", "\"data\", \"further\",");
    tree.insert("crates/own/Cargo.toml".to_owned(), Item::File(manifest.into_bytes()));
    tree.insert("crates/own/further".to_owned(), Item::Link("../../docs/chapter/../../further.txt".to_owned()));
    tree.insert("further.txt".to_owned(), Item::File(b"further\n".to_vec()));
    let place = Place::new();
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let repository = place.repository("own");
    repository.commit(&tree, "own 1.0.0");
    let packaged = cargo.package(&repository, "crates/own", &place.registry.path, &Files::new());
    place.registry.publish(&RELEASE, &packaged);
    assert_eq!(place.verify("own@1.0.0")["verdict"], "reproduced");
    assert_eq!(source_folder(&place), "crates/own");

    let mut entries = unpack(&packaged);
    let before = entries.len();
    entries.retain(|entry| !entry.path.ends_with("/further"));
    assert_eq!(entries.len(), before - 1, "cargo packs the file that the link leads to");
    place.registry.publish(&RELEASE, &pack(&entries));
    assert_eq!(place.verify("own@1.0.0")["verdict"], "source-differs");
}

#[test]
fn a_readme_that_is_inherited_without_a_name_is_there() {
    let mut tree = workspace();
    let Item::File(manifest) = &tree["crates/own/Cargo.toml"] else { unreachable!("a manifest is a file") };
    let manifest = String::from_utf8_lossy(manifest).replace("readme = \"README.md\"", "readme.workspace = true");
    tree.insert("crates/own/Cargo.toml".to_owned(), Item::File(manifest.into_bytes()));
    let root = "[workspace]\nmembers = [\"crates/*\", \"tools/outside\"]\nexclude = [\"crates/excluded\", \"nested\"]\n\
        [workspace.package]\nversion = \"1.0.0\"\n";
    tree.insert("Cargo.toml".to_owned(), Item::File(root.as_bytes().to_vec()));
    tree.remove("crates/own/README.md");
    let place = Place::new();
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    let repository = place.repository("own");
    repository.commit(&tree, "own 1.0.0");
    let packaged = cargo.package(&repository, "crates/own", &place.registry.path, &Files::new());
    assert!(unpack(&packaged).iter().any(|entry| entry.path.ends_with("/README.md")));
    place.registry.publish(&RELEASE, &packaged);
    assert_eq!(place.verify("own@1.0.0")["verdict"], "reproduced");
    assert_eq!(source_folder(&place), "crates/own");
}

#[test]
fn a_plan_has_no_choice_in_what_a_source_has() {
    let place = Place::new();
    let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
    publish(&place, &cargo, |bytes| bytes);
    let file = place.folder.path().join("plan.json");
    let plan = common::plan_json(place.folder.path(), &["own@1.0.0"], &file);
    let said = common::replay_json(place.folder.path(), &file, &[]);
    assert_eq!(said["verdict"], "reproduced", "{said:#}");

    // A source without a file that cargo would have read, whose hash the plan has.
    let recipe = &plan["packages"]["own-1_0_0"]["build"]["rebuild"]["recipe"];
    let commit = recipe["commit"].as_str().unwrap();
    let run = place.folder.path().join("run");
    common::recrate()
        .current_dir(place.folder.path())
        .args(["verify", "own@1.0.0", "--toolchains", "imported", "--quiet", "--out"])
        .arg(&run)
        .assert()
        .success();
    let report: Value = serde_json::from_slice(&std::fs::read(run.join("report.json")).unwrap()).unwrap();
    let drv = report["packages"][0]["attempts"][0]["drv"].as_str().unwrap();
    let inputs = Command::new("nix-store").args(["--query", "--references", drv]).output().unwrap();
    let inputs = String::from_utf8(inputs.stdout).unwrap();
    let source = inputs.lines().find(|path| path.ends_with("-source.drv")).unwrap();
    let source = Command::new("nix-store").args(["--query", "--outputs", source]).output().unwrap();
    let source = String::from_utf8(source.stdout).unwrap();
    let copy = place.folder.path().join("source");
    type Change = fn(&Path);
    let changes: [(&str, Change); 3] = [
        ("it lacks .gitignore", |copy| std::fs::remove_file(copy.join(".gitignore")).unwrap()),
        ("files, the commit", |copy| std::fs::write(copy.join("crates/own/src/more.rs"), "").unwrap()),
        ("its Cargo.toml is another one", |copy| std::fs::write(copy.join("Cargo.toml"), "[workspace]\n").unwrap()),
    ];
    for (what, change) in changes {
        let _ = std::fs::remove_dir_all(&copy);
        let copied = Command::new("cp").args(["-r", "--no-preserve=mode", source.trim()]).arg(&copy).status().unwrap();
        assert!(copied.success());
        change(&copy);
        let added =
            Command::new("nix-store").args(["--add-fixed", "--recursive", "sha256"]).arg(&copy).output().unwrap();
        assert!(added.status.success());
        let hash = Command::new("nix-hash").args(["--type", "sha256", "--base32"]).arg(&copy).output().unwrap();
        let hash = String::from_utf8(hash.stdout).unwrap();
        let sri = Command::new("nix")
            .args(["--extra-experimental-features", "nix-command", "hash", "to-sri", "--type", "sha256", hash.trim()])
            .output()
            .unwrap();
        let mut tampered = plan.clone();
        tampered["commits"][commit]["sources"]["crates/own"] = String::from_utf8(sri.stdout).unwrap().trim().into();
        std::fs::write(&file, tampered.to_string()).unwrap();
        let said = common::replay_json(place.folder.path(), &file, &[]);
        assert_eq!(said["verdict"], "error", "{what}: {said:#}");
        assert!(common::reason(&said).contains(what), "{what}: {}", common::reason(&said));
    }
}
