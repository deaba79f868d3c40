//! What cargos of some releases change in a manifest when they normalise it, although another cargo reads it differently then.
//! Each change is tied to the cargos that make it, most of them also to what the source's own manifest says.
//!
//! From cargo's history; a list of what is known, not of everything: what is not here is a different meaning.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::model::release::{Minor, Span};

/// Who wrote the two manifests.
#[derive(Debug, Clone, Copy)]
pub struct Sides {
    /// The releases whose cargo may have written the published one; none where its bytes contradict each other.
    pub published: Option<Span>,
    /// The release whose cargo wrote the rebuilt one; none where it has no such name.
    pub rebuilt: Option<Minor>,
}

/// A manifest's writer, as far as it is known.
#[derive(Debug, Clone, Copy)]
struct Writer(Option<Span>);

impl Writer {
    fn may_be_before(self, minor: u32) -> bool {
        self.0.is_some_and(|span| span.and(Span::until(minor - 1)).is_some())
    }

    fn may_be_from(self, minor: u32) -> bool {
        self.0.is_some_and(|span| span.and(Span::from(minor)).is_some())
    }
}

/// Keys with the release from which cargo knows them: older ones dropped them. `*` is any one key.
const LATE: [(&[&str], u32); 13] = [
    (&["profile", "*", "package"], 41),
    (&["profile", "*", "build-override"], 41),
    (&["package", "default-run"], 37),
    (&["profile", "*", "split-debuginfo"], 51),
    (&["package", "rust-version"], 56),
    (&["profile", "*", "inherits"], 57),
    (&["profile", "*", "strip"], 59),
    (&["lib", "doc-scrape-examples"], 67),
    (&["bin", "*", "doc-scrape-examples"], 67),
    (&["example", "*", "doc-scrape-examples"], 67),
    (&["test", "*", "doc-scrape-examples"], 67),
    (&["lints"], 74),
    (&["hints"], 90),
];

/// Keys that cargo drops from a release on.
const GONE: [(&[&str], u32); 10] = [
    (&["dependencies", "*", "git"], 39),
    (&["dependencies", "*", "branch"], 39),
    (&["dependencies", "*", "tag"], 39),
    (&["dependencies", "*", "rev"], 39),
    (&["build-dependencies", "*", "git"], 39),
    (&["dev-dependencies", "*", "git"], 39),
    (&["dev-dependencies", "*", "branch"], 39),
    (&["dev-dependencies", "*", "rev"], 39),
    (&["dev-dependencies", "*", "tag"], 39),
    (&["lib", "plugin"], 81),
];

/// Paths that cargo rewrites from a release on: to a file that it copies into the package's own folder.
const COPIED: [(&str, u32); 2] = [("license-file", 43), ("readme", 62)];

/// Whether a difference is what a known change leaves: what the published manifest says of a key, and the rebuilt one.
/// `original` is the source's own manifest, `files` the package's.
#[must_use]
pub(super) fn explain(
    key: &[String],
    sayings: (Option<&Value>, Option<&Value>),
    original: &Table,
    files: &BTreeSet<&str>,
    sides: Sides,
) -> bool {
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    let (published, rebuilt) =
        (Writer(sides.published), Writer(sides.rebuilt.map(|minor| Span::between(minor.0, minor.0))));
    match sayings {
        (Some(value), None) => one_sided(&key, value, (published, rebuilt), original, files),
        (None, Some(value)) => one_sided(&key, value, (rebuilt, published), original, files),
        (Some(a), Some(b)) => {
            resolver(&key, published, rebuilt)
                || rewritten(&key, (a, published), b, original)
                || rewritten(&key, (b, rebuilt), a, original)
        }
        (None, None) => false,
    }
}

/// A key that only one of them has. `with` wrote the manifest that has it, `without` the other.
fn one_sided(
    key: &[&str],
    value: &Value,
    (with, without): (Writer, Writer),
    original: &Table,
    files: &BTreeSet<&str>,
) -> bool {
    let of = |table: &[(&[&str], u32)], applies: &dyn Fn(u32) -> bool| {
        table.iter().any(|(pattern, minor)| matches(pattern, key) && applies(*minor))
    };
    let of_the_source = says(original, key);
    // The older one dropped what it did not know; the source has it.
    if of(&LATE, &|minor| without.may_be_before(minor)) && of_the_source {
        return true;
    }
    if of(&GONE, &|minor| with.may_be_before(minor) && without.may_be_from(minor)) && of_the_source {
        return true;
    }
    match key {
        // A target whose file is not in the package: left out from 1.80 on.
        ["bin" | "example" | "test" | "bench", _] => {
            let gone = match value.get("path") {
                None => true,
                Some(Value::String(path)) => !files.contains(path.as_str()),
                Some(_) => false,
            };
            gone && without.may_be_from(80)
        }
        // A dev-dependency without a version can only be had from its folder or repository: left out from 1.40 on.
        ["dev-dependencies", _] | ["target", _, "dev-dependencies", _] => {
            value.get("version").is_none() && without.may_be_from(40)
        }
        _ => false,
    }
}

/// Up to 1.50 cargo dropped the resolver, up to 1.63 it wrote it by other rules; it is the workspace's.
fn resolver(key: &[&str], published: Writer, rebuilt: Writer) -> bool {
    key == ["package", "resolver"] && (published.may_be_before(64) || rebuilt.may_be_before(64))
}

/// A path that the younger cargo writes in another way.
fn rewritten(key: &[&str], (old, writer): (&Value, Writer), new: &Value, original: &Table) -> bool {
    let (Some(old), Some(new)) = (old.as_str(), new.as_str()) else { return false };
    let copied = COPIED.iter().any(|(name, minor)| {
        key == ["package", *name] && writer.may_be_before(*minor) && old.rsplit('/').next() == Some(new) && old != new
    });
    if copied {
        return says(original, key);
    }
    let is_path = matches!(key, ["package", "build" | "readme" | "license-file"] | ["lib", "path"])
        || matches!(key, ["bin" | "example" | "test" | "bench", _, "path"]);
    is_path && writer.may_be_before(79) && old.contains('\\') && old.replace('\\', "/") == new
}

fn matches(pattern: &[&str], key: &[&str]) -> bool {
    // What lies below a key of the list goes with it.
    pattern.len() <= key.len() && pattern.iter().zip(key).all(|(pattern, key)| *pattern == "*" || pattern == key)
}

/// Whether the source's own manifest has a key, or what holds it is inherited from its workspace.
fn says(original: &Table, key: &[&str]) -> bool {
    let Some((first, rest)) = key.split_first() else { return true };
    match original.get(*first).or_else(|| original.get(&first.replace('-', "_"))) {
        Some(Value::Table(table)) => table.get("workspace") == Some(&Value::from(true)) || says(table, rest),
        // Targets are lists in the source, and named here.
        Some(Value::Array(targets)) if !rest.is_empty() => rest.split_first().is_some_and(|(name, rest)| {
            let mut named = targets.iter().filter(|target| target.get("name").and_then(Value::as_str) == Some(*name));
            named.any(|target| target.as_table().is_some_and(|target| says(target, rest)))
        }),
        Some(_) => rest.is_empty(),
        None => false,
    }
}
