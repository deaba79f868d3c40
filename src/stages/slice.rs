//! *Index slice*: the part of a registry's index that cargo needs for one package, as it was at one time.
//!
//! Every index line has a `pubtime`, so the index of any day can be cut out of today's. Only names that some lock file
//! or manifest mentions are in it, and only lines that some requirement can match: everything reachable would be
//! thousands of crates for two dev-dependencies. The one thing that a cut can't give back is `yanked`, which has no
//! date: a slice says which versions it takes to be yanked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use nix_archive::nar::Encoder;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::model::digest::{Sha256, Sri};
use crate::model::krate::CrateName;
use crate::model::release::Minor;

/// One line of an index: one version of one crate.
#[derive(Debug, Clone)]
pub struct IndexLine {
    /// The line as the registry has it.
    pub raw: String,
    /// The version.
    pub version: Version,
    /// The checksum of the crate.
    pub checksum: Sha256,
    /// Whether it is yanked today.
    pub yanked: bool,
    /// When it was published; registries of other makes may not say.
    pub published: Option<Timestamp>,
    /// What it requires, development apart.
    pub requirements: Vec<(String, VersionReq)>,
    /// The version of the line's format.
    pub format: u32,
}

/// Reads the index file of a crate. Lines that can't be read are left out, as cargo leaves them out.
#[must_use]
pub fn read_index(bytes: &[u8]) -> Vec<IndexLine> {
    #[derive(Deserialize)]
    struct Wire {
        vers: Version,
        cksum: Sha256,
        #[serde(default)]
        yanked: bool,
        pubtime: Option<String>,
        #[serde(default)]
        deps: Vec<Dependency>,
        #[serde(default = "one")]
        v: u32,
    }
    #[derive(Deserialize)]
    struct Dependency {
        name: String,
        package: Option<String>,
        req: String,
        kind: Option<String>,
    }
    fn one() -> u32 {
        1
    }
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .filter_map(|line| {
            let wire: Wire = serde_json::from_str(line).ok()?;
            let requirements = wire
                .deps
                .into_iter()
                .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
                .map(|d| (d.package.unwrap_or(d.name), d.req.parse().unwrap_or(VersionReq::STAR)))
                .collect();
            Some(IndexLine {
                raw: line.to_owned(),
                version: wire.vers,
                checksum: wire.cksum,
                yanked: wire.yanked,
                published: wire.pubtime.and_then(|time| time.parse().ok()),
                requirements,
                format: wire.v,
            })
        })
        .collect()
}

/// The index files of a registry, by crate.
pub type Index = BTreeMap<CrateName, std::sync::Arc<Vec<IndexLine>>>;

/// The time at which an index is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// What was there strictly before this time. At the very time of publication cargo would find the crate itself.
    Before(Timestamp),
    /// What was there at this time.
    Until(Timestamp),
}

impl Cut {
    /// Whether something published at `time` is in.
    #[must_use]
    pub fn includes(self, time: Option<Timestamp>) -> bool {
        match (self, time) {
            (_, None) => true,
            (Self::Before(cut), Some(time)) => time < cut,
            (Self::Until(cut), Some(time)) => time <= cut,
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(time) => write!(f, "before {time}"),
            Self::Until(time) => write!(f, "up to {time}"),
        }
    }
}

/// What a package needs of an index.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The crates that cargo may ask for.
    pub names: BTreeSet<CrateName>,
    /// Versions that a lock file names; they are in whatever the requirements say.
    pub locked: BTreeMap<CrateName, BTreeSet<Version>>,
    /// What the manifests require.
    pub requirements: Vec<(CrateName, VersionReq)>,
    /// Versions taken not to be yanked, as they weren't when somebody locked them.
    pub restored: BTreeMap<CrateName, BTreeSet<Version>>,
}

/// A part of an index, ready to be laid out as a cargo local registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Index files by path, relative to the registry's root.
    pub files: BTreeMap<String, String>,
    /// The versions that the slice takes to be yanked, as `name@version`.
    pub yanked: Vec<String>,
}

/// Cuts a slice out of an index, for a cargo of a release.
#[must_use]
pub fn cut(index: &Index, wanted: &Wanted, cut: Option<Cut>, cargo: Minor) -> Slice {
    let mut kept: BTreeMap<&CrateName, BTreeSet<usize>> = BTreeMap::new();
    let mut seen: BTreeSet<(&str, String)> = BTreeSet::new();
    let mut queue: Vec<(&CrateName, &VersionReq)> =
        wanted.requirements.iter().map(|(name, versions)| (name, versions)).collect();

    let usable = |line: &IndexLine| {
        cut.is_none_or(|cut| cut.includes(line.published)) && (cargo >= UNDERSTANDS_FORMAT_2 || line.format < 2)
    };
    let mut take = |name: &'_ CrateName, at: usize, queue: &mut Vec<_>| {
        let Some((name, lines)) = index.get_key_value(name) else { return };
        if kept.entry(name).or_default().insert(at) {
            for (required, versions) in &lines[at].requirements {
                let named = required.parse::<CrateName>().ok().and_then(|r| wanted.names.get(&r));
                if let Some(required) = named {
                    queue.push((required, versions));
                }
            }
        }
    };
    let mut lent: Vec<(&CrateName, &VersionReq)> = Vec::new();
    for (name, versions) in &wanted.locked {
        for (at, line) in index.get(name).into_iter().flat_map(|lines| lines.iter()).enumerate() {
            if versions.contains(&line.version) && usable(line) {
                take(name, at, &mut lent);
            }
        }
    }
    queue.append(&mut lent);
    while let Some((name, versions)) = queue.pop() {
        if !seen.insert((name.as_str(), versions.to_string())) {
            continue;
        }
        for (at, line) in index.get(name).into_iter().flat_map(|lines| lines.iter()).enumerate() {
            if usable(line) && (*versions == VersionReq::STAR || versions.matches(&line.version)) {
                take(name, at, &mut queue);
            }
        }
    }
    write(index, &kept, wanted)
}

/// The first cargo that understands lines of format 2; older ones would misread them (1.46) or pass them over.
const UNDERSTANDS_FORMAT_2: Minor = Minor(60);

fn write(index: &Index, kept: &BTreeMap<&CrateName, BTreeSet<usize>>, wanted: &Wanted) -> Slice {
    let mut slice = Slice { files: BTreeMap::new(), yanked: Vec::new() };
    for (name, lines) in kept {
        let restored = wanted.restored.get(*name);
        let mut text = String::new();
        for at in lines {
            let line = &index[*name][*at];
            let restore = line.yanked && restored.is_some_and(|versions| versions.contains(&line.version));
            if restore {
                text.push_str(&line.raw.replace("\"yanked\":true", "\"yanked\":false"));
            } else {
                if line.yanked {
                    slice.yanked.push(format!("{name}@{}", line.version));
                }
                text.push_str(&line.raw);
            }
            text.push('\n');
        }
        slice.files.insert(index_path(name), text);
    }
    slice
}

/// Where an index keeps a crate: `index/1/a`, `index/2/ab`, `index/3/a/abc`, `index/ab/cd/abcd`, in lower case.
#[must_use]
pub fn index_path(name: &CrateName) -> String {
    let name = name.as_str().to_ascii_lowercase();
    match name.len() {
        1 => format!("index/1/{name}"),
        2 => format!("index/2/{name}"),
        3 => format!("index/3/{}/{name}", &name[..1]),
        _ => format!("index/{}/{}/{name}", &name[..2], &name[2..4]),
    }
}

impl Slice {
    /// The hash of the slice's NAR: its identity in the store.
    #[must_use]
    pub fn nar_hash(&self) -> Sri {
        let encode = || -> Result<[u8; 32], nix_archive::nar::Error> {
            let mut encoder = Encoder::new(sha2::Sha256::new())?;
            encoder.start_directory(None)?;
            self.folder("index").encode(&mut encoder)?;
            encoder.end_directory()?;
            Ok(encoder.finish()?.finalize().into())
        };
        // Hashing into memory fails only on names out of order or illegal in a NAR, and a slice's names are crates'.
        Sri(Sha256(encode().unwrap_or_default()))
    }

    /// The tree below the registry's root, which has the one folder `index` even where that is empty.
    fn folder(&self, top: &'static str) -> Folder<'_> {
        let mut root = Folder::default();
        root.folders.entry(top).or_default();
        for (path, text) in &self.files {
            let mut folder = &mut root;
            let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
            for part in parents.split('/') {
                folder = folder.folders.entry(part).or_default();
            }
            folder.files.insert(name, text);
        }
        root
    }
}

/// A folder in memory.
#[derive(Default)]
struct Folder<'a> {
    folders: BTreeMap<&'a str, Folder<'a>>,
    files: BTreeMap<&'a str, &'a str>,
}

impl Folder<'_> {
    fn encode(&self, encoder: &mut Encoder<sha2::Sha256>) -> Result<(), nix_archive::nar::Error> {
        for name in self.folders.keys().chain(self.files.keys()).collect::<BTreeSet<_>>() {
            match self.folders.get(name) {
                Some(folder) => {
                    encoder.start_directory(Some(name.as_bytes()))?;
                    folder.encode(encoder)?;
                    encoder.end_directory()?;
                }
                None => encoder.regular(Some(name.as_bytes()), false, self.files[name].as_bytes())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, version: &str, published: &str, yanked: bool, requires: &str) -> String {
        let deps = if requires.is_empty() {
            String::new()
        } else {
            format!(r#"{{"name":"{requires}","req":"^1","kind":"normal"}}"#)
        };
        format!(
            r#"{{"name":"{name}","vers":"{version}","deps":[{deps}],"cksum":"{}","features":{{}},"yanked":{yanked},"pubtime":"{published}"}}"#,
            "0".repeat(64)
        )
    }

    fn name(text: &str) -> CrateName {
        text.parse().unwrap()
    }

    fn index() -> Index {
        let a = [
            line("a", "1.0.0", "2020-01-01T00:00:00Z", false, "bcd"),
            line("a", "1.1.0", "2021-01-01T00:00:00Z", true, "bcd"),
            line("a", "2.0.0", "2022-01-01T00:00:00Z", false, "far"),
        ];
        let b = [line("bcd", "1.0.0", "2020-01-01T00:00:00Z", false, ""), "not json".to_owned()];
        [("a", a.join("\n")), ("bcd", b.join("\n"))]
            .into_iter()
            .map(|(krate, text)| (name(krate), std::sync::Arc::new(read_index(text.as_bytes()))))
            .collect()
    }

    fn wanted(requirement: &str) -> Wanted {
        Wanted {
            names: [name("a"), name("bcd")].into(),
            requirements: vec![(name("a"), requirement.parse().unwrap())],
            ..Wanted::default()
        }
    }

    fn versions(slice: &Slice, path: &str) -> Vec<String> {
        let text = slice.files.get(path).map_or("", String::as_str);
        read_index(text.as_bytes()).into_iter().map(|line| line.version.to_string()).collect()
    }

    #[test]
    fn a_slice_has_what_was_there_before_the_cut() {
        let before = Some(Cut::Before("2021-01-01T00:00:00Z".parse().unwrap()));
        let slice = cut(&index(), &wanted("*"), before, Minor(95));
        assert_eq!(versions(&slice, "index/1/a"), ["1.0.0"]);
        let until = Some(Cut::Until("2021-01-01T00:00:00Z".parse().unwrap()));
        let slice = cut(&index(), &wanted("*"), until, Minor(95));
        assert_eq!(versions(&slice, "index/1/a"), ["1.0.0", "1.1.0"]);
        assert_eq!(slice.yanked, ["a@1.1.0"]);
    }

    #[test]
    fn only_lines_that_a_requirement_matches_are_in() {
        let slice = cut(&index(), &wanted("^1"), None, Minor(95));
        assert_eq!(versions(&slice, "index/1/a"), ["1.0.0", "1.1.0"]);
        assert_eq!(versions(&slice, "index/3/b/bcd"), ["1.0.0"], "required by a 1");
        let slice = cut(&index(), &wanted("^2"), None, Minor(95));
        assert!(!slice.files.contains_key("index/3/b/bcd"), "nothing that is in requires it");
    }

    #[test]
    fn a_locked_version_is_in_whatever_the_requirements_say() {
        let mut wanted = wanted("^2");
        wanted.locked.insert(name("a"), ["1.1.0".parse().unwrap()].into());
        let slice = cut(&index(), &wanted, None, Minor(95));
        assert_eq!(versions(&slice, "index/1/a"), ["1.1.0", "2.0.0"]);
        wanted.restored = wanted.locked.clone();
        let slice = cut(&index(), &wanted, None, Minor(95));
        assert!(slice.yanked.is_empty() && !slice.files["index/1/a"].contains("\"yanked\":true"));
    }

    #[test]
    fn an_empty_slice_has_a_hash_of_its_own() {
        let empty = cut(&index(), &Wanted::default(), None, Minor(95));
        assert!(empty.files.is_empty());
        assert_ne!(empty.nar_hash(), cut(&index(), &wanted("*"), None, Minor(95)).nar_hash());
    }

    #[test]
    fn names_lie_where_cargo_looks_for_them() {
        let path = |text: &str| index_path(&name(text));
        assert_eq!([path("A"), path("ab"), path("abc")], ["index/1/a", "index/2/ab", "index/3/a/abc"]);
        assert_eq!(path("Serde_json"), "index/se/rd/serde_json");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = read_index(&bytes);
        }
    }
}
