//! Two lock files: what is said to be the same, another reader reads alike.

use super::crates::id;
use arbitrary::Arbitrary;
use recrate::stages::lock;
use recrate::stages::lock::meaning::differences;

/// A package of a lock file.
#[derive(Debug, Clone, Arbitrary)]
pub struct Package {
    name: Name,
    minor: bool,
    source: Option<Source>,
    checksum: Option<bool>,
    dependencies: Vec<(Name, Option<bool>, bool)>,
    replace: bool,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Name {
    A,
    B,
    C,
}
#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Source {
    Default,
    Other,
    Git,
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
        }
    }
}

impl Source {
    fn text(self) -> &'static str {
        match self {
            Self::Default => lock::DEFAULT_SOURCE,
            Self::Other => "registry+https://registry.example/index",
            Self::Git => "git+https://git.example/x#0123456789012345678901234567890123456789",
        }
    }
}

fn text(packages: &[Package], tail: &str) -> String {
    let version = |minor: bool| if minor { "1.0.1" } else { "1.0.0" };
    let mut text = "version = 4\n".to_owned();
    for package in packages {
        text += &format!("[[package]]\nname = \"{}\"\nversion = \"{}\"\n", package.name.text(), version(package.minor));
        if let Some(source) = package.source {
            text += &format!("source = \"{}\"\n", source.text());
        }
        if let Some(checksum) = package.checksum {
            text += &format!("checksum = \"{}\"\n", if checksum { "0" } else { "1" }.repeat(64));
        }
        if package.replace {
            text += "replace = \"c 1.0.0\"\n";
        }
        let dependencies: Vec<String> = package
            .dependencies
            .iter()
            .map(|(name, minor, source)| {
                let minor = minor.map_or(String::new(), |minor| format!(" {}", version(minor)));
                let source = if *source { format!(" ({})", lock::DEFAULT_SOURCE) } else { String::new() };
                format!("\"{}{minor}{source}\"", name.text())
            })
            .collect();
        text += &format!("dependencies = [{}]\n", dependencies.join(", "));
    }
    text + tail
}

/// What it is given.
pub type Given = (Vec<Package>, Vec<Package>, String);

/// Drives it.
pub fn run(given: Given) {
    let (one, two, tail) = given;
    let (published, rebuilt) = (text(&one, &tail), text(&two, ""));
    let _ = lock::read(&published);
    let _ = lock::read(&tail);
    let Ok(found) = differences(&published, &rebuilt, &id()) else { return };
    if found.wrong.is_empty() && found.versions.is_empty() {
        // A reader that is not recrate's.
        let read = |text: &str| {
            let mut table: toml::Table = text.parse().expect("it was read");
            let mut packages =
                table.remove("package").map_or(Vec::new(), |list| list.as_array().cloned().unwrap_or_default());
            for package in &mut packages {
                package.as_table_mut().expect("it was read").remove("dependencies");
            }
            packages.sort_by_key(ToString::to_string);
            packages
        };
        assert_eq!(read(&published), read(&rebuilt), "{published}\n---\n{rebuilt}");
    }
}
