//! The report as JUnit XML, for CI systems that show tests: a test for each package.
//!
//! The dialect is that of Jenkins' xUnit plugin, `junit-10.xsd`; GitLab and others read it.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::Report;
use super::brief::{Brief, repeat};
use super::text::title;
use crate::stages::decision::Decision;

/// The XML.
///
/// # Errors
/// Where the library can't write it.
pub fn suites(report: &Report) -> Result<String, String> {
    let mut suite = TestSuite::new("recrate");
    let briefs = report.briefs();
    for entry in &report.packages {
        let text = |brief: &Brief<'_>| brief.lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let brief = briefs.iter().find(|brief| brief.entry.is_some_and(|one| std::ptr::eq(one, entry)));
        let reasons = entry.decision.reasons().join("; ");
        let mut status = match &entry.decision {
            Decision::Accepted => TestCaseStatus::success(),
            Decision::Rejected { .. } => TestCaseStatus::non_success(NonSuccessKind::Failure),
            Decision::Undetermined { .. } => TestCaseStatus::non_success(NonSuccessKind::Error),
            Decision::Warned { .. } | Decision::Waived { .. } => TestCaseStatus::skipped(),
        };
        let message = match &entry.decision {
            Decision::Waived { by, .. } => {
                let by: Vec<String> = by.iter().map(ToString::to_string).collect();
                format!("{}: waived: {}", entry.verdict, by.join("; "))
            }
            _ => format!("{}: {reasons}", entry.verdict),
        };
        status.set_message(XmlString::new(message)).set_type(entry.verdict.to_string());
        if let Some(brief) = brief {
            status.set_description(XmlString::new(text(brief)));
        }
        let mut case = TestCase::new(title(&entry.record.key), status);
        case.set_classname("Cargo.lock");
        if !entry.decision.passes() {
            case.set_system_out(XmlString::new(format!("repeat: {}", repeat(entry))));
        }
        suite.add_test_case(case);
    }
    for brief in briefs.iter().filter(|brief| brief.entry.is_none() && brief.level == super::brief::Level::Error) {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        let lines: Vec<String> = brief.lines.iter().map(ToString::to_string).collect();
        status.set_message(XmlString::new(lines.join("; "))).set_type("unsupported");
        let mut case = TestCase::new(brief.title.to_string(), status);
        case.set_classname("Cargo.lock");
        suite.add_test_case(case);
    }
    let mut junit = quick_junit::Report::new("recrate");
    junit.add_test_suite(suite);
    junit.to_string().map_err(|error| error.to_string())
}
