//! What packages have their verdict for: those with one cause stand together.

use super::Entry;
use super::facts::describe_contents;
use crate::model::foreign::Foreign;
use crate::stages::claims::Reach;
use crate::stages::findings::Rebuild;
use crate::stages::verdict::Verdict;

/// Packages of one verdict.
#[derive(Debug)]
pub struct Grouped<'a> {
    /// Those that have their own cause, by name.
    pub alone: Vec<&'a Entry>,
    /// Those that share one; where they pass, one is enough.
    pub together: Vec<(Foreign, Vec<&'a Entry>)>,
}

/// Groups packages of one verdict by cause.
#[must_use]
pub fn group<'a>(entries: &[&'a Entry]) -> Grouped<'a> {
    let mut causes: Vec<(Foreign, Vec<&Entry>)> = Vec::new();
    let mut alone: Vec<&Entry> = Vec::new();
    for entry in entries {
        match cause(entry) {
            None => alone.push(entry),
            Some(cause) => match causes.iter_mut().find(|(known, _)| *known == cause) {
                Some((_, with)) => with.push(entry),
                None => causes.push((cause, vec![entry])),
            },
        }
    }
    // Of what passes, names are enough.
    let (together, single): (Vec<_>, Vec<_>) =
        causes.into_iter().partition(|(_, with)| with.len() > 1 || with.iter().all(|entry| entry.decision.passes()));
    alone.extend(single.into_iter().flat_map(|(_, with)| with));
    alone.sort_by(|a, b| a.record.key.cmp(&b.record.key));
    Grouped { alone, together }
}

/// What a package has its verdict for, where others may have it for the same.
fn cause(entry: &Entry) -> Option<Foreign> {
    let record = &entry.record;
    let findings = &record.findings;
    if let Some(span) = record.lacking_cargo() {
        return Some(format!("packaged by cargo {span}, which is not available").into());
    }
    let conditions = || -> String {
        // Without particulars like the number of files: they would tear apart what has one cause.
        let words: Vec<String> = findings.conditions.iter().map(|one| without_particulars(&one.to_string())).collect();
        words.join(", ")
    };
    let or_none = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
    let said = match (entry.verdict, &findings.rebuild) {
        (Verdict::Unverifiable, Rebuild::Impossible { missing, .. }) => missing.to_string(),
        (Verdict::Error, Rebuild::Error { reason }) => return reason.lines().next(),
        (Verdict::MatchedByTagOnly, _) => {
            let squashed = or_none(conditions(), "no conditions");
            format!("the crate names no commit; against its tag: {}, {squashed}", describe_contents(&findings.contents))
        }
        (Verdict::UnreachableCommit, _) => {
            format!("no branch or tag reaches the commit; contents: {}", describe_contents(&findings.contents))
        }
        (Verdict::ReachUnknown, _) => match &findings.reach.reach {
            Reach::Unknown { reason } => return Some(reason.clone()),
            _ => return None,
        },
        (Verdict::Reproduced | Verdict::SameContents | Verdict::CompressorUnknown, _) => {
            let squashed = match &findings.reach.reach {
                Reach::Squashed { .. } => "squashed after publication: same tree as a reachable commit",
                _ => "",
            };
            let alike = findings.archive.alike().map_or("", |_| "names that differ in letter case only");
            let mut parts = vec![conditions(), squashed.to_owned(), alike.to_owned()];
            parts.retain(|part| !part.is_empty());
            or_none(parts.join("; "), "without conditions")
        }
        _ => return None,
    };
    Some(said.into())
}

/// A condition without what is in brackets, and without an address.
fn without_particulars(condition: &str) -> String {
    let text = condition.split(" (").next().unwrap_or(condition);
    text.split(" from https://").next().unwrap_or(text).to_owned()
}
