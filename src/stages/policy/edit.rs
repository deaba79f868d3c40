//! Edits `recrate.toml`: comments, order and everything else in it stay.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TomlError, Value, value};

use super::waiver::Waiver;

/// What a new file begins with.
const HEAD: &str = "# What recrate accepts that its policy does not: see `recrate waive --help`.\n";

/// The file's text with these waivers in it. One for the same crate is replaced: it was for other bytes or other findings.
///
/// # Errors
/// Where the text is not TOML, or its waivers are no list of tables.
pub fn with_waivers(text: &str, waivers: &[Waiver]) -> Result<String, Error> {
    let text = if text.is_empty() { HEAD } else { text };
    let mut document: DocumentMut = text.parse()?;
    if waivers.is_empty() {
        return Ok(document.to_string());
    }
    let tables = document.entry("waiver").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let tables = tables.as_array_of_tables_mut().ok_or(Error::NoTables)?;
    for waiver in waivers {
        let is_same = |table: &Table| {
            let text = |key: &str| table.get(key).and_then(Item::as_str);
            text("crate") == Some(&waiver.krate.to_string())
                && text("registry") == waiver.registry.as_ref().map(ToString::to_string).as_deref()
        };
        if !tables.iter().any(is_same) {
            tables.push(Table::new());
        }
        let last = tables.len() - 1;
        let at = tables.iter().position(is_same).unwrap_or(last);
        if let Some(table) = tables.get_mut(at) {
            fill(table, waiver);
        }
    }
    Ok(document.to_string())
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
        (None, _) => drop(table.remove(key)),
    };
    set("crate", Some(krate.to_string().into()));
    set("registry", registry.as_ref().map(|registry| registry.to_string().into()));
    set("sha256", Some(sha256.to_string().into()));
    set("findings", Some(list.into()));
    set("reason", Some(reason.raw().into()));
    set("who", Some(who.raw().into()));
    set("expires", expires.map(|day| day.to_string().into()));
    set("link", link.as_ref().map(|link| link.raw().into()));
}
