//! The feed of changes, as Atom (RFC 4287).

use std::io;

use jiff::Timestamp;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{Known, because};
use crate::model::digest::Sha256;
use crate::stages::history::{Change, Found};
use crate::stages::report::text::title;

/// How many changes the feed has.
const ENTRIES: usize = 200;

/// A change of a crate.
struct Entry<'a> {
    known: &'a Known<'a>,
    turn: &'a Change<'a>,
    before: &'a Found,
    after: &'a Found,
}

/// The feed: what got another verdict, the newest first. That a crate was looked at for the first time is no change.
pub fn feed(shown: &[Known<'_>], updated: Option<Timestamp>) -> String {
    let turns = shown.iter().flat_map(|known| known.turns.iter().map(move |turn| (known, turn)));
    let changes =
        turns.filter_map(|(known, turn)| Some(Entry { known, turn, before: turn.before?, after: turn.after? }));
    let mut entries: Vec<Entry<'_>> = changes.collect();
    entries.retain(|entry| {
        let (before, after) = (&entry.before.record, &entry.after.record);
        before.verdict() != after.verdict() || before.checksum != after.checksum
    });
    entries.sort_by(|a, b| {
        let order = |entry: &Entry<'_>| (std::cmp::Reverse(entry.after.run.id), entry.after.record.key.clone());
        order(a).cmp(&order(b))
    });
    entries.truncate(ENTRIES);
    // Written into memory: that can't fail.
    write(&entries, updated).unwrap_or_default()
}

fn write(entries: &[Entry<'_>], updated: Option<Timestamp>) -> io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let feed = writer.create_element("feed").with_attribute(("xmlns", "http://www.w3.org/2005/Atom"));
    feed.write_inner_content(|writer| {
        text(writer, "title", "Are these crates what their commits give?")?;
        text(writer, "id", &urn("feed"))?;
        text(writer, "updated", &updated.unwrap_or_default().to_string())?;
        writer.create_element("author").write_inner_content(|writer| text(writer, "name", "recrate"))?;
        entries.iter().try_for_each(|entry| {
            writer.create_element("entry").write_inner_content(|writer| write_entry(writer, entry)).map(drop)
        })
    })?;
    String::from_utf8(writer.into_inner()).map_err(io::Error::other)
}

fn write_entry(writer: &mut Writer<Vec<u8>>, Entry { known, turn, before, after }: &Entry<'_>) -> io::Result<()> {
    let key = &after.record.key;
    let (from, to) = (before.record.verdict(), after.record.verdict());
    text(writer, "title", &format!("{}: {to}, {from} before", title(key)))?;
    text(writer, "id", &urn(&format!("{} {} {} {from} {to}", key, after.run.finished, after.run.plan)))?;
    text(writer, "updated", &after.run.finished.to_string())?;
    let page = format!("{}.html", known.path);
    writer.create_element("link").with_attribute(("href", page.as_str())).write_empty()?;
    text(writer, "summary", &format!("{}. Why: {}.", to.meaning().trim_end_matches('.'), because(turn)))
}

fn text(writer: &mut Writer<Vec<u8>>, element: &str, text: &str) -> io::Result<()> {
    writer.create_element(element).write_text_content(BytesText::new(text)).map(drop)
}

/// A name for something, which stays the same wherever the site lies.
fn urn(of: &str) -> String {
    let hash = Sha256::of(format!("recrate {of}").as_bytes()).to_string();
    // A UUID of version 8: its bits are ours to choose.
    let part = |from: usize, to: usize| hash.get(from..to).unwrap_or_default().to_owned();
    format!("urn:uuid:{}-{}-8{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}
