//! The targets that cargo would build of a package: those that its manifest lists, and those that cargo finds by itself.
//!
//! As cargo's `util/toml/targets.rs` does it. A cargo from 1.80 on writes the whole list into the published manifest and turns
//! finding off; older ones leave it to the reader.

use std::collections::BTreeSet;

use toml::{Table, Value};

/// A kind of target other than the library.
struct Kind {
    /// Its key in the manifest.
    key: &'static str,
    /// What turns finding on and off.
    auto: &'static str,
    /// Where cargo looks.
    folder: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind { key: "bin", auto: "autobins", folder: "src/bin" },
    Kind { key: "example", auto: "autoexamples", folder: "examples" },
    Kind { key: "test", auto: "autotests", folder: "tests" },
    Kind { key: "bench", auto: "autobenches", folder: "benches" },
];

/// What decides on a package's targets, besides what it lists.
struct Package {
    name: String,
    /// Up to edition 2015 cargo finds nothing of a kind of which something is listed.
    finds_beside_listed: bool,
}

/// Replaces the targets in a manifest by all that cargo would build: `lib` a table, the others tables by name. `files` are
/// the paths in the package.
pub(super) fn spell_out(manifest: &mut Table, files: &BTreeSet<&str>) {
    let Some(Value::Table(package)) = manifest.get_mut("package") else { return };
    let text = |key: &str| package.get(key).and_then(Value::as_str);
    let described = Package {
        name: text("name").unwrap_or_default().to_owned(),
        finds_beside_listed: text("edition").is_some_and(|edition| edition != "2015"),
    };
    let mut auto = |key: &str| package.remove(key).and_then(|value| value.as_bool());
    let (lib, others) = (auto("autolib"), KINDS.map(|kind| auto(kind.auto)));
    library(manifest, &described, lib != Some(false), files);
    for (kind, auto) in KINDS.iter().zip(others) {
        spell_out_kind(manifest, kind, auto, &described, files);
    }
}

fn library(manifest: &mut Table, package: &Package, find: bool, files: &BTreeSet<&str>) {
    const DEFAULT: &str = "src/lib.rs";
    if !manifest.contains_key("lib") && find && files.contains(DEFAULT) {
        manifest.insert("lib".to_owned(), Value::Table(Table::new()));
    }
    let Some(Value::Table(lib)) = manifest.get_mut("lib") else { return };
    lib.entry("name").or_insert_with(|| Value::from(package.name.replace('-', "_")));
    if files.contains(DEFAULT) {
        lib.entry("path").or_insert_with(|| Value::from(DEFAULT));
    }
    plain_path(lib);
}

fn spell_out_kind(manifest: &mut Table, kind: &Kind, auto: Option<bool>, package: &Package, files: &BTreeSet<&str>) {
    let found = find(kind, package, files);
    let listed = match manifest.remove(kind.key) {
        Some(Value::Array(listed)) => Some(listed),
        // Not as cargo's schema has it: left alone.
        Some(other) => {
            manifest.insert(kind.key.to_owned(), other);
            return;
        }
        None => None,
    };
    let find = auto.unwrap_or(listed.is_none() || package.finds_beside_listed);
    let mut targets: Vec<Table> = Vec::new();
    for target in listed.into_iter().flatten() {
        let Value::Table(mut target) = target else { continue };
        plain_path(&mut target);
        let name = target.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut places = found.iter().filter(|(other, _)| *other == name);
        // Where there are two, cargo refuses; a kind of its own.
        if let (Some((_, path)), None) = (places.next(), places.next()) {
            target.entry("path").or_insert_with(|| Value::from(path.as_str()));
        }
        targets.push(target);
    }
    let listed: Vec<(Option<String>, Option<String>)> = targets
        .iter()
        .map(|target| ["name", "path"].map(|key| target.get(key).and_then(Value::as_str).map(str::to_owned)).into())
        .collect();
    for (name, path) in found {
        let seen = listed.iter().any(|(other, at)| other.as_ref() == Some(&name) || at.as_ref() == Some(&path));
        if find && !seen {
            targets.push(Table::from_iter([
                ("name".to_owned(), Value::from(name)),
                ("path".to_owned(), Value::from(path)),
            ]));
        }
    }
    let name = |target: &Table| target.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let names: BTreeSet<String> = targets.iter().map(name).collect();
    if names.len() < targets.len() {
        // cargo refuses a name twice: left as a list, which equals no table.
        manifest.insert(kind.key.to_owned(), Value::Array(targets.into_iter().map(Value::Table).collect()));
        return;
    }
    let mut named = Table::new();
    for mut target in targets {
        let name = name(&target);
        target.remove("name");
        named.insert(name, Value::Table(target));
    }
    if !named.is_empty() {
        manifest.insert(kind.key.to_owned(), Value::Table(named));
    }
}

/// What cargo finds of a kind: names and paths.
fn find(kind: &Kind, package: &Package, files: &BTreeSet<&str>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if kind.key == "bin" && files.contains("src/main.rs") {
        found.push((package.name.clone(), "src/main.rs".to_owned()));
    }
    for path in files {
        let Some(inside) = path.strip_prefix(kind.folder).and_then(|rest| rest.strip_prefix('/')) else { continue };
        let name = match inside.split_once('/') {
            None => inside.strip_suffix(".rs"),
            Some((folder, "main.rs")) => Some(folder),
            Some(_) => None,
        };
        if let Some(name) = name.filter(|name| !name.starts_with('.')) {
            found.push((name.to_owned(), (*path).to_owned()));
        }
    }
    found
}

/// `./src/x.rs` is `src/x.rs`.
fn plain_path(target: &mut Table) {
    if let Some(Value::String(path)) = target.get_mut("path") {
        while let Some(rest) = path.strip_prefix("./") {
            *path = rest.to_owned();
        }
    }
}
