//! Helpers of the integration tests, independent of the product: they must not share its mistakes.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;
use sha1_checked::{Digest as _, Sha1};

/// A real release with its real commit.
#[derive(Debug, Clone, Deserialize)]
pub struct Release {
    pub name: String,
    pub version: String,
    pub commit: String,
    pub repository: String,
    pub lockfile_tracked: bool,
    pub commit_object_base64: String,
}

impl Release {
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// The releases that lie beside the checkout; none where they do not.
pub fn real_releases() -> Option<Vec<Release>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/real-commits.json");
    Some(serde_json::from_slice(&std::fs::read(file).ok()?).expect("the releases are JSON"))
}

/// The folder that tests share between runs: what is fetched is fetched once.
pub fn shared_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tests");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A crate from the registry, as it was published.
pub fn published(release: &Release) -> Vec<u8> {
    let folder = shared_folder().join("crates");
    let file = folder.join(format!("{}-{}.crate", release.name, release.version));
    if let Ok(bytes) = std::fs::read(&file) {
        return bytes;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    // The index library knows where the registry keeps its crates.
    let get = |url: &str| {
        let client = reqwest::blocking::Client::builder().user_agent("recrate-tests").build().unwrap();
        client.get(url).send().and_then(|r| r.error_for_status()).and_then(|r| r.bytes()).unwrap().to_vec()
    };
    let index = tame_index::CRATES_IO_HTTP_INDEX.trim_start_matches("sparse+");
    let config: tame_index::index::IndexConfig = serde_json::from_slice(&get(&format!("{index}config.json"))).unwrap();
    let name = tame_index::KrateName::cargo(&release.name).unwrap();
    let bytes = get(&config.download_url(name, &release.version));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&file, &bytes).unwrap();
    bytes
}

/// A bare repository that is written by hand.
pub struct Bare {
    pub path: PathBuf,
}

impl Bare {
    pub fn at(path: PathBuf) -> Self {
        for folder in ["refs/heads", "objects/pack"] {
            std::fs::create_dir_all(path.join(folder)).unwrap();
        }
        std::fs::write(path.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        std::fs::write(path.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n").unwrap();
        Self { path }
    }

    pub fn object(&self, kind: &str, body: &[u8]) -> String {
        let raw = [format!("{kind} {}\0", body.len()).as_bytes(), body].concat();
        let id: String = Sha1::digest(&raw).iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = self.path.join("objects").join(&id[..2]);
        std::fs::create_dir_all(&folder).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&raw).unwrap();
        std::fs::write(folder.join(&id[2..]), zlib.finish().unwrap()).unwrap();
        id
    }

    /// Writes files (path, content, mode) as trees; gives the root's id.
    pub fn tree(&self, files: &BTreeMap<String, (Vec<u8>, &'static str)>) -> String {
        let mut entries: Vec<(String, String, String, String)> = Vec::new();
        let mut folders: BTreeMap<String, BTreeMap<String, (Vec<u8>, &'static str)>> = BTreeMap::new();
        for (path, (body, mode)) in files {
            match path.split_once('/') {
                Some((folder, rest)) => {
                    folders.entry(folder.to_owned()).or_default().insert(rest.to_owned(), (body.clone(), mode));
                }
                None => {
                    let id = self.object("blob", body);
                    entries.push((path.clone(), (*mode).to_owned(), path.clone(), id));
                }
            }
        }
        for (folder, files) in folders {
            entries.push((format!("{folder}/"), "40000".to_owned(), folder, self.tree(&files)));
        }
        entries.sort();
        let mut body = Vec::new();
        for (_, mode, name, id) in entries {
            body.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            body.extend((0..20).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()));
        }
        self.object("tree", &body)
    }
}

/// Puts the genuine commits of releases back together, below a folder, as `owner/name.git`.
pub fn mirror(releases: &[Release], root: &Path) {
    for release in releases {
        let repository = Bare::at(root.join(format!("{}.git", release.repository)));
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(&published(release)[..]).read_to_end(&mut tar).unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().split_once('/').unwrap().1.to_owned();
            let generated = [".cargo_vcs_info.json", "Cargo.toml"].contains(&path.as_str());
            if generated || (path == "Cargo.lock" && !release.lockfile_tracked) {
                continue;
            }
            let mode = if entry.header().mode().unwrap() & 0o100 == 0 { "100644" } else { "100755" };
            let mut body = Vec::new();
            entry.read_to_end(&mut body).unwrap();
            let path = if path == "Cargo.toml.orig" { "Cargo.toml".to_owned() } else { path };
            files.insert(path, (body, mode));
        }
        let tree = repository.tree(&files);
        let commit = base64::engine::general_purpose::STANDARD.decode(&release.commit_object_base64).unwrap();
        assert!(commit.starts_with(format!("tree {tree}\n").as_bytes()), "{}: not the genuine tree", release.id());
        assert_eq!(repository.object("commit", &commit), release.commit, "{}: not the genuine commit", release.id());
    }
}

/// The program under test.
pub fn recrate() -> assert_cmd::Command {
    assert_cmd::Command::new(env!("CARGO_BIN_EXE_recrate"))
}
