//! Makes the example registry again: a few repositories, the crates packaged from them by real cargos, one for each
//! verdict, and the local registry that serves them.
//!
//! Everything is fixed (authors, dates, bytes), so it comes out the same each time; a test holds it to that.
//!
//! ```console
//! $ cargo run --release --example make-registry [FOLDER]
//! ```

mod workshop;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use recrate::stages::deflate::Compressor;
use workshop::{Bare, Cargo, Files, Item, LocalRegistry, Release, edit, entry, files, pack, pack_as, unpack};

/// Where the example's repositories are said to be. Nobody is asked: `recrate.toml` sends them to a folder.
const HOST: &str = "https://git.example/recrate";

fn main() {
    let own = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/registry"));
    make(&std::env::args_os().nth(1).map_or_else(own, PathBuf::from));
}

/// Makes the registry, the repositories and the lock file in a folder, in place of any that are there.
pub fn make(folder: &Path) {
    for part in ["registry", "repositories"] {
        let _ = std::fs::remove_dir_all(folder.join(part));
    }
    let maker = Maker {
        repositories: folder.join("repositories"),
        registry: LocalRegistry::at(folder.join("registry")),
        crates: Vec::new(),
    };
    let crates = maker.make_all();
    let registry = LocalRegistry::at(folder.join("registry"));
    let crates: Vec<(&str, &str)> = crates.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
    std::fs::write(folder.join("Cargo.lock"), registry.lock_file(&crates)).unwrap();
}

struct Maker {
    repositories: PathBuf,
    registry: LocalRegistry,
    crates: Vec<(String, String)>,
}

impl Maker {
    fn make_all(mut self) -> Vec<(String, String)> {
        self.honest();
        self.vintage();
        self.reformatted();
        self.older_lock();
        self.stale_lock();
        self.backdoor();
        self.hidden_dependency();
        self.impostor();
        self.moved();
        self.traceless();
        self.lost();
        self.swapped();
        self.escaping();
        self.crates.sort();
        self.crates
    }

    fn repository(&self, name: &str) -> Bare {
        Bare::at(self.repositories.join(format!("{name}.git")))
    }

    fn package(&self, cargo: u32, repository: &Bare, extra: &Files) -> Vec<u8> {
        let cargo = Cargo::find(cargo).unwrap_or_else(|| panic!("import a cargo 1.{cargo} first: scripts/setup"));
        cargo.package(repository, "", &self.registry.path, extra)
    }

    fn publish(&mut self, name: &str, version: &str, published: &str, requires: &[(&str, &str)], bytes: &[u8]) {
        self.registry.publish(&Release { name, version, published, requires }, bytes);
        self.crates.push((name.to_owned(), version.to_owned()));
    }

    /// Reproduced: two releases by cargos of different ages, from one repository.
    fn honest(&mut self) {
        let repository = self.repository("honest");
        repository.commit(&package("honest", "0.9.0", ""), "honest 0.9.0");
        let bytes = self.package(65, &repository, &Files::new());
        self.publish("honest", "0.9.0", "2022-12-01T12:00:00Z", &[], &bytes);
        repository.commit(&package("honest", "1.0.0", ""), "honest 1.0.0");
        let bytes = self.package(85, &repository, &Files::new());
        self.publish("honest", "1.0.0", "2025-03-01T12:00:00Z", &[], &bytes);
    }

    /// Reproduced, with the index as of the newest locked version: Cargo.lock lay there untracked, whole but older.
    fn older_lock(&mut self) {
        self.with_untracked_lock("older-lock", &[("honest", "0.9.0")], &[("honest", ">=0.9")]);
    }

    /// Reproduced, with the published Cargo.lock as input: no index of any day gives these two versions together.
    fn stale_lock(&mut self) {
        let locked = [("honest", "0.9.0"), ("reformatted", "1.0.0")];
        self.with_untracked_lock("stale-lock", &locked, &[("honest", ">=0.9"), ("reformatted", "^1")]);
    }

    fn with_untracked_lock(&mut self, name: &str, locked: &[(&str, &str)], requires: &[(&str, &str)]) {
        let repository = self.repository(name);
        let dependencies: String = requires.iter().map(|(name, req)| format!("{name} = \"{req}\"\n")).collect();
        let mut tree = package(name, "1.0.0", &dependencies);
        tree.insert(".gitignore".to_owned(), Item::File(b"/Cargo.lock\n/target\n".to_vec()));
        repository.commit(&tree, &format!("{name} 1.0.0"));
        let names: String = locked.iter().map(|(name, _)| format!(" \"{name}\",\n")).collect();
        let mut lock = self.registry.lock_file(locked);
        let _ = write!(lock, "\n[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\ndependencies = [\n{names}]\n");
        let extra = [("Cargo.lock".to_owned(), Item::File(lock.into_bytes()))].into();
        let bytes = self.package(85, &repository, &extra);
        self.publish(name, "1.0.0", "2025-04-01T12:00:00Z", requires, &bytes);
    }

    /// Same contents: cargo 1.46 recorded the publisher's clock and user.
    fn vintage(&mut self) {
        let repository = self.repository("vintage");
        repository.commit(&package("vintage", "1.0.0", ""), "vintage 1.0.0");
        let mut entries = unpack(&self.package(46, &repository, &Files::new()));
        for one in &mut entries {
            let generated = one.path.ends_with("/Cargo.toml") || one.path.ends_with("/.cargo_vcs_info.json");
            one.mtime = if generated { 1_600_000_060 } else { 1_600_000_000 };
            one.uid = if generated { 0 } else { 1000 };
        }
        self.publish("vintage", "1.0.0", "2020-09-13T12:30:00Z", &[], &pack_as(&entries, Compressor::Zlib9));
    }

    /// Generated files differ: a Cargo.toml in a form that no cargo writes.
    fn reformatted(&mut self) {
        let repository = self.repository("reformatted");
        repository.commit(&package("reformatted", "1.0.0", ""), "reformatted 1.0.0");
        let mut entries = unpack(&self.package(85, &repository, &Files::new()));
        let manifest = entry(&mut entries, "Cargo.toml");
        manifest.body.extend_from_slice(b"# written down by another tool\n");
        self.publish("reformatted", "1.0.0", "2025-03-02T12:00:00Z", &[], &pack(&entries));
    }

    /// Source differs: a line that git does not have, and a build script.
    fn backdoor(&mut self) {
        let repository = self.repository("backdoor");
        repository.commit(&package("backdoor", "1.0.0", ""), "backdoor 1.0.0");
        let mut entries = unpack(&self.package(85, &repository, &Files::new()));
        let source = entry(&mut entries, "src/lib.rs");
        source.body.extend_from_slice(b"pub fn innocent() { /* not so innocent */ }\n");
        let mut script = source.clone();
        script.path = "backdoor-1.0.0/build.rs".to_owned();
        script.body = b"fn main() {}\n".to_vec();
        entries.push(script);
        self.publish("backdoor", "1.0.0", "2025-03-03T12:00:00Z", &[], &pack(&entries));
    }

    /// Source differs: a dependency that is only in the normalised manifest.
    fn hidden_dependency(&mut self) {
        let repository = self.repository("hidden-dependency");
        repository.commit(&package("hidden-dependency", "1.0.0", ""), "hidden-dependency 1.0.0");
        let mut entries = unpack(&self.package(85, &repository, &Files::new()));
        entry(&mut entries, "Cargo.toml").body.extend_from_slice(b"\n[dependencies.honest]\nversion = \"1\"\n");
        self.publish("hidden-dependency", "1.0.0", "2025-03-04T12:00:00Z", &[("honest", "^1")], &pack(&entries));
    }

    /// Packaging failed: the folder that the crate claims to come from is not in the commit.
    fn moved(&mut self) {
        let repository = self.repository("moved");
        repository.commit(&package("moved", "1.0.0", ""), "moved 1.0.0");
        let mut entries = unpack(&self.package(85, &repository, &Files::new()));
        edit(&mut entries, ".cargo_vcs_info.json", |text| {
            text.replace("\"path_in_vcs\": \"\"", "\"path_in_vcs\": \"crates/moved\"")
        });
        self.publish("moved", "1.0.0", "2025-03-05T12:00:00Z", &[], &pack(&entries));
    }

    /// Unreachable commit: a code host serves it under the repository's address, but it is of a fork.
    fn impostor(&mut self) {
        let repository = self.repository("impostor");
        let genuine = repository.commit(&package("impostor", "0.9.0", ""), "impostor 0.9.0");
        repository.commit(&package("impostor", "1.0.0", ""), "of a fork: the repository has it, no branch leads to it");
        let bytes = self.package(85, &repository, &Files::new());
        std::fs::write(repository.path.join("refs/heads/main"), format!("{genuine}\n")).unwrap();
        self.publish("impostor", "1.0.0", "2025-03-08T12:00:00Z", &[], &bytes);
    }

    /// Unverifiable: no vcs info.
    fn traceless(&mut self) {
        let repository = self.repository("traceless");
        repository.commit(&package("traceless", "1.0.0", ""), "traceless 1.0.0");
        let mut entries = unpack(&self.package(85, &repository, &Files::new()));
        entries.retain(|entry| !entry.path.ends_with("/.cargo_vcs_info.json"));
        self.publish("traceless", "1.0.0", "2025-03-06T12:00:00Z", &[], &pack(&entries));
    }

    /// Unverifiable: a commit that was never pushed.
    fn lost(&mut self) {
        let repository = self.repository("lost");
        repository.commit(&package("lost", "1.0.0", ""), "lost 1.0.0");
        let bytes = self.package(85, &repository, &Files::new());
        std::fs::remove_dir_all(&repository.path).unwrap();
        let repository = self.repository("lost");
        repository.commit(&package("lost", "1.0.1-dev", ""), "what was pushed in its stead");
        self.publish("lost", "1.0.0", "2025-03-07T12:00:00Z", &[], &bytes);
    }

    /// Checksum mismatch: the registry serves other bytes than its index says.
    fn swapped(&mut self) {
        let repository = self.repository("swapped");
        repository.commit(&package("swapped", "1.0.0", ""), "swapped 1.0.0");
        let bytes = self.package(85, &repository, &Files::new());
        self.publish("swapped", "1.0.0", "2025-03-08T12:00:00Z", &[], &bytes);
        let mut entries = unpack(&bytes);
        entry(&mut entries, "src/lib.rs").body.extend_from_slice(b"// swapped afterwards\n");
        std::fs::write(self.registry.file("swapped", "1.0.0"), pack(&entries)).unwrap();
    }

    /// Malformed archive: an entry that leads out of the crate's folder.
    fn escaping(&mut self) {
        let repository = self.repository("escaping");
        repository.commit(&package("escaping", "1.0.0", ""), "escaping 1.0.0");
        let mut entries = unpack(&self.package(85, &repository, &Files::new()));
        let mut outside = entry(&mut entries, "src/lib.rs").clone();
        outside.path = "escaping-1.0.0/../../.cargo/config.toml".to_owned();
        entries.push(outside);
        self.publish("escaping", "1.0.0", "2025-03-09T12:00:00Z", &[], &pack(&entries));
    }
}

/// The files of a package.
fn package(name: &str, version: &str, dependencies: &str) -> Files {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2018\"\nlicense = \"MIT\"\n\
         description = \"An example of recrate's\"\nrepository = \"{HOST}/{name}\"\n\n[dependencies]\n{dependencies}"
    );
    files([("Cargo.toml", manifest.as_str()), ("src/lib.rs", "//! An example.\n"), (".gitignore", "/target\n")])
}
