//! `recrate site`: what runs found, as a site of static files.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use super::Failure;
use super::build_options::Places;
use super::verify::today;
use crate::edges::cache::write_whole;
use crate::edges::console::print;
use crate::model::foreign::Foreign;
use crate::stages::pages::site::{ABOUT, About, Options, Site, is_own, site};

/// Write what earlier runs found as a site of static files: an index, a page for each crate, JSON, badges and a feed of changes.
///
/// Any web server can serve the folder, from any address. docs/SIGN.md describes the files. Writing it again changes only what
/// changed, and removes what is no longer part of it. Runs of `verify --from-plan` are left out: they go by a plan's word.
#[derive(Debug, clap::Args)]
pub struct MakeSite {
    /// The folder to write it to
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Leave crates out that differ until they did for so many days: time to tell their maintainers (`recrate letter`)
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    notice_days: u32,
    /// Count runs, too, that a project's own files told where registries and repositories are: a recrate.toml beside the lock file, a
    /// .cargo/config.toml there or above; and crates of registries that lock files name
    #[arg(long)]
    project_places: bool,
    #[command(flatten)]
    places: Places,
}

impl MakeSite {
    /// Writes the site.
    ///
    /// # Errors
    /// Where the database can't be read, or the folder has something else in it or can't be written.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let folder = &self.folder;
        let before = self.before()?;
        let found = self.places.results()?.all().map_err(Failure::internal)?;
        let options = Options { by_projects: self.project_places, notice_days: self.notice_days, today: today() };
        let Site { files, held_back, crates, too_long } = site(found, options);
        if crates == 0 {
            eprintln!(
                "note: no run has found anything that can be shown\nhelp: `recrate verify` adds what it finds; runs by a project's own \
                 configuration of registries and repositories count with --project-places"
            );
        }
        for name in files.keys().filter(|name| *name != ABOUT && !before.contains(*name)) {
            let file = self.place(name)?;
            if file.exists() && !fs_err::read(&file).is_ok_and(|there| there == files[name].as_bytes()) {
                return Err(Failure::usage(format!(
                    "{} is no file of the site\nhelp: give another folder",
                    file.display()
                )));
            }
        }
        for name in before.iter().filter(|name| !files.contains_key(*name)) {
            let file = self.place(name)?;
            if file.exists() {
                fs_err::remove_file(file).map_err(Failure::internal)?;
            }
        }
        // First what says which files are the site's: should this be cut off, the next one goes on.
        let mut written = usize::from(self.write(ABOUT, &files[ABOUT])?);
        for (name, text) in files.iter().filter(|(name, _)| *name != ABOUT) {
            written += usize::from(self.write(name, text)?);
        }
        let count = |count: usize| if count == 1 { "1 crate".to_owned() } else { format!("{count} crates") };
        let mut text = format!(
            "{}: {}, {written} of {} files are new\n",
            folder.join("index.html").display(),
            count(crates),
            files.len()
        );
        if held_back > 0 {
            text +=
                &format!("left out until {} days have gone by: {} that differ\n", self.notice_days, count(held_back));
        }
        if too_long > 0 {
            text += &format!("left out because the version is too long: {}\n", count(too_long));
        }
        print(&text).map_err(Failure::internal)?;
        Ok(ExitCode::SUCCESS)
    }

    /// The files that the folder has of a site that was written before.
    fn before(&self) -> Result<Vec<String>, Failure> {
        let folder = &self.folder;
        let about = fs_err::read(folder.join(ABOUT)).ok().and_then(|text| serde_json::from_slice::<About>(&text).ok());
        let own = |name: &OsStr| name.to_string_lossy().starts_with('.') || name == "CNAME";
        let has_others =
            || fs_err::read_dir(folder).is_ok_and(|mut all| all.any(|one| one.is_ok_and(|one| !own(&one.file_name()))));
        match about {
            Some(about) => Ok(about.files.into_iter().filter(|name| is_own(name)).collect()),
            None if has_others() => Err(Failure::usage(format!(
                "{} has files that are no site of recrate's\nhelp: give an empty folder, or one that `recrate site` has written",
                folder.display()
            ))),
            None => Ok(Vec::new()),
        }
    }

    /// Where a file of the site is: within the folder, whatever its name is and whatever links lie there.
    fn place(&self, name: &str) -> Result<PathBuf, Failure> {
        let mut place = self.folder.clone();
        for part in Path::new(name).components() {
            let Component::Normal(part) = part else {
                return Err(Failure::usage(format!("`{}` is no path within a site", Foreign::from(name))));
            };
            if place.is_symlink() && place != self.folder {
                return Err(Failure::usage(format!("{} is a link: remove it", place.display())));
            }
            place.push(part);
        }
        Ok(place)
    }

    /// Writes a file where it is not there already.
    fn write(&self, name: &str, text: &str) -> Result<bool, Failure> {
        let file = self.place(name)?;
        if fs_err::read(&file).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(false);
        }
        write_whole(&file, text.as_bytes()).map_err(Failure::internal)?;
        Ok(true)
    }
}
