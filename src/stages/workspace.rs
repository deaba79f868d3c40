//! *Workspace*: which manifests of a commit belong together, and which of them a package can do without.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::findings::Condition;
use super::manifest::Manifest;
use crate::contract::prune::{Prune, Pruned};
use crate::model::sub_path::SubPath;

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

/// What cargo sees of the other members of a workspace, the strongest claim first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkspaceView {
    /// All of them, as they are.
    Full,
    /// Those that the package needs, without their dev-dependencies.
    Pruned,
    /// The same without whatever they require, nor what the workspace patches from git.
    Stripped,
}

impl std::fmt::Display for WorkspaceView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "all members",
            Self::Pruned => "other members left out",
            Self::Stripped => "other members left out, and the dependencies of the rest",
        })
    }
}

impl WorkspaceView {
    /// Of a rebuild, by what it prunes.
    #[must_use]
    pub fn of(pruned: &Pruned) -> Self {
        let strips = |prune: &Prune| matches!(prune, Prune::Dependencies | Prune::GitPatches);
        match pruned.values().any(strips) {
            _ if pruned.is_empty() => Self::Full,
            false => Self::Pruned,
            true => Self::Stripped,
        }
    }

    /// What comes after it.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Full => Some(Self::Pruned),
            Self::Pruned => Some(Self::Stripped),
            Self::Stripped => None,
        }
    }

    /// The condition that a report names; none for the strongest claim.
    #[must_use]
    pub fn condition(self) -> Option<Condition> {
        match self {
            Self::Full => None,
            Self::Pruned => Some(Condition::WorkspacePruned),
            Self::Stripped => Some(Condition::WorkspaceStripped),
        }
    }
}

/// What of the other packages of its workspace, whose root is given, a package can do without, by folder, where the others
/// keep what they require: [`WorkspaceView::Pruned`].
#[must_use]
pub fn pruned(package: &SubPath, root: &SubPath, manifests: &Manifests) -> Pruned {
    let shared = manifests.get(root).map(|text| Manifest::read(text)).unwrap_or_default();
    let mut kept = BTreeSet::from([package.clone(), root.clone()]);
    let mut queue = vec![package.clone()];
    queue.extend(shared.patches().into_iter().filter_map(|path| resolve(root, path)));
    while let Some(folder) = queue.pop() {
        kept.insert(folder.clone());
        let manifest = manifests.get(&folder).map(|text| Manifest::read(text)).unwrap_or_default();
        let own = manifest.dependency_paths().into_iter().filter_map(|path| resolve(&folder, path));
        let inherited = manifest.inherited().into_iter().filter_map(|key| resolve(root, shared.shared_path(key)?));
        queue.extend(own.chain(inherited).filter(|folder| !kept.contains(folder)));
    }
    // What lies above the package may have a say in its content.
    let inside = |folder: &SubPath| folder.ancestors().contains(root) && !package.ancestors().contains(folder);
    let named = |(_, text): &(&SubPath, &String)| Manifest::read(text).name().is_some();
    let packages = manifests.iter().filter(named).map(|(folder, _)| folder);
    packages
        .filter(|folder| *folder != package && inside(folder))
        .map(|folder| (folder.clone(), if kept.contains(folder) { Prune::DevDependencies } else { Prune::All }))
        .collect()
}

/// The same where they keep nothing of that, and the workspace nothing that it patches from git: [`WorkspaceView::Stripped`].
#[must_use]
pub fn stripped(pruned: &Pruned, root: &SubPath, manifests: &Manifests) -> Pruned {
    let mut stripped = pruned.clone();
    for what in stripped.values_mut().filter(|what| **what == Prune::DevDependencies) {
        *what = Prune::Dependencies;
    }
    let shared = manifests.get(root).map(|text| Manifest::read(text)).unwrap_or_default();
    if shared.name().is_none() && shared.patches_from_git() {
        stripped.insert(root.clone(), Prune::GitPatches);
    }
    stripped
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

    fn spare(package: &SubPath, manifests: &Manifests, view: WorkspaceView) -> Pruned {
        let root = root_of(package, manifests);
        let pruned = pruned(package, &root, manifests);
        match view {
            WorkspaceView::Full => BTreeMap::new(),
            WorkspaceView::Pruned => pruned,
            WorkspaceView::Stripped => stripped(&pruned, &root, manifests),
        }
    }

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
        let spare_of = |package: &str| spare(&path(package), &manifests, WorkspaceView::Pruned);
        let spared: Vec<_> = spare_of("own").into_iter().filter(|(_, what)| *what == Prune::All).collect();
        assert_eq!(spared, [(path("fuzz"), Prune::All)]);
        assert_eq!(spare_of("own")[&path("dev")], Prune::DevDependencies);
        assert!(spare(&path("elsewhere"), &Manifests::new(), WorkspaceView::Stripped).is_empty());
        let bare = spare(&path("own"), &manifests, WorkspaceView::Stripped);
        assert_eq!((bare[&path("dev")], bare[&path("fuzz")]), (Prune::Dependencies, Prune::All));
        assert!(!bare.contains_key(&path("")), "it patches nothing from git");
        for view in [WorkspaceView::Full, WorkspaceView::Pruned, WorkspaceView::Stripped] {
            assert_eq!(WorkspaceView::of(&spare(&path("own"), &manifests, view)), view);
        }
    }

    #[test]
    fn what_a_mere_workspace_patches_from_git_can_be_spared() {
        let virtual_root = "[workspace]\n[patch.crates-io]\np = { git = \"https://git.example/p\" }\n";
        for (root, expected) in
            [(virtual_root.to_owned(), true), (format!("[package]\nname = \"r\"\n{virtual_root}"), false)]
        {
            let manifests = Manifests::from([(path(""), root), (path("own"), "[package]\nname = \"own\"".to_owned())]);
            let spare = spare(&path("own"), &manifests, WorkspaceView::Stripped);
            assert_eq!(spare.get(&path("")), expected.then_some(&Prune::GitPatches));
        }
    }
}
