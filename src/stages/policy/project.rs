//! *ProjectPolicy*: what a project requires and what it accepts all the same, as `recrate.toml` has it, and the decisions that
//! follow. The driver and the judge in Nix read the same tables with these types.

use std::fmt;
use std::marker::PhantomData;

use jiff::civil::Date;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::fault::Fault;
use super::pattern::Pattern;
use super::waiver::{Rule, Waiver, registry};
use super::{BuiltIn, Policy, RequiredContents, RequiredReach};
use crate::model::nonempty::NonEmpty;
use crate::model::package::{PackageKey, RegistryName};
use crate::stages::decision::Decision;
use crate::stages::record::Record;

/// What a project says of what it requires: the tables `[policy]`, `[[rule]]` and `[[waiver]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectPolicy {
    /// What is required.
    #[serde(default, deserialize_with = "table")]
    pub policy: PolicyTable,
    /// What is accepted of repositories and owners.
    #[serde(default)]
    pub rule: Vec<Rule>,
    /// What is accepted of single crates.
    #[serde(default)]
    pub waiver: Vec<Waiver>,
}

/// What recrate.toml has besides.
const OTHER_TABLES: [&str; 4] = ["git-mirror", "renamed-repository", "software-heritage", "toolchains"];

/// `[policy]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PolicyTable {
    /// What is required of every package.
    #[serde(default)]
    pub require: Require,
    /// What becomes of packages that are undetermined.
    #[serde(default)]
    pub undetermined: OnUndetermined,
    /// The same of packages that are new, under `--changed-since`.
    #[serde(default)]
    pub undetermined_when_new: OnUndetermined,
    /// What is required of some packages instead: the first that fits counts.
    #[serde(default, rename = "for", skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<Section>,
}

/// `[[policy.for]]`: other requirements for some packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", try_from = "SectionTable")]
pub struct Section {
    /// Crates with these names; all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crates: Vec<Pattern>,
    /// Crates from these registries, `default` or the address of an index as Cargo.lock has it; from all where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<RegistryName>,
    /// What is required of them.
    pub require: Require,
    /// What becomes of those that are undetermined; none for what `[policy]` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undetermined: Option<OnUndetermined>,
}

/// A section as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct SectionTable {
    crates: Option<NonEmpty<Pattern>>,
    registries: Option<NonEmpty<AsInLock>>,
    require: Require,
    undetermined: Option<OnUndetermined>,
}

/// A registry as Cargo.lock has it, or `default`.
#[derive(Clone, Deserialize)]
struct AsInLock(#[serde(deserialize_with = "registry")] RegistryName);

/// A section for everything: the next ones would count for nothing.
#[derive(Debug, thiserror::Error)]
#[error("a section of `policy.for` has `crates` or `registries`: `[policy]` is for all others")]
struct ForAll;

impl TryFrom<SectionTable> for Section {
    type Error = ForAll;

    fn try_from(table: SectionTable) -> Result<Self, ForAll> {
        let SectionTable { crates, registries, require, undetermined } = table;
        if crates.is_none() && registries.is_none() {
            return Err(ForAll);
        }
        let crates = crates.map(Vec::from).unwrap_or_default();
        let registries = registries.map(Vec::from).unwrap_or_default();
        let registries = registries.into_iter().map(|AsInLock(registry)| registry).collect();
        Ok(Self { crates, registries, require, undetermined })
    }
}

/// What becomes of packages that are undetermined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUndetermined {
    /// They are reported, and pass.
    Warn,
    /// They don't pass.
    #[default]
    Reject,
}

/// Requirements: the name of a built-in policy, or a table with what is other than in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Require {
    /// The policy that counts where nothing else is said; none for the default one, or in a section for what `[policy]` requires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<BuiltIn>,
    /// How equal the contents must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<RequiredContents>,
    /// Whether the package itself must name the commit and its repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_named: Option<bool>,
    /// What must reach the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<RequiredReach>,
    /// Whether a match with the published Cargo.lock as an input is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_published_lockfile: Option<bool>,
}

impl From<BuiltIn> for Require {
    fn from(base: BuiltIn) -> Self {
        Self { base: Some(base), ..Self::default() }
    }
}

impl Require {
    /// The policy; `otherwise`: what counts where nothing is said.
    #[must_use]
    pub fn policy(&self, otherwise: Policy) -> Policy {
        let base = self.base.map_or(otherwise, BuiltIn::policy);
        Policy {
            contents: self.contents.unwrap_or(base.contents),
            origin_named: self.origin_named.unwrap_or(base.origin_named),
            reach: self.reach.unwrap_or(base.reach),
            no_published_lockfile: self.no_published_lockfile.unwrap_or(base.no_published_lockfile),
        }
    }
}

impl<'de> Deserialize<'de> for Require {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The table.
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        struct Table {
            base: Option<BuiltIn>,
            contents: Option<RequiredContents>,
            origin_named: Option<bool>,
            reach: Option<RequiredReach>,
            no_published_lockfile: Option<bool>,
        }
        struct NameOrTable;
        impl<'de> Visitor<'de> for NameOrTable {
            type Value = Require;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a policy, or a table of requirements")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Require, E> {
                text.parse::<BuiltIn>().map(Require::from).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Require, A::Error> {
                let Table { base, contents, origin_named, reach, no_published_lockfile } =
                    Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Require { base, contents, origin_named, reach, no_published_lockfile })
            }
        }
        deserializer.deserialize_any(NameOrTable)
    }
}

/// A table by its keys, and not by the order of what is in a list.
///
/// # Errors
/// Where it is something else than a table, or its keys are not those.
pub fn table<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct ByKeys<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ByKeys<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(ByKeys(PhantomData))
}

/// What decisions depend on besides findings and tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circumstances {
    /// Which day it is; none where nobody says so: then nothing counts that expires.
    pub today: Option<Date>,
    /// Whether the packages are new to the project.
    pub new: bool,
}

impl Section {
    /// Whether it is for a package, if no section before it is.
    #[must_use]
    pub fn is_for(&self, key: &PackageKey) -> bool {
        (self.crates.is_empty() || self.crates.iter().any(|pattern| pattern.fits(&key.name)))
            && (self.registries.is_empty() || self.registries.contains(&key.registry))
    }
}

impl ProjectPolicy {
    /// What a recrate.toml says of policy. Its other tables are not read.
    ///
    /// # Errors
    /// Where it says something of policy that is not known, or has a table that is not.
    pub fn of_file(text: &str) -> Result<Self, toml::de::Error> {
        let mut tables: toml::Table = text.parse()?;
        OTHER_TABLES.iter().for_each(|other| drop(tables.remove(*other)));
        Self::deserialize(tables)
    }

    /// What a built-in policy says, without waivers and rules.
    #[must_use]
    pub fn of(policy: BuiltIn) -> Self {
        let policy = PolicyTable { require: policy.into(), ..PolicyTable::default() };
        Self { policy, ..Self::default() }
    }

    /// What is required of a package, and what becomes of it where that is undetermined.
    #[must_use]
    pub fn requirements(&self, key: &PackageKey, new: bool) -> (Policy, OnUndetermined) {
        let table = &self.policy;
        let section = table.sections.iter().find(|section| section.is_for(key));
        let general = table.require.policy(BuiltIn::Default.policy());
        let policy = section.map_or(general, |section| section.require.policy(general));
        let undetermined = section.and_then(|section| section.undetermined).unwrap_or(table.undetermined);
        // What is new is not let in more easily than what is there.
        (policy, if new { undetermined.max(table.undetermined_when_new) } else { undetermined })
    }

    /// What a package's policy does not accept, and no rule does.
    #[must_use]
    pub fn faults(&self, record: &Record, circumstances: Circumstances) -> Vec<Fault> {
        let (policy, _) = self.requirements(&record.key, circumstances.new);
        let mut faults = policy.faults(&record.findings);
        faults.retain(|fault| self.rule_for(record, fault, circumstances.today).is_none());
        faults
    }

    /// Decides on a package.
    #[must_use]
    pub fn decide(&self, record: &Record, circumstances: Circumstances) -> Decision {
        let Circumstances { today, new } = circumstances;
        let (policy, undetermined) = self.requirements(&record.key, new);
        let all = policy.faults(&record.findings);
        let mut by = Vec::new();
        let mut left = Vec::new();
        for fault in &all {
            match self.rule_for(record, fault, today) {
                Some(rule) if !by.contains(&rule.acceptance()) => by.push(rule.acceptance()),
                Some(_) => {}
                None => left.push(fault.clone()),
            }
        }
        if !left.is_empty()
            && let Some(waiver) = self
                .waiver
                .iter()
                .find(|waiver| waiver.is_for(&record.key) && waiver.uncovered(record.checksum, &left, today).is_none())
        {
            by.push(waiver.acceptance());
            left.clear();
        }
        let reasons = |faults: &[Fault]| NonEmpty::new(faults.iter().map(|fault| fault.reason.clone()).collect());
        let (unknown, known): (Vec<Fault>, Vec<Fault>) = left.into_iter().partition(|fault| fault.name.is_unknown());
        match (reasons(&known), reasons(&unknown), reasons(&all), NonEmpty::new(by)) {
            (Some(reasons), ..) => Decision::Rejected { reasons },
            (None, Some(reasons), ..) if undetermined == OnUndetermined::Warn => Decision::Warned { reasons },
            (None, Some(reasons), ..) => Decision::Undetermined { reasons },
            (None, None, Some(reasons), Some(by)) => {
                let undetermined = all.iter().all(|fault| fault.name.is_unknown());
                Decision::Waived { undetermined, reasons, by }
            }
            (None, None, None, _) => Decision::Accepted,
            // Nobody accepted it: that can't be, and does not pass.
            (None, None, Some(reasons), None) => Decision::Undetermined { reasons },
        }
    }

    /// The rule that accepts a fault.
    fn rule_for(&self, record: &Record, fault: &Fault, today: Option<Date>) -> Option<&Rule> {
        self.rule.iter().find(|rule| rule.accepts(&record.key, &record.findings, fault, today))
    }
}
