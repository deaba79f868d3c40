//! What of other packages of the workspace is left out so that cargo can load it. The package's own manifest is never
//! touched, nor is that of the workspace.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::further::locks;
use super::{At, Fault};

/// What of another package of the workspace a package can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spare {
    /// All of it: no path leads there from the package's own manifest, nor from what replaces crates in the whole workspace.
    All,
    /// What it needs for its own tests.
    DevDependencies,
}

impl Spare {
    const EACH: [Self; 2] = [Self::All, Self::DevDependencies];

    /// As the derivation has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::DevDependencies => "dev-dependencies",
        }
    }
}

/// What is left out, by folder.
pub type LeftOut = BTreeMap<String, Spare>;

/// Reads the derivation's variable: lines of a word and a folder.
///
/// # Errors
/// Where a word is unknown: to pass over it would be to do something else than the plan says.
pub fn read(text: &str) -> Result<LeftOut, Fault> {
    let line = |line: &str| {
        let (word, folder) = line.split_once(' ')?;
        Some((folder.to_owned(), Spare::EACH.into_iter().find(|spare| spare.word() == word)?))
    };
    text.lines().map(line).collect::<Option<_>>().ok_or(Fault::Variable("leftOut"))
}

/// Takes it out of the manifests.
///
/// # Errors
/// Where one can't be read or written, or is the package's own, or lies above it, or is none.
pub fn take_out(left_out: &LeftOut, root: &Path, package: &str) -> Result<(), Fault> {
    let oldest = oldest_for(root, package);
    for (number, (folder, spare)) in left_out.iter().enumerate() {
        let file = root.join(folder).join("Cargo.toml");
        // What lies at or above the package has a say in its content, and a new manifest would cut files out of it.
        if Path::new(package).starts_with(folder) || !file.is_file() {
            return Err(Fault::Variable("leftOut"));
        }
        let text = match spare {
            // cargo sees a package that wants nothing, and never looks at the file that it names.
            Spare::All => {
                let name = format!("name = \"left-out-{number}\"\nversion = \"0.0.0\"\n");
                format!("[package]\n{name}{oldest}[lib]\npath = \"Cargo.toml\"\n")
            }
            Spare::DevDependencies => without_dev_dependencies(&std::fs::read_to_string(&file).at(&file)?),
        };
        std::fs::write(&file, text).at(file)?;
    }
    Ok(())
}

/// The `rust-version` with which cargo keeps the lock file's format. It writes a lock file that lost members anew, in the
/// newest format that all members can read (from 1.78 on; `fb95ac488`), and the publisher's did not lose any.
fn oldest_for(root: &Path, package: &str) -> &'static str {
    let lock = locks(root, package).pop();
    let version = |text: &str| {
        let mut versions = text.lines().filter_map(|line| line.strip_prefix("version = "));
        versions.find(|version| !version.starts_with('"')).map(str::to_owned)
    };
    match lock.map(|text| version(&text)) {
        Some(Some(version)) if version == "3" => "rust-version = \"1.53\"\n",
        Some(None) => "rust-version = \"1.41\"\n",
        _ => "",
    }
}

/// A manifest without the sections of its dev-dependencies.
fn without_dev_dependencies(text: &str) -> String {
    let mut skipping = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        if line.trim_start().starts_with('[') {
            skipping = line.contains("dev-dependencies") || line.contains("dev_dependencies");
        }
        if !skipping {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_dev_dependencies_go_and_all_others_stay() {
        let text = "[package]\nname = \"a\"\n[dev-dependencies]\nx = \"1\"\ny = { features = [\n  \"z\",\n] }\n\
            [target.'cfg(unix)'.dev-dependencies.w]\nversion = \"2\"\n[dependencies]\nv = \"1\"\n";
        assert_eq!(without_dev_dependencies(text), "[package]\nname = \"a\"\n[dependencies]\nv = \"1\"\n");
    }

    #[test]
    fn the_packages_own_content_is_never_touched() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["a/b", "a/b/src", "other"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for folder in ["", "a", "a/b", "other"] {
            std::fs::write(root.path().join(folder).join("Cargo.toml"), "[package]\n").unwrap();
        }
        let take_out = |folder: &str| take_out(&LeftOut::from([(folder.to_owned(), Spare::All)]), root.path(), "a/b");
        assert!(take_out("other").is_ok());
        for folder in ["", "a", "a/b", "a/b/src", "nowhere"] {
            assert!(take_out(folder).is_err(), "{folder}");
        }
    }

    #[test]
    fn an_unknown_word_is_refused() {
        assert_eq!(
            read("all a b\ndev-dependencies c\n").unwrap().into_iter().map(|one| one.1).collect::<Vec<_>>(),
            Spare::EACH
        );
        assert!(read("some a\n").is_err());
        assert!(read("").unwrap().is_empty());
    }
}
