//! The report as SARIF 2.1.0, for code scanning: a rule for each verdict, a result for each package that does not pass, at its line
//! of the lock file.

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
    let rules: Vec<Value> = Verdict::ALL.iter().map(rule).collect();
    let briefs = report.briefs();
    let results: Vec<Value> = briefs.iter().filter_map(|brief| result(brief, lockfile)).take(LIMIT).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "recrate",
                "version": report.recrate,
                "semanticVersion": report.recrate,
                "rules": rules,
            } },
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    });
    in_json(&serde_json::to_string_pretty(&log).expect("plain data with string keys")) + "\n"
}

fn rule(verdict: &Verdict) -> Value {
    let means = verdict.meaning();
    json!({
        "id": id(*verdict),
        "name": verdict.to_string(),
        "shortDescription": { "text": verdict.to_string() },
        "fullDescription": { "text": means },
        "help": { "text": means },
        "defaultConfiguration": { "level": "error" },
        "properties": { "tags": ["security", "supply-chain"] },
    })
}

fn result(brief: &Brief<'_>, lockfile: &str) -> Option<Value> {
    let entry = brief.entry?;
    let rule = id(entry.verdict);
    let lines: Vec<String> = std::iter::once(&brief.title).chain(&brief.lines).map(ToString::to_string).collect();
    let fingerprint = Sha256::of(format!("{}|{rule}", title(&entry.record.key)).as_bytes());
    Some(json!({
        "ruleId": rule,
        "ruleIndex": Verdict::ALL.iter().position(|verdict| *verdict == entry.verdict),
        "level": match brief.level { Level::Error => "error", Level::Warning => "warning" },
        "message": { "text": lines.join("\n") },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(lockfile) },
            "region": { "startLine": entry.line.unwrap_or(1) },
        } }],
        "partialFingerprints": { "packageAndVerdict/v1": fingerprint.to_string() },
    }))
}

/// A verdict as in the report's JSON.
fn id(verdict: Verdict) -> Value {
    json!(verdict)
}

/// A relative path as a URI.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
