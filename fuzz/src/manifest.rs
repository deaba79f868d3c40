//! Two manifests of arbitrary parts: what is said to mean the same, cargo's own schema reads alike, key by key.

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use cargo_util_schemas::manifest::TomlManifest;
use recrate::model::release::{Minor, Span};
use recrate::stages::manifest::changes::Sides;
use recrate::stages::manifest::meaning::differences;

/// A line or table that may stand in a manifest.
#[derive(Debug, Clone, Arbitrary)]
pub enum Part {
    Package { key: PackageKey, value: Value },
    Dependency { list: List, old: bool, name: Name, key: DependencyKey, value: Value },
    Target { kind: Kind, name: Name, key: TargetKey, value: Value },
    Table { key: TableKey, name: Name, value: Value },
    Raw(String),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum PackageKey {
    Build,
    Links,
    Edition,
    Resolver,
    Readme,
    Autobins,
    Autolib,
    Autotests,
    Include,
    Publish,
    DefaultRun,
    Unknown,
    Workspace,
}
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum List {
    Normal,
    Dev,
    Build,
    Target,
}
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum DependencyKey {
    Version,
    Package,
    Optional,
    Features,
    DefaultFeatures,
    DefaultFeaturesOld,
    Git,
    Path,
    Registry,
    Unknown,
}
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Kind {
    Lib,
    Bin,
    Example,
    Test,
}
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum TargetKey {
    Path,
    ProcMacro,
    ProcMacroOld,
    CrateType,
    CrateTypeOld,
    Harness,
    Unknown,
}
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum TableKey {
    Features,
    Patch,
    Replace,
    Profile,
    Lints,
    Badges,
    Workspace,
    Metadata,
    Unknown,
}
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Name {
    A,
    B,
    Default,
}
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Value {
    True,
    False,
    One,
    Text,
    Version,
    Path,
    Empty,
    List,
    Table,
    Date,
}

impl Part {
    fn text(&self) -> String {
        let value = |value: &Value| match value {
            Value::True => "true",
            Value::False => "false",
            Value::One => "1",
            Value::Text => "\"2021\"",
            Value::Version => "\"1\"",
            Value::Path => "\"src/lib.rs\"",
            Value::Empty => "[]",
            Value::List => "[\"a\"]",
            Value::Table => "{ a = \"1\" }",
            Value::Date => "2020-01-01",
        };
        let name = |name: &Name| match name {
            Name::A => "a",
            Name::B => "b",
            Name::Default => "default",
        };
        match self {
            Self::Package { key, value: given } => {
                let key = match key {
                    PackageKey::Build => "build",
                    PackageKey::Links => "links",
                    PackageKey::Edition => "edition",
                    PackageKey::Resolver => "resolver",
                    PackageKey::Readme => "readme",
                    PackageKey::Autobins => "autobins",
                    PackageKey::Autolib => "autolib",
                    PackageKey::Autotests => "autotests",
                    PackageKey::Include => "include",
                    PackageKey::Publish => "publish",
                    PackageKey::DefaultRun => "default-run",
                    PackageKey::Unknown => "unheard-of",
                    PackageKey::Workspace => "workspace",
                };
                format!("package.{key} = {}\n", value(given))
            }
            Self::Dependency { list, old, name: of, key, value: given } => {
                let list = match (list, old) {
                    (List::Normal, _) => "dependencies",
                    (List::Dev, false) => "dev-dependencies",
                    (List::Dev, true) => "dev_dependencies",
                    (List::Build, false) => "build-dependencies",
                    (List::Build, true) => "build_dependencies",
                    (List::Target, false) => "target.x.build-dependencies",
                    (List::Target, true) => "target.x.build_dependencies",
                };
                let key = match key {
                    DependencyKey::Version => "version",
                    DependencyKey::Package => "package",
                    DependencyKey::Optional => "optional",
                    DependencyKey::Features => "features",
                    DependencyKey::DefaultFeatures => "default-features",
                    DependencyKey::DefaultFeaturesOld => "default_features",
                    DependencyKey::Git => "git",
                    DependencyKey::Path => "path",
                    DependencyKey::Registry => "registry-index",
                    DependencyKey::Unknown => "unheard-of",
                };
                format!("{list}.{}.{key} = {}\n", name(of), value(given))
            }
            Self::Target { kind, name: of, key, value: given } => {
                let key = match key {
                    TargetKey::Path => "path",
                    TargetKey::ProcMacro => "proc-macro",
                    TargetKey::ProcMacroOld => "proc_macro",
                    TargetKey::CrateType => "crate-type",
                    TargetKey::CrateTypeOld => "crate_type",
                    TargetKey::Harness => "harness",
                    TargetKey::Unknown => "unheard-of",
                };
                match kind {
                    Kind::Lib => format!("lib.{key} = {}\n", value(given)),
                    Kind::Bin => format!("bin = [{{ name = \"{}\", {key} = {} }}]\n", name(of), value(given)),
                    Kind::Example => format!("example = [{{ name = \"{}\", {key} = {} }}]\n", name(of), value(given)),
                    Kind::Test => format!("test = [{{ name = \"{}\", {key} = {} }}]\n", name(of), value(given)),
                }
            }
            Self::Table { key, name: of, value: given } => {
                let key = match key {
                    TableKey::Features => "features",
                    TableKey::Patch => "patch.crates-io",
                    TableKey::Replace => "replace",
                    TableKey::Profile => "profile.release",
                    TableKey::Lints => "lints.rust",
                    TableKey::Badges => "badges",
                    TableKey::Workspace => "workspace",
                    TableKey::Metadata => "package.metadata",
                    TableKey::Unknown => "unheard-of",
                };
                format!("{key}.{} = {}\n", name(of), value(given))
            }
            Self::Raw(text) => format!("{text}\n"),
        }
    }
}

fn manifest(parts: &[Part]) -> String {
    let head = "package.name = \"a\"\npackage.version = \"1.0.0\"\n".to_owned();
    parts.iter().fold(head, |text, part| text + &part.text())
}

/// What no equivalence is about, as cargo's schema reads it.
fn read(text: &str) -> Option<String> {
    let manifest: TomlManifest = toml::from_str(text).ok()?;
    let package = manifest.package.as_ref()?;
    Some(format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        manifest.patch,
        manifest.replace,
        manifest.workspace,
        manifest.cargo_features,
        package.links,
        package.default_run,
        package.name,
        package.version,
        package.workspace,
        package.metabuild,
        package.license,
    ))
}

/// What it is given.
pub type Given = (Vec<Part>, Vec<Part>, Vec<Part>);

/// Drives it.
pub fn run(given: Given) {
    let (common, only_published, only_rebuilt) = given;
    let published = manifest(&[&common[..], &only_published].concat());
    let rebuilt = manifest(&[&common[..], &only_rebuilt].concat());
    let files: BTreeSet<&str> = ["src/lib.rs", "src/main.rs", "src/bin/b.rs", "build.rs", "README.md"].into();
    let newest = Sides { published: Some(Span::from(97)), rebuilt: Some(Minor(97)) };
    let found = differences(&published, &rebuilt, &rebuilt, &files, newest);
    if published == rebuilt && toml::from_str::<toml::Table>(&rebuilt).is_ok() {
        assert!(found.is_empty(), "{found:?}");
    }
    if found.is_empty() {
        assert_eq!(read(&published), read(&rebuilt), "{published}\n---\n{rebuilt}");
        let back = differences(&rebuilt, &published, &rebuilt, &files, newest);
        assert!(back.is_empty(), "the other way round: {back:?}\n{published}\n---\n{rebuilt}");
    }
    // Whoever wrote them, and whatever the source says, nothing panics.
    let old = Sides { published: Some(Span::until(40)), rebuilt: Some(Minor(97)) };
    let _ = differences(&published, &rebuilt, &manifest(&common), &files, old);
}
