//! *Waivers* and *rules*: what a person accepts that the policy does not.
//!
//! A waiver is for the bytes with one sha256 and the findings that they had: it does not cover others. A rule is for a
//! repository or an owner and one kind of finding, while the contents are bit for bit, so that a new version needs no new waiver.

use jiff::civil::Date;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::fault::{Fault, FaultName};
use super::pattern::Pattern;
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::{CrateId, CrateName};
use crate::model::nonempty::NonEmpty;
use crate::model::package::{PackageKey, RegistryName};
use crate::model::repository::RepositoryUrl;
use crate::stages::decision::Acceptance;
use crate::stages::findings::{ArchiveForm, Checksum, Contents, Findings};
use crate::stages::lock::registry_of;

/// `[[waiver]]`: a person's acceptance of one crate's bytes, with what was found of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Waiver {
    /// The crate, as `name@version`.
    #[serde(rename = "crate", deserialize_with = "id")]
    pub krate: CrateId,
    /// Its registry, as Cargo.lock has it.
    #[serde(default = "default_registry", deserialize_with = "registry")]
    pub registry: RegistryName,
    /// The sha256 of its bytes.
    pub sha256: Sha256,
    /// What is waived, as [`Fault::lines`] has it.
    pub findings: NonEmpty<String>,
    /// Why.
    #[serde(deserialize_with = "not_blank")]
    pub reason: Foreign,
    /// Who says so.
    #[serde(deserialize_with = "not_blank")]
    pub who: Foreign,
    /// The day from which on it does not count; none where it always does.
    #[serde(default, deserialize_with = "quoted_day")]
    pub expires: Option<Date>,
    /// Where to read more.
    pub link: Option<Foreign>,
}

/// `[[rule]]`: a person's acceptance of findings that the crates of a repository or owner have, while the contents are bit
/// for bit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RuleTable")]
pub struct Rule(RuleTable);

/// A rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RuleTable {
    /// The repository that the commit was fetched from.
    pub repository: Option<String>,
    /// Or the address that such repositories are below, like `https://github.com/windows-rs`.
    pub owner: Option<String>,
    /// Only these crates; all where there are none.
    pub crates: Option<NonEmpty<Pattern>>,
    /// What is accepted.
    pub findings: NonEmpty<RuledFinding>,
    /// Why.
    #[serde(deserialize_with = "not_blank")]
    pub reason: Foreign,
    /// Who says so.
    #[serde(deserialize_with = "not_blank")]
    pub who: Foreign,
    /// The day from which on it does not count.
    #[serde(deserialize_with = "quoted")]
    pub expires: Date,
    /// Where to read more.
    pub link: Option<Foreign>,
}

/// What a rule can accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuledFinding {
    /// The package names no commit; a tag of its version does.
    FoundByTag,
    /// The published Cargo.lock was an input.
    PublishedLockfile,
    /// No branch or tag reaches the commit, but one reaches a commit with the same tree.
    SquashedCommit,
    /// A tag of the version is on another commit.
    TagElsewhere,
    /// No branch or tag reaches the commit: only for crates that the rule names.
    UnreachableCommit,
}

impl RuledFinding {
    fn name(self) -> FaultName {
        match self {
            Self::FoundByTag => FaultName::FoundByTag,
            Self::PublishedLockfile => FaultName::PublishedLockfile,
            Self::SquashedCommit => FaultName::SquashedCommit,
            Self::TagElsewhere => FaultName::TagElsewhere,
            Self::UnreachableCommit => FaultName::UnreachableCommit,
        }
    }
}

/// A rule that can't be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// It is for nobody, or for two.
    #[error("a rule has either `repository` or `owner`")]
    Scope,
    /// Its repository is no canonical address.
    #[error("`{0}` is not the https address of a repository, like https://github.com/dtolnay/anyhow, without `.git`")]
    Repository(String),
    /// Its owner is none.
    #[error("`{0}` is not the https address of an owner, like https://github.com/dtolnay")]
    Owner(String),
    /// It would accept what anybody can push.
    #[error(
        "a rule that accepts `unreachable-commit` names `crates`: everybody can push a commit to a fork, and name the repository"
    )]
    Unnamed,
}

impl TryFrom<RuleTable> for Rule {
    type Error = BadRule;

    fn try_from(table: RuleTable) -> Result<Self, BadRule> {
        if table.repository.is_some() == table.owner.is_some() {
            return Err(BadRule::Scope);
        }
        // It is compared as text, in Nix, too.
        let is_canonical = |address: &str| address.parse::<RepositoryUrl>().is_ok_and(|url| url.as_str() == address);
        if let Some(repository) = table.repository.as_ref().filter(|repository| !is_canonical(repository)) {
            return Err(BadRule::Repository(repository.clone()));
        }
        if let Some(owner) = table.owner.as_ref().filter(|owner| !is_canonical(&format!("{owner}/x"))) {
            return Err(BadRule::Owner(owner.clone()));
        }
        let unreachable = table.findings.iter().any(|finding| *finding == RuledFinding::UnreachableCommit);
        if unreachable && table.crates.as_ref().is_none_or(|crates| crates.iter().any(Pattern::fits_all)) {
            return Err(BadRule::Unnamed);
        }
        Ok(Self(table))
    }
}

impl Rule {
    /// What it says.
    #[must_use]
    pub fn table(&self) -> &RuleTable {
        &self.0
    }

    /// What it is for, in words.
    #[must_use]
    pub fn scope(&self) -> &str {
        self.0.repository.as_deref().or(self.0.owner.as_deref()).unwrap_or_default()
    }

    /// Whether it may be for a package with that name.
    #[must_use]
    pub fn names(&self, name: &CrateName) -> bool {
        self.0.crates.as_ref().is_none_or(|crates| crates.iter().any(|pattern| pattern.fits(name)))
    }

    /// Whether it is for a package, whatever was found.
    #[must_use]
    pub fn is_for(&self, key: &PackageKey, findings: &Findings) -> bool {
        let origin = findings.origin.as_ref().map(|origin| origin.repository.as_str());
        // A server may read what is encoded, and find another folder.
        self.names(&key.name)
            && origin.filter(|origin| !origin.contains('%')).is_some_and(|origin| {
                self.0.repository.as_deref() == Some(origin)
                    || self.0.owner.as_ref().is_some_and(|owner| {
                        origin.strip_prefix(owner.as_str()).is_some_and(|rest| rest.starts_with('/'))
                    })
            })
    }

    /// Whether it accepts a fault. Only while the bytes are known and the contents are bit for bit.
    #[must_use]
    pub fn accepts(&self, key: &PackageKey, findings: &Findings, fault: &Fault, today: Option<Date>) -> bool {
        let is_exact = findings.contents == Contents::BitForBit
            && findings.checksum == Checksum::Matches
            && matches!(findings.archive, ArchiveForm::WellFormed { .. });
        is_exact
            && counts(Some(self.0.expires), today)
            && self.0.findings.iter().any(|finding| finding.name() == fault.name)
            && self.is_for(key, findings)
    }

    /// Its acceptance.
    #[must_use]
    pub fn acceptance(&self) -> Acceptance {
        let RuleTable { reason, who, expires, link, .. } = self.0.clone();
        Acceptance { rule: Some(self.scope().into()), reason, who, expires: Some(expires), link }
    }
}

impl Waiver {
    /// Whether it is for a package, whatever its bytes.
    #[must_use]
    pub fn is_for(&self, key: &PackageKey) -> bool {
        key.name == self.krate.name && key.version == self.krate.version && key.registry == self.registry
    }

    /// Why it does not cover a package that it is for; none where it does. `checksum`: what the package's bytes were checked against.
    #[must_use]
    pub fn uncovered(&self, checksum: Option<Sha256>, faults: &[Fault], today: Option<Date>) -> Option<Uncovered> {
        if !counts(self.expires, today) {
            return Some(Uncovered::Expired);
        }
        if checksum != Some(self.sha256) {
            return Some(Uncovered::OtherChecksum);
        }
        if let Some(fault) = faults.iter().find(|fault| fault.name.cannot_be_waived()) {
            return Some(Uncovered::Final(fault.name));
        }
        let others = faults.iter().flat_map(Fault::lines).filter(|line| !self.findings.iter().any(|own| own == line));
        NonEmpty::new(others.collect()).map(Uncovered::OtherFindings)
    }

    /// Its acceptance.
    #[must_use]
    pub fn acceptance(&self) -> Acceptance {
        let Self { reason, who, expires, link, .. } = self.clone();
        Acceptance { rule: None, reason, who, expires, link }
    }
}

/// Why a waiver does not cover a package that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uncovered {
    /// It has expired, or nobody knows which day it is.
    Expired,
    /// It is for other bytes.
    OtherChecksum,
    /// Nobody can waive that.
    Final(FaultName),
    /// It is for other findings: these are new.
    OtherFindings(NonEmpty<String>),
}

/// Whether something that expires counts today. Where nobody knows which day it is, it does not.
#[must_use]
pub fn counts(expires: Option<Date>, today: Option<Date>) -> bool {
    expires.is_none_or(|expires| today.is_some_and(|today| today < expires))
}

/// Whether there is nothing to read in a text.
#[must_use]
pub fn is_blank(text: &Foreign) -> bool {
    text.raw().trim().is_empty()
}

/// A day as text. TOML has days of its own, which Nix does not read.
fn quoted<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    /// Either.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Day {
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    match Day::deserialize(deserializer)? {
        Day::Text(text) => text.parse().map_err(D::Error::custom),
        Day::Other(_) => Err(D::Error::custom("a day is written in quotes: expires = \"2027-06-30\"")),
    }
}

/// The same where there is one.
fn quoted_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    quoted(deserializer).map(Some)
}

/// `name@version`.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CrateId, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// A registry as Cargo.lock has it, or `default`.
pub(super) fn registry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RegistryName, D::Error> {
    registry_of(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn default_registry() -> RegistryName {
    RegistryName::Default
}

/// A text that says something.
fn not_blank<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Foreign, D::Error> {
    let text = Foreign::deserialize(deserializer)?;
    if is_blank(&text) { Err(D::Error::custom("`reason` and `who` can't be empty")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<Rule, String> {
        let rest = "reason = \"r\"\nwho = \"w\"\nexpires = \"2027-01-01\"\n";
        toml::from_str(&format!("{text}\n{rest}")).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn a_rule_is_for_one_repository_or_one_owner() {
        for (text, fault) in [
            ("findings = [\"found-by-tag\"]", "either `repository` or `owner`"),
            (
                "findings = [\"found-by-tag\"]\nowner = \"https://git.example/a\"\nrepository = \"https://git.example/a/b\"",
                "either",
            ),
            ("findings = [\"found-by-tag\"]\nowner = \"https://git.example/a/\"", "is not the https address"),
            ("findings = [\"found-by-tag\"]\nowner = \"https://git.example\"", "is not the https address"),
            ("findings = [\"source-differs\"]\nowner = \"https://git.example/a\"", "unknown variant `source-differs`"),
            ("findings = [\"unreachable-commit\"]\nowner = \"https://git.example/a\"", "names `crates`"),
            (
                "findings = [\"unreachable-commit\"]\nowner = \"https://git.example/a\"\ncrates = [\"x\", \"*\"]",
                "names `crates`",
            ),
            ("findings = []\nowner = \"https://git.example/a\"", "empty list"),
        ] {
            let error = rule(text).unwrap_err();
            assert!(error.contains(fault), "{text}: {error}");
        }
        assert!(
            rule("findings = [\"unreachable-commit\"]\nowner = \"https://git.example/a\"\ncrates = [\"x*\"]").is_ok()
        );
    }

    #[test]
    fn what_expires_does_not_count_on_that_day_nor_where_the_day_is_unknown() {
        let day = |text: &str| Some(text.parse().unwrap());
        assert!(counts(None, None));
        assert!(counts(day("2027-01-02"), day("2027-01-01")));
        assert!(!counts(day("2027-01-01"), day("2027-01-01")));
        assert!(!counts(day("2027-01-01"), None));
    }
}
