//! Options that several commands share, and the [`Context`] that they make.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix_archive::nar::{CaseHack, hash_path};

use super::Failure;
use super::config::{Cargos, Config};
use crate::edges::cache::Cache;
use crate::edges::cargo_config::{CargoConfig, steering};
use crate::edges::git::{Git, Mirror};
use crate::edges::network::{Network, PATIENCE};
use crate::edges::nix::Nix;
use crate::edges::parallel::Permits;
use crate::edges::results::Results;
use crate::edges::software_heritage::{ADDRESS, SoftwareHeritage};
use crate::edges::toolchains::Toolchains;
use crate::model::digest::{Sha256, Sri};
use crate::pipeline::context::{Context, Program, Programs};
use crate::pipeline::repositories::Repositories;
use crate::stages::derivation::names;
use crate::stages::history::Word;
use crate::stages::plan::ProgramPin;
use crate::stages::policy::project::ProjectPolicy;
use crate::stages::renamed_repositories::{Renamed, with_known};
use crate::stages::toolchain::{CATALOGUE, Search, Toolchain};

/// How many requests are under way at once.
const WORKERS: usize = 16;

/// Where recrate keeps things.
#[derive(Debug, Clone, clap::Args)]
pub struct Places {
    /// Folder for what can be fetched again: crates, index files, commits
    #[arg(long, value_name = "DIR", env = "RECRATE_CACHE", hide_env_values = true, global = true)]
    cache: Option<PathBuf>,
    /// Folder for what was set up: imported toolchains
    #[arg(long, value_name = "DIR", env = "RECRATE_DATA", hide_env_values = true, global = true)]
    data: Option<PathBuf>,
    /// The results database: what every run found [default: results.sqlite in the folder of --data]
    #[arg(long, value_name = "FILE", env = "RECRATE_RESULTS", hide_env_values = true, global = true)]
    results: Option<PathBuf>,
}

impl Places {
    /// The cache.
    ///
    /// # Errors
    /// Where no folder is given and the user has no home.
    pub fn cache(&self) -> Result<Cache, Failure> {
        let own = || Ok(base()?.cache_dir().to_owned());
        self.cache.clone().map_or_else(own, Ok).map(Cache::at)
    }

    /// The toolchains.
    ///
    /// # Errors
    /// Where no folder is given and the user has no home.
    pub fn toolchains(&self) -> Result<Toolchains, Failure> {
        Ok(Toolchains::at(self.data()?.join("toolchains")))
    }

    /// The options by which another run of recrate keeps things in the same places.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let given = [("--cache", &self.cache), ("--data", &self.data)];
        let absolute =
            |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string();
        given
            .into_iter()
            .filter_map(|(name, path)| Some([name.to_owned(), absolute(path.as_ref()?)]))
            .flatten()
            .collect()
    }

    /// What earlier runs found.
    ///
    /// # Errors
    /// Where the database can't be made or read.
    pub fn results(&self) -> Result<Results, Failure> {
        let path = self.results.clone().map_or_else(|| Ok(self.data()?.join("results.sqlite")), Ok)?;
        Results::open(&path).map_err(Failure::internal)
    }

    fn data(&self) -> Result<PathBuf, Failure> {
        let own = || Ok(base()?.data_dir().to_owned());
        self.data.clone().map_or_else(own, Ok)
    }

    /// The cache with results of earlier runs, sealed with a key that lies with what was set up; `fresh`: none of them counts.
    ///
    /// # Errors
    /// Where no folder is given and the user has no home.
    pub fn cache_with_results(&self, fresh: bool) -> Result<Cache, Failure> {
        let cache = self.cache()?;
        let cache = cache.clone().hold().unwrap_or_else(|error| {
            tracing::debug!("the cache can't be held: {error}");
            cache
        });
        // Without a key everything is computed each time, and nothing is worse than that.
        Ok(cache.clone().with_results(&self.data()?.join("results.key"), !fresh).unwrap_or_else(|error| {
            tracing::warn!("results can't be kept: {error}; RECRATE_DATA puts what they are sealed with elsewhere");
            cache
        }))
    }
}

fn base() -> Result<directories::ProjectDirs, Failure> {
    directories::ProjectDirs::from("", "", "recrate")
        .ok_or_else(|| Failure::usage("no home folder found: give --cache and --data"))
}

/// Options of every command that rebuilds.
#[derive(Debug, Clone, clap::Args)]
pub struct BuildOptions {
    #[command(flatten)]
    places: Places,
    /// Fetch repositories from elsewhere: in addresses that begin with PREFIX, it is replaced by REPLACEMENT, an https, ssh
    /// or file address or a folder. The first rule that fits counts
    #[arg(long = "git-mirror", value_name = "PREFIX=REPLACEMENT")]
    mirrors: Vec<Mirror>,
    /// Ask Software Heritage for commits that their repositories do not have; or another archive with its API
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = ADDRESS)]
    software_heritage: Option<String>,
    /// Use what is cached and in the store; fetch nothing
    #[arg(long)]
    offline: bool,
    /// How long a server may take for one answer, all tries together: a file, or what a repository is asked for
    #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE.as_secs())]
    network_timeout: u64,
    /// How long one build may take
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    build_timeout: u64,
    /// Look at everything again: let no result of an earlier run count. What was fetched and built is used all the same
    #[arg(long)]
    fresh: bool,
    /// Which cargos may be tried [default: all, unless the configuration file says otherwise]
    #[arg(long, value_name = "WHICH")]
    toolchains: Option<Cargos>,
    /// Try every cargo that is not certain to be the wrong one, without a limit on attempts
    #[arg(long)]
    thorough: bool,
    /// Configuration file [default: recrate.toml beside the lock file, or in the user's configuration folder]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Machines that Nix sends builds to, as its own --builders takes them, like `ssh-ng://host x86_64-linux`
    #[arg(long, value_name = "MACHINES")]
    builders: Option<String>,
    /// How many builds Nix does at once on this machine; with 0 all go to --builders [default: what Nix is set up with]
    #[arg(long, short = 'j', value_name = "N")]
    max_jobs: Option<u32>,
    /// The Nix store that builds, like `ssh-ng://host` or `local?root=/some/folder` [default: this machine's]
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// The Nix store that derivations are made in, with --store [default: the one that builds]
    #[arg(long, value_name = "STORE", requires = "store")]
    eval_store: Option<String>,
    /// A further option for the Nix commands that build, like --nix-option=--cores --nix-option=2
    #[arg(long = "nix-option", value_name = "OPTION", allow_hyphen_values = true)]
    nix_options: Vec<String>,
    /// Take builds that a binary cache has from there instead of building them: as trustworthy as the cache's signing keys
    #[arg(long)]
    substitute: bool,
}

impl BuildOptions {
    /// Sets everything up for the packages of a lock file in `folder`.
    ///
    /// # Errors
    /// Where something that is needed is not there, with what to do about it.
    pub fn context(&self, folder: &Path) -> Result<Context, Failure> {
        let network = Network::acquire(self.offline, Duration::from_secs(self.network_timeout));
        let config = Config::read(self.config.as_deref(), folder)?;
        let cargo_config = cargo_config(folder)?;
        let by_user = config.goes_by_user(self.config.as_deref())? && is_users(&cargo_config, folder)?;
        let mut mirrors = self.mirrors.clone();
        mirrors.extend(config.git_mirror);
        let mut build_options = Vec::new();
        build_options.extend(self.builders.iter().flat_map(|machines| ["--builders".to_owned(), machines.clone()]));
        build_options.extend(self.max_jobs.iter().flat_map(|jobs| ["--max-jobs".to_owned(), jobs.to_string()]));
        build_options.extend(["--timeout".to_owned(), self.build_timeout.to_string()]);
        build_options.extend(self.nix_options.iter().cloned());
        let nix = Nix {
            build_options,
            substitute: self.substitute,
            store: self.store.clone(),
            eval_store: self.eval_store.clone(),
        };
        if !nix.is_there() {
            return Err(Failure::internal(
                "nix-store not found in PATH\nhelp: install Nix (https://nixos.org/download, or `apt-get install nix-bin`), \
                 then run `recrate doctor`",
            ));
        }
        let cache = self.places.cache_with_results(self.fresh)?;
        let toolchains = self.places.toolchains()?;
        let system = format!("{}-linux", std::env::consts::ARCH);
        let cargos = self.toolchains.or(config.toolchains).unwrap_or_default();
        let mut notices = Vec::new();
        let available = available(cargos, &toolchains, network.as_ref(), &system, &mut notices)?;
        let address = self.software_heritage.clone().or(config.software_heritage);
        let archive = address
            .zip(network.clone())
            .map(|(address, network)| SoftwareHeritage { address: address.trim_end_matches('/').to_owned(), network });
        Ok(Context {
            git: Git { cache: cache.clone(), mirrors, archive, network: network.clone(), asked_since: None },
            cache,
            cargo_config,
            word: if by_user { Word::User } else { Word::Project },
            renamed: with_known(config.renamed_repository),
            network,
            nix,
            toolchains,
            candidates: Vec::new(),
            asked_since: None,
            available,
            notices,
            search: if self.thorough { Search::Thorough } else { Search::Likely },
            programs: Programs {
                builder: program(names::BUILDER)?,
                fetcher: program(names::FETCHER)?,
                judge: program(names::JUDGE)?,
            },
            system,
            repositories: Repositories::default(),
            workers: WORKERS,
            permits: Permits::default(),
        })
    }

    /// Git mirrors and renamed repositories that the user names: by options, or in their own configuration file. A project's file counts
    /// where the user gives it.
    ///
    /// # Errors
    /// Where a file can't be read.
    pub fn users_mirrors(&self) -> Result<(Vec<Mirror>, Vec<Renamed>), Failure> {
        let nowhere = Path::new("/nonexistent");
        let config = Config::read(self.config.as_deref(), nowhere)?;
        let mirrors = self.mirrors.iter().cloned().chain(config.git_mirror).collect();
        Ok((mirrors, with_known(config.renamed_repository)))
    }

    /// Where recrate keeps things.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// What the configuration file requires and accepts, for packages of a lock file in `folder`.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn project(&self, folder: &Path) -> Result<ProjectPolicy, Failure> {
        Ok(Config::read(self.config.as_deref(), folder)?.project())
    }

    /// What earlier runs found.
    ///
    /// # Errors
    /// Where the database can't be made or read.
    pub fn results(&self) -> Result<Results, Failure> {
        self.places.results()
    }

    /// The configuration file, where one was named.
    #[must_use]
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

/// Imported cargos, and official ones where they are asked for and their server can be reached. That it can't be is
/// noted: it changes what is tried.
fn available(
    cargos: Cargos,
    toolchains: &Toolchains,
    network: Option<&Network>,
    system: &str,
    notices: &mut Vec<String>,
) -> Result<Vec<Toolchain>, Failure> {
    let mut available = toolchains.imported().map_err(Failure::internal)?;
    if cargos == Cargos::All
        && let (Some(network), Some(newest)) = (network, CATALOGUE.last())
    {
        let url = newest.url(system);
        if network.reaches(&url) {
            let (_, runtime) = toolchains.runtime().map_err(Failure::internal)?;
            available.extend(Toolchains::official(system, runtime));
        } else {
            let host = url.split('/').nth(2).unwrap_or_default();
            notices.push(format!(
                "official cargos could not be fetched from {host}: only the {} imported ones were tried \
                 (--toolchains imported does not ask)",
                available.len()
            ));
        }
    }
    Ok(available)
}

/// cargo's configuration as it counts in a folder.
///
/// # Errors
/// Where a file of it can't be read.
pub fn cargo_config(folder: &Path) -> Result<CargoConfig, Failure> {
    CargoConfig::read(folder, cargo_home().as_deref()).map_err(Failure::usage)
}

/// cargo's own folder.
#[must_use]
pub fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// The user's own configuration of cargo, for what is published from a folder: that of cargo's home, and variables. Nothing of the
/// project's may say where uploads go.
///
/// # Errors
/// Where something of it does, or cargo's home is one of the project's folders.
pub fn users_config(folder: &Path) -> Result<CargoConfig, Failure> {
    let home = cargo_home();
    if let Some(what) = steering(folder, home.as_deref()) {
        return Err(Failure::usage(format!(
            "this project's cargo configuration has {what}: where uploads go, and who gives tokens, is for your own to say\nhelp: move it \
             to config.toml in cargo's home, or to variables"
        )));
    }
    let users = cargo_config(Path::new("/"))?;
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = real(folder);
    let project = folder.ancestors().find(|above| above.join(".git").exists()).unwrap_or(&folder);
    if users != CargoConfig::default() && home.is_some_and(|home| real(&home).starts_with(project)) {
        return Err(Failure::usage(
            "cargo's home lies in this project, and has a configuration: it is not your own\nhelp: put CARGO_HOME elsewhere, or use \
             variables like CARGO_REGISTRIES_NAME_INDEX",
        ));
    }
    Ok(users)
}

/// Whether cargo's configuration in a folder is the user's own: that of cargo's home, where this is none of the project's folders.
fn is_users(config: &CargoConfig, folder: &Path) -> Result<bool, Failure> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = real(folder);
    let project = folder.ancestors().find(|above| above.join(".git").exists()).unwrap_or(&folder);
    let is_projects = cargo_home().is_some_and(|home| real(&home).starts_with(project));
    let says_something = *config != CargoConfig::default();
    Ok(!(says_something && is_projects) && *config == cargo_config(Path::new("/"))?)
}

/// One of recrate's static programs, with its hash.
fn program(name: &str) -> Result<Program, Failure> {
    let file = find_program(name).ok_or_else(|| {
        Failure::internal(format!(
            "the static {} is missing\nhelp: from recrate's sources, `{}` builds it; {} can name its file",
            name.trim_start_matches("recrate-"),
            how_to_build(name),
            variable(name)
        ))
    })?;
    let nar = hash_path(&file, CaseHack::native())
        .map_err(|error| Failure::internal(format!("{}: {error}", file.display())))?;
    Ok(Program { file, pin: ProgramPin { nar_hash: Sri(Sha256(nar.sha256)) } })
}

/// The variable that names a program's file: `RECRATE_BUILDER`, `RECRATE_FETCHER`, `RECRATE_JUDGE`.
fn variable(name: &str) -> String {
    name.replace('-', "_").to_ascii_uppercase()
}

/// The command that builds one of recrate's static programs, in the folder of its sources.
#[must_use]
pub fn how_to_build(name: &str) -> &'static str {
    if name == names::BUILDER { "cargo build-builder" } else { "cargo build --release" }
}

/// A static program's file: where its variable says, or beside this program.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable(name)) {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    let me = std::env::current_exe().ok()?.canonicalize().ok()?;
    Some(me.parent()?.join(name)).filter(|path| path.is_file())
}
