//! The cache on disk: files that appear whole or not at all.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// recrate's cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache in this folder, which need not exist.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// A place in the cache. `name` is made of names this program chose or checked.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The content of a cached file; none where it is not cached.
    ///
    /// # Errors
    /// Where it is there but can't be read.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs_err::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Caches a file.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        write_whole(&self.path(name), bytes)
    }

    /// When a cached file was written; none where it is not cached.
    #[must_use]
    pub fn age(&self, name: &str) -> Option<std::time::Duration> {
        fs_err::metadata(self.path(name)).ok()?.modified().ok()?.elapsed().ok()
    }
}

/// Writes a file so that it is there whole or not at all: under another name first, then renamed. Its folder is made.
///
/// # Errors
/// Where it can't be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs_err::create_dir_all(folder)?;
    // As readable as any file that the user makes: a temporary one would be for the user alone.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let about = |error: io::Error| io::Error::new(error.kind(), format!("failed to write {}: {error}", path.display()));
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder).map_err(about)?;
    file.write_all(bytes).map_err(about)?;
    file.persist(path).map_err(|error| about(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        assert_eq!(cache.read("a/b").unwrap(), None);
        cache.write("a/b", b"one").unwrap();
        cache.write("a/b", b"two").unwrap();
        assert_eq!(cache.read("a/b").unwrap().unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
        // Like a file that was written plainly, whatever the umask.
        std::fs::write(folder.path().join("plain"), "").unwrap();
        let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions();
        assert_eq!(mode("a/b"), mode("plain"));
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        std::fs::create_dir(folder.path().join("x")).unwrap();
        assert!(cache.read("x").unwrap_err().to_string().contains(&folder.path().join("x").display().to_string()));
    }
}
