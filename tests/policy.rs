//! A gate that people keep switched on: a project from its first run over a baseline to an update that smuggles a file in, and the
//! same decisions from plain Nix. Reports as CI systems read them.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::place::{Place, orphan_of};
use common::workshop::{Bare, Cargo, Files, Release, edit, files, pack, unpack};
use common::{assert_fits, plan_json, recrate, root, static_program};
use serde_json::Value;

/// A project: a Cargo.lock and a recrate.toml in a git repository, beside the registry and the repositories of its crates.
struct Project {
    place: Place,
}

impl Project {
    fn new() -> Self {
        let place = Place::new();
        let project = Self { place };
        project.git(&["init", "--quiet", "--initial-branch", "main"]);
        project.git(&["config", "user.name", "Ada"]);
        project.git(&["config", "user.email", "ada@example.org"]);
        project
    }

    fn path(&self) -> &Path {
        self.place.folder.path()
    }

    fn git(&self, arguments: &[&str]) {
        let done = Command::new("git").current_dir(self.path()).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn commit(&self) {
        self.git(&["add", "Cargo.lock", "recrate.toml"]);
        self.git(&["commit", "--quiet", "--message", "next"]);
    }

    /// Publishes a version from a commit of its own; `change`: what the publisher does to the crate besides.
    fn publish(&self, name: &str, version: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) {
        let repository = self.place.repository(name);
        repository.commit(&tree(name, version), version);
        let bytes = packaged(&self.place, &repository);
        let release = Release { name, version, published: "2025-03-01T12:00:00Z", requires: &[] };
        self.place.registry.publish(&release, &change(bytes));
    }

    /// Puts a published crate into the store, where Nix looks for it first.
    fn store(&self, name: &str, version: &str) {
        let file = self.path().join(format!("crate-{name}-{version}.tar.gz"));
        std::fs::copy(self.place.registry.file(name, version), &file).unwrap();
        add_fixed(&["sha256"], &file);
    }

    fn lock(&self, crates: &[(&str, &str)]) {
        std::fs::write(self.path().join("Cargo.lock"), self.place.registry.lock_file(crates)).unwrap();
    }

    /// A run of recrate in the project; gives its exit status and what it wrote.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let done =
            recrate().current_dir(self.path()).args(arguments).env_remove("GITHUB_STEP_SUMMARY").output().unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    fn verify(&self, arguments: &[&str]) -> (i32, String) {
        self.run(&[&["verify", "--quiet"], arguments].concat())
    }

    /// The report of the last run.
    fn report(&self) -> Value {
        let text = std::fs::read(self.path().join("recrate.out/report.json")).unwrap();
        let report = serde_json::from_slice(&text).unwrap();
        assert_fits("report.schema.json", &report);
        report
    }
}

fn tree(name: &str, version: &str) -> Files {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\nlicense = \"MIT\"\n\
         description = \"In a project\"\nrepository = \"https://git.example/recrate/{name}\"\n"
    );
    let source = format!("//! Version {version}.\n");
    files([("Cargo.toml", &manifest), ("src/lib.rs", &source)])
}

fn packaged(place: &Place, repository: &Bare) -> Vec<u8> {
    Cargo::find(85).unwrap().package(repository, "", &place.registry.path, &Files::new())
}

fn with_smuggled_line(bytes: Vec<u8>) -> Vec<u8> {
    let mut entries = unpack(&bytes);
    edit(&mut entries, "src/lib.rs", |text| format!("{text}pub fn backdoor() {{}}\n"));
    pack(&entries)
}

fn without_vcs_info(bytes: Vec<u8>) -> Vec<u8> {
    let mut entries = unpack(&bytes);
    entries.retain(|entry| !entry.path.ends_with(".cargo_vcs_info.json"));
    pack(&entries)
}

fn kinds(report: &Value) -> Vec<(String, String)> {
    let packages = report["packages"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut kinds: Vec<_> = packages
        .map(|one| (format!("{}@{}", text(&one["name"]), text(&one["version"])), text(&one["decision"]["kind"])))
        .collect();
    kinds.sort();
    kinds
}

#[test]
fn a_project_goes_from_red_to_a_baseline_to_a_smuggled_file_to_green() {
    let project = Project::new();
    for (name, version) in [("lib", "1.0.0"), ("other", "1.0.0")] {
        project.publish(name, version, |bytes| bytes);
    }
    project.publish("odd", "1.0.0", with_smuggled_line);
    project.lock(&[("lib", "1.0.0"), ("odd", "1.0.0"), ("other", "1.0.0")]);

    // The first run is red.
    let (code, said) = project.verify(&[]);
    assert_eq!(code, 1, "{said}");

    // The baseline makes it green; the file's comments and settings stay.
    let (code, said) = project.run(&["waive", "--all-current", "--reason", "as of today"]);
    assert_eq!((code, said.starts_with("waived 1 package of 3 in the last run: ")), (0, true), "{said}");
    let config = std::fs::read_to_string(project.path().join("recrate.toml")).unwrap();
    assert!(config.starts_with("# The cargos that scripts/setup imports") && config.contains("Ada <ada@example.org>"));
    let (code, said) = project.verify(&[]);
    assert_eq!((code, said.contains("1 waived")), (0, true), "{said}");
    project.commit();
    let (code, said) = project.verify(&["--changed-since", "main"]);
    assert_eq!((code, said.contains("nothing changed")), (0, true), "{said}");

    // An update smuggles something in: only it is looked at, and the reader is sent to its line.
    project.publish("lib", "1.1.0", with_smuggled_line);
    project.lock(&[("lib", "1.1.0"), ("odd", "1.0.0"), ("other", "1.0.0")]);
    let summary = project.path().join("summary.md");
    let done = recrate()
        .current_dir(project.path())
        .args(["verify", "--quiet", "--changed-since", "main", "--format", "github"])
        .env("GITHUB_STEP_SUMMARY", &summary)
        .env_remove("GITHUB_WORKSPACE")
        .assert()
        .code(1);
    let said = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    let annotation = said.lines().next().unwrap();
    let expected = "::error file=Cargo.lock,line=6,title=lib 1.1.0%3A source differs::differs: src/lib.rs: 1 line that git does not have%0A";
    assert!(annotation.starts_with(expected), "{annotation}");
    assert!(annotation.ends_with("repeat: recrate verify lib@1.1.0; recrate diff lib@1.1.0"), "{annotation}");
    let lock = std::fs::read_to_string(project.path().join("Cargo.lock")).unwrap();
    assert_eq!(lock.lines().nth(5), Some("name = \"lib\""), "the annotation's line");
    let summary = std::fs::read_to_string(summary).unwrap();
    assert!(
        summary.starts_with("## recrate: rejected\n\n1 package looked at, policy default: 1 rejected."),
        "{summary}"
    );
    assert!(summary.contains("<code>2 packages unchanged since main</code>"), "{summary}");
    let report = project.report();
    assert_eq!(kinds(&report), [("lib@1.1.0".into(), "rejected".into())]);
    assert_eq!(report["changedSince"]["unchanged"], 2);
    assert_eq!(report["packages"][0]["update"]["change"]["kind"], "unknown", "there is nothing to review");
    let records = std::fs::read_dir(project.path().join("recrate.out/records")).unwrap().count();
    assert_eq!(records, 2, "of the update and the version before");

    // A waiver for other bytes does not help, whoever writes it.
    let waived = config.replace("odd@1.0.0", "lib@1.1.0");
    std::fs::write(project.path().join("recrate.toml"), &waived).unwrap();
    let (code, said) = project.verify(&["--changed-since", "main"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("waiver for lib@1.1.0: void: it is for sha256"), "{said}");
    assert!(
        said.contains("note: waiver added: lib@1.1.0") && said.contains("note: waiver removed: odd@1.0.0"),
        "{said}"
    );
    assert_eq!(project.report()["packages"].as_array().unwrap().len(), 2, "whose waiver went is looked at again");
    std::fs::write(project.path().join("recrate.toml"), &config).unwrap();

    // Fixed versions: green, what the update is can be read, and the waiver is reported as unused.
    project.publish("lib", "1.1.1", |bytes| bytes);
    project.publish("odd", "1.0.1", |bytes| bytes);
    project.lock(&[("lib", "1.1.1"), ("odd", "1.0.1"), ("other", "1.0.0")]);
    let (code, said) = project.verify(&["--changed-since", "main"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("changed        4 files changed, +4 -4 lines"), "{said}");
    assert!(said.contains("waiver for odd@1.0.0: unused: the lock file has odd 1.0.1"), "{said}");
    assert!(said.contains("not known      odd@1.0.0 is not shown to be what its commit gives"), "{said}");
    let (code, diff) = project.run(&["changes", "lib", "1.0.0", "1.1.1", "--quiet"]);
    assert_eq!(code, 0, "{diff}");
    assert!(
        diff.contains("lib@1.1.1: reproduced\n") && diff.contains("-//! Version 1.0.0.\n+//! Version 1.1.1.\n"),
        "{diff}"
    );
    let (code, said) = project.run(&["changes", "odd", "1.0.0", "1.0.1", "--quiet"]);
    assert_eq!((code, said.contains("source differs")), (1, true), "{said}");
}

#[test]
fn a_policy_asks_more_of_some_crates_and_less_of_what_is_undetermined() {
    let project = Project::new();
    project.publish("lib", "1.0.0", |bytes| bytes);
    project.publish("old", "1.0.0", without_vcs_info);
    project.lock(&[("lib", "1.0.0"), ("old", "1.0.0")]);
    let plain = std::fs::read_to_string(project.path().join("recrate.toml")).unwrap();
    let decisions = |more: &str, arguments: &[&str]| {
        std::fs::write(project.path().join("recrate.toml"), format!("{plain}\n{more}")).unwrap();
        let (code, said) = project.verify(arguments);
        assert!(code != 2, "{said}");
        (code, kinds(&project.report()).into_iter().map(|(_, kind)| kind).collect::<Vec<_>>())
    };
    assert_eq!(decisions("", &[]), (3, vec!["accepted".into(), "undetermined".into()]));
    assert_eq!(decisions("[policy]\nundetermined = \"warn\"\n", &[]), (0, vec!["accepted".into(), "warned".into()]));
    // What is new is not let in as easily, unless that is said, too.
    std::fs::write(project.path().join("empty.lock"), "version = 4\n").unwrap();
    let new = ["--changed-since", "empty.lock"];
    let warn = "[policy]\nundetermined = \"warn\"\n";
    assert_eq!(decisions(warn, &new), (3, vec!["accepted".into(), "undetermined".into()]));
    let also = format!("{warn}undetermined-when-new = \"warn\"\n");
    assert_eq!(decisions(&also, &new), (0, vec!["accepted".into(), "warned".into()]));
    let section = "[[policy.for]]\ncrates = [\"o*\"]\nrequire = \"strict\"\nundetermined = \"reject\"\n";
    assert_eq!(decisions(&format!("{warn}{section}"), &[]), (3, vec!["accepted".into(), "undetermined".into()]));
    // Registries are named as Cargo.lock has them.
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    let section =
        format!("[[policy.for]]\nregistries = [\"{registry}\"]\nrequire = {{ }}\nundetermined = \"reject\"\n");
    assert_eq!(decisions(&format!("{warn}{section}"), &[]), (3, vec!["accepted".into(), "undetermined".into()]));
    let (_, said) = project.verify(&[]);
    assert!(!said.contains("section for"), "{said}");
    let misspelt = section.replace("crates.io-index", "crates.oi-index");
    decisions(&format!("{warn}{misspelt}"), &[]);
    let (_, said) = project.verify(&[]);
    assert!(said.contains("section for https://github.com/rust-lang/crates.oi-index: unused"), "{said}");
    // The command line's policy counts instead of the file's.
    assert_eq!(decisions(warn, &["--accept", "default"]), (3, vec!["accepted".into(), "undetermined".into()]));
}

#[test]
fn what_recrate_toml_can_not_mean_is_an_error_that_says_where() {
    let project = Project::new();
    project.publish("lib", "1.0.0", |bytes| bytes);
    project.lock(&[("lib", "1.0.0")]);
    let plain = std::fs::read_to_string(project.path().join("recrate.toml")).unwrap();
    let waiver = "[[waiver]]\ncrate = \"lib@1.0.0\"\nsha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\n";
    for (more, fault) in [
        ("[polcy]\n", "unknown field `polcy`"),
        ("[policy]\nrequire = \"everything\"\n", "`everything` is not a policy"),
        ("[policy]\nrequire = { base = \"strict\", content = \"x\" }\n", "unknown field `content`"),
        ("[[policy.for]]\ncrates = [\"a b\"]\nrequire = \"strict\"\n", "is not a crate's name"),
        (&format!("{waiver}reason = \"x\"\nwho = \"y\"\n"), "missing field `findings`"),
        (&format!("{waiver}findings = []\nreason = \"x\"\nwho = \"y\"\n"), "empty list"),
        (&format!("{waiver}findings = [\"error\"]\nreason = \" \"\nwho = \"y\"\n"), "can't be empty"),
        ("[[policy.for]]\nrequire = \"contents-only\"\n", "has `crates` or `registries`"),
        ("[[policy.for]]\ncrates = []\nrequire = \"contents-only\"\n", "empty list"),
        (&format!("{waiver}findings = [\"error\"]\nreason = \"x\"\nwho = \"y\"\nexpires = 2027-01-01\n"), "in quotes"),
    ] {
        std::fs::write(project.path().join("recrate.toml"), format!("{plain}\n{more}")).unwrap();
        let (code, said) = project.verify(&[]);
        assert_eq!((code, said.contains(fault)), (2, true), "{more}: {said}");
        assert!(said.contains("recrate.toml"), "{said}");
    }
}

/// What a change could do so that it is not looked at.
#[test]
fn a_change_can_not_hide_what_it_changes() {
    let project = Project::new();
    project.publish("lib", "1.0.0", |bytes| bytes);
    project.publish("odd", "1.0.0", with_smuggled_line);
    project.lock(&[("lib", "1.0.0")]);
    project.commit();
    let honest = std::fs::read_to_string(project.path().join("Cargo.lock")).unwrap();
    project.lock(&[("lib", "1.0.0"), ("odd", "1.0.0")]);
    let changed = std::fs::read_to_string(project.path().join("Cargo.lock")).unwrap();
    assert_eq!(project.verify(&["--changed-since", "main"]).0, 1);

    // A file of the revision's name.
    for name in ["main", "HEAD"] {
        std::fs::copy(project.path().join("Cargo.lock"), project.path().join(name)).unwrap();
        let (code, said) = project.verify(&["--changed-since", name]);
        assert_eq!((code, said.contains("is a revision and a file")), (2, true), "{said}");
        assert_eq!(project.verify(&["--changed-since", &format!("{name}^0")]).0, 1);
        std::fs::remove_file(project.path().join(name)).unwrap();
    }
    project.git(&["branch", "origin/main"]);
    std::fs::create_dir(project.path().join("origin")).unwrap();
    std::fs::copy(project.path().join("Cargo.lock"), project.path().join("origin/main")).unwrap();
    assert_eq!(project.verify(&["--changed-since", "origin/main"]).0, 1, "the revision counts");
    let (code, said) = project.verify(&["--changed-since", "./origin/main"]);
    assert_eq!((code, said.contains("nothing changed")), (0, true), "a file is named as one: {said}");
    assert!(said.contains("what recrate.toml said before is not known"), "{said}");

    // What git takes for a repository, beside the lock file.
    let sub = project.path().join("sub");
    std::fs::create_dir(&sub).unwrap();
    std::fs::copy(project.path().join("Cargo.lock"), sub.join("Cargo.lock")).unwrap();
    project.git(&["init", "--quiet", "--bare", "sub"]);
    let (code, said) = project.verify(&["sub/Cargo.lock", "--changed-since", "main", "--config", "recrate.toml"]);
    assert!(code == 1 && !said.contains("nothing changed"), "{said}");

    // Another checksum of what was there, beside a new version of it.
    project.publish("lib", "2.0.0", |bytes| bytes);
    project.lock(&[("lib", "1.0.0"), ("lib", "2.0.0")]);
    let checksum = project.place.registry.checksum("lib", "1.0.0");
    let text = std::fs::read_to_string(project.path().join("Cargo.lock")).unwrap();
    std::fs::write(project.path().join("Cargo.lock"), text.replace(&checksum, &"f".repeat(64))).unwrap();
    let (code, said) = project.verify(&["--changed-since", "main"]);
    assert_eq!((code, said.contains("checksum mismatch (1)")), (1, true), "{said}");

    // Where repositories come from.
    std::fs::write(project.path().join("Cargo.lock"), &honest).unwrap();
    let config = project.path().join("recrate.toml");
    let plain = std::fs::read_to_string(&config).unwrap();
    let mirror = "\n[[git-mirror]]\nprefix = \"https://elsewhere.example/\"\nreplacement = \"repositories/\"\n";
    std::fs::write(&config, plain.clone() + mirror).unwrap();
    let (code, said) = project.verify(&["--changed-since", "main"]);
    assert_eq!((code, said.contains("says otherwise where repositories are")), (0, true), "{said}");
    assert!(said.contains("1 package: 1 reproduced"), "{said}");
    std::fs::write(&config, &plain).unwrap();

    // A dependency from git is named, though nothing of it was published.
    let from_git =
        "\n[[package]]\nname = \"own\"\nversion = \"1.0.0\"\nsource = \"git+https://git.example/x?rev=a#aaaa\"\n";
    std::fs::write(project.path().join("Cargo.lock"), honest + from_git).unwrap();
    let (_, said) = project.verify(&["--changed-since", "main"]);
    assert!(said.contains("new, and not looked at: own 1.0.0 from git+https://git.example/x"), "{said}");
    assert!(changed.contains("odd"));
}

#[test]
fn a_plan_brings_no_configuration_of_its_own() {
    let project = Project::new();
    project.publish("lib", "1.0.0", |bytes| bytes);
    project.lock(&[("lib", "1.0.0")]);
    let stranger = project.path().join("stranger");
    std::fs::create_dir(&stranger).unwrap();
    let plan = stranger.join("plan.json");
    plan_json(project.path(), &["lib@1.0.0"], &plan);
    std::fs::write(stranger.join("recrate.toml"), "[polcy]\n").unwrap();
    let (code, said) = project.verify(&["--from-plan", plan.to_str().unwrap()]);
    assert_eq!(code, 0, "what lies beside the plan is not read: {said}");
}

#[test]
fn what_another_store_built_is_read_as_that_store_has_it() {
    let project = Project::new();
    project.publish("odd", "1.0.0", with_smuggled_line);
    project.lock(&[("odd", "1.0.0")]);
    let store = tempfile::tempdir().unwrap();
    let store = format!("local?root={}", store.path().display());
    let verify = || project.verify(&["--store", &store, "--fresh"]);
    assert_eq!(verify().0, 1);
    // Somebody puts the published crate where the output was copied to.
    let run = project.path().join("recrate.out");
    let out = project.report()["packages"][0]["attempts"][0]["out"].as_str().unwrap().to_owned();
    let copied = run.join("store").join(out.trim_start_matches('/')).join("odd-1.0.0.crate");
    let folder = copied.parent().unwrap();
    for path in [folder, &copied] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    std::fs::copy(project.place.registry.file("odd", "1.0.0"), &copied).unwrap();
    std::fs::remove_file(run.join("report.json")).unwrap();
    let _ = std::fs::remove_dir_all(run.join("records"));
    let (code, said) = verify();
    assert_eq!((code, said.contains("is not what the store has as")), (70, true), "{said}");
}

#[test]
fn waivers_are_written_for_what_a_run_found_and_replace_void_ones() {
    let project = Project::new();
    project.publish("odd", "1.0.0", with_smuggled_line);
    project.publish("lib", "1.0.0", |bytes| bytes);
    project.lock(&[("odd", "1.0.0"), ("lib", "1.0.0")]);
    let waive = |arguments: &[&str]| project.run(&[&["waive"], arguments].concat());
    let (code, said) = waive(&["odd@1.0.0", "--reason", "x"]);
    assert_eq!((code, said.contains("`recrate verify` first")), (2, true), "{said}");
    project.verify(&[]);
    for (arguments, code, words) in [
        (&["odd@9.0.0", "--reason", "x"][..], 2, "has no odd@9.0.0"),
        (&["odd@1.0.0", "--reason", " "], 2, "--reason is empty"),
        (&["odd@1.0.0", "--reason", "x", "--expires", "2020-01-01"], 2, "not in the future"),
        (&["lib@1.0.0", "--reason", "x"], 0, "nothing to waive: lib@1.0.0 is accepted"),
        (
            &["odd@1.0.0", "--reason", "first", "--expires", "2100-01-01", "--link", "https://git.example/1"],
            0,
            "waived 1",
        ),
    ] {
        let (was, said) = waive(arguments);
        assert_eq!((was, said.contains(words)), (code, true), "{arguments:?}: {said}");
    }
    let path = project.path().join("recrate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("reason = \"first\"\nwho = \"Ada <ada@example.org>\"\nexpires = \"2100-01-01\"\n"), "{text}");
    // A person writes a remark; it stays when the waiver is written again.
    let remarked = text.replace("reason = \"first\"", "reason = \"first\" # see the thread");
    let void = remarked.replace("lines +1 -0", "lines +2 -0");
    std::fs::write(&path, void).unwrap();
    let (code, said) = project.verify(&[]);
    assert_eq!((code, said.contains("void: found now: source-differs: lines +1 -0 src/lib.rs")), (1, true), "{said}");
    assert_eq!(waive(&["odd@1.0.0", "--reason", "again"]).0, 0);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("reason = \"again\" # see the thread") && !text.contains("first"), "{text}");
    assert_eq!(text.matches("[[waiver]]").count(), 1);
    assert_eq!(project.verify(&[]).0, 0);
}

fn add_fixed(how: &[&str], file: &Path) {
    let done = Command::new("nix-store").arg("--add-fixed").args(how).arg(file).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_job_of_ci_verifies_what_a_request_changes_and_leaves_its_reports() {
    let project = Project::new();
    project.publish("lib", "1.0.0", |bytes| bytes);
    project.publish("odd", "1.0.0", with_smuggled_line);
    project.lock(&[("lib", "1.0.0"), ("odd", "1.0.0")]);
    project.commit();
    project.publish("lib", "1.1.0", |bytes| bytes);
    project.lock(&[("lib", "1.1.0"), ("odd", "1.0.0")]);
    project.commit();
    // What a runner has: a checkout of one commit, without the base.
    let checkout = project.path().join("checkout");
    let origin = format!("file://{}", project.path().display());
    project.git(&["clone", "--quiet", "--depth", "1", &origin, checkout.to_str().unwrap()]);
    project.git(&["branch", "base", "main~1"]);
    let base = Command::new("git").current_dir(project.path()).args(["rev-parse", "base"]).output().unwrap();
    let base = String::from_utf8(base.stdout).unwrap().trim().to_owned();
    for folder in [".cargo", "registry", "repositories"] {
        std::os::unix::fs::symlink(project.path().join(folder), checkout.join(folder)).unwrap();
    }
    let job = |variables: &[(&str, &str)]| {
        let mut job = Command::new(root().join("scripts/verify-in-ci"));
        job.current_dir(&checkout).env("RECRATE", env!("CARGO_BIN_EXE_recrate"));
        for unset in ["GITHUB_ACTIONS", "GITHUB_BASE_REF", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"] {
            job.env_remove(unset);
        }
        let done = job.envs(variables.iter().copied()).output().unwrap();
        (done.status.code().unwrap(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
    };
    let summary = checkout.join("summary.md");
    let github =
        [("GITHUB_ACTIONS", "true"), ("GITHUB_BASE_REF", "base"), ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())];
    let (code, said) = job(&github);
    assert_eq!((code, said.contains("1 package unchanged since ")), (0, true), "{said}");
    assert!(std::fs::read_to_string(&summary).unwrap().contains("recrate changes lib 1&#46;0&#46;0 1&#46;1&#46;0"));
    for report in ["report.json", "report.sarif", "junit.xml", "report.md"] {
        assert!(checkout.join("recrate-report").join(report).is_file(), "{report}");
    }
    let (code, said) = job(&[("CI_MERGE_REQUEST_DIFF_BASE_SHA", &base)]);
    assert_eq!((code, said.contains("policy default: accepted (1 accepted)")), (0, true), "{said}");
    // Outside of a request everything is looked at.
    let (code, said) = job(&[("GITHUB_ACTIONS", "true")]);
    assert_eq!(
        (code, said.starts_with("::error file=Cargo.lock,line=12,title=odd 1.0.0%3A source differs")),
        (1, true),
        "{said}"
    );
    let (code, said) = job(&[("RECRATE_CHANGED_SINCE", "nowhere")]);
    assert_eq!((code, said.contains("fetch-depth: 0")), (2, true), "{said}");
    // The action and the template do just that.
    for file in ["action.yml", "templates/gitlab/.gitlab-ci.yml"] {
        assert!(std::fs::read_to_string(root().join(file)).unwrap().contains("scripts/verify-in-ci"), "{file}");
    }
}

/// The decisions of plain Nix's report, by package.
fn by_nix(plan: &Path, more: &[&str]) -> Vec<(String, String)> {
    let out = nix_build(plan, "report", more).unwrap();
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_fits("report.schema.json", &report);
    kinds(&report)
}

fn nix_build(plan: &Path, attribute: &str, more: &[&str]) -> Result<PathBuf, String> {
    let mut nix = Command::new("nix-build");
    nix.arg(root().join("nix/plan.nix")).args(["-A", attribute, "--no-out-link", "--argstr", "planFile"]).arg(plan);
    nix.args(["--option", "substitute", "false"]).args(more);
    let done = nix.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() { Ok(String::from_utf8_lossy(&done.stdout).trim().into()) } else { Err(said) }
}

#[test]
fn plain_nix_decides_as_the_driver_does() {
    let project = Project::new();
    project.publish("lib", "1.0.0", |bytes| bytes);
    project.publish("odd", "1.0.0", with_smuggled_line);
    project.publish("old", "1.0.0", without_vcs_info);
    // Published from a commit that no branch has any longer.
    project.publish("lost", "1.0.0", |bytes| bytes);
    let lost = project.place.repository("lost");
    let rewritten = lost.commit(&tree("lost", "2.0.0"), "rewritten");
    let orphan = lost.object("commit", &orphan_of(&lost, &rewritten));
    std::fs::write(lost.path.join("refs/heads/main"), format!("{orphan}\n")).unwrap();
    let crates = [("lib", "1.0.0"), ("lost", "1.0.0"), ("odd", "1.0.0"), ("old", "1.0.0")];
    project.lock(&crates);
    crates.iter().for_each(|(name, version)| project.store(name, version));
    add_fixed(&["--recursive", "sha256"], &static_program("recrate-judge"));
    let plan = project.path().join("plan.json");
    plan_json(project.path(), &["Cargo.lock"], &plan);
    let plan_text = plan.to_str().unwrap().to_owned();
    let from_plan = ["--from-plan", &plan_text, "Cargo.lock"];
    let config = project.path().join("recrate.toml");
    let plain = std::fs::read_to_string(&config).unwrap();
    assert_eq!(project.verify(&from_plan).0, 1);
    project.run(&["waive", "--all-current", "--reason", "baseline", "--expires", "2100-01-01"]);
    let baseline = std::fs::read_to_string(&config).unwrap();
    let rule = "[[rule]]\nowner = \"https://git.example/recrate\"\ncrates = [\"l*\"]\nfindings = [\"unreachable-commit\"]\n\
        reason = \"rewrites its branches\"\nwho = \"Ada\"\nexpires = \"2100-01-01\"\n";
    let policies = [
        plain.clone(),
        format!("{plain}\n[policy]\nrequire = \"strict\"\nundetermined = \"warn\"\n"),
        format!(
            "{plain}\n[policy]\nrequire = \"contents-only\"\n\n[[policy.for]]\ncrates = [\"lost\"]\nrequire = \"strict\"\n"
        ),
        format!("{plain}\n{rule}"),
        baseline.clone(),
        baseline.replace("2100-01-01", "2026-01-01"),
        baseline.replace("sha256 = \"", "sha256 = \"0000").replace("0000", ""),
        baseline.replace("findings = [", "findings = [ \"x\", ").replace("source-differs", "source-differed"),
        format!("{baseline}\n{}", rule.replace("https://git.example/recrate", "https://git.example/recrat")),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (number, text) in policies.iter().enumerate() {
        std::fs::write(&config, text).unwrap();
        let (code, said) = project.verify(&from_plan);
        assert!(matches!(code, 0 | 1 | 3), "{said}");
        let decided = kinds(&project.report());
        let policy = ["--arg", "policy", config.to_str().unwrap(), "--argstr", "date", "20261122101010"];
        assert_eq!(by_nix(&plan, &policy), decided, "policy {number}: {text}");
        seen.extend(decided.into_iter().map(|(_, kind)| kind));
    }
    let all = ["accepted", "rejected", "undetermined", "waived", "warned"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all, "each decision was compared");

    // The log of a gate is the whole report where nobody sees another.
    std::fs::write(&config, &plain).unwrap();
    let policy = ["--arg", "policy", config.to_str().unwrap()];
    let log = nix_build(&plan, "gates.odd-1_0_0", &policy).unwrap_err();
    for words in [
        "source differs (1)",
        "src/lib.rs: 1 line that git does not have",
        "+pub fn backdoor() {}",
        "rejected: source differs",
        "recrate waive odd@1.0.0",
        "recrate verify odd@1.0.0; recrate diff odd@1.0.0",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(log.lines().count() < 100, "{log}");
    // What expires does not count where nobody says which day it is, and a misspelt table does not count for nothing.
    std::fs::write(&config, &baseline).unwrap();
    assert!(nix_build(&plan, "gates.odd-1_0_0", &policy).is_err());
    let dated = [&policy[..], &["--argstr", "date", "2026-11-22"]].concat();
    nix_build(&plan, "gates.odd-1_0_0", &dated).unwrap();
    std::fs::write(&config, format!("{plain}\n[polcy]\nrequire = \"strict\"\n")).unwrap();
    let said = nix_build(&plan, "gates.lib-1_0_0", &policy).unwrap_err();
    assert!(said.contains("recrate.toml has an unknown table polcy"), "{said}");
}

#[test]
fn reports_are_what_ci_systems_read() {
    let folder = tempfile::tempdir().unwrap();
    let [sarif, junit, markdown] = ["r.sarif", "r.xml", "r.md"].map(|name| folder.path().join(name));
    let to = |format: &str, file: &Path| format!("{format}={}", file.display());
    let done = recrate()
        .current_dir(root().join("examples/registry"))
        .args(["verify", "--quiet", "--format", &to("sarif", &sarif), "--format", &to("junit", &junit)])
        .args(["--format", &to("markdown", &markdown), "--format", "github", "--out"])
        .arg(folder.path().join("run"))
        .env_remove("GITHUB_STEP_SUMMARY")
        .assert()
        .code(1);

    let log: Value = serde_json::from_slice(&std::fs::read(&sarif).unwrap()).unwrap();
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let schema: Value =
        serde_json::from_slice(&std::fs::read(root().join("tests/schemas/sarif-2.1.0.json")).unwrap()).unwrap();
    compiler.add_resource("sarif.json", schema).unwrap();
    let index = compiler.compile("sarif.json", &mut schemas).unwrap();
    if let Err(error) = schemas.validate(&log, index) {
        panic!("not SARIF: {error:#}");
    }
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 9, "those that do not pass");
    assert_eq!(results[0]["ruleId"], "checksum-mismatch", "the worst first");
    let lock = std::fs::read_to_string(root().join("examples/registry/Cargo.lock")).unwrap();
    for result in results {
        let line = result["locations"][0]["physicalLocation"]["region"]["startLine"].as_u64().unwrap();
        let name = lock.lines().nth(usize::try_from(line).unwrap() - 1).unwrap();
        let named = name.strip_prefix("name = \"").unwrap().trim_end_matches('"');
        assert!(result["message"]["text"].as_str().unwrap().starts_with(named), "{result:#}");
    }

    let done_xml = Command::new("xmllint")
        .args(["--noout", "--schema"])
        .arg(root().join("tests/schemas/junit-10.xsd"))
        .arg(&junit)
        .output()
        .expect("scripts/test installs xmllint");
    assert!(done_xml.status.success(), "{}", String::from_utf8_lossy(&done_xml.stderr));
    let xml = std::fs::read_to_string(&junit).unwrap();
    assert_eq!((xml.matches("<failure").count(), xml.matches("<error").count()), (7, 2), "{xml}");

    let said = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    let annotations: Vec<&str> = said.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(annotations.len(), 9);
    assert!(said.contains("policy default: rejected"), "the log can be read without annotations");
    let text = std::fs::read_to_string(&markdown).unwrap();
    assert!(text.contains("### Failing (9)") && text.contains("recrate waive NAME@VERSION"), "{text}");
}
