//! *Review*: what became of a project's waivers and rules in a run. One that does nothing any longer, or no longer does what
//! it was given for, is reported.

use std::collections::BTreeSet;

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::standing::{Circumstances, Standing};
use super::waiver::{Rule, RuleTable, Uncovered, Waiver, counts};
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;
use crate::model::package::{PackageKey, RegistryName};
use crate::stages::record::Record;

/// A waiver or rule, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reviewed {
    /// What it is for.
    pub subject: Subject,
    /// What became of it.
    pub state: State,
    /// The same in words: why it does not count, or what about it has to be known.
    pub detail: Option<Foreign>,
    /// The day from which on it does not count.
    pub expires: Option<Date>,
}

/// What a waiver or rule is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Subject {
    /// A waiver's crate.
    Waiver {
        /// As `name@version`.
        #[serde(rename = "crate")]
        krate: String,
        /// Its registry; none for the default one.
        registry: Option<RegistryName>,
        /// The sha256 that it is for.
        sha256: Sha256,
    },
    /// A rule's repository or owner.
    Rule {
        /// Its address.
        scope: Foreign,
    },
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Waiver { krate, registry: None, .. } => write!(f, "waiver for {krate}"),
            Self::Waiver { krate, registry: Some(registry), .. } => write!(f, "waiver for {krate} from {registry}"),
            Self::Rule { scope } => write!(f, "rule for {scope}"),
        }
    }
}

/// What became of a waiver or rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A package passes with it.
    Used,
    /// A package would, but its day has come.
    Expired,
    /// It is for other bytes or other findings than its package has.
    Void,
    /// Nothing needs it.
    Unused,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Void => "void",
            Self::Unused => "unused",
        })
    }
}

/// How many days before it expires that is announced.
const AHEAD: i64 = 30;

/// What became of the waivers and rules of a project. `others`: packages of the lock file that were not looked at; of those for
/// them nothing is said, and nothing of rules.
#[must_use]
pub fn review(
    standing: &Standing,
    records: &[&Record],
    others: &BTreeSet<PackageKey>,
    circumstances: Circumstances,
) -> Vec<Reviewed> {
    let waivers = standing.waiver.iter().filter_map(|waiver| {
        let unseen = others.iter().any(|key| waiver.is_for(key));
        (!unseen).then(|| of_waiver(standing, waiver, records, circumstances))
    });
    let rules = standing.rule.iter().filter_map(|rule| {
        let reviewed = of_rule(standing, rule, records, circumstances);
        (others.is_empty() || reviewed.state == State::Used).then_some(reviewed)
    });
    waivers.chain(rules).collect()
}

fn of_waiver(standing: &Standing, waiver: &Waiver, records: &[&Record], circumstances: Circumstances) -> Reviewed {
    let Waiver { krate, registry, sha256, expires, .. } = waiver;
    let subject = Subject::Waiver { krate: krate.to_string(), registry: registry.clone(), sha256: *sha256 };
    let reviewed = |state, detail: Option<String>| Reviewed {
        subject: subject.clone(),
        state,
        detail: detail.map(Foreign::from).or_else(|| announced(*expires, circumstances.today)),
        expires: *expires,
    };
    let Some(record) = records.iter().find(|record| waiver.is_for(&record.key)) else {
        return reviewed(State::Unused, Some(absent(krate, records)));
    };
    let faults = standing.faults(record, circumstances);
    if faults.is_empty() {
        return reviewed(State::Unused, Some("the policy accepts the crate without it".to_owned()));
    }
    match waiver.uncovered(record.checksum, &faults, circumstances.today) {
        None => reviewed(State::Used, None),
        Some(Uncovered::Expired) => reviewed(State::Expired, Some(expired(*expires, circumstances.today))),
        Some(Uncovered::OtherChecksum) => {
            let now = record.checksum.map_or("none".to_owned(), |checksum| checksum.to_string());
            reviewed(State::Void, Some(format!("it is for sha256 {sha256}, the crate has {now}")))
        }
        Some(Uncovered::Final(name)) => reviewed(State::Void, Some(format!("nobody can waive {name}"))),
        Some(Uncovered::OtherFindings(others)) => {
            reviewed(State::Void, Some(format!("found now: {}", others.as_slice().join("; "))))
        }
    }
}

fn of_rule(standing: &Standing, rule: &Rule, records: &[&Record], circumstances: Circumstances) -> Reviewed {
    let RuleTable { expires, .. } = rule.table();
    let expires = Some(*expires);
    let is_used = |today| {
        records.iter().any(|record| {
            let (policy, _) = standing.requirements(&record.key, circumstances.new);
            let faults = policy.faults(&record.findings);
            faults.iter().any(|fault| rule.accepts(&record.key, &record.findings, fault, today))
        })
    };
    let (state, detail) = if is_used(circumstances.today) {
        (State::Used, announced(expires, circumstances.today))
    } else if !counts(expires, circumstances.today) && is_used(Some(Date::MIN)) {
        (State::Expired, Some(expired(expires, circumstances.today).into()))
    } else {
        (State::Unused, Some("no package needs it".into()))
    };
    Reviewed { subject: Subject::Rule { scope: rule.scope().into() }, state, detail, expires }
}

/// Why a waiver has no package.
fn absent(krate: &CrateId, records: &[&Record]) -> String {
    let versions: Vec<String> = records
        .iter()
        .filter(|record| record.key.name == krate.name)
        .map(|record| record.key.version.to_string())
        .collect();
    if versions.is_empty() {
        "the lock file has no such crate".to_owned()
    } else {
        format!("the lock file has {} {}", krate.name, versions.join(", "))
    }
}

fn expired(expires: Option<Date>, today: Option<Date>) -> String {
    match (expires, today) {
        (Some(expires), Some(_)) => format!("it expired on {expires}"),
        _ => "it expires, and nobody said which day it is".to_owned(),
    }
}

/// That something is about to expire.
fn announced(expires: Option<Date>, today: Option<Date>) -> Option<Foreign> {
    let (expires, today) = (expires?, today?);
    let soon = today < expires && expires <= today.checked_add(AHEAD.days()).unwrap_or(Date::MAX);
    soon.then(|| format!("it expires on {expires}").into())
}
