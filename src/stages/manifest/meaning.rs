//! What two manifests say differently.
//!
//! Cargos write the same manifest in different forms: targets inferred or spelled out, defaults written or left out.
//! [`differences`] sees through the forms, so that a manifest that only *looks* different is told from one that
//! *says* something else.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::DEPENDENCY_TABLES;

/// Something that one manifest says and another does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManifestDifference {
    /// The key, dotted.
    pub key: String,
    /// What the published manifest says; none where it is silent.
    pub published: Option<String>,
    /// What the rebuilt manifest says.
    pub rebuilt: Option<String>,
}

/// What two manifests say differently, form set aside. `files` are the paths in the crate: they decide which targets
/// cargo would have found by itself.
///
/// Keys that old cargos did not know and dropped count as form where the published manifest lacks them. Where it has
/// them and the rebuilt one does not, it says more than git does, unless `original`, the source's own manifest, says
/// the very same.
#[must_use]
pub fn differences(published: &str, rebuilt: &str, original: &str, files: &BTreeSet<&str>) -> Vec<ManifestDifference> {
    let (Ok(published), Ok(rebuilt)) = (published.parse::<Table>(), rebuilt.parse::<Table>()) else {
        return vec![ManifestDifference {
            key: "(the file)".to_owned(),
            published: Some("not TOML on both sides".to_owned()),
            rebuilt: None,
        }];
    };
    let [published, rebuilt, original] =
        [published, rebuilt, original.parse().unwrap_or_default()].map(|table| Value::Table(meaning(table, files)));
    let mut said = Vec::new();
    compare("", &published, &rebuilt, Some(&original), &mut said);
    said.retain(|said| !(said.published.is_none() && dropped_by_old_cargos(&said.key)));
    said
}

/// Keys that came into the manifest late; cargos before that left them out of what they published.
fn dropped_by_old_cargos(key: &str) -> bool {
    const LATE: [&str; 7] = [
        "lints",
        "hints",
        "package.rust-version",
        "package.resolver",
        "package.default-run",
        "package.publish",
        "package.links",
    ];
    LATE.iter().any(|late| key == *late || key.strip_prefix(late).is_some_and(|rest| rest.starts_with('.')))
}

fn compare(
    key: &str,
    published: &Value,
    rebuilt: &Value,
    original: Option<&Value>,
    said: &mut Vec<ManifestDifference>,
) {
    if let (Value::Table(a), Value::Table(b)) = (published, rebuilt) {
        for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            let original = original.and_then(|original| original.get(name));
            match (a.get(name), b.get(name)) {
                (Some(a), Some(b)) => compare(&key, a, b, original, said),
                // A key of the source's own that the rebuilding cargo does not know yet.
                (Some(a), None) if original == Some(a) => {}
                (a, b) => {
                    let text = |value: &Value| brief(value);
                    said.push(ManifestDifference { key, published: a.map(text), rebuilt: b.map(text) });
                }
            }
        }
    } else if published != rebuilt {
        said.push(ManifestDifference {
            key: key.to_owned(),
            published: Some(brief(published)),
            rebuilt: Some(brief(rebuilt)),
        });
    }
}

fn brief(value: &Value) -> String {
    const LIMIT: usize = 120;
    let text = value.to_string();
    if text.chars().count() <= LIMIT { text } else { text.chars().take(LIMIT).chain(['…']).collect() }
}

/// Brings a manifest into the one form that all cargos' forms come down to.
fn meaning(mut table: Table, files: &BTreeSet<&str>) -> Table {
    if let Some(project) = table.remove("project") {
        table.entry("package").or_insert(project);
    }
    let name = package_of(&mut table, files);
    normalise_targets(&mut table, &name, files);
    normalise_dependencies(&mut table);
    if let Some(Value::Table(targets)) = table.get_mut("target") {
        for (_, target) in targets.iter_mut() {
            if let Value::Table(target) = target {
                normalise_dependencies(target);
            }
        }
        targets.retain(|_, target| target.as_table().is_none_or(|table| !table.is_empty()));
    }
    for key in ["workspace", "patch", "replace", "badges"] {
        table.remove(key);
    }
    if let Some(profiles) = table.get_mut("profile") {
        normalise_debug(profiles);
    }
    table.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
    without_datetimes(table)
}

/// The `[package]` table; gives the package's name.
fn package_of(table: &mut Table, files: &BTreeSet<&str>) -> String {
    let Some(Value::Table(package)) = table.get_mut("package") else { return String::new() };
    for key in ["autolib", "autobins", "autoexamples", "autotests", "autobenches"] {
        package.remove(key);
    }
    package.entry("edition").or_insert_with(|| Value::String("2015".to_owned()));
    // The build script that cargo finds by itself, or that is spelled out as absent.
    let default_build = if files.contains("build.rs") { Value::from("build.rs") } else { Value::from(false) };
    package.entry("build").or_insert(default_build);
    if package.get("readme").is_some_and(|readme| {
        readme.as_bool().is_some() || matches!(readme.as_str(), Some("README.md" | "README.txt" | "README"))
    }) {
        package.remove("readme");
    }
    for key in ["include", "exclude", "publish", "keywords", "categories", "authors"] {
        if package.get(key).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            package.remove(key);
        }
    }
    // Written, left out and defaulted differently through the ages; it never changes what is built from this crate
    // as a dependency.
    package.remove("resolver");
    package.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Targets that cargo finds by itself, and the defaults of those it does not.
fn normalise_targets(table: &mut Table, package: &str, files: &BTreeSet<&str>) {
    let respell = |target: &mut Table| {
        for (old, new) in [("proc_macro", "proc-macro"), ("crate_type", "crate-type")] {
            if let Some(value) = target.remove(old) {
                target.insert(new.to_owned(), value);
            }
        }
    };
    if let Some(Value::Table(lib)) = table.get_mut("lib") {
        respell(lib);
        drop_if(lib, "name", |name| name == package.replace('-', "_"));
        drop_if(lib, "path", |path| path == "src/lib.rs");
    }
    for (kind, folder) in [("bin", "src/bin"), ("example", "examples"), ("test", "tests"), ("bench", "benches")] {
        let Some(Value::Array(targets)) = table.remove(kind) else { continue };
        let mut named = Table::new();
        for target in targets {
            let Value::Table(mut target) = target else { continue };
            respell(&mut target);
            let name = match target.remove("name") {
                Some(Value::String(name)) => name,
                _ => package.to_owned(),
            };
            let places = [format!("{folder}/{name}.rs"), format!("{folder}/{name}/main.rs")];
            let found_there = |path: &str| {
                files.contains(path) && places.iter().any(|place| place == path)
                    || (kind == "bin" && name == package && path == "src/main.rs")
            };
            drop_if(&mut target, "path", found_there);
            if !target.is_empty() {
                named.insert(name, Value::Table(target));
            }
        }
        if !named.is_empty() {
            table.insert(kind.to_owned(), Value::Table(named));
        }
    }
}

/// Cargos around 1.70 wrote the levels of debug information as numbers.
fn normalise_debug(value: &mut Value) {
    let Value::Table(table) = value else { return };
    for (key, value) in table.iter_mut() {
        let level = match value {
            Value::Boolean(false) => 0,
            Value::Boolean(true) => 2,
            Value::String(level) => match level.as_str() {
                "none" => 0,
                "limited" => 1,
                "full" => 2,
                _ => continue,
            },
            _ => {
                normalise_debug(value);
                continue;
            }
        };
        if key == "debug" {
            *value = Value::from(level);
        }
    }
}

fn drop_if(table: &mut Table, key: &str, default: impl Fn(&str) -> bool) {
    if table.get(key).and_then(Value::as_str).is_some_and(default) {
        table.remove(key);
    }
}

fn normalise_dependencies(table: &mut Table) {
    for kind in DEPENDENCY_TABLES {
        if kind.contains('-')
            && let Some(old) = table.remove(&kind.replace('-', "_"))
        {
            table.insert(kind.to_owned(), old);
        }
        let Some(Value::Table(listed)) = table.get_mut(kind) else { continue };
        for (_, value) in listed.iter_mut() {
            if let Value::String(version) = value {
                *value = Value::Table(Table::from_iter([("version".to_owned(), Value::from(version.as_str()))]));
            }
            let Value::Table(dependency) = value else { continue };
            if let Some(old) = dependency.remove("default_features") {
                dependency.insert("default-features".to_owned(), old);
            }
            if dependency.get("default-features") == Some(&Value::from(true)) {
                dependency.remove("default-features");
            }
            if dependency.get("optional") == Some(&Value::from(false)) {
                dependency.remove("optional");
            }
            if dependency.get("features").and_then(Value::as_array).is_some_and(Vec::is_empty) {
                dependency.remove("features");
            }
        }
    }
    table.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
}

/// Cargos from 1.60 to 1.68 wrote a date as a table with a private key.
fn without_datetimes(table: Table) -> Table {
    fn plain(value: Value) -> Value {
        match value {
            Value::Datetime(date) => Value::String(date.to_string()),
            Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
            Value::Table(table) => match table.get("$__toml_private_datetime") {
                Some(Value::String(date)) if table.len() == 1 => Value::String(date.clone()),
                _ => Value::Table(table.into_iter().map(|(key, value)| (key, plain(value))).collect()),
            },
            other => other,
        }
    }
    table.into_iter().map(|(key, value)| (key, plain(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(published: &str, rebuilt: &str, files: &[&str]) -> Vec<String> {
        let files = files.iter().copied().collect();
        differences(published, rebuilt, "", &files).into_iter().map(|said| said.key).collect()
    }

    const OLD: &str = "[package]\nname = \"a-b\"\nversion = \"1.0.0\"\n[dependencies.x]\nversion = \"1\"\n\
        [[bench]]\nname = \"speed\"\nharness = false\n";
    const NEW: &str = "[package]\nedition = \"2015\"\nname = \"a-b\"\nversion = \"1.0.0\"\nbuild = false\n\
        autolib = false\nautobins = false\nreadme = \"README.md\"\nresolver = \"2\"\n\
        [lib]\nname = \"a_b\"\npath = \"src/lib.rs\"\n[[test]]\nname = \"t\"\npath = \"tests/t.rs\"\n\
        [[bench]]\nname = \"speed\"\npath = \"benches/speed.rs\"\nharness = false\n\
        [dependencies]\nx = \"1\"\n[dev-dependencies]\n";

    #[test]
    fn the_forms_of_old_and_new_cargos_say_the_same() {
        let files = ["src/lib.rs", "tests/t.rs", "benches/speed.rs"];
        assert_eq!(said(OLD, NEW, &files), [""; 0]);
        assert_eq!(said(NEW, OLD, &files), [""; 0]);
    }

    #[test]
    fn levels_of_debug_information_are_the_same_as_numbers() {
        let with =
            |level: &str| format!("{OLD}[profile.release]\ndebug = {level}\n[profile.dev.package.x]\ndebug = false\n");
        for (words, number) in [("true", "2"), ("false", "0"), ("\"limited\"", "1"), ("\"full\"", "2")] {
            assert_eq!(said(&with(number), &with(words), &["benches/speed.rs"]), [""; 0]);
        }
        assert_eq!(said(&with("1"), &with("true"), &["benches/speed.rs"]), ["profile.release.debug"]);
    }

    #[test]
    fn what_only_the_published_manifest_says_is_seen() {
        for (extra, key) in [
            ("[dependencies.evil]\nversion = \"1\"\n", "dependencies.evil"),
            ("[target.'cfg(unix)'.dependencies.evil]\nversion = \"1\"\n", "target"),
            ("[build-dependencies.evil]\nversion = \"1\"\n", "build-dependencies"),
            ("[profile.release]\nopt-level = 0\n", "profile"),
            ("[lints.rust]\nunsafe_code = \"allow\"\n", "lints"),
            ("[features]\ndefault = []\n", "features"),
        ] {
            assert_eq!(said(&format!("{OLD}{extra}"), OLD, &["benches/speed.rs"]), [key]);
        }
        let build = OLD.replace("version = \"1.0.0\"\n", "version = \"1.0.0\"\nbuild = \"src/evil.rs\"\n");
        assert_eq!(said(&build, OLD, &["build.rs", "benches/speed.rs"]), ["package.build"]);
        let macros = NEW.replace("[lib]\n", "[lib]\nproc-macro = true\n");
        assert_eq!(said(&macros, NEW, &["src/lib.rs", "tests/t.rs", "benches/speed.rs"]), ["lib"]);
    }

    #[test]
    fn a_dependency_that_old_cargos_would_have_kept_is_missed() {
        let less = OLD.replace("[dependencies.x]\nversion = \"1\"\n", "");
        assert_eq!(said(&less, OLD, &[]), ["dependencies"]);
    }

    #[test]
    fn lints_that_an_old_cargo_dropped_are_form() {
        let more = format!("{OLD}[lints.rust]\nunsafe_code = \"forbid\"\n");
        assert_eq!(said(OLD, &more, &[]), [""; 0]);
    }

    #[test]
    fn what_the_sources_own_manifest_says_is_no_difference() {
        let more = format!("{OLD}[lib]\ndoc-scrape-examples = false\n");
        let said = |original: &str| differences(&more, OLD, original, &BTreeSet::new()).len();
        assert_eq!(said(&more), 0, "a cargo that did not know the key yet dropped it");
        assert_eq!(said(OLD), 1);
        assert_eq!(said(&more.replace("false", "true")), 1, "it says something else");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(a: String, b: String) {
            let _ = differences(&a, &b, &a, &BTreeSet::new());
        }
    }
}
