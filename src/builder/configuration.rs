//! What the repository's own cargo configuration, and a package's choice of its workspace, say that a rebuild can't answer for.
//!
//! Nothing outside of the repository is the commit's. What lies beside the worktree has a name that no commit can hold; this is about
//! paths that need to know none, like those of the store. And cargos before 1.63 take the repository's word on where crates come from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::links;
use crate::contract::lean::lexical;

/// What of cargo's configuration has a say in where crates come from.
const SOURCE_KEYS: [&str; 4] = ["include", "registries", "registry", "source"];

/// A file that leads out of the repository: the package's manifest by its workspace, or a file of configuration. One that can't be
/// read may.
#[must_use]
pub fn leads_out(root: &Path, package: &str) -> Option<String> {
    let manifest = Path::new(package).join("Cargo.toml");
    let named = read(root, &manifest).flatten().and_then(|table| {
        let named = ["package", "project"].iter().find_map(|key| table.get(*key)?.get("workspace")?.as_str());
        named.map(|named| Path::new(package).join(named))
    });
    if named.is_some_and(|path| is_outside(root, &path)) {
        return Some(manifest.display().to_string());
    }
    let mut ahead: Vec<PathBuf> = in_force(package).collect();
    let mut seen = BTreeSet::new();
    while let Some(file) = ahead.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        let leads_out = is_outside(root, &file)
            || read(root, &file).is_some_and(|table| {
                let Some(table) = table else { return true };
                let folder = file.parent().unwrap_or(Path::new(""));
                ahead.extend(paths(table.get("include")).into_iter().map(|path| folder.join(path)));
                // These are relative to the folder that has the `.cargo`.
                let above = folder.parent().unwrap_or(Path::new(""));
                let mut named = paths(table.get("paths")).into_iter().chain(patched(&table));
                named.any(|path| is_outside(root, &above.join(&path)) || is_outside(root, &folder.join(&path)))
            });
        if leads_out {
            return Some(file.display().to_string());
        }
    }
    None
}

/// A file of configuration that says where crates come from, or may: one that can't be read, or includes others.
#[must_use]
pub fn own_sources(root: &Path, package: &str) -> Option<String> {
    let says = |table: Option<Table>| table.is_none_or(|table| SOURCE_KEYS.iter().any(|key| table.contains_key(*key)));
    let found = in_force(package).find(|file| read(root, file).is_some_and(says));
    found.map(|file| file.display().to_string())
}

/// The files of cargo's configuration that are in force for a package, whether or not they are there.
fn in_force(package: &str) -> impl Iterator<Item = PathBuf> {
    let folders = Path::new(package).ancestors();
    folders.flat_map(|folder| ["config", "config.toml"].map(|name| folder.join(".cargo").join(name)))
}

/// What a file says, none where that can't be read; nothing where it is not there.
fn read(root: &Path, file: &Path) -> Option<Option<Table>> {
    let file = root.join(file);
    file.exists().then(|| fs_err::read_to_string(file).ok()?.parse().ok())
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

/// The paths of patches.
fn patched(table: &Table) -> impl Iterator<Item = String> + '_ {
    let sources = table.get("patch").and_then(Value::as_table).into_iter().flatten();
    let patches = sources.filter_map(|(_, source)| source.as_table()).flatten();
    patches.flat_map(|(_, patch)| paths(Some(patch)))
}

/// Whether a path leads out of the repository, by its letters or by links.
fn is_outside(root: &Path, path: &Path) -> bool {
    path.to_str().and_then(lexical).is_none() || links::follow(root, path).is_err()
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
        assert_eq!(leads(&[("a/.cargo/config", "no TOML")]).as_deref(), Some("a/.cargo/config"));
    }

    #[test]
    fn a_repository_that_says_where_crates_come_from_is_noticed() {
        let said = |place: &str, text: &str| {
            let root = tempfile::tempdir().unwrap();
            let file = root.path().join(place);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
            own_sources(root.path(), "a/b")
        };
        let vendored = "[source.crates-io]\nreplace-with = \"vendored\"\n";
        for place in [".cargo/config", "a/.cargo/config.toml", "a/b/.cargo/config"] {
            assert_eq!(said(place, vendored).as_deref(), Some(place));
        }
        for text in ["registry.default = \"own\"", "include = \"more.toml\"", "no TOML"] {
            assert!(said(".cargo/config.toml", text).is_some(), "{text}");
        }
        assert_eq!(said(".cargo/config.toml", "[build]\njobs = 1\n"), None);
        assert_eq!(said("elsewhere/.cargo/config.toml", vendored), None);
    }
}
