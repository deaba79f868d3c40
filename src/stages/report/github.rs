//! The report as commands to GitHub's runner: annotations at the packages' lines of the lock file. Forgejo's and Gitea's runners
//! read the same.

use std::fmt::Write as _;

use super::Report;
use super::brief::{Brief, Level};

/// How many annotations of each level a step can have: GitHub shows no more.
const LIMIT: usize = 10;

/// Something to show beside a file.
#[derive(Debug, Clone)]
pub struct Annotation {
    /// How loud it is.
    pub level: Level,
    /// What it is, in one line.
    pub title: String,
    /// The rest.
    pub text: String,
    /// The file, as the repository has it, and a line of it.
    pub place: Option<(String, Option<usize>)>,
}

/// The annotations; `lockfile`: its path in the repository.
#[must_use]
pub fn annotations(report: &Report, lockfile: &str) -> String {
    let of_brief = |brief: &Brief<'_>| {
        let lines: Vec<String> = brief.lines.iter().map(ToString::to_string).collect();
        Annotation {
            level: brief.level,
            title: brief.title.to_string(),
            text: lines.join("\n"),
            place: brief.entry.map(|entry| (lockfile.to_owned(), entry.line)),
        }
    };
    commands(&report.briefs().iter().map(of_brief).collect::<Vec<_>>())
}

/// Annotations as commands, no more of them than are shown.
#[must_use]
pub fn commands(annotations: &[Annotation]) -> String {
    let mut out = String::new();
    for (level, command) in [(Level::Error, "error"), (Level::Warning, "warning")] {
        let of_level: Vec<&Annotation> = annotations.iter().filter(|one| one.level == level).collect();
        // One annotation can say that there are more.
        let shown = if of_level.len() > LIMIT { LIMIT - 1 } else { of_level.len() };
        for Annotation { title, text, place, .. } in &of_level[..shown] {
            let place = place.as_ref().map_or_else(String::new, |(file, line)| {
                let line = line.map_or_else(String::new, |line| format!(",line={line}"));
                format!("file={}{line},", property(file))
            });
            let _ = writeln!(out, "::{command} {place}title={}::{}", property(title), message(text));
        }
        if shown < of_level.len() {
            let more = of_level.len() - shown;
            let _ = writeln!(out, "::{command} title=recrate::{more} more: the summary of this job has them all");
        }
    }
    out
}

/// Text as a command's message: <https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts>.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Text as a command's property.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::package::{PackageKey, RegistryName};
    use crate::stages::claims::{Cause, Missing, Obstacle};
    use crate::stages::judge::judge_obstacle;
    use crate::stages::policy::BuiltIn;
    use crate::stages::record::Record;
    use crate::stages::report::{Basis, sarif};

    fn report(packages: usize) -> Report {
        let record = |at: usize| {
            let reason = format!("100% | <b> `{}` ##[error]\n::error::x", "long ".repeat(200));
            let cause = Cause::Impossible { missing: Missing::VcsInfo, reason: reason.into() };
            let key = PackageKey::new(RegistryName::Default, format!("a{at}@1.0.0").parse().unwrap());
            Record::new(key, None, judge_obstacle(&Obstacle { cause, origin: None }, false))
        };
        Report::new((0..packages).map(record).collect(), Basis::of(BuiltIn::Default))
    }

    #[test]
    fn no_more_annotations_than_are_shown() {
        let lines = |packages| annotations(&report(packages), "a,b:c").lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(LIMIT).len(), LIMIT);
        let many = lines(LIMIT + 5);
        assert_eq!(many.len(), LIMIT);
        assert!(many[LIMIT - 1].contains("6 more"), "{}", many[LIMIT - 1]);
        assert!(
            many[0].starts_with("::error file=a%2Cb%3Ac,title=a0 1.0.0%3A unverifiable::missing: 100%25 |"),
            "{}",
            many[0]
        );
        assert!(many.iter().all(|line| line.starts_with("::error ") && !line[2..].contains("\n::error")));
    }

    #[test]
    fn what_hosts_do_not_take_is_not_written() {
        let report = report(6_000);
        let log: serde_json::Value = serde_json::from_str(&sarif::log(&report, "Cargo.lock")).unwrap();
        assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), 5_000);
        let markdown = report.to_markdown();
        assert!(markdown.len() < 1 << 20 && markdown.contains("more | | |"), "{}", markdown.len());
    }
}
