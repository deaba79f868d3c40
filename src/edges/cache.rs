//! The cache on disk: files that appear whole or not at all.

pub mod usage;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use ring::hmac;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::digest::Sha256;

/// recrate's cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    results: Option<Results>,
    /// Whether a result was kept.
    has_more: Arc<AtomicBool>,
    /// Whether it was told that nothing can be kept: once is enough.
    told: Arc<AtomicBool>,
    /// The lock that keeps others from cleaning it.
    held: Option<Arc<fs_err::File>>,
}

/// How results are kept. They are sealed with a key that lies elsewhere: whoever can write to the cache, like another job that
/// shares it, can't make up what a package came to.
#[derive(Debug, Clone)]
struct Results {
    key: hmac::Key,
    /// Whether those of earlier runs count.
    recalls: bool,
}

impl Cache {
    /// A cache in this folder, which need not exist.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self { root, results: None, has_more: Arc::default(), told: Arc::default(), held: None }
    }

    /// The same cache with results, sealed with the key in a file, which is made where there is none. `recalls`: whether those of
    /// earlier runs count.
    ///
    /// # Errors
    /// Where the key can't be read or made.
    pub fn with_results(self, key_file: &Path, recalls: bool) -> io::Result<Self> {
        let key = match fs_err::read(key_file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(key_file)?,
            read => read?,
        };
        if key.len() != KEY {
            return Err(io::Error::other(format!(
                "{} is damaged: remove it, and a new one is made",
                key_file.display()
            )));
        }
        Ok(Self { results: Some(Results { key: hmac::Key::new(hmac::HMAC_SHA256, &key), recalls }), ..self })
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
        write_by(&self.temporary()?, &self.path(name), bytes)
    }

    /// A folder for what is gone again soon. What a killed program leaves there is removed when the cache is opened next.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn temporary(&self) -> io::Result<PathBuf> {
        let folder = self.path(usage::TEMPORARY);
        fs_err::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// What was learned before of these inputs, by this very program; none where it was not, or what is there is not what was
    /// written.
    #[must_use]
    pub fn recall<T: DeserializeOwned>(&self, kind: &str, inputs: &impl Serialize) -> Option<T> {
        self.results.as_ref().filter(|results| results.recalls)?;
        let name = result_name(kind, inputs)?;
        let file = fs_err::File::open(self.path(&name)).ok()?;
        let mut bytes = Vec::new();
        // The file itself knows how much there is to read.
        let mut inner = file.file();
        inner.read_to_end(&mut bytes).ok()?;
        let result = serde_json::from_slice(self.unsealed(&name, &bytes)?).ok()?;
        let is_old = |time: SystemTime| time.elapsed().is_ok_and(|age| age > REUSED);
        if file.metadata().and_then(|metadata| metadata.modified()).is_ok_and(is_old) {
            // Results that are of use are not the first to be removed. That it can't be noted costs time only.
            let _ = file.file().set_modified(SystemTime::now());
        }
        Some(result)
    }

    /// Keeps what was learned of these inputs. That it can't be kept costs time only.
    pub fn remember(&self, kind: &str, inputs: &impl Serialize, result: &impl Serialize) {
        let Some((name, text)) = result_name(kind, inputs).zip(serde_json::to_vec(result).ok()) else { return };
        self.write_sealed(&name, &text);
        self.has_more.store(true, Ordering::Relaxed);
    }

    /// The content of a file that this user's recrate has written; none where it is not there, or is not what was written.
    #[must_use]
    pub fn read_sealed(&self, name: &str) -> Option<Vec<u8>> {
        let bytes = fs_err::read(self.path(name)).ok()?;
        self.unsealed(name, &bytes).map(<[u8]>::to_vec)
    }

    /// Writes a file so that it is noticed where somebody else changes it. That it can't be written costs time only.
    pub fn write_sealed(&self, name: &str, text: &[u8]) {
        let Some(Results { key, .. }) = &self.results else { return };
        let seal = hmac::sign(key, &[name.as_bytes(), text].concat());
        if let Err(error) = self.write(name, &[text, seal.as_ref()].concat())
            && !self.told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "the cache can't be written, so that the next run learns nothing of this one: {error}; {ELSEWHERE}"
            );
        }
    }

    /// What was sealed under a name.
    fn unsealed<'a>(&self, name: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (text, seal) = bytes.split_last_chunk::<SEAL>()?;
        if hmac::verify(&self.results.as_ref()?.key, &[name.as_bytes(), text].concat(), seal).is_err() {
            tracing::warn!("{name} in the cache is damaged or of somebody else, and is not used");
            return None;
        }
        Some(text)
    }

    /// Keeps results within their bound, if any was kept since the cache was opened.
    pub fn settle(&self) {
        if self.has_more.swap(false, Ordering::Relaxed)
            && let Err(error) = self.bound_results(usage::RESULTS_LIMIT)
        {
            tracing::warn!("old results can't be removed: {error}");
        }
    }
}

/// What to do where it can't be written.
const ELSEWHERE: &str = "RECRATE_CACHE puts it elsewhere";

/// How exactly it is noted that a result was of use.
const REUSED: Duration = Duration::from_secs(24 * 60 * 60);

/// The length of a seal, which stands after a result, and of the key.
const SEAL: usize = 32;
const KEY: usize = 32;

/// Makes a key for this user alone; gives the one that is there in the end, where another run makes one at the same time.
fn make_key(file: &Path) -> io::Result<Vec<u8>> {
    let mut key = [0; KEY];
    fs_err::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    fs_err::create_dir_all(folder)?;
    let mut made = tempfile::NamedTempFile::new_in(folder)?;
    made.write_all(&key)?;
    match made.persist_noclobber(file) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => fs_err::read(file),
    }
}

/// Where a result is kept: under the hash of everything that it depends on.
fn result_name(kind: &str, inputs: &impl Serialize) -> Option<String> {
    let key = serde_json::to_vec(&(kind, (*PROGRAM)?, inputs)).ok()?;
    Some(format!("{}/{kind}/{}", usage::RESULTS, Sha256::of(&key)))
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
    write_by(folder, path, bytes)
}

/// The same, with the other name in a folder of the same file system.
fn write_by(temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs_err::create_dir_all(path.parent().unwrap_or_else(|| Path::new(".")))?;
    // As readable as any file that the user makes: a temporary one would be for the user alone.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let about = |error: io::Error| io::Error::new(error.kind(), format!("failed to write {}: {error}", path.display()));
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(temporary).map_err(about)?;
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
        let with_key = |name: &str, recalls: bool| {
            let key = folder.path().join(name);
            Cache::at(folder.path().to_owned()).with_results(&key, recalls).unwrap()
        };
        let cache = with_key("key", true);
        cache.remember("sum", &(1, 2), &3);
        assert_eq!(with_key("key", true).recall::<u32>("sum", &(1, 2)), Some(3));
        assert_eq!(with_key("key", false).recall::<u32>("sum", &(1, 2)), None, "asked for anew");
        assert_eq!(with_key("another", true).recall::<u32>("sum", &(1, 2)), None, "somebody else's");
        assert_eq!(Cache::at(folder.path().to_owned()).recall::<u32>("sum", &(1, 2)), None);
        assert_eq!(cache.recall::<u32>("sum", &(1, 2)), Some(3));
        assert_eq!(cache.recall::<u32>("sum", &(2, 1)), None);
        assert_eq!(cache.recall::<u32>("product", &(1, 2)), None);
        let file = std::fs::read_dir(folder.path().join("results/sum")).unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[0] = b'4';
        for damaged in [bytes.as_slice(), &bytes[..SEAL], b"", b"3"] {
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(cache.recall::<u32>("sum", &(1, 2)), None);
        }
        // One that stands in another's place is none.
        cache.remember("sum", &(1, 2), &3);
        cache.remember("sum", &(2, 3), &5);
        let mut files = std::fs::read_dir(folder.path().join("results/sum")).unwrap().map(|one| one.unwrap().path());
        std::fs::copy(files.next().unwrap(), files.next().unwrap()).unwrap();
        let recalled = [(1, 2), (2, 3)].map(|inputs| cache.recall::<u32>("sum", &inputs));
        assert_eq!(recalled.into_iter().flatten().count(), 1, "{recalled:?}");
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        std::fs::create_dir(folder.path().join("x")).unwrap();
        assert!(cache.read("x").unwrap_err().to_string().contains(&folder.path().join("x").display().to_string()));
    }
}
