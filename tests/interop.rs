//! Release tools under the gate, as they are: `scripts/test-interop` installs them and runs this.

mod common;

use std::path::PathBuf;
use std::process::{Command, Output};

use common::author::{Author, TOKEN, said};

/// A release tool, set up like the author's cargo.
fn tool(author: &Author, name: &str, arguments: &[&str]) -> Command {
    let file: PathBuf = common::root().join("target/tools/bin").join(name);
    assert!(file.exists(), "{} is missing: `scripts/test-interop` installs it", file.display());
    let cargo = author.cargo(&[]);
    let mut tool = Command::new(file);
    tool.args(arguments).current_dir(author.tree());
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => tool.env(name, value),
            None => tool.env_remove(name),
        };
    }
    for (name, value) in [("NAME", "a"), ("EMAIL", "a@git.example")] {
        tool.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    tool
}

fn refuses(author: &Author, done: &Output) {
    assert!(!done.status.success(), "{}", said(done));
    assert!(said(done).contains("recrate refuses to publish"), "{}", said(done));
    assert_eq!(author.registry.uploads(), 0);
}

#[test]
#[ignore = "`scripts/test-interop` installs cargo-release"]
fn cargo_release_publishes_what_was_approved() {
    let author = Author::new().with_package("released");
    author.git(&["branch", "-m", "main"]);
    author.git(&["fetch", "-q"]);
    author.git(&["branch", "-q", "--set-upstream-to", "origin/main"]);
    let run = |arguments: &[&str]| tool(&author, "cargo-release", arguments).output().unwrap();
    // Commit, tag and push, and only then publish.
    let done = run(&["release", "patch", "--no-publish", "--execute", "--no-confirm"]);
    assert!(done.status.success(), "{}", said(&done));
    let publish = ["release", "publish", "--execute", "--no-confirm", "--registry", "own", "--no-verify"];
    refuses(&author, &run(&publish));
    let report = author.check(&[]);
    assert!(report["packages"][0]["approvedUntil"].is_string(), "{report}");
    let done = run(&publish);
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(author.registry.has("released-0.1.1").as_deref(), report["packages"][0]["sandbox"].as_str());
    assert!(!said(&done).contains(TOKEN));
}

#[test]
#[ignore = "`scripts/test-interop` installs release-plz"]
fn release_plz_publishes_what_was_approved() {
    let author = Author::new().with_package("pleased");
    author.git(&["branch", "-m", "main"]);
    author.write(
        "release-plz.toml",
        "[workspace]\ngit_release_enable = false\ngit_tag_enable = false\nsemver_check = false\n",
    );
    author.commit();
    author.push();
    let run = || {
        let repository = format!("{}/git/acme/pleased", author.server.address());
        let arguments = [
            "release",
            "--registry",
            "own",
            "--no-verify",
            "--token",
            TOKEN,
            "--git-token",
            "none",
            "--forge",
            "gitea",
            "--repo-url",
            &repository,
        ];
        tool(&author, "release-plz", &arguments).output().unwrap()
    };
    refuses(&author, &run());
    let report = author.check(&[]);
    assert!(report["packages"][0]["approvedUntil"].is_string(), "{report}");
    let done = run();
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(author.registry.has("pleased-0.1.0").as_deref(), report["packages"][0]["sandbox"].as_str());
}
