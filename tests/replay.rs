//! A plan alone is enough: plain Nix builds it, on a store that has recrate's static programs and cargos and nothing
//! else; commits and index slices are brought by the plan's own fetchers from servers on loopback.

mod common;

use std::path::{Path, PathBuf};

use common::server::Server;
use common::store::{assert_same_report, build, store_with_programs};
use common::{recrate, root, shared_folder};
use serde_json::Value;

const PREFIX: &str = "https://git.example/recrate/";

/// Makes the example's plan; gives it with the report.
fn example_plan(folder: &Path) -> (PathBuf, Value) {
    let run = folder.join("run");
    let mut program = recrate();
    program.current_dir(root().join("examples/registry")).args(["verify", "Cargo.lock", "--quiet"]);
    let done = program.args(["--format", "json", "--out"]).arg(&run).assert().code(1);
    (run.join("plan.json"), serde_json::from_slice(&done.get_output().stdout).unwrap())
}

/// The example's lock file.
fn lock() -> PathBuf {
    root().join("examples/registry/Cargo.lock")
}

/// The rebuild of a package in a plan.
fn rebuild<'a>(plan: &'a mut Value, job: &str) -> &'a mut Value {
    &mut plan["packages"][job]["build"]["rebuild"]
}

/// The example registry as a web server has it.
fn serve_example(folder: &Path) -> Server {
    let served = folder.join("served");
    for part in ["registry", "repositories"] {
        copy(&root().join("examples/registry").join(part), &served.join(part));
    }
    move_on(&served.join("registry/index"));
    Server::of(&served)
}

/// Lets time pass in an index: every crate gets a newer version, and what there was is yanked.
fn move_on(folder: &Path) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            move_on(&path);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let Some(mut newest) = text.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok()) else {
            continue;
        };
        newest["vers"] = "1.99.0".into();
        newest["pubtime"] = "2030-01-01T00:00:00Z".into();
        let text = text.replace("\"yanked\":false", "\"yanked\":true");
        assert!(text.contains("\"yanked\":true"), "{text}");
        std::fs::write(&path, format!("{text}{newest}\n")).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn plain_nix_builds_a_plan_with_nothing_but_recrates_programs_in_the_store() {
    let folder = tempfile::tempdir_in(shared_folder()).unwrap();
    let (plan, verified) = example_plan(folder.path());
    let server = serve_example(folder.path());
    let read: Value = serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap();
    let store = store_with_programs(folder.path(), PREFIX, &server, &read);
    let report = assert_same_report(&store, &server, &plan, &verified, Some(&lock()));
    assert!(server.asked().iter().any(|line| line.contains("git-upload-pack")), "commits were fetched");
    let support = |out: &Path, file: &str| std::fs::read_to_string(out.join("nix-support").join(file));
    assert!(support(&report, "failed").is_ok(), "the aggregate is red where a verdict is");
    let reproduced = format!("verdicts.reproduced {}\n", verified["verdicts"]["reproduced"]);
    assert!(support(&report, "hydra-metrics").unwrap().contains(&reproduced));

    let verdicts = build(&store, &server, &plan, "verdicts").unwrap();
    assert_eq!(verdicts.len(), verified["packages"].as_array().unwrap().len());
    for krate in verified["packages"].as_array().unwrap() {
        let stem = format!("{}-{}", krate["name"].as_str().unwrap(), krate["version"].as_str().unwrap());
        let out = verdicts.iter().find(|out| out.ends_with(&format!("-verdict-{stem}"))).unwrap();
        let real = store.real(out);
        let kind = krate["verdict"].as_str().unwrap();
        let good = ["reproduced", "same-contents"].contains(&kind);
        assert_eq!(support(&real, "failed").is_err(), good, "{stem}: {kind}");
        let products = support(&real, "hydra-build-products").unwrap();
        assert!(products.starts_with(&format!("report verdict {out} verdict.html\n")), "{products}");
        for line in products.lines() {
            let file = line.split(' ').nth(2).unwrap();
            assert!(store.real(file).exists(), "{line}");
        }
        assert_eq!(
            products.contains("file diff "),
            !["bit-for-bit", "not-compared"].contains(&krate["findings"]["contents"]["kind"].as_str().unwrap())
        );
        assert_eq!(products.contains("file crate-rebuilt "), kind != "packaging-failed" && krate["best"].is_u64());
        let passed = build(&store, &server, &plan, &format!("gates.{}", job(&stem)));
        assert_eq!(passed.is_ok(), good, "{stem}: {passed:?}");
        assert!(good || passed.unwrap_err().contains("not accepted by the policy"));
    }
}

/// A crate's name in a plan.
fn job(stem: &str) -> String {
    stem.replace('.', "_").replace('+', "__")
}

#[test]
fn what_the_plan_pins_is_what_is_taken_and_nothing_else() {
    let folder = tempfile::tempdir_in(shared_folder()).unwrap();
    let (plan, _) = example_plan(folder.path());
    let mut read: Value = serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap();
    let job = "stale-lock-1_0_0";
    read["packages"].as_object_mut().unwrap().retain(|key, _| key == job);
    read["lockfile"] = Value::Null;
    let (commit, index) =
        ["commit", "index"].map(|key| rebuild(&mut read, job)["recipe"][key].as_str().unwrap().to_owned()).into();
    let wrong = format!("sha256-{}=", "A".repeat(43));
    type Change<'a> = &'a dyn Fn(&mut Value);
    // The first while the store does not have the slice yet: what is there already needs no fetching.
    let changes: [(&str, Change<'_>); 7] = [
        ("does not give this slice any more", &|plan| {
            drop(plan["indexes"][&index]["names"].as_array_mut().unwrap().pop())
        }),
        ("hash mismatch", &|plan| plan["commits"][&commit]["sources"][""] = wrong.clone().into()),
        ("hash mismatch", &|plan| plan["commits"][&commit]["trees"] = wrong.clone().into()),
        ("the recipe's `commit` is not allowed", &|plan| {
            let whole = plan["commits"][&commit]["sources"][""].clone();
            plan["commits"][&commit]["sources"] = serde_json::json!({ "": whole, "elsewhere": whole });
            rebuild(plan, job)["recipe"]["sourceFolder"] = "elsewhere".into();
        }),
        ("hash mismatch", &|plan| plan["indexes"][&index]["narHash"] = wrong.clone().into()),
        ("the commit object of the plan is", &|plan| plan["commits"][&commit]["object"] = "eA==".into()),
        ("has no commit", &|plan| {
            let other = "0123456789".repeat(4);
            let mut source = plan["commits"][&commit].clone();
            source["sources"][""] = wrong.clone().into();
            plan["commits"][&other] = source;
            rebuild(plan, job)["recipe"]["commit"] = other.into();
        }),
    ];
    let server = serve_example(folder.path());
    let store = store_with_programs(folder.path(), PREFIX, &server, &read);
    for (words, change) in changes {
        let mut tampered = read.clone();
        change(&mut tampered);
        let file = folder.path().join("tampered.json");
        std::fs::write(&file, tampered.to_string()).unwrap();
        let said = build(&store, &server, &file, "rebuilds").unwrap_err();
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_recipe_that_is_not_about_the_crate_gets_no_verdict() {
    let folder = tempfile::tempdir_in(shared_folder()).unwrap();
    let (plan, _) = example_plan(folder.path());
    let read: Value = serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap();
    let server = serve_example(folder.path());
    let store = store_with_programs(folder.path(), PREFIX, &server, &read);
    type Change<'a> = &'a dyn Fn(&mut Value);
    let changes: [(&str, &str, Change<'_>); 3] = [
        ("honest-1_0_0", "the crate names 6e02fca001", &|plan| {
            let other = rebuild(plan, "reformatted-1_0_0")["recipe"]["commit"].clone();
            rebuild(plan, "honest-1_0_0")["recipe"]["commit"] = other;
        }),
        ("honest-1_0_0", "disagree on whether there were uncommitted changes", &|plan| {
            rebuild(plan, "honest-1_0_0")["recipe"]["allowDirty"] = true.into();
        }),
        ("stale-lock-1_0_0", "hides whether a Cargo.lock is an input", &|plan| {
            rebuild(plan, "stale-lock-1_0_0")["recipe"]["indexMode"] = "at-publication".into();
            // Else the plan would contradict itself.
            plan["indexes"].as_object_mut().unwrap().values_mut().for_each(|pin| pin["pinned"] = serde_json::json!({}));
        }),
    ];
    for (job, words, change) in changes {
        let mut tampered = read.clone();
        change(&mut tampered);
        let file = folder.path().join("tampered.json");
        std::fs::write(&file, tampered.to_string()).unwrap();
        let out = store.real(&build(&store, &server, &file, &format!("verdicts.{job}")).unwrap()[0]);
        let said = std::fs::read_to_string(out.join("verdict.txt")).unwrap();
        assert!(said.starts_with("error (1)") && said.contains(words), "{words}: {said}");
        assert!(out.join("nix-support/failed").exists());
        // recrate itself judges it just so.
        let replayed = common::verify_json(
            folder.path(),
            &[
                "--from-plan",
                file.to_str().unwrap(),
                "--config",
                root().join("examples/registry/recrate.toml").to_str().unwrap(),
            ],
        );
        let by_name = replayed["packages"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| job.starts_with(one["name"].as_str().unwrap()) && job.ends_with("1_0_0"));
        assert_ne!(by_name.unwrap()["decision"]["kind"], "accepted", "{job}");
    }
    // Nothing at all comes of a plan that contradicts itself.
    let mut tampered = read;
    let other = rebuild(&mut tampered, "reformatted-1_0_0")["checksum"].clone();
    rebuild(&mut tampered, "honest-1_0_0")["checksum"] = other;
    let file = folder.path().join("tampered.json");
    std::fs::write(&file, tampered.to_string()).unwrap();
    assert!(build(&store, &server, &file, "verdicts").unwrap_err().contains("two checksums for honest"));
}
