//! A site of static files: what runs found of crates, for browsers and for programs.
//!
//! | file | what |
//! |---|---|
//! | `index.html` | all crates, the worst first |
//! | `NAME/VERSION.html` | a crate's page, under an address that stays |
//! | `NAME/VERSION.json` | its sign, for programs: [`Published`] |
//! | `NAME/VERSION.badge.json`, `NAME/VERSION.svg` | its badge: for shields, and as a picture |
//! | `NAME/index.json` | the signs of all its versions: [`Versions`] |
//! | `feed.atom` | what changed, and why |
//! | `site.json` | what the site is made of: [`About`] |
//! | `_headers` | what hosts that know such a file answer with: anybody may read it |
//!
//! Crates of other registries than the default one lie in a folder `@` and eight hex digits: a hash of the registry's address.
//! docs/SIGN.md describes the JSON.

mod badge;
mod feed;

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::package::{commands, findings};
use super::report::{count, filter, footer, headline};
use super::{page, registry_page};
use crate::model::commit::CommitId;
use crate::model::digest::Sha256;
use crate::model::krate::CrateName;
use crate::model::package::{PackageKey, RegistryName};
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;
use crate::stages::decision::Decision;
use crate::stages::history::{Change, Found, turns};
use crate::stages::policy::BuiltIn;
use crate::stages::policy::project::{Circumstances, ProjectPolicy};
use crate::stages::record::Record;
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
    /// Paths without extension of crates that are left out: they differ, and the notice period is not over.
    pub held_back: Vec<String>,
    /// How many crates it has.
    pub crates: usize,
}

/// What programs are told of a crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// [`SCHEMA`].
    pub schema: u32,
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
    /// When it was looked at.
    pub checked: Timestamp,
    /// When it was first found to have this sign, without another one since.
    pub since: Timestamp,
    /// The version of recrate.
    pub recrate: String,
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
}

/// The site of what runs found, ordered by package and then by run. A crate that differs is left out until it did for `notice_days`
/// days, by `today`.
#[must_use]
pub fn site(found: &[Found], notice_days: u32, today: Date) -> Site {
    let all: Vec<Known<'_>> = found.chunk_by(|a, b| a.record.key == b.record.key).filter_map(Known::of).collect();
    let notice = SignedDuration::from_hours(24 * i64::from(notice_days));
    let now = today.in_tz("UTC").map(|day| day.timestamp()).unwrap_or(Timestamp::MAX);
    let is_held_back = |known: &Known<'_>| {
        known.published.sign == Sign::Differs && notice_days > 0 && now.duration_since(known.published.since) < notice
    };
    let (held_back, mut shown): (Vec<_>, Vec<_>) = all.into_iter().partition(is_held_back);
    shown.sort_by(|a, b| (a.published.verdict, &a.found.record.key).cmp(&(b.published.verdict, &b.found.record.key)));
    let mut files = BTreeMap::new();
    let mut versions: BTreeMap<String, Versions> = BTreeMap::new();
    for known in &shown {
        let Known { published, path, .. } = known;
        let Published { name, version, sign, .. } = published;
        files.insert(format!("{path}.html"), known.page());
        files.insert(format!("{path}.json"), json(published));
        files.insert(format!("{path}.badge.json"), json(&badge::Badge::of(*sign, &published.conditions)));
        files.insert(format!("{path}.svg"), badge::picture(*sign, &published.conditions));
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let of_name = || Versions { schema: SCHEMA, name: name.clone(), versions: BTreeMap::new() };
        versions.entry(folder.to_owned()).or_insert_with(of_name).versions.insert(version.clone(), *sign);
    }
    files.extend(versions.into_iter().map(|(folder, versions)| (format!("{folder}/index.json"), json(&versions))));
    let mut crates: BTreeMap<Sign, usize> = BTreeMap::new();
    shown.iter().for_each(|known| *crates.entry(known.published.sign).or_default() += 1);
    let updated = shown.iter().flat_map(|known| known.turns.iter().filter_map(|turn| turn.after));
    let updated = updated.chain(shown.iter().map(|known| known.found)).map(|found| found.run.finished).max();
    let about = About { schema: SCHEMA, recrate: env!("CARGO_PKG_VERSION").to_owned(), crates, updated };
    files.insert("site.json".to_owned(), json(&about));
    files.insert("index.html".to_owned(), index(&shown, updated));
    files.insert("feed.atom".to_owned(), feed::feed(&shown, updated));
    files.insert("_headers".to_owned(), HEADERS.to_owned());
    Site { files, crates: shown.len(), held_back: held_back.into_iter().map(|known| known.path).collect() }
}

/// Netlify's and Cloudflare's form. Who reads the signs from another page has to be allowed to.
const HEADERS: &str = "/*\n  Access-Control-Allow-Origin: *\n  X-Content-Type-Options: nosniff\n";

/// The sign that is published of a record. A good one is given only for what the default policy accepts, of what was asked: not for
/// what the author of a plan says.
#[must_use]
pub fn sign_of(record: &Record) -> Sign {
    let sign = Sign::of(record.verdict());
    let decision = ProjectPolicy::of(BuiltIn::Default).decide(record, Circumstances::default());
    let is_shown = decision == Decision::Accepted && !record.findings.reach.claimed_by_plan;
    if is_shown { sign } else { sign.min(Sign::Unverifiable) }
}

impl<'a> Known<'a> {
    /// A crate, from what runs found of it, the oldest first.
    fn of(found: &'a [Found]) -> Option<Self> {
        let last = found.last()?;
        // That recrate could not do its work says nothing about a crate of which more is known.
        let worked =
            |one: &&Found| one.record.verdict() != Verdict::Error && one.record.checksum == last.record.checksum;
        let current = found.iter().rev().find(worked).unwrap_or(last);
        let record = &current.record;
        let sign = sign_of(record);
        let so_far = found.iter().filter(|one| one.run.id <= current.run.id);
        let since =
            so_far.rev().take_while(|one| sign_of(&one.record) == sign && one.record.checksum == record.checksum);
        let since = since.last().map_or(current.run.finished, |one| one.run.finished);
        let origin = record.findings.origin.as_ref();
        let published = Published {
            schema: SCHEMA,
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
            checked: current.run.finished,
            since,
            recrate: current.run.recrate.clone(),
        };
        Some(Self { found: current, turns: turns(found), published, path: path(&record.key) })
    }

    fn page(&self) -> String {
        let Self { found, turns, published, path } = self;
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
                    li { a href={ (file) ".json" } { "the sign" } ", " a href={ (file) ".badge.json" } { "for shields" }
                        ", " a href={ (file) ".svg" } { "as a picture" } }
                }
            }
            (footer(&found.run.recrate, Some(day(found.run.finished))))
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

/// The files that a crate has, and that of its name.
pub fn files_of(path: &str) -> impl Iterator<Item = String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let own = ["html", "json", "badge.json", "svg"].map(|extension| format!("{path}.{extension}"));
    own.into_iter().chain([format!("{folder}/index.json")])
}

/// Where a crate's files lie, without extension.
fn path(key: &PackageKey) -> String {
    let own = format!("{}/{}", key.name, key.version);
    match &key.registry {
        RegistryName::Index(address) => {
            let hash = Sha256::of(address.as_str().as_bytes()).to_string();
            format!("@{}/{own}", hash.get(..8).unwrap_or_default())
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
