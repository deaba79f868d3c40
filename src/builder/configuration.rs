//! What manifests and the repository's own cargo configuration say that a rebuild can't answer for.
//!
//! Nothing outside of the repository is the commit's. What lies beside the worktree has a name that no commit can hold; a pattern finds
//! it all the same, and paths like those of the store need to know none. So no text in a manifest may lead out that cargo could take
//! for a path, whatever it is for. And cargos before 1.63 take the repository's word on where crates come from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::links;
use crate::contract::lean::lexical;

/// How long a manifest or a file of configuration may be, in bytes.
const TEXT_LIMIT: u64 = 4 << 20;

/// How many files of configuration may be in force: each may include others, by names that grow on the way.
const FILE_LIMIT: usize = 64;

/// What of cargo's configuration has a say in where crates come from.
const SOURCE_KEYS: [&str; 4] = ["include", "registries", "registry", "source"];

/// What of a package has no paths: what people and other programs are told, and patterns for its own files.
const NO_PATHS: [&str; 13] = [
    "authors",
    "categories",
    "description",
    "documentation",
    "exclude",
    "homepage",
    "include",
    "keywords",
    "license",
    "metadata",
    "name",
    "repository",
    "version",
];
/// The same of a workspace.
const NO_PATHS_OF_WORKSPACE: [&str; 3] = ["exclude", "lints", "metadata"];

/// Tables of cargo's configuration that packaging reads nothing from, or that its environment overrides.
const NOT_READ: [&str; 12] = [
    "alias",
    "cache",
    "cargo-new",
    "doc",
    "env",
    "future-incompat-report",
    "host",
    "http",
    "install",
    "net",
    "profile",
    "target",
];
/// The same of `build`.
const NOT_READ_OF_BUILD: [&str; 8] =
    ["jobs", "rustc", "rustc-wrapper", "rustc-workspace-wrapper", "rustdoc", "rustdocflags", "rustflags", "target-dir"];

/// A file that leads out of the repository: a manifest anywhere in it, or a file of configuration that is in force for the package.
/// One of configuration that can't be read may.
#[must_use]
pub fn leads_out(root: &Path, package: &str, manifests: &[PathBuf]) -> Option<String> {
    if let Some(manifest) = manifest_leads_out(root, manifests) {
        return Some(manifest);
    }
    let mut ahead: Vec<PathBuf> = in_force(package).collect();
    let mut seen = BTreeSet::new();
    while let Some(file) = ahead.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        let leads_out = seen.len() > FILE_LIMIT
            || is_outside(root, &file)
            || read(root, &file).is_some_and(|table| {
                let Some(mut table) = table else { return true };
                let folder = file.parent().unwrap_or(Path::new(""));
                for path in paths(table.remove("include").as_ref()) {
                    // Some cargos follow links on the way, others go by the letters.
                    let path = folder.join(path);
                    ahead.extend(path.to_str().and_then(lexical).map(PathBuf::from));
                    ahead.push(path);
                }
                NOT_READ.iter().for_each(|key| drop(table.remove(*key)));
                if let Some(build) = table.get_mut("build").and_then(Value::as_table_mut) {
                    NOT_READ_OF_BUILD.iter().for_each(|key| drop(build.remove(*key)));
                }
                // Some paths are relative to the folder that has the `.cargo`, some to that.
                let above = folder.parent().unwrap_or(Path::new(""));
                let leads_out = |text: &str| text_leads_out(root, above, text) || text_leads_out(root, folder, text);
                has_text(&Value::Table(table), &leads_out)
            });
        if leads_out {
            return Some(file.display().to_string());
        }
    }
    None
}

/// A manifest that leads out of the repository whose root this is.
#[must_use]
pub fn manifest_leads_out(root: &Path, manifests: &[PathBuf]) -> Option<String> {
    let found = manifests.iter().find(|manifest| {
        let folder = manifest.parent().unwrap_or(Path::new(""));
        let file = root.join(manifest);
        // What is too long to be read here is not too long for cargo.
        if fs_err::metadata(&file).is_ok_and(|found| found.is_file() && found.len() > TEXT_LIMIT) {
            return true;
        }
        let Some(text) = text_of(&file) else { return false };
        let Ok(mut table) = text.parse::<Table>() else {
            // cargo can't read it either; if it can, there is nothing in it that leads anywhere.
            let is_pattern = text.contains("..") && text.contains('*');
            return is_pattern || ["nix/", "file:", "\"/", "'/", "\\u"].iter().any(|words| text.contains(words));
        };
        let without = |table: Option<&mut Value>, keys: &[&str]| {
            if let Some(table) = table.and_then(Value::as_table_mut) {
                keys.iter().for_each(|key| drop(table.remove(*key)));
            }
        };
        without(table.get_mut("package"), &NO_PATHS);
        without(table.get_mut("project"), &NO_PATHS);
        without(table.get_mut("workspace"), &NO_PATHS_OF_WORKSPACE);
        without(table.get_mut("workspace").and_then(|workspace| workspace.get_mut("package")), &NO_PATHS);
        ["badges", "lints"].iter().for_each(|key| drop(table.remove(*key)));
        has_text(&Value::Table(table), &|text| text_leads_out(root, folder, text))
    });
    found.map(|manifest| manifest.display().to_string())
}

/// Whether a text would lead out of the repository from a folder of it, were it a path, a pattern for paths, or an address.
fn text_leads_out(root: &Path, folder: &Path, text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let plain = parts.iter().position(|part| part.contains(['*', '?', '['])).unwrap_or(parts.len());
    let (before, pattern) = parts.split_at(plain);
    let is_special = |part: &&str| *part == ".." || part.eq_ignore_ascii_case(".git");
    let address = text.to_ascii_lowercase();
    text.starts_with('/')
        || address.starts_with("file:")
        || address.contains("+file:")
        || parts.windows(2).any(|pair| pair == ["nix", "store"])
        // A pattern that begins with a dot is about `..`, too.
        || pattern.iter().any(|part| is_special(part) || part.starts_with(['.', '[']) && part.contains('.'))
        || before.iter().any(is_special) && is_outside(root, &folder.join(before.join("/")))
}

/// Whether a value is, or somewhere has, a text like this.
fn has_text(value: &Value, is_one: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_one(text),
        Value::Array(list) => list.iter().any(|one| has_text(one, is_one)),
        Value::Table(table) => table.values().any(|one| has_text(one, is_one)),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => false,
    }
}

/// A file of configuration that says where crates come from, or may: one that can't be read, or includes others.
#[must_use]
pub fn own_sources(root: &Path, package: &str) -> Option<String> {
    let says = |table: Option<Table>| table.is_none_or(|table| SOURCE_KEYS.iter().any(|key| table.contains_key(*key)));
    let found = in_force(package).find(|file| read(root, file).is_some_and(says));
    found.map(|file| file.display().to_string())
}

/// The files of cargo's configuration that are in force for a package, whether or not they are there.
fn in_force(package: &str) -> impl Iterator<Item = PathBuf> {
    let folders = Path::new(package).ancestors();
    folders.flat_map(|folder| ["config", "config.toml"].map(|name| folder.join(".cargo").join(name)))
}

/// What a file says, none where that can't be read; nothing where it is not there.
fn read(root: &Path, file: &Path) -> Option<Option<Table>> {
    let file = root.join(file);
    file.exists().then(|| text_of(&file)?.parse().ok())
}

/// What a manifest or a file of configuration says; none where it is no file, or longer than any.
pub(super) fn text_of(file: &Path) -> Option<String> {
    let found = fs_err::metadata(file).ok()?;
    (found.is_file() && found.len() <= TEXT_LIMIT).then(|| fs_err::read_to_string(file).ok())?
}

/// The paths in a text, a list of texts, or of tables with `path`.
fn paths(value: Option<&Value>) -> Vec<String> {
    let text = |one: &Value| Some(one.as_str().or_else(|| one.get("path")?.as_str())?.to_owned());
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(text).collect(),
        Some(one) => text(one).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Whether a path leads out of the repository, by its letters or by links.
fn is_outside(root: &Path, path: &Path) -> bool {
    path.to_str().and_then(lexical).is_none() || links::follow(root, path).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(files: &[(&str, &str)]) -> Option<String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        for (path, text) in files {
            let place = root.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, text).unwrap();
        }
        let files = files.iter().map(|(path, _)| PathBuf::from(path));
        let manifests: Vec<PathBuf> = files.filter(|path| path.ends_with("Cargo.toml")).collect();
        leads_out(root.path(), "a/b", &manifests)
    }

    #[test]
    fn a_workspace_is_in_the_repository() {
        let manifest = |workspace: &str| format!("[package]\nworkspace = \"{workspace}\"\n");
        for inside in ["..", "../..", "../../c"] {
            assert_eq!(leads(&[("a/b/Cargo.toml", &manifest(inside))]), None, "{inside}");
        }
        for outside in ["../../../git-0/tree", "/nix/store/x-source", "../../../worktree/c"] {
            assert_eq!(
                leads(&[("a/b/Cargo.toml", &manifest(outside))]).as_deref(),
                Some("a/b/Cargo.toml"),
                "{outside}"
            );
        }
    }

    #[test]
    fn nothing_in_a_manifest_leads_out_that_could_be_a_path() {
        for text in [
            "[package]\nreadme = \"/nix/store/x-source/Cargo.lock\"\n",
            "[package]\nlicense-file = \"../../../x\"\n",
            "[workspace]\nmembers = [\"pk\", \"../../../*/git/0/tree\"]\n",
            "[workspace]\nmembers = [\"x/../*/.git\"]\n",
            "[workspace]\nmembers = [\".?/worktree\"]\n",
            "[workspace]\nmembers = [\"x/.*/y\"]\n",
            "[workspace]\nmembers = [\"x/*/../../../*\"]\n",
            "[dependencies]\nx = { path = \"x/nix/.//store/x\" }\n",
            "[dependencies]\nx = { path = \"../../../../../../nix/store/x\" }\n",
            "[target.'cfg(x)'.build-dependencies]\nx = { git = \"FILE:///nix\" }\n",
            "[[bin]]\npath = \"../../.git/x.rs\"\n",
            "[replace]\n\"x:1.0.0\" = { path = \"a/nix/store/x\" }\n",
            "[workspace.package]\nreadme = \"../../../x\"\n",
            "[dependencies]\nmetadata = { path = \"/nix/store/x\" }\n",
            "[workspace.dependencies.exclude]\npath = \"/x\"\n",
            "[source.x]\nregistry = \"sparse+file:///x\"\n",
            "no TOML = \"/etc\"",
        ] {
            assert_eq!(leads(&[("a/b/Cargo.toml", text)]).as_deref(), Some("a/b/Cargo.toml"), "{text}");
            // Whoever takes it into the workspace.
            assert!(leads(&[("elsewhere/x/Cargo.toml", text)]).is_some(), "{text}");
        }
        let honest = "[package]\ninclude = [\"/src/**\", \"/../x\"]\nexclude = [\"/ci\", \".git*\"]\nreadme = \"../../README.md\"\n\
            repository = \"https://git.example/a/b.git\"\ndescription = \"a profile: 1/2 of a * [x] in /nix/store\"\n[package.metadata.x]\nfile = \"/etc\"\n\
            [workspace]\nmembers = [\"crates/*\", \"../../plugins/*\"]\nexclude = [\"../../../x\"]\n[dependencies]\nx = { path = \"../../x\" }\n";
        assert_eq!(leads(&[("a/b/Cargo.toml", honest), ("c/Cargo.toml", "no TOML")]), None);
    }

    #[test]
    fn a_manifest_that_is_too_long_to_be_read_may_lead_out() {
        let padded = |length: u64| format!("[package]\n{}", "#".repeat(usize::try_from(length).unwrap() - 10));
        assert_eq!(leads(&[("c/Cargo.toml", &padded(TEXT_LIMIT))]), None);
        assert_eq!(leads(&[("c/Cargo.toml", &padded(TEXT_LIMIT + 1))]).as_deref(), Some("c/Cargo.toml"));
    }

    #[test]
    fn configuration_that_includes_itself_by_ever_longer_names_ends() {
        let text =
            "include = [\"../.cargo/config.toml\", \"../.cargo/./config.toml\", \"../.cargo/../.cargo/config.toml\"]";
        assert!(leads(&[(".cargo/config.toml", text)]).is_some());
        assert_eq!(leads(&[(".cargo/config.toml", "include = [\"config.toml\", \"../.cargo/more.toml\"]")]), None);
    }

    #[test]
    fn configuration_is_in_the_repository_and_names_what_is() {
        for text in [
            "include = \"../../../x.toml\"",
            "include = [\"/nix/store/x\"]",
            "include = [{ path = \"../../git/cfg.toml\", optional = true }]",
            "paths = [\"../../x\"]",
            "[patch.crates-io]\nlater = { path = \"../git/0/tree/pat\" }\n",
            "[source.z]\ndirectory = \"/nix/store/x\"\n",
            "[resolver]\nlockfile-path = \"/nix/store/x/Cargo.lock\"\n",
            "[registries.z]\nindex = \"file:///x\"\n",
            "[build]\nbuild-dir = \"../x\"\n",
            "[later]\nthing = [{ a = \"../x\" }]\n",
        ] {
            assert!(leads(&[(".cargo/config.toml", text)]).is_some(), "{text}");
        }
        let inside = [
            (
                ".cargo/config.toml",
                "include = \"more.toml\"\npaths = [\"vendored\"]\n[build]\ntarget-dir = \"/tmp/x\"\n[target.x]\nlinker = \"/bin/cc\"\n",
            ),
            (".cargo/more.toml", "[patch.crates-io]\nx = { path = \"own/x\" }\n"),
        ];
        assert_eq!(leads(&inside), None);
        let through = [inside[0], (".cargo/more.toml", "include = \"/etc/x\"\n")];
        assert_eq!(leads(&through).as_deref(), Some("/etc/x"));
        assert_eq!(leads(&[("a/.cargo/config", "no TOML")]).as_deref(), Some("a/.cargo/config"));
    }

    #[test]
    fn a_repository_that_says_where_crates_come_from_is_noticed() {
        let said = |place: &str, text: &str| {
            let root = tempfile::tempdir().unwrap();
            let file = root.path().join(place);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
            own_sources(root.path(), "a/b")
        };
        let vendored = "[source.crates-io]\nreplace-with = \"vendored\"\n";
        for place in [".cargo/config", "a/.cargo/config.toml", "a/b/.cargo/config"] {
            assert_eq!(said(place, vendored).as_deref(), Some(place));
        }
        for text in ["registry.default = \"own\"", "include = \"more.toml\"", "no TOML"] {
            assert!(said(".cargo/config.toml", text).is_some(), "{text}");
        }
        assert_eq!(said(".cargo/config.toml", "[build]\njobs = 1\n"), None);
        assert_eq!(said("elsewhere/.cargo/config.toml", vendored), None);
    }
}
