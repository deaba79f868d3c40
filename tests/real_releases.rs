//! Real releases from their genuine commits, on real Nix, with cargo 1.46, 1.65, 1.78, 1.85, 1.95 and 1.97.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::server::Server;
use common::store::{assert_same_report, store_with_programs};
use common::{Release, mirror, real_releases, recrate, shared_folder};
use libtest_mimic::{Arguments, Trial};

/// Where the real commits do not lie beside this checkout, the tests are reported as ignored.
fn main() {
    let releases = real_releases();
    let missing = releases.is_none();
    let test = Trial::test("real_releases_are_reproduced_or_exactly_explained_and_replayed_by_plain_nix", || {
        real_releases_are_reproduced_or_exactly_explained(&releases.unwrap_or_default());
        Ok(())
    });
    libtest_mimic::run(&Arguments::from_args(), vec![test.with_ignored_flag(missing)]).exit();
}

fn real_releases_are_reproduced_or_exactly_explained(releases: &[Release]) {
    let mirrors = shared_folder().join("mirrors");
    mirror(releases, &mirrors);
    let out = tempfile::tempdir().unwrap();
    let run = out.path().join("run");
    let ids: Vec<String> = releases.iter().map(Release::id).collect();
    let done = recrate()
        .arg("verify")
        .args(&ids)
        .args([
            "--format",
            "json",
            "--toolchains",
            "imported",
            "--accept",
            "generated-files-differ",
            "--quiet",
            "--out",
        ])
        .arg(&run)
        .arg(format!("--git-mirror=https://github.com/={}/", mirrors.display()))
        .assert()
        .success();
    let report: serde_json::Value = serde_json::from_slice(&done.get_output().stdout).unwrap();

    let crates = report["crates"].as_array().unwrap();
    let mut kinds: BTreeMap<&str, Vec<&serde_json::Value>> = BTreeMap::new();
    for krate in crates {
        kinds.entry(krate["verdict"]["kind"].as_str().unwrap()).or_default().push(krate);
    }
    let count = |kind: &str| kinds.get(kind).map_or(0, Vec::len);
    assert_eq!(crates.len(), 38);
    assert!(count("reproduced") >= 24, "{kinds:#?}");
    assert!(count("reproduced") + count("archive-differs") >= 35, "{kinds:#?}");
    assert_eq!(count("source-differs"), 0, "{kinds:#?}");
    let with_lock = |krate: &&&serde_json::Value| krate["conditions"].to_string().contains("published Cargo.lock");
    let without = count("reproduced") - kinds["reproduced"].iter().filter(with_lock).count();
    assert!(without >= 18, "only {without} without the published lock file");
    for krate in &kinds["archive-differs"] {
        assert_eq!(krate["verdict"]["proof"]["kind"], "exact", "{krate:#}");
    }
    for krate in kinds.get("generated-files-differ").into_iter().flatten() {
        assert_eq!(krate["cargoRange"], serde_json::json!({ "first": 55, "last": 56 }), "{krate:#}");
    }
    a_derivation_named_in_the_report_gives_the_same_by_hand(crates);
    plain_nix_builds_the_plan(&run.join("plan.json"), &report, &mirrors);
}

fn a_derivation_named_in_the_report_gives_the_same_by_hand(crates: &[serde_json::Value]) {
    let krate = crates.iter().find(|krate| krate["verdict"]["kind"] == "reproduced").unwrap();
    let tried = &krate["tries"][usize::try_from(krate["best"].as_u64().unwrap()).unwrap()];
    let drv = tried["drv"].as_str().unwrap();
    let nix = |arguments: &[&str]| {
        let output = std::process::Command::new("nix-store").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(nix(&["--realise", drv]).trim(), tried["out"].as_str().unwrap());
    // Built again from nothing, it comes out the same: Nix itself compares.
    nix(&["--realise", "--check", drv]);
    let log = nix(&["--read-log", drv]);
    assert!(log.contains(&format!("recrate: proved commit {}", krate["origin"]["commit"].as_str().unwrap())), "{log}");
}

/// On a store that has recrate's programs and cargos and nothing else, with commits and the index from servers.
fn plain_nix_builds_the_plan(plan: &Path, report: &serde_json::Value, mirrors: &Path) {
    let folder = tempfile::tempdir_in(shared_folder()).unwrap();
    let served = folder.path().join("served");
    std::fs::create_dir(&served).unwrap();
    std::os::unix::fs::symlink(mirrors, served.join("repositories")).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&std::fs::read(plan).unwrap()).unwrap();
    // The index as the registry has it today, of the crates in the plan.
    for pin in read["indexes"].as_object().unwrap().values() {
        for name in pin["names"].as_array().unwrap() {
            let name = tame_index::KrateName::cargo(name.as_str().unwrap()).unwrap();
            let file = served.join("registry/index").join(name.relative_path(None));
            if !file.exists() {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, common::index_file(name)).unwrap();
            }
        }
    }
    for krate in std::fs::read_dir(shared_folder().join("crates")).unwrap().map(|entry| entry.unwrap()) {
        std::os::unix::fs::symlink(krate.path(), served.join("registry").join(krate.file_name())).unwrap();
    }
    let server = Server::of(&served);
    let store = store_with_programs(folder.path(), "https://github.com/", &server, &read);
    assert_same_report(&store, &server, plan, report);
}
