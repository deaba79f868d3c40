//! The run directory: an interface, written before and during the work, locked while a run goes on.
//!
//! | file | what |
//! |---|---|
//! | `run.json` | what the run is about and everything that decides it: written first, locked |
//! | `records/JOB.json` | one package, as soon as it is done |
//! | `logs/JOB.log` | what Nix kept of a build that failed |
//! | `plan.json` | the recipes of the verdicts |
//! | `report.json` | the whole report: written last |
//! | `roots/` | what keeps the outputs from garbage collection |
//! | `store/` | outputs of another store, where one builds |
//!
//! A JOB is the name that a package has in plans and in Hydra, like `itoa-1_0_18`: no two packages share one. A run that was
//! cut off goes on in the same folder, and a finished one is moved aside. What is found in it decides nothing: anybody may have
//! put it there. Results that count are sealed, in the cache.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::cache::write_whole;
use crate::model::krate::CrateId;
use crate::model::package::PackageKey;
use crate::stages::claims::Obstacle;
use crate::stages::plan::Inputs;
use crate::stages::record::Record;

/// The version of `run.json` and of the records.
const SCHEMA: u32 = 2;

/// An open run directory.
#[derive(Debug)]
pub struct RunDirectory {
    root: PathBuf,
    next_root: AtomicUsize,
    /// Holds the lock until the run ends, however it ends.
    _lock: fs_err::File,
}

/// What is kept of a finished package.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// The record, as in the report.
    pub record: Record,
    /// The package's part of the plan.
    pub build: KeptBuild,
}

/// A finished package's part of the plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptBuild {
    /// The inputs of the build that the findings are about.
    Inputs(Box<Inputs>),
    /// Why there is none.
    Obstacle(Box<Obstacle>),
}

/// Why a run directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It can't be made.
    #[error("no run directory can be made in {0}: {1}\nhelp: give another folder with --out")]
    Unwritable(PathBuf, io::Error),
    /// The folder is somebody else's.
    #[error("{0} holds something else than a run of recrate: give another folder with --out")]
    Foreign(PathBuf),
    /// Another run is going on in it.
    #[error("another recrate is working in {0}: wait for it, or give another folder with --out")]
    Busy(PathBuf),
}

#[derive(Serialize, Deserialize)]
struct Run {
    schema: u32,
    recrate: String,
    /// Everything that decides what the run finds: only a run with the same goes on from it.
    key: serde_json::Value,
    /// The folder whose cargo configuration says where registries are.
    folder: PathBuf,
}

impl RunDirectory {
    /// Opens the folder `root` for a run over what lies in `folder`: goes on with an unfinished one that has the same `key`,
    /// moves any other aside to `NAME.old`.
    ///
    /// # Errors
    /// Where the folder is not ours, in use, or can't be written.
    ///
    /// # Panics
    /// Where the key is not plain data.
    pub fn open(root: &Path, key: &impl Serialize, folder: &Path) -> Result<Self, Error> {
        let key = serde_json::to_value(key).expect("a run's key is plain data");
        let root = std::path::absolute(root)?;
        let file = root.join("run.json");
        if file.is_file() {
            let lock = Self::lock(&root, &file)?;
            let before = fs_err::read(&file)?;
            let same = serde_json::from_slice::<Run>(&before)
                .is_ok_and(|run| run.schema == SCHEMA && run.key == key && run.recrate == env!("CARGO_PKG_VERSION"));
            if same && !root.join("report.json").is_file() {
                return Ok(Self { root, next_root: AtomicUsize::new(0), _lock: lock });
            }
            let old = old(&root);
            if old.join("run.json").is_file() {
                make_writable(&old.join("store"));
                fs_err::remove_dir_all(&old)?;
            } else if old.exists() {
                return Err(Error::Foreign(old));
            }
            fs_err::rename(&root, &old)?;
        } else if fs_err::read_dir(&root).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::Foreign(root));
        }
        fs_err::create_dir_all(root.join("roots")).map_err(|error| Error::Unwritable(root.clone(), error))?;
        let mut lock = Self::lock(&root, &file)?;
        let recrate = env!("CARGO_PKG_VERSION").to_owned();
        let run = Run { schema: SCHEMA, recrate, key, folder: folder.to_owned() };
        // In place, not renamed: the lock is on this very file.
        lock.write_all(&serde_json::to_vec_pretty(&run).expect("a run is plain data"))?;
        Ok(Self { root, next_root: AtomicUsize::new(0), _lock: lock })
    }

    fn lock(root: &Path, file: &Path) -> Result<fs_err::File, Error> {
        let lock = fs_err::OpenOptions::new().read(true).append(true).create(true).open(file)?;
        lock.file().try_lock().map_err(|_| Error::Busy(root.to_owned()))?;
        Ok(lock)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where Nix roots the outputs of some builds: another name each time.
    #[must_use]
    pub fn next_root(&self) -> PathBuf {
        let number = self.next_root.fetch_add(1, Ordering::Relaxed);
        self.root.join("roots").join(format!("{}-{number}", std::process::id()))
    }

    /// Where outputs of another machine's store are copied to.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Keeps a finished package.
    ///
    /// # Errors
    /// Where it can't be written.
    ///
    /// # Panics
    /// Never: a record is plain data.
    pub fn keep(&self, kept: &Kept) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(kept).expect("a record is plain data");
        write_whole(&record_path(&self.root, &kept.record.key), &text)
    }

    /// Keeps the log of a package's build.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn keep_log(&self, key: &PackageKey, log: &str) -> io::Result<()> {
        write_whole(&self.root.join("logs").join(format!("{}.log", key.job())), log.as_bytes())
    }

    /// Writes one of the run's files that never changes.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write_once(&self, name: &str, text: &str) -> io::Result<()> {
        let there = fs_err::read(self.root.join(name)).is_ok_and(|there| there == text.as_bytes());
        if there { Ok(()) } else { self.write(name, text) }
    }

    /// Writes one of the run's files.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        write_whole(&self.root.join(name), text.as_bytes())
    }
}

fn record_path(root: &Path, key: &PackageKey) -> PathBuf {
    root.join("records").join(format!("{}.json", key.job()))
}

fn read_record(file: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs_err::read(file).ok()?).ok()
}

/// Where a finished run is moved to when the next one begins.
#[must_use]
pub fn old(root: &Path) -> PathBuf {
    let mut old = root.to_owned().into_os_string();
    old.push(".old");
    PathBuf::from(old)
}

/// Lets go of what a run has built: removes its roots, and its copies of outputs of another store. Gives how many roots there
/// were; none where there is no run.
///
/// # Errors
/// Where a run is going on in it, or a file can't be removed.
pub fn release(root: &Path) -> Result<Option<usize>, Error> {
    let file = root.join("run.json");
    if !file.is_file() {
        return Ok(None);
    }
    let _lock = RunDirectory::lock(root, &file)?;
    let mut released = 0;
    for entry in fs_err::read_dir(root.join("roots")).into_iter().flatten() {
        let entry = entry?;
        if entry.file_type()?.is_symlink() {
            fs_err::remove_file(entry.path())?;
            released += 1;
        }
    }
    let store = root.join("store");
    if store.is_dir() {
        make_writable(&store);
        fs_err::remove_dir_all(store)?;
    }
    Ok(Some(released))
}

/// The folder whose cargo configuration a run went by; none where there is no run.
#[must_use]
pub fn read_folder(root: &Path) -> Option<PathBuf> {
    let run: Run = serde_json::from_slice(&fs_err::read(root.join("run.json")).ok()?).ok()?;
    Some(run.folder)
}

/// What a run directory, open or not, holds of a crate: more than one where it comes from several registries.
#[must_use]
pub fn read_kept(root: &Path, id: &CrateId) -> Vec<Kept> {
    let files = fs_err::read_dir(root.join("records")).into_iter().flatten().flatten();
    // Every job ends with name and version; what the record itself names is what counts.
    let suffix = format!("{}.json", PackageKey::new(crate::model::package::RegistryName::Default, id.clone()).job());
    let named = files.filter(|entry| entry.file_name().to_string_lossy().ends_with(&suffix));
    let mut kept: Vec<Kept> = named.filter_map(|entry| read_record(&entry.path())).collect();
    kept.retain(|kept| kept.record.key.id() == *id);
    kept.sort_by(|a, b| a.record.key.cmp(&b.record.key));
    kept
}

/// Takes back what Nix did to folders of a store: nothing in them can be removed. Where that fails, removing will say so.
///
/// A link is not followed: what lies in a run directory may have come with a checkout.
fn make_writable(folder: &Path) {
    if !fs_err::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir()) {
        return;
    }
    let _ = fs_err::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700));
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(root: &Path, key: &str) -> Result<RunDirectory, Error> {
        RunDirectory::open(root, &key, Path::new("/project"))
    }

    #[test]
    fn a_link_that_came_with_a_checkout_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (folder.path().join("run"), folder.path().join("elsewhere"));
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::set_permissions(&elsewhere, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for run in [root.clone(), folder.path().join("run.old")] {
            std::fs::create_dir(&run).unwrap();
            std::fs::write(run.join("run.json"), "{}").unwrap();
        }
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("run.old/store")).unwrap();
        drop(open(&root, "a").unwrap());
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&elsewhere).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn an_unfinished_run_goes_on_and_a_finished_one_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        let one = "one";
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
        open(&root, "one").unwrap().write("mark", "x").unwrap();
        drop(open(&root, "two").unwrap());
        assert!(!root.join("mark").exists());
    }

    #[test]
    fn a_folder_in_use_or_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        let _held = open(&root, "one").unwrap();
        assert!(matches!(open(&root, "one"), Err(Error::Busy(_))));
        std::fs::write(folder.path().join("mine"), "").unwrap();
        assert!(matches!(open(folder.path(), "one"), Err(Error::Foreign(_))));
    }
}
