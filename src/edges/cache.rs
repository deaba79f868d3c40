//! The cache on disk: files that appear whole or not at all.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::digest::Sha256;

/// recrate's cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    /// Whether results of earlier runs count.
    recalls: bool,
}

impl Cache {
    /// A cache in this folder, which need not exist.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self { root, recalls: true }
    }

    /// The same cache, of which no results of earlier runs count.
    #[must_use]
    pub fn without_results(self) -> Self {
        Self { recalls: false, ..self }
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

    /// What was learned before of these inputs, by this very program; none where it was not, or what is there is not what was
    /// written.
    #[must_use]
    pub fn recall<T: DeserializeOwned>(&self, kind: &str, inputs: &impl Serialize) -> Option<T> {
        if !self.recalls {
            return None;
        }
        let bytes = fs_err::read(self.path(&result_name(kind, inputs)?)).ok()?;
        let (seal, text) = bytes.split_first_chunk::<SEAL>()?;
        if Sha256::of(text).to_string().as_bytes() != &seal[..] {
            tracing::warn!("a result of kind {kind} in the cache is damaged and is computed again");
            return None;
        }
        serde_json::from_slice(text).ok()
    }

    /// Keeps what was learned of these inputs. That it can't be kept costs time only.
    pub fn remember(&self, kind: &str, inputs: &impl Serialize, result: &impl Serialize) {
        let Some((name, text)) = result_name(kind, inputs).zip(serde_json::to_vec(result).ok()) else { return };
        let sealed = [Sha256::of(&text).to_string().as_bytes(), &text].concat();
        if let Err(error) = self.write(&name, &sealed) {
            tracing::warn!("a result can't be kept: {error}");
        }
    }

    /// When a cached file was written; none where it is not cached.
    #[must_use]
    pub fn age(&self, name: &str) -> Option<std::time::Duration> {
        fs_err::metadata(self.path(name)).ok()?.modified().ok()?.elapsed().ok()
    }
}

/// The length of a sha256 in hex, which stands before a result.
const SEAL: usize = 64;

/// Where a result is kept: under the hash of everything that it depends on.
fn result_name(kind: &str, inputs: &impl Serialize) -> Option<String> {
    let key = serde_json::to_vec(&(kind, (*PROGRAM)?, inputs)).ok()?;
    Some(format!("results/{kind}/{}", Sha256::of(&key)))
}

/// The hash of this program: another one may come to other results. None where it can't be read: then nothing is kept.
static PROGRAM: LazyLock<Option<Sha256>> =
    LazyLock::new(|| Some(Sha256::of(&fs_err::read(std::env::current_exe().ok()?).ok()?)));

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
    fn a_result_is_recalled_for_its_own_inputs_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        cache.remember("sum", &(1, 2), &3);
        assert_eq!(cache.recall::<u32>("sum", &(1, 2)), Some(3));
        assert_eq!(cache.recall::<u32>("sum", &(2, 1)), None);
        assert_eq!(cache.recall::<u32>("product", &(1, 2)), None);
        let file = std::fs::read_dir(folder.path().join("results/sum")).unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() = b'4';
        for damaged in [bytes.as_slice(), &bytes[..SEAL], b"", b"3"] {
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(cache.recall::<u32>("sum", &(1, 2)), None);
        }
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        std::fs::create_dir(folder.path().join("x")).unwrap();
        assert!(cache.read("x").unwrap_err().to_string().contains(&folder.path().join("x").display().to_string()));
    }
}
