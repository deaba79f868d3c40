//! The available cargos: imported from this machine, each with the libraries it links, or official archives.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use duct::cmd;
use nix_archive::nar::{CaseHack, hash_path};

use super::cache::write_whole;
use crate::model::digest::{Sha256, Sri};
use crate::model::release::Minor;
use crate::stages::derivation::names;
use crate::stages::toolchain::{CATALOGUE, Origin, Toolchain};

/// The folder that holds imported cargos.
#[derive(Debug, Clone)]
pub struct Toolchains {
    folder: PathBuf,
}

/// Why a cargo can't be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// There is none.
    #[error("no cargo found in {0}: give the binary, an unpacked package or a toolchain's folder")]
    NoCargo(PathBuf),
    /// It links something that is not there.
    #[error("{cargo} links {library}, which is neither beside it nor on this machine")]
    Library {
        /// The binary.
        cargo: PathBuf,
        /// What is missing.
        library: String,
    },
    /// It can't be run.
    #[error("{cargo} does not run: {said}")]
    Broken {
        /// The binary.
        cargo: PathBuf,
        /// What came of it.
        said: String,
    },
    /// It is for another machine.
    #[error("{cargo} is for {host}, this machine is {here}")]
    Foreign {
        /// The binary.
        cargo: PathBuf,
        /// What it says.
        host: String,
        /// What was expected.
        here: String,
    },
}

impl Toolchains {
    /// The toolchains in a folder, which need not exist.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The imported cargos, by name.
    ///
    /// # Errors
    /// Where the folder can't be read.
    pub fn imported(&self) -> std::io::Result<Vec<Toolchain>> {
        let mut found: Vec<Toolchain> = Vec::new();
        let entries = match fs_err::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let bytes = fs_err::read(&path)?;
                match serde_json::from_slice(&bytes) {
                    Ok(toolchain) => found.push(toolchain),
                    Err(error) => tracing::warn!("{} is passed over: {error}", path.display()),
                }
            }
        }
        found.sort_by(|a, b| (a.minor, &a.name).cmp(&(b.minor, &b.name)));
        Ok(found)
    }

    /// Where an imported cargo lies: a folder that is named like its store path.
    #[must_use]
    pub fn content(&self, toolchain: &Toolchain) -> PathBuf {
        self.folder.join(&toolchain.name).join(names::toolchain(&toolchain.release))
    }

    /// Imports a cargo: copies it with the loader and libraries it links, under `name` or else its release.
    ///
    /// # Panics
    /// Never: a toolchain is plain data.
    ///
    /// # Errors
    /// Where there is no cargo, or it does not run with what it was found with.
    pub fn add(&self, path: &Path, name: Option<&str>) -> Result<Toolchain, Error> {
        let found = find_cargo(path)?;
        let linked = linked_files(&found)?;
        fs_err::create_dir_all(&self.folder)?;
        let staging = tempfile::tempdir_in(&self.folder)?;
        let content = staging.path().join("content");
        let (bin, lib) = (content.join("bin"), content.join("lib"));
        copy(&found.cargo, &bin.join("cargo"))?;
        for (file, library) in &linked {
            copy(library, &lib.join(file))?;
        }
        let (release, host) = ask_version(&found.cargo, &content)?;
        let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        if host != here {
            return Err(Error::Foreign { cargo: found.cargo, host, here });
        }
        let broken = |said: &str| Error::Broken { cargo: found.cargo.clone(), said: said.to_owned() };
        let minor = Minor::of_release(&release).ok_or_else(|| broken("it is of no release of Rust 1"))?;
        let nar = hash_path(&content, CaseHack::native()).map_err(|error| broken(&error.to_string()))?;
        let toolchain = Toolchain {
            name: name.unwrap_or(&release).to_owned(),
            release,
            minor,
            origin: Origin::Imported { nar_hash: Sri(Sha256(nar.sha256)) },
        };
        let place = self.content(&toolchain);
        let parent = self.folder.join(&toolchain.name);
        if parent.exists() {
            fs_err::remove_dir_all(&parent)?;
        }
        fs_err::create_dir_all(&parent)?;
        fs_err::rename(&content, &place)?;
        let described = serde_json::to_vec_pretty(&toolchain).expect("a toolchain is plain data");
        write_whole(&self.folder.join(format!("{}.json", toolchain.name)), &described)?;
        Ok(toolchain)
    }

    /// The loader and libraries of this machine with which official cargos run, and the hash of their NAR. The folder
    /// is named like the store path.
    ///
    /// # Errors
    /// Where one of them is not there.
    pub fn runtime(&self) -> Result<(PathBuf, Sri), Error> {
        let folder = self.folder.join("runtime").join(names::RUNTIME);
        if !folder.is_dir() {
            let me = Found { cargo: std::env::current_exe()?, root: None };
            let mut linked = linked_files(&me)?;
            // Official cargos link all parts of the C library by name, as old ones were apart.
            let libc = linked.iter().find(|(name, _)| name.starts_with("libc.so")).map(|(_, path)| path.clone());
            let beside = libc.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
            for name in ["librt.so.1", "libpthread.so.0", "libm.so.6", "libdl.so.2", "libgcc_s.so.1"] {
                let path = beside.join(name);
                if path.exists() {
                    linked.insert((name.to_owned(), path));
                }
            }
            let staging = tempfile::tempdir_in(&self.folder)?;
            for (name, path) in &linked {
                copy(path, &staging.path().join("lib").join(name))?;
            }
            let parent = self.folder.join("runtime");
            fs_err::create_dir_all(&parent)?;
            fs_err::rename(staging.path(), &folder)?;
        }
        let nar = hash_path(&folder, CaseHack::native())
            .map_err(|error| Error::Broken { cargo: folder.clone(), said: error.to_string() })?;
        Ok((folder, Sri(Sha256(nar.sha256))))
    }

    /// The official archives for a system, as toolchains that run with `runtime`.
    #[must_use]
    pub fn official(system: &str, runtime: Sri) -> Vec<Toolchain> {
        let official = CATALOGUE.iter().filter_map(|official| {
            Some(Toolchain {
                name: format!("official-{}", official.release),
                release: official.release.clone(),
                minor: Minor::of_release(&official.release)?,
                origin: Origin::Archive { url: official.url(system), sha256: *official.sha256.get(system)?, runtime },
            })
        });
        official.collect()
    }
}

/// A cargo and the unpacked tree that its libraries are in; none where they are this machine's own.
struct Found {
    cargo: PathBuf,
    root: Option<PathBuf>,
}

/// Finds the binary: `path` itself, a toolchain's `bin/cargo`, or an unpacked package's `usr/bin/cargo`.
fn find_cargo(path: &Path) -> Result<Found, Error> {
    let path = std::path::absolute(path)?;
    if path.is_file() {
        let real = path.canonicalize()?;
        if real.file_name().is_some_and(|name| name == "rustup") {
            // rustup's stand-in picks a toolchain by the folder it is called in; the real one is wanted.
            let asked = cmd!("rustup", "which", "cargo").stderr_capture().read();
            let said = asked.map_err(|error| Error::Broken { cargo: path.clone(), said: error.to_string() })?;
            return Ok(Found { cargo: PathBuf::from(said.trim()), root: None });
        }
        return Ok(Found { cargo: real, root: None });
    }
    let places = [("bin/cargo", false), ("usr/bin/cargo", true), ("cargo/bin/cargo", false)];
    places
        .into_iter()
        .map(|(inside, unpacked)| (path.join(inside), unpacked))
        .find(|(cargo, _)| cargo.is_file())
        .map(|(cargo, unpacked)| Found { cargo, root: unpacked.then(|| path.clone()) })
        .ok_or(Error::NoCargo(path))
}

/// The loader and every library that a binary links, directly or not: the name it is looked for under, and where it is.
fn linked_files(found: &Found) -> Result<BTreeSet<(String, PathBuf)>, Error> {
    let broken = |said: String| Error::Broken { cargo: found.cargo.clone(), said };
    let places = found.root.as_deref().map(library_folders).transpose()?;
    let loader_name = format!("ld-linux-{}.so", std::env::consts::ARCH.replace('_', "-"));
    let loader = match &places {
        Some(places) => places.iter().find_map(|place| {
            let mut files = fs_err::read_dir(place).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
            files.find(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&loader_name)))
        }),
        None => ["/lib64", "/lib"].iter().find_map(|place| {
            let names = [format!("{place}/{loader_name}.2"), format!("{place}/{loader_name}.1")];
            names.into_iter().map(PathBuf::from).find(|path| path.exists())
        }),
    };
    let Some(loader) = loader else {
        return Err(broken(format!("there is no {loader_name} to load it with")));
    };
    let mut arguments: Vec<std::ffi::OsString> = Vec::new();
    if let Some(places) = &places {
        let joined = std::env::join_paths(places).map_err(|error| broken(error.to_string()))?;
        arguments.extend(["--library-path".into(), joined]);
    }
    arguments.extend(["--list".into(), found.cargo.clone().into_os_string()]);
    // The loader only lists: nothing of the binary runs.
    let listed = cmd(&loader, arguments).stderr_to_stdout().unchecked().stdout_capture().run();
    let listed = listed.map_err(|error| broken(error.to_string()))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut linked = BTreeSet::new();
    if listed.contains("statically linked") {
        return Ok(linked);
    }
    for line in listed.lines() {
        let Some((name, rest)) = line.trim().split_once(" => ") else { continue };
        if rest.starts_with("not found") {
            return Err(Error::Library { cargo: found.cargo.clone(), library: name.to_owned() });
        }
        let path = rest.split(" (0x").next().unwrap_or_default();
        let name = Path::new(name).file_name().map(|name| name.to_string_lossy().into_owned());
        if let (Some(name), true) = (name, path.starts_with('/')) {
            linked.insert((name, PathBuf::from(path)));
        }
    }
    if linked.is_empty() {
        return Err(broken(listed.trim().to_owned()));
    }
    let file_name = loader.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    linked.retain(|(name, _)| *name != file_name);
    linked.insert((file_name, loader));
    Ok(linked)
}

/// The folders of an unpacked tree that hold shared libraries.
fn library_folders(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut queue: Vec<PathBuf> = ["lib", "lib64", "usr/lib", "usr/lib64"].map(|inside| root.join(inside)).to_vec();
    while let Some(folder) = queue.pop() {
        let Ok(entries) = fs_err::read_dir(&folder) else { continue };
        let mut libraries = false;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                queue.push(entry.path());
            } else {
                libraries |= entry.file_name().to_string_lossy().contains(".so");
            }
        }
        if libraries {
            found.push(folder);
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Runs the imported copy, as the sandbox will, and asks for its release and host.
fn ask_version(cargo: &Path, content: &Path) -> Result<(String, String), Error> {
    let broken = |said: String| Error::Broken { cargo: cargo.to_owned(), said };
    let (bin, lib) = (content.join("bin/cargo"), content.join("lib"));
    let loader = fs_err::read_dir(&lib).ok().and_then(|mut entries| {
        entries.find_map(|entry| {
            let entry = entry.ok()?;
            entry.file_name().to_string_lossy().starts_with("ld-linux").then(|| entry.path())
        })
    });
    let expression = match loader {
        Some(loader) => cmd!(loader, "--library-path", &lib, &bin, "-vV"),
        None => cmd!(&bin, "-vV"),
    };
    // Away from any project: cargo reads the configuration of the folder it is called in.
    let said = expression.dir("/").stderr_capture().read().map_err(|error| broken(error.to_string()))?;
    let line = |start: &str| said.lines().find_map(|line| line.strip_prefix(start)).map(str::trim);
    let release = line("release: ").ok_or_else(|| broken("it does not say its release".to_owned()))?;
    // cargos before 1.55 say no host; they are checked by having run.
    let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    Ok((release.to_owned(), line("host: ").map_or(here, str::to_owned)))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let folder = to.parent().unwrap_or_else(|| Path::new("."));
    fs_err::create_dir_all(folder)?;
    fs_err::copy(from, to)?;
    fs_err::set_permissions(to, std::fs::Permissions::from_mode(0o755))
}
