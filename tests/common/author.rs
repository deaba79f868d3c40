//! An author: a package in a checkout, its repository behind a server, cargos, and a registry that takes publishes. The registry is
//! cargo-http-registry, which `scripts/test` installs; a server beside it serves its index as a sparse one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::server::Server;
use super::workshop::Cargo;

/// What the registry takes from everybody; tests look for it where it must not be.
pub const TOKEN: &str = "cio-a-tokens-own-text-0123456789";

/// All of it in a folder of its own, recrate's cache included.
pub struct Author {
    pub folder: tempfile::TempDir,
    pub registry: PublishingRegistry,
    pub server: Server,
    cargo: Option<PathBuf>,
}

/// A registry that takes publishes.
pub struct PublishingRegistry {
    child: Child,
    pub root: PathBuf,
    log: PathBuf,
    pub address: String,
}

impl PublishingRegistry {
    fn start(root: PathBuf, log: PathBuf) -> Self {
        let program = super::root().join("target/tools/bin/cargo-http-registry");
        assert!(program.exists(), "{} is missing: `scripts/test` installs it", program.display());
        std::fs::create_dir_all(&root).unwrap();
        let out = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(program);
        command.args(["-v", "-a", "127.0.0.1:0"]).arg(&root).env("NO_COLOR", "1").env("HOME", root.parent().unwrap());
        let child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        let begun = Instant::now();
        let config = loop {
            // It is written once the address is known.
            let read = std::fs::read(root.join("config.json")).ok();
            if let Some(config) = read.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok()) {
                break config;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", std::fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(10));
        };
        Self { child, root, log, address: config["api"].as_str().unwrap().to_owned() }
    }

    /// How many uploads reached it.
    pub fn uploads(&self) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap();
        log.lines().filter(|line| line.contains("/api/v1/crates/new") && line.contains("processing request")).count()
    }

    /// The sha256 of a crate that it has; none where it has none.
    pub fn has(&self, stem: &str) -> Option<String> {
        let bytes = std::fs::read(self.root.join(format!("{stem}.crate"))).ok()?;
        Some(format!("{:x}", Sha256::digest(bytes)))
    }

    /// The last line of its index for a crate.
    pub fn line(&self, path: &str) -> serde_json::Value {
        let text = std::fs::read_to_string(self.root.join(path)).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }
}

impl Drop for PublishingRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Author {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        let registry = PublishingRegistry::start(served.join("registry"), folder.path().join("registry.log"));
        let server = Server::of(&served);
        std::fs::create_dir(folder.path().join("home")).unwrap();
        let author = Self { folder, registry, server, cargo: None };
        author.configure("registry");
        author
    }

    /// Has cargo and recrate find the registry's index in a folder that is served.
    pub fn configure(&self, index: &str) {
        let config = format!(
            "[registries.own]\nindex = \"sparse+{}/{index}/\"\n[source.crates-io]\nreplace-with = \"own\"\n",
            self.server.address()
        );
        std::fs::write(self.home().join("config.toml"), config).unwrap();
    }

    /// Has uploads go to another address; `part`: the folder of the index that is used.
    pub fn trust(&self, api: &str, part: &str) {
        let index = self.folder.path().join("served/trusting");
        std::fs::create_dir_all(&index).unwrap();
        let dl = format!("{}/api/v1/crates/{{crate}}/{{version}}/download", self.registry.address);
        std::fs::write(index.join("config.json"), serde_json::json!({ "dl": dl, "api": api }).to_string()).unwrap();
        std::os::unix::fs::symlink(self.registry.root.join(part), index.join(part)).unwrap();
        self.configure("trusting");
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The checkout.
    pub fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// Uses an imported cargo.
    pub fn with_cargo(mut self, minor: u32) -> Self {
        let cargo = Cargo::find(minor).unwrap_or_else(|| panic!("cargo 1.{minor} is imported"));
        self.cargo = Some(self.script(minor, &cargo));
        self
    }

    /// A program that runs an imported cargo with its own libraries.
    pub fn script(&self, minor: u32, cargo: &Cargo) -> PathBuf {
        let command = cargo.command();
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let file = self.folder.path().join(format!("cargo-1.{minor}"));
        std::fs::write(&file, format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "))).unwrap();
        let mut mode = std::fs::metadata(&file).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        std::fs::set_permissions(&file, mode).unwrap();
        file
    }

    /// Sets a variable for everything that is run for this author.
    fn set_up(&self, command: &mut Command) {
        command.current_dir(self.tree()).env("CARGO_HOME", self.home()).env("NO_COLOR", "1");
        command.env("RECRATE_CACHE", self.folder.path().join("cache"));
        command.env("RECRATE_RESULTS", self.folder.path().join("results.sqlite"));
        for inherited in ["CARGO", "RUSTC_WRAPPER", "CARGO_TARGET_DIR", "RUSTUP_TOOLCHAIN"] {
            command.env_remove(inherited);
        }
        if let Some(cargo) = &self.cargo {
            command.env("CARGO", cargo);
        }
    }

    /// recrate, in the checkout; `arguments` after the usual ones.
    pub fn recrate(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_recrate"));
        self.set_up(&mut command);
        command.arg(subcommand);
        if ["check", "package", "publish"].contains(&subcommand) {
            let mirror = format!("https://git.example/={}/git/", self.server.address());
            command.args(["--quiet", "--toolchains", "imported", "--git-mirror", &mirror]);
        }
        command.args(["--registry", "own"]).args(arguments).env("CARGO_REGISTRIES_OWN_TOKEN", TOKEN);
        command
    }

    /// The author's cargo, with recrate as its gate.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.cargo.as_deref().unwrap_or(Path::new("cargo")));
        self.set_up(&mut command);
        let gate = format!("{} credential", env!("CARGO_BIN_EXE_recrate"));
        command.args(arguments).env("CARGO_REGISTRIES_OWN_CREDENTIAL_PROVIDER", gate);
        command.env("CARGO_REGISTRIES_OWN_TOKEN", TOKEN);
        command
    }

    /// What checking says, as JSON.
    pub fn check(&self, arguments: &[&str]) -> serde_json::Value {
        let done = self.recrate("check", &[&["--format", "json"], arguments].concat()).output().unwrap();
        serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&done)))
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.tree(), arguments)
    }

    fn git_in(&self, folder: &Path, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder).args([
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@git.example",
            "-c",
            "init.defaultBranch=main",
        ]);
        let done = git.args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", said(&done));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// A checkout of a repository `https://git.example/acme/NAME`, which others can fetch.
    pub fn begin(&self, name: &str) {
        let bare = self.folder.path().join(format!("served/git/acme/{name}.git"));
        std::fs::create_dir_all(&bare).unwrap();
        self.git_in(&bare, &["init", "-q", "--bare"]);
        // Addresses of repositories are written without `.git`, and the server knows them by it.
        std::fs::create_dir_all(self.tree()).unwrap();
        self.git(&["init", "-q"]);
        self.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
        self.write(".gitignore", "target\n");
    }

    /// Writes a file of the checkout.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.tree().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::File::create(file).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Writes a package of the checkout: its manifest and a library.
    pub fn package(&self, folder: &str, name: &str, version: &str, more: &str) {
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.write(&format!("{below}Cargo.toml"), &manifest(name, version, more));
        self.write(&format!("{below}src/lib.rs"), "//! Published.\n");
    }

    /// Writes the Cargo.lock of a package that needs nothing, as cargo does.
    pub fn lock(&self, name: &str, version: &str) {
        self.write(
            "Cargo.lock",
            &format!(
                "# This file is automatically @generated by Cargo.\n# It is not intended for manual editing.\nversion = 3\n\n\
                 [[package]]\nname = \"{name}\"\nversion = \"{version}\"\n"
            ),
        );
    }

    pub fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "a change"]);
    }

    pub fn push(&self) {
        self.git(&["push", "-q", "origin", "HEAD:main"]);
    }

    /// A package `NAME` that is committed and pushed, and nothing else.
    pub fn with_package(self, name: &str) -> Self {
        self.begin(name);
        self.package("", name, "0.1.0", "");
        self.lock(name, "0.1.0");
        self.commit();
        self.push();
        self
    }
}

/// A manifest with all that registries want.
pub fn manifest(name: &str, version: &str, more: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\nlicense = \"MIT\"\n\
         description = \"published\"\nrepository = \"https://git.example/acme/{}.git\"\n{more}",
        name.split('-').next().unwrap()
    )
}

/// What a program said, all of it.
pub fn said(done: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

/// The names of what is wrong with a package of a check.
pub fn problems(package: &serde_json::Value) -> Vec<(&str, &str)> {
    let all = package["problems"].as_array().unwrap().iter();
    all.map(|one| (one["weight"].as_str().unwrap(), one["name"].as_str().unwrap())).collect()
}

/// A child that says nothing.
pub fn silent(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}
