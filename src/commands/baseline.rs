//! What `--changed-since` compares with: another lock file, and what the project accepted then.

use std::path::Path;

use super::Failure;
use super::config::{Config, FILE};
use super::subject::LockText;
use crate::edges::worktree::file_at;
use crate::model::package::PackageKey;
use crate::stages::lock::{self, Locked};
use crate::stages::policy::standing::Standing;
use crate::stages::policy::waiver::{Rule, Waiver};

/// What there was before.
#[derive(Debug)]
pub struct Baseline {
    /// The packages.
    pub locked: Locked,
    /// What was required and accepted; none where that is not known.
    standing: Option<Standing>,
}

impl Baseline {
    /// Reads it: `since` is a lock file, or a revision of the repository that the lock file lies in.
    ///
    /// # Errors
    /// Where there is no such thing, or it can't be read.
    pub fn read(since: &str, lock: &LockText, config: Option<&Path>, folder: &Path) -> Result<Self, Failure> {
        let parse = |text: &str| lock::read(text).map_err(|error| Failure::usage(format!("{since}: {error}")));
        if Path::new(since).is_file() {
            let text = fs_err::read_to_string(since).map_err(Failure::usage)?;
            let beside = Path::new(since).with_file_name(FILE);
            let standing = if beside.is_file() { Some(Config::read(Some(&beside), folder)?.standing()) } else { None };
            return Ok(Self { locked: parse(&text)?, standing });
        }
        let Some(path) = &lock.path else {
            return Err(Failure::usage(
                "a lock file from standard input has no revisions: give --changed-since a file",
            ));
        };
        let at = |path: &Path| file_at(since, path);
        let not_there = |error: String| {
            Failure::usage(format!(
                "{error}\nhelp: --changed-since takes a file, or a revision of the repository; in CI, fetch it first \
                 (`fetch-depth: 0`, or `git fetch origin {since}`)"
            ))
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        // Where there was no lock file everything is new.
        let before = at(path).map_err(not_there)?.map_or_else(String::new, text);
        let config = config.map_or_else(|| folder.join(FILE), Path::to_owned);
        // A file that could not be read then accepted nothing.
        let standing = at(&config).ok().flatten().map(text).and_then(|text| Config::parse(&text).ok());
        Ok(Self { locked: parse(&before)?, standing: Some(standing.unwrap_or_default().standing()) })
    }

    /// What was changed of the project's own standards: whoever reviews the change has to see that.
    #[must_use]
    pub fn notices(&self, now: &Standing) -> Vec<String> {
        let Some(before) = &self.standing else { return Vec::new() };
        let mut notices = Vec::new();
        if before.policy != now.policy {
            notices.push("the policy was changed: every package is looked at".to_owned());
        }
        let rules = |rules: &[Rule], others: &[Rule], what: &str| {
            let changed = rules.iter().filter(|rule| !others.contains(rule));
            changed.map(|rule| format!("rule {what}: {}", rule.acceptance())).collect::<Vec<_>>()
        };
        let waivers = |waivers: &[Waiver], others: &[Waiver], what: &str| {
            let changed = waivers.iter().filter(|waiver| !others.contains(waiver));
            changed
                .map(|waiver| format!("waiver {what}: {}, {}", waiver.krate, waiver.acceptance()))
                .collect::<Vec<_>>()
        };
        notices.extend(rules(&now.rule, &before.rule, "added"));
        notices.extend(rules(&before.rule, &now.rule, "removed"));
        notices.extend(waivers(&now.waiver, &before.waiver, "added"));
        notices.extend(waivers(&before.waiver, &now.waiver, "removed"));
        notices
    }

    /// Whether a package that the lock file had before is to be looked at all the same: what is required or accepted of it was changed.
    /// Of a rule without names it is not known whose it is before it is looked at.
    #[must_use]
    pub fn is_to_be_looked_at(&self, now: &Standing, key: &PackageKey) -> bool {
        let Some(before) = &self.standing else { return false };
        let waivers = |standing: &Standing| -> Vec<Waiver> {
            standing.waiver.iter().filter(|waiver| waiver.is_for(key)).cloned().collect()
        };
        let rules = |standing: &Standing| -> Vec<Rule> {
            let may_be_for = |rule: &&Rule| {
                let crates = &rule.table().crates;
                crates.is_empty() || crates.iter().any(|pattern| pattern.fits(&key.name))
            };
            standing.rule.iter().filter(may_be_for).cloned().collect()
        };
        before.policy != now.policy || waivers(before) != waivers(now) || rules(before) != rules(now)
    }
}
