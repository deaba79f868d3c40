//! A verdict or a report as one HTML file that needs no other.

use std::fmt::Write as _;

use super::report::text::View;
use super::report::{Entry, Report};
use super::verdict::Verdict;

const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}\
pre{background:#f6f6f6;overflow-x:auto;padding:1em}\
td{padding:.1em 1em .1em 0;vertical-align:top}\
.bad{color:#b00020}.poor{color:#8a5a00}.unknown{color:#7a1fa2}.fair{color:#00696e}.good{color:#1b7a2f}";

/// The page of one package: its part of the report, and the differences.
#[must_use]
pub fn of_package(entry: &Entry, report: &Report, diff: &str) -> String {
    let key = &entry.record.key;
    let verdict = entry.verdict;
    let mut body = format!(
        "<h1>{} <span class=\"{}\">{verdict}</span></h1>\n<pre>{}</pre>\n",
        escape(&key.to_string()),
        class(verdict),
        escape(&report.to_text(View::PLAIN))
    );
    if !diff.is_empty() {
        let _ = writeln!(body, "<h2>From git to what was published</h2>\n<pre>{}</pre>", escape(diff));
    }
    page(&format!("{key}: {verdict}"), &body)
}

/// The page of a report: a line for each package, then the report as text.
#[must_use]
pub fn of_report(report: &Report) -> String {
    let mut body = "<h1>Are these crates what their commits give?</h1>\n<table>\n".to_owned();
    for entry in &report.packages {
        let conditions: Vec<String> = entry.record.findings.conditions.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            body,
            "<tr><td>{}</td><td class=\"{}\">{}</td><td>{}</td><td>{}</td></tr>",
            escape(&entry.record.key.to_string()),
            class(entry.verdict),
            entry.verdict,
            entry.decision.name(),
            escape(&conditions.join(", "))
        );
    }
    let _ = write!(body, "</table>\n<pre>{}</pre>\n", escape(&report.to_text(View::PLAIN)));
    page("recrate", &body)
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{}</title>\n<style>{STYLE}</style>\n{body}\
         </html>\n",
        escape(title)
    )
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::ChecksumMismatch
        | Verdict::MalformedArchive
        | Verdict::SourceDiffers
        | Verdict::UnreachableCommit
        | Verdict::ContradictedOrigin => "bad",
        Verdict::PackagingFailed | Verdict::GeneratedFilesDiffer => "poor",
        Verdict::MatchedByTagOnly
        | Verdict::Unverifiable
        | Verdict::Error
        | Verdict::ReachUnknown
        | Verdict::CompressorUnknown => "unknown",
        Verdict::SameContents => "fair",
        Verdict::Reproduced => "good",
    }
}

/// What strangers wrote is text and nothing else.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::package::{PackageKey, RegistryName};
    use crate::stages::artefact::tests::id;
    use crate::stages::claims::{Cause, Obstacle};
    use crate::stages::judge::judge_obstacle;
    use crate::stages::policy::BuiltIn;
    use crate::stages::record::Record;
    use crate::stages::report::Basis;

    #[test]
    fn what_a_crate_says_is_not_markup() {
        let cause = Cause::NotPackageable { reason: "<script>alert(\"1\")</script> & more".into() };
        let findings = judge_obstacle(&Obstacle { cause, origin: None }, false);
        let record = Record::new(PackageKey::new(RegistryName::Default, id()), None, findings);
        let report = Report::new(vec![record.clone()], Basis::of(BuiltIn::Default));
        let entry = Entry::new(record, &Basis::of(BuiltIn::Default));
        for page in [of_package(&entry, &report, "<b>"), of_report(&report)] {
            assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
            assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; more"), "{page}");
        }
    }
}
