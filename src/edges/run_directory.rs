//! The run directory: an interface, written before and during the work, locked while a run goes on.
//!
//! | file | what |
//! |---|---|
//! | `run.json` | what the run is about: written first, locked |
//! | `records/NAME-VERSION.json` | one crate, as soon as it is done |
//! | `logs/NAME-VERSION.log` | what Nix kept of a build that failed |
//! | `plan.json` | the recipes of the verdicts |
//! | `report.json` | the whole report: written last |
//! | `roots/` | what keeps the outputs from garbage collection |
//! | `store/` | outputs of another store, where one builds |
//!
//! A run that was cut off goes on from its records; a finished one is moved aside.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cache::{Doing as _, FileError, write_whole};
use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::stages::lock::{LockedCrate, RegistryName};
use crate::stages::plan::Inputs;
use crate::stages::verdict::Record;

/// The version of `run.json`.
const SCHEMA: u32 = 1;

/// An open run directory.
#[derive(Debug)]
pub struct RunDirectory {
    root: PathBuf,
    /// Holds the lock until the run ends, however it ends.
    _lock: File,
}

/// What is kept of a finished crate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// The record, as in the report.
    pub record: Record,
    /// Which registry the crate comes from.
    pub registry: RegistryName,
    /// The inputs of the build that the verdict is about, for the plan; none where nothing was built.
    pub inputs: Option<Inputs>,
}

impl Kept {
    /// A crate of which nothing was built.
    #[must_use]
    pub fn settled(locked: &LockedCrate, record: Record) -> Self {
        Self { record, registry: locked.registry.clone(), inputs: None }
    }
}

/// Why a run directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder is somebody else's.
    #[error("{0} holds something else than a run of recrate: give another folder with --out")]
    Foreign(PathBuf),
    /// Another run is going on in it.
    #[error("another recrate is at work in {0}: wait for it, or give another folder with --out")]
    Busy(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct Run {
    schema: u32,
    recrate: String,
    /// Of the crates and of every option that decides what is said of them.
    fingerprint: Sha256,
    /// The folder whose cargo configuration says where registries are.
    folder: PathBuf,
}

impl RunDirectory {
    /// Opens the folder `root` for a run with this fingerprint over what lies in `folder`: goes on with an unfinished
    /// one of the same, moves any other aside to `NAME.old`.
    ///
    /// # Errors
    /// Where the folder is not ours, in use, or can't be written.
    pub fn open(root: &Path, fingerprint: Sha256, folder: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(root).doing("find", root)?;
        let file = root.join("run.json");
        if file.is_file() {
            let lock = Self::lock(&root, &file)?;
            let before = std::fs::read(&file).doing("read", &file)?;
            let same = serde_json::from_slice::<Run>(&before)
                .is_ok_and(|run| run.fingerprint == fingerprint && run.recrate == env!("CARGO_PKG_VERSION"));
            if same && !root.join("report.json").is_file() {
                return Ok(Self { root, _lock: lock });
            }
            let mut old = root.clone().into_os_string();
            old.push(".old");
            let old = PathBuf::from(old);
            if old.join("run.json").is_file() {
                make_writable(&old.join("store"));
                std::fs::remove_dir_all(&old).doing("remove", &old)?;
            } else if old.exists() {
                return Err(Error::Foreign(old));
            }
            std::fs::rename(&root, &old).doing("move aside", &root)?;
        } else if std::fs::read_dir(&root).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::Foreign(root));
        }
        std::fs::create_dir_all(root.join("roots")).doing("create the folder", &root)?;
        let mut lock = Self::lock(&root, &file)?;
        let recrate = env!("CARGO_PKG_VERSION").to_owned();
        let run = Run { schema: SCHEMA, recrate, fingerprint, folder: folder.to_owned() };
        // In place, not renamed: the lock is on this very file.
        lock.write_all(&serde_json::to_vec_pretty(&run).unwrap_or_default()).doing("write", &file)?;
        Ok(Self { root, _lock: lock })
    }

    fn lock(root: &Path, file: &Path) -> Result<File, Error> {
        let lock = File::options().read(true).append(true).create(true).open(file).doing("open", file)?;
        lock.try_lock().map_err(|_| Error::Busy(root.to_owned()))?;
        Ok(lock)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where Nix roots the outputs.
    #[must_use]
    pub fn roots(&self) -> PathBuf {
        self.root.join("roots/rebuild")
    }

    /// Where outputs of another machine's store are copied to.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// What was kept of a crate in the run that this one goes on from.
    #[must_use]
    pub fn kept(&self, id: &CrateId) -> Option<Kept> {
        read_kept(&self.root, id)
    }

    /// Keeps a finished crate.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn keep(&self, id: &CrateId, kept: &Kept) -> Result<(), FileError> {
        write_whole(&record_path(&self.root, id), &serde_json::to_vec_pretty(kept).unwrap_or_default())
    }

    /// Keeps the log of a crate's build.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn keep_log(&self, id: &CrateId, log: &str) -> Result<(), FileError> {
        write_whole(&self.root.join("logs").join(format!("{}.log", id.stem())), log.as_bytes())
    }

    /// Writes one of the run's files.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write(&self, name: &str, text: &str) -> Result<(), FileError> {
        write_whole(&self.root.join(name), text.as_bytes())
    }
}

fn record_path(root: &Path, id: &CrateId) -> PathBuf {
    root.join("records").join(format!("{}.json", id.stem()))
}

/// The folder whose cargo configuration a run went by; none where there is no run.
#[must_use]
pub fn read_folder(root: &Path) -> Option<PathBuf> {
    let run: Run = serde_json::from_slice(&std::fs::read(root.join("run.json")).ok()?).ok()?;
    Some(run.folder)
}

/// What a run directory, open or not, holds of a crate.
#[must_use]
pub fn read_kept(root: &Path, id: &CrateId) -> Option<Kept> {
    serde_json::from_slice(&std::fs::read(record_path(root, id)).ok()?).ok()
}

/// Takes back what Nix did to folders of a store: nothing in them can be removed. Where that fails, removing will say so.
fn make_writable(folder: &Path) {
    let _ = std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(root: &Path, fingerprint: Sha256) -> Result<RunDirectory, Error> {
        RunDirectory::open(root, fingerprint, Path::new("/project"))
    }

    #[test]
    fn an_unfinished_run_goes_on_and_a_finished_one_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        let one = Sha256::of(b"one");
        let run = open(&root, one).unwrap();
        run.write("mark", "x").unwrap();
        drop(run);
        let run = open(&root, one).unwrap();
        assert!(root.join("mark").is_file(), "goes on");
        run.write("report.json", "{}").unwrap();
        drop(run);
        drop(open(&root, one).unwrap());
        assert!(!root.join("mark").exists() && folder.path().join("out.old/mark").is_file(), "moved aside");
    }

    #[test]
    fn another_run_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        open(&root, Sha256::of(b"one")).unwrap().write("mark", "x").unwrap();
        drop(open(&root, Sha256::of(b"two")).unwrap());
        assert!(!root.join("mark").exists());
    }

    #[test]
    fn a_folder_in_use_or_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        let _held = open(&root, Sha256::of(b"one")).unwrap();
        assert!(matches!(open(&root, Sha256::of(b"one")), Err(Error::Busy(_))));
        std::fs::write(folder.path().join("mine"), "").unwrap();
        assert!(matches!(open(folder.path(), Sha256::of(b"one")), Err(Error::Foreign(_))));
    }
}
