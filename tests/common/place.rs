//! A folder with the example's settings, a registry of its own and repositories.

use serde_json::Value;

use super::workshop::{Bare, LocalRegistry};
use super::{root, verify_json};

/// A commit without parents, with the tree and the message of another; gives the object's body.
pub fn orphan_of(repository: &Bare, commit: &str) -> Vec<u8> {
    let done =
        std::process::Command::new("git").arg("-C").arg(&repository.path).args(["cat-file", "commit", commit]).output();
    let text = String::from_utf8(done.unwrap().stdout).unwrap();
    text.lines().filter(|line| !line.starts_with("parent ")).map(|line| format!("{line}\n")).collect::<String>().into()
}

pub struct Place {
    pub folder: tempfile::TempDir,
    pub registry: LocalRegistry,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".cargo")).unwrap();
        for file in [".cargo/config.toml", "recrate.toml"] {
            std::fs::copy(root().join("examples/registry").join(file), folder.path().join(file)).unwrap();
        }
        let registry = LocalRegistry::at(folder.path().join("registry"));
        Self { folder, registry }
    }

    /// The repository that crates name as `https://git.example/recrate/NAME`.
    pub fn repository(&self, name: &str) -> Bare {
        Bare::at(self.folder.path().join(format!("repositories/{name}.git")))
    }

    /// What is said of one crate.
    pub fn verify(&self, id: &str) -> Value {
        verify_json(self.folder.path(), &[id])["packages"][0].clone()
    }
}
