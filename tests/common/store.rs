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
    for program in ["recrate-builder", "recrate-fetcher"] {
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

/// Builds every rebuild of a plan with `nix-build`; gives the outputs.
pub fn build(store: &Store, server: &Server, plan: &Path) -> Result<Vec<String>, String> {
    let nix = root().join("nix/plan.nix");
    let arguments = ["-A", "rebuilds", "--no-out-link", "--keep-going", "--option", "substitute", "false"];
    let arguments = [&[nix.to_str().unwrap()], &arguments[..]].concat();
    let said = store.run(
        server,
        "nix-build",
        &[&arguments[..], &["--argstr", "planFile", plan.to_str().unwrap()]].concat(),
    )?;
    Ok(said.lines().map(str::to_owned).collect())
}
