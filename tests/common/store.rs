//! A Nix store of a test's own, and plain Nix in it: without recrate.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::server::Server;
use super::workshop::Cargo;
use super::{root, static_program};

/// A Nix store in a folder of its own.
pub struct Store {
    pub folder: PathBuf,
    /// What repositories' addresses begin with that the server has.
    pub prefix: String,
}

impl Store {
    /// Runs a program of Nix's on this store; gives what it printed, or what it complained of.
    pub fn run(&self, server: &Server, program: &str, arguments: &[&str]) -> Result<String, String> {
        let mut nix = Command::new(program);
        nix.args(arguments).env("NIX_REMOTE", format!("local?root={}", self.folder.display()));
        nix.env("RECRATE_GIT_MIRRORS", format!("{}={}/repositories/", self.prefix, server.address()));
        nix.env("RECRATE_REGISTRY", format!("{}/registry/index/", server.address()));
        let output = nix.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Where a store path really is.
    pub fn real(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }
}

/// A store with what no server of the tests could bring: recrate's programs and imported cargos.
pub fn store_with_programs(folder: &Path, prefix: &str, server: &Server, plan: &Value) -> Store {
    let store = Store { folder: folder.join("store"), prefix: prefix.to_owned() };
    for program in ["recrate-builder", "recrate-fetcher", "recrate-judge"] {
        let file = static_program(program);
        store.run(server, "nix-store", &["--add-fixed", "--recursive", "sha256", file.to_str().unwrap()]).unwrap();
    }
    for name in plan["toolchains"].as_object().unwrap().keys() {
        let minor = name.split('.').nth(1).unwrap().parse().unwrap();
        let cargo = Cargo::find(minor).unwrap().folder;
        store.run(server, "nix-store", &["--add-fixed", "--recursive", "sha256", cargo.to_str().unwrap()]).unwrap();
    }
    store
}

/// Builds jobs of a plan with `nix-build`, published crates from the server; gives the outputs.
pub fn build(store: &Store, server: &Server, plan: &Path, jobs: &str) -> Result<Vec<String>, String> {
    build_accepting(store, server, plan, jobs, "archive-differs")
}

fn build_accepting(
    store: &Store,
    server: &Server,
    plan: &Path,
    jobs: &str,
    accept: &str,
) -> Result<Vec<String>, String> {
    let nix = root().join("nix/plan.nix");
    let crates = format!("{}/registry", server.address());
    let arguments = [
        nix.to_str().unwrap(),
        "-A",
        jobs,
        "--no-out-link",
        "--keep-going",
        "--option",
        "substitute",
        "false",
        "--argstr",
        "planFile",
        plan.to_str().unwrap(),
        "--argstr",
        "crates",
        &crates,
        "--argstr",
        "accept",
        accept,
    ];
    Ok(store.run(server, "nix-build", &arguments)?.lines().map(str::to_owned).collect())
}

/// Asserts that the report which plain Nix makes of a plan is the one that `recrate verify` made, but for the builds
/// that the driver tried on the way; gives the report's store path.
pub fn assert_same_report(store: &Store, server: &Server, plan: &Path, verified: &Value) -> PathBuf {
    let accept = verified["accept"].as_str().unwrap();
    let out = store.real(&build_accepting(store, server, plan, "report", accept).unwrap()[0]);
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    super::assert_fits("report.schema.json", &report);
    let without_tries = |report: &Value| {
        let mut report = report.clone();
        for krate in report["crates"].as_array_mut().unwrap() {
            for key in ["tries", "best"] {
                krate.as_object_mut().unwrap().remove(key);
            }
        }
        report
    };
    let (by_nix, by_recrate) = (without_tries(&report), without_tries(verified));
    let text = |report: &Value| serde_json::to_string_pretty(report).unwrap();
    let diff = similar::TextDiff::from_lines(text(&by_recrate), text(&by_nix)).unified_diff().to_string();
    assert!(by_nix == by_recrate, "plain Nix reports something else:\n{diff}");
    out
}
