//! *Index*: the lines that a registry has of its crates.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::model::digest::Sha256;
use crate::model::krate::CrateName;
use crate::model::packed::{Packed, Parts};
use crate::model::requirement::versions;

/// One line of an index: one version of one crate.
#[derive(Debug, Clone)]
pub struct IndexLine {
    /// The version.
    pub version: Version,
    /// The checksum of the crate.
    pub checksum: Sha256,
    /// Whether it is yanked today.
    pub yanked: bool,
    /// When it was published; registries of other makes may not say.
    pub published: Option<Timestamp>,
    /// The version of the line's format.
    pub format: u32,
    /// What it requires of which crates, read when somebody asks.
    required: OnceLock<Box<[Arc<On>]>>,
    /// All that it says of them. Few lines are ever asked for it, and all of them together would be most of an index's size.
    needs: OnceLock<Box<Needs>>,
    /// Where it is in its file.
    at: Range<usize>,
    file: Arc<File>,
}

/// What the lines of an index file have together: from one version to the next little of it changes.
#[derive(Debug)]
struct File {
    text: Packed,
    /// What they require, each once.
    required: Mutex<HashSet<Arc<On>>>,
}

/// A crate, and which versions of it will do.
pub type On = (CrateName, VersionReq);

/// What a line says of other crates.
#[derive(Debug, Clone, Default)]
struct Needs {
    requirements: Vec<Requirement>,
    features: BTreeMap<String, Vec<String>>,
}

/// What a line requires of another crate.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// The crate, and which versions of it will do.
    pub on: On,
    /// What the line calls it.
    pub key: String,
    /// Whether only a feature brings it in.
    pub optional: bool,
    /// The features that are asked of it.
    pub features: Vec<String>,
    /// Whether its default features are.
    pub default_features: bool,
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
        #[serde(default = "one")]
        v: u32,
    }
    fn one() -> u32 {
        1
    }
    let text = String::from_utf8_lossy(bytes);
    // Reading what is in memory never fails.
    let packed = Packed::pack(&mut text.as_bytes()).unwrap_or_default();
    let file = Arc::new(File { text: packed, required: Mutex::default() });
    let mut start = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        let text = line.strip_suffix('\n').unwrap_or(line);
        let at = start..start + text.strip_suffix('\r').unwrap_or(text).len();
        start += line.len();
        at
    });
    let read = |at: Range<usize>| {
        let wire: Wire = serde_json::from_str(&text[at.clone()]).ok()?;
        Some(IndexLine {
            version: wire.vers,
            checksum: wire.cksum,
            yanked: wire.yanked,
            published: wire.pubtime.and_then(|time| time.parse().ok()),
            format: wire.v,
            required: OnceLock::new(),
            needs: OnceLock::new(),
            at,
            file: Arc::clone(&file),
        })
    };
    lines.filter_map(read).collect()
}

/// Lines as the registry has them. Faster where they are of one file, and asked for in its order.
pub fn raw<'a>(lines: impl Iterator<Item = &'a IndexLine>) -> impl Iterator<Item = (&'a IndexLine, String)> {
    let mut open: Option<(&Arc<File>, Parts<'a>)> = None;
    lines.map(move |line| {
        if open.as_ref().is_none_or(|(file, _)| !Arc::ptr_eq(file, &line.file)) {
            open = Some((&line.file, line.file.text.parts()));
        }
        let bytes = open.as_mut().map(|(_, parts)| parts.get(line.at.clone())).unwrap_or_default();
        (line, String::from_utf8(bytes).unwrap_or_default())
    })
}

impl IndexLine {
    /// Which crates it requires, development apart.
    pub fn required(&self) -> impl Iterator<Item = &On> {
        let read = || {
            let requirements = self.read_needs().requirements.into_iter();
            let mut together = self.file.required.lock().unwrap_or_else(PoisonError::into_inner);
            let once = requirements.map(|Requirement { on, .. }| match together.get(&on) {
                Some(before) => Arc::clone(before),
                None => {
                    let on = Arc::new(on);
                    together.insert(Arc::clone(&on));
                    on
                }
            });
            once.collect()
        };
        self.required.get_or_init(read).iter().map(AsRef::as_ref)
    }

    /// What it requires of them.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.needs.get_or_init(|| Box::new(self.read_needs())).requirements
    }

    /// Its features, and what each brings in.
    #[must_use]
    pub fn features(&self) -> &BTreeMap<String, Vec<String>> {
        &self.needs.get_or_init(|| Box::new(self.read_needs())).features
    }

    fn read_needs(&self) -> Needs {
        #[derive(Deserialize, Default)]
        struct Wire {
            #[serde(default)]
            deps: Vec<Dependency>,
            #[serde(default)]
            features: BTreeMap<String, Vec<String>>,
            #[serde(default)]
            features2: BTreeMap<String, Vec<String>>,
        }
        #[derive(Deserialize)]
        struct Dependency {
            name: String,
            package: Option<String>,
            req: String,
            kind: Option<String>,
            #[serde(default)]
            optional: bool,
            #[serde(default)]
            features: Vec<String>,
            #[serde(default = "yes")]
            default_features: bool,
        }
        fn yes() -> bool {
            true
        }
        let wire: Wire = serde_json::from_slice(&self.file.text.get(self.at.clone())).unwrap_or_default();
        let needed = wire.deps.into_iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
        let requirement = |d: Dependency| {
            let name = d.package.as_ref().unwrap_or(&d.name).parse().ok()?;
            Some(Requirement {
                on: (name, versions(&d.req)),
                key: d.name,
                optional: d.optional,
                features: d.features,
                default_features: d.default_features,
            })
        };
        let requirements = needed.filter_map(requirement).collect();
        Needs { requirements, features: wire.features.into_iter().chain(wire.features2).collect() }
    }
}

/// The index files of a registry, by crate.
pub type Index = BTreeMap<CrateName, Arc<Vec<IndexLine>>>;
