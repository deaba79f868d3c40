//! Where the packages of a lock file stand in it, for those who are to read about one in place.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::locate;
use crate::model::package::PackageKey;

/// A lock file's packages with their places.
#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    package: Vec<WirePackage>,
}

#[derive(Deserialize)]
struct WirePackage {
    name: Spanned<String>,
    version: String,
    source: Option<String>,
}

/// The line of each registry package's name, from 1. Nothing of a text that is not a lock file.
#[must_use]
pub fn lines(text: &str) -> BTreeMap<PackageKey, usize> {
    let Ok(wire) = toml::from_str::<Wire>(text) else { return BTreeMap::new() };
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line = |WirePackage { name, version, source }: WirePackage| {
        let (key, _) = locate(name.get_ref(), &version, source.as_deref(), None).ok()?;
        Some((key, ends.partition_point(|end| *end < name.span().start) + 1))
    };
    wire.package.into_iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::lock::DEFAULT_SOURCE;

    #[test]
    fn a_package_stands_where_its_name_does() {
        let text = format!(
            "# by cargo\nversion = 4\n\n[[package]]\nname = \"mine\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"itoa\"\n\
             version = \"1.0.18\"\nsource = \"{DEFAULT_SOURCE}\"\n"
        );
        let found: Vec<(String, usize)> = lines(&text).into_iter().map(|(key, line)| (key.to_string(), line)).collect();
        assert_eq!(found, [("itoa@1.0.18".to_owned(), 9)]);
        assert_eq!(text.lines().nth(8), Some("name = \"itoa\""));
        assert!(lines("no lock file").is_empty());
    }
}
