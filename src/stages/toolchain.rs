//! *Toolchain*: which cargo packaged a crate, told from the crate's own bytes, and which of those available to try.
//!
//! Every layer of a crate says something about the cargo that wrote it. The clues are intersected; what is left is
//! the range. Sources: release branches of rust-lang/cargo and a survey of crates from 2015 to 2026.

mod candidates;

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::artefact::{Archive, Entry, LOCK, MANIFEST, ORIGINAL_MANIFEST, VCS_INFO};
use super::deflate::Compressor;
use super::manifest::Manifest;
use crate::model::digest::Sri;
use crate::model::release::{Minor, Span};

pub use candidates::{Candidate, Search, asked_for, candidates, prefer};

/// The layer of a crate that a clue comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The gzip header.
    Gzip,
    /// The deflate stream.
    Deflate,
    /// The tar headers and the order of entries.
    Tar,
    /// `.cargo_vcs_info.json`.
    VcsInfo,
    /// The normalised `Cargo.toml`.
    Manifest,
    /// `Cargo.lock`.
    Lock,
    /// When the crate was published.
    Date,
}

/// What one trait of a crate says of its cargo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clue {
    /// Where it was read.
    pub layer: Layer,
    /// The releases that write it so.
    pub span: Span,
    /// What was seen.
    pub trait_seen: Cow<'static, str>,
}

/// All clues of a crate, and the range they leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CargoEvidence {
    /// What was read.
    pub clues: Vec<Clue>,
    /// The releases that agree with every clue; none where the clues contradict each other.
    pub range: Option<Span>,
    /// The same without the clues that only make a release likely.
    pub certain: Option<Span>,
}

/// The time that cargo gives to files since 1.63, and to what it generates since 1.93.
pub const NEW_TIME: u64 = 1_153_704_088;
/// The time that it gave to files before.
pub const OLD_TIME: u64 = 123_456_789;

/// Dates the cargo that made a crate.
#[must_use]
pub fn date(archive: &Archive, published: Option<Timestamp>) -> CargoEvidence {
    let mut evidence = CargoEvidence { clues: Vec::new(), range: Some(Span::ALL), certain: Some(Span::ALL) };
    read_gzip(archive, &mut evidence);
    read_tar(archive, &mut evidence);
    read_vcs_info(archive, &mut evidence);
    read_manifest(archive, &mut evidence);
    read_lock(archive, &mut evidence);
    if let Some(stable) = published.and_then(stable_at) {
        // Publishers use a beta or a nightly at the newest: two releases ahead of the stable one.
        evidence.read(Layer::Date, Span::until(stable.0 + 2), "published before newer releases existed");
    }
    read_deflate(archive, &mut evidence);
    read_rust_version(archive, &mut evidence);
    evidence
}

impl CargoEvidence {
    fn read(&mut self, layer: Layer, span: Span, trait_seen: &'static str) {
        self.clues.push(Clue { layer, span, trait_seen: trait_seen.into() });
        self.range = self.range.and_then(|left| left.and(span));
        self.certain = self.certain.and_then(|left| left.and(span));
    }

    /// Reads a trait that makes a release only likely. Where what is certain says otherwise, it says nothing.
    fn read_likely(&mut self, layer: Layer, span: Span, trait_seen: &'static str) {
        if let Some(left) = self.range.and_then(|left| left.and(span)) {
            self.clues.push(Clue { layer, span, trait_seen: trait_seen.into() });
            self.range = Some(left);
        }
    }
}

impl fmt::Display for Clue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cargo {}", self.trait_seen, self.span)
    }
}

/// A publisher's cargo builds what it packages, and refuses to where its compiler is older than the package asks for.
/// `--no-verify` lets that pass, so what the bytes say counts for more.
fn read_rust_version(archive: &Archive, evidence: &mut CargoEvidence) {
    let manifest = Manifest::of(archive);
    let Some(minor) = manifest.rust_version().and_then(Minor::of_release) else { return };
    evidence.read_likely(Layer::Manifest, Span::from(minor.0), "rust-version");
}

fn read_gzip(archive: &Archive, evidence: &mut CargoEvidence) {
    if matches!(archive.gzip.system, 3 | 7) {
        evidence.read(Layer::Gzip, Span::until(21), "gzip header with the publisher's system");
    }
}

/// Compressing is the one costly clue, so only compressors that the other clues leave possible are tried.
fn read_deflate(archive: &Archive, evidence: &mut CargoEvidence) {
    let table = [
        (Compressor::Miniz, Span::until(31), "deflate stream of miniz"),
        (Compressor::Zlib9, Span::between(32, 46), "deflate stream of zlib, memory level 9"),
        (Compressor::Zlib8, Span::between(47, 87), "deflate stream of zlib, memory level 8"),
        (Compressor::ZlibRsOld, Span::between(88, 95), "deflate stream of zlib-rs before 0.6.3"),
        (Compressor::ZlibRsNew, Span::from(96), "deflate stream of zlib-rs from 0.6.3 on"),
    ];
    let Some(left) = evidence.range else { return };
    let possible: Vec<_> = table.iter().filter(|(_, span, _)| left.and(*span).is_some()).collect();
    if possible.len() < 2 {
        return;
    }
    let matching: Vec<_> =
        possible.iter().filter(|(compressor, ..)| compressor.makes(&archive.tar, &archive.deflated)).collect();
    // Small archives come out alike from several compressors: then the clue is the range from the first to the
    // last of them.
    if let (Some(first), Some(last)) = (matching.first(), matching.last()) {
        let span = Span { first: first.1.first, last: last.1.last };
        evidence.read(Layer::Deflate, span, if matching.len() == 1 { first.2 } else { "deflate stream" });
    }
}

fn read_tar(archive: &Archive, evidence: &mut CargoEvidence) {
    let Some(first) = archive.entries.first() else { return };
    if first.gnu {
        evidence.read(Layer::Tar, Span::from(46), "GNU tar headers");
    } else {
        evidence.read(Layer::Tar, Span::until(45), "POSIX tar headers");
    }
    let position = |path: &str| archive.entries.iter().position(|entry| entry.path == path);
    let (manifest, original) = (position(MANIFEST), position(ORIGINAL_MANIFEST));
    let Some((manifest, original)) = manifest.zip(original) else {
        evidence.read(Layer::Tar, Span::until(18), "no Cargo.toml.orig");
        return;
    };
    if manifest < original {
        evidence.read(Layer::Tar, Span::from(43), "entries sorted by path");
    } else {
        evidence.read(Layer::Tar, Span::between(19, 42), "Cargo.toml.orig before Cargo.toml");
    }
    read_times(archive, &archive.entries[manifest], evidence);
}

fn read_times(archive: &Archive, manifest: &Entry, evidence: &mut CargoEvidence) {
    let generated = match (manifest.mtime, manifest.gnu) {
        (None, _) => (Span::between(19, 23), "no time on generated files"),
        (Some(0), true) => (Span::between(50, 53), "time 0 on generated files"),
        (Some(0), false) => (Span::between(23, 39), "time 0 on generated files"),
        (Some(1), _) => (Span::between(54, 92), "time 1 on generated files"),
        (Some(NEW_TIME), _) => (Span::from(93), "one and the same time on all files"),
        (Some(_), _) => (Span::between(40, 49), "time of packaging on generated files"),
    };
    evidence.read(Layer::Tar, generated.0, generated.1);
    let mut times = archive.entries.iter().filter(|entry| !entry.generated()).map(|entry| entry.mtime);
    let Some(time) = times.next() else { return };
    if !times.all(|other| other == time) {
        evidence.read(Layer::Tar, Span::until(49), "real times on files");
        return;
    }
    match time {
        Some(0) => evidence.read(Layer::Tar, Span::between(50, 53), "time 0 on files"),
        // Windows kept it until 1.82.
        Some(OLD_TIME) => evidence.read(Layer::Tar, Span::between(54, 82), "time 123456789 on files"),
        Some(NEW_TIME) => evidence.read(Layer::Tar, Span::from(63), "time 1153704088 on files"),
        _ => evidence.read(Layer::Tar, Span::until(49), "real times on files"),
    }
}

fn read_vcs_info(archive: &Archive, evidence: &mut CargoEvidence) {
    let Some(text) = archive.text(VCS_INFO) else { return };
    if text.contains("\"dirty\"") {
        evidence.read(Layer::VcsInfo, Span::from(81), "vcs info says dirty");
    }
    if text.contains("\"path_in_vcs\"") {
        evidence.read(Layer::VcsInfo, Span::from(57), "vcs info with path_in_vcs");
    } else {
        evidence.read(Layer::VcsInfo, Span::between(30, 56), "vcs info without path_in_vcs");
    }
}

fn read_manifest(archive: &Archive, evidence: &mut CargoEvidence) {
    if archive.file(ORIGINAL_MANIFEST).is_none() {
        return;
    }
    let Some(text) = archive.text(MANIFEST) else { return };
    let mut read = |span, seen| evidence.read(Layer::Manifest, span, seen);
    if text.contains("If you are reading this file be aware") {
        read(Span::from(55), "Cargo.toml with today's header");
    } else if text.contains("(e.g., crates.io)") {
        read(Span::between(34, 54), "Cargo.toml with the header of 1.34");
    } else if text.contains("(e.g. crates.io)") {
        read(Span::between(19, 33), "Cargo.toml with the header of 1.19");
    }
    if text.contains("= [\n    ") {
        read(Span::from(60), "arrays over several lines");
    } else if text.lines().any(has_inline_array_of_two) {
        read(Span::until(59), "arrays on one line");
    }
    let line = |wanted: &str| text.lines().any(|line| line == wanted);
    if line("autolib = false") {
        read(Span::from(83), "autolib = false");
    } else if line("autobins = false") && line("autotests = false") && line("autobenches = false") {
        read(Span::between(80, 82), "targets spelled out, without autolib");
    } else {
        read(Span::until(79), "targets not spelled out");
    }
    let features = text.find("\n[features]");
    let others = ["\n[dependencies", "\n[dev-dependencies", "\n[build-dependencies", "\n[lib]", "\n[[bin]]"];
    let first_other = others.iter().filter_map(|table| text.find(table)).min();
    if let Some((features, other)) = features.zip(first_other) {
        if features < other {
            read(Span::from(85), "[features] before targets and dependencies");
        } else {
            read(Span::until(84), "[features] after dependencies");
        }
    }
    if text.contains("\n[target.'cfg(") && quoted_target(&text, '\'') {
        read(Span::from(80), "target keys in literal quotes");
    } else if text.contains("\n[target.\"cfg(") && text.contains("\\\"") {
        read(Span::until(79), "target keys with escaped quotes");
    }
    if line("[lints]") || text.contains("\n[lints.") {
        read(Span::from(74), "[lints]");
    }
    if line("edition = \"2024\"") {
        read(Span::from(82), "edition 2024");
    }
}

/// `key = ["a", "b"]`: cargos from 1.60 on write it over several lines.
fn has_inline_array_of_two(line: &str) -> bool {
    line.split_once(" = [").is_some_and(|(key, list)| {
        key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && list.ends_with(']')
            && list.matches("\", \"").count() >= 1
    })
}

/// Whether a `[target.…]` key with this quote has a double quote within.
fn quoted_target(text: &str, quote: char) -> bool {
    text.lines()
        .filter_map(|line| line.strip_prefix("[target.")?.strip_prefix(quote))
        .any(|rest| rest.split(quote).next().is_some_and(|key| key.contains('"')))
}

fn read_lock(archive: &Archive, evidence: &mut CargoEvidence) {
    if archive.file(ORIGINAL_MANIFEST).is_none() {
        return;
    }
    let Some(text) = archive.text(LOCK) else {
        // `cargo publish` packs one always from 1.84 on; early nightlies of that release did not.
        evidence.read_likely(Layer::Lock, Span::until(83), "no Cargo.lock");
        return;
    };
    let head = text.split("[[package]]").next().unwrap_or_default();
    let span = match head.lines().find_map(|line| line.strip_prefix("version = ")) {
        Some("4") => (Span::from(78), "Cargo.lock of version 4"),
        Some(_) => (Span::from(47), "Cargo.lock of version 3"),
        None if text.contains("\n[metadata]") => (Span::from(37), "Cargo.lock of version 1"),
        None => (Span::from(38), "Cargo.lock of version 2"),
    };
    evidence.read(Layer::Lock, span.0, span.1);
}

/// The first release of each class of releases that package alike, for most crates. Releases of one class are tried
/// once.
///
/// | from | what changed |
/// |---|---|
/// | 1.19 | normalised manifest |
/// | 1.22 | sorted tables |
/// | 1.30, 1.57, 1.81 | vcs info; its path; its dirty mark |
/// | 1.32, 1.47, 1.88, 1.96 | compressor |
/// | 1.34, 1.55 | manifest header |
/// | 1.37, 1.84 | Cargo.lock with binaries; always |
/// | 1.40, 1.50, 1.54, 1.63, 1.93 | times in tar headers |
/// | 1.43, 1.46 | order of entries; GNU headers |
/// | 1.60, 1.69, 1.80, 1.89, 1.90 | TOML writer |
/// | 1.62, 1.64, 1.74, 1.78, 1.79, 1.83, 1.85 | manifest normalisation |
/// | 1.68 | whose lock file a member starts from |
const CLASSES: [u32; 33] = [
    19, 22, 30, 32, 34, 37, 40, 43, 46, 47, 50, 54, 55, 57, 60, 62, 63, 64, 68, 69, 74, 78, 79, 80, 81, 83, 84, 85, 88,
    89, 90, 93, 96,
];

/// Which class a release belongs to: the number of classes that began before it.
#[must_use]
pub fn class_of(minor: Minor) -> usize {
    CLASSES.iter().filter(|first| **first <= minor.0).count()
}

/// A stable release of the catalogue.
#[derive(Debug, Clone, Deserialize)]
pub struct Official {
    /// `1.N.P`.
    pub release: String,
    /// When it came out; also the folder of its archive.
    pub date: Date,
    /// The version in the archive's name.
    pub archive: String,
    /// The archive's checksum, by Nix system.
    pub sha256: std::collections::BTreeMap<String, Sri>,
}

impl Official {
    /// The address of the archive for a Nix system that the catalogue has.
    #[must_use]
    pub fn url(&self, system: &str) -> String {
        let architecture = system.split('-').next().unwrap_or_default();
        format!(
            "https://static.rust-lang.org/dist/{}/cargo-{}-{architecture}-unknown-linux-gnu.tar.xz",
            self.date, self.archive
        )
    }
}

/// Every stable release since 1.29, oldest first: the project's own data, in `nix/toolchains.json`.
pub static CATALOGUE: LazyLock<Vec<Official>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../nix/toolchains.json")).expect("part of the program, and a test reads it")
});

/// The newest stable release at a time.
#[must_use]
pub fn stable_at(time: Timestamp) -> Option<Minor> {
    let day = time.to_zoned(jiff::tz::TimeZone::UTC).date();
    CATALOGUE.iter().filter(|official| official.date <= day).filter_map(|o| Minor::of_release(&o.release)).max()
}

/// A cargo that can be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// How people and plans call it.
    pub name: String,
    /// `1.N.P`, with a suffix for betas and nightlies.
    pub release: String,
    /// Its minor number.
    pub minor: Minor,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a cargo comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Origin {
    /// A cargo of this machine with the libraries that it links, as one store path.
    Imported {
        /// The hash of its NAR.
        nar_hash: Sri,
    },
    /// An official archive, run with the loader and libraries of `runtime`.
    Archive {
        /// Where it is fetched from.
        url: String,
        /// Its checksum.
        sha256: Sri,
        /// The hash of the runtime's NAR.
        runtime: Sri,
    },
}

impl Toolchain {
    /// Whether this is the official release that it says: an archive that the catalogue has, with its checksum. Nothing of the
    /// kind can be said of an imported one.
    #[must_use]
    pub fn is_official(&self) -> bool {
        let Origin::Archive { sha256, .. } = &self.origin else { return false };
        let release = |official: &&Official| official.release == self.release;
        CATALOGUE.iter().filter(release).any(|official| official.sha256.values().any(|known| known == sha256))
    }

    /// The loader and libraries that an official archive is run with.
    #[must_use]
    pub fn runtime(&self) -> Option<Sri> {
        match self.origin {
            Origin::Archive { runtime, .. } => Some(runtime),
            Origin::Imported { .. } => None,
        }
    }

    /// Has an official archive run with these loader and libraries.
    pub fn run_with(&mut self, own: Sri) {
        if let Origin::Archive { runtime, .. } = &mut self.origin {
            *runtime = own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_has_every_stable_release_since_1_29() {
        assert!(CATALOGUE.len() > 100);
        assert_eq!(CATALOGUE[0].release, "1.29.0");
        let minors: std::collections::BTreeSet<_> =
            CATALOGUE.iter().map(|official| Minor::of_release(&official.release).unwrap()).collect();
        assert_eq!(minors.len(), 98 - 29 + 1);
        assert!(CATALOGUE.iter().all(|official| official.sha256.contains_key("x86_64-linux")));
        assert!(CATALOGUE[0].url("x86_64-linux").ends_with("/2018-09-13/cargo-0.30.0-x86_64-unknown-linux-gnu.tar.xz"));
    }

    #[test]
    fn the_stable_release_of_a_day_is_known() {
        assert_eq!(stable_at("2024-04-03T00:00:00Z".parse().unwrap()), Some(Minor(77)));
        assert_eq!(stable_at("2001-01-01T00:00:00Z".parse().unwrap()), None);
    }

    #[test]
    fn classes_begin_in_order() {
        assert!(CLASSES.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(class_of(Minor(94)), class_of(Minor(95)));
        assert_ne!(class_of(Minor(95)), class_of(Minor(96)));
    }
}
