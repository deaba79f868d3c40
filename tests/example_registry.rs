//! The example registry: a crate for every verdict, and what a run over it does besides.

mod common;
#[path = "../examples/registry/make.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "it is a program, too, with a main and a workshop of its own")]
mod make;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use common::{assert_fits, recrate, root, static_program, verify_json_with};
use serde_json::Value;

fn example() -> PathBuf {
    root().join("examples/registry")
}

/// `recrate verify` over lock files of the example, in a run directory.
fn verify(lock: &Path, out: &Path) -> Command {
    let mut recrate = recrate();
    recrate.current_dir(example()).args(["verify", "--toolchains", "imported", "--out"]).arg(out).arg(lock);
    recrate
}

fn whole_lock() -> PathBuf {
    example().join("Cargo.lock")
}

/// A lock file with just these crates of the example's.
fn lock_of(folder: &Path, names: &[&str]) -> PathBuf {
    let text = std::fs::read_to_string(whole_lock()).unwrap();
    let mut blocks = text.split("\n[[package]]\n");
    let head = blocks.next().unwrap().to_owned();
    let wanted = blocks.filter(|block| names.iter().any(|name| block.starts_with(&format!("name = \"{name}\"\n"))));
    let text = wanted.fold(head, |text, block| format!("{text}\n[[package]]\n{block}"));
    let file = folder.join("Cargo.lock");
    std::fs::write(&file, text).unwrap();
    // The registry is found from the lock file's folder.
    std::fs::create_dir_all(folder.join(".cargo")).unwrap();
    let registry = example().join("registry");
    let config = format!(
        "[source.crates-io]\nreplace-with = \"example\"\n[source.example]\nlocal-registry = \"{}\"\n",
        registry.display()
    );
    std::fs::write(folder.join(".cargo/config.toml"), config).unwrap();
    let mirror = format!(
        "[[git-mirror]]\nprefix = \"https://git.example/recrate/\"\nreplacement = \"{}/\"\n",
        example().join("repositories").display()
    );
    std::fs::write(folder.join("recrate.toml"), mirror).unwrap();
    file
}

/// What is not the same on every machine and day: hashes in store paths, which follow the builder's, folders, and when
/// repositories were asked.
fn filters(folder: &Path) -> Vec<(String, &'static str)> {
    vec![
        (r"was asked on \d{4}-\d{2}-\d{2}".to_owned(), "was asked on [date]"),
        (r"/nix/store/[0-9a-z]{32}-".to_owned(), "/nix/store/[hash]-"),
        (regex_of(folder), "[folder]"),
        (regex_of(&example()), "[example]"),
    ]
}

fn regex_of(path: &Path) -> String {
    path.display().to_string().replace('.', r"\.")
}

fn assert_snapshot(name: &str, folder: &Path, text: &str) {
    let filters = filters(folder);
    insta::with_settings!({ filters => filters.iter().map(|(from, to)| (from.as_str(), *to)), prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

fn files_below(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut queue = vec![root.to_owned()];
    while let Some(folder) = queue.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                queue.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_owned(), std::fs::read(path).unwrap());
            }
        }
    }
    files
}

#[test]
fn the_report_has_a_crate_for_every_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let done = verify(&whole_lock(), &out).assert().code(1);
    let text = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    assert!(!text.contains('\x1b'), "colours are for terminals");
    assert_snapshot("report", folder.path(), &text);

    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_fits("report.schema.json", &report);
    let verdicts: Vec<_> = report["verdicts"].as_object().unwrap().keys().map(String::as_str).collect();
    let all = [
        "checksum-mismatch",
        "generated-files-differ",
        "malformed-archive",
        "packaging-failed",
        "reproduced",
        "same-contents",
        "source-differs",
        "unreachable-commit",
        "unverifiable",
    ];
    assert_eq!(verdicts, all);
    let plan: Value = serde_json::from_slice(&std::fs::read(out.join("plan.json")).unwrap()).unwrap();
    assert_fits("plan.schema.json", &plan);
}

#[test]
fn the_readme_shows_the_real_report() {
    let folder = tempfile::tempdir().unwrap();
    // Without --out, as the README's command has it: the commands that the report tells of are shorter then.
    let mut recrate = recrate();
    let done = recrate.current_dir(folder.path()).args(["verify", "--quiet"]).arg(whole_lock()).assert().code(1);
    let report = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let shown = readme.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    // Store paths follow the builder's hash, which follows the compiler.
    let without_hashes = |text: &str| -> String {
        let mut parts = text.split("/nix/store/");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| format!("{text}/nix/store/{}", &part[32..]))
    };
    // So is the day: it is the only date in it.
    let without_date = |text: &str| -> String {
        let (before, after) = text.split_once("was asked on ").expect("the report says when repositories were asked");
        format!("{before}was asked on {}", &after["2026-01-01".len()..])
    };
    let comparable = |text: &str| without_date(&without_hashes(text));
    assert_shown(&comparable(shown), &comparable(&report));
}

fn assert_shown(shown: &str, real: &str) {
    let diff = similar::TextDiff::from_lines(shown, real);
    assert!(shown == real, "the README shows another report:\n{}", diff.unified_diff());
}

#[test]
fn the_json_form_is_what_the_run_directory_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let done = verify(&whole_lock(), &out).args(["--format", "json"]).assert().code(1);
    assert_eq!(done.get_output().stdout, std::fs::read(out.join("report.json")).unwrap());
}

#[test]
fn a_plan_is_verified_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str| folder.path().join(name);
    let done = verify(&whole_lock(), &run("searched")).args(["--format", "json"]).assert();
    let searched: Value = serde_json::from_slice(&done.code(1).get_output().stdout).unwrap();
    let plan = run("searched").join("plan.json");
    let mut program = recrate();
    program.current_dir(example()).args(["verify", "Cargo.lock", "--format", "json", "--quiet", "--from-plan"]);
    let output = program.arg(&plan).arg("--out").arg(run("replayed")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let replayed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_fits("report.schema.json", &replayed);
    let said = |report: &Value| -> Vec<Value> {
        let packages = report["packages"].as_array().unwrap().iter();
        let of = |one: &Value| {
            let mut findings = one["findings"].clone();
            // Where nobody was asked, a plan's word is all there is.
            findings["reach"].as_object_mut().unwrap().remove("claimedByPlan");
            serde_json::json!([one["name"], one["verdict"], one["decision"], findings])
        };
        packages.map(of).collect()
    };
    assert_eq!(said(&replayed), said(&searched));
    assert_eq!(std::fs::read(plan).unwrap(), std::fs::read(run("replayed").join("plan.json")).unwrap());
    // What is shown of a difference is shown of a replay, too.
    recrate().args(["diff", "backdoor@1.0.0", "--out"]).arg(run("replayed")).assert().code(1);
}

#[test]
fn what_is_no_plan_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    let said = |content: Option<&str>| {
        if let Some(text) = content {
            std::fs::write(&file, text).unwrap();
        }
        let done = recrate().current_dir(&folder).args(["verify", "--from-plan", "plan.json"]).assert().code(2);
        String::from_utf8(done.get_output().stderr.clone()).unwrap()
    };
    insta::assert_snapshot!([
        said(None),
        said(Some("[]")),
        said(Some("{\"schema\": 7}")),
        said(Some("{\"schema\": 3, \"system\": \"x86_64-linux\"}")),
    ].concat(), @"
    error: plan.json: No such file or directory (os error 2)
    help: `recrate plan --output plan.json` writes a plan
    error: plan.json: this is not a plan of recrate: it has no schema
    error: plan.json: this plan has schema 7, this recrate reads schema 3; `recrate plan` writes a new one
    error: plan.json: this plan is not as its schema says: missing field `builder`
    ");
}

#[test]
fn the_same_lock_file_gives_the_same_plan_on_every_machine() {
    let folder = tempfile::tempdir().unwrap();
    // Another cache, another place of registry and repositories, another run directory; and not verified before.
    let plan = |name: &str| {
        let place = folder.path().join(name);
        std::fs::create_dir(&place).unwrap();
        let mut program = recrate();
        program.env("RECRATE_CACHE", place.join("cache")).args([
            "plan",
            "--quiet",
            "--toolchains",
            "imported",
            "--out",
        ]);
        program.arg(place.join("run")).arg(lock_of(&place, &["honest", "stale-lock", "vintage", "lost", "backdoor"]));
        let done = program.assert().code(3);
        let said = String::from_utf8(done.get_output().stderr.clone()).unwrap();
        assert_eq!(said, "not rebuilt: lost@1.0.0, unverifiable\n");
        String::from_utf8(done.get_output().stdout.clone()).unwrap()
    };
    let (one, two) = (plan("one"), plan("two"));
    assert_eq!(one, two);
    assert_fits("plan.schema.json", &serde_json::from_str(&one).unwrap());
    for local in [folder.path().to_str().unwrap(), example().to_str().unwrap(), "/nix/store", "file://"] {
        assert!(!one.contains(local), "{local}");
    }
}

#[test]
fn what_is_said_of_progress_is_a_line_for_every_crate() {
    let folder = tempfile::tempdir().unwrap();
    let done = verify(&whole_lock(), &folder.path().join("run")).assert().code(1);
    let said = String::from_utf8(done.get_output().stderr.clone()).unwrap();
    assert_eq!(said.lines().filter(|line| line.contains("/14)")).count(), 14, "{said}");
    let quiet = verify(&whole_lock(), &folder.path().join("quiet")).arg("--quiet").assert().code(1);
    assert_eq!(String::from_utf8_lossy(&quiet.get_output().stderr), "");
}

#[test]
fn the_exit_status_follows_what_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let code = |names: &[&str], accept: &str| {
        let done = verify(&lock_of(folder.path(), names), &run).args(["--accept", accept]).output().unwrap();
        done.status.code().unwrap()
    };
    assert_eq!(code(&["honest"], "strict"), 0);
    assert_eq!(code(&["honest", "vintage"], "default"), 0);
    assert_eq!(code(&["honest", "vintage"], "strict"), 1);
    assert_eq!(code(&["older-lock", "stale-lock"], "default"), 0);
    assert_eq!(code(&["older-lock"], "strict"), 0);
    assert_eq!(code(&["stale-lock"], "strict"), 1);
    assert_eq!(code(&["honest", "lost"], "default"), 3);
    assert_eq!(code(&["backdoor", "lost"], "default"), 1);
    assert_eq!(code(&["reformatted"], "default"), 1);
    for policy in ["strict", "default", "contents-only"] {
        for rejected in ["backdoor", "hidden-dependency", "reformatted", "swapped", "escaping", "moved"] {
            assert_eq!(code(&[rejected], policy), 1, "{rejected} by {policy}");
        }
        let impostor = i32::from(policy != "contents-only");
        assert_eq!(code(&["impostor"], policy), impostor, "impostor by {policy}");
        assert_eq!(code(&["lost"], policy), 3, "lost by {policy}");
        assert_eq!(code(&["traceless"], policy), 3, "traceless by {policy}");
        assert_eq!(code(&[], policy), 4);
    }
}

#[test]
fn made_again_the_registry_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    make::make(folder.path());
    for part in ["registry", "repositories"] {
        let (made, kept) = (files_below(&folder.path().join(part)), files_below(&example().join(part)));
        let differ: Vec<_> = made.keys().chain(kept.keys()).filter(|path| made.get(*path) != kept.get(*path)).collect();
        assert!(differ.is_empty(), "in {part}: {differ:?}");
    }
    assert_eq!(std::fs::read(folder.path().join("Cargo.lock")).unwrap(), std::fs::read(whole_lock()).unwrap());
}

#[test]
fn a_run_that_was_cut_off_goes_on_and_believes_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    verify(&whole_lock(), &run).assert().code(1);
    // Cut off before the report was written and two crates were done; one record is somebody else's.
    std::fs::remove_file(run.join("report.json")).unwrap();
    for crate_done_last in ["honest-1_0_0", "moved-1_0_0"] {
        std::fs::remove_file(run.join(format!("records/{crate_done_last}.json"))).unwrap();
    }
    let record = run.join("records/escaping-1_0_0.json");
    let kept = std::fs::read_to_string(&record).unwrap().replace("lies outside", "(made up) lies outside");
    std::fs::write(&record, kept).unwrap();

    let done = verify(&whole_lock(), &run).assert().code(1);
    let text = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    assert!(text.contains("14 packages") && !text.contains("(made up)"), "{text}");
    assert!(!folder.path().join("run.old").exists());
    // A finished run is not gone on with, but kept aside.
    verify(&whole_lock(), &run).assert().code(1);
    assert!(folder.path().join("run.old/report.json").is_file());
}

#[test]
fn the_diff_shows_what_the_report_names() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    verify(&whole_lock(), &run).assert().code(1);
    // From any folder: the run knows where the registry is.
    let diff = |krate: &str| {
        let done = recrate().current_dir("/").args(["diff", krate, "--out"]).arg(&run).output().unwrap();
        let (said, failed) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
        format!("{krate}: exit status {}\n{said}{failed}", done.status.code().unwrap())
    };
    let crates =
        ["backdoor@1.0.0", "hidden-dependency@1.0.0", "reformatted@1.0.0", "honest@1.0.0", "lost@1.0.0", "a@1.0.0"];
    assert_snapshot("diffs", folder.path(), &crates.map(diff).join("\n"));
    let vintage = diff("vintage@1.0.0");
    assert!(vintage.contains("every file is the same"), "{vintage}");
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("precious"), "mine").unwrap();
    let done = verify(&whole_lock(), folder.path()).assert().code(2);
    let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert!(said.contains("--out"), "{said}");
    assert_eq!(std::fs::read_to_string(folder.path().join("precious")).unwrap(), "mine");
}

#[test]
fn what_a_crate_says_of_how_it_was_made_can_be_seen() {
    let said = |krate: &str, code: i32| {
        let done = recrate().current_dir(example()).args(["explain", krate]).assert().code(code);
        String::from_utf8(done.get_output().stdout.clone()).unwrap()
    };
    let honest = said("honest@1.0.0", 0);
    let made = honest.split("\nwould be tried").next().unwrap();
    insta::assert_snapshot!(made, @"
    honest@1.0.0
      published 2025-03-01T12:00:00Z
      from https://git.example/recrate/honest at 6e02fca0017348c23419b01241b131b555090b51
      reached by main

    packaged by cargo 1.83 to 1.87:
      GNU tar headers: cargo 1.46 or newer
      entries sorted by path: cargo 1.43 or newer
      time 1 on generated files: cargo 1.54 to 1.92
      time 1153704088 on files: cargo 1.63 or newer
      vcs info with path_in_vcs: cargo 1.57 or newer
      Cargo.toml with today's header: cargo 1.55 or newer
      autolib = false: cargo 1.83 or newer
      Cargo.lock of version 4: cargo 1.78 or newer
      published before newer releases existed: cargo 1.87 or older
    ");
    assert!(honest.contains("in this order:\n  1.85.1 (imported)\n"), "{honest}");
    insta::assert_snapshot!(said("traceless@1.0.0", 3), @"
    traceless@1.0.0
      can't be rebuilt: no .cargo_vcs_info.json: published with --allow-dirty, from outside of git, or by a cargo before 1.30
    ");
}

#[test]
fn a_plan_whose_cargo_nobody_has_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan: Value = serde_json::from_slice(&std::fs::read(example().join("plan.json")).unwrap()).unwrap();
    plan["packages"].as_object_mut().unwrap().retain(|job, _| job == "honest-1_0_0");
    plan["lockfile"] = Value::Null;
    plan["toolchains"]["1.85.1"]["origin"]["narHash"] = format!("sha256-{}=", "A".repeat(43)).into();
    let file = folder.path().join("plan.json");
    let verify = |plan: &Value| {
        std::fs::write(&file, plan.to_string()).unwrap();
        let mut program = recrate();
        program
            .args(["verify", "--quiet", "--from-plan"])
            .arg(&file)
            .arg("--config")
            .arg(example().join("recrate.toml"));
        program.arg("--out").arg(folder.path().join("run")).output().unwrap()
    };
    let done = verify(&plan);
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.contains("the plan's cargo 1.85.1 is not imported here"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colours where there is no terminal: {said}");
    assert_eq!(done.status.code(), Some(3));

    plan["toolchains"].as_object_mut().unwrap().clear();
    let done = verify(&plan);
    assert_eq!(done.status.code(), Some(2));
    assert!(
        String::from_utf8(done.stderr).unwrap().contains("names the toolchain 1.85.1, which the plan does not hold")
    );
}

/// Builds finish in another order when one is made at a time, when many are, and when all were made before.
#[test]
fn report_and_plan_do_not_depend_on_timing() {
    let folder = tempfile::tempdir().unwrap();
    // Like a builder that nobody has built with, so that nothing is in the store.
    let builder = folder.path().join("recrate-builder");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos().to_string();
    std::fs::write(&builder, [std::fs::read(static_program("recrate-builder")).unwrap(), now.into()].concat()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&builder, mode).unwrap();
    let run = |name: &str, jobs: &str| {
        let out = folder.path().join(name);
        let mut recrate = recrate();
        recrate.env("RECRATE_BUILDER", &builder).env("XDG_CACHE_HOME", folder.path().join(format!("{name} cache")));
        let arguments = ["Cargo.lock", "--max-jobs", jobs, "--out", out.to_str().unwrap()];
        let report = verify_json_with(recrate, &root().join("examples/registry"), &arguments);
        let files = ["report.json", "plan.json"].map(|file| std::fs::read(out.join(file)).unwrap());
        (out, report, files)
    };
    let (out, report, one_at_a_time) = run("one at a time", "1");
    std::fs::remove_dir_all(&out).unwrap();
    let attempts = report["packages"].as_array().unwrap().iter().flat_map(|package| package["attempts"].as_array());
    let built: Vec<&str> = attempts.flatten().filter_map(|attempt| attempt["out"].as_str()).collect();
    assert!(built.len() > 8, "{report:#}");
    let deleted = std::process::Command::new("nix-store").arg("--delete").args(&built).output().unwrap();
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    let (_, _, many) = run("many", "5");
    let (_, _, none) = run("none", "3");
    for (at, what) in ["report", "plan"].iter().enumerate() {
        assert!(one_at_a_time[at] == many[at] && many[at] == none[at], "not the same {what}");
    }
}
