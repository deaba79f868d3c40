//! The report as JUnit XML, for CI systems that show tests: a test for each package.
//!
//! The dialect is that of Jenkins' xUnit plugin, `junit-10.xsd`; GitLab and others read it.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::brief::{Brief, Level, repeat};
use super::text::title;
use super::{Entry, Report};
use crate::stages::decision::Decision;

/// A test.
#[derive(Debug, Clone)]
pub struct Case {
    /// What was tested.
    pub name: String,
    /// What it is besides passed; none where it is.
    pub other: Option<Other>,
}

/// A test that did not simply pass.
#[derive(Debug, Clone)]
pub struct Other {
    /// `failure`, `error` or `skipped`.
    pub element: &'static str,
    /// One word for why.
    pub kind: String,
    /// Why, in a line.
    pub message: String,
    /// The rest.
    pub text: String,
}

/// The XML.
///
/// # Errors
/// Where it can't be written.
pub fn suites(report: &Report) -> io::Result<String> {
    let briefs = report.briefs();
    let mut cases: Vec<Case> = report.packages.iter().map(|entry| of_entry(entry, &briefs)).collect();
    cases.extend(briefs.iter().filter(|brief| brief.entry.is_none() && brief.level == Level::Error).map(|brief| {
        let (text, kind) = (text_of(brief), "unsupported".to_owned());
        let other = Other { element: "error", kind, message: brief.title.to_string(), text };
        Case { name: brief.title.to_string(), other: Some(other) }
    }));
    // Waivers and rules that need attention are no tests.
    let notes = briefs.iter().filter(|brief| brief.entry.is_none() && !brief.is_unsupported);
    let notes: Vec<String> = notes.map(|brief| format!("{}: {}", brief.title, text_of(brief))).collect();
    document("Cargo.lock", &cases, &notes)
}

/// Tests of one class as a document, with notes that are no tests.
///
/// # Errors
/// Where it can't be written.
pub fn document(class: &str, cases: &[Case], notes: &[String]) -> io::Result<String> {
    let count = |element: &str| {
        let such = cases.iter().filter(|case| case.other.as_ref().is_some_and(|other| other.element == element));
        such.count().to_string()
    };
    let (tests, failures, errors) = (cases.len().to_string(), count("failure"), count("error"));
    let counts = [("name", "recrate"), ("tests", &tests), ("failures", &failures), ("errors", &errors)];
    let skipped = count("skipped");
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer.create_element("testsuites").with_attributes(counts).write_inner_content(|writer| {
        let suite = writer.create_element("testsuite").with_attributes(counts);
        suite.with_attribute(("skipped", skipped.as_str())).write_inner_content(|writer| {
            cases.iter().try_for_each(|case| write_case(writer, class, case))?;
            if notes.is_empty() {
                return Ok(());
            }
            writer.create_element("system-out").write_text_content(BytesText::new(&notes.join("\n"))).map(drop)
        })?;
        Ok(())
    })?;
    String::from_utf8(writer.into_inner()).map_err(io::Error::other)
}

fn write_case(writer: &mut Writer<Vec<u8>>, class: &str, Case { name, other }: &Case) -> io::Result<()> {
    let case = writer.create_element("testcase").with_attributes([("classname", class), ("name", name)]);
    let Some(Other { element, kind, message, text }) = other else { return case.write_empty().map(drop) };
    case.write_inner_content(|writer| {
        let other = writer.create_element(*element);
        let other = other.with_attributes([("type", kind.as_str()), ("message", message)]);
        other.write_text_content(BytesText::new(text)).map(drop)
    })?;
    Ok(())
}

fn of_entry(entry: &Entry, briefs: &[Brief<'_>]) -> Case {
    let element = match &entry.decision {
        Decision::Accepted => None,
        Decision::Rejected { .. } => Some("failure"),
        Decision::Undetermined { .. } => Some("error"),
        Decision::Warned { .. } | Decision::Waived { .. } => Some("skipped"),
    };
    let message = match &entry.decision {
        Decision::Waived { by, .. } => {
            let by: Vec<String> = by.iter().map(ToString::to_string).collect();
            format!("{}: waived: {}", entry.verdict, by.join("; "))
        }
        _ => format!("{}: {}", entry.verdict, entry.decision.reasons().join("; ")),
    };
    let brief = briefs.iter().find(|brief| brief.entry.is_some_and(|one| std::ptr::eq(one, entry)));
    let other = element.map(|element| Other {
        element,
        kind: entry.complaint(),
        message,
        text: brief.map_or_else(|| format!("repeat: {}", repeat(entry)), text_of),
    });
    Case { name: title(&entry.record.key), other }
}

fn text_of(brief: &Brief<'_>) -> String {
    brief.lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
