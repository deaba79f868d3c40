//! Commits besides the package's own: submodules that were checked out, and what members of the workspace take from git.
//!
//! A submodule is proven by the gitlink above it. What comes from git is never packaged: cargo needs its manifests in order
//! to load the workspace, and takes them from a directory source that replaces the repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::symlink;
use toml::{Table, Value};

use super::checkout::Conversion;
use super::commit::{check_out, unproven};
use super::worktree::Worktree;
use super::{Fault, configuration, git, links};
use crate::contract::git::ObjectId;
use crate::contract::recipe::{CommitInput, GitDependencyInput, Reference};
use crate::model::commit::CommitId;
use crate::model::sub_path::SubPath;

/// Submodules, by path.
type Submodules = BTreeMap<SubPath, CommitInput>;

/// Checks submodules out, each with a `.git` of its own as git has it, and adds their links to the worktree's.
///
/// # Errors
/// Where one is not what the commit above it names, or the source is lean.
pub fn check_out_submodules(
    submodules: &Submodules,
    is_lean: bool,
    root: &Path,
    worktree: &mut Worktree,
    conversion: &Conversion,
) -> Result<(), Fault> {
    if is_lean && !submodules.is_empty() {
        // What their links lead to was not selected.
        return Err(Fault::Recipe("submodules of a source that is not whole"));
    }
    let named = |worktree: &Worktree, above: &str| -> BTreeMap<String, CommitId> {
        let below = |(path, id): (&String, &CommitId)| (format!("{above}{path}"), *id);
        worktree.submodules.iter().map(below).collect()
    };
    let mut gitlinks = named(worktree, "");
    // A submodule's submodule comes after it in the order of paths.
    for (path, commit) in submodules {
        let path = path.as_str();
        if gitlinks.get(path) != Some(&commit.id) {
            return Err(unproven(commit, format!("the commit above it has no such submodule at {path}")));
        }
        if commit.folder != SubPath::default() {
            return Err(Fault::Recipe("submodules"));
        }
        let place = root.join(path);
        if place.is_dir() {
            fs_err::remove_dir(&place)?;
        }
        let submodule = check_out(commit, &place, &conversion.below(path))?;
        git::write_repository(&place, &submodule, commit, &[])?;
        worktree.links.extend(submodule.links.iter().map(|link| Path::new(path).join(link)));
        let below = |(file, content): (&Vec<u8>, &ObjectId)| ([path.as_bytes(), b"/", file].concat(), *content);
        worktree.contents.extend(submodule.contents.iter().map(below));
        gitlinks.extend(named(&submodule, &format!("{path}/")));
    }
    Ok(())
}

/// The lock files of a package's folder and of those above it, the root's last.
pub(super) fn locks(root: &Path, package: &str) -> Vec<String> {
    beside(root, package, "Cargo.lock").collect()
}

/// The files of this name in a package's folder and in those above it, the root's last.
fn beside(root: &Path, package: &str, name: &str) -> impl Iterator<Item = String> {
    let folders = Path::new(package).ancestors();
    folders.filter_map(move |folder| fs_err::read_to_string(root.join(folder).join(name)).ok())
}

/// Whether a manifest takes something from a repository by this very commit.
fn asks(manifest: &Value, url: &str, commit: &str) -> bool {
    let Value::Table(table) = manifest else { return false };
    let says = |key: &str, value: &str| table.get(key).and_then(Value::as_str) == Some(value);
    says("git", url) && says("rev", commit) || table.values().any(|value| asks(value, url, commit))
}

/// What was taken from git.
#[derive(Debug, Default)]
pub struct Provided {
    /// The part of cargo's configuration that leads there.
    pub config: String,
    /// Entries of a lock file for what a manifest alone pins. cargo takes nothing from a directory that no lock file
    /// names; the entries do not come into the crate, as a published package can't require anything from git.
    pub locked: String,
}

/// Puts what comes from git under `place`.
///
/// # Errors
/// Where neither a Cargo.lock nor a manifest of the package's own commit names it, or it is not what the plan says.
pub fn provide(
    dependencies: &[GitDependencyInput],
    place: &Path,
    root: &Path,
    package_path: &str,
    salt: &str,
) -> Result<Provided, Fault> {
    let locks = locks(root, package_path);
    let manifests = beside(root, package_path, "Cargo.toml").filter_map(|text| text.parse::<Table>().ok());
    let manifests: Vec<Value> = manifests.map(Value::Table).collect();
    let mut provided = Provided::default();
    for (number, GitDependencyInput { commit, packages, reference, url }) in dependencies.iter().enumerate() {
        let (front, back) = (format!("source = \"git+{url}"), format!("#{}\"", commit.id));
        let named = |line: &str| line.starts_with(&front) && line.ends_with(&back);
        let locked = locks.iter().flat_map(|lock| lock.lines()).any(named);
        if !locked && !manifests.iter().any(|manifest| asks(manifest, url, &commit.id.to_string())) {
            let reason = format!("no Cargo.lock and no manifest of the package's commit names it for {url}");
            return Err(unproven(commit, reason));
        }
        let folder = place.join(number.to_string());
        let (tree, source) = (folder.join("tree"), folder.join("packages"));
        fs_err::create_dir_all(&source)?;
        let manifests = check_out(commit, &tree, &Conversion::default())?.manifests();
        let (manifests, named) = loaded(&tree, manifests, packages);
        if let Some(manifest) = configuration::manifest_leads_out(&tree, &manifests) {
            return Err(unproven(commit, format!("its {manifest} takes something from outside of it")));
        }
        let unclear = packages.iter().find_map(|package| unclear(package.as_str(), &named));
        if let Some(reason) = unclear {
            return Err(unproven(commit, reason));
        }
        // Packages inherit from the workspace that lies above them: the folders are flat in a directory source, so
        // that it lies right above all of them.
        let workspace = tree.join("Cargo.toml");
        if workspace.is_file() {
            fs_err::copy(&workspace, source.join("Cargo.toml"))?;
        }
        for (number, package) in packages.iter().enumerate() {
            let checksum = links::place(&tree, &Path::new(package.as_str()).join(".cargo-checksum.json"));
            let checksum = checksum.ok_or_else(|| unproven(commit, format!("{package} lies behind a link")))?;
            fs_err::write(checksum, "{\"files\":{},\"package\":null}")?;
            let package = tree.join(package.as_str());
            symlink(&package, source.join(number.to_string()))?;
            if !locked {
                provided.locked += &lock_entry(&tree, &package, url, &commit.id.to_string());
            }
        }
        provided.config += &replacement((number, salt), url, reference, &source);
    }
    Ok(provided)
}

/// Manifests, by path.
type Manifests = BTreeMap<PathBuf, Table>;

/// Of a repository's manifests those that cargo loads for these packages, theirs and those above them, and all that can be read.
fn loaded(tree: &Path, all: Vec<PathBuf>, packages: &[SubPath]) -> (Vec<PathBuf>, Manifests) {
    let read = |manifest: &PathBuf| {
        let table = configuration::text_of(&tree.join(manifest))?.parse().ok()?;
        Some((manifest.clone(), table))
    };
    let named = all.iter().filter_map(read).collect();
    let is_above = |manifest: &PathBuf| {
        let folder = manifest.parent().unwrap_or(Path::new(""));
        packages.iter().any(|package| Path::new(package.as_str()).starts_with(folder))
    };
    (all.into_iter().filter(is_above).collect(), named)
}

/// Why cargo may take something else for a package of a repository than this folder, which lies elsewhere in a directory source: there
/// is another of the same name, or the workspace that it inherits from is not the one at the root.
fn unclear(package: &str, manifests: &Manifests) -> Option<String> {
    let own = Path::new(package).join("Cargo.toml");
    let table = manifests.get(&own)?;
    let same = |(path, other): &(&PathBuf, &Table)| **path != own && name(other) == name(table);
    if let Some((other, _)) = manifests.iter().find(same) {
        return Some(format!("{} has the same name as {}", other.display(), own.display()));
    }
    if table.contains_key("workspace") || !table.values().any(inherits) {
        return None;
    }
    if about(table).is_some_and(|package| package.get("workspace").is_some()) {
        return Some(format!("{} names its workspace", own.display()));
    }
    let nested = manifests.iter().find(|(path, other)| {
        let folder = path.parent().unwrap_or(Path::new(""));
        let is_between = folder != Path::new("") && **path != own && Path::new(package).starts_with(folder);
        is_between && other.contains_key("workspace")
    });
    nested.map(|(path, _)| format!("{} is of a workspace below the root's, {}", own.display(), path.display()))
}

/// What a manifest says of its package.
fn about(manifest: &Table) -> Option<&Value> {
    manifest.get("package").or_else(|| manifest.get("project"))
}

/// The package's name.
fn name(manifest: &Table) -> Option<&str> {
    about(manifest)?.get("name")?.as_str()
}

/// Whether a part of a manifest takes something from its workspace.
fn inherits(manifest: &Value) -> bool {
    let Value::Table(table) = manifest else { return false };
    table.get("workspace").and_then(Value::as_bool) == Some(true) || table.values().any(inherits)
}

/// A lock file's entry of a package that is taken from git by the full id of a commit; nothing where its manifest can't
/// be read: cargo will say so.
fn lock_entry(tree: &Path, package: &Path, url: &str, commit: &str) -> String {
    let read = |folder: &Path| fs_err::read_to_string(folder.join("Cargo.toml")).ok()?.parse::<Table>().ok();
    let said = || {
        let manifest = read(package)?;
        let package = manifest.get("package")?;
        let version = match package.get("version")?.as_str() {
            Some(version) => version.to_owned(),
            None => read(tree)?.get("workspace")?.get("package")?.get("version")?.as_str()?.to_owned(),
        };
        Some((package.get("name")?.as_str()?.to_owned(), version))
    };
    let Some((name, version)) = said() else { return String::new() };
    let [name, version, source] =
        [name, version, format!("git+{url}?rev={commit}#{commit}")].map(|text| Value::from(text).to_string());
    format!("\n[[package]]\nname = {name}\nversion = {version}\nsource = {source}\n")
}

/// The part of cargo's configuration that replaces a repository with a folder. `salt` is something that the repository's own
/// configuration can't name.
fn replacement((number, salt): (usize, &str), url: &str, reference: &Reference, folder: &Path) -> String {
    // Every string of JSON is one of TOML.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let reference = match reference {
        Reference::Default => String::new(),
        Reference::Branch(name) => format!("branch = {}\n", quoted(name)),
        Reference::Tag(name) => format!("tag = {}\n", quoted(name)),
        Reference::Rev(name) => format!("rev = {}\n", quoted(name)),
    };
    format!(
        "[source.git-{number}-{salt}]\ngit = {}\n{reference}replace-with = \"recrate-git-{number}-{salt}\"\n\
         [source.recrate-git-{number}-{salt}]\ndirectory = {}\n",
        quoted(url),
        quoted(&folder.display().to_string())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_quotes_whatever_a_lock_file_may_hold() {
        let branch = Reference::Branch("a\"]\n[build]\nrustc = \"evil".to_owned());
        let config = replacement((0, "x"), "https://git.example/a?b", &branch, Path::new("/build/git/0"));
        let lines: Vec<&str> = config.lines().collect();
        assert_eq!(lines[2], r#"branch = "a\"]\n[build]\nrustc = \"evil""#);
        assert_eq!(lines.len(), 6);
    }
}
