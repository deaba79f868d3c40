//! The fetcher: fetches the commits, LFS objects and index slices that a plan pins, where the store lacks them.
//!
//! It is the builder of fixed-output derivations: Nix lets it use the network, and takes what it fetches only if the
//! hash is the plan's. A plan names registries as lock files do and repositories as crates do; where they really are on
//! this machine is said by variables that Nix passes on:
//!
//! | variable | what |
//! |---|---|
//! | `RECRATE_GIT_MIRRORS` | rules `PREFIX=REPLACEMENT`, white space between them, as `--git-mirror` takes them |
//! | `RECRATE_REGISTRY` | the address of the default registry's sparse index, or the folder of a local registry, where it is another |
//!
//! | verb | what | variables of the derivation |
//! |---|---|---|
//! | `source` | the files of a commit that packaging from a folder reads | `repository`, `commitId`, `folder` |
//! | `trees` | the file of a commit's trees | `repository`, `commitId` |
//! | `lfs-object` | an LFS object | `repository`, `outputHash`, `size` |
//! | `index` | an index slice | `slice`: an [`IndexPin`] in a file |

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use base64::Engine as _;

use crate::contract::program::exit;
use crate::edges::cache::Cache;
use crate::edges::cargo_config::{CargoConfig, Place};
use crate::edges::git::commit::Commit;
use crate::edges::git::{Git, Mirror};
use crate::edges::network::{Network, PATIENCE};
use crate::edges::registry::{Registry, write_slice};
use crate::model::commit::CommitId;
use crate::model::digest::Sri;
use crate::model::repository::RepositoryUrl;
use crate::model::sub_path::SubPath;
use crate::stages::plan::IndexPin;

/// What certificates are read from; set for the process that does the work.
const CERTIFICATES: &str = "SSL_CERT_FILE";

/// The fetcher's whole `main`: `arguments` as the system gives them, program name first; root certificates in DER.
pub fn main<'a>(arguments: &[OsString], certificates: impl Iterator<Item = &'a [u8]>) -> ExitCode {
    let verb = arguments.get(1).and_then(|verb| verb.to_str()).unwrap_or_default();
    let done = match verb {
        "source" | "trees" | "lfs-object" | "index" if std::env::var_os(CERTIFICATES).is_none() => {
            return with_certificates(arguments, certificates);
        }
        "source" => source(),
        "trees" => trees(),
        "lfs-object" => lfs_object(),
        "index" => index(),
        _ => return exit::<String>("recrate-fetcher", None),
    };
    exit("recrate-fetcher", Some(done))
}

/// Runs this program again with certificates: the user's own, where Nix passes them on, or the ones given.
fn with_certificates<'a>(arguments: &[OsString], certificates: impl Iterator<Item = &'a [u8]>) -> ExitCode {
    let own = std::env::var_os("NIX_SSL_CERT_FILE").map(PathBuf::from).filter(|file| file.is_file());
    let file = own.unwrap_or_else(|| {
        let line = |der: &[u8]| base64::engine::general_purpose::STANDARD.encode(der);
        let pem =
            certificates.map(|der| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", line(der)));
        let file = std::env::temp_dir().join("certificates.pem");
        // Where this fails, https will say so.
        let _ = fs_err::write(&file, pem.collect::<String>());
        file
    });
    let run = std::env::current_exe()
        .and_then(|program| Command::new(program).args(&arguments[1..]).env(CERTIFICATES, file).status());
    match run {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("recrate: failed to start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A variable of the derivation.
fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("the derivation has no `{name}`"))
}

fn out() -> Result<PathBuf, String> {
    variable("out").map(PathBuf::from)
}

/// A cache of its own, in the folder that Nix takes away afterwards.
fn cache() -> Cache {
    Cache::at(std::env::temp_dir().join("cache"))
}

/// Repositories, and which of them is to be asked.
fn repository() -> Result<(Git, RepositoryUrl), String> {
    let repository = variable("repository")?.parse().map_err(text_of)?;
    let rules = std::env::var("RECRATE_GIT_MIRRORS").unwrap_or_default();
    let mirrors = rules.split_whitespace().map(str::parse).collect::<Result<Vec<Mirror>, _>>()?;
    Ok((
        Git { cache: cache(), mirrors, archive: None, network: Network::acquire(false, PATIENCE), asked_since: None },
        repository,
    ))
}

/// A commit, with what packaging from these folders reads.
fn commit(folders: BTreeSet<SubPath>) -> Result<Commit, String> {
    let (git, repository) = repository()?;
    let id: CommitId = variable("commitId")?.parse().map_err(text_of)?;
    git.commits(&repository, &BTreeMap::from([(id, folders)])).remove(&id).ok_or("no commit")?.map_err(text_of)
}

/// Fetches a source. Nix checks its hash, and the builder will prove it.
fn source() -> Result<(), String> {
    let folder: SubPath = variable("folder")?.parse().map_err(text_of)?;
    commit(BTreeSet::from([folder.clone()]))?.export(&folder, Some(&out()?)).map(drop).map_err(text_of)
}

/// Fetches the trees of a commit. Nix checks their hash, and the builder will prove them.
fn trees() -> Result<(), String> {
    fs_err::write(out()?, commit(BTreeSet::new())?.trees().map_err(text_of)?).map_err(text_of)
}

/// Fetches an LFS object. Nix checks its hash.
fn lfs_object() -> Result<(), String> {
    let (git, repository) = repository()?;
    let hash: Sri = variable("outputHash")?.parse().map_err(text_of)?;
    let size = variable("size")?.parse().map_err(text_of)?;
    let found = git.lfs_objects(&repository, &BTreeMap::from([(hash, size)])).remove(&hash);
    let file = found.ok_or("no object")?.map_err(text_of)?;
    fs_err::copy(&file, out()?).map_err(text_of)?;
    Ok(())
}

/// Cuts an index slice again. Nix checks its hash.
fn index() -> Result<(), String> {
    let file = variable("slicePath")?;
    let text = fs_err::read_to_string(file).map_err(text_of)?;
    let pin: IndexPin = serde_json::from_str(&text).map_err(|error| format!("the slice can't be read: {error}"))?;
    let place = match std::env::var("RECRATE_REGISTRY").ok().filter(|address| !address.is_empty()) {
        Some(folder) if folder.starts_with('/') => Place::Local(folder.into()),
        Some(address) => Place::Sparse(format!("{}/", address.trim_start_matches("sparse+").trim_end_matches('/'))),
        None => CargoConfig::default().default_registry().map_err(text_of)?,
    };
    let registry = Registry::new(place, cache(), Network::acquire(false, PATIENCE));
    let lines = registry.indexes(&pin.names, None).map_err(text_of)?;
    if let Some(lacking) = pin.names.iter().find(|name| !lines.contains_key(*name)) {
        return Err(format!("the registry has no {lacking}"));
    }
    let slice = pin.cut(&lines);
    if slice.nar_hash() != pin.nar_hash {
        eprintln!(
            "recrate: the index does not give this slice any more: something that it had was taken out, or the plan is \
             not as recrate wrote it"
        );
    }
    write_slice(&slice, &out()?).map_err(text_of)
}

fn text_of(error: impl std::fmt::Display) -> String {
    error.to_string()
}
