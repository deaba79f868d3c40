//! `recrate site`: what runs found, as a site of static files.

use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use super::Failure;
use super::build_options::Places;
use super::verify::today;
use crate::edges::cache::write_whole;
use crate::edges::console::print;
use crate::stages::pages::site::{Site, files_of, site};

/// Write what earlier runs found as a site of static files: an index, a page for each crate, JSON, badges and a feed of changes.
///
/// Any web server can serve the folder, from any address. docs/SIGN.md describes the files. Writing it again changes only what
/// changed.
#[derive(Debug, clap::Args)]
pub struct MakeSite {
    /// The folder to write it to
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Leave crates out that differ until they did for so many days: time to tell their maintainers (`recrate letter`)
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    notice_days: u32,
    #[command(flatten)]
    places: Places,
}

/// The user script, which shows the signs of a site.
const USER_SCRIPT: &str = include_str!("../../extras/recrate-sign.user.js");

impl MakeSite {
    /// Writes the site.
    ///
    /// # Errors
    /// Where the database can't be read, or the folder is something else or can't be written.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let folder = &self.folder;
        if folder.join("index.html").exists() && !folder.join("site.json").exists() {
            return Err(Failure::usage(format!(
                "{} has an index.html, and is no site of recrate's\nhelp: give another folder",
                folder.display()
            )));
        }
        let found = self.places.results()?.all().map_err(Failure::internal)?;
        if found.is_empty() {
            return Err(Failure::usage("no run has found anything yet\nhelp: `recrate verify` adds what it finds"));
        }
        let Site { mut files, held_back, crates } = site(&found, self.notice_days, today());
        files.insert("recrate-sign.user.js".to_owned(), USER_SCRIPT.to_owned());
        let mut written = 0;
        for (name, text) in &files {
            written += usize::from(self.write(name, text)?);
        }
        for name in held_back.iter().flat_map(|path| files_of(path)).filter(|name| !files.contains_key(name)) {
            let file = folder.join(name);
            if file.exists() {
                fs_err::remove_file(file).map_err(Failure::internal)?;
            }
        }
        let left_out = match held_back.len() {
            0 => String::new(),
            count => format!("; {count} that differ are left out until {} days have gone by", self.notice_days),
        };
        let crates = if crates == 1 { "1 crate".to_owned() } else { format!("{crates} crates") };
        print(&format!(
            "{}: {crates}, {written} of {} files are new{left_out}\n",
            folder.join("index.html").display(),
            files.len()
        ))
        .map_err(Failure::internal)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Writes a file where it is not there already.
    fn write(&self, name: &str, text: &str) -> Result<bool, Failure> {
        // Names and versions are safe in paths; should that ever change, nothing is written elsewhere.
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Failure::internal(format!("`{name}` is no path within a site")));
        }
        let file = self.folder.join(name);
        if fs_err::read(&file).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(false);
        }
        write_whole(&file, text.as_bytes()).map_err(Failure::internal)?;
        Ok(true)
    }
}
