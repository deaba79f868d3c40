//! The house: four floors, and a map that shows every room.

use std::path::{Path, PathBuf};

/// The floors from the top down; the builder is apart.
const FLOORS: [&[&str]; 4] = [&["commands", "fetcher", "judge", "lab"], &["edges"], &["stages"], &["model"]];

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

/// The module at the top of the library that a file belongs to.
fn top(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

#[test]
fn a_module_uses_only_floors_below_its_own() {
    let mut seen = 0;
    for path in sources() {
        let module = top(&path);
        let text = std::fs::read_to_string(&path).unwrap();
        for used in text.split("crate::").skip(1).map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap())
        {
            seen += 1;
            match (module.as_str(), floor(&module), floor(used)) {
                ("builder", ..) => assert_eq!(used, "builder", "{}: the builder needs nothing else", path.display()),
                // Commands drive the lab; the lab knows no command.
                ("commands", _, _) => {}
                ("lab" | "fetcher", _, _) => assert_ne!(used, "commands", "{}", path.display()),
                ("judge", ..) => assert!(["builder", "model", "stages"].contains(&used), "{}", path.display()),
                // What the builder leaves is read by everybody: it is the interface to the sandbox.
                (_, Some(_), None) => assert_eq!(used, "builder", "{}", path.display()),
                (_, Some(own), Some(theirs)) => {
                    assert!(own <= theirs, "{} uses {used}, which is above it", path.display());
                }
                (_, None, _) => {}
            }
        }
    }
    assert!(seen > 100, "the search finds what is used");
}

#[test]
fn stages_and_words_touch_nothing_outside() {
    for path in sources() {
        if ["stages", "model"].contains(&top(&path).as_str()) {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for outside in
                ["std::fs", "std::net", "std::process", "std::env::", "SystemTime", "Instant::now", "reqwest", "gix::"]
            {
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
fn files_can_be_read_in_one_go() {
    for path in sources() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}
