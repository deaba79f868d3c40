//! `recrate upload`: a crate's file, sent to its registry as it is.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cargo_credential::{Action, Operation, RegistryInfo};

use super::Failure;
use super::build_options::users_config;
use super::credential::{Credential, api_of};
use crate::edges::console::print;
use crate::edges::network::Network;
use crate::edges::registry_api::upload;
use crate::edges::tokens::DEFAULT;
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;
use crate::model::package::{PackageKey, RegistryName};
use crate::stages::approval::Upload as Wanted;
use crate::stages::artefact::Archive;
use crate::stages::new_crate::describe;

/// Upload a crate's file to a registry, without cargo.
///
/// Sends exactly these bytes, with what cargo would say of them: all of it is read from the crate's own manifest. A file that the sandbox
/// did not make of a commit that passed `recrate check` is refused, unless --any is given.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    the registry has taken it
  1    it is refused
  2    usage error or unreadable input
  70   recrate, the machine or the registry is at fault

Example:
  recrate check && recrate package && recrate upload target/package/NAME-VERSION.crate")]
pub struct Upload {
    /// The crate, named NAME-VERSION.crate
    #[arg(value_name = "FILE.crate")]
    file: PathBuf,
    /// The registry, by its name in cargo's configuration [default: the default one]
    #[arg(long, value_name = "NAME")]
    registry: Option<String>,
    /// Upload whatever the file is: nobody has built it again
    #[arg(long)]
    any: bool,
    #[command(flatten)]
    credential: Credential,
}

impl Upload {
    /// Uploads.
    ///
    /// # Errors
    /// Where the file is no crate, or the registry does not take it.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let named = |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", self.file.display()));
        let bytes = fs_err::read(&self.file).map_err(Failure::usage)?;
        let id = self.id().ok_or_else(|| named(&"a crate's file is named NAME-VERSION.crate"))?;
        let label = self.registry.as_deref().filter(|label| *label != DEFAULT);
        let folder = std::env::current_dir().map_err(Failure::internal)?;
        let users = users_config(&folder)?;
        let registry = match label {
            None => RegistryName::Default,
            Some(label) => users.index_of(label).map_err(Failure::usage)?,
        };
        let archive = Archive::read(&id, &bytes).map_err(|error| named(&error))?;
        let new = describe(&archive, &registry).map_err(|error| named(&error))?;
        if new.name != id.name.as_str() || new.vers != id.version.to_string() {
            return Err(named(&format!("its manifest is that of {}@{}", new.name, new.vers)));
        }
        let (key, checksum) = (PackageKey::new(registry.clone(), id.clone()), Sha256::of(&bytes));
        if self.any {
            eprintln!("warning: --any uploads {key} without any check");
        } else if let Err(reason) = self.credential.judge(Wanted { package: &key, checksum }) {
            return Err(Failure::Refused(reason));
        }
        let network =
            Network::acquire(false, Duration::from_secs(600)).ok_or_else(|| Failure::internal("no network"))?;
        let api = api_of(&registry, &network).map_err(Failure::internal)?;
        let index = match &registry {
            RegistryName::Default => {
                format!("sparse+{}", tame_index::CRATES_IO_HTTP_INDEX.trim_start_matches("sparse+"))
            }
            RegistryName::Index(address) => address.as_str().to_owned(),
        };
        let (version, sha256) = (id.version.to_string(), checksum.to_string());
        let info = RegistryInfo { index_url: &index, name: Some(label.unwrap_or(DEFAULT)), headers: Vec::new() };
        let action = Action::Get(Operation::Publish { name: id.name.as_str(), vers: &version, cksum: &sha256 });
        let token = self.credential.token(&info, &action).map_err(Failure::usage)?;
        // The very bytes that were looked at, whatever has become of the file.
        let copy = tempfile::NamedTempFile::new().map_err(Failure::internal)?;
        fs_err::write(copy.path(), &bytes).map_err(Failure::internal)?;
        let warnings = upload(&network, &api, token, &new, copy.path()).map_err(Failure::internal)?;
        for warning in warnings {
            eprintln!("warning: the registry says: {}", Foreign::from(warning));
        }
        print(&format!("uploaded {key}: sha256 {checksum}\n")).map_err(Failure::internal)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Name and version, by the file's name: versions begin with a digit after a hyphen.
    fn id(&self) -> Option<CrateId> {
        let stem = self.file.file_name()?.to_str()?.strip_suffix(".crate")?;
        let split = stem.match_indices('-').filter_map(|(at, _)| {
            let (name, version) = (&stem[..at], &stem[at + 1..]);
            format!("{name}@{version}").parse().ok()
        });
        split.into_iter().next()
    }
}
