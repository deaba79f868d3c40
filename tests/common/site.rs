//! A registry and repositories that are served over http, and a project that uses them.

use std::path::PathBuf;

use serde_json::Value;

use super::server::Server;
use super::workshop::{Bare, Cargo, Files, LocalRegistry, Release, files};
use super::{recrate, verify_json_with};

/// All of it in a folder of its own, recrate's cache included.
pub struct Site {
    pub folder: tempfile::TempDir,
    pub registry: LocalRegistry,
    pub server: Server,
}

impl Site {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = LocalRegistry::at(folder.path().join("served/registry"));
        let server = Server::of(&folder.path().join("served"));
        let site = Self { folder, registry, server };
        let address = site.server.address();
        site.describe_downloads(&format!("{address}/registry/{{crate}}-{{version}}.crate"));
        std::fs::create_dir_all(site.project().join(".cargo")).unwrap();
        site.configure(&format!(
            "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nregistry = \"sparse+{address}/registry/index/\"\n"
        ));
        let mirror = format!("[[git-mirror]]\nprefix = \"https://git.example/\"\nreplacement = \"{address}/git/\"\n");
        std::fs::write(site.project().join("recrate.toml"), mirror).unwrap();
        site
    }

    pub fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    pub fn configure(&self, text: &str) {
        std::fs::write(self.project().join(".cargo/config.toml"), text).unwrap();
    }

    pub fn describe_downloads(&self, template: &str) {
        let config = serde_json::json!({ "dl": template, "api": null });
        std::fs::write(self.registry.path.join("index/config.json"), config.to_string()).unwrap();
    }

    pub fn repository(&self, name: &str) -> Bare {
        Bare::at(self.folder.path().join("served/git/team").join(format!("{name}.git")))
    }

    /// Commits a package to a repository, packages it by hand and publishes it.
    pub fn publish(&self, name: &str, repository: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2018\"\nlicense = \"MIT\"\n\
             description = \"served\"\nrepository = \"https://git.example/team/{repository}\"\n"
        );
        let bare = self.repository(repository);
        bare.commit(
            &files([("Cargo.toml", &manifest), ("src/lib.rs", "//! Served.\n"), (".gitignore", "target\n")]),
            name,
        );
        let cargo = Cargo::find(85).expect("cargo 1.85 is imported");
        let bytes = change(cargo.package(&bare, "", &self.registry.path, &Files::new()));
        let release = Release { name, version: "1.0.0", published: "2025-03-01T12:00:00Z", requires: &[] };
        self.registry.publish(&release, &bytes);
    }

    /// The program with this site's cache.
    pub fn recrate(&self) -> assert_cmd::Command {
        let mut program = recrate();
        program.current_dir(self.project()).env("RECRATE_CACHE", self.folder.path().join("cache"));
        program
    }

    pub fn verify(&self, arguments: &[&str]) -> Value {
        verify_json_with(self.recrate(), &self.project(), arguments)
    }
}
