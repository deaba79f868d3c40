//! *Review*: what became of a project's waivers, rules and sections in a run. One that does nothing any longer, or no longer does
//! what it was given for, is reported.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::project::{Circumstances, ProjectPolicy};
use super::waiver::{Rule, RuleTable, Uncovered, Waiver, counts};
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;
use crate::model::package::{PackageKey, RegistryName};
use crate::stages::record::Record;

/// A waiver, rule or section, and what became of it.
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
        /// Its registry.
        registry: RegistryName,
        /// The sha256 that it is for.
        sha256: Sha256,
    },
    /// A rule's repository or owner.
    Rule {
        /// Its address.
        scope: Foreign,
    },
    /// A section of `policy.for`.
    Section {
        /// Its crates and registries.
        scope: Foreign,
    },
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Waiver { krate, registry: RegistryName::Default, .. } => write!(f, "waiver for {krate}"),
            Self::Waiver { krate, registry, .. } => write!(f, "waiver for {krate} from {registry}"),
            Self::Rule { scope } => write!(f, "rule for {scope}"),
            Self::Section { scope } => write!(f, "section for {scope}"),
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

/// Which packages of a project a run looked at.
#[derive(Debug, Clone, Default)]
pub enum Scope {
    /// Some: of what is for others nothing is known.
    #[default]
    Part,
    /// All of a lock file but these.
    AllBut(BTreeSet<PackageKey>),
}

/// What became of the waivers, rules and sections of a project. `seen`: what was found of each package, and whether it is new.
#[must_use]
pub fn review(project: &ProjectPolicy, seen: &[(&Record, bool)], scope: &Scope, today: Option<Date>) -> Vec<Reviewed> {
    let by_id: BTreeMap<_, _> = seen.iter().map(|(record, new)| (&record.key, (*record, *new))).collect();
    let is_whole = matches!(scope, Scope::AllBut(others) if others.is_empty());
    let waivers = project.waiver.iter().filter_map(|waiver| {
        let key = PackageKey::new(waiver.registry.clone(), waiver.krate.clone());
        match (by_id.get(&key), scope) {
            (Some((record, new)), _) => Some(of_waiver(project, waiver, record, Circumstances { today, new: *new })),
            (None, Scope::AllBut(others)) if !others.contains(&key) => Some(Reviewed {
                subject: subject_of(waiver),
                state: State::Unused,
                detail: Some(absent(&waiver.krate, seen).into()),
                expires: waiver.expires,
            }),
            (None, _) => None,
        }
    });
    let rules = project.rule.iter().filter_map(|rule| {
        let reviewed = of_rule(project, rule, seen, today);
        (is_whole || reviewed.state != State::Unused).then_some(reviewed)
    });
    let sections = project.policy.sections.iter().enumerate().filter(|_| is_whole).filter_map(|(at, section)| {
        let counts = |key: &PackageKey| project.policy.sections.iter().position(|other| other.is_for(key)) == Some(at);
        let is_used = seen.iter().any(|(record, _)| counts(&record.key));
        let names = section.crates.iter().map(ToString::to_string);
        let names: Vec<String> = names.chain(section.registries.iter().map(ToString::to_string)).collect();
        (!is_used).then(|| Reviewed {
            subject: Subject::Section { scope: names.join(", ").into() },
            state: State::Unused,
            detail: Some("it is the first that fits for no package".into()),
            expires: None,
        })
    });
    waivers.chain(rules).chain(sections).collect()
}

fn subject_of(waiver: &Waiver) -> Subject {
    let Waiver { krate, registry, sha256, .. } = waiver;
    Subject::Waiver { krate: krate.to_string(), registry: registry.clone(), sha256: *sha256 }
}

fn of_waiver(project: &ProjectPolicy, waiver: &Waiver, record: &Record, circumstances: Circumstances) -> Reviewed {
    let Waiver { sha256, expires, .. } = waiver;
    let today = circumstances.today;
    let faults = project.faults(record, circumstances);
    let (state, detail) = if faults.is_empty() {
        (State::Unused, Some("the policy accepts the crate without it".into()))
    } else {
        match waiver.uncovered(record.checksum, &faults, today) {
            None => (State::Used, announced(*expires, today)),
            Some(Uncovered::Expired) => (State::Expired, Some(expired(*expires, today).into())),
            Some(Uncovered::OtherChecksum) => {
                let now = record.checksum.map_or("none".to_owned(), |checksum| checksum.to_string());
                (State::Void, Some(format!("it is for sha256 {sha256}, the crate has {now}").into()))
            }
            Some(Uncovered::Final(name)) => (State::Void, Some(format!("{name} can't be waived").into())),
            Some(Uncovered::OtherFindings(others)) => {
                (State::Void, Some(format!("found now: {}", others.as_slice().join("; ")).into()))
            }
        }
    };
    Reviewed { subject: subject_of(waiver), state, detail, expires: *expires }
}

fn of_rule(project: &ProjectPolicy, rule: &Rule, seen: &[(&Record, bool)], today: Option<Date>) -> Reviewed {
    let RuleTable { expires, .. } = rule.table();
    let expires = Some(*expires);
    let is_used = |today| {
        seen.iter().any(|(record, new)| {
            let (policy, _) = project.requirements(&record.key, *new);
            let faults = policy.faults(&record.findings);
            faults.iter().any(|fault| rule.accepts(&record.key, &record.findings, fault, today))
        })
    };
    let (state, detail) = if is_used(today) {
        (State::Used, announced(expires, today))
    } else if !counts(expires, today) && is_used(Some(Date::MIN)) {
        (State::Expired, Some(expired(expires, today).into()))
    } else {
        (State::Unused, Some("no package needs it".into()))
    };
    Reviewed { subject: Subject::Rule { scope: rule.scope().into() }, state, detail, expires }
}

/// Why a waiver has no package.
fn absent(krate: &CrateId, seen: &[(&Record, bool)]) -> String {
    let of_name = seen.iter().filter(|(record, _)| record.key.name == krate.name);
    let versions: Vec<String> = of_name.map(|(record, _)| record.key.version.to_string()).collect();
    if versions.is_empty() {
        "the lock file has no such crate".to_owned()
    } else {
        format!("the lock file has {} {}", krate.name, versions.join(", "))
    }
}

fn expired(expires: Option<Date>, today: Option<Date>) -> String {
    match (expires, today) {
        (Some(expires), Some(_)) => format!("it expired on {expires}"),
        _ => "it has a day on which it expires, and the evaluation was given no `date`".to_owned(),
    }
}

/// That something is about to expire.
fn announced(expires: Option<Date>, today: Option<Date>) -> Option<Foreign> {
    let (expires, today) = (expires?, today?);
    let soon = today < expires && expires <= today.checked_add(AHEAD.days()).unwrap_or(Date::MAX);
    soon.then(|| format!("it expires on {expires}").into())
}
