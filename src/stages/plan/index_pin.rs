//! Index slices as plans have them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::model::digest::{Sha256, Sri};
use crate::model::krate::CrateName;
use crate::model::release::Minor;
use crate::stages::index::Index;
use crate::stages::slice::{CHOOSES_BY_COMPILER, Cut, PASSES_OVER_FORMAT_2, Slice, Wanted, Yanked, cut};

/// An index slice: its hash, and how it is cut out of the default registry's index again, whatever came later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IndexPin {
    /// The hash of the slice's NAR.
    pub nar_hash: Sri,
    /// When the newest of its lines was published: it has nothing newer, but for `late`. None where the registry does
    /// not say.
    pub until: Option<Timestamp>,
    /// Versions that are in it although they are newer.
    pub late: BTreeMap<CrateName, BTreeSet<Version>>,
    /// Whether it has lines of the index's second format, which some cargos pass over.
    pub second_format: bool,
    /// Whether its cargo may choose by the compiler: then something stands for older versions that are left out, too.
    pub by_compiler: bool,
    /// The crates in it.
    pub names: BTreeSet<CrateName>,
    /// What is required of them to begin with; what they require of each other follows from their lines.
    pub requirements: BTreeMap<CrateName, BTreeSet<String>>,
    /// Versions that are in it whatever is required.
    pub locked: BTreeMap<CrateName, BTreeSet<Version>>,
    /// Versions of which it has no others that are compatible with them.
    pub pinned: BTreeMap<CrateName, BTreeSet<Version>>,
    /// The versions that it takes to be yanked, as `name@version`.
    pub yanked: BTreeSet<String>,
}

impl IndexPin {
    /// Pins a slice that was cut out of an index for `wanted`. As far as possible the pin is what the slice is, not how
    /// it came about: the same slice is to have the same pin.
    #[must_use]
    pub fn of(slice: &Slice, wanted: &Wanted, cargo: Minor) -> Self {
        let has = |name: &CrateName| slice.files.contains_key(&name.index_path());
        let mut requirements: BTreeMap<CrateName, BTreeSet<String>> = BTreeMap::new();
        for (name, versions) in wanted.requirements.iter().filter(|(name, _)| has(name)) {
            requirements.entry(name.clone()).or_default().insert(versions.to_string());
        }
        let named = wanted.names.iter().chain(requirements.keys()).chain(wanted.locked.keys());
        let names: BTreeSet<CrateName> = named.filter(|name| has(name)).cloned().collect();
        let those = |versions: &BTreeMap<CrateName, BTreeSet<Version>>| {
            versions.iter().filter(|(name, _)| has(name)).map(|(name, them)| (name.clone(), them.clone())).collect()
        };
        let newest = |name: &CrateName| slice.files.get(&name.index_path())?.newest(wanted.late.get(name));
        Self {
            nar_hash: slice.nar_hash(),
            until: names.iter().filter_map(newest).max(),
            late: those(&wanted.late),
            second_format: slice.files.is_empty() || !PASSES_OVER_FORMAT_2.contains(cargo),
            by_compiler: !slice.files.is_empty() && cargo >= CHOOSES_BY_COMPILER,
            names,
            locked: those(&wanted.locked),
            pinned: those(&wanted.pinned),
            requirements,
            yanked: slice.yanked.iter().cloned().collect(),
        }
    }

    /// Cuts the same slice again out of the registry's lines of its crates.
    #[must_use]
    pub fn cut(&self, index: &Index) -> Slice {
        self.cut_at(index, self.until.map(Cut::Until))
    }

    /// Cuts it at another time, or not at all.
    #[must_use]
    pub fn cut_at(&self, index: &Index, time: Option<Cut>) -> Slice {
        // Any cargo that takes as much.
        let cargo = match (self.second_format, self.by_compiler) {
            (_, true) => CHOOSES_BY_COMPILER,
            (true, false) => Minor(60),
            (false, false) => Minor(51),
        };
        cut(index, &self.wanted(), time, cargo)
    }

    fn wanted(&self) -> Wanted {
        let of = |(name, versions): (&CrateName, &BTreeSet<String>)| -> Vec<(CrateName, VersionReq)> {
            versions.iter().filter_map(|text| Some((name.clone(), text.parse().ok()?))).collect()
        };
        Wanted {
            names: self.names.clone(),
            locked: self.locked.clone(),
            pinned: self.pinned.clone(),
            late: self.late.clone(),
            requirements: self.requirements.iter().flat_map(of).collect(),
            yanked: Yanked::Just(self.yanked.clone()),
            ..Wanted::default()
        }
    }

    /// The pin as the fetcher gets it: JSON with sorted keys, as Nix writes it.
    ///
    /// # Panics
    /// Never: the pin is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_value(self).expect("plain data with string keys").to_string()
    }

    /// What recipes call it: the hash of the pin. Two pins can come to the same slice.
    #[must_use]
    pub fn key(&self) -> Sri {
        Sri(Sha256::of(self.to_json().as_bytes()))
    }
}
