//! A Nix store of a test's own, and plain Nix in it: without recrate.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::server::Server;
use super::workshop::Cargo;
use super::{root, static_program};

/// A Nix store in a folder of its own.
pub struct Store {
    pub folder: PathBuf,
    /// What repositories' addresses begin with that the server has.
    pub prefix: String,
}

impl Store {
    /// Runs a program of Nix's on this store; gives what it printed, or what it complained of.
    pub fn run(&self, server: &Server, program: &str, arguments: &[&str]) -> Result<String, String> {
        let mut nix = Command::new(program);
        nix.args(arguments).env("NIX_REMOTE", format!("local?root={}", self.folder.display()));
        nix.env("RECRATE_GIT_MIRRORS", format!("{}={}/repositories/", self.prefix, server.address()));
        nix.env("RECRATE_REGISTRY", format!("{}/registry/index/", server.address()));
        let output = nix.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Where a store path really is.
    pub fn real(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }
}

/// A store with what no server of the tests could bring: recrate's programs and imported cargos.
pub fn store_with_programs(folder: &Path, prefix: &str, server: &Server, plan: &Value) -> Store {
    let store = Store { folder: folder.join("store"), prefix: prefix.to_owned() };
    for program in ["recrate-builder", "recrate-fetcher", "recrate-judge"] {
        let file = static_program(program);
        store.run(server, "nix-store", &["--add-fixed", "--recursive", "sha256", file.to_str().unwrap()]).unwrap();
    }
    for name in plan["toolchains"].as_object().unwrap().keys() {
        let minor = name.split('.').nth(1).unwrap().parse().unwrap();
        let cargo = Cargo::find(minor).unwrap().folder;
        store.run(server, "nix-store", &["--add-fixed", "--recursive", "sha256", cargo.to_str().unwrap()]).unwrap();
    }
    store
}

/// Builds jobs of a plan with `nix-build`, published crates from the server; gives the outputs.
pub fn build(store: &Store, server: &Server, plan: &Path, jobs: &str) -> Result<Vec<String>, String> {
    build_with(store, server, plan, jobs, &[])
}

/// The same with further arguments of `nix-build`.
pub fn build_with(
    store: &Store,
    server: &Server,
    plan: &Path,
    jobs: &str,
    more: &[&str],
) -> Result<Vec<String>, String> {
    let nix = root().join("nix/plan.nix");
    let crates = format!("{}/registry", server.address());
    let arguments = [
        nix.to_str().unwrap(),
        "-A",
        jobs,
        "--no-out-link",
        "--keep-going",
        "--option",
        "substitute",
        "false",
        "--argstr",
        "planFile",
        plan.to_str().unwrap(),
        "--argstr",
        "crates",
        &crates,
    ];
    Ok(store.run(server, "nix-build", &[&arguments, more].concat())?.lines().map(str::to_owned).collect())
}

/// Asserts that the report which plain Nix makes of a plan is the one that `recrate verify` made, but for what only the
/// driver knows: the builds that it tried on the way, lines of the lock file, and that it asked for branches and tags itself. Gives the report's
/// store path.
pub fn assert_same_report(
    store: &Store,
    server: &Server,
    plan: &Path,
    verified: &Value,
    lock: Option<&Path>,
) -> PathBuf {
    let mut arguments = vec!["--argstr", "accept", verified["policy"].as_str().unwrap()];
    arguments.extend(lock.iter().flat_map(|lock| ["--argstr", "lockFile", lock.to_str().unwrap()]));
    let out = store.real(&build_with(store, server, plan, "report", &arguments).unwrap()[0]);
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    super::assert_fits("report.schema.json", &report);
    let shared = |report: &Value| {
        let mut report = report.clone();
        for package in report["packages"].as_array_mut().unwrap() {
            for key in ["attempts", "best", "line"] {
                package.as_object_mut().unwrap().remove(key);
            }
            package["findings"]["reach"].as_object_mut().unwrap().remove("claimedByPlan");
        }
        report.as_object_mut().unwrap().remove("notices");
        report
    };
    let (by_nix, by_recrate) = (shared(&report), shared(verified));
    let text = |report: &Value| serde_json::to_string_pretty(report).unwrap();
    let diff = similar::TextDiff::from_lines(text(&by_recrate), text(&by_nix)).unified_diff().to_string();
    assert!(by_nix == by_recrate, "plain Nix reports something else:\n{diff}");
    out
}

/// Packs an imported cargo as official archives are packed, and puts it and its libraries into the store.
pub fn as_official_archive(folder: &Path, release: &str) -> Value {
    let cargo = Cargo::find(85).unwrap().folder;
    let archive = folder.join(format!("cargo-{release}.tar.xz"));
    let mut tar = tar::Builder::new(liblzma::write::XzEncoder::new(std::fs::File::create(&archive).unwrap(), 0));
    for (path, body) in
        [("components", b"cargo\n".to_vec()), ("cargo/bin/cargo", std::fs::read(cargo.join("bin/cargo")).unwrap())]
    {
        let mut header = tar::Header::new_ustar();
        header.set_size(body.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, format!("cargo-{release}-x86_64-unknown-linux-gnu/{path}"), &body[..]).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap().flush().unwrap();
    let runtime = folder.join("cargo-runtime");
    std::fs::create_dir_all(runtime.join("lib")).unwrap();
    for library in std::fs::read_dir(cargo.join("lib")).unwrap().map(|entry| entry.unwrap()) {
        std::fs::copy(library.path(), runtime.join("lib").join(library.file_name())).unwrap();
    }
    let (archive, runtime) = (archive.to_str().unwrap(), runtime.to_str().unwrap());
    nix("nix-store", &["--add-fixed", "sha256", archive]);
    nix("nix-store", &["--add-fixed", "--recursive", "sha256", runtime]);
    let hash = |arguments: &[&str]| {
        let hex = nix("nix-hash", &[&["--type", "sha256"], arguments].concat());
        let bytes = (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap());
        format!("sha256-{}", BASE64.encode(bytes.collect::<Vec<u8>>()))
    };
    json!({
        "kind": "archive", "url": "https://dist.example/cargo.tar.xz", "sha256": hash(&["--flat", archive]),
        "runtime": hash(&[runtime])
    })
}

/// Runs a program of Nix's on this machine's own store.
fn nix(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
