//! *Page*: a verdict or a report as one HTML file that needs no other.

use std::fmt::Write as _;

use super::report::Report;
use super::verdict::{Level, Record};

const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}\
pre{background:#f6f6f6;overflow-x:auto;padding:1em}\
td{padding:.1em 1em .1em 0;vertical-align:top}\
.bad{color:#b00020}.poor{color:#8a5a00}.untold{color:#7a1fa2}.fair{color:#00696e}.good{color:#1b7a2f}";

/// The page of one crate: its part of the report, and the differences.
#[must_use]
pub fn of_crate(record: &Record, report: &Report, diff: &str) -> String {
    let level = record.verdict.level();
    let mut body = format!(
        "<h1>{} {} <span class=\"{}\">{level}</span></h1>\n<pre>{}</pre>\n",
        escape(record.name.as_str()),
        escape(&record.version.to_string()),
        class(level),
        escape(&report.to_text(None, false))
    );
    if !diff.is_empty() {
        let _ = writeln!(body, "<h2>From git to what was published</h2>\n<pre>{}</pre>", escape(diff));
    }
    page(&format!("{}@{}: {level}", record.name, record.version), &body)
}

/// The page of a report: a line for each crate, then the report as text.
#[must_use]
pub fn of_report(report: &Report) -> String {
    let mut body = "<h1>Are these crates what their commits give?</h1>\n<table>\n".to_owned();
    for record in &report.crates {
        let level = record.verdict.level();
        let _ = writeln!(
            body,
            "<tr><td>{}</td><td>{}</td><td class=\"{}\">{level}</td><td>{}</td></tr>",
            escape(record.name.as_str()),
            escape(&record.version.to_string()),
            class(level),
            escape(&record.conditions.join(", "))
        );
    }
    let _ = write!(body, "</table>\n<pre>{}</pre>\n", escape(&report.to_text(None, false)));
    page("recrate", &body)
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{}</title>\n<style>{STYLE}</style>\n{body}\
         </html>\n",
        escape(title)
    )
}

fn class(level: Level) -> &'static str {
    match level {
        Level::ChecksumMismatch | Level::HostileArchive | Level::SourceDiffers | Level::UnreachedCommit => "bad",
        Level::NotRebuilt | Level::GeneratedFilesDiffer => "poor",
        Level::Unverifiable | Level::OtherCommit | Level::Inconclusive => "untold",
        Level::ArchiveDiffers => "fair",
        Level::Reproduced => "good",
    }
}

/// What strangers wrote is text and nothing else.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::artefact::tests::id;
    use crate::stages::verdict::Verdict;

    #[test]
    fn what_a_crate_says_is_no_markup() {
        let reason = "<script>alert(\"1\")</script> & more".to_owned();
        let record = Record::new(&id(), None, Verdict::NotRebuilt { reason });
        let report = Report::new(vec![record.clone()], Vec::new(), Level::ArchiveDiffers);
        for page in [of_crate(&record, &report, "<b>"), of_report(&report)] {
            assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
            assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; more"), "{page}");
        }
    }
}
