//! *Standing*: what a project requires and what it accepts all the same, as `recrate.toml` has it, and the decisions that
//! follow. The driver and the judge in Nix read the same tables with these types.

use std::fmt;

use jiff::civil::Date;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::fault::Fault;
use super::pattern::Pattern;
use super::waiver::{Rule, Waiver};
use super::{BuiltIn, Policy, RequiredContents, RequiredReach};
use crate::model::nonempty::NonEmpty;
use crate::model::package::{PackageKey, RegistryName};
use crate::stages::decision::Decision;
use crate::stages::record::Record;

/// What a project says of what it requires: the tables `[policy]`, `[[rule]]` and `[[waiver]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// What is required.
    #[serde(default)]
    pub policy: PolicyTable,
    /// What is accepted of repositories and owners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule: Vec<Rule>,
    /// What is accepted of single crates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiver: Vec<Waiver>,
}

/// `[policy]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PolicyTable {
    /// What is required of every package.
    #[serde(default)]
    pub require: Require,
    /// What becomes of packages that are undetermined.
    #[serde(default)]
    pub undetermined: Undetermined,
    /// The same of packages that are new, under `--changed-since`.
    #[serde(default)]
    pub undetermined_when_new: Undetermined,
    /// What is required of some packages instead: the first that fits counts.
    #[serde(default, rename = "for", skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<Section>,
}

/// `[[policy.for]]`: other requirements for some packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
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
    pub undetermined: Option<Undetermined>,
}

/// What becomes of packages that are undetermined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undetermined {
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
    /// The policy that counts where nothing else is said.
    pub base: BuiltIn,
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
        Self { base, ..Self::default() }
    }
}

impl Require {
    /// The policy.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let base = self.base.policy();
        Policy {
            contents: self.contents.unwrap_or(base.contents),
            origin_named: self.origin_named.unwrap_or(base.origin_named),
            reach: self.reach.unwrap_or(base.reach),
            no_published_lockfile: self.no_published_lockfile.unwrap_or(base.no_published_lockfile),
        }
    }
}

impl fmt::Display for Require {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = if *self == Self::from(self.base) { "" } else { ", changed" };
        write!(f, "{}{own}", self.base)
    }
}

impl<'de> Deserialize<'de> for Require {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The table.
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        struct Table {
            #[serde(default)]
            base: BuiltIn,
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

/// What decisions depend on besides findings and tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circumstances {
    /// Which day it is; none where nobody says so: then nothing counts that expires.
    pub today: Option<Date>,
    /// Whether the packages are new to the project.
    pub new: bool,
}

impl Section {
    fn is_for(&self, key: &PackageKey) -> bool {
        (self.crates.is_empty() || self.crates.iter().any(|pattern| pattern.fits(&key.name)))
            && (self.registries.is_empty() || self.registries.contains(&key.registry))
    }
}

impl Standing {
    /// What a built-in policy says, without waivers and rules.
    #[must_use]
    pub fn of(policy: BuiltIn) -> Self {
        let policy = PolicyTable { require: policy.into(), ..PolicyTable::default() };
        Self { policy, ..Self::default() }
    }

    /// What is required of a package, and what becomes of it where that is undetermined.
    #[must_use]
    pub fn requirements(&self, key: &PackageKey, new: bool) -> (Policy, Undetermined) {
        let table = &self.policy;
        let section = table.sections.iter().find(|section| section.is_for(key));
        let require = section.map_or(table.require, |section| section.require);
        let undetermined = section.and_then(|section| section.undetermined).unwrap_or(table.undetermined);
        // What is new is not let in more easily than what is there.
        (require.policy(), if new { undetermined.max(table.undetermined_when_new) } else { undetermined })
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
            && let Some(waiver) =
                self.waivers_of(record).find(|waiver| waiver.uncovered(record.checksum, &left, today).is_none())
        {
            by.push(waiver.acceptance());
            left.clear();
        }
        let reasons = |faults: &[Fault]| NonEmpty::new(faults.iter().map(|fault| fault.reason.clone()).collect());
        let (unknown, known): (Vec<Fault>, Vec<Fault>) = left.into_iter().partition(|fault| fault.name.is_unknown());
        match (reasons(&known), reasons(&unknown), reasons(&all), NonEmpty::new(by)) {
            (Some(reasons), ..) => Decision::Rejected { reasons },
            (None, Some(reasons), ..) if undetermined == Undetermined::Warn => Decision::Warned { reasons },
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

    /// The waivers that are for a package, whatever its bytes.
    fn waivers_of<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = &'a Waiver> {
        self.waiver.iter().filter(|waiver| waiver.is_for(&record.key))
    }
}
