//! The proof that an old cargo chose among everything that the registry had: one that does not stop at what the index slice leaves out
//! ([`super::index::STOPS`]).
//!
//! It may take an older version of something that does not need the crate. So the Cargo.lock that it made is looked at: wherever a
//! newer version than the one it took would have done, everything that the newer one may need must be in the slice. That the commit
//! has a Cargo.lock makes no difference: which of them such a cargo starts from is not certain enough.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use semver::{Version, VersionReq};
use serde::Deserialize;
use toml::{Table, Value};

use super::contents::each_file;
use crate::contract::status::Outcome;
use crate::model::krate::CrateName;
use crate::model::requirement::versions;

/// What a lock file calls the default registry.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A version that was taken.
type Taken = (CrateName, Version);

/// An index slice, as far as it was looked at.
struct Index<'a> {
    folder: &'a Path,
    read: BTreeMap<CrateName, Option<Vec<Line>>>,
}

/// A line of it.
#[derive(Debug, Clone, Deserialize)]
struct Line {
    vers: Version,
    #[serde(default)]
    deps: Vec<Dependency>,
    #[serde(default)]
    yanked: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Dependency {
    name: String,
    package: Option<String>,
    req: String,
    kind: Option<String>,
    registry: Option<String>,
}

impl Line {
    /// What it requires of the default registry, development apart: of which crate, and which versions.
    fn requires(&self) -> impl Iterator<Item = (CrateName, VersionReq)> + '_ {
        let plain = |one: &&Dependency| one.kind.as_deref() != Some("dev") && one.registry.is_none();
        self.deps
            .iter()
            .filter(plain)
            .filter_map(|one| Some((one.package.as_ref().unwrap_or(&one.name).parse().ok()?, versions(&one.req))))
    }
}

impl Index<'_> {
    /// The lines of a crate; none where the slice does not say anything of it.
    fn lines(&mut self, name: &CrateName) -> Option<&[Line]> {
        let read = || {
            let text = fs_err::read_to_string(self.folder.join(name.index_path())).ok()?;
            Some(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
        };
        self.read.entry(name.clone()).or_insert_with(read).as_deref()
    }

    /// The crates that the slice lacks of what a line may need.
    fn lacks(&mut self, line: &Line) -> BTreeSet<CrateName> {
        let mut lacks = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut ahead: Vec<(CrateName, VersionReq)> = line.requires().collect();
        while let Some((name, versions)) = ahead.pop() {
            let Some(lines) = self.lines(&name) else {
                lacks.insert(name);
                continue;
            };
            for line in lines.iter().filter(|line| versions.matches(&line.vers)) {
                if seen.insert((name.clone(), line.vers.clone())) {
                    ahead.extend(line.requires());
                }
            }
        }
        lacks
    }
}

/// A Cargo.lock, as far as it is about the default registry.
struct Lock {
    /// What each package took; none is the package itself.
    took: Vec<(Option<Taken>, Vec<Taken>)>,
}

impl Lock {
    fn read(text: &str) -> Option<Self> {
        let table: Table = text.parse().ok()?;
        let packages = table.get("package")?.as_array()?;
        let text_of = |package: &Value, key: &str| Some(package.get(key)?.as_str()?.to_owned());
        let mut versions: BTreeMap<String, Vec<Version>> = BTreeMap::new();
        for package in packages {
            if let (Some(name), Some(version)) = (text_of(package, "name"), text_of(package, "version")) {
                versions.entry(name).or_default().push(version.parse().ok()?);
            }
        }
        let taken = |said: &Value| -> Option<Taken> {
            let mut parts = said.as_str()?.split(' ');
            let name = parts.next()?;
            let version = match parts.next() {
                Some(version) => version.parse().ok()?,
                None => versions.get(name)?.first()?.clone(),
            };
            Some((name.parse().ok()?, version))
        };
        let took = packages.iter().filter_map(|package| {
            let own = match text_of(package, "source") {
                None => None,
                Some(source) if source == REGISTRY => {
                    Some((text_of(package, "name")?.parse().ok()?, text_of(package, "version")?.parse().ok()?))
                }
                Some(_) => return None,
            };
            let dependencies = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
            Some((own, dependencies.filter_map(taken).collect()))
        });
        Some(Self { took: took.collect() })
    }
}

/// What a manifest requires of crates, development included.
#[must_use]
pub fn required_by_manifest(manifest: &Table) -> Vec<(CrateName, VersionReq)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let workspace = manifest.get("workspace").and_then(Value::as_table);
    let tables = targets.filter_map(|(_, target)| target.as_table()).chain([manifest]).chain(workspace);
    let of_table = |table: &Table| -> Vec<(CrateName, VersionReq)> {
        let kinds =
            ["dependencies", "dev-dependencies", "build-dependencies", "dev_dependencies", "build_dependencies"];
        let all = kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()).flatten();
        // What is inherited says the workspace.
        let own = all.filter(|(_, said)| said.get("workspace").is_none());
        own.filter_map(|(key, said)| {
            let name = said.get("package").and_then(Value::as_str).unwrap_or(key);
            let said = said.as_str().or_else(|| said.get("version")?.as_str()).unwrap_or("*");
            Some((name.parse().ok()?, versions(said)))
        })
        .collect()
    };
    tables.flat_map(of_table).collect()
}

/// What is around a package: what cargo locks for all of it is where some cargos begin.
#[derive(Debug)]
pub struct Workspace {
    /// What all manifests require, whoever is a member.
    pub required: Vec<(CrateName, VersionReq)>,
    /// The lock files of the package's folder and those above it, before cargo came.
    pub before: Vec<String>,
    /// The same after it.
    pub after: Vec<String>,
}

/// What keeps a crate's Cargo.lock from showing what the registry's index gives; none where nothing does.
///
/// # Errors
/// Where the crate, or a Cargo.lock, can't be read.
pub fn undecided(made: &Path, index: &Path, workspace: &Workspace) -> io::Result<Option<Outcome>> {
    let unreadable = || io::Error::other("cargo's Cargo.lock can't be read");
    let (mut lock, mut manifest) = (None, Table::new());
    each_file(made, |path, file| {
        let mut text = String::new();
        match path {
            "Cargo.lock" => {
                file.read_to_string(&mut text)?;
                lock = Some(Lock::read(&text).ok_or_else(unreadable)?);
            }
            "Cargo.toml" => {
                file.read_to_string(&mut text)?;
                manifest = text.parse().map_err(io::Error::other)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    let mut index = Index { folder: index, read: BTreeMap::new() };
    let of_crate =
        lock.and_then(|lock| lock.passed_over(&mut index, &required_by_manifest(&manifest), &BTreeSet::new()));
    if of_crate.is_some() {
        return Ok(of_crate);
    }
    let Workspace { required, before, after } = workspace;
    let had: BTreeSet<Taken> = before.iter().filter_map(|text| Lock::read(text)).flat_map(Lock::names).collect();
    for text in after.iter().filter(|text| !before.contains(*text)) {
        let added = Lock::read(text).ok_or_else(unreadable)?;
        if let Some(undecided) = added.passed_over(&mut index, required, &had) {
            return Ok(Some(undecided));
        }
    }
    Ok(None)
}

impl Lock {
    /// What it names of the registry.
    fn names(self) -> impl Iterator<Item = Taken> {
        self.took.into_iter().filter_map(|(own, _)| own)
    }

    /// A newer version than one that it took, but for those that were `had`, of which the slice lacks something.
    fn passed_over(
        &self,
        index: &mut Index<'_>,
        required: &[(CrateName, VersionReq)],
        had: &BTreeSet<Taken>,
    ) -> Option<Outcome> {
        // What was asked of each version that was taken, by whoever took it.
        let mut asked: BTreeMap<&Taken, Vec<VersionReq>> = BTreeMap::new();
        for (own, took) in &self.took {
            let requires: Vec<(CrateName, VersionReq)> = match own {
                None => required.to_vec(),
                Some((name, version)) => {
                    let lines = index.lines(name).unwrap_or_default();
                    lines.iter().filter(|line| line.vers == *version).flat_map(Line::requires).collect()
                }
            };
            for taken in took {
                let of_it = requires.iter().filter(|(name, versions)| *name == taken.0 && versions.matches(&taken.1));
                asked.entry(taken).or_default().extend(of_it.map(|(_, versions)| versions.clone()));
            }
        }
        for (taken, asked) in asked.into_iter().filter(|(taken, _)| !had.contains(*taken)) {
            let (name, version) = taken;
            let lines = index.lines(name).unwrap_or_default();
            let newer: Vec<Line> = lines.iter().filter(|line| line.vers > *version && !line.yanked).cloned().collect();
            for line in newer {
                let fits = |versions: &VersionReq| versions.matches(&line.vers);
                // What others asked for may be for want of a crate, too. Who asked may not be known: then it is anybody.
                let would_do = asked.is_empty() || asked.iter().any(fits);
                if !would_do {
                    continue;
                }
                let lacks: Vec<CrateName> = index.lacks(&line).into_iter().collect();
                if !lacks.is_empty() {
                    return Some(Outcome::Undecided { passed_over: format!("{name} {}", line.vers), lacks });
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index line with requirements, each `NAME REQ`.
    fn line(name: &str, version: &str, requires: &[&str], more: &str) -> String {
        let one = |said: &&str| {
            let (name, req) = said.split_once(' ').unwrap();
            format!(r#"{{"name":"{name}","req":"{req}","kind":"normal","optional":true,"features":[]}}"#)
        };
        let deps = requires.iter().map(one).collect::<Vec<_>>().join(",");
        format!(r#"{{"name":"{name}","vers":"{version}","deps":[{deps}],"cksum":"","features":{{}}{more}}}"#)
    }

    /// What is undecided where a package that requires `required` took `took`, and the index slice has `lines`.
    fn found(lines: &[(&str, String)], required: &str, took: &[&str]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, line) in lines {
            let file = folder.path().join(name.parse::<CrateName>().unwrap().index_path());
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            let before = std::fs::read_to_string(&file).unwrap_or_default();
            std::fs::write(&file, format!("{before}{line}\n")).unwrap();
        }
        let mut lock = "[[package]]\nname = \"own\"\nversion = \"1.0.0\"\ndependencies = [\"dep\"]\n".to_owned();
        for said in took {
            let (name, version) = said.split_once(' ').unwrap();
            lock += &format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{REGISTRY}\"\n");
        }
        let manifest: Table = format!("[dependencies]\n{required}\n").parse().unwrap();
        let mut index = Index { folder: folder.path(), read: BTreeMap::new() };
        let lock = Lock::read(&lock).unwrap();
        match lock.passed_over(&mut index, &required_by_manifest(&manifest), &BTreeSet::new()) {
            Some(Outcome::Undecided { passed_over, lacks }) => {
                let lacks: Vec<&str> = lacks.iter().map(CrateName::as_str).collect();
                Some(format!("{passed_over}: {}", lacks.join(" ")))
            }
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_older_version_counts_only_where_the_newer_one_could_have_been_taken() {
        let lines = [
            ("dep", line("dep", "1.0.0", &[], "")),
            ("dep", line("dep", "1.1.0", &["far ^1", "near ^1"], "")),
            ("near", line("near", "1.0.0", &["farther *"], "")),
        ];
        let undecided = Some("dep 1.1.0: far farther".to_owned());
        assert_eq!(found(&lines, "dep = \"1\"", &["dep 1.0.0"]), undecided);
        assert_eq!(found(&lines, "dep = \"1\"", &["dep 1.1.0"]), None, "the newest was taken");
        assert_eq!(found(&lines, "dep = \"=1.0.0\"", &["dep 1.0.0"]), None, "the newest would not do");
        // A slice that says of each whether there is such a crate.
        let (far, farther) = (("far", String::new()), ("farther", String::new()));
        let complete: Vec<_> = lines.iter().cloned().chain([far, farther]).collect();
        assert_eq!(found(&complete, "dep = \"1\"", &["dep 1.0.0"]), None);
    }

    #[test]
    fn a_newer_version_of_another_series_or_yanked() {
        let newer = |version: &str, more: &str| {
            [("dep", line("dep", "1.0.0", &[], "")), ("dep", line("dep", version, &["far ^1"], more))]
        };
        let dep = "dep = \">=1, <3\"";
        let undecided = |version: &str| Some(format!("dep {version}: far"));
        assert_eq!(found(&newer("2.0.0", ""), dep, &["dep 1.0.0"]), undecided("2.0.0"));
        assert_eq!(found(&newer("3.0.0", ""), dep, &["dep 1.0.0"]), None);
        assert_eq!(found(&newer("1.1.0", ",\"yanked\":true"), dep, &["dep 1.0.0"]), None);
    }
}
