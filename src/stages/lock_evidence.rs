//! *Published Cargo.lock*: what it says of the index that the publisher's cargo saw, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use cargo_lock::Lockfile;
use jiff::{SignedDuration, Timestamp};
use semver::{Version, VersionReq};

use super::index::{Index, IndexLine, On};
use super::lock;
use super::lock::meaning::beside_packages;
use super::manifest::{Manifest, Requirement};
use super::plan::IndexMode;
use super::slice::series;
use crate::model::krate::{CrateId, CrateName};
use crate::model::package::RegistryName;

/// Versions, by crate.
pub type Versions = BTreeMap<CrateName, BTreeSet<Version>>;

/// How much later the versions may have come out that were published together with a crate. The registry notes the time
/// of each by itself, and packages of a workspace may have been packaged before the first of them was there.
pub const TOGETHER: SignedDuration = SignedDuration::from_secs(60);

/// How old an index may have been on the day: registries take some time to show a new version, and cargo builds a package
/// between resolving and uploading it.
pub const GAP: SignedDuration = SignedDuration::from_mins(10);

/// What a published Cargo.lock says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockEvidence {
    /// The versions that it names, but for the crate itself.
    pub locked: Versions,
    /// When the newest of them was published, siblings apart.
    pub newest: Option<Timestamp>,
    /// Those that were published together with the crate, a little later.
    pub siblings: Versions,
    /// Those that are yanked today.
    pub yanked: Versions,
    /// When the first version came out that cargo would have taken in the place of one that it names: from then on no index
    /// gives this file.
    pub superseded: Option<Timestamp>,
    /// What is wrong with it.
    pub faults: Vec<String>,
    /// Versions of which nobody knows when they were published.
    pub undated: Vec<String>,
}

/// The versions that a lock file takes from the default registry.
#[must_use]
pub fn locked_versions(text: &str) -> Versions {
    let mut versions = Versions::new();
    for package in lock::read(text).map(|locked| locked.packages).unwrap_or_default() {
        if package.key.registry == RegistryName::Default {
            versions.entry(package.key.name).or_default().insert(package.key.version);
        }
    }
    versions
}

/// Examines the published Cargo.lock of a crate with the index lines of everything that it names.
///
/// `published` is when the crate itself was published, `manifest` its normalised manifest.
#[must_use]
pub fn examine(
    text: &str,
    own: &CrateId,
    index: &Index,
    published: Option<Timestamp>,
    manifest: &Manifest,
) -> LockEvidence {
    let Ok(locked) = lock::read(text) else {
        return LockEvidence { faults: vec!["it can't be read".to_owned()], ..LockEvidence::default() };
    };
    let mut evidence = LockEvidence { locked: locked_versions(text), ..LockEvidence::default() };
    let named = manifest.registry_indexes();
    for package in &locked.packages {
        let (key, id) = (&package.key, package.key.id());
        if let RegistryName::Index(address) = &key.registry {
            if !named.contains(address.as_str()) {
                evidence.faults.push(format!("{id} is from a registry that the manifest does not name"));
            }
            evidence.undated.push(id.to_string());
            continue;
        }
        let line = index.get(&key.name).and_then(|lines| lines.iter().find(|line| line.version == key.version));
        let Some(line) = line else {
            evidence.faults.push(format!("{id} is not in the registry"));
            continue;
        };
        if package.checksum.is_some_and(|checksum| checksum != line.checksum) {
            evidence.faults.push(format!("the checksum of {id} is not the registry's"));
        }
        evidence.date(&id, line, published);
        if line.yanked {
            evidence.yanked.entry(id.name).or_default().insert(id.version);
        }
    }
    for skipped in &locked.skipped {
        let itself = skipped.source.is_none() && skipped.name.raw() == own.name.as_str();
        if !itself {
            evidence.faults.push(format!("{}@{} is not from a registry", skipped.name, skipped.version));
        }
    }
    let replaced = text.parse::<Lockfile>().map(|lock| lock.packages).unwrap_or_default();
    for package in replaced.iter().filter(|package| package.replace.is_some()) {
        evidence.faults.push(format!("{}@{} is replaced", package.name, package.version));
    }
    evidence.faults.extend(beside_packages(text).map(|what| format!("it has something beside the packages: {what}")));
    evidence.faults.extend(unmet(&manifest.requirements(), &evidence.locked));
    evidence
}

/// When the first version came out that is compatible with a locked one, newer, and meets every requirement that the locked one
/// meets, of the manifests and of all that is locked.
fn superseded(locked: &Versions, index: &Index, required: &[On]) -> Option<Timestamp> {
    let lines = |name: &CrateName| index.get(name).map(|lines| lines.as_slice()).unwrap_or_default();
    let line = |name: &CrateName, version: &Version| lines(name).iter().find(|line| line.version == *version);
    let all = locked.iter().flat_map(|(name, versions)| versions.iter().map(move |version| (name, version)));
    let mut on: BTreeMap<&CrateName, Vec<&VersionReq>> = BTreeMap::new();
    let of_lines = all.clone().filter_map(|(name, version)| line(name, version)).flat_map(IndexLine::required);
    for (name, versions) in of_lines.chain(required) {
        on.entry(name).or_default().push(versions);
    }
    let first = all.filter_map(|(name, version)| {
        let met: Vec<&VersionReq> = on.get(name)?.iter().copied().filter(|one| one.matches(version)).collect();
        let newer = lines(name).iter().filter(|line| {
            line.version > *version
                && series(&line.version) == series(version)
                && line.version.pre.is_empty()
                && !line.yanked
                && met.iter().all(|one| one.matches(&line.version))
        });
        newer.filter(|_| !met.is_empty()).filter_map(|line| line.published).min()
    });
    first.min()
}

impl LockEvidence {
    /// Notes when a version was published.
    fn date(&mut self, id: &CrateId, line: &IndexLine, own: Option<Timestamp>) {
        let Some((own, theirs)) = own.zip(line.published) else {
            self.undated.push(id.to_string());
            self.newest = self.newest.max(line.published);
            return;
        };
        if theirs.duration_since(own) > TOGETHER {
            self.faults.push(format!("{id} was published after this crate"));
        } else if theirs >= own {
            self.siblings.entry(id.name.clone()).or_default().insert(id.version.clone());
        } else {
            self.newest = self.newest.max(Some(theirs));
        }
    }

    /// Notes when it was superseded. `required` is what the manifests of the commit require, `manifest` the crate's own.
    pub fn compare_with_newer(&mut self, manifest: &Manifest, required: &[On], index: &Index) {
        // For some packages cargo chooses versions by the compiler that they need.
        if !manifest.resolves_by_rust_version() {
            self.superseded = superseded(&self.locked, index, required);
        }
    }

    /// The yanked versions, as `name@version`.
    #[must_use]
    pub fn yanked_ids(&self) -> Vec<String> {
        let of = |(name, versions): (&CrateName, &BTreeSet<Version>)| -> Vec<String> {
            versions.iter().map(|version| format!("{name}@{version}")).collect()
        };
        self.yanked.iter().flat_map(of).collect()
    }
}

/// Requirements of a crate that no version of its lock file meets.
fn unmet(requirements: &[Requirement], locked: &Versions) -> Vec<String> {
    let met = |requirement: &&Requirement| {
        let name = requirement.name.parse::<CrateName>().ok();
        let versions = name.and_then(|name| locked.get(&name)).into_iter().flatten();
        versions.into_iter().any(|version| requirement.versions.matches(version))
    };
    let unmet = requirements.iter().filter(|requirement| !met(requirement));
    unmet.map(|requirement| format!("no {} {} in it", requirement.name, requirement.versions)).collect()
}

/// The index modes that could make a difference for a crate, strongest claim first. `lock` is what its published Cargo.lock
/// says, where it has one; `tracked` whether the commit has the one that the publisher's cargo started from.
#[must_use]
pub fn index_modes(lock: Option<&LockEvidence>, published: Option<Timestamp>, tracked: bool) -> Vec<IndexMode> {
    // What an index of that time can't give. A tracked lock file pins versions, whatever came out since.
    let fresh = |time: Option<Timestamp>| {
        tracked || lock.and_then(|lock| lock.superseded).zip(time).is_none_or(|(superseded, time)| superseded >= time)
    };
    let plain = || tracked || lock.is_none_or(|lock| lock.yanked.is_empty());
    let alone = || tracked || lock.is_none_or(|lock| lock.siblings.is_empty());
    let newest = lock.and_then(|lock| lock.newest);
    let possible = |mode: &IndexMode| match mode {
        IndexMode::AtPublication => fresh(published) && plain() && alone(),
        IndexMode::WithSiblings => fresh(published) && plain(),
        IndexMode::WithYanked => fresh(published) && alone(),
        IndexMode::MinutesBefore => fresh(published.map(|own| own - GAP)) && plain() && alone(),
        IndexMode::AtNewestLocked => fresh(newest) && plain() && alone(),
        IndexMode::PublishedLock => true,
    };
    let useful = |mode: &IndexMode| match mode {
        // What is yanked shows when cargo asks for it; an attempt that comes to the same as one before is not built.
        IndexMode::AtPublication | IndexMode::WithYanked => true,
        IndexMode::WithSiblings => lock.is_some_and(|lock| !lock.siblings.is_empty()),
        IndexMode::MinutesBefore => lock.is_some() && published.is_some(),
        IndexMode::AtNewestLocked => lock.is_some_and(|lock| lock.newest.is_some()),
        // A tracked lock file is part of the commit: then the published one is not an input, but an output.
        IndexMode::PublishedLock => lock.is_some_and(|lock| lock.faults.is_empty()) && !tracked,
    };
    let modes: Vec<IndexMode> = IndexMode::ALL.into_iter().filter(useful).filter(possible).collect();
    // Where nothing gives the lock file, an attempt still shows the rest.
    if modes.is_empty() { vec![IndexMode::AtPublication] } else { modes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::index::read_index;

    const SOURCE: &str = lock::DEFAULT_SOURCE;

    fn index() -> Index {
        let line = |version: &str, published: &str, yanked: bool| {
            format!(
                r#"{{"name":"dep","vers":"{version}","deps":[],"cksum":"{}","features":{{}},"yanked":{yanked},"pubtime":"{published}"}}"#,
                "a".repeat(64)
            )
        };
        let lines = [
            line("1.0.0", "2020-01-01T00:00:00Z", true),
            line("1.1.0", "2021-01-01T00:00:30Z", false),
            line("1.2.0", "2021-01-01T00:02:00Z", false),
        ];
        let lines = std::sync::Arc::new(read_index(lines.join("\n").as_bytes()));
        Index::from([("dep".parse().unwrap(), lines)])
    }

    fn lock_with(more: &str) -> String {
        format!("version = 3\n\n[[package]]\nname = \"own\"\nversion = \"1.0.0\"\n\n{more}")
    }

    fn dep(version: &str, source: &str, checksum: char) -> String {
        let checksum = checksum.to_string().repeat(64);
        format!(
            "[[package]]\nname = \"dep\"\nversion = \"{version}\"\nsource = \"{source}\"\nchecksum = \"{checksum}\"\n"
        )
    }

    fn examined(text: &str) -> LockEvidence {
        let own = "own@1.0.0".parse().unwrap();
        let manifest = Manifest::read("[package]\nname = \"own\"\n[dependencies]\ndep = \"1\"\n");
        let mut found = examine(text, &own, &index(), "2021-01-01T00:00:00Z".parse().ok(), &manifest);
        found.compare_with_newer(&manifest, &[("dep".parse().unwrap(), "1".parse().unwrap())], &index());
        found
    }

    #[test]
    fn what_was_there_in_time_is_consistent_and_yanked_versions_are_named() {
        let found = examined(&lock_with(&dep("1.0.0", SOURCE, 'a')));
        assert_eq!(found.faults, [""; 0]);
        assert_eq!(found.newest, "2020-01-01T00:00:00Z".parse().ok());
        assert_eq!(found.yanked_ids(), ["dep@1.0.0"]);
        let sibling = examined(&lock_with(&dep("1.1.0", SOURCE, 'a')));
        assert_eq!((sibling.faults.len(), sibling.siblings.len(), sibling.newest), (0, 1, None));
    }

    #[test]
    fn what_can_not_have_been_there_is_a_fault() {
        for (more, fault) in [
            (dep("1.2.0", SOURCE, 'a'), "dep@1.2.0 was published after this crate"),
            (dep("1.9.0", SOURCE, 'a'), "dep@1.9.0 is not in the registry"),
            (dep("1.0.0", SOURCE, 'b'), "the checksum of dep@1.0.0 is not the registry's"),
            (
                dep("1.0.0", "registry+https://evil.example/index", 'a'),
                "from a registry that the manifest does not name",
            ),
            (
                dep("1.0.0", "git+https://evil.example/x#4b825dc642cb6eb9a060e54bf8d69288fbee4904", 'a'),
                "not from a registry",
            ),
            (String::new(), "no dep ^1 in it"),
        ] {
            let found = examined(&lock_with(&more)).faults;
            assert!(found.iter().any(|one| one.contains(fault)), "{fault}: {found:?}");
        }
        assert_eq!(examined("nonsense").faults, ["it can't be read"]);
    }

    #[test]
    fn modes_that_can_not_give_the_lock_file_are_left_out() {
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let found = examined(&lock_with(&dep("1.0.0", SOURCE, 'a')));
        assert_eq!(found.superseded, time("2021-01-01T00:00:30Z"));
        use IndexMode::{AtPublication, PublishedLock, WithYanked};
        // Yanked today, and nothing newer was there.
        let modes = |at: &str, tracked| index_modes(Some(&found), time(at), tracked);
        assert_eq!(modes("2021-01-01T00:00:00Z", false), [WithYanked, PublishedLock]);
        assert_eq!(modes("2021-01-02T00:00:00Z", false), [PublishedLock]);
        assert!(modes("2021-01-02T00:00:00Z", true).contains(&AtPublication));
        // What it requires keeps newer versions out.
        let mut kept = found.clone();
        let manifest = Manifest::default();
        kept.compare_with_newer(&manifest, &[("dep".parse().unwrap(), "=1.0.0".parse().unwrap())], &index());
        assert_eq!(kept.superseded, None);
    }

    #[test]
    fn a_lock_file_with_faults_or_a_tracked_one_is_no_input() {
        let good = examined(&lock_with(&dep("1.0.0", SOURCE, 'a')));
        let bad = examined(&lock_with(&dep("1.9.0", SOURCE, 'a')));
        let time = "2021-01-01T00:00:00Z".parse().ok();
        assert_eq!(index_modes(Some(&good), time, false).last(), Some(&IndexMode::PublishedLock));
        assert!(!index_modes(Some(&bad), time, false).contains(&IndexMode::PublishedLock));
        assert!(!index_modes(Some(&good), time, true).contains(&IndexMode::PublishedLock));
        assert_eq!(index_modes(None, time, false), [IndexMode::AtPublication, IndexMode::WithYanked]);
    }
}
