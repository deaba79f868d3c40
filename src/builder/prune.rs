//! Removes from other manifests of the workspace what keeps cargo from loading it. The package's own manifest is never
//! touched; that of the workspace only where it is not a package's, and then only what it takes from git.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use super::Fault;
use super::extra_sources::locks;
use super::links;
use crate::contract::prune::{Prune, Pruned};

/// Prunes manifests.
///
/// # Errors
/// Where one can't be read or written, or does not exist, or is the package's own, or lies above it and is a package's.
pub fn prune(pruned: &Pruned, root: &Path, package: &str) -> Result<(), Fault> {
    let oldest = oldest_for(root, package);
    for (number, (folder, prune)) in pruned.iter().enumerate() {
        let folder = folder.as_str();
        let file = links::place(root, &Path::new(folder).join("Cargo.toml")).filter(|file| file.is_file());
        let file = file.ok_or(Fault::Recipe("prune"))?;
        let text = fs_err::read_to_string(&file)?;
        // What lies at or above the package has a say in its content, and a new manifest would cut files out of it. Where
        // no package lies there, what is patched has not.
        let above = Path::new(package).starts_with(folder);
        let patches = *prune == Prune::GitPatches;
        if above != patches || patches && !is_mere_workspace(&text) {
            return Err(Fault::Recipe("prune"));
        }
        let less = match prune {
            // cargo sees a package that wants nothing, and never looks at the file that it names.
            Prune::All => {
                let name = format!("name = \"left-out-{number}\"\nversion = \"0.0.0\"\n");
                format!("[package]\n{name}{oldest}[lib]\npath = \"Cargo.toml\"\n")
            }
            Prune::DevDependencies => without(&text, &["dev-dependencies"]),
            Prune::Dependencies => without(&text, &DEPENDENCY_TABLES),
            Prune::GitPatches => without_git_patches(&text),
        };
        fs_err::write(&file, less)?;
    }
    Ok(())
}

/// The `rust-version` with which cargo keeps the lock file's format. It writes a lock file that lost members anew, in the
/// newest format that all members can read (from 1.78 on; `fb95ac488`), and the publisher's did not lose any.
fn oldest_for(root: &Path, package: &str) -> &'static str {
    let lock = locks(root, package).pop();
    let version = |text: &str| {
        let mut versions = text.lines().filter_map(|line| line.strip_prefix("version = "));
        versions.find(|version| !version.starts_with('"')).map(str::to_owned)
    };
    match lock.map(|text| version(&text)) {
        Some(Some(version)) if version == "3" => "rust-version = \"1.53\"\n",
        Some(None) => "rust-version = \"1.41\"\n",
        _ => "",
    }
}

/// The tables of dependencies.
const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// A manifest without these tables of dependencies, and without what its features want of them. The features themselves
/// stay: others may ask for them. What is no TOML stays as it is: cargo will say so.
fn without(text: &str, kinds: &[&str]) -> String {
    let Ok(mut manifest) = text.parse::<Table>() else { return text.to_owned() };
    let taken = take(&mut manifest, kinds);
    let kept: BTreeSet<String> =
        take(&mut manifest.clone(), &DEPENDENCY_TABLES).into_iter().map(|(key, _)| key).collect();
    let mut features = match manifest.remove("features") {
        Some(Value::Table(features)) => features,
        _ => Table::new(),
    };
    // An optional dependency is a feature of its name, too.
    for (key, dependency) in taken.iter().filter(|(key, _)| !kept.contains(key)) {
        if dependency.get("optional").is_some() {
            features.entry(key.clone()).or_insert_with(|| Value::Array(Vec::new()));
        }
    }
    let gone = |key: &str| taken.iter().any(|(taken, _)| taken == key) && !kept.contains(key);
    for (_, wants) in &mut features {
        if let Value::Array(wants) = wants {
            wants.retain(|want| {
                let want = want.as_str().unwrap_or_default();
                let of = want.strip_prefix("dep:").or_else(|| Some(want.split_once('/')?.0.trim_end_matches('?')));
                of.is_none_or(|of| !gone(of))
            });
        }
    }
    if !features.is_empty() {
        manifest.insert("features".to_owned(), Value::Table(features));
    }
    manifest.to_string()
}

/// Takes tables of dependencies out of a manifest, for all targets; gives what was in them.
fn take(manifest: &mut Table, kinds: &[&str]) -> Vec<(String, Value)> {
    let mut taken = Vec::new();
    let mut take_from = |table: &mut Table| {
        for kind in kinds.iter().flat_map(|kind| [(*kind).to_owned(), kind.replace('-', "_")]) {
            if let Some(Value::Table(dependencies)) = table.remove(&kind) {
                taken.extend(dependencies);
            }
        }
    };
    take_from(manifest);
    if let Some(Value::Table(targets)) = manifest.get_mut("target") {
        targets.iter_mut().filter_map(|(_, target)| target.as_table_mut()).for_each(take_from);
    }
    taken
}

fn is_mere_workspace(text: &str) -> bool {
    text.parse::<Table>().is_ok_and(|manifest| !manifest.contains_key("package") && !manifest.contains_key("project"))
}

/// A manifest whose patches from git are gone.
fn without_git_patches(text: &str) -> String {
    let Ok(mut manifest) = text.parse::<Table>() else { return text.to_owned() };
    let from_git = |patch: &Value| patch.get("git").is_some();
    if let Some(Value::Table(sources)) = manifest.get_mut("patch") {
        sources.iter_mut().filter_map(|(_, patches)| patches.as_table_mut()).for_each(|patches| {
            patches.retain(|_, patch| !from_git(patch));
        });
    }
    if let Some(Value::Table(replaced)) = manifest.get_mut("replace") {
        replaced.retain(|_, replacement| !from_git(replacement));
    }
    manifest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[package]\nname = \"a\"\n[features]\nbare = []\nboth = [\"bare\", \"x/f\", \"dep:v\", \"u?/g\"]\n\
        [dev-dependencies]\nx = \"1\"\ny = { features = [\n  \"z\",\n] }\n\
        [target.'cfg(unix)'.dev-dependencies.w]\nversion = \"2\"\n\
        [dependencies]\nv = { version = \"1\", optional = true }\n[target.'cfg(unix)'.dependencies]\nu = \"1\"\n";

    fn less(kinds: &[&str]) -> Table {
        without(TEXT, kinds).parse().unwrap()
    }

    #[test]
    fn dev_dependencies_go_with_what_features_want_of_them_and_all_others_stay() {
        let less = less(&["dev-dependencies"]);
        let expected = "[package]\nname = \"a\"\n[features]\nbare = []\nboth = [\"bare\", \"dep:v\", \"u?/g\"]\n\
            [dependencies]\nv = { version = \"1\", optional = true }\n[target.'cfg(unix)'.dependencies]\nu = \"1\"\n";
        assert_eq!(less, expected.parse().unwrap());
    }

    #[test]
    fn without_any_dependency_the_features_are_still_there() {
        let expected =
            "[package]\nname = \"a\"\n[features]\nbare = []\nboth = [\"bare\"]\nv = []\n[target.'cfg(unix)']\n";
        assert_eq!(less(&DEPENDENCY_TABLES), expected.parse().unwrap());
        assert_eq!(without("no TOML", &DEPENDENCY_TABLES), "no TOML");
    }

    #[test]
    fn patches_from_git_go_out_of_a_mere_workspace_only() {
        let root = tempfile::tempdir().unwrap();
        let (file, patches) =
            (root.path().join("Cargo.toml"), "[patch.crates-io]\na.git = \"https://x\"\nb.path = \"b\"\n");
        std::fs::write(&file, format!("[workspace]\n{patches}")).unwrap();
        let take_out = || prune(&Pruned::from([("".parse().unwrap(), Prune::GitPatches)]), root.path(), "own");
        take_out().unwrap();
        let less: Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
        assert_eq!(less, "[workspace]\n[patch.crates-io]\nb.path = \"b\"\n".parse().unwrap());
        std::fs::write(&file, format!("[package]\n[workspace]\n{patches}")).unwrap();
        assert!(take_out().is_err());
    }

    #[test]
    fn the_packages_own_content_is_never_touched() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["a/b", "a/b/src", "other"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for folder in ["", "a", "a/b", "other"] {
            std::fs::write(root.path().join(folder).join("Cargo.toml"), "[package]\n").unwrap();
        }
        let take_out = |folder: &str| prune(&Pruned::from([(folder.parse().unwrap(), Prune::All)]), root.path(), "a/b");
        assert!(take_out("other").is_ok());
        for folder in ["", "a", "a/b", "a/b/src", "nowhere"] {
            assert!(take_out(folder).is_err(), "{folder}");
        }
    }
}
