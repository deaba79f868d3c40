//! A second opinion on manifests, by a real cargo: whatever changes what `cargo metadata` or `cargo tree` says of a package
//! must not be called the same meaning.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use common::workshop::Cargo;
use recrate::model::release::{Minor, Span};
use recrate::stages::manifest::changes::Sides;
use recrate::stages::manifest::meaning::differences;

/// A manifest as cargo 1.85 normalises it.
const NORMALISED: &str = r#"[package]
edition = "2018"
name = "bait"
version = "1.0.0"
build = "build.rs"
links = "bait"
autolib = false
autobins = false
autoexamples = false
autotests = false
autobenches = false
readme = "README.md"
license = "MIT"
metadata = { docs = { all-features = true } }

[features]
default = ["one"]
one = ["near/x"]
two = ["dep:far"]

[lib]
name = "bait"
path = "src/lib.rs"

[[bin]]
name = "bait"
path = "src/main.rs"

[[bin]]
name = "tool"
path = "src/bin/tool.rs"
required-features = ["one"]

[[example]]
name = "show"
path = "examples/show.rs"

[[test]]
name = "all"
path = "tests/all.rs"
harness = false

[dependencies.far]
version = "1"
optional = true
default-features = false

[dependencies.near]
version = "1.0"
features = ["x"]

[dev-dependencies.near]
version = "1"

[build-dependencies.near]
version = "1"

[target."cfg(unix)".dependencies.far]
version = "1.0.0"

[lints.rust]
unsafe_code = "forbid"

[profile.release]
opt-level = 3
"#;

const FILES: [&str; 9] = [
    "README.md",
    "build.rs",
    "src/lib.rs",
    "src/main.rs",
    "src/bin/tool.rs",
    "src/bin/other.rs",
    "src/other.rs",
    "examples/show.rs",
    "tests/all.rs",
];

/// Everything that may stand in a line's place, or after it.
const LINES: [&str; 44] = [
    "",
    "edition = \"2015\"",
    "edition = \"2021\"",
    "edition = \"2024\"",
    "build = false",
    "build = \"src/other.rs\"",
    "links = \"other\"",
    "autolib = true",
    "autobins = true",
    "autoexamples = true",
    "autotests = true",
    "readme = false",
    "resolver = \"1\"",
    "resolver = \"2\"",
    "rust-version = \"1.60\"",
    "default-run = \"tool\"",
    "publish = false",
    "path = \"src/other.rs\"",
    "path = \"./src/lib.rs\"",
    "path = \"src/bin/other.rs\"",
    "name = \"other\"",
    "proc-macro = true",
    "proc_macro = true",
    "crate-type = [\"cdylib\"]",
    "crate_type = [\"cdylib\"]",
    "test = false",
    "doctest = false",
    "harness = true",
    "required-features = []",
    "edition = \"2018\"",
    "version = \"=1.0.0\"",
    "version = \"1\"",
    "package = \"far\"",
    "optional = true",
    "optional = false",
    "default-features = true",
    "default-features = false",
    "default_features = false",
    "features = []",
    "features = [\"x\"]",
    "default = []",
    "two = []",
    "[dev_dependencies.far]\nversion = \"1\"",
    "[build_dependencies.far]\nversion = \"1\"",
];

/// A registry with the crates that the manifest needs, and a package around the manifest.
struct Bench {
    folder: tempfile::TempDir,
    cargo: Cargo,
}

impl Bench {
    fn new(folder: tempfile::TempDir) -> Self {
        let write = |path: &str, text: &str| {
            let file = folder.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        for file in FILES {
            write(&format!("bait/{file}"), "fn main() {}\n");
        }
        for name in ["near", "far"] {
            let manifest =
                format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2018\"\n[features]\nx = []\n");
            write(&format!("vendor/{name}/Cargo.toml"), &manifest);
            write(&format!("vendor/{name}/src/lib.rs"), "");
            write(&format!("vendor/{name}/.cargo-checksum.json"), "{\"files\":{}}");
        }
        let config = "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\ndirectory = \"";
        write("home/config.toml", &format!("{config}{}/vendor\"\n", folder.path().display()));
        let cargo = Cargo::find(95).or_else(|| Cargo::find(97)).expect("cargo 1.95 or 1.97 is imported");
        Self { folder, cargo }
    }

    /// What cargo says of the package with this manifest; none where it refuses.
    fn says(&self, manifest: &str) -> Option<String> {
        let bait = self.folder.path().join("bait");
        std::fs::write(bait.join("Cargo.toml"), manifest).unwrap();
        let _ = std::fs::remove_file(bait.join("Cargo.lock"));
        let metadata = self.run(&bait, &["metadata", "--format-version", "1", "--offline"])?;
        let tree = self.run(&bait, &["tree", "--offline", "-e", "features", "--target", "all"]).unwrap_or_default();
        // The order of what is listed is no meaning.
        let mut metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
        sort(&mut metadata);
        Some(format!("{metadata}\n{tree}"))
    }

    fn run(&self, folder: &Path, arguments: &[&str]) -> Option<String> {
        let mut cargo: Command = self.cargo.command();
        cargo.args(arguments).current_dir(folder).env("CARGO_HOME", self.folder.path().join("home"));
        let done = cargo.output().unwrap();
        done.status.success().then(|| String::from_utf8(done.stdout).unwrap())
    }
}

fn sort(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => {
            items.iter_mut().for_each(sort);
            items.sort_by_key(ToString::to_string);
        }
        serde_json::Value::Object(object) => object.values_mut().for_each(sort),
        _ => {}
    }
}

/// Every manifest that one line away from the normalised one: a line left out, replaced, or added after it.
fn mutated() -> Vec<String> {
    let lines: Vec<&str> = NORMALISED.lines().collect();
    let mut all = Vec::new();
    for at in 0..lines.len() {
        for line in LINES {
            for skip in [0, 1] {
                let with: Vec<&str> =
                    lines[..at].iter().copied().chain([line]).chain(lines[at + skip..].iter().copied()).collect();
                all.push(with.join("\n") + "\n");
            }
        }
    }
    all.sort();
    all.dedup();
    // Twice the same key is no TOML: nothing that cargo or recrate could read.
    all.retain(|text| toml::from_str::<toml::Table>(text).is_ok());
    all
}

#[test]
fn what_changes_what_cargo_says_is_never_called_the_same_meaning() {
    let files: BTreeSet<&str> = FILES.into();
    // The youngest cargos on both sides: then no change between releases explains anything.
    let sides = Sides { published: Some(Span::from(95)), rebuilt: Some(Minor(95)) };
    let same: Vec<String> = mutated()
        .into_iter()
        .filter(|text| differences(text, NORMALISED, NORMALISED, &files, sides).is_empty())
        .collect();
    assert!(mutated().len() > 2000, "{}", mutated().len());
    // Of those that are called the same cargo is asked; of the others there is nothing to ask.
    assert!(same.len() > 20 && same.len() < mutated().len() / 3, "{}", same.len());
    let bench = Bench::new(tempfile::tempdir().unwrap());
    let honest = bench.says(NORMALISED).expect("cargo reads it");
    for text in &same {
        let said = bench.says(text);
        assert_eq!(said.as_deref(), Some(honest.as_str()), "called the same:\n{text}");
    }
    eprintln!("{} manifests, of which {} mean the same, to recrate and to cargo", mutated().len(), same.len());
}
