//! *Yanked since*: what an index does not tell, as far as it can be inferred.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use semver::Version;

use super::index::{Index, IndexLine};
use super::slice::{Cut, series};
use crate::model::krate::CrateName;

/// Versions that must have been yanked after `time`: whole series of compatible versions that were there and are all
/// yanked today. While nothing else of a series was there, its users had no other choice; pre-releases are none.
#[must_use]
pub fn yanked_since(index: &Index, time: Timestamp) -> BTreeMap<CrateName, BTreeSet<Version>> {
    let mut found: BTreeMap<CrateName, BTreeSet<Version>> = BTreeMap::new();
    for (name, lines) in index {
        let mut by_series: BTreeMap<_, Vec<&IndexLine>> = BTreeMap::new();
        let stable = lines.iter().filter(|line| line.version.pre.is_empty());
        for line in stable.filter(|line| Cut::Before(time).includes(line.published)) {
            by_series.entry(series(&line.version)).or_default().push(line);
        }
        let gone = by_series.into_values().filter(|lines| lines.iter().all(|line| line.yanked));
        let versions: BTreeSet<Version> = gone.flatten().map(|line| line.version.clone()).collect();
        if !versions.is_empty() {
            found.insert(name.clone(), versions);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::index::read_index;

    #[test]
    fn only_whole_series_count_as_yanked_since() {
        let line = |version: &str, published: &str, yanked: bool| {
            format!(
                r#"{{"name":"a","vers":"{version}","deps":[],"cksum":"{}","features":{{}},"yanked":{yanked},"pubtime":"{published}"}}"#,
                "0".repeat(64)
            )
        };
        let lines = [
            line("0.3.0-alpha.1", "2019-01-01T00:00:00Z", false),
            line("0.3.0", "2020-01-01T00:00:00Z", true),
            line("0.3.1", "2021-01-01T00:00:00Z", true),
            line("0.3.2", "2023-01-01T00:00:00Z", false),
            line("1.0.0", "2020-01-01T00:00:00Z", true),
            line("1.1.0", "2020-02-01T00:00:00Z", false),
        ];
        let lines = std::sync::Arc::new(read_index(lines.join("\n").as_bytes()));
        let index = Index::from([("a".parse().unwrap(), lines)]);
        let gone = |time: &str| {
            let found = yanked_since(&index, time.parse().unwrap());
            found.into_values().flatten().map(|version| version.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(gone("2022-01-01T00:00:00Z"), ["0.3.0", "0.3.1"]);
        assert_eq!(gone("2024-01-01T00:00:00Z"), [""; 0]);
    }
}
