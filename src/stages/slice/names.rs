//! The names of a slice: what cargo asks a registry for, known before it asks.
//!
//! cargo refuses at the first crate that a slice lacks, so names that are found one refusal at a time cost a build each.
//! Everything reachable would be thousands of crates. Here cargo's choice is followed instead: of each requirement the version
//! that it would take, of that only the dependencies that the features in use bring in. Where cargo chooses otherwise the
//! builder has it say which crate it misses.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use semver::{Version, VersionReq};

use super::{Cut, Wanted};
use crate::model::krate::CrateName;
use crate::stages::index::{Index, IndexLine, On};

/// How many crates a slice grows to. Everything reachable would be thousands.
const LIMIT: usize = 2500;

/// A requirement, with what is asked of the crate.
#[derive(Debug, Clone)]
struct Asked {
    on: On,
    features: BTreeSet<String>,
}

/// The way from the manifests' requirements to all names, as far as it was gone.
#[derive(Debug, Clone, Default)]
pub struct Closure {
    /// Still to be followed.
    ahead: Vec<Asked>,
    /// Waiting for the index file of their crate.
    waiting: Vec<Asked>,
    /// The features of each version that were followed.
    followed: BTreeMap<(CrateName, Version), BTreeSet<String>>,
    chosen: HashMap<On, Option<usize>>,
}

impl Closure {
    /// Begins with the manifests' requirements and what cargo missed.
    #[must_use]
    pub fn begin(wanted: &Wanted, missed: &BTreeSet<CrateName>) -> Self {
        let asked = |on: On| {
            let features = wanted.features.get(&on.0).into_iter().flatten().cloned();
            Asked { features: features.chain([DEFAULT.to_owned()]).collect(), on }
        };
        let missed = missed.iter().map(|name| (name.clone(), VersionReq::STAR));
        let wants = wanted.resolves || missed.len() > 0;
        let required = wanted.requirements.iter().filter(|_| wants).cloned();
        Self { ahead: required.chain(missed).map(asked).collect(), ..Self::default() }
    }

    /// Follows all versions of crates, too.
    pub fn follow(&mut self, names: &[CrateName]) {
        let asked =
            |name: &CrateName| Asked { on: (name.clone(), VersionReq::STAR), features: [DEFAULT.to_owned()].into() };
        self.ahead.extend(names.iter().map(asked));
    }

    /// Goes on, and adds names to `wanted`. `index` is the index as far as it is here, `absent` the crates that the registry
    /// does not have; gives the names whose index files are to be added before this is asked again, until there are none.
    pub fn advance(
        &mut self,
        wanted: &mut Wanted,
        index: &Index,
        cut: Option<Cut>,
        missed: &BTreeSet<CrateName>,
        absent: &BTreeSet<CrateName>,
    ) -> BTreeSet<CrateName> {
        let mut lacking = BTreeSet::new();
        self.ahead.append(&mut self.waiting);
        while let Some(asked) = self.ahead.pop() {
            let name = &asked.on.0;
            if wanted.names.len() >= LIMIT && !wanted.names.contains(name) {
                continue;
            }
            wanted.names.insert(name.clone());
            let Some(lines) = index.get(name) else {
                if !absent.contains(name) {
                    lacking.insert(name.clone());
                    self.waiting.push(asked);
                }
                continue;
            };
            let chosen = match self.chosen.get(&asked.on) {
                Some(chosen) => *chosen,
                None => *self.chosen.entry(asked.on.clone()).or_insert(choose(lines, &asked.on, wanted, cut)),
            };
            let Some(line) = chosen.and_then(|at| lines.get(at)) else { continue };
            let features = self.followed.entry((name.clone(), line.version.clone()));
            let is_new = matches!(features, std::collections::btree_map::Entry::Vacant(_));
            let features = features.or_default();
            let before = features.len();
            features.extend(asked.features);
            if is_new || features.len() > before {
                self.ahead.extend(required_by(line, features, missed));
            }
        }
        lacking
    }
}

const DEFAULT: &str = "default";

/// The version that cargo would take: one that a lock file has, or else the newest; a yanked one only where there is no other.
fn choose(lines: &[IndexLine], (name, versions): &On, wanted: &Wanted, cut: Option<Cut>) -> Option<usize> {
    let plain = *versions == VersionReq::STAR;
    let fits = |line: &IndexLine| {
        let asked_for = if plain { line.version.pre.is_empty() } else { versions.matches(&line.version) };
        asked_for && wanted.has_out(name, line, cut)
    };
    let is_locked = |line: &IndexLine| wanted.locked.get(name).is_some_and(|locked| locked.contains(&line.version));
    let fitting = lines.iter().enumerate().filter(|(_, line)| fits(line));
    let best = fitting.max_by_key(|(_, line)| (is_locked(line), !wanted.yanked.says(name, line), line.version.clone()));
    best.map(|(at, _)| at)
}

/// What a version requires when these features of it are in use. Where cargo missed something optional of it, some feature
/// brings that in, and may bring in the rest.
fn required_by(line: &IndexLine, features: &BTreeSet<String>, missed: &BTreeSet<CrateName>) -> Vec<Asked> {
    let listed = line.features();
    let (mut on, mut through) = (BTreeSet::<&str>::new(), Vec::<(&str, &str)>::new());
    let mut ahead: Vec<&str> = features.iter().map(String::as_str).collect();
    let mut seen = BTreeSet::new();
    while let Some(feature) = ahead.pop() {
        if !seen.insert(feature) {
            continue;
        }
        if let Some((dependency, of_it)) = feature.split_once('/') {
            let plain = dependency.trim_end_matches('?');
            if plain == dependency {
                on.insert(plain);
            }
            through.push((plain, of_it));
        } else if let Some(dependency) = feature.strip_prefix("dep:") {
            on.insert(dependency);
        } else if let Some(more) = listed.get(feature) {
            ahead.extend(more.iter().map(String::as_str));
        } else {
            // An optional dependency is a feature by itself.
            on.insert(feature);
        }
    }
    let required = line.requirements();
    let all = required.iter().any(|one| one.optional && missed.contains(&one.on.0));
    let in_use = required.iter().filter(|one| all || !one.optional || on.contains(one.key.as_str()));
    let asked = in_use.map(|one| {
        let of_it = through.iter().filter(|(key, _)| *key == one.key).map(|(_, feature)| (*feature).to_owned());
        let default = one.default_features.then(|| DEFAULT.to_owned());
        Asked { on: one.on.clone(), features: one.features.iter().cloned().chain(of_it).chain(default).collect() }
    });
    asked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::index::read_index;

    fn index(lines: &[(&str, &str, &str)]) -> Index {
        let mut index: BTreeMap<CrateName, String> = BTreeMap::new();
        for (name, version, rest) in lines {
            let line = format!(
                r#"{{"name":"{name}","vers":"{version}","cksum":"{}","yanked":false,"pubtime":"2020-01-01T00:00:00Z",{rest}}}"#,
                "0".repeat(64)
            );
            *index.entry(name.parse().unwrap()).or_default() += &format!("{line}\n");
        }
        index.into_iter().map(|(name, text)| (name, std::sync::Arc::new(read_index(text.as_bytes())))).collect()
    }

    fn names(index: &Index, features: &[&str], missed: &[&str]) -> String {
        let own: CrateName = "own".parse().unwrap();
        let features = BTreeMap::from([(own.clone(), features.iter().map(|one| (*one).to_owned()).collect())]);
        let mut wanted =
            Wanted { requirements: vec![(own, VersionReq::STAR)], features, resolves: true, ..Wanted::default() };
        let missed: BTreeSet<CrateName> = missed.iter().map(|name| name.parse().unwrap()).collect();
        let mut closure = Closure::begin(&wanted, &missed);
        // Index files come one after the other, as a registry gives them.
        let mut here = Index::new();
        loop {
            let lacking = closure.advance(&mut wanted, &here, None, &missed, &BTreeSet::new());
            if lacking.is_empty() {
                return wanted.names.iter().map(CrateName::as_str).collect::<Vec<_>>().join(" ");
            }
            here.extend(lacking.into_iter().map(|name| {
                let lines = index.get(&name).cloned().unwrap_or_default();
                (name, lines)
            }));
        }
    }

    #[test]
    fn what_features_in_use_bring_in_is_there_and_nothing_else() {
        let own = r#""deps":[{"name":"always","req":"^1","kind":"normal","features":["extra"],"default_features":false},
            {"name":"maybe","req":"^1","kind":"normal","optional":true},
            {"name":"by-default","req":"^1","kind":"normal","optional":true},
            {"name":"renamed","package":"real","req":"^1","kind":"build","optional":true},
            {"name":"test","req":"^1","kind":"dev"}],
            "features":{"default":["by-default"],"more":["dep:renamed","always/deep","maybe?/deep"]}"#;
        let own = own.replace('\n', "");
        let always = r#""deps":[{"name":"inner","req":"^1","kind":"normal","optional":true},
            {"name":"deeper","req":"^1","kind":"normal","optional":true},
            {"name":"not","req":"^1","kind":"normal","optional":true}],
            "features":{"default":["not"],"extra":["inner"]},"features2":{"deep":["dep:deeper"]}"#;
        let always = always.replace('\n', "");
        let index = index(&[("own", "1.0.0", &own), ("always", "1.0.0", &always), ("always", "0.9.0", r#""deps":[]"#)]);
        assert_eq!(names(&index, &[], &[]), "always by-default inner own");
        assert_eq!(names(&index, &["more"], &[]), "always by-default deeper inner own real");
        assert_eq!(names(&index, &[], &["maybe"]), "always by-default inner maybe own real");
    }

    #[test]
    fn circles_end() {
        let needs = |name: &str| format!(r#""deps":[{{"name":"{name}","req":"^1","kind":"normal"}}],"features":{{}}"#);
        let index = index(&[("own", "1.0.0", &needs("b")), ("b", "1.0.0", &needs("own"))]);
        assert_eq!(names(&index, &[], &[]), "b own");
    }
}
