//! Software Heritage: the archive of all source code, asked for commits that are nowhere else.
//!
//! Its public API (`/api/1/raw/`, `/api/1/vault/flat/`) gives a commit object and, once it has put them together, the
//! files of its tree. Both are hashed here, as everything that comes from strangers: the archive is not trusted, either.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::{Duration, Instant};

use gix::objs::tree::{Entry, EntryKind};
use gix::objs::{Kind, Tree, Write as _};
use serde::Deserialize;

use super::network::{Answer, FILE_LIMIT, INDEX_LIMIT, Network};
use crate::contract::git::tree_of_commit;
use crate::model::commit::CommitId;

/// Where the archive is.
pub const ADDRESS: &str = "https://archive.softwareheritage.org";

/// How long the archive may take to put files together, and how long to wait between two questions.
const PATIENCE: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_secs(3);

/// How much the files may be together, unpacked.
const SIZE_LIMIT: u64 = 2 << 30;

/// The archive.
#[derive(Debug, Clone)]
pub struct SoftwareHeritage {
    /// Its address, without a slash at the end.
    pub address: String,
    /// Leave to ask it.
    pub network: Network,
}

/// What the vault says of a request.
#[derive(Deserialize)]
struct Cooking {
    status: String,
    #[serde(default)]
    fetch_url: Option<String>,
    #[serde(default)]
    progress_message: Option<String>,
}

impl SoftwareHeritage {
    /// Gets a commit and its files into a repository. Whether the archive has it.
    ///
    /// # Errors
    /// Where the archive can't be asked, or what it gives is not that commit.
    pub fn commit(&self, id: CommitId, into: &gix::Repository) -> Result<bool, String> {
        let url = format!("{}/api/1/raw/swh:1:rev:{id}/", self.address);
        let Some(raw) = body(self.network.get(&url, None, INDEX_LIMIT))? else { return Ok(false) };
        // The archive hands objects out as git hashes them, header and all.
        let object = match raw.iter().position(|byte| *byte == 0) {
            Some(end) if raw.starts_with(b"commit ") => &raw[end + 1..],
            _ => &raw[..],
        };
        let tree = tree_of_commit(object).ok_or("the archive's commit names no tree")?;
        let files = self.cook(&tree.to_string())?;
        let found = Folder::read(&files)?.write(into)?;
        if found.as_slice() != tree.0 {
            return Err(format!("the archive's files are not those of the commit: they hash to {found}, not {tree}"));
        }
        let written = write(into, Kind::Commit, object)?;
        if written.as_slice() == id.0 { Ok(true) } else { Err(format!("the archive's commit is {written}")) }
    }

    /// Has the archive put the files of a tree together; a compressed tar.
    fn cook(&self, tree: &str) -> Result<Vec<u8>, String> {
        let url = format!("{}/api/1/vault/flat/swh:1:dir:{tree}/", self.address);
        let started = Instant::now();
        let mut answer = self.network.post(&url, None);
        loop {
            let text = body(answer)?.ok_or("the archive does not have the commit's files")?;
            let cooking: Cooking = serde_json::from_slice(&text)
                .map_err(|error| format!("the archive's answer can't be read: {error}"))?;
            match (cooking.status.as_str(), cooking.fetch_url) {
                ("done", Some(fetch)) => {
                    return body(self.network.get(&fetch, None, FILE_LIMIT))?
                        .ok_or_else(|| format!("{fetch} is not there"));
                }
                ("new" | "pending", _) if started.elapsed() < PATIENCE => {
                    std::thread::sleep(PAUSE);
                    answer = self.network.get(&url, None, INDEX_LIMIT);
                }
                (status, _) => {
                    let message = cooking.progress_message.unwrap_or_default();
                    return Err(format!("the archive could not put the files together: {status} {message}"));
                }
            }
        }
    }
}

fn body(answer: Result<Answer, super::network::Error>) -> Result<Option<Vec<u8>>, String> {
    match answer.map_err(|error| error.to_string())? {
        Answer::Body { bytes, .. } => Ok(Some(bytes)),
        Answer::Absent | Answer::NotModified => Ok(None),
    }
}

fn write(into: &gix::Repository, kind: Kind, body: &[u8]) -> Result<gix::ObjectId, String> {
    into.objects.write_buf(kind, body).map_err(|error| error.to_string())
}

/// A folder of the archive's tar.
#[derive(Default)]
struct Folder {
    folders: BTreeMap<String, Self>,
    files: BTreeMap<String, (EntryKind, Vec<u8>)>,
}

impl Folder {
    fn read(tar: &[u8]) -> Result<Self, String> {
        let unreadable = |error: std::io::Error| format!("the archive's files can't be unpacked: {error}");
        let mut root = Self::default();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(tar).take(SIZE_LIMIT));
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            let path = entry.path().map_err(unreadable)?.to_string_lossy().into_owned();
            // All lies in a folder with the tree's name.
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").skip(1).collect();
            let Some((name, above)) = parts.split_last() else { continue };
            let folder = above.iter().fold(&mut root, |at, part| at.folders.entry((*part).to_owned()).or_default());
            let kind = match entry.header().entry_type() {
                tar::EntryType::Directory => {
                    folder.folders.entry((*name).to_owned()).or_default();
                    continue;
                }
                tar::EntryType::Symlink => {
                    let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                    folder.files.insert((*name).to_owned(), (EntryKind::Link, target));
                    continue;
                }
                _ if entry.header().mode().map_err(unreadable)? & 0o100 != 0 => EntryKind::BlobExecutable,
                _ => EntryKind::Blob,
            };
            let mut body = Vec::new();
            entry.read_to_end(&mut body).map_err(unreadable)?;
            folder.files.insert((*name).to_owned(), (kind, body));
        }
        Ok(root)
    }

    /// Writes blobs and trees; gives the root's id. git knows no empty folders.
    fn write(&self, into: &gix::Repository) -> Result<gix::ObjectId, String> {
        let mut entries = Vec::new();
        for (name, folder) in self.folders.iter().filter(|(_, folder)| !folder.is_empty()) {
            entries.push(Entry {
                mode: EntryKind::Tree.into(),
                filename: name.as_str().into(),
                oid: folder.write(into)?,
            });
        }
        for (name, (kind, body)) in &self.files {
            let oid = write(into, Kind::Blob, body)?;
            entries.push(Entry { mode: (*kind).into(), filename: name.as_str().into(), oid });
        }
        entries.sort();
        into.write_object(&Tree { entries }).map(gix::Id::detach).map_err(|error| error.to_string())
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.values().all(Self::is_empty)
    }
}
