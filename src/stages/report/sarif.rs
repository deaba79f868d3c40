//! The report as SARIF 2.1.0, for code scanning: a rule for each verdict, a result for each package that does not pass or passes with a
//! warning, at its line of the lock file.

use serde_json::{Value, json};

use super::Report;
use super::brief::{Brief, Level};
use super::text::title;
use crate::model::digest::Sha256;
use crate::model::foreign::in_json;
use crate::stages::verdict::Verdict;

/// How many results a run may have: GitHub shows no more of them.
const LIMIT: usize = 5_000;

/// The log; `lockfile`: its path in the repository.
///
/// # Panics
/// Never: it is plain data.
#[must_use]
pub fn log(report: &Report, lockfile: &str) -> String {
    let briefs = report.briefs();
    log_of(&report.recrate, &rules(), briefs.iter().map(|brief| result(brief, lockfile)))
}

/// What is wrong, by which rule and where.
#[derive(Debug, Clone)]
pub struct Found {
    /// The rule's id.
    pub rule: String,
    /// How loud it is.
    pub level: Level,
    /// What is wrong.
    pub text: String,
    /// What it is wrong with: the same thing is told once.
    pub what: String,
    /// The file, as the repository has it, and a line of it.
    pub place: (String, usize),
}

/// A log of what was `found` by `rules`, each an id and what it means.
///
/// # Panics
/// Never: it is plain data.
#[must_use]
pub fn log_of(recrate: &str, rules: &[(String, &'static str)], found: impl Iterator<Item = Found>) -> String {
    let results: Vec<Value> = found.take(LIMIT).map(|found| written(&found, rules)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "recrate",
                "version": recrate,
                "semanticVersion": recrate,
                "rules": rules.iter().map(rule).collect::<Vec<_>>(),
            } },
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    });
    in_json(&serde_json::to_string_pretty(&log).expect("plain data with string keys")) + "\n"
}

/// What is not a verdict, with what it means.
const OTHERS: [(&str, &str); 3] = [
    ("policy", "The crate is what its commit gives, and the project's policy asks for more."),
    ("unsupported", "The package may be published, but recrate can't look at it."),
    (
        "waivers-and-rules",
        "A waiver, rule or section of recrate.toml does not do what it was written for, or expires soon.",
    ),
];

/// The rules: their ids, and what they mean.
fn rules() -> Vec<(String, &'static str)> {
    let verdicts = Verdict::ALL.iter().map(|verdict| (id(*verdict), verdict.meaning()));
    verdicts.chain(OTHERS.map(|(id, means)| (id.to_owned(), means))).collect()
}

fn rule((id, means): &(String, &'static str)) -> Value {
    json!({
        "id": id,
        "shortDescription": { "text": id.replace('-', " ") },
        "fullDescription": { "text": means },
        "help": { "text": means },
        "defaultConfiguration": { "level": "error" },
        "properties": { "tags": ["security", "supply-chain"] },
    })
}

fn result(brief: &Brief<'_>, lockfile: &str) -> Found {
    let rule = match (brief.entry, brief.level) {
        (Some(entry), _) if matches!(entry.verdict, Verdict::Reproduced | Verdict::SameContents) => "policy".to_owned(),
        (Some(entry), _) => id(entry.verdict),
        (None, _) if brief.is_unsupported => "unsupported".to_owned(),
        (None, _) => "waivers-and-rules".to_owned(),
    };
    let lines: Vec<String> = std::iter::once(&brief.title).chain(&brief.lines).map(ToString::to_string).collect();
    let what = brief.entry.map_or_else(|| brief.title.to_string(), |entry| title(&entry.record.key));
    let line = brief.entry.and_then(|entry| entry.line).unwrap_or(1);
    Found { rule, level: brief.level, text: lines.join("\n"), what, place: (lockfile.to_owned(), line) }
}

fn written(found: &Found, rules: &[(String, &'static str)]) -> Value {
    let Found { rule, level, text, what, place: (file, line) } = found;
    json!({
        "ruleId": rule,
        "ruleIndex": rules.iter().position(|(id, _)| id == rule),
        "level": match level { Level::Error => "error", Level::Warning => "warning" },
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(file) },
            "region": { "startLine": line },
        } }],
        "partialFingerprints": { "packageAndRule/v1": Sha256::of(format!("{what}|{rule}").as_bytes()).to_string() },
    })
}

/// A verdict as in the report's JSON.
fn id(verdict: Verdict) -> String {
    json!(verdict).as_str().map(str::to_owned).unwrap_or_default()
}

/// A relative path as a URI.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
