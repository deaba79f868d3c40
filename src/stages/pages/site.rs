//! A site of static files: what runs found of crates, for browsers and for programs.
//!
//! | file | what |
//! |---|---|
//! | `index.html` | all crates, the worst first |
//! | `NAME/VERSION.html` | a crate's page, under an address that stays |
//! | `NAME/VERSION.json` | its sign, for programs: [`Published`] |
//! | `NAME/badge/VERSION.json`, `NAME/badge/VERSION.svg` | its badge: for shields, and as a picture |
//! | `NAME/index.json` | the signs of all its versions: [`Versions`] |
//! | `feed.atom` | what changed, and why |
//! | `site.json` | what the site is made of: [`About`] |
//! | `recrate-sign.user.js` | the user script |
//! | `_headers` | what hosts that know such a file answer with: anybody may read it |
//!
//! Crates of other registries than the default one lie in a folder `@` and the sha256 of the registry's address.
//! docs/SIGN.md describes the JSON.

mod badge;
mod feed;

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::package::{commands, findings};
use super::report::{count, filter, footer, headline};
use super::{page, registry_host, registry_page};
use crate::model::commit::CommitId;
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateName;
use crate::model::package::{PackageKey, RegistryName};
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;
use crate::stages::claims::Asked;
use crate::stages::history::{Change, Found, Word, turns};
use crate::stages::report::text::title;
use crate::stages::sign::Sign;
use crate::stages::verdict::Verdict;

/// The version of the JSON. Fields may be added within a version, none is taken away or changes its meaning.
pub const SCHEMA: u32 = 1;

/// A site.
#[derive(Debug, Default)]
pub struct Site {
    /// Its files by path.
    pub files: BTreeMap<String, String>,
    /// How many crates are left out: they were found to differ, and the notice period is not over.
    pub held_back: usize,
    /// How many crates it has.
    pub crates: usize,
    /// Crates that have no page because their version is too long for the name of a file.
    pub too_long: usize,
}

/// What a site is made of.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether runs count that went by a project's own word for where registries and repositories are, and crates of registries that
    /// a lock file names.
    pub by_projects: bool,
    /// For how many days a crate has to differ before that is shown.
    pub notice_days: u32,
    /// Which day it is.
    pub today: Date,
}

/// How long a version may be, in bytes: file systems have names of 255.
const VERSION_LENGTH: usize = 128;

/// What programs are told of a crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Its registry: `default`, or the address of its index.
    pub registry: RegistryName,
    /// Its name.
    pub name: CrateName,
    /// Its version.
    pub version: semver::Version,
    /// The hash of its bytes: the sign is worth nothing for a crate with another.
    pub sha256: Option<Sha256>,
    /// Its sign.
    pub sign: Sign,
    /// The verdict that it is from.
    pub verdict: Verdict,
    /// What that means, in a sentence.
    pub meaning: String,
    /// What had to be assumed, in words.
    pub conditions: Vec<String>,
    /// The repository; none where nothing names one.
    pub repository: Option<RepositoryUrl>,
    /// The commit.
    pub commit: Option<CommitId>,
    /// The package's folder in it.
    pub path: Option<SubPath>,
    /// Who was asked which branches and tags reach the commit, and on which day; none where nobody was.
    pub asked: Option<Asked>,
    /// When the run ended that found it.
    pub checked: Timestamp,
    /// When it was first found to have this sign, without another one since.
    pub since: Timestamp,
    /// The version of recrate.
    pub recrate: Foreign,
}

/// The signs of a crate's versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Its name.
    pub name: CrateName,
    /// The versions that were looked at.
    pub versions: BTreeMap<semver::Version, Sign>,
}

/// What a site is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of recrate that wrote it.
    pub recrate: String,
    /// How many crates it has, by sign.
    pub crates: BTreeMap<Sign, usize>,
    /// When the newest of its runs ended.
    pub updated: Option<Timestamp>,
    /// Its files: what is no longer among them when it is written again is removed.
    pub files: Vec<String>,
}

/// A crate with what became of it.
struct Known<'a> {
    /// What counts today.
    found: &'a Found,
    /// What became of it over time.
    turns: Vec<Change<'a>>,
    published: Published,
    /// Its files, without extension.
    path: String,
    /// When it was first found to differ, where it does; or last, where it did.
    differs_since: Option<Timestamp>,
}

/// The site of what runs found.
#[must_use]
pub fn site(mut found: Vec<Found>, options: Options) -> Site {
    // What the author of a plan says is not published.
    let by_user = |found: &Found| found.run.word == Word::User && found.record.key.registry == RegistryName::Default;
    found.retain(|found| by_user(found) || options.by_projects && found.run.word != Word::Plan);
    // That bytes are not those of some lock file says nothing about the crate.
    found.retain(|found| found.record.verdict() != Verdict::ChecksumMismatch);
    let all = found.len();
    found.retain(|found| found.record.key.version.to_string().len() <= VERSION_LENGTH);
    let too_long = all - found.len();
    found.sort_by(|a, b| (&a.record.key, a.run.id).cmp(&(&b.record.key, b.run.id)));
    let today = options.today.in_tz("UTC").map_or(Timestamp::MAX, |day| day.timestamp());
    let notice = SignedDuration::from_hours(24 * i64::from(options.notice_days));
    let in_notice = |since: Timestamp| options.notice_days > 0 && today.duration_since(since) < notice;
    let all: Vec<Known<'_>> = found.chunk_by(|a, b| a.record.key == b.record.key).filter_map(Known::of).collect();
    let is_held_back = |known: &Known<'_>| known.differs_since.is_some_and(in_notice);
    let (held_back, mut shown): (Vec<_>, Vec<_>) = all.into_iter().partition(is_held_back);
    shown.sort_by(|a, b| (a.published.verdict, &a.found.record.key).cmp(&(b.published.verdict, &b.found.record.key)));
    let mut files = BTreeMap::new();
    let mut versions: BTreeMap<String, Versions> = BTreeMap::new();
    for known in &shown {
        let Known { published, path, .. } = known;
        let Published { name, version, sign, .. } = published;
        files.insert(format!("{path}.html"), known.page());
        files.insert(format!("{path}.json"), json(published));
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let badge = format!("{folder}/badge/{version}");
        files.insert(format!("{badge}.json"), json(&badge::Badge::of(*sign, &published.conditions)));
        files.insert(format!("{badge}.svg"), badge::picture(*sign, &published.conditions));
        let of_name = || Versions { schema: SCHEMA, name: name.clone(), versions: BTreeMap::new() };
        versions.entry(folder.to_owned()).or_insert_with(of_name).versions.insert(version.clone(), *sign);
    }
    files.extend(versions.into_iter().map(|(folder, versions)| (format!("{folder}/index.json"), json(&versions))));
    let mut crates: BTreeMap<Sign, usize> = BTreeMap::new();
    shown.iter().for_each(|known| *crates.entry(known.published.sign).or_default() += 1);
    let updated = shown.iter().flat_map(|known| known.turns.iter().filter_map(|turn| turn.after));
    let updated = updated.chain(shown.iter().map(|known| known.found)).map(|found| found.run.finished).max();
    files.insert("index.html".to_owned(), index(&shown, updated));
    files.insert("feed.atom".to_owned(), feed::feed(&shown, updated));
    files.insert("_headers".to_owned(), HEADERS.to_owned());
    files.insert(SCRIPT.to_owned(), USER_SCRIPT.replace(HOST, &registry_host()));
    let recrate = env!("CARGO_PKG_VERSION").to_owned();
    let about = About { schema: SCHEMA, recrate, crates, updated, files: files.keys().cloned().collect() };
    files.insert(ABOUT.to_owned(), json(&about));
    Site { files, crates: shown.len(), held_back: held_back.len(), too_long }
}

/// The user script, which shows the signs of a site, and what stands in it for the host of the registry's pages.
const SCRIPT: &str = "recrate-sign.user.js";
const USER_SCRIPT: &str = include_str!("../../../extras/recrate-sign.user.js");
const HOST: &str = "REGISTRY-HOST";

/// Whether a site may have a file of this name, other than [`ABOUT`]: `site.json` may have been written by somebody else.
#[must_use]
pub fn is_own(name: &str) -> bool {
    let stem = |file: &str, extensions: &[&str]| {
        let (stem, extension) = file.rsplit_once('.').unwrap_or_default();
        extensions.contains(&extension) && stem.parse::<semver::Version>().is_ok()
    };
    let of_crate = |parts: &[&str]| match parts {
        [name, rest @ ..] if name.parse::<CrateName>().is_ok() => match rest {
            ["index.json"] => true,
            ["badge", file] => stem(file, &["json", "svg"]),
            [file] => stem(file, &["html", "json"]),
            _ => false,
        },
        _ => false,
    };
    let is_registry =
        |part: &str| part.strip_prefix('@').is_some_and(|hash| hash.is_empty() || hash.parse::<Sha256>().is_ok());
    match name.split('/').collect::<Vec<_>>().as_slice() {
        ["index.html" | "feed.atom" | "_headers" | SCRIPT] => true,
        [registry, rest @ ..] if is_registry(registry) => of_crate(rest),
        parts => of_crate(parts),
    }
}

/// The file that says what a site is made of.
pub const ABOUT: &str = "site.json";

/// Netlify's and Cloudflare's form. Who reads the signs from another page has to be allowed to.
const HEADERS: &str = "/*\n  Access-Control-Allow-Origin: *\n  X-Content-Type-Options: nosniff\n";

/// The sign that is published of what a run found. A good one is given only for known bytes, and for what was asked on that day: not
/// for what the author of a plan says, nor for what somebody remembered.
#[must_use]
pub fn sign_of(found: &Found) -> Sign {
    let Found { run, record, .. } = found;
    let reach = &record.findings.reach;
    let asked = reach.asked.as_ref().map(|asked| asked.date);
    let is_of_then =
        asked.and_then(|asked| asked.checked_add(2.days()).ok()).is_some_and(|until| day(run.finished) < until);
    let sign = Sign::of_record(record);
    if reach.claimed_by_plan || record.checksum.is_none() || !is_of_then { sign.min(Sign::Unverifiable) } else { sign }
}

impl<'a> Known<'a> {
    /// A crate, from what runs found of it, the oldest first.
    fn of(found: &'a [Found]) -> Option<Self> {
        let last = found.last()?;
        // That recrate could not do its work says nothing about a crate of which more is known; of other bytes nothing is known.
        let worked = found.iter().rev().find(|one| one.record.verdict() != Verdict::Error);
        let current = worked.filter(|worked| worked.record.checksum == last.record.checksum).unwrap_or(last);
        let record = &current.record;
        let sign = sign_of(current);
        let so_far = || found.iter().filter(|one| one.run.id <= current.run.id);
        let same = |one: &&Found| one.record.checksum == record.checksum;
        let since = so_far().rev().take_while(|one| sign_of(one) == sign && same(one)).last();
        let since = since.map_or(current.run.finished, |one| one.run.finished);
        // However often it could not be compared since.
        let mut differing = found.iter().filter(|one| sign_of(one) == Sign::Differs);
        let differs_since = if sign == Sign::Differs { differing.find(same) } else { differing.next_back() };
        let origin = record.findings.origin.as_ref();
        let published = Published {
            schema: SCHEMA,
            registry: record.key.registry.clone(),
            name: record.key.name.clone(),
            version: record.key.version.clone(),
            sha256: record.checksum,
            sign,
            verdict: record.verdict(),
            meaning: record.verdict().meaning().to_owned(),
            conditions: record.findings.conditions.iter().map(ToString::to_string).collect(),
            repository: origin.map(|origin| origin.repository.clone()),
            commit: origin.map(|origin| origin.commit),
            path: origin.and_then(|origin| origin.path.clone()),
            asked: record.findings.reach.asked.clone(),
            checked: current.run.finished,
            since,
            recrate: current.run.recrate.clone(),
        };
        let differs_since = differs_since.map(|one| one.run.finished);
        Some(Self { found: current, turns: turns(found), published, path: path(&record.key), differs_since })
    }

    fn page(&self) -> String {
        let Self { found, turns, published, path, .. } = self;
        let record = &found.record;
        let up = "../".repeat(path.matches('/').count());
        let file = path.rsplit('/').next().unwrap_or_default();
        let sign = published.sign;
        let name = title(&record.key);
        let body = html! {
            header {
                p { a href={ (up) "index.html" } { "all crates" } }
                h1 { (name) ": " span class=(sign.slug()) { (sign.to_string()) } }
                p { (sign.meaning()) }
                p { "Verdict: " strong { (published.verdict.to_string()) } ". " (published.meaning) }
            }
            main {
                (findings(record, &[]))
                (commands(record, None, None))
                h2 { "History" }
                (history(turns))
                h2 { "For programs" }
                ul {
                    li { a href={ (file) ".json" } { "the sign" } ", " a href={ "badge/" (file) ".json" } { "for shields" }
                        ", " a href={ "badge/" (file) ".svg" } { "as a picture" } }
                }
            }
            (footer(found.run.recrate.raw(), Some(day(found.run.finished))))
        };
        page(&format!("{name}: {sign}"), &body)
    }
}

fn history(turns: &[Change<'_>]) -> Markup {
    html! {
        ul { @for turn in turns { @if let Some(after) = turn.after {
            li { (after.run.minute()) " UTC: " (after.record.verdict().to_string())
                @if turn.before.is_some() { " (" (because(turn)) ")" } }
        } } }
    }
}

/// Why something changed, in words.
fn because(turn: &Change<'_>) -> String {
    let causes: Vec<String> = turn.causes().iter().map(ToString::to_string).collect();
    if causes.is_empty() { "the cause is not known".to_owned() } else { causes.join(", ") }
}

fn index(shown: &[Known<'_>], updated: Option<Timestamp>) -> String {
    let counts = count(shown.iter().map(|known| (known.published.sign, !known.published.conditions.is_empty())));
    let mut by_sign: Vec<&Known<'_>> = shown.iter().collect();
    by_sign.sort_by(|a, b| (a.published.sign, &a.found.record.key).cmp(&(b.published.sign, &b.found.record.key)));
    let body = html! {
        header {
            h1 { "Are these crates what their commits give?" }
            (headline(&counts))
            p { a href="feed.atom" { "feed of changes" } }
        }
        main {
            (filter(&BTreeMap::new()))
            @for group in by_sign.chunk_by(|a, b| a.published.sign == b.published.sign) {
                @if let Some(first) = group.first() {
                    section.group {
                        h2 class=(first.published.sign.slug()) { (first.published.sign.to_string()) " (" (group.len()) ")" }
                        p.dim { (first.published.sign.meaning()) }
                        table.wide {
                            thead { tr { th { "crate" } th { "verdict" } th { "checked" } } }
                            tbody { @for known in group { (row(known)) } }
                        }
                    }
                }
            }
        }
        (footer(env!("CARGO_PKG_VERSION"), updated.map(day)))
    };
    page("recrate: are these crates what their commits give?", &body)
}

fn row(known: &Known<'_>) -> Markup {
    let Published { verdict, checked, sign, .. } = &known.published;
    html! {
        tr.crate data-sign=(sign.slug()) {
            td { a href={ (known.path) ".html" } { (title(&known.found.record.key)) } }
            td { (verdict.to_string()) }
            td { (day(*checked).to_string()) @if registry_page(&known.found.record.key).is_none() { " (another registry)" } }
        }
    }
}

/// Where a crate's files lie, without extension.
fn path(key: &PackageKey) -> String {
    let own = format!("{}/{}", key.name, key.version);
    match &key.registry {
        RegistryName::Index(address) => {
            format!("@{}/{own}", Sha256::of(address.as_str().as_bytes()))
        }
        // Hosts have files of their own that begin so.
        RegistryName::Default if own.starts_with('_') => format!("@/{own}"),
        RegistryName::Default => own,
    }
}

fn day(time: Timestamp) -> Date {
    time.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn json(value: &impl Serialize) -> String {
    // Plain data with string keys.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
