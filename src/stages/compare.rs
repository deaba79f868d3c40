//! *Comparison*: the published crate and the rebuilt one, layer by layer.
//!
//! Files are compared byte by byte, repetitions included. What cargo generates is compared by meaning as well. Where
//! every file is the same, [`container`](super::container) accounts for the rest, or names what it can't account for.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::artefact::{Archive, Entry, LARGE, LOCK, MANIFEST, ORIGINAL_MANIFEST, VCS_INFO};
use super::container::{Account, Form, Leftover, recorded};
use super::lock::meaning::{self as lock_meaning, LockDifference};
use super::manifest::changes::Sides;
use super::manifest::meaning;
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;
use crate::model::nonempty::NonEmpty;
use crate::model::release::{Minor, Span};
use serde::{Deserialize, Serialize};

/// How a published crate and its rebuild compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The same bytes.
    Identical,
    /// The same files, and all of the container is accounted for, its compression perhaps excepted.
    SameFiles(Account),
    /// Different files, or bytes in the container that nothing accounts for.
    Differs(NonEmpty<Difference>),
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The file, inside the crate's folder.
    pub path: Foreign,
    /// In what way.
    pub kind: Kind,
    /// How much it matters.
    pub weight: Weight,
    /// What exactly, in a few words each; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Foreign>,
}

/// The kinds of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Lines differ.
    Lines {
        /// Lines that only the published file has.
        published: usize,
        /// Lines that only the rebuilt file has.
        rebuilt: usize,
    },
    /// Only line endings differ.
    LineEndings,
    /// Only white space differs.
    WhiteSpace,
    /// A file that is not text differs.
    Bytes,
    /// The file is only in the published crate.
    OnlyPublished,
    /// The file is missing from the published crate.
    OnlyRebuilt,
    /// The executable bit differs.
    Mode,
    /// One of the crates has the path more than once.
    Repeated,
    /// A generated file has the same meaning, formatted differently.
    Form,
    /// A generated file has a different meaning.
    Meaning,
    /// Bytes of the container that nothing accounts for.
    Container,
}

/// The first cargo that writes the same times and permissions, and no owners, wherever it runs.
const DETERMINISTIC: Minor = Minor(50);

/// What differences of the container itself have as path.
pub const CONTAINER: &str = "(container)";

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lines { published, rebuilt } => {
                let lines = |n: usize| if n == 1 { "1 line".to_owned() } else { format!("{n} lines") };
                return match (published, rebuilt) {
                    (0, 0) => f.write_str("the same lines in another order"),
                    (_, 0) => write!(f, "{} that git does not have", lines(*published)),
                    (0, _) => write!(f, "{} of git missing", lines(*rebuilt)),
                    _ => write!(f, "{} that git does not have, {} of git missing", lines(*published), lines(*rebuilt)),
                };
            }
            Self::LineEndings => "only line endings differ",
            Self::WhiteSpace => "only white space differs",
            Self::Bytes => "bytes differ",
            Self::OnlyPublished => "only in the published crate",
            Self::OnlyRebuilt => "missing from the published crate",
            Self::Mode => "the executable bit differs",
            Self::Repeated => "more than once in the same crate",
            Self::Form => "same meaning, formatted differently",
            Self::Meaning => "different meaning",
            Self::Container => "bytes that nothing accounts for",
        })
    }
}

/// How much a difference matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// A file that cargo generates, in its form, or in what no commit determines.
    Generated,
    /// What the source says.
    Source,
}

/// What a comparison needs to know besides the two crates.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Whether the commit holds the Cargo.lock that cargo starts from: then the published one is no matter of when it
    /// was made.
    pub lock_tracked: bool,
    /// What is wrong with the published Cargo.lock.
    pub lock_faults: Vec<Foreign>,
    /// The releases whose cargo may have made the published crate.
    pub cargo_range: Option<Span>,
    /// The release whose cargo made the rebuilt one; none where it has no such name.
    pub rebuilt_by: Option<Minor>,
}

/// Compares the published crate with the rebuilt one.
#[must_use]
pub fn compare(
    id: &CrateId,
    published: (&Archive, Sha256),
    rebuilt: (&Archive, Sha256),
    context: &Context,
) -> Comparison {
    if published.1 == rebuilt.1 {
        return Comparison::Identical;
    }
    let differences = differences(id, published.0, rebuilt.0, context);
    match (Form::of(id, published.0, rebuilt.0), NonEmpty::new(differences)) {
        (Ok(form), None) => {
            // Where it is not known which cargo it was, it may be none.
            let may_record = context.cargo_range.is_some_and(|range| range.first < DETERMINISTIC);
            match recorded(published.0).filter(|_| !may_record) {
                None => Comparison::SameFiles(form.account(id, published, rebuilt.0, context.cargo_range)),
                Some(what) => {
                    let what = format!("{what} in tar headers, which no cargo of its age records");
                    Comparison::Differs(NonEmpty::one(unaccounted(Leftover { path: None, what })))
                }
            }
        }
        (Ok(_), Some(differences)) => Comparison::Differs(differences),
        // What nothing accounts for is as heavy as can be, and stands first.
        (Err(leftovers), differences) => {
            let others = differences.map(Vec::from).unwrap_or_default();
            Comparison::Differs(leftovers.map(unaccounted).and(others))
        }
    }
}

/// Something that other unpackers may read in another way: as bad as another file.
fn unaccounted(Leftover { path, what }: Leftover) -> Difference {
    Difference { details: vec![what.into()], ..source(path.as_deref().unwrap_or(CONTAINER), Kind::Container) }
}

fn differences(id: &CrateId, published: &Archive, rebuilt: &Archive, context: &Context) -> Vec<Difference> {
    let (mine, theirs) = (rebuilt.by_path(), published.by_path());
    let alike = executable_alike(published);
    let mut found = Vec::new();
    for path in mine.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let none = Vec::new();
        let (theirs, mine) = (theirs.get(path).unwrap_or(&none), mine.get(path).unwrap_or(&none));
        for (a, b) in theirs.iter().zip(mine) {
            if a.executable() != b.executable() && !alike {
                let said = |executable| if executable { "executable" } else { "not executable" };
                let details =
                    vec![format!("published {}, in git {}", said(a.executable()), said(b.executable())).into()];
                found.push(Difference { details, ..source(path, Kind::Mode) });
            }
            let large = a.body.len().max(b.body.len()) > LARGE;
            if !large {
                found.extend(content(id, path, &published.body(a), (rebuilt, &rebuilt.body(b)), context));
            } else if !published.same_body(a, rebuilt, b) {
                found.push(source(path, Kind::Bytes));
            }
        }
        // Whoever has it twice: which of them counts, unpackers decide.
        if theirs.len().max(mine.len()) > 1 {
            found.push(source(path, Kind::Repeated));
        } else if mine.is_empty() {
            found.push(one_sided(path, Kind::OnlyPublished, context));
        } else if theirs.is_empty() {
            found.push(one_sided(path, Kind::OnlyRebuilt, context));
        }
    }
    // The heaviest first; within a weight by path, as the set gave them.
    found.sort_by_key(|difference| std::cmp::Reverse(difference.weight));
    found
}

/// Whether all files from the source are executable, or none is: then the bits are the file system's, not git's.
fn executable_alike(archive: &Archive) -> bool {
    let mut bits = archive.entries.iter().filter(|entry| !entry.generated()).map(Entry::executable);
    let first = bits.next();
    bits.all(|bit| Some(bit) == first)
}

fn source(path: &str, kind: Kind) -> Difference {
    Difference { path: path.into(), kind, weight: Weight::Source, details: Vec::new() }
}

fn generated(path: &str, kind: Kind, details: Vec<Foreign>) -> Difference {
    Difference { path: path.into(), kind, weight: Weight::Generated, details }
}

/// A file on one side only. Whether Cargo.lock and vcs info are there depends on cargo and its options alone.
fn one_sided(path: &str, kind: Kind, context: &Context) -> Difference {
    let faults = &context.lock_faults;
    match path {
        LOCK if kind == Kind::OnlyPublished && !faults.is_empty() => {
            Difference { details: faults.clone(), ..source(path, kind) }
        }
        LOCK | VCS_INFO => generated(path, kind, Vec::new()),
        _ => source(path, kind),
    }
}

fn content(
    id: &CrateId,
    path: &str,
    theirs: &[u8],
    (rebuilt, mine): (&Archive, &[u8]),
    context: &Context,
) -> Option<Difference> {
    if theirs == mine {
        return None;
    }
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    Some(match path {
        // Before 1.19 the manifest was the source's own file.
        MANIFEST if rebuilt.file(ORIGINAL_MANIFEST).is_some() => {
            let original = rebuilt.file(ORIGINAL_MANIFEST).unwrap_or_default();
            // Those of the rebuilt one: what the published one has besides is told apart from this.
            let files = rebuilt.entries.iter().map(|entry| entry.path.as_str()).collect();
            let sides = Sides { published: context.cargo_range, rebuilt: context.rebuilt_by };
            let found = meaning::differences(text(theirs), text(mine), text(&original), &files, sides);
            if found.is_empty() {
                generated(path, Kind::Form, Vec::new())
            } else {
                let details = found.iter().map(|one| one.to_string().into()).collect();
                Difference { details, ..source(path, Kind::Meaning) }
            }
        }
        LOCK => lock_difference(id, theirs, text(mine), context),
        VCS_INFO => vcs_info_difference(text(theirs), text(mine)),
        _ => source(path, kind_of_change(theirs, mine)),
    })
}

/// Vcs info says the same in other words where it differs by what cargos of other releases write: from 1.57 on the
/// folder, from 1.81 on whether there were uncommitted changes.
fn vcs_info_difference(published: &str, rebuilt: &str) -> Difference {
    let details = vec![format!("published {:?}", published.trim()).into()];
    let common = |text: &str| {
        let mut info: serde_json::Value = serde_json::from_str(text).ok()?;
        let written = info.as_object_mut()?;
        // Read, and compared where it counts: a recipe that rebuilds from another folder or state proves nothing.
        let folder = written.remove("path_in_vcs").is_none_or(|folder| folder.is_string());
        let dirty = written.get_mut("git")?.as_object_mut()?.remove("dirty").is_none_or(|dirty| dirty.is_boolean());
        (folder && dirty).then_some(info)
    };
    match (common(published), common(rebuilt)) {
        (Some(a), Some(b)) if a == b => generated(VCS_INFO, Kind::Form, details),
        _ => Difference { details, ..source(VCS_INFO, Kind::Meaning) },
    }
}

fn lock_difference(id: &CrateId, published: &[u8], rebuilt: &str, context: &Context) -> Difference {
    let published = std::str::from_utf8(published).map_err(|error| error.to_string());
    let found = published.and_then(|published| lock_meaning::differences(published, rebuilt, id));
    let LockDifference { versions, wrong } = match found {
        Ok(found) => found,
        Err(reason) => {
            let details = vec![format!("not a lock file as cargo writes it: {reason}").into()];
            return Difference { details, ..source(LOCK, Kind::Meaning) };
        }
    };
    let foreign = |lines: Vec<String>| lines.into_iter().map(Foreign::from).collect::<Vec<_>>();
    let (wrong, versions) = ([foreign(wrong), context.lock_faults.clone()].concat(), foreign(versions));
    let details = [wrong.clone(), versions.clone()].concat();
    match (wrong.is_empty(), versions.is_empty(), context.lock_tracked) {
        (false, ..) => Difference { details, ..source(LOCK, Kind::Meaning) },
        (true, true, _) => generated(LOCK, Kind::Form, details),
        // The commit's own Cargo.lock says which versions; the published one says others.
        (true, false, true) => Difference { details, ..source(LOCK, Kind::Meaning) },
        (true, false, false) => generated(LOCK, Kind::Meaning, details),
    }
}

/// Past so many lines in two files they are not counted: the memory for it grows with them.
const COUNTED_LINES: usize = 2_000_000;

/// How two versions of a file differ.
#[must_use]
pub fn kind_of_change(published: &[u8], rebuilt: &[u8]) -> Kind {
    let texts = std::str::from_utf8(published).ok().zip(std::str::from_utf8(rebuilt).ok());
    let Some((theirs, mine)) = texts.filter(|(a, b)| !a.contains('\0') && !b.contains('\0')) else {
        return Kind::Bytes;
    };
    if theirs.replace("\r\n", "\n") == mine.replace("\r\n", "\n") {
        return Kind::LineEndings;
    }
    let solid = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    if solid(theirs) == solid(mine) {
        return Kind::WhiteSpace;
    }
    if theirs.lines().count() + mine.lines().count() > COUNTED_LINES {
        return Kind::Bytes;
    }
    // Counted, not aligned: aligning takes time that grows with the square, and crates are hostile input.
    let mut more: HashMap<&str, isize> = HashMap::new();
    theirs.lines().for_each(|line| *more.entry(line).or_default() += 1);
    mine.lines().for_each(|line| *more.entry(line).or_default() -= 1);
    let sum = |sign: isize| more.values().map(|count| usize::try_from(count * sign).unwrap_or(0)).sum();
    Kind::Lines { published: sum(1), rebuilt: sum(-1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::artefact::tests::{id, pack};

    type Files<'a> = Vec<(&'a str, &'a [u8], u32)>;

    const TOML: &[u8] = b"[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";

    fn honest<'a>() -> Files<'a> {
        vec![
            (VCS_INFO, b"{}", 0o644),
            (MANIFEST, TOML, 0o644),
            ("Cargo.toml.orig", TOML, 0o644),
            ("src/lib.rs", b"fn a() {}\nfn b() {}\n", 0o644),
        ]
    }

    fn compared(published: &Files<'_>, tracked: bool) -> Comparison {
        compared_in(published, &Context { lock_tracked: tracked, ..Context::default() })
    }

    fn compared_in(published: &Files<'_>, context: &Context) -> Comparison {
        let (a, b) = (pack(&id(), published), pack(&id(), &honest()));
        let archives = (Archive::read(&id(), &a).unwrap(), Archive::read(&id(), &b).unwrap());
        compare(&id(), (&archives.0, Sha256::of(&a)), (&archives.1, Sha256::of(&b)), context)
    }

    #[test]
    fn a_path_that_only_the_rebuilt_crate_has_twice_is_a_difference() {
        let mut twice = honest();
        twice.push(("src/lib.rs", b"again", 0o644));
        let (a, b) = (pack(&id(), &honest()), pack(&id(), &twice));
        let archives = (Archive::read(&id(), &a).unwrap(), Archive::read(&id(), &b).unwrap());
        let (theirs, mine) = ((&archives.0, Sha256::of(&a)), (&archives.1, Sha256::of(&b)));
        assert_eq!(only(compare(&id(), theirs, mine, &Context::default())).1, Kind::Repeated);
    }

    fn only(comparison: Comparison) -> (String, Kind, Weight) {
        match comparison {
            Comparison::Differs(differences) if differences.len() == 1 => {
                let difference = differences.iter().next().unwrap();
                (difference.path.raw().to_owned(), difference.kind, difference.weight)
            }
            other => panic!("{other:?}"),
        }
    }

    fn with(index: usize, file: (&'static str, &'static [u8], u32)) -> Files<'static> {
        let mut files = honest();
        files[index] = file;
        files
    }

    fn plus(file: (&'static str, &'static [u8], u32)) -> Files<'static> {
        let mut files = honest();
        files.push(file);
        files
    }

    #[test]
    fn what_a_machine_recorded_is_the_same_only_of_cargos_that_record_it() {
        let mine = pack(&id(), &[("src/lib.rs", b"a", 0o644)]);
        let theirs = pack(&id(), &[("src/lib.rs", b"a", 0o666)]);
        let [mine, theirs] = [mine, theirs].map(|bytes| (Archive::read(&id(), &bytes).unwrap(), Sha256::of(&bytes)));
        let with = |cargo_range| {
            let context = Context { cargo_range, ..Context::default() };
            compare(&id(), (&theirs.0, theirs.1), (&mine.0, mine.1), &context)
        };
        assert!(matches!(with(Some(Span::until(49))), Comparison::SameFiles(_)));
        for range in [None, Some(Span::from(50)), Some(Span::from(83))] {
            assert!(matches!(with(range), Comparison::Differs(_)), "{range:?}");
        }
    }

    #[test]
    fn the_same_bytes_are_identical() {
        assert_eq!(compared(&honest(), false), Comparison::Identical);
    }

    #[test]
    fn each_kind_of_tampering_is_a_difference_of_the_source() {
        let lib = "src/lib.rs";
        let line = with(3, (lib, b"fn a() {}\nfn evil() {}\n", 0o644));
        assert_eq!(
            only(compared(&line, false)),
            (lib.to_owned(), Kind::Lines { published: 1, rebuilt: 1 }, Weight::Source)
        );
        let space = with(3, (lib, b"fn a() {}\n\nfn  b() {}\n", 0o644));
        assert_eq!(only(compared(&space, false)).1, Kind::WhiteSpace);
        let endings = with(3, (lib, b"fn a() {}\r\nfn b() {}\r\n", 0o644));
        assert_eq!(only(compared(&endings, false)).1, Kind::LineEndings);
        let mode = with(3, (lib, b"fn a() {}\nfn b() {}\n", 0o755));
        assert_eq!(only(compared(&mode, false)).1, Kind::Mode);
        for extra in ["build.rs", "sub/Cargo.toml", "sub/Cargo.lock", "sub/.cargo_vcs_info.json"] {
            let found = only(compared(&plus((extra, b"x", 0o644)), false));
            assert_eq!(found, (extra.to_owned(), Kind::OnlyPublished, Weight::Source));
        }
        let again = only(compared(&plus((lib, b"evil", 0o644)), false));
        assert_eq!(again, (lib.to_owned(), Kind::Repeated, Weight::Source));
    }

    #[test]
    fn a_manifest_that_says_more_is_the_source_and_one_that_looks_different_is_form() {
        let more = with(1, (MANIFEST, b"[package]\nname = \"a\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies.evil]\nversion = \"1\"\n", 0o644));
        assert_eq!(only(compared(&more, false)), (MANIFEST.to_owned(), Kind::Meaning, Weight::Source));
        let form =
            with(1, (MANIFEST, b"# header\n[package]\nedition = \"2021\"\nname = \"a\"\nversion = \"1.0.0\"\n", 0o644));
        assert_eq!(only(compared(&form, false)), (MANIFEST.to_owned(), Kind::Form, Weight::Generated));
    }

    #[test]
    fn a_lock_file_is_the_source_only_where_the_commit_has_it() {
        let entry = |version: &str, checksum: char| {
            format!(
                "version = 3\n\n[[package]]\nname = \"x\"\nversion = \"{version}\"\n\
                 source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{}\"\n\n\
                 [[package]]\nname = \"a\"\nversion = \"1.0.0\"\ndependencies = [\"x\"]\n",
                checksum.to_string().repeat(64)
            )
        };
        let weigh = |published: &str, rebuilt: &str, lock_tracked| {
            let found =
                lock_difference(&id(), published.as_bytes(), rebuilt, &Context { lock_tracked, ..Context::default() });
            (found.kind, found.weight)
        };
        let (old, new, forged) = (entry("1.0.0", 'a'), entry("1.0.1", 'a'), entry("1.0.0", 'b'));
        assert_eq!(weigh(&old, &new, false), (Kind::Meaning, Weight::Generated));
        assert_eq!(weigh(&old, &new, true), (Kind::Meaning, Weight::Source));
        assert_eq!(weigh(&forged, &old, false), (Kind::Meaning, Weight::Source));
        let none = lock_difference(&id(), b"\x7fELF\xff", &old, &Context::default());
        assert_eq!((none.kind, none.weight), (Kind::Meaning, Weight::Source));
        assert_eq!(weigh(&old.replace("version = 3", "version = 4"), &old, false), (Kind::Form, Weight::Generated));
    }

    #[test]
    fn a_lock_file_that_can_not_be_is_loud_where_the_rebuild_has_none_too() {
        let published = plus((LOCK, b"version = 4\n", 0o644));
        assert_eq!(only(compared(&published, false)).2, Weight::Generated);
        let faulty = Context { lock_faults: vec!["it names x@1.0.0".into()], ..Context::default() };
        assert_eq!(only(compared_in(&published, &faulty)).2, Weight::Source);
    }

    #[test]
    fn what_is_not_text_has_no_lines() {
        assert_eq!(kind_of_change(b"\xff\xfe", b"\xff"), Kind::Bytes);
        assert_eq!(kind_of_change(b"a\0b", b"a\0c"), Kind::Bytes);
    }

    proptest::proptest! {
        #[test]
        fn no_two_files_make_the_comparison_panic(a: Vec<u8>, b: Vec<u8>) {
            let _ = kind_of_change(&a, &b);
        }
    }
}
