//! *Comparison*: the published crate and the rebuilt one, layer by layer.
//!
//! Files are compared byte by byte, repetitions included. What cargo generates is compared by meaning as well. Where
//! every file is the same, [`proof`] shows what exactly of the container differs, and that nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use similar::{Algorithm, ChangeTag, TextDiff};

use super::artefact::{Archive, LOCK, MANIFEST, ORIGINAL_MANIFEST, VCS_INFO};
use super::deflate::Compressor;
use super::lock;
use super::manifest::meaning;
use crate::model::digest::Sha256;
use crate::model::nonempty::NonEmpty;
use crate::model::release::Span;

pub mod proof;

use proof::{Normalised, Proof};

/// How a published crate and its rebuild compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The same bytes.
    Identical,
    /// The same files, and with what was normalised taken from the published container, the same bytes.
    SameContents {
        /// What was normalised.
        normalised: NonEmpty<Normalised>,
        /// The compressor that gives the published bytes.
        compressor: Compressor,
    },
    /// The same, but no known compressor gives the published bytes.
    CompressorUnknown {
        /// What was normalised.
        normalised: NonEmpty<Normalised>,
    },
    /// Different files, or bytes in the container that nothing accounts for.
    Differs(NonEmpty<Difference>),
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The file, inside the crate's folder.
    pub path: String,
    /// In what way.
    pub kind: Kind,
    /// How much it matters.
    pub weight: Weight,
    /// What exactly, in a few words each; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
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
    /// The published crate has the path twice, or paths that differ only in case.
    Repeated,
    /// A generated file has the same meaning, formatted differently.
    Form,
    /// A generated file has a different meaning.
    Meaning,
    /// Bytes of the container that nothing accounts for.
    Container,
}

/// What differences of the container itself have as path.
pub const CONTAINER: &str = "(container)";

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lines { published, rebuilt } => {
                let lines = |n: usize| if n == 1 { "1 line".to_owned() } else { format!("{n} lines") };
                return match (published, rebuilt) {
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
            Self::Repeated => "twice in the published crate, or paths that differ only in case",
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
    pub lock_faults: Vec<String>,
    /// The releases whose cargo may have made the published crate.
    pub cargo_range: Option<Span>,
}

/// Compares the published crate with the rebuilt one.
#[must_use]
pub fn compare(published: (&Archive, Sha256), rebuilt: (&Archive, Sha256), context: &Context) -> Comparison {
    if published.1 == rebuilt.1 {
        return Comparison::Identical;
    }
    let differences = differences(published.0, rebuilt.0, context);
    if let Some(differences) = NonEmpty::new(differences) {
        return Comparison::Differs(differences);
    }
    let (normalised, proof) = proof::prove(published, rebuilt.0, context.cargo_range);
    match proof {
        Proof::Exact { compressor } => Comparison::SameContents { normalised, compressor },
        Proof::Tar => Comparison::CompressorUnknown { normalised },
        Proof::Files => Comparison::Differs(NonEmpty::one(source(CONTAINER, Kind::Container))),
    }
}

fn differences(published: &Archive, rebuilt: &Archive, context: &Context) -> Vec<Difference> {
    let (mine, theirs) = (first_entries(rebuilt), first_entries(published));
    let mut found: Vec<Difference> =
        published.repeated().difference(&rebuilt.repeated()).map(|path| source(path, Kind::Repeated)).collect();
    for path in mine.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        match (theirs.get(path), mine.get(path)) {
            (Some(a), Some(b)) => {
                if a.executable() != b.executable() {
                    let said = |executable| if executable { "executable" } else { "not executable" };
                    let details = vec![format!("published {}, in git {}", said(a.executable()), said(b.executable()))];
                    found.push(Difference { details, ..source(path, Kind::Mode) });
                }
                found.extend(content(path, (published, published.body(a)), (rebuilt, rebuilt.body(b)), context));
            }
            (Some(_), None) => found.push(one_sided(path, Kind::OnlyPublished, context)),
            (None, Some(_)) => found.push(one_sided(path, Kind::OnlyRebuilt, context)),
            // Every path stands on one side at least.
            (None, None) => {}
        }
    }
    // The heaviest first; within a weight by path, as the set gave them.
    found.sort_by_key(|difference| std::cmp::Reverse(difference.weight));
    found
}

/// The first entry of each path. Further ones of the same path are reported as repetitions.
fn first_entries(archive: &Archive) -> BTreeMap<&str, &super::artefact::Entry> {
    let mut entries = BTreeMap::new();
    for entry in &archive.entries {
        entries.entry(entry.path.as_str()).or_insert(entry);
    }
    entries
}

fn source(path: &str, kind: Kind) -> Difference {
    Difference { path: path.to_owned(), kind, weight: Weight::Source, details: Vec::new() }
}

fn generated(path: &str, kind: Kind, details: Vec<String>) -> Difference {
    Difference { path: path.to_owned(), kind, weight: Weight::Generated, details }
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
    path: &str,
    (published, theirs): (&Archive, &[u8]),
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
            let files = published.entries.iter().map(|entry| entry.path.as_str()).collect();
            let found = meaning::differences(text(theirs), text(mine), text(original), &files);
            if found.is_empty() {
                generated(path, Kind::Form, Vec::new())
            } else {
                let details = found.iter().map(describe).collect();
                Difference { details, ..source(path, Kind::Meaning) }
            }
        }
        LOCK => lock_difference(text(theirs), text(mine), context),
        VCS_INFO => generated(path, Kind::Form, vec![format!("published {:?}", text(theirs).trim())]),
        _ => source(path, kind_of_change(theirs, mine)),
    })
}

fn describe(difference: &meaning::ManifestDifference) -> String {
    let meaning::ManifestDifference { key, published, rebuilt } = difference;
    match (published, rebuilt) {
        (Some(published), None) => format!("only published: {key} = {published}"),
        (None, Some(rebuilt)) => format!("missing from the published one: {key} = {rebuilt}"),
        (published, rebuilt) => {
            let text = |side: &Option<String>| side.clone().unwrap_or_default();
            format!("{key}: published {}, from git {}", text(published), text(rebuilt))
        }
    }
}

fn lock_difference(published: &str, rebuilt: &str, context: &Context) -> Difference {
    let (Ok(theirs), Ok(mine)) = (lock::read(published), lock::read(rebuilt)) else {
        return Difference { details: vec!["not a lock file".to_owned()], ..source(LOCK, Kind::Meaning) };
    };
    let list =
        |locked: &lock::Locked| -> BTreeSet<String> { locked.packages.iter().map(|one| one.key.to_string()).collect() };
    let checksums = |locked: &lock::Locked| -> BTreeMap<String, Option<Sha256>> {
        locked.packages.iter().map(|one| (one.key.to_string(), one.checksum)).collect()
    };
    let (names, ours) = (list(&theirs), list(&mine));
    let mut details: Vec<String> = names.difference(&ours).map(|id| format!("only published: {id}")).collect();
    details.extend(ours.difference(&names).map(|id| format!("missing from the published one: {id}")));
    let ours = checksums(&mine);
    let forged: Vec<String> = checksums(&theirs)
        .into_iter()
        .filter(|(id, checksum)| ours.get(id).is_some_and(|known| known != checksum))
        .map(|(id, _)| format!("another checksum for {id}"))
        .collect();
    if !forged.is_empty() {
        return Difference { details: [forged, details].concat(), ..source(LOCK, Kind::Meaning) };
    }
    if !context.lock_faults.is_empty() {
        let details = [context.lock_faults.clone(), details].concat();
        return Difference { details, ..source(LOCK, Kind::Meaning) };
    }
    match (details.is_empty(), context.lock_tracked) {
        (true, _) => generated(LOCK, Kind::Form, details),
        // The commit's own Cargo.lock says which versions; the published one says others.
        (false, true) => Difference { details, ..source(LOCK, Kind::Meaning) },
        (false, false) => generated(LOCK, Kind::Meaning, details),
    }
}

/// Past this size a file's lines are not compared one by one.
const DIFF_LIMIT: usize = 2 << 20;

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
    if theirs.len().max(mine.len()) > DIFF_LIMIT {
        return Kind::Bytes;
    }
    let diff = TextDiff::configure().algorithm(Algorithm::Patience).diff_lines(mine, theirs);
    let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    Kind::Lines { published: count(ChangeTag::Insert), rebuilt: count(ChangeTag::Delete) }
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
        compare((&archives.0, Sha256::of(&a)), (&archives.1, Sha256::of(&b)), context)
    }

    fn only(comparison: Comparison) -> (String, Kind, Weight) {
        match comparison {
            Comparison::Differs(differences) if differences.len() == 1 => {
                let difference = differences.iter().next().unwrap();
                (difference.path.clone(), difference.kind, difference.weight)
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
        for again in ["src/lib.rs", "SRC/lib.rs"] {
            let found = compared(&plus((again, b"evil", 0o644)), false);
            assert!(
                matches!(&found, Comparison::Differs(all) if all.iter().any(|d| d.kind == Kind::Repeated)),
                "{found:?}"
            );
        }
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
                 source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{}\"\n",
                checksum.to_string().repeat(64)
            )
        };
        let weigh = |published: &str, rebuilt: &str, lock_tracked| {
            let found = lock_difference(published, rebuilt, &Context { lock_tracked, ..Context::default() });
            (found.kind, found.weight)
        };
        let (old, new, forged) = (entry("1.0.0", 'a'), entry("1.0.1", 'a'), entry("1.0.0", 'b'));
        assert_eq!(weigh(&old, &new, false), (Kind::Meaning, Weight::Generated));
        assert_eq!(weigh(&old, &new, true), (Kind::Meaning, Weight::Source));
        assert_eq!(weigh(&forged, &old, false), (Kind::Meaning, Weight::Source));
        assert_eq!(weigh(&old.replace("version = 3", "version = 4"), &old, false), (Kind::Form, Weight::Generated));
    }

    #[test]
    fn a_lock_file_that_can_not_be_is_loud_where_the_rebuild_has_none_too() {
        let published = plus((LOCK, b"version = 4\n", 0o644));
        assert_eq!(only(compared(&published, false)).2, Weight::Generated);
        let faulty = Context { lock_faults: vec!["it names x@1.0.0".to_owned()], ..Context::default() };
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
