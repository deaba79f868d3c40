//! Helpers of the integration tests, independent of the product: they must not share its mistakes.
#![allow(dead_code, reason = "each test uses its own part of it")]

pub mod author;
pub mod daemon;
pub mod issuer;
pub mod measure;
pub mod place;
pub mod raw;
pub mod server;
pub mod site;
pub mod ssh;
pub mod store;
#[path = "../../examples/registry/workshop.rs"]
pub mod workshop;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;
use workshop::{Bare, Files, Item, unpack};

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

/// The checkout's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One of recrate's programs for the sandbox, beside the driver.
pub fn static_program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_recrate")).with_file_name(name)
}

/// The releases that lie beside the checkout; none where they do not.
pub fn real_releases() -> Option<Vec<Release>> {
    let file = root().join("../shared/data/real-commits.json");
    Some(serde_json::from_slice(&std::fs::read(file).ok()?).expect("the releases are JSON"))
}

/// The folder that tests share between runs: what is fetched is fetched once.
pub fn shared_folder() -> PathBuf {
    let folder = root().join("target/tests");
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
    let index = tame_index::CRATES_IO_HTTP_INDEX.trim_start_matches("sparse+");
    let config: tame_index::index::IndexConfig = serde_json::from_slice(&get(&format!("{index}config.json"))).unwrap();
    let name = tame_index::KrateName::cargo(&release.name).unwrap();
    let bytes = get(&config.download_url(name, &release.version));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&file, &bytes).unwrap();
    bytes
}

/// The registry's index file of a crate, kept between runs.
pub fn index_file(name: tame_index::KrateName<'_>) -> Vec<u8> {
    let file = shared_folder().join("index").join(name.relative_path(None));
    if let Ok(bytes) = std::fs::read(&file) {
        return bytes;
    }
    let index = tame_index::CRATES_IO_HTTP_INDEX.trim_start_matches("sparse+");
    let bytes = get(&format!("{index}{}", name.relative_path(Some('/'))));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, &bytes).unwrap();
    bytes
}

/// Fetches from the registry. The index library knows where it is.
fn get(url: &str) -> Vec<u8> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::blocking::Client::builder().user_agent("recrate-tests").build().unwrap();
    client.get(url).send().and_then(|r| r.error_for_status()).and_then(|r| r.bytes()).unwrap().to_vec()
}

/// Puts the genuine commits of releases back together, below a folder, as `owner/name.git`.
pub fn mirror(releases: &[Release], root: &Path) {
    for release in releases {
        let repository = Bare::at(root.join(format!("{}.git", release.repository)));
        let mut files = Files::new();
        for entry in unpack(&published(release)) {
            let path = entry.path.split_once('/').unwrap().1.to_owned();
            let generated = [".cargo_vcs_info.json", "Cargo.toml"].contains(&path.as_str());
            if generated || (path == "Cargo.lock" && !release.lockfile_tracked) {
                continue;
            }
            let path = if path == "Cargo.toml.orig" { "Cargo.toml".to_owned() } else { path };
            let program = entry.mode & 0o100 != 0;
            files.insert(path, if program { Item::Program(entry.body) } else { Item::File(entry.body) });
        }
        let tree = repository.tree(&files);
        let commit = base64::engine::general_purpose::STANDARD.decode(&release.commit_object_base64).unwrap();
        assert!(commit.starts_with(format!("tree {tree}\n").as_bytes()), "{}: not the genuine tree", release.id());
        assert_eq!(repository.object("commit", &commit), release.commit, "{}: not the genuine commit", release.id());
        let tag = repository.path.join(format!("refs/tags/{}-{}", release.name, release.version));
        std::fs::create_dir_all(tag.parent().unwrap()).unwrap();
        std::fs::write(tag, format!("{}\n", release.commit)).unwrap();
    }
}

/// The program under test.
pub fn recrate() -> assert_cmd::Command {
    let mut recrate = assert_cmd::Command::new(env!("CARGO_BIN_EXE_recrate"));
    // What tests find is no part of the machine's history.
    recrate.env("RECRATE_RESULTS", Path::new(env!("CARGO_TARGET_TMPDIR")).join("results.sqlite"));
    recrate
}

/// What `recrate verify` says of one crate, as JSON, given the folder of a registry's example and what to add.
pub fn verify_json(folder: &Path, arguments: &[&str]) -> serde_json::Value {
    verify_json_with(recrate(), folder, arguments)
}

/// The same with a program that was set up by the caller.
pub fn verify_json_with(mut recrate: assert_cmd::Command, folder: &Path, arguments: &[&str]) -> serde_json::Value {
    let out = tempfile::tempdir().unwrap();
    recrate.current_dir(folder).args(["verify", "--format", "json", "--toolchains", "imported", "--quiet"]);
    if !arguments.contains(&"--out") {
        recrate.arg("--out").arg(out.path().join("run"));
    }
    let done = recrate.args(arguments).output().unwrap();
    serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&done.stderr)))
}

/// Asserts that a document is what its schema in `docs/` says.
pub fn assert_fits(schema: &str, document: &serde_json::Value) {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    for name in ["plan.schema.json", "report.schema.json", "check.schema.json"] {
        let text = std::fs::read(root().join("docs").join(name)).unwrap();
        compiler.add_resource(name, serde_json::from_slice(&text).unwrap()).unwrap();
    }
    let index = compiler.compile(schema, &mut schemas).unwrap();
    if let Err(error) = schemas.validate(document, index) {
        panic!("not what docs/{schema} says: {error:#}");
    }
}

/// Has `recrate plan` write a plan of crates or a lock file; gives it.
pub fn plan_json(folder: &Path, arguments: &[&str], file: &Path) -> serde_json::Value {
    let out = tempfile::tempdir().unwrap();
    let mut program = recrate();
    program.current_dir(folder).args(["plan", "--toolchains", "imported", "--quiet", "--output"]).arg(file);
    program.arg("--out").arg(out.path().join("run")).args(arguments);
    let done = program.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(matches!(done.status.code(), Some(0 | 3)), "{said}");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// What `recrate verify --from-plan` says of a plan's first package.
pub fn replay_json(folder: &Path, plan: &Path, arguments: &[&str]) -> serde_json::Value {
    let plan = ["--from-plan", plan.to_str().unwrap()];
    verify_json(folder, &[&plan[..], arguments].concat())["packages"][0].clone()
}

/// The kinds of conditions under which a package was rebuilt.
pub fn conditions(package: &serde_json::Value) -> Vec<&str> {
    let conditions = package["findings"]["conditions"].as_array().unwrap();
    conditions.iter().map(|condition| condition["kind"].as_str().unwrap()).collect()
}

/// Why a package was not rebuilt; empty where it was.
pub fn reason(package: &serde_json::Value) -> &str {
    package["findings"]["rebuild"]["reason"].as_str().unwrap_or_default()
}

/// What differs in a package, the heaviest first.
pub fn differences(package: &serde_json::Value) -> &[serde_json::Value] {
    package["findings"]["contents"]["differences"].as_array().map_or(&[], Vec::as_slice)
}

/// What contradicts a package's origin.
pub fn contradictions(package: &serde_json::Value) -> &serde_json::Value {
    &package["findings"]["origin"]["contradictions"]
}
