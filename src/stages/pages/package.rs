//! What is known of a package, as a part of pages.

use maud::{Markup, html};

use super::{lines, registry_page};
use crate::model::foreign::Foreign;
use crate::stages::decision::Decision;
use crate::stages::record::{AttemptRecord, Record};
use crate::stages::report::Entry;
use crate::stages::report::brief::accept;
use crate::stages::report::brief::verify;
use crate::stages::report::facts::{Fact, fact, facts};
use crate::stages::report::text::{registry_option, update_facts};

/// All findings, attempts, commands and links.
pub fn findings(record: &Record, more: &[Fact]) -> Markup {
    html! {
        dl {
            @for Fact { label, value } in facts(record).iter().chain(more) {
                dt { (label) }
                dd { (lines(value.lines())) }
            }
        }
        (links(record))
        (attempts(record))
    }
}

/// What was decided on a package, and what its update is.
pub fn decided(entry: &Entry) -> Vec<Fact> {
    let mut more = Vec::new();
    let reasons = entry.decision.reasons();
    let why = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
    more.push(fact("decision", format!("{}{why}", entry.decision.name())));
    if let Decision::Waived { by, .. } = &entry.decision {
        more.extend(by.iter().map(|by| fact("waived", by.to_string())));
    }
    if let Some(update) = &entry.update {
        more.push(fact("update from", update.from.to_string()));
        more.extend(update_facts(&entry.record.key, update));
    }
    more
}

/// The commands that find the same again; `run` is the folder of the run, for where it is not the usual one.
pub fn commands(record: &Record, run: Option<&str>, accept: Option<String>) -> Markup {
    let id = record.key.id();
    let registry = registry_option(&record.key);
    let at = |option: &str| run.map_or(String::new(), |run| format!(" {option} {run}"));
    let mut commands = vec![verify(&record.key)];
    if let Some(attempt) = record.best_attempt() {
        commands.push(format!("recrate diff {id}{registry}{}", at("--out")));
        commands.push(format!("recrate reproduce {id}{registry}{}", at("--run")));
        commands.push(format!("nix-store --read-log {}", attempt.drv));
    }
    commands.extend(accept);
    html! { p.label { "Commands" } pre { @for command in commands { (Foreign::from(command).to_string()) "\n" } } }
}

/// The command that accepts a package that does not pass.
pub fn accepting(entry: &Entry) -> Option<String> {
    if entry.decision.passes() { None } else { accept(entry) }
}

fn links(record: &Record) -> Markup {
    let origin = record.findings.origin.as_ref();
    html! {
        p {
            @if let Some(page) = registry_page(&record.key) { a href=(page) { "registry" } " · " }
            @if let Some(origin) = origin {
                a href=(origin.repository.as_str()) { "repository" }
                @if let Some(commit) = origin.repository.commit_page(origin.commit) { " · " a href=(commit) { "commit" } }
            }
        }
        @if let Some(checksum) = record.checksum { p.dim { "sha256 " code { (checksum) } } }
    }
}

fn attempts(record: &Record) -> Markup {
    if record.attempts.is_empty() {
        return Markup::default();
    }
    html! {
        p.label { "Rebuilds" }
        div.scroll tabindex="0" role="group" aria-label={ "Rebuilds of " (record.key.id().to_string()) } {
            table {
                thead { tr { th { "cargo" } th { "Cargo.lock from" } th { "workspace" } th { "verdict" } th { "derivation" } } }
                tbody {
                    @for (at, AttemptRecord { toolchain, in_range, index_mode, workspace, verdict, drv, .. }) in
                        record.attempts.iter().enumerate()
                    {
                        tr {
                            td { (Foreign::from(toolchain.as_str()).to_string()) @if !in_range { " (not the one that packaged it)" } }
                            td { (index_mode.to_string()) }
                            td { (workspace.to_string()) }
                            td { (verdict.to_string()) @if record.best == Some(at) { " (this one counts)" } }
                            td { code { (Foreign::from(drv.as_str()).to_string()) } }
                        }
                    }
                }
            }
        }
    }
}
