//! `--format`: in which forms a report is written, and where to.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Failure;
use crate::edges::cache::write_whole;
use crate::edges::console::print;
use crate::stages::check::report::CheckReport;
use crate::stages::report::text::View;
use crate::stages::report::{Report, github, junit, sarif};

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: see docs/report.schema.json.
    Json,
    /// JUnit XML: a test for each package.
    Junit,
    /// SARIF 2.1.0: a result for each package that does not pass.
    Sarif,
    /// Markdown.
    Markdown,
    /// Annotations for GitHub's runner, and its summary.
    Github,
}

impl Format {
    /// All of them, by name.
    const ALL: [(&str, Self); 6] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("junit", Self::Junit),
        ("sarif", Self::Sarif),
        ("markdown", Self::Markdown),
        ("github", Self::Github),
    ];
}

/// A form, and the file that it goes to; none for standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    format: Format,
    file: Option<PathBuf>,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = text.split_once('=').map_or((text, None), |(name, file)| (name, Some(file)));
        let Some((_, format)) = Format::ALL.iter().find(|(known, _)| *known == name) else {
            let names = Format::ALL.map(|(name, _)| name).join(", ");
            return Err(format!("`{name}` is not a format [possible values: {names}]"));
        };
        if file.is_some_and(str::is_empty) {
            return Err("the file has no name".to_owned());
        }
        if file.is_some() && *format == Format::Github {
            return Err(
                "github's annotations go to standard output, and the summary where GITHUB_STEP_SUMMARY says".to_owned()
            );
        }
        Ok(Self { format: *format, file: file.map(PathBuf::from) })
    }
}

/// Writes a report in every form that was asked for; as text to standard output where none goes there. `lockfile`: its path, as
/// annotations name it.
///
/// # Errors
/// Where two go to standard output, or a file can't be written.
pub fn write(outputs: &[Output], report: &Report, view: View<'_>, lockfile: Option<&Path>) -> Result<(), Failure> {
    let lockfile = lockfile.map_or("Cargo.lock".to_owned(), in_repository);
    write_each(outputs, view.colour, |format, colour| match format {
        Format::Text => Ok(report.to_text(View { colour, ..view })),
        Format::Json => Ok(report.to_json()),
        Format::Junit => junit::suites(report).map_err(Failure::internal),
        Format::Sarif => Ok(sarif::log(report, &lockfile)),
        Format::Markdown => Ok(report.to_markdown()),
        Format::Github => Ok(github::annotations(report, &lockfile) + &report.to_text(View { colour: false, ..view })),
    })
}

/// Writes what checking came to in every form that was asked for.
///
/// # Errors
/// As [`write()`].
pub fn write_check(outputs: &[Output], report: &CheckReport, colour: bool) -> Result<(), Failure> {
    write_each(outputs, colour, |format, colour| match format {
        Format::Text => Ok(report.to_text(colour)),
        Format::Json => Ok(report.to_json()),
        Format::Junit => report.to_junit().map_err(Failure::internal),
        Format::Sarif => Ok(report.to_sarif()),
        Format::Markdown => Ok(report.to_markdown()),
        Format::Github => Ok(report.to_github() + &report.to_text(false)),
    })
}

/// Writes something in every form that was asked for; `text` makes it, in colour where that is asked for.
fn write_each(
    outputs: &[Output],
    colour: bool,
    text: impl Fn(Format, bool) -> Result<String, Failure>,
) -> Result<(), Failure> {
    for output in outputs {
        if let Some(file) = &output.file {
            let text = text(output.format, false)?;
            write_whole(file, text.as_bytes())
                .map_err(|error| Failure::internal(format!("{}: {error}", file.display())))?;
        }
    }
    let mut shown = outputs.iter().filter(|output| output.file.is_none()).map(|output| output.format);
    let format = shown.next().unwrap_or(Format::Text);
    print(&text(format, colour)?).map_err(Failure::internal)?;
    if format == Format::Github {
        append_summary(&text(Format::Markdown, false)?)?;
    }
    Ok(())
}

/// Whether at most one form goes to standard output.
///
/// # Errors
/// Where two do, or go to the same file.
pub fn check(outputs: &[Output]) -> Result<(), Failure> {
    let mut files = BTreeSet::new();
    if let Some(file) = outputs.iter().filter_map(|output| output.file.as_ref()).find(|file| !files.insert(*file)) {
        return Err(Failure::usage(format!("two formats for {}", file.display())));
    }
    let shown = outputs.iter().filter(|output| output.file.is_none()).count();
    if shown > 1 {
        return Err(Failure::usage(
            "two formats for standard output\nhelp: give a file to all but one, like --format sarif=recrate.sarif",
        ));
    }
    Ok(())
}

/// Adds to the summary of a job, where the runner has one.
fn append_summary(markdown: &str) -> Result<(), Failure> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else { return Ok(()) };
    let file = fs_err::OpenOptions::new().create(true).append(true).open(PathBuf::from(path));
    file.and_then(|mut file| file.write_all(markdown.as_bytes())).map_err(Failure::internal)
}

/// A file's path as annotations name it: from the root of the repository, which is where jobs run, or what the runner says.
pub fn in_repository(path: &Path) -> String {
    let root = std::env::var_os("GITHUB_WORKSPACE").map(PathBuf::from).or_else(|| std::env::current_dir().ok());
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let inside = root.and_then(|root| absolute.strip_prefix(root).map(Path::to_owned).ok());
    inside.unwrap_or_else(|| path.to_owned()).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_may_have_a_file() {
        let parse = |text: &str| text.parse::<Output>();
        assert_eq!(parse("text"), Ok(Output { format: Format::Text, file: None }));
        assert_eq!(parse("sarif=a=b"), Ok(Output { format: Format::Sarif, file: Some("a=b".into()) }));
        for bad in ["", "xml", "text=", "github=x", "JSON"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let two: Vec<Output> = ["json", "junit=x"].map(|text| parse(text).unwrap()).into();
        assert!(check(&two).is_ok());
        assert!(check(&[parse("json").unwrap(), parse("text").unwrap()]).is_err());
    }
}
