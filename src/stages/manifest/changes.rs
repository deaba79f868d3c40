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
    values: (Option<&Value>, Option<&Value>),
    original: &Table,
    files: &BTreeSet<&str>,
    sides: Sides,
) -> bool {
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    let (published, rebuilt) =
        (Writer(sides.published), Writer(sides.rebuilt.map(|minor| Span::between(minor.0, minor.0))));
    match values {
        (Some(value), None) => one_sided(&key, value, (published, rebuilt, false), original, files),
        (None, Some(value)) => one_sided(&key, value, (rebuilt, published, true), original, files),
        (Some(a), Some(b)) => {
            resolver(&key, (a, published), original)
                || resolver(&key, (b, rebuilt), original)
                || rewritten(&key, (a, published), b, original)
                || rewritten(&key, (b, rebuilt), a, original)
        }
        (None, None) => false,
    }
}

/// A key that only one of them has. `with` wrote the manifest that has it, `without` the other; `only_rebuilt` tells whether
/// it is git's that has it.
fn one_sided(
    key: &[&str],
    value: &Value,
    (with, without, only_rebuilt): (Writer, Writer, bool),
    original: &Table,
    files: &BTreeSet<&str>,
) -> bool {
    let of = |table: &[(&[&str], u32)], applies: &dyn Fn(u32) -> bool| {
        table.iter().any(|(pattern, minor)| matches(pattern, key) && applies(*minor))
    };
    let in_source = source_value(original, key);
    // The older one dropped what it did not know. What git's cargo wrote is the source's; of what only the published one says,
    // the source has to say the very same.
    let equal = in_source == SourceValue::Own(value);
    let known = equal || (only_rebuilt && in_source != SourceValue::Absent);
    if of(&LATE, &|minor| without.may_be_before(minor)) && known {
        return true;
    }
    if of(&GONE, &|minor| with.may_be_before(minor) && without.may_be_from(minor)) && equal {
        return true;
    }
    match key {
        // A target whose file is not in the package: left out from 1.80 on.
        ["bin" | "example" | "test" | "bench", _] => {
            let path = value.get("path").and_then(Value::as_str);
            let gone = path.is_some_and(|path| is_plain(path) && !files.contains(path));
            let same = match in_source {
                SourceValue::Own(source) => {
                    source.get("path").and_then(Value::as_str).map(|path| path.trim_start_matches("./")) == path
                }
                SourceValue::Inherited | SourceValue::Absent => false,
            };
            // Without a path it is where cargo would find it; only git's own manifest is believed in that.
            let unnamed = only_rebuilt && value.get("path").is_none();
            with.may_be_before(80) && without.may_be_from(80) && ((gone && (same || only_rebuilt)) || unnamed)
        }
        // A dev-dependency without a version can only be had from its folder or repository: left out from 1.40 on.
        ["dev-dependencies", _] | ["target", _, "dev-dependencies", _] => {
            let unversioned = value.get("version").is_none() && with.may_be_before(40) && without.may_be_from(40);
            unversioned && known
        }
        _ => false,
    }
}

/// A relative path that goes down only.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Up to 1.50 cargo dropped the resolver; up to 1.63 it wrote the workspace's, and only where that was 2.
fn resolver(key: &[&str], older: (&Value, Writer), original: &Table) -> bool {
    let edition = match source_value(original, &["package", "edition"]) {
        SourceValue::Own(edition) => edition.as_str(),
        SourceValue::Absent => Some("2015"),
        SourceValue::Inherited => None,
    };
    let dropped = matches!(edition, Some("2015" | "2018"));
    let (value, writer) = older;
    let written = value.as_str() == Some("2") || (value.as_str() == Some("1") && dropped);
    key == ["package", "resolver"] && writer.may_be_before(64) && written
}

/// A path that the younger cargo writes in another way.
fn rewritten(key: &[&str], (old, writer): (&Value, Writer), new: &Value, original: &Table) -> bool {
    let (Some(old), Some(new)) = (old.as_str(), new.as_str()) else { return false };
    let copied = COPIED.iter().any(|(name, minor)| {
        key == ["package", *name] && writer.may_be_before(*minor) && old.rsplit('/').next() == Some(new) && old != new
    });
    if copied {
        return source_value(original, key) != SourceValue::Absent;
    }
    let is_path = matches!(key, ["package", "build" | "readme" | "license-file"] | ["lib", "path"])
        || matches!(key, ["bin" | "example" | "test" | "bench", _, "path"]);
    is_path && writer.may_be_before(79) && old.contains('\\') && old.replace('\\', "/") == new
}

fn matches(pattern: &[&str], key: &[&str]) -> bool {
    // What lies below a key of the list goes with it.
    pattern.len() <= key.len() && pattern.iter().zip(key).all(|(pattern, key)| *pattern == "*" || pattern == key)
}

/// What the source's own manifest says of a key.
#[derive(Debug, Clone, Copy, PartialEq)]
enum SourceValue<'a> {
    /// It has one of its own.
    Own(&'a Value),
    /// It is the workspace's.
    Inherited,
    /// It does not have the key.
    Absent,
}

fn source_value<'a>(original: &'a Table, key: &[&str]) -> SourceValue<'a> {
    let Some((first, rest)) = key.split_first() else { return SourceValue::Absent };
    let Some(value) = original.get(*first).or_else(|| original.get(&first.replace('-', "_"))) else {
        return SourceValue::Absent;
    };
    value_below(value, rest)
}

fn value_below<'a>(value: &'a Value, key: &[&str]) -> SourceValue<'a> {
    let Some((first, rest)) = key.split_first() else {
        let inherited = value.get("workspace") == Some(&Value::from(true));
        return if inherited { SourceValue::Inherited } else { SourceValue::Own(value) };
    };
    match value {
        Value::Table(table) if table.get("workspace") == Some(&Value::from(true)) => SourceValue::Inherited,
        Value::Table(table) => source_value(table, key),
        // Targets are lists in the source, and named here.
        Value::Array(targets) => {
            let named = |target: &&Value| target.get("name").and_then(Value::as_str) == Some(*first);
            targets.iter().find(named).map_or(SourceValue::Absent, |target| value_below(target, rest))
        }
        _ => SourceValue::Absent,
    }
}
