//! The house: its floors, no circles, and a map that shows every room.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The floors, from the top down. A module uses only floors below its own.
const FLOORS: [&[&str]; 6] =
    [&["commands"], &["pipeline", "fetcher", "judge"], &["edges"], &["stages"], &["contract"], &["model"]];

/// What the builder uses: it goes into every derivation, so everything below it changes every store path.
const BELOW_BUILDER: [&str; 2] = ["contract", "model"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut queue = vec![root().join("src")];
    while let Some(folder) = queue.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { queue.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// The module of a file, as a path inside the library; none of programs.
fn module(path: &Path) -> Option<Vec<String>> {
    let inside = path.strip_prefix(root().join("src")).unwrap().with_extension("");
    let parts: Vec<String> = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    (!["bin", "main", "lib"].contains(&parts[0].as_str())).then_some(parts)
}

/// The code of a file without its tests and comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The paths that a `use` tree names: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn expand(tree: &str, before: &str, found: &mut Vec<String>) {
    let mut names = String::new();
    let mut prefixes = vec![before.to_owned()];
    for c in tree.chars() {
        match c {
            '{' => prefixes.push(format!("{}{}", prefixes.last().unwrap(), std::mem::take(&mut names).trim())),
            '}' | ',' => {
                let name = std::mem::take(&mut names);
                let name = name.split(" as ").next().unwrap().trim();
                if !name.is_empty() {
                    found.push(format!("{}{name}", prefixes.last().unwrap()));
                }
                if c == '}' {
                    prefixes.pop();
                }
            }
            c => names.push(c),
        }
    }
    if !names.trim().is_empty() {
        found.push(format!("{before}{}", names.split(" as ").next().unwrap().trim()));
    }
}

/// The paths inside the library that a module names, from the library's root.
fn named(own: &[String], code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for statement in code.split("\nuse ").skip(1) {
        if let Some((tree, _)) = statement.split_once(';') {
            expand(tree, "", &mut paths);
        }
    }
    let inline = code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        format!("crate::{}", &rest[..end])
    });
    paths.extend(inline);
    let parts = paths.iter().map(|path| path.split("::").map(str::to_owned).collect::<Vec<_>>());
    parts
        .filter_map(|parts| match parts[0].as_str() {
            "crate" => Some(parts[1..].to_vec()),
            "super" => {
                let up = parts.iter().take_while(|part| *part == "super").count();
                let above = own.len().checked_sub(up)?;
                Some([&own[..above], &parts[up..]].concat())
            }
            "std" | "self" => None,
            // A module's own parts need no prefix.
            _ => Some([own, &parts].concat()),
        })
        .collect()
}

/// The modules that every module uses, by their paths.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let modules: Vec<(Vec<String>, PathBuf)> =
        sources().into_iter().filter_map(|path| Some((module(&path)?, path))).collect();
    let known: BTreeSet<String> = modules.iter().map(|(parts, _)| parts.join("/")).collect();
    let of = |(own, path): &(Vec<String>, PathBuf)| {
        let used = named(own, &code(path)).into_iter().filter_map(|parts| {
            (1..=parts.len()).rev().map(|length| parts[..length].join("/")).find(|module| known.contains(module))
        });
        let own = own.join("/");
        let used = used.filter(|module| *module != own).collect();
        (own, used)
    };
    modules.iter().map(of).collect()
}

fn floor(module: &str) -> Option<usize> {
    let top = module.split('/').next().unwrap();
    FLOORS.iter().position(|floor| floor.contains(&top))
}

#[test]
fn a_module_uses_only_floors_below_its_own() {
    let uses = uses();
    assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 200, "the search finds what is used");
    for (module, used) in &uses {
        for used in used {
            let top = used.split('/').next().unwrap();
            match (floor(module), floor(used)) {
                (None, _) => assert!(
                    top == "builder" || BELOW_BUILDER.contains(&top),
                    "{module} uses {used}: the builder has nothing of the rest"
                ),
                (_, None) => panic!("{module} uses {used}: what the builder leaves is in the contract"),
                (Some(own), Some(theirs)) => {
                    assert!(own <= theirs, "{module} uses {used}, which is above it");
                }
            }
        }
        if module == "judge" {
            let edges = used.iter().find(|used| used.starts_with("edges") || used.starts_with("pipeline"));
            assert_eq!(edges, None, "the judge is the same whatever the driver is");
        }
    }
}

#[test]
fn files_do_not_use_each_other_in_circles() {
    fn walk<'a>(
        module: &'a str,
        uses: &'a BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) {
        if let Some(at) = way.iter().position(|before| *before == module) {
            panic!("{} → {module}", way[at..].join(" → "));
        }
        // Seen on another way: no circle begins there.
        if done.insert(module) {
            way.push(module);
            uses[module].iter().for_each(|used| walk(used, uses, way, done));
            way.pop();
        }
    }
    let uses = uses();
    let mut done = BTreeSet::new();
    for module in uses.keys() {
        walk(module, &uses, &mut Vec::new(), &mut done);
    }
}

#[test]
fn stages_contract_and_model_touch_nothing_outside() {
    for path in sources() {
        let Some(parts) = module(&path) else { continue };
        if ["stages", "contract", "model"].contains(&parts[0].as_str()) {
            let code = code(&path);
            for outside in [
                "std::fs",
                "fs_err",
                "std::net",
                "std::process::Command",
                "std::env::",
                "SystemTime",
                "Instant::now",
                "reqwest",
                "gix::",
            ] {
                assert!(!code.contains(outside), "{} uses {outside}", path.display());
            }
        }
    }
}

#[test]
fn the_map_shows_every_file() {
    let map = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    for path in sources() {
        let inside = path.strip_prefix(root()).unwrap().to_str().unwrap();
        assert!(map.contains(&format!("`{inside}`")), "docs/ARCHITECTURE.md does not mention {inside}");
    }
    // And nothing that is not there.
    for named in map.split('`').filter(|part| part.starts_with("src/") || part.starts_with("nix/")) {
        assert!(root().join(named).exists(), "docs/ARCHITECTURE.md mentions {named}, which is not there");
    }
}

#[test]
fn nix_builds_programs_from_all_that_the_manifest_names() {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let packages = std::fs::read_to_string(root().join("nix/packages.nix")).unwrap();
    for (kind, folder) in [("test", "tests"), ("bench", "benches"), ("example", "examples")] {
        for target in manifest.get(kind).and_then(toml::Value::as_array).into_iter().flatten() {
            let name = target["name"].as_str().unwrap();
            let path =
                target.get("path").map_or(format!("{folder}/{name}.rs"), |path| path.as_str().unwrap().to_owned());
            let named = packages.contains(&format!("\"{path}\"")) || packages.contains(&format!("\"{folder}\""));
            assert!(named, "nix/packages.nix leaves out {path}, without which cargo reads no manifest");
        }
    }
}

#[test]
fn files_can_be_read_in_one_go() {
    for path in sources() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}
