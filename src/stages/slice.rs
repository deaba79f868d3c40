//! *Index slice*: the part of a registry's index that cargo needs for one package, as it was at one time.
//!
//! Every index line has a `pubtime`, so the index of any day can be cut out of today's. Only names that some lock file
//! or manifest mentions are in it, and only lines that some requirement can match: everything reachable would be
//! thousands of crates for two dev-dependencies. The one thing that a cut can't give back is `yanked`, which has no
//! date: a slice says which versions it takes to be yanked. For lines that are left out others stand ([`left_out`]).

pub mod left_out;
mod names;
mod nar;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use semver::{Version, VersionReq};

use super::index::{Index, IndexLine, On, raw};
use crate::model::krate::CrateName;
use crate::model::release::{Minor, Span};
pub use names::Closure;

/// The time at which an index is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// What was there strictly before this time. At the very time of publication cargo would find the crate itself.
    Before(Timestamp),
    /// What was there at this time.
    Until(Timestamp),
}

impl Cut {
    /// Whether something published at `time` is in.
    #[must_use]
    pub fn includes(self, time: Option<Timestamp>) -> bool {
        match (self, time) {
            (_, None) => true,
            (Self::Before(cut), Some(time)) => time < cut,
            (Self::Until(cut), Some(time)) => time <= cut,
        }
    }
}

/// What a package needs of an index.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The crates that cargo may ask for.
    pub names: BTreeSet<CrateName>,
    /// Versions that a lock file names; they are in whatever the requirements say.
    pub locked: BTreeMap<CrateName, BTreeSet<Version>>,
    /// Versions that are in although they came out after the cut.
    pub late: BTreeMap<CrateName, BTreeSet<Version>>,
    /// Versions that stand for all that are compatible with them: others of their class are not in.
    pub pinned: BTreeMap<CrateName, BTreeSet<Version>>,
    /// What the manifests require.
    pub requirements: Vec<On>,
    /// The features that manifests ask of crates.
    pub features: BTreeMap<CrateName, BTreeSet<String>>,
    /// Whether cargo makes a Cargo.lock: else it asks for nothing.
    pub resolves: bool,
    /// Which versions are taken to be yanked.
    pub yanked: Yanked,
}

impl Wanted {
    /// Whether a version was out at the time of a cut, or counts as if it was.
    fn has_out(&self, name: &CrateName, line: &IndexLine, cut: Option<Cut>) -> bool {
        let is_late = || self.late.get(name).is_some_and(|versions| versions.contains(&line.version));
        cut.is_none_or(|cut| cut.includes(line.published)) || is_late()
    }
}

/// What a slice takes to be yanked: the one thing about the past that an index does not tell.
#[derive(Debug, Clone)]
pub enum Yanked {
    /// What is yanked today, but for these: they weren't when somebody locked them.
    TodayBut(BTreeMap<CrateName, BTreeSet<Version>>),
    /// Just these, as `name@version`: what a plan says.
    Just(BTreeSet<String>),
}

impl Default for Yanked {
    fn default() -> Self {
        Self::TodayBut(BTreeMap::new())
    }
}

impl Yanked {
    fn says(&self, name: &CrateName, line: &IndexLine) -> bool {
        match self {
            Self::TodayBut(restored) => {
                line.yanked && restored.get(name).is_none_or(|versions| !versions.contains(&line.version))
            }
            Self::Just(yanked) => yanked.contains(&format!("{name}@{}", line.version)),
        }
    }
}

/// A part of an index, ready to be laid out as a cargo local registry.
#[derive(Debug, Clone)]
pub struct Slice {
    /// Index files by path, relative to the registry's root.
    pub files: BTreeMap<String, SliceFile>,
    /// The versions that the slice takes to be yanked, as `name@version`.
    pub yanked: Vec<String>,
}

/// One index file of a slice: some of the lines of the registry's.
#[derive(Debug, Clone)]
pub struct SliceFile {
    of: Arc<Vec<IndexLine>>,
    lines: Vec<SliceLine>,
}

#[derive(Debug, Clone, Copy)]
struct SliceLine {
    /// Which line of the registry's file.
    at: usize,
    /// Whether it is taken to be yanked.
    yanked: bool,
    /// Whether it only stands for a version that nobody is known to require.
    stands_in: bool,
}

/// Cuts a slice out of an index, for a cargo of a release.
#[must_use]
pub fn cut(index: &Index, wanted: &Wanted, cut: Option<Cut>, cargo: Minor) -> Slice {
    let usable = |name: &CrateName, line: &IndexLine| {
        let pinned = wanted.pinned.get(name);
        let pushed_out = pinned.is_some_and(|pinned| {
            !pinned.contains(&line.version) && pinned.iter().any(|one| series(one) == series(&line.version))
        });
        wanted.has_out(name, line, cut) && !pushed_out && (line.format < 2 || !PASSES_OVER_FORMAT_2.contains(cargo))
    };
    let mut kept: BTreeMap<String, Kept<'_>> = BTreeMap::new();
    let mut absent = BTreeSet::new();
    // Takes the usable lines of a crate that are wanted; gives what those require that were not taken before.
    let mut take = |name: &CrateName, is_wanted: &dyn Fn(&IndexLine) -> bool| {
        if left_out::is_one(name) {
            return Vec::<&On>::new();
        }
        let Some((name, lines)) = index.get_key_value(name) else {
            // Of others nobody has looked.
            absent.extend(wanted.names.get(name).map(CrateName::index_path));
            return Vec::new();
        };
        // A name in other letters is the same crate: it has the same file.
        let taken = kept.entry(name.index_path()).or_insert_with(|| Kept::of(lines));
        taken.names.insert(name);
        let fresh = taken.of.iter().enumerate().filter(|(_, line)| usable(name, line) && is_wanted(line));
        let fresh: Vec<(usize, &IndexLine)> = fresh.filter(|(at, _)| taken.lines.insert(*at)).collect();
        let required = fresh.into_iter().flat_map(|(_, line)| line.required());
        required.filter(|(name, _)| wanted.names.contains(name)).collect()
    };
    let mut queue: Vec<&On> = wanted.requirements.iter().collect();
    for (name, versions) in &wanted.locked {
        queue.extend(take(name, &|line| versions.contains(&line.version)));
    }
    let mut seen: HashSet<&On> = HashSet::new();
    while let Some(requirement) = queue.pop() {
        let (name, versions) = requirement;
        if seen.insert(requirement) {
            queue.extend(take(name, &|line| *versions == VersionReq::STAR || versions.matches(&line.version)));
        }
    }
    for kept in kept.values_mut() {
        let usable = |line: &IndexLine| kept.names.iter().any(|name| usable(name, line));
        kept.left_out = kept.others(cargo >= CHOOSES_BY_COMPILER).filter(|at| usable(&kept.of[*at])).collect();
    }
    let mut slice = write(&kept, wanted);
    // That nothing of a crate was there is not the same as that the slice does not say.
    for path in absent {
        slice.files.entry(path).or_insert_with(|| SliceFile { of: Arc::default(), lines: Vec::new() });
    }
    slice
}

/// What a slice has of an index file.
struct Kept<'a> {
    of: &'a Arc<Vec<IndexLine>>,
    /// The crate, in all letters that somebody wrote it in.
    names: BTreeSet<&'a CrateName>,
    lines: BTreeSet<usize>,
    /// Lines that something stands for.
    left_out: BTreeSet<usize>,
}

impl<'a> Kept<'a> {
    fn of(of: &'a Arc<Vec<IndexLine>>) -> Self {
        Self { of, names: BTreeSet::new(), lines: BTreeSet::new(), left_out: BTreeSet::new() }
    }

    /// The lines that are not in and that cargo could prefer to one that is: those of newer versions, and where it chooses by the
    /// compiler, all.
    fn others(&self, chooses_by_compiler: bool) -> impl Iterator<Item = usize> {
        let oldest = self.lines.iter().map(|at| &self.of[*at].version).min();
        let others = self.of.iter().enumerate().filter(|(at, _)| !self.lines.contains(at));
        let counts = move |line: &IndexLine| oldest.is_some_and(|oldest| chooses_by_compiler || line.version > *oldest);
        others.filter(move |(_, line)| counts(line)).map(|(at, _)| at)
    }
}

/// The series of compatible versions that a version is of: cargo has only one of each in a Cargo.lock.
#[must_use]
pub fn series(version: &Version) -> (u64, u64, u64) {
    match (version.major, version.minor, version.patch) {
        (0, 0, patch) => (0, 0, patch),
        (0, minor, _) => (0, minor, 0),
        (major, _, _) => (major, 0, 0),
    }
}

/// The first cargo that can prefer an older version because a newer one needs a younger compiler (resolver 3).
pub const CHOOSES_BY_COMPILER: Minor = Minor(84);

/// The cargos that pass over lines of format 2. Older ones don't know of formats and take them like others (cargo's own reference,
/// "Index Format"); newer ones understand them.
pub const PASSES_OVER_FORMAT_2: Span = Span::between(51, 59);

fn write(kept: &BTreeMap<String, Kept<'_>>, wanted: &Wanted) -> Slice {
    let mut slice = Slice { files: BTreeMap::new(), yanked: Vec::new() };
    for (path, Kept { of, names, lines, left_out }) in kept {
        let mut write = |at: &usize| {
            let line = &of[*at];
            let yanked = names.iter().find(|name| wanted.yanked.says(name, line));
            slice.yanked.extend(yanked.map(|name| format!("{name}@{}", line.version)));
            SliceLine { at: *at, yanked: yanked.is_some(), stands_in: left_out.contains(at) }
        };
        let lines = lines.union(left_out).map(&mut write).collect();
        slice.files.insert(path.clone(), SliceFile { of: Arc::clone(of), lines });
    }
    slice
}

impl Slice {
    /// The index file of a crate, as cargo reads it.
    #[must_use]
    pub fn file(&self, name: &CrateName) -> Option<String> {
        self.files.get(&name.index_path()).map(SliceFile::text)
    }
}

impl SliceFile {
    /// When the newest of its lines was published, but for some `late` versions.
    #[must_use]
    pub fn newest(&self, late: Option<&BTreeSet<Version>>) -> Option<Timestamp> {
        let lines = self.lines.iter().map(|line| &self.of[line.at]);
        let timely = lines.filter(|line| late.is_none_or(|late| !late.contains(&line.version)));
        timely.filter_map(|line| line.published).max()
    }

    /// The file's text. Made anew each time: a run has many slices, of mostly the same lines.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let today = raw(self.lines.iter().map(|line| &self.of[line.at]));
        for (line, (today, raw)) in self.lines.iter().zip(today) {
            let raw = if line.stands_in { left_out::stand_in(&raw) } else { raw };
            if line.yanked == today.yanked {
                text.push_str(&raw);
            } else {
                // Lines that the registry's people rewrote have a space there.
                let key = |space: &str, yanked: bool| format!("\"yanked\":{space}{yanked}");
                let plain = raw.replace(&key("", today.yanked), &key("", line.yanked));
                text.push_str(&plain.replace(&key(" ", today.yanked), &key(" ", line.yanked)));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::index::read_index;

    fn line(name: &str, version: &str, published: &str, yanked: bool, requires: &str) -> String {
        let deps = if requires.is_empty() {
            String::new()
        } else {
            format!(r#"{{"name":"{requires}","req":"^1","kind":"normal"}}"#)
        };
        format!(
            r#"{{"name":"{name}","vers":"{version}","deps":[{deps}],"cksum":"{}","features":{{}},"yanked":{yanked},"pubtime":"{published}"}}"#,
            "0".repeat(64)
        )
    }

    fn name(text: &str) -> CrateName {
        text.parse().unwrap()
    }

    fn index() -> Index {
        let a = [
            line("a", "1.0.0", "2020-01-01T00:00:00Z", false, "bcd"),
            line("a", "1.1.0", "2021-01-01T00:00:00Z", true, "bcd"),
            line("a", "2.0.0", "2022-01-01T00:00:00Z", false, "far"),
        ];
        let b = [line("bcd", "1.0.0", "2020-01-01T00:00:00Z", false, ""), "not json".to_owned()];
        [("a", a.join("\n")), ("bcd", b.join("\n"))]
            .into_iter()
            .map(|(krate, text)| (name(krate), std::sync::Arc::new(read_index(text.as_bytes()))))
            .collect()
    }

    fn wanted(requirement: &str) -> Wanted {
        Wanted {
            names: [name("a"), name("bcd")].into(),
            requirements: vec![(name("a"), requirement.parse().unwrap())],
            ..Wanted::default()
        }
    }

    fn versions(slice: &Slice, path: &str) -> Vec<String> {
        let text = slice.files.get(path).map_or(String::new(), SliceFile::text);
        read_index(text.as_bytes()).into_iter().map(|line| line.version.to_string()).collect()
    }

    #[test]
    fn a_slice_has_what_was_there_before_the_cut() {
        let before = Some(Cut::Before("2021-01-01T00:00:00Z".parse().unwrap()));
        let slice = cut(&index(), &wanted("*"), before, Minor(95));
        assert_eq!(versions(&slice, "index/1/a"), ["1.0.0"]);
        let until = Some(Cut::Until("2021-01-01T00:00:00Z".parse().unwrap()));
        let slice = cut(&index(), &wanted("*"), until, Minor(95));
        assert_eq!(versions(&slice, "index/1/a"), ["1.0.0", "1.1.0"]);
        assert_eq!(slice.yanked, ["a@1.1.0"]);
    }

    #[test]
    fn only_lines_that_a_requirement_matches_are_in() {
        let slice = cut(&index(), &wanted("^1"), None, Minor(95));
        assert_eq!(versions(&slice, "index/1/a"), ["1.0.0", "1.1.0", "2.0.0"]);
        assert_eq!(versions(&slice, "index/3/b/bcd"), ["1.0.0"], "required by a 1");
        let text = slice.files["index/1/a"].text();
        let never = left_out::of(&name("a")).to_string();
        let stands_in: Vec<bool> = text.lines().map(|line| line.contains(&never)).collect();
        assert_eq!(stands_in, [false, false, true], "nothing requires 2.0.0: {text}");
        for (minor, there) in [(83, &["2.0.0"][..]), (84, &["1.0.0", "1.1.0", "2.0.0"])] {
            let slice = cut(&index(), &wanted("^2"), None, Minor(minor));
            assert_eq!(versions(&slice, "index/1/a"), there, "the older ones where cargo may like them better");
        }
        let slice = cut(&index(), &wanted("^2"), None, Minor(83));
        assert!(!slice.files.contains_key("index/3/b/bcd"), "nothing that is in requires it");
    }

    #[test]
    fn a_name_in_other_letters_is_the_same_crate_and_takes_nothing_from_it() {
        let lines = [
            line("Cap", "1.0.0", "2020-01-01T00:00:00Z", false, ""),
            line("Cap", "1.2.0", "2020-01-01T00:00:00Z", false, ""),
        ];
        let lines = std::sync::Arc::new(read_index(lines.join("\n").as_bytes()));
        let index = Index::from([(name("Cap"), Arc::clone(&lines)), (name("cap"), lines)]);
        let both = [(name("Cap"), "^1".parse().unwrap()), (name("cap"), "=1.0.0".parse().unwrap())];
        let names = [name("Cap"), name("cap"), name("CAP")];
        // However they are ordered, and whether or not the registry was asked for each spelling.
        for requirements in [both.to_vec(), both.iter().rev().cloned().collect()] {
            let wanted = Wanted { names: names.clone().into(), requirements, ..Wanted::default() };
            assert_eq!(versions(&cut(&index, &wanted, None, Minor(95)), "index/3/c/cap"), ["1.0.0", "1.2.0"]);
        }
        let absent = vec![(name("Cap"), VersionReq::STAR), (name("CAP"), VersionReq::STAR)];
        let wanted = Wanted { names: names.into(), requirements: absent, ..Wanted::default() };
        assert_eq!(versions(&cut(&index, &wanted, None, Minor(95)), "index/3/c/cap"), ["1.0.0", "1.2.0"]);
    }

    #[test]
    fn what_the_registry_does_not_have_is_an_empty_file() {
        let mut wanted = wanted("*");
        wanted.names.insert(name("far"));
        let slice = cut(&index(), &wanted, None, Minor(95));
        assert_eq!(slice.files["index/3/f/far"].text(), "", "required by a 2.0.0, and asked for");
        wanted.names.remove(&name("far"));
        assert!(!cut(&index(), &wanted, None, Minor(95)).files.contains_key("index/3/f/far"), "nobody has asked");
    }

    #[test]
    fn lines_of_format_2_are_in_for_cargos_that_take_them() {
        let plain = line("a", "1.0.0", "2020-01-01T00:00:00Z", false, "");
        let lines = format!("{},\"v\":2}}", &plain[..plain.len() - 1]);
        let index = Index::from([(name("a"), std::sync::Arc::new(read_index(lines.as_bytes())))]);
        for (minor, is_in) in [(46, true), (50, true), (51, false), (59, false), (60, true), (97, true)] {
            let wanted = wanted("*");
            let slice = cut(&index, &wanted, None, Minor(minor));
            assert_eq!(!versions(&slice, "index/1/a").is_empty(), is_in, "{minor}");
            let pin = crate::stages::plan::IndexPin::of(&slice, &wanted, Minor(minor));
            assert_eq!(pin.cut(&index).nar_hash(), slice.nar_hash(), "cut again");
        }
    }

    #[test]
    fn a_locked_version_is_in_whatever_the_requirements_say() {
        let mut wanted = wanted("^2");
        wanted.locked.insert(name("a"), ["1.1.0".parse().unwrap()].into());
        let slice = cut(&index(), &wanted, None, Minor(83));
        assert_eq!(versions(&slice, "index/1/a"), ["1.1.0", "2.0.0"]);
        wanted.yanked = Yanked::TodayBut(wanted.locked.clone());
        let slice = cut(&index(), &wanted, None, Minor(83));
        assert!(slice.yanked.is_empty() && !slice.files["index/1/a"].text().contains("\"yanked\":true"));
        // The same of lines with spaces, as some of the registry's are.
        let spaced = line("a", "1.1.0", "2021-01-01T00:00:00Z", true, "").replace("\":", "\": ");
        let index = Index::from([(name("a"), std::sync::Arc::new(read_index(spaced.as_bytes())))]);
        let slice = cut(&index, &wanted, None, Minor(85));
        let text = slice.files["index/1/a"].text();
        assert!(text.contains("\"yanked\": false") && !text.contains("true"), "{text}");
    }

    #[test]
    fn a_pinned_version_is_the_only_one_of_its_class() {
        let pinned = BTreeMap::from([(name("a"), ["1.0.0".parse().unwrap()].into())]);
        let slice = cut(&index(), &Wanted { pinned, ..wanted("*") }, None, Minor(95));
        assert_eq!(versions(&slice, "index/1/a"), ["1.0.0", "2.0.0"]);
        let compatible = |one: &str, other: &str| series(&one.parse().unwrap()) == series(&other.parse().unwrap());
        assert!(compatible("1.0.0", "1.9.3") && compatible("0.2.0", "0.2.7"));
        assert!(!compatible("0.2.0", "0.3.0") && !compatible("0.0.1", "0.0.2") && !compatible("1.0.0", "2.0.0"));
    }

    #[test]
    fn a_late_version_is_in_whatever_the_cut() {
        let late = BTreeMap::from([(name("a"), ["2.0.0".parse().unwrap()].into())]);
        let before = Some(Cut::Before("2021-01-01T00:00:00Z".parse().unwrap()));
        let slice = cut(&index(), &Wanted { late: late.clone(), ..wanted("*") }, before, Minor(95));
        assert_eq!(versions(&slice, "index/1/a"), ["1.0.0", "2.0.0"]);
        let newest = slice.files["index/1/a"].newest(late.get(&name("a")));
        assert_eq!(newest, "2020-01-01T00:00:00Z".parse().ok());
    }

    #[test]
    fn an_empty_slice_has_a_hash_of_its_own() {
        let empty = cut(&index(), &Wanted::default(), None, Minor(95));
        assert!(empty.files.is_empty());
        assert_ne!(empty.nar_hash(), cut(&index(), &wanted("*"), None, Minor(95)).nar_hash());
    }

    #[test]
    fn names_lie_where_cargo_looks_for_them() {
        let path = |text: &str| name(text).index_path();
        assert_eq!([path("A"), path("ab"), path("abc")], ["index/1/a", "index/2/ab", "index/3/a/abc"]);
        assert_eq!(path("Serde_json"), "index/se/rd/serde_json");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = read_index(&bytes);
        }
    }
}
