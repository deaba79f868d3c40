//! A gate that never fails open: what a publisher, a registry, a repository, a mirror or the author of a plan could do to get
//! a yes, each through the program, and through plain Nix where that decides.

mod common;

use std::path::Path;
use std::process::Command;

use common::place::Place;
use common::site::Site;
use common::workshop::{Bare, Cargo, Files, LocalRegistry, Release, edit, files, name_commit, pack, unpack};
use common::{conditions, contradictions, plan_json, reason, recrate, replay_json, root, verify_json};
use serde_json::{Value, json};

const POLICIES: [&str; 3] = ["strict", "default", "contents-only"];

const DATE: &str = "2025-03-01T12:00:00Z";

fn manifest(name: &str, version: &str, repository: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\nlicense = \"MIT\"\n\
         description = \"At the gate\"\nrepository = \"https://git.example/recrate/{repository}\"\n"
    )
}

fn tree(name: &str, version: &str) -> Files {
    files([("Cargo.toml", &manifest(name, version, name)), ("src/lib.rs", "//! Own.\n")])
}

/// Packages what is in a repository.
fn packaged(place: &Place, repository: &Bare) -> Vec<u8> {
    Cargo::find(85).unwrap().package(repository, "", &place.registry.path, &Files::new())
}

fn release<'a>(name: &'a str, version: &'a str) -> Release<'a> {
    Release { name, version, published: DATE, requires: &[] }
}

/// Commits a package, publishes it and gives its bytes.
fn publish(place: &Place, name: &str, version: &str) -> Vec<u8> {
    let repository = place.repository(name);
    repository.commit(&tree(name, version), version);
    let bytes = packaged(place, &repository);
    place.registry.publish(&release(name, version), &bytes);
    bytes
}

/// A crate with a line that git does not have.
fn with_backdoor(bytes: &[u8]) -> Vec<u8> {
    let mut entries = unpack(bytes);
    edit(&mut entries, "src/lib.rs", |text| format!("{text}pub fn backdoor() {{}}\n"));
    pack(&entries)
}

fn set_branch(repository: &Bare, commit: &str) {
    std::fs::write(repository.path.join("refs/heads/main"), format!("{commit}\n")).unwrap();
}

/// Whether plain Nix evaluates a plan for a lock file; what it complains of.
fn evaluates(plan: &Path, lock: Option<&Path>) -> Result<(), String> {
    let mut nix = Command::new("nix-instantiate");
    nix.args(["--eval", "--strict", "--json", "--read-write-mode"]).arg(root().join("nix/plan.nix"));
    nix.args(["-A", "drvPaths", "--argstr", "planFile"]).arg(plan);
    if let Some(lock) = lock {
        nix.args(["--arg", "lockFile"]).arg(lock);
    }
    let output = nix.output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn no_policy_accepts_anything_where_no_repository_can_be_reached() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = format!("https://git.example/recrate/={}/nowhere/", folder.path().display());
    for policy in POLICIES {
        let report = verify_json(
            &root().join("examples/registry"),
            &["Cargo.lock", "--accept", policy, "--git-mirror", &mirror, "--config", "/dev/null"],
        );
        assert_eq!(report["decisions"].get("accepted"), None, "{policy}: {:#}", report["decisions"]);
    }
}

#[test]
fn the_same_crate_from_two_registries_is_two_packages() {
    let site = Site::new();
    site.publish("one", "shared", |bytes| bytes);
    // Another registry serves a crate of the same name and version, with a backdoor.
    let evil = LocalRegistry::at(site.folder.path().join("served/evil"));
    let honest = std::fs::read(site.registry.file("one", "1.0.0")).unwrap();
    evil.publish(&release("one", "1.0.0"), &with_backdoor(&honest));
    let address = site.server.address();
    let config = json!({ "dl": format!("{address}/evil/{{crate}}-{{version}}.crate"), "api": null });
    std::fs::write(evil.path.join("index/config.json"), config.to_string()).unwrap();
    let index = format!("sparse+{address}/evil/index/");
    let lock = format!(
        "{}\n[[package]]\nname = \"one\"\nversion = \"1.0.0\"\nsource = \"{index}\"\nchecksum = \"{}\"\n",
        site.registry.lock_file(&[("one", "1.0.0")]),
        evil.checksum("one", "1.0.0")
    );
    std::fs::write(site.project().join("Cargo.lock"), lock).unwrap();
    let verdicts = |report: &Value| -> Vec<(String, String)> {
        let packages = report["packages"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        packages.map(|one| (text(&one["registry"]), text(&one["verdict"]))).collect()
    };
    let expected = [(index, "source-differs".to_owned()), ("default".to_owned(), "reproduced".to_owned())];
    // Planned into the very folder that is verified in afterwards.
    let run = site.folder.path().join("run");
    let run = ["--out", run.to_str().unwrap()];
    let plan = site.folder.path().join("plan.json");
    let mut planning = site.recrate();
    planning.args(["plan", "Cargo.lock", "--toolchains", "imported", "--quiet", "--output"]).arg(&plan).args(run);
    planning.assert().success();
    assert_eq!(verdicts(&site.verify(&[&["Cargo.lock"], &run[..]].concat())), expected);
    let replayed = site.verify(&["Cargo.lock", "--from-plan", plan.to_str().unwrap()]);
    assert_eq!(verdicts(&replayed), expected);
    assert_eq!(replayed["packages"][0]["decision"]["kind"], "rejected");
}

#[test]
fn names_that_look_alike_are_two_jobs() {
    let place = Place::new();
    publish(&place, "foo-1_0_0", "2.0.0");
    let malicious = with_backdoor(&publish(&place, "foo", "1.0.0-2.0.0"));
    place.registry.publish(&release("foo", "1.0.0-2.0.0"), &malicious);
    let names = ["foo-1_0_0@2.0.0", "foo@1.0.0-2.0.0"];
    let plan = place.folder.path().join("plan.json");
    assert_eq!(plan_json(place.folder.path(), &names, &plan)["packages"].as_object().unwrap().len(), 2);
    for arguments in [&names[..], &["--from-plan", plan.to_str().unwrap()]] {
        let report = verify_json(place.folder.path(), arguments);
        assert_eq!(report["verdicts"], json!({ "source-differs": 1, "reproduced": 1 }), "{report:#}");
        assert_eq!(report["packages"][0]["name"], "foo");
    }
}

#[test]
fn reach_that_can_not_be_determined_is_unknown() {
    let place = Place::new();
    publish(&place, "own", "1.0.0");
    let repository = place.repository("own");
    let middle = repository.commit(&tree("own", "1.1.0"), "1.1.0");
    repository.commit(&tree("own", "1.2.0"), "1.2.0");
    // The mirror lacks an object of the history.
    let object = repository.path.join("objects").join(&middle[..2]).join(&middle[2..]);
    let aside = repository.path.join("aside");
    std::fs::rename(&object, &aside).unwrap();
    // Ids are the same each time that this is tested: what was seen then must not count.
    let said = verify_json(place.folder.path(), &["own@1.0.0", "--fresh"])["packages"][0].clone();
    assert_eq!((said["verdict"].as_str(), &said["decision"]["kind"]), (Some("reach-unknown"), &json!("undetermined")));
    // What could not be determined is not kept. What was counts: ids name their whole history.
    std::fs::rename(&aside, &object).unwrap();
    assert_eq!(place.verify("own@1.0.0")["verdict"], "reproduced");
    std::fs::rename(&object, &aside).unwrap();
    assert_eq!(place.verify("own@1.0.0")["verdict"], "reproduced");
}

#[test]
fn a_pull_request_that_was_squashed_is_said_and_accepted_by_default_only() {
    let place = Place::new();
    let repository = place.repository("own");
    let before = repository.commit(&tree("own", "0.9.0"), "0.9.0");
    let published = repository.commit(&tree("own", "1.0.0"), "on the branch of a pull request");
    place.registry.publish(&release("own", "1.0.0"), &packaged(&place, &repository));
    set_branch(&repository, &before);
    let squashed = repository.commit(&tree("own", "1.0.0"), "squashed");
    let tags = repository.path.join("refs/tags");
    std::fs::create_dir_all(&tags).unwrap();
    std::fs::write(tags.join("v1.0.0"), format!("{squashed}\n")).unwrap();
    let said = place.verify("own@1.0.0");
    assert_eq!(said["findings"]["origin"]["commit"], published);
    let reach = &said["findings"]["reach"];
    assert_eq!(
        (&reach["kind"], &reach["commit"], &reach["tag"]),
        (&json!("squashed"), &json!(squashed), &json!("v1.0.0"))
    );
    assert_eq!(contradictions(&said), &json!([]), "its tag is on the squashed commit");
    assert_eq!(said["decision"]["kind"], "accepted");
    let strict = verify_json(place.folder.path(), &["own@1.0.0", "--accept", "strict"]);
    assert_eq!(strict["decisions"], json!({ "rejected": 1 }));

    // Another tree is no squashed commit.
    set_branch(&repository, &before);
    let other = repository.commit(&tree("own", "1.0.1"), "another tree");
    std::fs::write(tags.join("v1.0.0"), format!("{other}\n")).unwrap();
    assert_eq!(place.verify("own@1.0.0")["verdict"], "unreachable-commit");
}

#[test]
fn each_mirror_is_asked_for_its_own_branches_and_each_time() {
    let place = Place::new();
    let repository = place.repository("own");
    let before = repository.commit(&tree("own", "0.9.0"), "0.9.0");
    let impostor = repository.commit(&tree("own", "1.0.0"), "1.0.0");
    place.registry.publish(&release("own", "1.0.0"), &packaged(&place, &repository));
    let other = place.folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let copied = Command::new("cp").arg("-r").arg(&repository.path).arg(&other).status().unwrap();
    assert!(copied.success());
    set_branch(&Bare { path: other.join("own.git") }, &before);
    let verdict = |mirror: &str| {
        let mirror = format!("https://git.example/recrate/={mirror}/");
        let mut program = recrate();
        program.env("RECRATE_CACHE", place.folder.path().join("cache"));
        let arguments = ["own@1.0.0", "--config", "/dev/null", "--git-mirror", &mirror];
        common::verify_json_with(program, place.folder.path(), &arguments)["packages"][0]["verdict"].clone()
    };
    let mine = place.folder.path().join("repositories").display().to_string();
    assert_eq!(verdict(&format!("file://{mine}")), "reproduced");
    assert_eq!(verdict(&other.display().to_string()), "unreachable-commit");
    // A branch that is deleted reaches nothing any more, whatever was found before.
    assert_eq!(verdict(&mine), "reproduced");
    set_branch(&repository, &before);
    assert_eq!(verdict(&mine), "unreachable-commit", "{impostor}");
}

#[test]
fn a_plan_has_every_package_and_an_old_plan_is_red() {
    let place = Place::new();
    publish(&place, "here", "1.0.0");
    publish(&place, "gone", "1.0.0");
    std::fs::remove_dir_all(place.repository("gone").path).unwrap();
    let lock = place.folder.path().join("Cargo.lock");
    let text = place.registry.lock_file(&[("here", "1.0.0"), ("gone", "1.0.0")]);
    std::fs::write(&lock, &text).unwrap();
    let plan = place.folder.path().join("plan.json");
    let planning = |code: i32| {
        let mut program = recrate();
        program.current_dir(place.folder.path()).args(["plan", "Cargo.lock", "--quiet", "--output"]).arg(&plan);
        program.arg("--out").arg(place.folder.path().join("run")).assert().code(code);
    };
    planning(3);
    let written: Value = serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap();
    assert_eq!(written["packages"]["gone-1_0_0"]["build"]["obstacle"]["cause"]["missing"], "repository-at-address");
    let replay = |arguments: &[&str]| verify_json(place.folder.path(), arguments);
    let from_plan = ["Cargo.lock", "--from-plan", plan.to_str().unwrap()];
    assert_eq!(replay(&from_plan)["decisions"], json!({ "accepted": 1, "undetermined": 1 }));
    assert_eq!(evaluates(&plan, Some(&lock)), Ok(()));

    // After `cargo update`, a package that the plan has never seen, or one that is gone.
    publish(&place, "new", "1.0.0");
    let newer = place.registry.lock_file(&[("here", "1.0.0"), ("gone", "1.0.0"), ("new", "1.0.0")]);
    std::fs::write(&lock, newer).unwrap();
    let report = replay(&from_plan);
    let new = report["packages"].as_array().unwrap().iter().find(|one| one["name"] == "new").unwrap();
    assert_eq!(new["decision"]["kind"], "undetermined", "{report:#}");
    assert!(evaluates(&plan, Some(&lock)).unwrap_err().contains("does not cover new 1.0.0"));
    std::fs::write(&lock, place.registry.lock_file(&[("here", "1.0.0")])).unwrap();
    assert!(evaluates(&plan, Some(&lock)).unwrap_err().contains("which the lock file does not"));
    // A plan from which a package was removed is not about its lock file.
    std::fs::write(&lock, text).unwrap();
    let mut tampered = written.clone();
    tampered["packages"].as_object_mut().unwrap().remove("gone-1_0_0");
    std::fs::write(&plan, tampered.to_string()).unwrap();
    assert!(evaluates(&plan, None).unwrap_err().contains("does not have the packages of the lock file"));
    recrate().args(["verify", "--from-plan"]).arg(&plan).assert().code(2);
    // Nor is one that hides it among those that were never published.
    let source = "registry+https://github.com/rust-lang/crates.io-index";
    let checksum = &written["packages"]["gone-1_0_0"]["checksum"];
    tampered["skipped"] =
        json!([{ "name": "gone", "version": "1.0.0", "source": source, "checksum": checksum, "kind": "path" }]);
    std::fs::write(&plan, tampered.to_string()).unwrap();
    assert!(evaluates(&plan, Some(&lock)).unwrap_err().contains("this plan skips gone"));
    recrate().args(["verify", "--from-plan"]).arg(&plan).assert().code(2);
}

#[test]
fn what_the_author_of_a_plan_claims_is_asked_again() {
    let place = Place::new();
    let repository = place.repository("own");
    let before = repository.commit(&tree("own", "0.9.0"), "0.9.0");
    publish(&place, "own", "1.0.0");
    let tags = repository.path.join("refs/tags");
    std::fs::create_dir_all(&tags).unwrap();
    std::fs::write(tags.join("v1.0.0"), format!("{before}\n")).unwrap();
    let plan = place.folder.path().join("plan.json");
    let honest = plan_json(place.folder.path(), &["own@1.0.0"], &plan);
    type Change<'a> = &'a dyn Fn(&mut Value);
    let changes: [(&str, &str, Change<'_>); 4] = [
        ("that no tag contradicts", "contradicted-origin", &|claims| claims["otherTags"] = json!([])),
        ("that other packages have such tags", "contradicted-origin", &|claims| {
            claims["otherTags"] = json!([]);
            claims["onlyPackage"] = json!(false);
        }),
        ("that it is of another repository", "contradicted-origin", &|claims| {
            claims["repository"] = json!("https://git.example/recrate/another");
        }),
        ("that it is of one that does not have it", "error", &|claims| {
            claims["repository"] = json!("https://git.example/recrate/third");
        }),
    ];
    let another = place.repository("another").path;
    let _ = Command::new("cp").arg("-r").arg(repository.path.join(".")).arg(another).status();
    for (what, verdict, change) in changes {
        let mut tampered = honest.clone();
        change(&mut tampered["packages"]["own-1_0_0"]["build"]["rebuild"]["claims"]);
        std::fs::write(&plan, tampered.to_string()).unwrap();
        assert_eq!(replay_json(place.folder.path(), &plan, &[])["verdict"], verdict, "{what}");
    }

    // A branch that reached it may be gone, and a plan may say that one is there.
    std::fs::remove_file(tags.join("v1.0.0")).unwrap();
    plan_json(place.folder.path(), &["own@1.0.0"], &plan);
    set_branch(&repository, &before);
    assert_eq!(replay_json(place.folder.path(), &plan, &[])["verdict"], "unreachable-commit");
}

#[test]
fn a_plan_can_not_choose_what_the_index_had() {
    // Beside the plan lies what says where its registry is.
    let folder = tempfile::tempdir().unwrap();
    for name in [".cargo", "recrate.toml", "registry", "repositories"] {
        std::os::unix::fs::symlink(root().join("examples/registry").join(name), folder.path().join(name)).unwrap();
    }
    let example = folder.path();
    let plan = example.join("plan.json");
    let honest = plan_json(example, &["older-lock@1.0.0"], &plan);
    for (key, value, words) in [
        ("yanked", json!(["honest@0.9.0"]), "takes honest@0.9.0 to be yanked, the registry does not"),
        ("late", json!({ "honest": ["1.0.0"] }), "has honest@1.0.0 in an index of before it was published"),
        ("requirements", json!({ "honest": ["=0.9.0"] }), "the plan's index was cut for something else"),
        ("until", json!("2022-01-01T00:00:00Z"), "the registry's index does not give the plan's slice"),
        ("secondFormat", json!(false), "the plan's index has not the lines that its cargo understands"),
    ] {
        let mut tampered = honest.clone();
        for pin in tampered["indexes"].as_object_mut().unwrap().values_mut() {
            pin[key] = value.clone();
        }
        std::fs::write(&plan, tampered.to_string()).unwrap();
        // What is built from it is another matter: the store has the slice by its hash.
        let said = replay_json(example, &plan, &[]);
        assert_eq!(said["verdict"], "error", "{said:#}");
        assert!(reason(&said).contains(words), "{said:#}");
    }
    let mut tampered = honest;
    for pin in tampered["indexes"].as_object_mut().unwrap().values_mut() {
        pin["pinned"] = json!({ "honest": ["0.9.0"] });
    }
    let label = &mut tampered["packages"]["older-lock-1_0_0"]["build"]["rebuild"]["recipe"]["indexMode"];
    *label = json!("at-publication");
    std::fs::write(&plan, tampered.to_string()).unwrap();
    let words = "leaves versions out of the index of older-lock";
    assert!(evaluates(&plan, None).unwrap_err().contains(words));
    let done = common::recrate().current_dir(example).arg("verify").arg("--from-plan").arg(&plan).output().unwrap();
    assert!(done.status.code() == Some(2) && String::from_utf8_lossy(&done.stderr).contains(words));
}

#[test]
fn a_plan_is_asked_against_the_registrys_checksum() {
    let place = Place::new();
    let honest = publish(&place, "own", "1.0.0");
    let plan = place.folder.path().join("plan.json");
    plan_json(place.folder.path(), &["own@1.0.0"], &plan);
    let said = || replay_json(place.folder.path(), &plan, &[]);
    assert_eq!(said()["verdict"], "reproduced");
    // The registry's index names another crate by now, the old one still lies there; then none.
    place.registry.publish(&release("own", "1.0.0"), &with_backdoor(&honest));
    std::fs::write(place.registry.file("own", "1.0.0"), &honest).unwrap();
    assert_eq!(said()["verdict"], "checksum-mismatch");
    std::fs::remove_file(place.registry.path.join("index/3/o/own")).unwrap();
    assert_eq!(said()["verdict"], "unverifiable");
}

#[test]
fn what_a_crate_says_of_itself_never_helps_it() {
    let place = Place::new();
    let honest = publish(&place, "own", "1.0.0");
    let mut entries = unpack(&with_backdoor(&honest));
    edit(&mut entries, ".cargo_vcs_info.json", |text| text.replace("\"git\": {", "\"git\": {\n    \"dirty\": true,"));
    place.registry.publish(&release("own", "1.0.0"), &pack(&entries));
    let said = place.verify("own@1.0.0");
    assert_eq!((said["verdict"].as_str(), &said["findings"]["flags"]["dirty"]), (Some("source-differs"), &json!(true)));
    assert_eq!(said["decision"]["kind"], "rejected");
}

#[test]
fn a_run_goes_on_only_with_the_same_question() {
    let place = Place::new();
    let honest = publish(&place, "own", "1.0.0");
    let run = place.folder.path().join("run");
    let said = || {
        let report = verify_json(place.folder.path(), &["own@1.0.0", "--out", run.to_str().unwrap()]);
        // As if it had been cut off.
        std::fs::remove_file(run.join("report.json")).unwrap();
        report["packages"][0]["verdict"].clone()
    };
    assert_eq!(said(), "reproduced");
    place.registry.publish(&release("own", "1.0.0"), &honest);
    let index = place.registry.path.join("index/3/o/own");
    std::fs::remove_file(&index).unwrap();
    place.registry.publish(&release("own", "1.0.0"), &with_backdoor(&honest));
    assert_eq!(said(), "source-differs");
    // What could not be determined is asked again.
    std::fs::remove_file(&index).unwrap();
    place.registry.publish(&release("own", "1.0.0"), &honest);
    let aside = place.folder.path().join("aside.git");
    std::fs::rename(place.repository("own").path, &aside).unwrap();
    assert_eq!(said(), "unverifiable");
    std::fs::remove_dir_all(place.repository("own").path).unwrap();
    std::fs::rename(&aside, place.folder.path().join("repositories/own.git")).unwrap();
    assert_eq!(said(), "reproduced");
}

#[test]
fn what_is_no_legal_package_is_undetermined_and_not_passed_over() {
    let lock = "version = 4\n\n[[package]]\nname = \"../evil\"\nversion = \"1.0.0\"\n\
        source = \"registry+https://index.example/index\"\n\
        checksum = \"0000000000000000000000000000000000000000000000000000000000000000\"\n";
    for policy in POLICIES {
        let done = recrate().args(["verify", "-", "--accept", policy]).write_stdin(lock).assert().code(3);
        let said = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
        assert!(said.contains("unsupported (1)") && said.contains("../evil 1.0.0"), "{said}");
    }
}

#[test]
fn the_commit_of_another_repository_is_a_contradiction() {
    let place = Place::new();
    let repository = place.repository("another");
    repository.commit(&files([("Cargo.toml", &manifest("own", "1.0.0", "own")), ("src/lib.rs", "")]), "1.0.0");
    let bytes = packaged(&place, &repository);
    place.registry.publish(&release("own", "1.0.0"), &bytes);
    // Another version of the crate names the repository that has the commit.
    let own = place.repository("own");
    own.commit(&files([("Cargo.toml", &manifest("own", "0.9.0", "another")), ("src/lib.rs", "")]), "0.9.0");
    place.registry.publish(&release("own", "0.9.0"), &packaged(&place, &own));
    let said = place.verify("own@1.0.0");
    assert_eq!(
        (said["verdict"].as_str(), &said["decision"]["kind"]),
        (Some("contradicted-origin"), &json!("rejected"))
    );
}

#[test]
fn a_version_that_is_younger_than_the_cached_index_is_asked_for_again() {
    let site = Site::new();
    site.publish("one", "shared", |bytes| bytes);
    assert_eq!(site.verify(&["one@1.0.0"])["packages"][0]["verdict"], "reproduced");
    let repository = site.repository("shared");
    let manifest = "[package]\nname = \"one\"\nversion = \"1.1.0\"\nedition = \"2018\"\nlicense = \"MIT\"\n\
         description = \"served\"\nrepository = \"https://git.example/team/shared\"\n";
    repository.commit(&files([("Cargo.toml", manifest), ("src/lib.rs", "//! Served.\n")]), "1.1.0");
    let bytes = Cargo::find(85).unwrap().package(&repository, "", &site.registry.path, &Files::new());
    site.registry.publish(&release("one", "1.1.0"), &bytes);
    assert_eq!(site.verify(&["one@1.1.0"])["packages"][0]["verdict"], "reproduced");
}

#[test]
fn a_published_lock_file_that_is_an_input_is_checked() {
    let place = Place::new();
    let bytes = publish(&place, "helper", "1.0.0");
    let (old, new) = (release("helper", "1.0.0"), release("helper", "1.1.0"));
    let _ = (old, bytes);
    place.registry.publish(&Release { published: "2024-01-01T00:00:00Z", ..new }, &publish(&place, "helper", "1.1.0"));
    let repository = place.repository("own");
    let text = manifest("own", "1.0.0", "own") + "[dependencies]\nhelper = \"1\"\n";
    let tree = files([("Cargo.toml", &text), ("src/lib.rs", ""), (".gitignore", "Cargo.lock\n")]);
    repository.commit(&tree, "1.0.0");
    let lock = |checksum: &str| {
        format!(
            "version = 4\n\n[[package]]\nname = \"helper\"\nversion = \"1.0.0\"\n\
             source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{checksum}\"\n\n\
             [[package]]\nname = \"own\"\nversion = \"1.0.0\"\ndependencies = [\n \"helper\",\n]\n"
        )
    };
    let said = |checksum: &str| {
        let mut entries = unpack(&packaged(&place, &repository));
        let own = entries.iter_mut().find(|entry| entry.path.ends_with("/Cargo.lock")).unwrap();
        let header = "# This file is automatically @generated by Cargo.\n# It is not intended for manual editing.\n";
        own.body = format!("{header}{}", lock(checksum)).into_bytes();
        place.registry.publish(
            &Release { published: "2025-04-01T00:00:00Z", requires: &[("helper", "^1")], ..release("own", "1.0.0") },
            &pack(&entries),
        );
        place.verify("own@1.0.0")
    };
    let wrong = said(&"1".repeat(64));
    assert_ne!(wrong["decision"]["kind"], "accepted", "{wrong:#}");
}

#[test]
fn a_repository_with_sha_256_ids_is_called_unsupported() {
    let place = Place::new();
    publish(&place, "own", "1.0.0");
    let repository = place.repository("own").path;
    std::fs::remove_dir_all(&repository).unwrap();
    let made = Command::new("git").args(["init", "-q", "--bare", "--object-format=sha256"]).arg(&repository).status();
    assert!(made.unwrap().success());
    let said = place.verify("own@1.0.0");
    assert_eq!(said["findings"]["rebuild"]["missing"], "sha1-ids", "{said:#}");
    // Nor is it broken where the crate itself names such an id.
    let mut entries = unpack(&std::fs::read(place.registry.file("own", "1.0.0")).unwrap());
    name_commit(&mut entries, &"0123456789abcdef".repeat(4));
    place.registry.publish(&release("own", "1.0.0"), &pack(&entries));
    let said = place.verify("own@1.0.0");
    assert_eq!(said["verdict"], "unverifiable", "{said:#}");
    assert!(reason(&said).contains("SHA-256"), "{said:#}");
    assert!(conditions(&said).is_empty());
}

#[test]
fn where_nix_can_not_build_nothing_is_said_of_any_package() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = recrate();
    program.current_dir(root().join("examples/registry")).args(["verify", "Cargo.lock", "--toolchains", "imported"]);
    program.args(["--quiet", "--out"]).arg(folder.path().join("run"));
    program.env("NIX_CONFIG", "build-users-group = no-such-group");
    let done = program.assert().code(70);
    let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert!(said.contains("no-such-group"), "{said}");
    assert!(said.contains("recrate doctor"), "{said}");
}
