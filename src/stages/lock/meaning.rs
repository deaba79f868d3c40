//! What two lock files of a package say differently.
//!
//! Formats 1 to 4 say the same in other words. Other versions of packages from registries that the rebuilt one names too may
//! come from another day; everything else is no matter of the day: other sources, checksums, replacements, unknown keys,
//! a dependency of the package itself, packages that nothing needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toml::{Table, Value};

use super::{DEFAULT_SOURCE, metadata_key};
use crate::model::krate::CrateId;

/// What a published lock file says that the rebuilt one does not, and the other way round.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockDifference {
    /// Other versions of packages.
    pub versions: Vec<String>,
    /// What no index of any day gives.
    pub wrong: Vec<String>,
}

/// A package of a lock file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    name: String,
    version: String,
    source: Option<String>,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// What a lock file says of a package.
#[derive(Debug, Clone, PartialEq, Default)]
struct Entry {
    checksum: Option<String>,
    dependencies: BTreeSet<Id>,
    /// What is none of the above, unresolved dependencies among it.
    rest: Table,
}

/// A lock file, in whatever format.
#[derive(Debug, Clone, PartialEq, Default)]
struct Meaning {
    packages: BTreeMap<Id, Entry>,
    rest: Table,
}

/// Compares the published lock file of a package with the rebuilt one.
///
/// # Errors
/// Where one of them is not a lock file.
pub fn differences(published: &str, rebuilt: &str, package: &CrateId) -> Result<LockDifference, String> {
    let (theirs, mine) = (read(published)?, read(rebuilt)?);
    let mut found = LockDifference::default();
    let only = |a: &Meaning, b: &Meaning| -> Vec<Id> {
        a.packages.keys().filter(|id| !b.packages.contains_key(id)).cloned().collect()
    };
    let (published, missing) = (only(&theirs, &mine), only(&mine, &theirs));
    let known: BTreeSet<&str> =
        mine.packages.keys().filter_map(|id| id.source.as_deref()).chain([DEFAULT_SOURCE]).collect();
    for id in &published {
        match &id.source {
            Some(source) if known.contains(source.as_str()) => found.versions.push(format!("only published: {id}")),
            Some(source) => found.wrong.push(format!("only published: {id} from {source}")),
            None => found.wrong.push(format!("only published: {id} without a source")),
        }
    }
    found.versions.extend(missing.iter().map(|id| format!("missing from the published one: {id}")));
    let same_packages = published.is_empty() && missing.is_empty();
    for (id, entry) in &theirs.packages {
        // Where the rebuilt one does not have it, it was told above; what else it says has to be nothing.
        let own = mine.packages.get(id);
        if own.is_some_and(|own| own.checksum != entry.checksum) {
            found.wrong.push(format!("another checksum for {id}"));
        }
        if own.map_or(!entry.rest.is_empty(), |own| own.rest != entry.rest) {
            found.wrong.push(format!("different meaning of {id}: {}", Value::Table(entry.rest.clone())));
        }
        let Some(own) = own else { continue };
        let names = |entry: &Entry| entry.dependencies.iter().map(|id| id.name.clone()).collect::<BTreeSet<_>>();
        if (same_packages && own.dependencies != entry.dependencies)
            || (is_package(id, package) && names(own) != names(entry))
        {
            found.wrong.push(format!("other dependencies of {id}"));
        }
    }
    if theirs.rest != mine.rest {
        found.wrong.push(format!("something else beside the packages: {}", Value::Table(theirs.rest.clone())));
    }
    if !theirs.packages.keys().any(|id| is_package(id, package)) {
        found.wrong.push(format!("{package} itself is missing"));
    }
    found.wrong.extend(theirs.unneeded(package).iter().map(|id| format!("nothing needs {id}")));
    Ok(found)
}

/// What a lock file has that says nothing of packages, and that cargo would keep all the same; none where there is nothing.
#[must_use]
pub fn beside_packages(text: &str) -> Option<String> {
    if let Some(comment) = text.lines().find(|line| line.starts_with('#') && !HEAD.contains(line)) {
        return Some(format!("the comment {comment}"));
    }
    let read = match read(text) {
        Ok(read) => read,
        Err(error) => return Some(error),
    };
    let of_package = read.packages.iter().find(|(_, entry)| !entry.rest.is_empty());
    match of_package {
        Some((id, entry)) => Some(format!("{} of {id}", Value::Table(entry.rest.clone()))),
        None => (!read.rest.is_empty()).then(|| Value::Table(read.rest).to_string()),
    }
}

/// What cargos write before the packages.
const HEAD: [&str; 2] =
    ["# This file is automatically @generated by Cargo.", "# It is not intended for manual editing."];

/// Whether an entry is of the package whose lock file it is.
fn is_package(id: &Id, package: &CrateId) -> bool {
    id.source.is_none() && id.name == package.name.as_str()
}

impl Meaning {
    /// The packages that are no dependency of a package, directly or through others.
    fn unneeded(&self, package: &CrateId) -> Vec<&Id> {
        let mut ahead: Vec<&Id> = self.packages.keys().filter(|id| is_package(id, package)).collect();
        let mut needed: BTreeSet<&Id> = ahead.iter().copied().collect();
        while let Some(entry) = ahead.pop().and_then(|id| self.packages.get(id)) {
            ahead.extend(entry.dependencies.iter().filter(|id| needed.insert(id)));
        }
        self.packages.keys().filter(|id| !needed.contains(id)).collect()
    }
}

fn read(text: &str) -> Result<Meaning, String> {
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let mut metadata = match table.remove("metadata") {
        Some(Value::Table(metadata)) => metadata,
        Some(other) => return Err(format!("its metadata is {other}")),
        None => Table::new(),
    };
    // The number of the format is form; cargo knows these.
    match table.remove("version") {
        None | Some(Value::Integer(1..=4)) => {}
        Some(other) => return Err(format!("its format is {other}")),
    }
    let Some(Value::Array(listed)) = table.remove("package").or(Some(Value::Array(Vec::new()))) else {
        return Err("its packages are no list".to_owned());
    };
    let mut packages = BTreeMap::new();
    let mut references = BTreeMap::new();
    // The oldest lock files have the package itself in a place of its own.
    for package in listed.into_iter().chain(table.remove("root")) {
        let Value::Table(mut package) = package else { return Err("a package is no table".to_owned()) };
        let mut text = |key: &str| match package.remove(key) {
            Some(Value::String(text)) => Ok(Some(text)),
            None => Ok(None),
            Some(other) => Err(format!("a package's {key} is {other}")),
        };
        let (name, version) = (text("name")?, text("version")?);
        let (Some(name), Some(version)) = (name, version) else { return Err("a package has no name".to_owned()) };
        let id = Id { name, version, source: text("source")? };
        let own = text("checksum")?;
        let noted = id.source.as_ref().and_then(|source| metadata.remove(&metadata_key(&id.name, &id.version, source)));
        let noted = noted.and_then(|value| value.as_str().map(str::to_owned)).filter(|checksum| checksum != "<none>");
        let checksum = match (own, noted) {
            (Some(_), Some(_)) => return Err(format!("it has two checksums for {id}")),
            (own, noted) => own.or(noted),
        };
        let dependencies = match package.remove("dependencies") {
            Some(Value::Array(dependencies)) => dependencies,
            None => Vec::new(),
            Some(other) => return Err(format!("the dependencies of {id} are {other}")),
        };
        references.insert(id.clone(), dependencies);
        if packages.insert(id.clone(), Entry { checksum, rest: package, ..Entry::default() }).is_some() {
            return Err(format!("it has {id} twice"));
        }
    }
    let mut by_name: BTreeMap<String, Vec<Id>> = BTreeMap::new();
    for id in packages.keys() {
        by_name.entry(id.name.clone()).or_default().push(id.clone());
    }
    for (id, dependencies) in references {
        let (resolved, unresolved): (Vec<_>, Vec<_>) = dependencies
            .into_iter()
            .map(|dependency| resolve(&by_name, &dependency).ok_or(dependency))
            .partition(Result::is_ok);
        let Some(entry) = packages.get_mut(&id) else { continue };
        entry.dependencies = resolved.into_iter().flatten().collect();
        let unresolved: Vec<Value> = unresolved.into_iter().filter_map(Result::err).collect();
        if !unresolved.is_empty() {
            entry.rest.insert("dependencies".to_owned(), Value::Array(unresolved));
        }
    }
    if !metadata.is_empty() {
        table.insert("metadata".to_owned(), Value::Table(metadata));
    }
    Ok(Meaning { packages, rest: table })
}

/// The package that a dependency names: `name`, `name version` or `name version (source)`, as long as only one fits.
fn resolve(by_name: &BTreeMap<String, Vec<Id>>, dependency: &Value) -> Option<Id> {
    let mut parts = dependency.as_str()?.splitn(3, ' ');
    let (name, version, source) = (parts.next()?, parts.next(), parts.next());
    let source = match source {
        Some(source) => Some(source.strip_prefix('(')?.strip_suffix(')')?),
        None => None,
    };
    let mut fitting = by_name.get(name)?.iter().filter(|id| {
        version.is_none_or(|version| id.version == version)
            && source.is_none_or(|source| id.source.as_deref() == Some(source))
    });
    let found = fitting.next()?;
    fitting.next().is_none().then(|| found.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: &str = "registry+https://evil.example/index";

    fn package() -> CrateId {
        "a@1.0.0".parse().unwrap()
    }

    fn entry(name: &str, version: &str, source: &str, more: &str) -> String {
        format!(
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\nchecksum = \"{}\"\n{more}\n",
            "0".repeat(64)
        )
    }

    /// The lock file of `a`, which needs `x`, which needs `y`.
    fn lock() -> String {
        let root = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\ndependencies = [\"x\"]\n\n";
        let others =
            entry("x", "1.0.0", DEFAULT_SOURCE, "dependencies = [\"y\"]\n") + &entry("y", "1.0.0", DEFAULT_SOURCE, "");
        format!("version = 4\n\n{root}{others}")
    }

    fn said(published: &str) -> LockDifference {
        differences(published, &lock(), &package()).unwrap()
    }

    #[test]
    fn what_rides_along_is_noticed() {
        assert_eq!(beside_packages(&lock()), None);
        assert_eq!(beside_packages(&format!("{}\n{}\n{}", HEAD[0], HEAD[1], lock())), None);
        for text in [
            format!("# run this\n{}", lock()),
            lock() + "[metadata]\nkey = \"value\"\n",
            lock() + "[[package]]\nname = \"z\"\nversion = \"1.0.0\"\nnote = \"x\"\n",
            "no lock file".to_owned(),
        ] {
            assert!(beside_packages(&text).is_some(), "{text}");
        }
    }

    #[test]
    fn the_formats_say_the_same() {
        assert_eq!(said(&lock()), LockDifference::default());
        assert_eq!(said(&lock().replace("version = 4\n", "")), LockDifference::default());
        let long = |name: &str| format!("[\"{name} 1.0.0 ({DEFAULT_SOURCE})\"]");
        let mut old = lock().replace("version = 4\n", "").replace("[\"x\"]", &long("x")).replace("[\"y\"]", &long("y"));
        old = old.replace(&format!("checksum = \"{}\"\n", "0".repeat(64)), "");
        for name in ["x", "y"] {
            let header = if name == "x" { "[metadata]\n" } else { "" };
            old += &format!("{header}\"checksum {name} 1.0.0 ({DEFAULT_SOURCE})\" = \"{}\"\n", "0".repeat(64));
        }
        assert_eq!(said(&old), LockDifference::default());
    }

    #[test]
    fn other_versions_are_a_matter_of_the_day() {
        let found = said(&lock().replace("name = \"y\"\nversion = \"1.0.0\"", "name = \"y\"\nversion = \"1.0.1\""));
        assert_eq!(found.versions, ["only published: y@1.0.1", "missing from the published one: y@1.0.0"]);
        assert_eq!(found.wrong, [""; 0]);
    }

    #[test]
    fn what_no_day_gives_is_wrong() {
        let y = |of: &str, with: &str| {
            let lock = lock();
            let at = lock.find("name = \"y\"").unwrap();
            format!("{}{}", &lock[..at], lock[at..].replacen(of, with, 1))
        };
        for (published, told) in [
            (y(DEFAULT_SOURCE, OTHER), "from registry+https://evil.example/index"),
            (y(DEFAULT_SOURCE, "git+https://evil.example/y#0123"), "from git+https://evil.example/y#0123"),
            (y("checksum = \"0", "checksum = \"1"), "another checksum for y@1.0.0"),
            ("# nothing\n".to_owned(), "a@1.0.0 itself is missing"),
            (y("checksum", "replace = \"z 1.0.0\"\nchecksum"), "different meaning of y@1.0.0"),
            (y("checksum", "unheard-of = 1\nchecksum"), "different meaning of y@1.0.0"),
            (lock().replace("dependencies = [\"y\"]\n", ""), "other dependencies of x@1.0.0"),
            (lock().replace("[\"x\"]", "[\"x\", \"y\"]"), "other dependencies of a@1.0.0"),
            (lock().replace("[\"x\"]", "[\"x\", \"gone\"]"), "different meaning of a@1.0.0"),
            (lock() + &entry("z", "1.0.0", DEFAULT_SOURCE, ""), "nothing needs z@1.0.0"),
            (lock() + "[metadata]\nkey = \"value\"\n", "something else beside the packages"),
            (lock() + "[[patch.unused]]\nname = \"z\"\nversion = \"1.0.0\"\n", "something else beside the packages"),
            (lock() + "[[package]]\nname = \"z\"\nversion = \"1.0.0\"\n", "without a source"),
        ] {
            let wrong = said(&published).wrong;
            assert!(wrong.iter().any(|wrong| wrong.contains(told)), "{told}: {wrong:?}\n{published}");
        }
    }

    #[test]
    fn what_cargo_does_not_write_is_no_lock_file() {
        for text in ["version = 5", "package = 1", "[[package]]\nname = 1\n", "[[package]]\nname = \"a\"\n", "not TOML"]
        {
            assert!(differences(text, &lock(), &package()).is_err(), "{text}");
        }
        let twice = lock() + &entry("y", "1.0.0", DEFAULT_SOURCE, "");
        assert_eq!(differences(&twice, &lock(), &package()), Err("it has y@1.0.0 twice".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = differences(&text, &lock(), &package());
        }
    }
}
