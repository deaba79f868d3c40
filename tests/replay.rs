//! A plan alone is enough: plain Nix builds it, on a store that has recrate's static programs and cargos and nothing
//! else; commits and index slices are brought by the plan's own fetchers from servers on loopback.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::server::Server;
use common::store::{build, store_with_programs};
use common::workshop::hex;
use common::{recrate, root, shared_folder};
use serde_json::Value;
use sha2::Digest as _;

const PREFIX: &str = "https://git.example/recrate/";

/// Makes the example's plan; gives it with the verdict of each crate.
fn example_plan(folder: &Path) -> (PathBuf, BTreeMap<String, String>) {
    let plan = folder.join("plan.json");
    let mut program = recrate();
    program.current_dir(root().join("examples/registry")).args(["verify", "--quiet", "--format", "json", "--plan"]);
    let done = program.arg(&plan).arg("--out").arg(folder.join("run")).assert().code(1);
    let report: Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
    let crates = report["crates"].as_array().unwrap().iter().map(|krate| {
        let text = |key: &str| krate[key].as_str().unwrap().to_owned();
        (format!("{}-{}", text("name"), text("version")), krate["verdict"]["kind"].as_str().unwrap().to_owned())
    });
    (plan, crates.collect())
}

/// The example registry as a web server has it.
fn serve_example(folder: &Path) -> Server {
    let served = folder.join("served");
    for part in ["registry", "repositories"] {
        copy(&root().join("examples/registry").join(part), &served.join(part));
    }
    // Repositories are asked for with and without the suffix.
    Server::of(&served)
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
    let (plan, verdicts) = example_plan(folder.path());
    let server = serve_example(folder.path());
    let read: Value = serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap();
    let store = store_with_programs(folder.path(), PREFIX, &server, &read);
    let outputs = build(&store, &server, &plan).unwrap();
    assert_eq!(outputs.len(), read["rebuilds"].as_object().unwrap().len());
    assert!(server.asked().iter().any(|line| line.contains("git-upload-pack")), "commits were fetched");
    for rebuild in read["rebuilds"].as_object().unwrap().values() {
        let stem = format!("{}-{}", rebuild["name"].as_str().unwrap(), rebuild["version"].as_str().unwrap());
        let out = outputs.iter().find(|out| out.ends_with(&format!("-rebuild-{stem}"))).unwrap();
        let file = store.real(out).join(format!("{stem}.crate"));
        let same = std::fs::read(file).is_ok_and(|bytes| hex(&sha2::Sha256::digest(bytes)) == rebuild["checksum"]);
        assert_eq!(same, verdicts[&stem] == "reproduced", "{stem}: {}", verdicts[&stem]);
    }
}

#[test]
fn what_the_plan_pins_is_what_is_taken_and_nothing_else() {
    let folder = tempfile::tempdir_in(shared_folder()).unwrap();
    let (plan, _) = example_plan(folder.path());
    let mut read: Value = serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap();
    let job = "stale-lock-1_0_0";
    read["rebuilds"].as_object_mut().unwrap().retain(|key, _| key == job);
    let (commit, index) =
        ["source", "index"].map(|key| read["rebuilds"][job]["recipe"][key].as_str().unwrap().to_owned()).into();
    let wrong = format!("sha256-{}=", "A".repeat(43));
    type Change<'a> = &'a dyn Fn(&mut Value);
    // The first while the store does not have the slice yet: what is there already needs no fetching.
    let changes: [(&str, Change<'_>); 5] = [
        ("does not give this slice any more", &|plan| {
            drop(plan["indexes"][&index]["names"].as_array_mut().unwrap().pop())
        }),
        ("hash mismatch", &|plan| plan["sources"][&commit]["narHash"] = wrong.clone().into()),
        ("hash mismatch", &|plan| plan["indexes"][&index]["narHash"] = wrong.clone().into()),
        ("the commit object of the plan is", &|plan| plan["sources"][&commit]["commitObject"] = "eA==".into()),
        ("has no commit", &|plan| {
            let other = "0123456789".repeat(4);
            let mut source = plan["sources"][&commit].clone();
            source["narHash"] = wrong.clone().into();
            plan["sources"][&other] = source;
            plan["rebuilds"][job]["recipe"]["source"] = other.into();
        }),
    ];
    let server = serve_example(folder.path());
    let store = store_with_programs(folder.path(), PREFIX, &server, &read);
    for (words, change) in changes {
        let mut tampered = read.clone();
        change(&mut tampered);
        let file = folder.path().join("tampered.json");
        std::fs::write(&file, tampered.to_string()).unwrap();
        let said = build(&store, &server, &file).unwrap_err();
        assert!(said.contains(words), "{words}: {said}");
    }
}
