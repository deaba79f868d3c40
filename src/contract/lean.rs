//! Lean sources: the files of a commit that packaging one of its packages reads.
//!
//! `cargo package` reads the package's folder, the manifests of its workspace and little else. Which files those are follows
//! from the commit and the package's folder alone, so that everybody selects the same; the builder selects once more, from
//! the trees that prove the commit, and takes no source that has more or less.
//!
//! Selected are:
//! * everything below the package's folder;
//! * anywhere, what cargo and git read wherever it lies: manifests, lock files, `.cargo/config*`, `.gitignore`,
//!   `.gitattributes`, `.gitmodules`;
//! * of every package, the files that cargo infers targets from;
//! * what manifests and cargo's configuration name: readmes, licences, build scripts, targets, other packages, further
//!   configuration;
//! * all links, and what those below the package's folder lead to.
//!
//! Everything is selected where it can't be told what a link leads to or what a manifest says, where a link stands for a `.cargo`, and
//! where a folder above the package looks like a repository of its own. With submodules, whose links nobody selects for, no source is
//! lean.

use std::collections::{BTreeSet, VecDeque};

use toml::{Table, Value};

use super::git::ObjectId;
use super::trees::{Leaves, Mode};
use crate::model::sub_path::SubPath;

/// What is read wherever it lies.
const ANYWHERE: [&str; 5] = ["Cargo.toml", "Cargo.lock", ".gitignore", ".gitattributes", ".gitmodules"];

/// Folders of a package whose Rust files are targets, as are the `main.rs` in folders right below.
const TARGET_FOLDERS: [&str; 4] = ["src/bin", "examples", "tests", "benches"];

/// Files beside a manifest that cargo takes without their being named: targets, and readmes, which members may inherit.
const DEFAULT_FILES: [&str; 6] = ["src/lib.rs", "src/main.rs", "build.rs", "README.md", "README.txt", "README"];

/// Keys of manifests whose values name files or folders.
const NAMING_KEYS: [&str; 7] = ["build", "default-members", "license-file", "members", "path", "readme", "workspace"];

/// Keys of cargo's configuration that may lead to crates in the repository.
const SOURCE_KEYS: [&str; 4] = ["patch", "registries", "registry", "source"];

/// How many links are followed on the way to one file, as Linux does.
const LINKS_LIMIT: usize = 40;

/// Which files of a commit a source has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Folders of which it has everything.
    folders: BTreeSet<Vec<u8>>,
    /// Files and links besides.
    files: BTreeSet<Vec<u8>>,
}

impl Selection {
    /// Selects what packaging the package in `folder` reads; everything, where that is the root. `read` gives the content of
    /// manifests, of cargo's configuration and of links.
    ///
    /// # Errors
    /// Where `read` fails.
    pub fn of<E>(
        leaves: &Leaves,
        folder: &SubPath,
        read: impl FnMut(&[u8], ObjectId) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let own = folder.as_str();
        if own.is_empty() {
            return Ok(Self::everything());
        }
        let links = leaves.iter().filter(|(_, leaf)| leaf.mode == Mode::Link);
        let links: BTreeSet<Vec<u8>> = links.map(|(path, _)| path.clone()).collect();
        // cargo reads configuration through a link, and what that includes lies elsewhere than the letters say.
        if links.iter().any(|path| std::str::from_utf8(path).map_or(true, |path| base_name(path) == ".cargo")) {
            return Ok(Self::everything());
        }
        // git takes a folder with these for a repository, and what lies below it for that one's.
        let has_below = |folder: &str| {
            let front = folder.as_bytes();
            leaves.range(front.to_vec()..).next().is_some_and(|(path, _)| path.starts_with(front))
        };
        let is_repository = |above: &&str| {
            let at = |name: &str| format!("{above}{}{name}", if above.is_empty() { "" } else { "/" });
            leaves.contains_key(at("HEAD").as_bytes()) && has_below(&at("objects/")) && has_below(&at("refs/"))
        };
        let ends = own.match_indices('/').map(|(at, _)| &own[..at]);
        if ends.chain(["", own]).any(|above| is_repository(&above)) {
            return Ok(Self::everything());
        }
        let selected = Self { folders: BTreeSet::from([own.as_bytes().to_vec()]), files: links };
        let mut selector = Selector { leaves, read, selected, kept: BTreeSet::new(), is_clear: true };
        let texts = || leaves.iter().filter_map(|(path, leaf)| Some((std::str::from_utf8(path).ok()?, leaf)));
        for (path, _) in texts().filter(|(_, leaf)| leaf.mode != Mode::Submodule) {
            if is_read_anywhere(path) {
                selector.want(path)?;
            }
        }
        for (path, _) in texts().filter(|(path, _)| base_name(path) == "Cargo.toml") {
            selector.manifest(path)?;
        }
        let mut configurations: Vec<String> =
            texts().filter(|(path, _)| is_cargo_configuration(path)).map(|(path, _)| path.to_owned()).collect();
        let mut seen = BTreeSet::new();
        while let Some(path) = configurations.pop() {
            if seen.insert(path.clone()) {
                configurations.extend(selector.configuration(&path)?);
            }
        }
        let links = selector.links_below(own);
        selector.follow(links)?;
        Ok(if selector.is_clear { selector.selected } else { Self::everything() })
    }

    fn everything() -> Self {
        Self { folders: BTreeSet::from([Vec::new()]), files: BTreeSet::new() }
    }

    /// Whether it has what lies at a path.
    #[must_use]
    pub fn has(&self, path: &[u8]) -> bool {
        self.files.contains(path) || self.has_all_of(path)
    }

    /// Whether a path is one of the folders of which it has everything, or lies below one.
    fn has_all_of(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let above = ends.map(|at| &path[..at]).chain([&b""[..], path]);
        above.into_iter().any(|folder| self.folders.contains(folder))
    }
}

/// Whether cargo or git read a file wherever it lies.
#[must_use]
pub fn is_read_anywhere(path: &str) -> bool {
    ANYWHERE.contains(&base_name(path)) || is_cargo_configuration(path)
}

fn is_cargo_configuration(path: &str) -> bool {
    let (folder, name) = split(path);
    matches!(name, "config" | "config.toml") && base_name(folder) == ".cargo"
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn base_name(path: &str) -> &str {
    split(path).1
}

/// What lies at a path.
enum Node {
    File(String, ObjectId),
    Folder(String),
}

struct Selector<'a, R> {
    leaves: &'a Leaves,
    read: R,
    selected: Selection,
    /// Folders of which something is selected, as far as they were asked about.
    kept: BTreeSet<String>,
    /// Whether it can be told what all links lead to.
    is_clear: bool,
}

impl<E, R: FnMut(&[u8], ObjectId) -> Result<Vec<u8>, E>> Selector<'_, R> {
    /// Selects a file, if there is one.
    fn want(&mut self, path: &str) -> Result<(), E> {
        if let Some(Node::File(file, _)) = self.resolve(path)? {
            self.selected.files.insert(file.into_bytes());
        }
        Ok(())
    }

    /// Follows a path. None where it leads nowhere, or out of the repository.
    fn resolve(&mut self, path: &str) -> Result<Option<Node>, E> {
        let mut ahead: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let (mut here, mut links) = (Vec::<String>::new(), 0);
        while let Some(part) = ahead.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    // The way through a folder needs it to be there.
                    self.keep(&here.join("/"));
                    match here.pop() {
                        Some(_) => continue,
                        None => return Ok(None),
                    }
                }
                _ => here.push(part),
            }
            let path = here.join("/");
            match self.leaves.get(path.as_bytes()) {
                Some(leaf) if leaf.mode == Mode::Link => {
                    links += 1;
                    let target = (self.read)(path.as_bytes(), leaf.id)?;
                    let Ok(target) = String::from_utf8(target) else {
                        self.is_clear = false;
                        return Ok(None);
                    };
                    if links > LINKS_LIMIT || target.starts_with('/') {
                        return Ok(None);
                    }
                    here.pop();
                    for part in target.split('/').rev() {
                        ahead.push_front(part.to_owned());
                    }
                }
                Some(leaf) if leaf.mode == Mode::Submodule => return Ok(None),
                Some(leaf) => {
                    let is_last = ahead.iter().all(|part| part.is_empty() || part == ".");
                    return Ok(is_last.then_some(Node::File(path, leaf.id)));
                }
                None if self.below(&path).next().is_some() => {}
                None => return Ok(None),
            }
        }
        Ok(Some(Node::Folder(here.join("/"))))
    }

    /// Everything below a folder, by path.
    fn below(&self, folder: &str) -> impl Iterator<Item = (&Vec<u8>, Mode)> + use<'_, E, R> {
        let front = if folder.is_empty() { Vec::new() } else { format!("{folder}/").into_bytes() };
        let from = self.leaves.range(front.clone()..);
        from.take_while(move |(path, _)| path.starts_with(&front)).map(|(path, leaf)| (path, leaf.mode))
    }

    /// Selects what a manifest leads to.
    fn manifest(&mut self, path: &str) -> Result<(), E> {
        let folder = split(path).0;
        for file in DEFAULT_FILES {
            self.want(&join(folder, file))?;
        }
        for targets in TARGET_FOLDERS {
            self.targets(&join(folder, targets))?;
        }
        let Some(table) = self.table(path)? else { return Ok(()) };
        let table = Value::Table(table);
        let mut named = Vec::new();
        collect(&table, &NAMING_KEYS, false, &mut named);
        for name in named {
            let place = join(folder, &name);
            // cargo takes `..` away from a path before it looks, whatever links there are on the way.
            for place in [lexical(&place), Some(place)].into_iter().flatten() {
                self.want(&place)?;
                self.want(&join(&place, "Cargo.toml"))?;
            }
        }
        let mut members = Vec::new();
        collect(&table, &["members"], false, &mut members);
        members.iter().try_for_each(|pattern| self.members(&join(folder, pattern)))
    }

    /// Keeps the folders that a pattern of members is about: one without a manifest is a mistake that cargo reports.
    fn members(&mut self, pattern: &str) -> Result<(), E> {
        let is_pattern = |part: &str| part.contains(['*', '?', '[']);
        let Some(pattern) = lexical(pattern).filter(|pattern| is_pattern(pattern)) else { return Ok(()) };
        let mut folders = BTreeSet::from([String::new()]);
        for part in pattern.split('/') {
            // Any depth is any folder, and what begins with a dot may be the one above.
            self.is_clear &= part != "**" && !(is_pattern(part) && part.starts_with(['.', '[']));
            let mut next = BTreeSet::new();
            for folder in &folders {
                if is_pattern(part) {
                    next.extend(self.folders_in(folder));
                } else if let Some(Node::Folder(folder)) = self.resolve(&join(folder, part))? {
                    next.insert(folder);
                }
            }
            folders = next;
        }
        folders.iter().for_each(|folder| self.keep(folder));
        Ok(())
    }

    /// The folders right below one.
    fn folders_in(&self, folder: &str) -> BTreeSet<String> {
        let front = if folder.is_empty() { 0 } else { folder.len() + 1 };
        let name = |path: &[u8]| {
            let end = path.get(front..)?.iter().position(|byte| *byte == b'/')?;
            String::from_utf8(path.get(..front + end)?.to_vec()).ok()
        };
        self.below(folder).filter_map(|(path, _)| name(path)).collect()
    }

    /// Selects the targets that cargo finds in a folder.
    fn targets(&mut self, folder: &str) -> Result<(), E> {
        let Some(Node::Folder(folder)) = self.resolve(folder)? else { return Ok(()) };
        let mut wanted = BTreeSet::new();
        for (path, _) in self.below(&folder) {
            let Some(name) = path.get(folder.len() + 1..).and_then(|name| std::str::from_utf8(name).ok()) else {
                continue;
            };
            match name.split_once('/') {
                None if name.ends_with(".rs") => drop(wanted.insert(join(&folder, name))),
                // A link may be to a folder.
                None | Some((_, "main.rs")) => {
                    let below = name.split('/').next().unwrap_or(name);
                    wanted.insert(join(&folder, &format!("{below}/main.rs")));
                }
                Some(_) => {}
            }
        }
        wanted.iter().try_for_each(|path| self.want(path))
    }

    /// Selects what a file of cargo's configuration names; gives the files of configuration among that.
    fn configuration(&mut self, path: &str) -> Result<Vec<String>, E> {
        let Some(table) = self.table(path)? else { return Ok(Vec::new()) };
        // A registry in the repository, or something that stands for one: cargo would not miss what is left out of it.
        self.is_clear &= !SOURCE_KEYS.iter().any(|key| table.contains_key(*key));
        let folder = split(path).0;
        let (mut included, mut packages) = (Vec::new(), Vec::new());
        collect(&Value::Table(table.clone()), &["include"], true, &mut included);
        collect(&Value::Table(table), &["paths"], true, &mut packages);
        for package in packages {
            self.want(&join(split(folder).0, &join(&package, "Cargo.toml")))?;
        }
        let mut further = Vec::new();
        for name in included {
            if let Some(Node::File(file, _)) = self.resolve(&join(folder, &name))? {
                self.selected.files.insert(file.clone().into_bytes());
                further.push(file);
            }
        }
        Ok(further)
    }

    /// A file as TOML; none where it is none. Another cargo may read it all the same: what it says is not known then.
    fn table(&mut self, path: &str) -> Result<Option<Table>, E> {
        let Some(Node::File(file, id)) = self.resolve(path)? else { return Ok(None) };
        let content = (self.read)(file.as_bytes(), id)?;
        let table = String::from_utf8(content).ok().and_then(|text| text.parse().ok());
        self.is_clear &= table.is_some();
        Ok(table)
    }

    /// Selects something of a folder, so that it is there; everything below it, where nothing is selected otherwise.
    fn keep(&mut self, folder: &str) {
        if !self.kept.insert(folder.to_owned()) {
            return;
        }
        let is_there = |(path, _): (&Vec<u8>, Mode)| self.selected.has(path);
        if !folder.is_empty() && !self.below(folder).any(is_there) {
            self.selected.folders.insert(folder.as_bytes().to_vec());
        }
    }

    fn links_below(&self, folder: &str) -> Vec<String> {
        let links = self.below(folder).filter(|(_, mode)| *mode == Mode::Link);
        links.filter_map(|(path, _)| String::from_utf8(path.clone()).ok()).collect()
    }

    /// Selects what links lead to; where that is a folder, everything below it, and what the links there lead to.
    fn follow(&mut self, mut links: Vec<String>) -> Result<(), E> {
        while let Some(link) = links.pop() {
            match self.resolve(&link)? {
                Some(Node::File(file, _)) => drop(self.selected.files.insert(file.into_bytes())),
                Some(Node::Folder(target)) if !self.selected.has_all_of(target.as_bytes()) => {
                    links.extend(self.links_below(&target));
                    self.selected.folders.insert(target.into_bytes());
                }
                Some(Node::Folder(_)) | None => {}
            }
        }
        Ok(())
    }
}

/// A path without `.` and `..`; none where it leads out.
#[must_use]
pub fn lexical(path: &str) -> Option<String> {
    let mut plain = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => drop(plain.pop()?),
            part => plain.push(part),
        }
    }
    Some(plain.join("/"))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Collects the texts below some keys; below a key also those in lists, and in tables where they are `path`.
fn collect(value: &Value, keys: &[&str], top_only: bool, found: &mut Vec<String>) {
    let Value::Table(table) = value else {
        if let (Value::Array(list), false) = (value, top_only) {
            list.iter().for_each(|one| collect(one, keys, top_only, found));
        }
        return;
    };
    for (key, value) in table {
        match value {
            Value::String(text) if keys.contains(&key.as_str()) => found.push(text.clone()),
            Value::Array(list) if keys.contains(&key.as_str()) => {
                let text = |one: &Value| Some(one.as_str().or_else(|| one.get("path")?.as_str())?.to_owned());
                found.extend(list.iter().filter_map(text));
            }
            _ if !top_only => collect(value, keys, top_only, found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
