//! *Index*: the lines that a registry has of its crates.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use semver::{Version, VersionReq};
use serde::Deserialize;

use crate::model::digest::Sha256;
use crate::model::krate::CrateName;

/// One line of an index: one version of one crate.
#[derive(Debug, Clone)]
pub struct IndexLine {
    /// The line as the registry has it.
    pub raw: Box<str>,
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
    /// Read when somebody asks: few lines are ever asked, and all of them together would be most of an index's size.
    needs: OnceLock<Needs>,
}

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
    pub on: (CrateName, VersionReq),
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
    text.lines()
        .filter_map(|line| {
            let wire: Wire = serde_json::from_str(line).ok()?;
            Some(IndexLine {
                raw: line.into(),
                version: wire.vers,
                checksum: wire.cksum,
                yanked: wire.yanked,
                published: wire.pubtime.and_then(|time| time.parse().ok()),
                format: wire.v,
                needs: OnceLock::new(),
            })
        })
        .collect()
}

impl IndexLine {
    /// What it requires, development apart.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.needs.get_or_init(|| self.read_needs()).requirements
    }

    /// Its features, and what each brings in.
    #[must_use]
    pub fn features(&self) -> &BTreeMap<String, Vec<String>> {
        &self.needs.get_or_init(|| self.read_needs()).features
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
        let wire: Wire = serde_json::from_str(&self.raw).unwrap_or_default();
        let needed = wire.deps.into_iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
        let requirement = |d: Dependency| {
            let name = d.package.as_ref().unwrap_or(&d.name).parse().ok()?;
            Some(Requirement {
                on: (name, d.req.parse().unwrap_or(VersionReq::STAR)),
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

/// Where an index keeps a crate: `index/1/a`, `index/2/ab`, `index/3/a/abc`, `index/ab/cd/abcd`, in lower case.
///
/// Not from the index library: that takes no name which is reserved today, and old crates require `alloc`.
#[must_use]
pub fn index_path(name: &CrateName) -> String {
    let name = name.as_str().to_ascii_lowercase();
    // A crate name is ASCII and not empty.
    match name.len() {
        1 | 2 => format!("index/{}/{name}", name.len()),
        3 => format!("index/3/{}/{name}", &name[..1]),
        _ => format!("index/{}/{}/{name}", &name[..2], &name[2..4]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_place_in_an_index() {
        let path = |name: &str| index_path(&name.parse().unwrap());
        let paths = ["a", "ab", "aBc", "Some-Crate", "alloc"].map(path);
        let expected = ["index/1/a", "index/2/ab", "index/3/a/abc", "index/so/me/some-crate", "index/al/lo/alloc"];
        assert_eq!(paths, expected);
    }
}
