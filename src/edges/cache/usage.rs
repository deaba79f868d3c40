//! What a cache holds, and how it gets smaller.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Cache;

/// The parts of a cache: folder and what is in it.
pub const PARTS: [(&str, &str); 10] = [
    ("crates", "published crates"),
    ("index", "index files of registries"),
    ("git", "commits of repositories"),
    ("history", "branches and tags of repositories"),
    ("archived", "commits from Software Heritage"),
    ("lfs", "LFS objects"),
    ("archives", "official cargos"),
    ("probes", "what the sandbox was seen to do"),
    ("approvals", "what may be published"),
    (RESULTS, "what crates came to"),
];

/// The folder of results.
pub(super) const RESULTS: &str = "results";

/// The folder of what is gone again soon.
pub(super) const TEMPORARY: &str = "temporary";

/// What results may take together.
pub const RESULTS_LIMIT: u64 = 512 << 20;

/// Marks a folder as a cache, for backups and for who removes it: <https://bford.info/cachedir/>.
const TAG: &str = "CACHEDIR.TAG";
const TAG_TEXT: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Made by recrate: it can be fetched or computed again.\n";

/// Held by who works with a cache.
const LOCK: &str = "recrate.lock";

/// What a part of a cache takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Why a cache is not cleaned.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It is not marked as recrate's.
    #[error("{0} is not marked as a cache of recrate's: nothing in it is removed")]
    Foreign(PathBuf),
    /// Somebody works with it.
    #[error("another recrate is working with {0}: wait for it")]
    Busy(PathBuf),
}

impl Cache {
    /// Holds the folder until this value and its copies are gone: nobody cleans it meanwhile. A new folder is marked as a cache;
    /// one that has something else already never is.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn hold(mut self) -> io::Result<Self> {
        fs_err::create_dir_all(&self.root)?;
        if fs_err::read_dir(&self.root)?.next().is_none() {
            self.write(TAG, TAG_TEXT.as_bytes())?;
        }
        let lock = self.lock()?;
        // Nobody else works with it: what lies there was left by somebody who was killed.
        if lock.file().try_lock().is_ok() {
            remove(&self.path(TEMPORARY))?;
        }
        lock.file().lock_shared()?;
        self.held = Some(std::sync::Arc::new(lock));
        Ok(self)
    }

    fn lock(&self) -> io::Result<fs_err::File> {
        fs_err::OpenOptions::new().read(true).append(true).create(true).open(self.path(LOCK))
    }

    /// What a part takes.
    ///
    /// # Errors
    /// Where it can't be looked at.
    pub fn usage(&self, part: &str) -> io::Result<Usage> {
        let mut usage = Usage::default();
        for file in files(&self.path(part))? {
            usage.files += 1;
            usage.bytes += file.bytes;
        }
        Ok(usage)
    }

    /// Removes parts.
    ///
    /// # Errors
    /// Where it is not recrate's, somebody works with it, or a file can't be removed.
    pub fn clean(&self, parts: &[&str]) -> Result<(), Refused> {
        if !fs_err::read(self.path(TAG)).is_ok_and(|text| text == TAG_TEXT.as_bytes()) {
            return Err(Refused::Foreign(self.root.clone()));
        }
        let lock = self.lock()?;
        lock.file().try_lock().map_err(|_| Refused::Busy(self.root.clone()))?;
        for part in parts {
            remove(&self.path(part))?;
        }
        Ok(())
    }

    /// Removes the results that were of no use for the longest time, where all together take more than `limit` bytes.
    ///
    /// # Errors
    /// Where they can't be looked at.
    pub fn bound_results(&self, limit: u64) -> io::Result<()> {
        let found = files(&self.path(RESULTS))?;
        let mut bytes: u64 = found.iter().map(|file| file.bytes).sum();
        if bytes <= limit {
            return Ok(());
        }
        let by_age: BTreeMap<(SystemTime, &PathBuf), u64> =
            found.iter().map(|file| ((file.used, &file.path), file.bytes)).collect();
        // Down to less than the limit, so that the next run need not do it again.
        for ((_, path), size) in by_age {
            if bytes <= limit / 4 * 3 {
                break;
            }
            // Another run may have removed it.
            if fs_err::remove_file(path).is_ok() {
                bytes -= size;
            }
        }
        Ok(())
    }
}

struct Found {
    path: PathBuf,
    bytes: u64,
    /// When it was written or, within a day, last of use.
    used: SystemTime,
}

/// Removes a folder, which need not exist.
fn remove(folder: &Path) -> io::Result<()> {
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The files below a folder, which need not exist.
fn files(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs_err::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            // What is gone by now was removed by another run.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                found.push(Found { path: entry.path(), bytes: metadata.len(), used: metadata.modified()? });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn cache(folder: &Path) -> Cache {
        Cache::at(folder.join("cache")).with_results(&folder.join("key"), true).unwrap()
    }

    #[test]
    fn a_part_is_cleaned_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let held = cache(folder.path()).hold().unwrap();
        held.write("crates/a.crate", b"12345").unwrap();
        held.write("index/x/y", b"123").unwrap();
        assert_eq!(held.usage("crates").unwrap(), Usage { files: 1, bytes: 5 });
        assert!(matches!(cache(folder.path()).clean(&["crates"]), Err(Refused::Busy(_))));
        drop(held);
        let free = cache(folder.path());
        free.clean(&["crates", "lfs"]).unwrap();
        assert_eq!(free.usage("crates").unwrap(), Usage::default());
        assert_eq!(free.usage("index").unwrap(), Usage { files: 1, bytes: 3 });
    }

    #[test]
    fn nothing_is_removed_from_a_folder_that_is_no_cache() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        cache.write("git/mine", b"x").unwrap();
        let cache = cache.hold().unwrap();
        assert!(matches!(cache.clean(&["git"]), Err(Refused::Foreign(_))));
        assert!(cache.path("git/mine").is_file());
    }

    #[test]
    fn results_that_are_of_use_outlive_those_that_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        for number in 0..8 {
            cache.remember("sum", &number, &number);
        }
        let long_ago = SystemTime::now() - Duration::from_secs(30 * 24 * 60 * 60);
        for file in files(&cache.path(RESULTS)).unwrap() {
            std::fs::File::options().write(true).open(file.path).unwrap().set_modified(long_ago).unwrap();
        }
        assert_eq!(cache.recall::<u32>("sum", &5), Some(5));
        let Usage { files, bytes } = cache.usage(RESULTS).unwrap();
        assert_eq!(files, 8);
        cache.bound_results(bytes).unwrap();
        assert_eq!(cache.usage(RESULTS).unwrap().files, 8, "nothing above the limit");
        cache.bound_results(bytes / 4).unwrap();
        assert_eq!(cache.recall::<u32>("sum", &5), Some(5));
        assert_eq!(cache.usage(RESULTS).unwrap().files, 1);
    }
}
