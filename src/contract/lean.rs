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
//! * all links, and what those below the package's folder, and those that stand for a `.cargo`, lead to.
//!
//! Where it can't be told what a link leads to, everything is selected.

use std::collections::{BTreeSet, VecDeque};

use toml::{Table, Value};

use super::git::ObjectId;
use super::trees::{Leaves, Mode};
use crate::model::sub_path::SubPath;

/// What is read wherever it lies.
const ANYWHERE: [&str; 5] = ["Cargo.toml", "Cargo.lock", ".gitignore", ".gitattributes", ".gitmodules"];

/// Folders of a package whose Rust files are targets, as are the `main.rs` in folders right below.
const TARGET_FOLDERS: [&str; 4] = ["src/bin", "examples", "tests", "benches"];

/// Files of a package that are targets.
const TARGET_FILES: [&str; 3] = ["src/lib.rs", "src/main.rs", "build.rs"];

/// Keys of manifests whose values name files or folders.
const NAMING_KEYS: [&str; 7] = ["build", "default-members", "license-file", "members", "path", "readme", "workspace"];

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
        if links.iter().any(|path| std::str::from_utf8(path).is_err()) {
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
        let of_cargo = texts().filter(|(path, leaf)| leaf.mode == Mode::Link && base_name(path) == ".cargo");
        let of_cargo = of_cargo.map(|(path, _)| path.to_owned());
        let links = of_cargo.chain(selector.links_below(own)).collect();
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
        for file in TARGET_FILES {
            self.want(&join(folder, file))?;
        }
        for targets in TARGET_FOLDERS {
            self.targets(&join(folder, targets))?;
        }
        let Some(table) = self.table(path)? else { return Ok(()) };
        let mut named = Vec::new();
        collect(&Value::Table(table), &NAMING_KEYS, false, &mut named);
        for name in named {
            let place = join(folder, &name);
            self.want(&place)?;
            self.want(&join(&place, "Cargo.toml"))?;
        }
        Ok(())
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

    /// A file as TOML; none where it is none: cargo will say so.
    fn table(&mut self, path: &str) -> Result<Option<Table>, E> {
        let Some(Node::File(file, id)) = self.resolve(path)? else { return Ok(None) };
        let content = (self.read)(file.as_bytes(), id)?;
        Ok(String::from_utf8(content).ok().and_then(|text| text.parse().ok()))
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
mod tests {
    use super::*;
    use crate::contract::trees::Leaf;

    /// Files by path; one whose content begins with `-> ` is a link.
    fn selected(files: &[(&str, &str)], folder: &str) -> Vec<String> {
        let mode = |content: &str| if content.starts_with("-> ") { Mode::Link } else { Mode::File };
        let leaf = |content: &str| Leaf { id: ObjectId([0; 20]), mode: mode(content) };
        let leaves: Leaves = files.iter().map(|(path, text)| (path.as_bytes().to_vec(), leaf(text))).collect();
        let content = |path: &[u8]| {
            let text = files.iter().find(|(name, _)| name.as_bytes() == path).unwrap().1;
            text.trim_start_matches("-> ").as_bytes().to_vec()
        };
        let selection = Selection::of::<()>(&leaves, &folder.parse().unwrap(), |path, _| Ok(content(path))).unwrap();
        let has = |(path, _): &&(&str, &str)| selection.has(path.as_bytes());
        files.iter().filter(has).map(|(path, _)| (*path).to_owned()).collect()
    }

    /// All but the files whose name begins with `not`.
    fn assert_selects(files: &[(&str, &str)], folder: &str) {
        let wanted: Vec<&str> =
            files.iter().map(|(path, _)| *path).filter(|path| !base_name(path).starts_with("not")).collect();
        assert_eq!(selected(files, folder), wanted);
    }

    #[test]
    fn the_packages_folder_is_whole_and_of_others_there_is_what_cargo_loads() {
        let manifest = "[package]\nname = \"x\"\n";
        assert_selects(
            &[
                (".cargo/config.toml", ""),
                (".gitattributes", ""),
                (".github/not.yml", ""),
                (".gitignore", ""),
                ("Cargo.lock", ""),
                ("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\"]\n"),
                ("a/Cargo.toml", manifest),
                ("a/data/deep/bytes", ""),
                ("a/src/lib.rs", ""),
                ("b/.gitignore", ""),
                ("b/Cargo.toml", manifest),
                ("b/benches/one.rs", ""),
                ("b/benches/two/main.rs", ""),
                ("b/benches/two/not.rs", ""),
                ("b/build.rs", ""),
                ("b/examples/not.txt", ""),
                ("b/not.md", ""),
                ("b/src/bin/tool/main.rs", ""),
                ("b/src/lib.rs", ""),
                ("b/src/not.rs", ""),
                ("notes", ""),
            ],
            "a",
        );
    }

    #[test]
    fn what_manifests_name_outside_is_selected_inherited_or_not() {
        let own = "[package]\nname = \"a\"\nbuild = \"../build/a.rs\"\nreadme.workspace = true\n\
            [[bin]]\nname = \"x\"\npath = \"../bins/x.rs\"\n[dependencies]\nb = { path = \"../linked/b\" }\n";
        assert_selects(
            &[
                ("Cargo.toml", "[workspace.package]\nreadme = \"docs/READ.md\"\nlicense-file = \"LICENSE\"\n"),
                ("LICENSE", ""),
                ("a/Cargo.toml", own),
                ("b/Cargo.toml", ""),
                ("bins/not.rs", ""),
                ("bins/x.rs", ""),
                ("build/a.rs", ""),
                ("docs/READ.md", ""),
                ("docs/not.md", ""),
                ("linked", "-> ."),
            ],
            "a",
        );
    }

    #[test]
    fn links_are_followed_to_their_end() {
        assert_selects(
            &[
                ("LICENSE", ""),
                ("a/Cargo.toml", ""),
                ("a/LICENSE", "-> ../second"),
                ("a/data", "-> ../shared/data"),
                ("a/gone", "-> ../nothing"),
                ("a/loop", "-> loop"),
                ("a/out", "-> /etc/passwd"),
                ("a/through", "-> ../passed/below/../../second"),
                ("a/up", "-> ../../.."),
                ("further", ""),
                ("not", ""),
                ("passed/below/it", ""),
                ("passed/not", ""),
                ("second", "-> LICENSE"),
                ("shared/data/deep/file", ""),
                ("shared/data/link", "-> ../../further"),
                ("shared/not", ""),
            ],
            "a",
        );
        // Wherever a link lies, it may stand on cargo's way; what it leads to is read from a `.cargo`.
        assert_selects(
            &[
                ("Cargo.toml", ""),
                ("a/Cargo.toml", ""),
                ("cfg/config.toml", ""),
                (".cargo", "-> cfg"),
                ("b/l", "-> ../not"),
                ("not", ""),
            ],
            "a",
        );
        // A link to the root is a link to everything.
        assert_selects(&[("a/Cargo.toml", ""), ("a/all", "-> .."), ("other/file", "")], "a");
    }

    #[test]
    fn everything_is_selected_where_a_link_can_not_be_followed() {
        let leaf = |mode| Leaf { id: ObjectId([0; 20]), mode };
        let link = |path: &[u8]| {
            let files = [(path, Mode::Link), (b"a/Cargo.toml", Mode::File), (b"other", Mode::File)];
            files.map(|(path, mode)| (path.to_vec(), leaf(mode))).into_iter().collect::<Leaves>()
        };
        let selects_all = |leaves: &Leaves, target: &[u8]| {
            let read = |_: &[u8], _| Ok::<_, ()>(target.to_vec());
            Selection::of(leaves, &"a".parse().unwrap(), read).unwrap().has(b"other")
        };
        assert!(!selects_all(&link(b"a/link"), b"Cargo.toml"));
        assert!(selects_all(&link(b"a/link"), b"\xff"));
        assert!(selects_all(&link(b"b/\xff"), b"Cargo.toml"));
    }

    #[test]
    fn configuration_leads_to_more_of_it_and_to_packages() {
        assert_selects(
            &[
                (".cargo/config", "include = [\"more.toml\", { path = \"../third.toml\" }]\npaths = [\"over\"]\n"),
                (".cargo/more.toml", "include = \"more.toml\"\n"),
                (".cargo/not.toml", ""),
                ("a/Cargo.toml", ""),
                ("over/Cargo.toml", ""),
                ("third.toml", ""),
            ],
            "a",
        );
    }

    #[test]
    fn a_package_at_the_root_has_everything() {
        assert_selects(&[("Cargo.toml", "no TOML ["), ("a/b", ""), ("z", "-> a")], "");
    }
}
