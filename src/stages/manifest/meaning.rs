//! What two manifests say differently.
//!
//! Both are read by cargo's own schema. They mean the same where they are equal after equivalences of cargo's reading (a
//! default written out, a target listed that cargo finds by itself), and after [`changes`], each of which is tied to the
//! cargos that make it. Everything else is a different meaning: unknown keys, both spellings of a key, `[patch]`.

use std::collections::BTreeSet;
use std::fmt;

use cargo_util_schemas::manifest::TomlManifest;
use toml::{Table, Value};

use super::changes::{self, Sides};
use super::{DEPENDENCY_TABLES, targets};
use crate::model::foreign;

/// Something that one manifest says and another does not. At least one of them says something.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestDifference {
    /// The keys, from the top down.
    pub key: Vec<String>,
    /// What the published manifest says; none where it is silent.
    pub published: Option<Value>,
    /// What the rebuilt manifest says.
    pub rebuilt: Option<Value>,
}

impl fmt::Display for ManifestDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.join(".");
        match (&self.published, &self.rebuilt) {
            (Some(published), None) => write!(f, "only published: {key} = {}", brief(published)),
            (None, Some(rebuilt)) => write!(f, "missing from the published one: {key} = {}", brief(rebuilt)),
            (published, rebuilt) => {
                let text = |side: &Option<Value>| side.as_ref().map(brief).unwrap_or_default();
                write!(f, "{key}: published {}, from git {}", text(published), text(rebuilt))
            }
        }
    }
}

fn brief(value: &Value) -> String {
    foreign::brief(&value.to_string(), 120)
}

/// What two manifests say differently, form set aside. `files` are the paths in the rebuilt crate: they decide which
/// targets cargo finds by itself. `original` is the source's own manifest.
#[must_use]
pub fn differences(
    published: &str,
    rebuilt: &str,
    original: &str,
    files: &BTreeSet<&str>,
    sides: Sides,
) -> Vec<ManifestDifference> {
    let tables = (published.parse::<Table>(), rebuilt.parse::<Table>());
    let read = by_schema(published).zip(by_schema(rebuilt));
    let (Ok(published), Ok(rebuilt)) = tables else {
        let says = |readable: bool| Some(Value::from(if readable { "TOML" } else { "not TOML" }));
        let (published, rebuilt) = (says(tables.0.is_ok()), says(tables.1.is_ok()));
        return vec![ManifestDifference { key: vec!["(the file)".to_owned()], published, rebuilt }];
    };
    let original: Table = original.parse().unwrap_or_default();
    let mut found = Vec::new();
    let Some([published, rebuilt]) = read.map(<[Table; 2]>::from) else {
        // cargo itself would refuse one of them: nothing is known to be equivalent.
        compare(&mut Vec::new(), &Value::Table(published), &Value::Table(rebuilt), &mut found);
        return found;
    };
    let [published, rebuilt] = [published, rebuilt].map(|table| Value::Table(meaning(table, files)));
    compare(&mut Vec::new(), &published, &rebuilt, &mut found);
    found.retain(|ManifestDifference { key, published, rebuilt }| {
        !changes::explain(key, (published.as_ref(), rebuilt.as_ref()), &original, files, sides)
    });
    found
}

fn compare(key: &mut Vec<String>, published: &Value, rebuilt: &Value, found: &mut Vec<ManifestDifference>) {
    if let (Value::Table(a), Value::Table(b)) = (published, rebuilt) {
        for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            key.push(name.clone());
            match (a.get(name), b.get(name)) {
                (Some(a), Some(b)) => compare(key, a, b, found),
                (a, b) => {
                    found.push(ManifestDifference { key: key.clone(), published: a.cloned(), rebuilt: b.cloned() })
                }
            }
            key.pop();
        }
    } else if published != rebuilt {
        let (published, rebuilt) = (Some(published.clone()), Some(rebuilt.clone()));
        found.push(ManifestDifference { key: key.clone(), published, rebuilt });
    }
}

/// Brings a manifest into the one form that all that cargo reads alike comes down to.
fn meaning(mut table: Table, files: &BTreeSet<&str>) -> Table {
    dates(&mut table);
    respell(&mut table, "package", "project");
    let edition = package_of(&mut table, files);
    dependencies_of(&mut table, &edition);
    if let Some(Value::Table(platforms)) = table.get_mut("target") {
        platforms.iter_mut().filter_map(|(_, platform)| platform.as_table_mut()).for_each(|platform| {
            dependencies_of(platform, &edition);
        });
    }
    targets_of(&mut table, &edition);
    targets::spell_out(&mut table, files);
    spell_out_lists(&mut table);
    table
}

/// A manifest as cargo's schema has it, with what the schema does not know left as it stands; none where the schema can't
/// read it.
fn by_schema(text: &str) -> Option<Table> {
    // From the text, as cargo does it: out of a table, a date would be read as a text.
    let manifest: TomlManifest = toml::from_str(text).ok()?;
    let mut read = Table::try_from(&manifest).ok()?;
    keep_unknown(&mut read, text.parse().ok()?);
    Some(read)
}

/// Puts keys back that reading has lost: the schema does not know them.
fn keep_unknown(read: &mut Table, written: Table) {
    for (key, value) in written {
        match (read.get_mut(&key), value) {
            (None, value) => drop(read.insert(key, value)),
            (Some(Value::Table(read)), Value::Table(written)) => keep_unknown(read, written),
            (Some(Value::Array(read)), Value::Array(written)) if read.len() == written.len() => {
                for (read, written) in read.iter_mut().zip(written) {
                    if let (Value::Table(read), Value::Table(written)) = (read, written) {
                        keep_unknown(read, written);
                    }
                }
            }
            // Writing to a table makes texts of dates.
            (Some(read), written @ Value::Datetime(_)) => *read = written,
            _ => {}
        }
    }
}

/// Gives a key today's spelling. Where both stand, cargos differ in which they take: both are kept.
fn respell(table: &mut Table, today: &str, old: &str) {
    if !table.contains_key(today)
        && let Some(value) = table.remove(old)
    {
        table.insert(today.to_owned(), value);
    }
}

/// The `[package]` table; gives the edition.
fn package_of(table: &mut Table, files: &BTreeSet<&str>) -> String {
    const README: [&str; 3] = ["README.md", "README.txt", "README"];
    let Some(Value::Table(package)) = table.get_mut("package") else { return String::new() };
    let edition =
        package.entry("edition").or_insert_with(|| Value::from("2015")).as_str().unwrap_or_default().to_owned();
    // What cargo finds by itself, or is told not to look for.
    let found = |paths: &[&str]| {
        paths.iter().find(|path| files.contains(*path)).map_or(Value::from(false), |path| Value::from(*path))
    };
    for (key, default, ask) in [("build", "build.rs", &["build.rs"][..]), ("readme", "README.md", &README)] {
        match package.get(key) {
            None => drop(package.insert(key.to_owned(), found(ask))),
            Some(Value::Boolean(true)) => drop(package.insert(key.to_owned(), Value::from(default))),
            Some(_) => {}
        }
    }
    let resolver = match edition.as_str() {
        "2015" | "2018" => Some("1"),
        "2021" => Some("2"),
        "2024" => Some("3"),
        _ => None,
    };
    if let Some(resolver) = resolver {
        package.entry("resolver").or_insert_with(|| Value::from(resolver));
    }
    for key in ["include", "exclude", "keywords", "categories", "authors"] {
        if package.get(key).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            package.remove(key);
        }
    }
    if package.get("publish") == Some(&Value::from(true)) {
        package.remove("publish");
    }
    edition
}

/// The dependencies in a table: of the package, or of a platform.
fn dependencies_of(table: &mut Table, edition: &str) {
    for today in DEPENDENCY_TABLES {
        // From edition 2024 on cargo refuses the old spelling.
        if edition != "2024" {
            respell(table, today, &today.replace('-', "_"));
        }
        let Some(Value::Table(listed)) = table.get_mut(today) else { continue };
        for (_, dependency) in listed.iter_mut() {
            if let Value::String(version) = dependency {
                let version = Value::from(std::mem::take(version));
                *dependency = Value::Table(Table::from_iter([("version".to_owned(), version)]));
            }
            let Value::Table(dependency) = dependency else { continue };
            if edition != "2024" {
                respell(dependency, "default-features", "default_features");
            }
            let both = dependency.contains_key("default_features");
            drop_default(dependency, "default-features", |value| *value == Value::from(true) && !both);
            drop_default(dependency, "optional", |value| *value == Value::from(false));
            drop_default(dependency, "features", |value| value.as_array().is_some_and(Vec::is_empty));
        }
    }
}

/// Both spellings of what targets say.
fn targets_of(table: &mut Table, edition: &str) {
    if edition == "2024" {
        return;
    }
    let respell = |target: &mut Value| {
        if let Value::Table(target) = target {
            respell(target, "proc-macro", "proc_macro");
            respell(target, "crate-type", "crate_type");
        }
    };
    for key in ["lib", "bin", "example", "test", "bench"] {
        match table.get_mut(key) {
            Some(Value::Array(targets)) => targets.iter_mut().for_each(respell),
            Some(target) => respell(target),
            None => {}
        }
    }
}

fn drop_default(table: &mut Table, key: &str, is_default: impl Fn(&Value) -> bool) {
    if table.get(key).is_some_and(is_default) {
        table.remove(key);
    }
}

/// What lists things by name, alone or per platform: a list that is not there is an empty one.
const LISTS: [&str; 9] = ["badges", "bench", "bin", "example", "features", "lints", "profile", "target", "test"];

fn spell_out_lists(table: &mut Table) {
    let list = |table: &mut Table, key: &str| {
        table.entry(key).or_insert_with(|| Value::Table(Table::new()));
    };
    for key in LISTS.into_iter().chain(DEPENDENCY_TABLES) {
        list(table, key);
    }
    if let Some(Value::Table(platforms)) = table.get_mut("target") {
        for (_, platform) in platforms.iter_mut() {
            if let Value::Table(platform) = platform {
                DEPENDENCY_TABLES.iter().for_each(|key| list(platform, key));
            }
        }
        let empty = |value: &Value| value.as_table().is_some_and(Table::is_empty);
        platforms.retain(|_, platform| platform.as_table().is_none_or(|lists| !lists.values().all(empty)));
    }
}

/// Cargos from 1.60 to 1.68 wrote a date as a table with a private key.
fn dates(table: &mut Table) {
    for (_, value) in table.iter_mut() {
        dates_in(value);
    }
}

fn dates_in(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(dates_in),
        Value::Table(table) => {
            let date = table.get("$__toml_private_datetime").and_then(Value::as_str).and_then(|date| date.parse().ok());
            match date {
                Some(date) if table.len() == 1 => *value = Value::Datetime(date),
                _ => dates(table),
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::release::{Minor, Span};

    const NEWEST: u32 = 97;

    /// Compares what cargo 1.`published` wrote with what 1.`rebuilt` did.
    fn between(a: (&str, u32), b: (&str, u32), original: &str, files: &[&str]) -> Vec<String> {
        let sides = Sides { published: Some(Span::between(a.1, a.1)), rebuilt: Some(Minor(b.1)) };
        let found = differences(a.0, b.0, original, &files.iter().copied().collect(), sides);
        found.into_iter().map(|difference| difference.key.join(".")).collect()
    }

    fn said(published: &str, rebuilt: &str, files: &[&str]) -> Vec<String> {
        between((published, NEWEST), (rebuilt, NEWEST), "", files)
    }

    const OLD: &str = "[package]\nname = \"a-b\"\nversion = \"1.0.0\"\n[dependencies.x]\nversion = \"1\"\n\
        [[bench]]\nname = \"speed\"\nharness = false\n";
    const NEW: &str = "[package]\nedition = \"2015\"\nname = \"a-b\"\nversion = \"1.0.0\"\nbuild = false\n\
        autolib = false\nautobins = false\nautotests = false\nautobenches = false\nreadme = \"README.md\"\n\
        [lib]\nname = \"a_b\"\npath = \"src/lib.rs\"\n[[test]]\nname = \"t\"\npath = \"tests/t.rs\"\n\
        [[bench]]\nname = \"speed\"\npath = \"benches/speed.rs\"\nharness = false\n\
        [dependencies]\nx = \"1\"\n[dev-dependencies]\n";
    const FILES: [&str; 4] = ["src/lib.rs", "tests/t.rs", "benches/speed.rs", "README.md"];

    #[test]
    fn the_forms_of_old_and_new_cargos_say_the_same() {
        assert_eq!(said(OLD, NEW, &FILES), [""; 0]);
        assert_eq!(said(NEW, OLD, &FILES), [""; 0]);
    }

    #[test]
    fn levels_of_debug_information_are_the_same_as_numbers() {
        let with =
            |level: &str| format!("{OLD}[profile.release]\ndebug = {level}\n[profile.dev.package.x]\ndebug = false\n");
        for (words, number) in [("true", "2"), ("false", "0"), ("\"limited\"", "1"), ("\"full\"", "2")] {
            assert_eq!(said(&with(number), &with(words), &FILES), [""; 0]);
        }
        assert_eq!(said(&with("1"), &with("true"), &FILES), ["profile.release.debug"]);
    }

    #[test]
    fn what_only_the_published_manifest_says_is_seen() {
        for (extra, key) in [
            ("[dependencies.evil]\nversion = \"1\"\n", "dependencies.evil"),
            ("[target.'cfg(unix)'.dependencies.evil]\nversion = \"1\"\n", "target.cfg(unix)"),
            ("[build-dependencies.evil]\nversion = \"1\"\n", "build-dependencies.evil"),
            ("[profile.release]\nopt-level = 0\n", "profile.release"),
            ("[lints.rust]\nunsafe_code = \"allow\"\n", "lints.rust"),
            ("[features]\ndefault = []\n", "features.default"),
            ("[patch.crates-io]\nx = { git = \"https://evil.example/x\" }\n", "patch"),
            ("[replace]\n\"x:1.0.0\" = { git = \"https://evil.example/x\" }\n", "replace"),
            ("[workspace]\n", "workspace"),
            ("[unheard-of]\nkey = 1\n", "unheard-of"),
        ] {
            assert_eq!(said(&format!("{OLD}{extra}"), OLD, &FILES), [key]);
        }
        for (line, key) in [
            ("build = \"src/evil.rs\"", "package.build"),
            ("resolver = \"2\"", "package.resolver"),
            ("links = \"x\"", "package.links"),
            ("unheard-of = 1", "package.unheard-of"),
        ] {
            let more = OLD.replace("version = \"1.0.0\"\n", &format!("version = \"1.0.0\"\n{line}\n"));
            assert_eq!(said(&more, OLD, &["build.rs", "src/lib.rs"]), [key]);
            assert_eq!(said(OLD, &more, &["build.rs", "src/lib.rs"]), [key]);
        }
        let macros = NEW.replace("[lib]\n", "[lib]\nproc-macro = true\n");
        assert_eq!(said(&macros, NEW, &FILES), ["lib.proc-macro"]);
    }

    #[test]
    fn both_spellings_of_a_key_are_not_one() {
        for (good, evil, key) in [
            ("[build_dependencies]\ngood = \"1\"\n", "[build-dependencies]\nevil = \"1\"\n", "build"),
            (
                "[target.a.build_dependencies]\ngood = \"1\"\n",
                "[target.a.build-dependencies]\nevil = \"1\"\n",
                "target",
            ),
            ("[lib]\nproc_macro = false\n", "proc-macro = true\n", "lib"),
            ("[lib]\ncrate_type = [\"lib\"]\n", "crate-type = [\"dylib\"]\n", "lib"),
            (
                "[dependencies.y]\nversion = \"1\"\ndefault_features = true\n",
                "default-features = false\n",
                "dependencies",
            ),
        ] {
            let one = format!("{OLD}{good}");
            let found = said(&format!("{one}{evil}"), &one, &FILES);
            assert!(!found.is_empty() && found.iter().all(|found| found.starts_with(key)), "{evil}: {found:?}");
            assert_eq!(
                said(
                    &one,
                    &one.replace('_', "-").replace("default-features = true", "default_features = true"),
                    &FILES
                )
                .len(),
                usize::from(one.contains("a_b")),
                "{one}"
            );
        }
    }

    #[test]
    fn targets_that_point_elsewhere_are_seen() {
        let files = ["src/lib.rs", "src/main.rs", "src/bin/tool.rs", "src/evil.rs"];
        let with = |targets: &str| {
            format!("[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\nautobins = false\n{targets}")
        };
        let bin = |name: &str, path: &str| format!("[[bin]]\nname = \"{name}\"\npath = \"{path}\"\n");
        let both = with(&(bin("a", "src/main.rs") + &bin("tool", "src/bin/tool.rs")));
        assert_eq!(said(&both.replace("autobins = false\n", ""), &both, &files), [""; 0]);
        let found = with("").replace("autobins = false\n", "");
        assert_eq!(said(&found, &both, &files), [""; 0], "cargo finds both");
        assert_eq!(
            said(&with(&(bin("a", "src/evil.rs") + &bin("tool", "src/bin/tool.rs"))), &both, &files),
            ["bin.a.path"]
        );
        assert_eq!(said(&with(&bin("a", "src/main.rs")), &both, &files), ["bin.tool"]);
        assert_eq!(said(&both, &with(&bin("a", "src/main.rs")), &files), ["bin.tool"]);
        // Up to edition 2015 nothing is found beside what is listed.
        let old = |text: &str| text.replace("2021", "2015").replace("autobins = false\n", "");
        assert_eq!(said(&old(&with(&bin("a", "src/main.rs"))), &old(&both), &files), ["bin.tool"]);
    }

    #[test]
    fn a_dependency_that_old_cargos_would_have_kept_is_missed() {
        let less = OLD.replace("[dependencies.x]\nversion = \"1\"\n", "");
        assert_eq!(said(&less, OLD, &FILES), ["dependencies.x"]);
    }

    #[test]
    fn lints_are_missing_where_the_publishers_cargo_did_not_know_them_and_the_source_has_them() {
        let lints = "[lints.rust]\nunsafe_code = \"forbid\"\n";
        let more = format!("{OLD}{lints}");
        assert_eq!(between((OLD, 73), (&more, NEWEST), lints, &FILES), [""; 0]);
        assert_eq!(between((OLD, 73), (&more, NEWEST), "[lints]\nworkspace = true\n", &FILES), [""; 0]);
        assert_eq!(between((OLD, 74), (&more, NEWEST), lints, &FILES), ["lints.rust"]);
        assert_eq!(between((OLD, 73), (&more, NEWEST), "", &FILES), ["lints.rust"]);
        // And the other way round.
        assert_eq!(between((&more, NEWEST), (OLD, 73), lints, &FILES), [""; 0]);
        assert_eq!(between((&more, NEWEST), (OLD, NEWEST), lints, &FILES), ["lints.rust"]);
        assert_eq!(between((&more, NEWEST), (OLD, 73), "", &FILES), ["lints.rust"]);
    }

    #[test]
    fn a_target_without_its_file_is_left_out_by_new_cargos() {
        let gone = "[[example]]\nname = \"gone\"\npath = \"examples/gone.rs\"\n";
        let more = format!("{OLD}{gone}");
        assert_eq!(between((OLD, 80), (&more, 79), "", &FILES), [""; 0]);
        assert_eq!(between((OLD, 79), (&more, 79), "", &FILES), ["example.gone"]);
        assert_eq!(between((&more, 79), (OLD, 80), gone, &FILES), [""; 0]);
        assert_eq!(between((&more, 79), (OLD, 80), "", &FILES), ["example.gone"], "the source does not have it");
        for path in ["src/../examples/gone.rs", "../other/gone.rs", "/tmp/gone.rs", "src//gone.rs", "./../gone.rs"] {
            let text = |text: &str| text.replace("examples/gone.rs", path);
            assert_eq!(between((&text(&more), 79), (OLD, 80), &text(gone), &FILES), ["example.gone"], "{path}");
        }
    }

    #[test]
    fn what_a_cargo_would_keep_or_drop_counts_only_with_the_sources_own_value() {
        let (good, evil) = ("[dependencies.x]\ngit = \"https://good.example\"\n", "git = \"https://evil.example\"\n");
        let published = OLD.replace("[dependencies.x]\n", &format!("[dependencies.x]\n{evil}"));
        assert_eq!(between((&published, 30), (OLD, 95), good, &FILES), ["dependencies.x.git"]);
        let honest = OLD.replace("[dependencies.x]\n", good);
        assert_eq!(between((&honest, 30), (OLD, 95), good, &FILES), [""; 0]);
        let dev = format!("{OLD}[dev-dependencies.y]\npath = \"../y\"\n");
        assert_eq!(between((&dev, 95), (OLD, 95), "", &FILES), ["dev-dependencies.y"]);
        assert_eq!(between((&dev, 39), (OLD, 95), &dev, &FILES), [""; 0]);
        let lints = |level: &str| format!("[lints.rust]\nunsafe_code = \"{level}\"\n");
        let published = format!("{OLD}{}", lints("allow"));
        assert_eq!(between((&published, 95), (OLD, 73), &lints("forbid"), &FILES), ["lints.rust"]);
    }

    #[test]
    fn the_resolver_is_what_cargos_of_an_age_wrote() {
        let with = |resolver: &str| {
            OLD.replace(
                "version = \"1.0.0\"\n",
                &format!("version = \"1.0.0\"\nedition = \"2021\"\nresolver = \"{resolver}\"\n"),
            )
        };
        let source = "[package]\nedition = \"2021\"\n";
        assert_eq!(between((&with("2"), 63), (&with("1"), 64), source, &FILES), [""; 0]);
        assert_eq!(between((&with("1"), 63), (&with("2"), 64), source, &FILES), ["package.resolver"]);
        assert_eq!(between((&with("2"), 64), (&with("1"), 64), source, &FILES), ["package.resolver"]);
    }

    #[test]
    fn what_cargo_would_refuse_means_nothing_else_that_it_reads() {
        let odd = format!("{OLD}[[test]]\nname = \"odd\"\npath = true\n");
        assert_eq!(said(OLD, &odd, &FILES), ["test"]);
        assert_eq!(said(&odd, OLD, &FILES), ["test"]);
        assert_eq!(said(&odd, &odd, &FILES), [""; 0]);
        let date = format!("{OLD}[dev-dependencies.y]\npath = 2020-01-01\n");
        assert_eq!(said(&date, OLD, &FILES), ["dev-dependencies"]);
        assert_eq!(said(&odd, &odd.replace("\"1\"", "\"2\""), &FILES), ["dependencies.x.version"]);
    }

    #[test]
    fn dates_are_written_as_tables_by_some_cargos() {
        let with = |date: &str| format!("{OLD}[package.metadata]\nday = {date}\n");
        let table = "{ \"$__toml_private_datetime\" = \"2020-01-01\" }";
        assert_eq!(said(&with("2020-01-01"), &with(table), &FILES), [""; 0]);
        assert_eq!(said(&with("\"2020-01-01\""), &with(table), &FILES), ["package.metadata.day"]);
    }
}
