//! What CI systems show of a package: its level, a title and a few lines.

use super::facts::{Fact, facts};
use super::text::{registry_option, title};
use super::{Entry, Report};
use crate::model::foreign::Foreign;
use crate::model::package::{PackageKey, RegistryName};
use crate::stages::decision::Decision;
use crate::stages::policy::review::{Reviewed, State};

/// How loud something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A package does not pass.
    Error,
    /// Something has to be known, and nothing fails for it.
    Warning,
}

/// What is to be read about a package, or about the run.
#[derive(Debug, Clone)]
pub struct Brief<'a> {
    /// How loud it is.
    pub level: Level,
    /// What it is, in one line.
    pub title: Foreign,
    /// The same with all findings, and the command that repeats it.
    pub lines: Vec<Foreign>,
    /// The package; none for what is about the run.
    pub entry: Option<&'a Entry>,
    /// Whether it is a package that recrate can't look at.
    pub is_unsupported: bool,
}

/// How many lines of findings there are.
const LINES: usize = 14;
/// How many of them where there is one line only.
const IN_A_LINE: usize = 3;

impl Report {
    /// What is to be read in a run's place: packages that do not pass, the worst first; then what only has to be known.
    #[must_use]
    pub fn briefs(&self) -> Vec<Brief<'_>> {
        let mut briefs: Vec<Brief<'_>> = self.packages.iter().filter_map(of_entry).collect();
        briefs.extend(self.unsupported().map(|(skipped, reason)| Brief {
            level: if self.passes_undetermined() { Level::Warning } else { Level::Error },
            title: format!("{} {}: unsupported", skipped.name, skipped.version).into(),
            lines: vec![reason.clone()],
            entry: None,
            is_unsupported: true,
        }));
        briefs.extend(self.reviewed.iter().filter_map(of_reviewed));
        // Within a level the order stays.
        briefs.sort_by_key(|brief| brief.level);
        briefs
    }
}

impl Brief<'_> {
    /// The title and the first findings.
    #[must_use]
    pub fn in_a_line(&self) -> String {
        let findings: Vec<String> = self.lines.iter().take(IN_A_LINE).map(ToString::to_string).collect();
        format!("{}: {}", self.title, findings.join("; "))
    }
}

/// What is to be read about a package; nothing about one that passes without a word.
#[must_use]
pub fn of_entry(entry: &Entry) -> Option<Brief<'_>> {
    let level = match entry.decision {
        Decision::Accepted | Decision::Waived { .. } => return None,
        Decision::Rejected { .. } | Decision::Undetermined { .. } => Level::Error,
        Decision::Warned { .. } => Level::Warning,
    };
    let name = title(&entry.record.key);
    let mut lines: Vec<Foreign> = Vec::new();
    for Fact { label, value } in facts(&entry.record) {
        let own: Vec<Foreign> = value.lines().collect();
        lines.extend(
            own.iter().enumerate().map(|(at, line)| {
                Foreign::from(if at == 0 { format!("{label}: {line}") } else { format!("  {line}") })
            }),
        );
    }
    if lines.len() > LINES {
        let more = lines.len() - LINES;
        lines.truncate(LINES);
        lines.push(format!("and {more} lines more").into());
    }
    lines.push(format!("policy: {}", entry.decision.reasons().join("; ")).into());
    lines.push(format!("repeat: {}", repeat(entry)).into());
    Some(Brief {
        level,
        title: format!("{name}: {}", entry.complaint()).into(),
        lines,
        entry: Some(entry),
        is_unsupported: false,
    })
}

fn of_reviewed(reviewed: &Reviewed) -> Option<Brief<'_>> {
    let Reviewed { subject, state, detail, .. } = reviewed;
    if *state == State::Used && detail.is_none() {
        return None;
    }
    let title = format!("{subject}: {state}").into();
    Some(Brief {
        level: Level::Warning,
        title,
        lines: detail.iter().cloned().collect(),
        entry: None,
        is_unsupported: false,
    })
}

/// The command that verifies a package.
#[must_use]
pub fn verify(key: &PackageKey) -> String {
    // Of another registry no single crate can be named.
    let what = if key.registry == RegistryName::Default { key.id().to_string() } else { "Cargo.lock".to_owned() };
    format!("recrate verify {what}")
}

/// The command that looks at a package again.
#[must_use]
pub fn repeat(entry: &Entry) -> String {
    let key = &entry.record.key;
    let verify = verify(key);
    if entry.record.best.is_some() {
        format!("{verify}; recrate diff {}{}", key.id(), registry_option(key))
    } else {
        verify
    }
}

/// The command that accepts a package; none where nothing can.
#[must_use]
pub fn accept(entry: &Entry) -> Option<String> {
    let key = &entry.record.key;
    entry.can_be_waived().then(|| format!("recrate waive {}{} --reason …", key.id(), registry_option(key)))
}
