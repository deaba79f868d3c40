//! Edits `recrate.toml`: comments, order and everything else in it stay.

use std::collections::BTreeMap;

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TomlError, Value, value};

use super::waiver::Waiver;
use crate::model::package::{PackageKey, RegistryName};
use crate::stages::lock::{registry_of, source_of};

/// What a new file begins with.
const HEAD: &str = "# What recrate accepts that its policy does not: see `recrate waive --help`.\n";

/// The file's text with these waivers in it. One for the same crate is replaced: it was for other bytes or other findings.
/// What a new one does not say, like a link, stays as it was.
///
/// # Errors
/// Where the text is not TOML, or its waivers are no list of tables.
pub fn with_waivers(text: &str, waivers: &[Waiver]) -> Result<String, Error> {
    // The library writes Unix files.
    let (mark, text) = text.strip_prefix(BYTE_ORDER_MARK).map_or(("", text), |rest| (BYTE_ORDER_MARK, rest));
    let is_windows = text.contains("\r\n");
    let edited = edited(text, waivers)?;
    Ok(mark.to_owned() + &if is_windows { edited.replace("\r\n", "\n").replace('\n', "\r\n") } else { edited })
}

const BYTE_ORDER_MARK: &str = "\u{feff}";

fn edited(text: &str, waivers: &[Waiver]) -> Result<String, Error> {
    let text = if text.is_empty() { HEAD } else { text };
    let mut document: DocumentMut = text.parse()?;
    if waivers.is_empty() {
        return Ok(document.to_string());
    }
    // What ends the file stays before what is added.
    let mut last = document.trailing().as_str().unwrap_or_default().to_owned();
    document.set_trailing("");
    let tables = document.entry("waiver").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let tables = tables.as_array_of_tables_mut().ok_or(Error::NoTables)?;
    let mut places: BTreeMap<PackageKey, usize> =
        tables.iter().enumerate().filter_map(|(at, table)| Some((key_of(table)?, at))).collect();
    for waiver in waivers {
        let key = PackageKey::new(waiver.registry.clone(), waiver.krate.clone());
        let at = *places.entry(key).or_insert_with(|| {
            let mut table = Table::new();
            let before = if last.is_empty() { "\n".to_owned() } else { std::mem::take(&mut last) + "\n" };
            table.decor_mut().set_prefix(before);
            tables.push(table);
            tables.len() - 1
        });
        if let Some(table) = tables.get_mut(at) {
            fill(table, waiver);
        }
    }
    document.set_trailing(last);
    Ok(document.to_string())
}

/// The package that a waiver is for.
fn key_of(table: &Table) -> Option<PackageKey> {
    let text = |key: &str| table.get(key).and_then(Item::as_str);
    let registry = text("registry").map_or(Ok(RegistryName::Default), registry_of).ok()?;
    Some(PackageKey::new(registry, text("crate")?.parse().ok()?))
}

/// Why a file can't be edited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not TOML.
    #[error(transparent)]
    Toml(#[from] TomlError),
    /// `waiver` is something else.
    #[error("`waiver` is not written as `[[waiver]]` tables")]
    NoTables,
}

fn fill(table: &mut Table, waiver: &Waiver) {
    let Waiver { krate, registry, sha256, findings, reason, who, expires, link } = waiver;
    let mut list: Array = findings.iter().map(String::as_str).collect();
    if list.len() > 1 {
        list.iter_mut().for_each(|finding| finding.decor_mut().set_prefix("\n  "));
        list.set_trailing("\n");
        list.set_trailing_comma(true);
    }
    let mut set = |key: &str, new: Option<Value>| match (new, table.get_mut(key)) {
        // What is there keeps its place and its comment.
        (Some(new), Some(Item::Value(old))) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        (Some(new), _) => drop(table.insert(key, value(new))),
        (None, _) => {}
    };
    set("crate", Some(krate.to_string().into()));
    set("registry", (*registry != RegistryName::Default).then(|| source_of(registry).into()));
    set("sha256", Some(sha256.to_string().into()));
    set("findings", Some(list.into()));
    set("reason", Some(reason.raw().into()));
    set("who", Some(who.raw().into()));
    set("expires", expires.map(|day| day.to_string().into()));
    set("link", link.as_ref().map(|link| link.raw().into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::nonempty::NonEmpty;

    fn waiver(id: &str, findings: &[&str]) -> Waiver {
        Waiver {
            krate: id.parse().unwrap(),
            registry: RegistryName::Default,
            sha256: "a".repeat(64).parse().unwrap(),
            findings: NonEmpty::new(findings.iter().map(|finding| (*finding).to_owned()).collect()).unwrap(),
            reason: "why".into(),
            who: "me".into(),
            expires: None,
            link: None,
        }
    }

    const FILE: &str = "# Ours.\ntoolchains = \"imported\"   # all we have\n\n\
        # An old one.\n[[waiver]]\nwho = \"you\"   # who left\ncrate = \"b@1.0.0\"\nlink = \"https://git.example/1\"\n\n\
        [[rule]]\nowner = \"https://git.example/x\"\n\n[[waiver]]\ncrate = \"c@1.0.0\"\n";

    #[test]
    fn comments_order_and_what_is_not_said_stay() {
        let edited = with_waivers(FILE, &[waiver("b@1.0.0", &["one", "two"]), waiver("d@1.0.0", &["one"])]).unwrap();
        insta::assert_snapshot!(edited, @r#"
        # Ours.
        toolchains = "imported"   # all we have

        # An old one.
        [[waiver]]
        who = "me"   # who left
        crate = "b@1.0.0"
        link = "https://git.example/1"
        sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        findings = [
          "one",
          "two",
        ]
        reason = "why"

        [[rule]]
        owner = "https://git.example/x"

        [[waiver]]
        crate = "c@1.0.0"

        [[waiver]]
        crate = "d@1.0.0"
        sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        findings = ["one"]
        reason = "why"
        who = "me"
        "#);
        // Once more is the same.
        let again = with_waivers(&edited, &[waiver("b@1.0.0", &["one", "two"]), waiver("d@1.0.0", &["one"])]).unwrap();
        assert_eq!(again, edited);
    }

    #[test]
    fn windows_files_stay_ones() {
        let edited = with_waivers("\u{feff}# Ours.\r\n", &[waiver("b@1.0.0", &["one"])]).unwrap();
        assert!(edited.starts_with("\u{feff}# Ours.\r\n"), "{edited:?}");
        assert_eq!(edited.matches('\n').count(), edited.matches("\r\n").count());
        assert_eq!(with_waivers("", &[]).unwrap(), HEAD);
        assert!(matches!(with_waivers("waiver = 1", &[waiver("b@1.0.0", &["one"])]), Err(Error::NoTables)));
    }
}
