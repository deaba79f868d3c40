//! Real releases from their genuine commits, on real Nix, with cargo 1.46, 1.65, 1.78, 1.85, 1.95 and 1.97.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::server::Server;
use common::ssh::Machine;
use common::store::{assert_same_report, store_with_programs};
use common::{Release, mirror, real_releases, recrate, shared_folder};
use libtest_mimic::{Arguments, Trial};

/// Where the real commits do not lie beside this checkout, the tests are reported as ignored.
fn main() {
    let releases = real_releases();
    let missing = releases.is_none();
    let releases = releases.unwrap_or_default();
    mirror(&releases, &shared_folder().join("mirrors"));
    let every_other = releases.iter().step_by(2).cloned().collect::<Vec<_>>();
    let here = Trial::test("real_releases_are_reproduced_or_exactly_explained_and_replayed_by_plain_nix", move || {
        real_releases_are_reproduced_or_exactly_explained(&releases);
        Ok(())
    });
    let there = Trial::test("half_of_them_come_out_the_same_on_another_machine", move || {
        half_of_them_come_out_the_same_on_another_machine(&every_other);
        Ok(())
    });
    let tests = [here, there].map(|test| test.with_ignored_flag(missing));
    libtest_mimic::run(&Arguments::from_args(), tests.into()).exit();
}

/// `recrate verify` of releases, with their commits from the mirror.
fn verify(releases: &[Release], run: &Path) -> assert_cmd::Command {
    let mut program = recrate();
    program.arg("verify").args(releases.iter().map(Release::id));
    program.args(["--format", "json", "--toolchains", "imported", "--quiet"]);
    program.arg(format!("--git-mirror=https://github.com/={}/", shared_folder().join("mirrors").display()));
    program.arg("--out").arg(run);
    program
}

/// On a store of its own that builds nothing itself: everything is sent to another machine over ssh.
fn half_of_them_come_out_the_same_on_another_machine(releases: &[Release]) {
    let folder = tempfile::tempdir_in(shared_folder()).unwrap();
    let machine = Machine::start(folder.path());
    let report = |mut program: assert_cmd::Command| -> serde_json::Value {
        let done = program.env("NIX_SSHOPTS", &machine.options).assert();
        serde_json::from_slice(&done.get_output().stdout).unwrap()
    };
    let mut remote = verify(releases, &folder.path().join("remote"));
    remote.args(["--store", &format!("local?root={}", folder.path().join("here").display())]);
    remote.args(["--max-jobs", "0", "--builders", &format!("{} x86_64-linux - 2", machine.address)]);
    let (there, here) = (report(remote), report(verify(releases, &folder.path().join("plain"))));
    assert_eq!(there["packages"].as_array().unwrap().len(), 19);
    assert_eq!(there, here, "verdicts, derivations and outputs");
    let built = std::fs::read_dir(folder.path().join("store/nix/store")).unwrap();
    let built = built.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("-rebuild-"));
    assert!(built.count() >= 19, "they were built there");
}

fn real_releases_are_reproduced_or_exactly_explained(releases: &[Release]) {
    let mirrors = shared_folder().join("mirrors");
    let out = tempfile::tempdir().unwrap();
    let run = out.path().join("run");
    let done = verify(releases, &run).assert().code(1);
    let report: serde_json::Value = serde_json::from_slice(&done.get_output().stdout).unwrap();

    let crates = report["packages"].as_array().unwrap();
    let mut kinds: BTreeMap<&str, Vec<&serde_json::Value>> = BTreeMap::new();
    for krate in crates {
        kinds.entry(krate["verdict"].as_str().unwrap()).or_default().push(krate);
    }
    let count = |kind: &str| kinds.get(kind).map_or(0, Vec::len);
    assert_eq!(crates.len(), 38);
    assert!(count("reproduced") >= 24, "{kinds:#?}");
    assert!(count("reproduced") + count("same-contents") >= 35, "{kinds:#?}");
    assert_eq!(count("source-differs"), 0, "{kinds:#?}");
    let with_lock = |krate: &&&serde_json::Value| common::conditions(krate).contains(&"published-lockfile");
    let without = count("reproduced") - kinds["reproduced"].iter().filter(with_lock).count();
    assert!(without >= 18, "only {without} without the published lock file");
    for krate in kinds.get("generated-files-differ").into_iter().flatten() {
        assert_eq!(krate["cargoRange"], serde_json::json!({ "first": 55, "last": 56 }), "{krate:#}");
    }
    a_derivation_named_in_the_report_gives_the_same_by_hand(crates);
    plain_nix_builds_the_plan(&run.join("plan.json"), &report, &mirrors);
}

fn a_derivation_named_in_the_report_gives_the_same_by_hand(crates: &[serde_json::Value]) {
    let krate = crates.iter().find(|krate| krate["verdict"] == "reproduced").unwrap();
    let tried = &krate["attempts"][usize::try_from(krate["best"].as_u64().unwrap()).unwrap()];
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
    assert!(
        log.contains(&format!("recrate: proved commit {}", krate["findings"]["origin"]["commit"].as_str().unwrap())),
        "{log}"
    );
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
    assert_same_report(&store, &server, plan, report, None);
}
