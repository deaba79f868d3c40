//! What would take cargo's configuration or a package's workspace from outside of the repository: from what else is in the sandbox.
//!
//! Nothing else there is the commit's. What lies beside the worktree has names that no commit can know; this is about paths that need
//! to know none, like those of the store.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use toml::{Table, Value};

use super::links;

/// A file of the repository that leads out of it.
#[must_use]
pub fn leads_out(root: &Path, package: &str) -> Option<String> {
    let manifest = Path::new(package).join("Cargo.toml");
    let of_manifest = read(root, &manifest).and_then(|table| {
        let named = ["package", "project"].iter().find_map(|key| table.get(*key)?.get("workspace")?.as_str());
        named.map(|named| Path::new(package).join(named))
    });
    if of_manifest.is_some_and(|path| is_outside(root, &path)) {
        return Some(manifest.display().to_string());
    }
    let mut ahead: Vec<PathBuf> = configurations(package).collect();
    let mut seen = BTreeSet::new();
    while let Some(file) = ahead.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        if is_outside(root, &file) {
            return Some(file.display().to_string());
        }
        let Some(table) = read(root, &file) else { continue };
        let folder = file.parent().unwrap_or(Path::new(""));
        let included = paths(table.get("include"));
        ahead.extend(included.into_iter().map(|path| folder.join(path)));
        // These are relative to the folder that has the `.cargo`.
        let above = folder.parent().unwrap_or(Path::new(""));
        let patches = table.get("patch").and_then(Value::as_table).into_iter().flatten();
        let patched = patches.filter_map(|(_, source)| source.as_table()).flatten();
        let patched = patched.filter_map(|(_, patch)| Some(patch.get("path")?.as_str()?.to_owned()));
        let mut named = paths(table.get("paths")).into_iter().chain(patched);
        if named.any(|path| is_outside(root, &above.join(&path)) || is_outside(root, &folder.join(&path))) {
            return Some(file.display().to_string());
        }
    }
    None
}

/// The files of cargo's configuration that are in force for a package.
pub fn configurations(package: &str) -> impl Iterator<Item = PathBuf> {
    let folders = Path::new(package).ancestors();
    folders.flat_map(|folder| ["config", "config.toml"].map(|name| folder.join(".cargo").join(name)))
}

/// A file as TOML; none where it is not there. One that is none cargo refuses.
fn read(root: &Path, file: &Path) -> Option<Table> {
    fs_err::read_to_string(root.join(file)).ok()?.parse().ok()
}

/// The paths in a text, a list of texts, or of tables with `path`.
fn paths(value: Option<&Value>) -> Vec<String> {
    let text = |one: &Value| Some(one.as_str().or_else(|| one.get("path")?.as_str())?.to_owned());
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(text).collect(),
        Some(one) => text(one).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Whether a path leads out of the repository, by its letters or by links.
fn is_outside(root: &Path, path: &Path) -> bool {
    let mut depth = 0_usize;
    for part in path.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
            Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    links::follow(root, path).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(files: &[(&str, &str)]) -> Option<String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        for (path, text) in files {
            let place = root.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, text).unwrap();
        }
        leads_out(root.path(), "a/b")
    }

    #[test]
    fn a_workspace_is_in_the_repository() {
        let manifest = |workspace: &str| format!("[package]\nworkspace = \"{workspace}\"\n");
        for inside in ["..", "../..", "../../c"] {
            assert_eq!(leads(&[("a/b/Cargo.toml", &manifest(inside))]), None, "{inside}");
        }
        for outside in ["../../../git-0/tree", "/nix/store/x-source", "../../../worktree/c"] {
            assert_eq!(
                leads(&[("a/b/Cargo.toml", &manifest(outside))]).as_deref(),
                Some("a/b/Cargo.toml"),
                "{outside}"
            );
        }
    }

    #[test]
    fn configuration_is_in_the_repository_and_names_what_is() {
        for text in [
            "include = \"../../../x.toml\"",
            "include = [\"/nix/store/x\"]",
            "include = [{ path = \"../../git/cfg.toml\", optional = true }]",
            "paths = [\"../../x\"]",
            "[patch.crates-io]\nlater = { path = \"../git/0/tree/pat\" }\n",
        ] {
            assert!(leads(&[(".cargo/config.toml", text)]).is_some(), "{text}");
        }
        let inside = [
            (".cargo/config.toml", "include = \"more.toml\"\npaths = [\"vendored\"]\n"),
            (".cargo/more.toml", "[patch.crates-io]\nx = { path = \"own/x\" }\n"),
        ];
        assert_eq!(leads(&inside), None);
        let through = [inside[0], (".cargo/more.toml", "include = \"/etc/x\"\n")];
        assert_eq!(leads(&through).as_deref(), Some("/etc/x"));
    }
}
