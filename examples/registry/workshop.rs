//! Makes small repositories and packages crates from them with real cargos, by hand: without recrate, so that it does
//! not share recrate's mistakes. Used by the example registry's `make.rs` and by the tests.
#![allow(dead_code, reason = "the example and each test use their own part of it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use recrate::stages::deflate::Compressor;
use sha1_checked::Sha1;
use sha2::{Digest as _, Sha256};

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A plain file.
    File(Vec<u8>),
    /// A file with its executable bit.
    Program(Vec<u8>),
    /// A symbolic link.
    Link(String),
    /// A submodule's commit.
    Submodule(String),
    /// A folder whose tree was written already.
    Folder(String),
}

/// Files by path.
pub type Files = BTreeMap<String, Item>;

/// Plain files from literals.
pub fn files<const N: usize>(items: [(&str, &str); N]) -> Files {
    items.into_iter().map(|(path, text)| (path.to_owned(), Item::File(text.as_bytes().to_vec()))).collect()
}

/// A bare repository, written object by object.
#[derive(Debug, Clone)]
pub struct Bare {
    /// Its folder.
    pub path: PathBuf,
}

impl Bare {
    /// Makes the repository, or takes up one that is there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        for folder in ["refs/heads", "objects/pack"] {
            std::fs::create_dir_all(path.join(folder)).unwrap();
        }
        std::fs::write(path.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        std::fs::write(path.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n").unwrap();
        Self { path }
    }

    /// Writes an object; gives its id.
    pub fn object(&self, kind: &str, body: &[u8]) -> String {
        let raw = [format!("{kind} {}\0", body.len()).as_bytes(), body].concat();
        let id = hex(&Sha1::digest(&raw));
        let folder = self.path.join("objects").join(&id[..2]);
        std::fs::create_dir_all(&folder).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(&raw).unwrap();
        std::fs::write(folder.join(&id[2..]), zlib.finish().unwrap()).unwrap();
        id
    }

    /// Writes trees; gives the root's id.
    pub fn tree(&self, files: &Files) -> String {
        let mut entries: Vec<(String, &str, String, String)> = Vec::new();
        let mut folders: BTreeMap<String, Files> = BTreeMap::new();
        for (path, item) in files {
            if let Some((folder, rest)) = path.split_once('/') {
                folders.entry(folder.to_owned()).or_default().insert(rest.to_owned(), item.clone());
                continue;
            }
            let (mode, id) = match item {
                Item::File(body) => ("100644", self.object("blob", body)),
                Item::Program(body) => ("100755", self.object("blob", body)),
                Item::Link(target) => ("120000", self.object("blob", target.as_bytes())),
                Item::Submodule(commit) => ("160000", commit.clone()),
                Item::Folder(tree) => ("40000", tree.clone()),
            };
            entries.push((path.clone(), mode, path.clone(), id));
        }
        for (folder, files) in folders {
            entries.push((format!("{folder}/"), "40000", folder, self.tree(&files)));
        }
        entries.sort();
        let mut body = Vec::new();
        for (_, mode, name, id) in entries {
            body.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            body.extend((0..20).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()));
        }
        self.object("tree", &body)
    }

    /// Commits files on `main`, at a fixed time by a fixed author; gives the commit's id.
    pub fn commit(&self, files: &Files, message: &str) -> String {
        let main = self.path.join("refs/heads/main");
        let tree = self.tree(files);
        let parent = std::fs::read_to_string(&main).map_or(String::new(), |id| format!("parent {}\n", id.trim()));
        let who = "Example <example@example.org> 1700000000 +0000";
        let body = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n{message}\n");
        let id = self.object("commit", body.as_bytes());
        std::fs::write(main, format!("{id}\n")).unwrap();
        id
    }
}

/// A cargo that was imported with `recrate toolchain add`, called without recrate.
#[derive(Debug, Clone)]
pub struct Cargo {
    /// Its `bin` and `lib`.
    pub folder: PathBuf,
}

impl Cargo {
    /// The imported cargo of a release `1.N`; none where there is none.
    pub fn find(minor: u32) -> Option<Self> {
        let data = std::env::var_os("RECRATE_DATA").map(PathBuf::from);
        let data = data.or_else(|| Some(directories::ProjectDirs::from("", "", "recrate")?.data_dir().to_owned()))?;
        let start = format!("cargo-1.{minor}.");
        let named = std::fs::read_dir(data.join("toolchains")).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut inside = named.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
        let folder = inside.find_map(|entry| {
            let entry = entry.ok()?;
            entry.file_name().to_string_lossy().starts_with(&start).then(|| entry.path())
        })?;
        Some(Self { folder })
    }

    /// The program, run with its own loader and libraries.
    pub fn command(&self) -> Command {
        let lib = self.folder.join("lib");
        let loader = std::fs::read_dir(&lib).unwrap().map(|entry| entry.unwrap().path());
        let loader = loader.into_iter().find(|path| path.to_string_lossy().contains("/ld-linux")).unwrap();
        let mut cargo = Command::new(loader);
        cargo.arg("--library-path").arg(&lib).arg(self.folder.join("bin/cargo"));
        cargo
    }

    /// Packages a package: clones `repository` with git, puts `extra` files beside what is tracked, and runs `cargo
    /// package` in `folder`, with `registry` as the default registry.
    ///
    /// # Panics
    /// Where cargo refuses.
    pub fn package(&self, repository: &Bare, folder: &str, registry: &Path, extra: &Files) -> Vec<u8> {
        self.package_as(repository, folder, registry, |tree| {
            for (path, item) in extra {
                let Item::File(body) = item else { panic!("only plain files are put beside what is tracked") };
                std::fs::write(tree.join(path), body).unwrap();
            }
        })
    }

    /// The same, with something done to the checkout before.
    ///
    /// # Panics
    /// Where cargo refuses.
    pub fn package_as(&self, repository: &Bare, folder: &str, registry: &Path, change: impl Fn(&Path)) -> Vec<u8> {
        let place = tempfile::tempdir().unwrap();
        let (tree, home) = (place.path().join("tree"), place.path().join("home"));
        run(Command::new("git").args(["clone", "-q"]).arg(&repository.path).arg(&tree));
        change(&tree);
        std::fs::create_dir(&home).unwrap();
        let config = format!(
            "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nlocal-registry = \"{}\"\n",
            std::path::absolute(registry).unwrap().display()
        );
        std::fs::write(home.join("config.toml"), config).unwrap();
        let mut cargo = self.command();
        cargo.args(["package", "--no-verify", "--offline"]).current_dir(tree.join(folder));
        cargo.env_remove("RUSTC_WRAPPER").env("CARGO_HOME", &home).env("CARGO_TARGET_DIR", place.path().join("target"));
        run(&mut cargo);
        let made = std::fs::read_dir(place.path().join("target/package")).unwrap();
        let mut made = made.map(|entry| entry.unwrap().path());
        std::fs::read(made.find(|path| path.extension().is_some_and(|e| e == "crate")).unwrap()).unwrap()
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The entry with a path inside the crate's folder.
///
/// # Panics
/// Where there is none.
pub fn entry<'a>(entries: &'a mut [Entry], path: &str) -> &'a mut Entry {
    entries.iter_mut().find(|entry| entry.path.split_once('/').is_some_and(|(_, inside)| inside == path)).unwrap()
}

/// Changes the text of an entry.
///
/// # Panics
/// Where there is no such entry, or it is no text.
pub fn edit(entries: &mut [Entry], path: &str, change: impl Fn(&str) -> String) {
    let one = entry(entries, path);
    one.body = change(std::str::from_utf8(&one.body).unwrap()).into_bytes();
}

/// Has a crate's vcs info name another commit.
///
/// # Panics
/// Where it names none.
pub fn name_commit(entries: &mut [Entry], commit: &str) {
    edit(entries, ".cargo_vcs_info.json", |text| {
        let at = text.find("sha1\": \"").unwrap() + 8;
        format!("{}{commit}{}", &text[..at], &text[at + 40..])
    });
}

/// An entry of a crate's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path in the archive, the crate's folder included.
    pub path: String,
    /// The content.
    pub body: Vec<u8>,
    /// The permissions.
    pub mode: u32,
    /// The time.
    pub mtime: u64,
    /// The owner.
    pub uid: u64,
    /// What the entry is.
    pub kind: tar::EntryType,
}

/// Takes a crate apart.
pub fn unpack(bytes: &[u8]) -> Vec<Entry> {
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut tar).unwrap();
    let mut archive = tar::Archive::new(&tar[..]);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut body = Vec::new();
        entry.read_to_end(&mut body).unwrap();
        let header = entry.header();
        Entry {
            path: entry.path().unwrap().to_str().unwrap().to_owned(),
            body,
            mode: header.mode().unwrap(),
            mtime: header.mtime().unwrap(),
            uid: header.uid().unwrap_or(0),
            kind: header.entry_type(),
        }
    });
    entries.collect()
}

/// Puts a crate together, compressed as cargo 1.47 to 1.87 do. Paths are written as they are, however bad.
pub fn pack(entries: &[Entry]) -> Vec<u8> {
    pack_as(entries, Compressor::Zlib8)
}

/// Puts a crate together as a cargo with this compressor does.
pub fn pack_as(entries: &[Entry], compressor: Compressor) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
        header.set_size(entry.body.len() as u64);
        header.set_mode(entry.mode);
        header.set_mtime(entry.mtime);
        // cargo leaves these empty in what it generates, and writes them of what lies on the disk.
        let generated = ["Cargo.toml", "Cargo.lock", ".cargo_vcs_info.json"];
        if !entry.path.split_once('/').is_some_and(|(_, path)| generated.contains(&path)) {
            header.set_uid(entry.uid);
            header.set_gid(0);
            header.set_device_major(0).unwrap();
            header.set_device_minor(0).unwrap();
        }
        header.set_entry_type(entry.kind);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(&entry.body);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    let folder = entries.first().map_or("", |entry| entry.path.split('/').next().unwrap_or_default());
    let header = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 2, 255][..], folder.as_bytes(), b".crate\0"].concat();
    [header, stream(&tar, compressor)].concat()
}

/// A deflate stream with gzip's trailer.
pub fn stream(tar: &[u8], compressor: Compressor) -> Vec<u8> {
    let mut sum = flate2::Crc::new();
    sum.update(tar);
    let length = u32::try_from(tar.len()).unwrap();
    [&compressor.compress(tar)[..], &sum.sum().to_le_bytes(), &length.to_le_bytes()].concat()
}

/// A cargo local registry.
#[derive(Debug, Clone)]
pub struct LocalRegistry {
    /// Its folder.
    pub path: PathBuf,
}

/// A crate in a registry.
#[derive(Debug, Clone)]
pub struct Release<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// When it was published, as the index writes it.
    pub published: &'a str,
    /// Its dependencies: name and requirement.
    pub requires: &'a [(&'a str, &'a str)],
}

impl LocalRegistry {
    /// Makes the registry, or takes up one that is there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        std::fs::create_dir_all(path.join("index")).unwrap();
        Self { path }
    }

    /// Publishes a crate.
    pub fn publish(&self, release: &Release<'_>, bytes: &[u8]) {
        std::fs::write(self.file(release.name, release.version), bytes).unwrap();
        self.list(release, &hex(&Sha256::digest(bytes)));
    }

    /// Where a crate's file is.
    pub fn file(&self, name: &str, version: &str) -> PathBuf {
        self.path.join(format!("{name}-{version}.crate"))
    }

    /// Lists a crate in the index, whatever its file is.
    pub fn list(&self, release: &Release<'_>, checksum: &str) {
        let Release { name, version, published, requires } = release;
        let mut deps = Vec::new();
        for (name, req) in *requires {
            deps.push(serde_json::json!({
                "name": name, "req": req, "features": [], "optional": false, "default_features": true, "target": null,
                "kind": "normal"
            }));
        }
        let line = serde_json::json!({
            "name": name, "vers": version, "deps": deps, "cksum": checksum, "features": {}, "yanked": false,
            "pubtime": published
        });
        let file = self.index_file(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let before = std::fs::read_to_string(&file).unwrap_or_default();
        let mut lines: Vec<&str> =
            before.lines().filter(|line| !line.contains(&format!("\"vers\":\"{version}\""))).collect();
        let line = line.to_string();
        lines.push(&line);
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    }

    /// Yanks a version.
    pub fn yank(&self, name: &str, version: &str) {
        let file = self.index_file(name);
        let yank = |line: &str| match line.contains(&format!("\"vers\":\"{version}\"")) {
            true => line.replace("\"yanked\":false", "\"yanked\":true") + "\n",
            false => format!("{line}\n"),
        };
        let lines: String = std::fs::read_to_string(&file).unwrap().lines().map(yank).collect();
        std::fs::write(file, lines).unwrap();
    }

    fn index_file(&self, name: &str) -> PathBuf {
        let place = match name.len() {
            1 | 2 => format!("{}/{name}", name.len()),
            3 => format!("3/{}/{name}", &name[..1]),
            _ => format!("{}/{}/{name}", &name[..2], &name[2..4]),
        };
        self.path.join("index").join(place)
    }

    /// A lock file that names these crates with the index's checksums.
    pub fn lock_file(&self, crates: &[(&str, &str)]) -> String {
        let mut text = "# This file is automatically @generated by Cargo.\n# It is not intended for manual editing.\n\
             version = 4\n"
            .to_owned();
        for (name, version) in crates {
            let checksum = self.checksum(name, version);
            let _ = write!(
                text,
                "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \
                 \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{checksum}\"\n"
            );
        }
        text
    }

    /// What the index gives as a crate's checksum.
    pub fn checksum(&self, name: &str, version: &str) -> String {
        let lines = std::fs::read_to_string(self.index_file(name)).unwrap();
        let line = lines.lines().find(|line| line.contains(&format!("\"vers\":\"{version}\""))).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["cksum"].as_str().unwrap().to_owned()
    }
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
