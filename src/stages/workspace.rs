//! *Workspace*: which manifests of a commit belong together, and which of them a package can do without.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::Manifest;
use crate::builder::left_out::Spare;
use crate::model::source::SubPath;

/// The manifests of a commit, by folder.
pub type Manifests = BTreeMap<SubPath, String>;

/// The folder of the workspace that a package belongs to: the nearest manifest with a `[workspace]`, or its own.
#[must_use]
pub fn root_of(package: &SubPath, manifests: &Manifests) -> SubPath {
    let above = std::iter::once(package.clone()).chain(package.ancestors());
    above
        .into_iter()
        .find(|at| manifests.get(at).is_some_and(|text| Manifest::read(text).is_workspace()))
        .unwrap_or_else(|| package.clone())
}

/// What of the other packages of its workspace a package can do without, by folder.
#[must_use]
pub fn spare(package: &SubPath, manifests: &Manifests) -> BTreeMap<SubPath, Spare> {
    let root = root_of(package, manifests);
    let shared = manifests.get(&root).map(|text| Manifest::read(text)).unwrap_or_default();
    let mut kept = BTreeSet::from([package.clone(), root.clone()]);
    let mut queue = vec![package.clone()];
    queue.extend(shared.patches().into_iter().filter_map(|path| resolve(&root, path)));
    while let Some(folder) = queue.pop() {
        kept.insert(folder.clone());
        let manifest = manifests.get(&folder).map(|text| Manifest::read(text)).unwrap_or_default();
        let own = manifest.dependency_paths().into_iter().filter_map(|path| resolve(&folder, path));
        let inherited = manifest.inherited().into_iter().filter_map(|key| resolve(&root, shared.shared_path(key)?));
        queue.extend(own.chain(inherited).filter(|folder| !kept.contains(folder)));
    }
    // What lies above the package may have a say in its content.
    let inside = |folder: &SubPath| folder.ancestors().contains(&root) && !package.ancestors().contains(folder);
    let named = |(_, text): &(&SubPath, &String)| Manifest::read(text).name().is_some();
    let packages = manifests.iter().filter(named).map(|(folder, _)| folder);
    packages
        .filter(|folder| *folder != package && inside(folder))
        .map(|folder| (folder.clone(), if kept.contains(folder) { Spare::DevDependencies } else { Spare::All }))
        .collect()
}

/// A path as a manifest in `folder` has it, relative to the repository, up to the first part that is a pattern; none
/// where it leads out.
#[must_use]
pub fn resolve(folder: &SubPath, path: &str) -> Option<SubPath> {
    let mut parts: Vec<&str> = folder.as_str().split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/').take_while(|part| !part.contains(['*', '?', '['])) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    parts.join("/").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SubPath {
        text.parse().unwrap()
    }

    #[test]
    fn paths_of_manifests_are_relative_to_the_repository() {
        let at = |folder: &str, to: &str| resolve(&path(folder), to);
        assert_eq!(at("crates/a", "../b/./c"), Some(path("crates/b/c")));
        assert_eq!(at("", "crates/*"), Some(path("crates")));
        assert_eq!(at("", "../out"), None);
    }

    #[test]
    fn what_a_package_needs_is_not_among_the_others() {
        let manifests: Manifests = [
            ("", "[workspace]\n[workspace.dependencies]\nshared = { path = \"shared\" }\n[patch.crates-io]\np = { path = \"patch\" }"),
            ("own", "[package]\nname = \"own\"\n[dependencies]\nshared.workspace = true\n[dev-dependencies]\nx = { path = \"../dev\" }"),
            ("shared", "[package]\nname = \"shared\"\n[target.'cfg(unix)'.dependencies]\ny = { path = \"../unix\" }"),
            ("unix", "[package]\nname = \"y\""),
            ("dev", "[package]\nname = \"x\""),
            ("patch", "[package]\nname = \"p\""),
            ("fuzz", "[package]\nname = \"fuzz\"\n[dependencies]\nown = { path = \"../own\" }"),
            ("virtual", "[workspace]"),
        ]
        .into_iter()
        .map(|(folder, text)| (path(folder), text.to_owned()))
        .collect();
        assert_eq!(root_of(&path("own"), &manifests), path(""));
        let spare_of = |package: &str| spare(&path(package), &manifests);
        let spared: Vec<_> = spare_of("own").into_iter().filter(|(_, what)| *what == Spare::All).collect();
        assert_eq!(spared, [(path("fuzz"), Spare::All)]);
        assert_eq!(spare_of("own")[&path("dev")], Spare::DevDependencies);
        assert!(spare(&path("elsewhere"), &Manifests::new()).is_empty());
    }
}
