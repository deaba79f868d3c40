//! What `--changed-since` compares with: another lock file, and what the project said in `recrate.toml` then.

use std::path::{Path, PathBuf};

use super::Failure;
use super::config::{Config, FILE};
use super::subject::LockText;
use crate::edges::worktree::Worktree;
use crate::model::package::PackageKey;
use crate::stages::lock::{self, Locked};
use crate::stages::policy::BuiltIn;
use crate::stages::policy::project::ProjectPolicy;
use crate::stages::policy::waiver::Rule;

/// What there was before, and what the project says now.
#[derive(Debug)]
pub struct Baseline {
    /// The packages.
    pub locked: Locked,
    /// What was changed in recrate.toml, for whoever reviews the change.
    pub notices: Vec<String>,
    /// What was required and accepted before, and what is now; none where that was not compared.
    policies: Option<(ProjectPolicy, ProjectPolicy)>,
    /// Whether repositories come from elsewhere than before.
    sources_changed: bool,
}

impl Baseline {
    /// Reads it: `since` is a revision of the repository that the lock file lies in, or another lock file. `accept`: the policy that
    /// the user asked for in place of the file's.
    ///
    /// # Errors
    /// Where there is no such thing, or it is both, or it can't be read.
    pub fn read(
        since: &str,
        lock: &LockText,
        config: Option<&Path>,
        folder: &Path,
        accept: Option<BuiltIn>,
    ) -> Result<Self, Failure> {
        let parse = |text: &str| lock::read(text).map_err(|error| Failure::usage(format!("{since}: {error}")));
        let now = Config::find(config, folder);
        let is_file = Path::new(since).is_file();
        // A change may bring a file of that name.
        let worktree = Worktree::of(folder);
        let is_revision = worktree.as_ref().is_some_and(|worktree| worktree.has(since));
        if is_file && is_revision && !since.contains('/') {
            return Err(Failure::usage(format!(
                "{since} is a revision and a file\nhelp: name the file as ./{since}, or the revision as {since}^0"
            )));
        }
        let (locked, before) = if is_file && !is_revision {
            let text = fs_err::read_to_string(since).map_err(Failure::usage)?;
            let beside = Path::new(since).with_file_name(FILE);
            (
                parse(&text)?,
                beside.is_file().then(|| fs_err::read_to_string(&beside)).transpose().map_err(Failure::usage)?,
            )
        } else {
            let Some(path) = &lock.path else {
                return Err(Failure::usage(
                    "a lock file from standard input has no revisions: give --changed-since a file",
                ));
            };
            let not_there = |error: String| {
                Failure::usage(format!(
                    "{error}\nhelp: --changed-since takes a revision of the repository, or a lock file; in CI, fetch the revision \
                     first (`fetch-depth: 0`, or `git fetch origin {since}`)"
                ))
            };
            let worktree =
                worktree.ok_or_else(|| not_there(format!("{} is in no git repository", folder.display())))?;
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            // Where there was no lock file everything is new.
            let locked = parse(&worktree.file_at(since, path).map_err(not_there)?.map_or_else(String::new, text))?;
            let config: PathBuf = now.clone().unwrap_or_else(|| folder.join(FILE));
            // A file outside of the repository has no revisions.
            let before = worktree.inside(&config).map(|_| worktree.file_at(since, &config)).transpose();
            let before = before.map_err(not_there)?;
            (locked, before.map(|found| found.map_or_else(String::new, text)))
        };
        let Some(before) = before else {
            let notices = vec![
                "what recrate.toml said before is not known: changed waivers, rules and requirements were not looked for".to_owned(),
            ];
            return Ok(Self { locked, notices, policies: None, sources_changed: false });
        };
        // One that could not be read accepted nothing, and whatever is required now is news.
        let before = Config::parse(&before);
        let unreadable = before.is_err();
        let before = before.unwrap_or_default();
        let now = now.map(|path| fs_err::read_to_string(path).map_err(Failure::usage)).transpose()?.unwrap_or_default();
        let now = Config::parse(&now).map_err(Failure::usage)?;
        let sources_changed = before.sources() != now.sources();
        let (mut before, mut now) = (before.project(), now.project());
        if let Some(accept) = accept {
            let policy = ProjectPolicy::of(accept).policy;
            (before.policy, now.policy) = (policy.clone(), policy);
        }
        let mut notices = notices(&before, &now);
        if unreadable {
            notices.push("recrate.toml could not be read before: every package is looked at".to_owned());
        } else if sources_changed {
            notices.push(
                "recrate.toml says otherwise where repositories are (git-mirror, renamed-repository or software-heritage): every \
                 package is looked at"
                    .to_owned(),
            );
        }
        Ok(Self { locked, notices, policies: Some((before, now)), sources_changed: sources_changed || unreadable })
    }

    /// Whether what becomes of packages that recrate can't look at may be something else than before.
    #[must_use]
    pub fn policy_changed(&self) -> bool {
        self.policies.as_ref().is_none_or(|(before, now)| before.policy != now.policy)
    }

    /// Whether a package that the lock file had before is to be looked at all the same: what is required or accepted of it was changed.
    /// Of a rule without names it is not known whose it is before it is looked at.
    #[must_use]
    pub fn needs_recheck(&self, key: &PackageKey) -> bool {
        let Some((before, now)) = &self.policies else { return false };
        let may_be_for = |rule: &&Rule| rule.names(&key.name);
        let waivers = |project: &ProjectPolicy| {
            project.waiver.iter().filter(|waiver| waiver.is_for(key)).cloned().collect::<Vec<_>>()
        };
        self.sources_changed
            || before.requirements(key, false) != now.requirements(key, false)
            || waivers(before) != waivers(now)
            || !before.rule.iter().filter(may_be_for).eq(now.rule.iter().filter(may_be_for))
    }
}

/// How many waivers or rules are named, of those that a change adds or removes.
const NAMED: usize = 10;

fn notices(before: &ProjectPolicy, now: &ProjectPolicy) -> Vec<String> {
    let mut notices = Vec::new();
    if before.policy != now.policy {
        notices.push("the policy was changed: packages of which something else is required are looked at".to_owned());
    }
    let rule = |rule: &Rule| rule.acceptance().to_string();
    notices.extend(differing("rule added", &now.rule, &before.rule, rule));
    notices.extend(differing("rule removed", &before.rule, &now.rule, rule));
    let waiver = |waiver: &crate::stages::policy::waiver::Waiver| format!("{}, {}", waiver.krate, waiver.acceptance());
    notices.extend(differing("waiver added", &now.waiver, &before.waiver, waiver));
    notices.extend(differing("waiver removed", &before.waiver, &now.waiver, waiver));
    notices
}

/// A line for each that is here and not there.
fn differing<T: PartialEq>(what: &str, here: &[T], there: &[T], text: impl Fn(&T) -> String) -> Vec<String> {
    let differing: Vec<&T> = here.iter().filter(|one| !there.contains(one)).collect();
    let mut lines: Vec<String> = differing.iter().take(NAMED).map(|one| format!("{what}: {}", text(one))).collect();
    if differing.len() > NAMED {
        lines.push(format!("{what}: {} more", differing.len() - NAMED));
    }
    lines
}
