//! The configuration file, `recrate.toml`: where it is and what it says.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Failure;
use crate::edges::git::{Mirror, without_file_scheme};
use crate::stages::policy::project::{PolicyTable, ProjectPolicy, table};
use crate::stages::policy::waiver::{Rule, Waiver};
use crate::stages::renamed_repositories::Renamed;

/// Its name.
pub const FILE: &str = "recrate.toml";

/// What it says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Where repositories are fetched from instead.
    #[serde(default)]
    pub git_mirror: Vec<Mirror>,
    /// Repositories that have another address today.
    #[serde(default)]
    pub renamed_repository: Vec<Renamed>,
    /// Which cargos may be tried.
    pub toolchains: Option<Cargos>,
    /// The archive that is asked for commits that are nowhere else.
    pub software_heritage: Option<String>,
    /// What is required.
    #[serde(default, deserialize_with = "table")]
    policy: PolicyTable,
    /// What is accepted of repositories and owners.
    #[serde(default)]
    rule: Vec<Rule>,
    /// What is accepted of single crates.
    #[serde(default)]
    waiver: Vec<Waiver>,
}

/// Which cargos may be tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Cargos {
    /// Imported ones, and official archives where they can be fetched.
    #[default]
    All,
    /// Imported ones only: nothing is fetched.
    Imported,
}

impl Config {
    /// Where the file is for packages of a lock file in `folder`: where `given` says, or beside the lock file, or in the user's
    /// configuration folder; none where there is none.
    #[must_use]
    pub fn find(given: Option<&Path>, folder: &Path) -> Option<PathBuf> {
        if let Some(path) = given {
            return Some(path.to_owned());
        }
        let user = directories::ProjectDirs::from("", "", "recrate").map(|own| own.config_dir().to_owned());
        let places = std::iter::once(folder.to_owned()).chain(user).map(|place| place.join(FILE));
        places.into_iter().find(|path| path.is_file())
    }

    /// Reads it; nothing is said where there is none.
    ///
    /// # Errors
    /// Where it can't be read, with its name and the place in it.
    pub fn read(given: Option<&Path>, folder: &Path) -> Result<Self, Failure> {
        let Some(path) = Self::find(given, folder) else { return Ok(Self::default()) };
        let text = fs_err::read_to_string(&path).map_err(Failure::usage)?;
        let mut config = Self::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        // A folder of mirrors counts from the file that names it.
        let base = path.parent().unwrap_or(folder);
        for mirror in &mut config.git_mirror {
            without_file_scheme(&mirror.replacement).to_owned().clone_into(&mut mirror.replacement);
            if !mirror.replacement.contains("://") {
                let folder = std::path::absolute(base.join(&mirror.replacement)).map_err(Failure::usage)?;
                let slash = if mirror.replacement.ends_with('/') { "/" } else { "" };
                mirror.replacement = format!("{}{slash}", folder.display().to_string().trim_end_matches('/'));
            }
        }
        Ok(config)
    }

    /// Whether what counts for packages of a lock file in `folder` says the same of where repositories are as the user does: in a
    /// file of their own, or in one that they name.
    ///
    /// # Errors
    /// Where the user's own file can't be read.
    pub fn goes_by_user(&self, given: Option<&Path>) -> Result<bool, Failure> {
        if given.is_some() {
            return Ok(true);
        }
        let own = directories::ProjectDirs::from("", "", "recrate").map(|own| own.config_dir().to_owned());
        let own = own.filter(|own| own.join(FILE).is_file());
        let users = own.map_or_else(|| Ok(Self::default()), |own| Self::read(None, &own))?;
        Ok(self.sources() == users.sources())
    }

    /// The text of one.
    ///
    /// # Errors
    /// Where it says something that is not known, or not allowed, with the place.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// What it says of where repositories are.
    #[must_use]
    pub fn sources(&self) -> (&[Mirror], &[Renamed], Option<&str>) {
        (&self.git_mirror, &self.renamed_repository, self.software_heritage.as_deref())
    }

    /// What it says of policy.
    #[must_use]
    pub fn project(self) -> ProjectPolicy {
        ProjectPolicy { policy: self.policy, rule: self.rule, waiver: self.waiver }
    }
}
