//! `recrate credential`: the gate before an upload, as a credential provider of cargo's.
//!
//! cargo asks its provider for a token right before each upload, and says which crate it is and what sha256 the very file has that it
//! will send. See <https://doc.rust-lang.org/cargo/reference/credential-provider-protocol.html>.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cargo_credential::{Action, CacheControl, CredentialResponse, Error, Operation, RegistryInfo, Secret};
use clap::Parser as _;
use jiff::Timestamp;

use super::build_options::{Places, cargo_home, users_config};
use super::{Cli, Command, Failure};
use crate::edges::approvals::Approvals;
use crate::edges::cache::Cache;
use crate::edges::cargo::Cargo;
use crate::edges::cargo_config::unreplaced;
use crate::edges::network::Network;
use crate::edges::registry::Registry;
use crate::edges::tokens::{self, DEFAULT};
use crate::edges::trusted_publishing;
use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::model::package::{PackageKey, RegistryName};
use crate::stages::approval::{Approval, Refusal, Upload, allow, first_difference};

/// What cargo starts its providers with.
pub const PLUGIN: &str = "--cargo-plugin";

/// The variable that names where `recrate publish` waits for tokens that it is to have revoked.
pub const TO_REVOKE: &str = "RECRATE_TO_REVOKE";

/// The variable that names where cargo has put the crate.
pub const TARGET: &str = "RECRATE_CARGO_TARGET";

/// How long servers may take while cargo waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is answered where a token is wanted for reading from a registry that everybody may read. It is none.
const NOTHING: &str = "recrate-gives-no-token-for-reading";

/// The gate before an upload: lets `cargo publish` have a token only for bytes that `recrate check` approved.
///
/// cargo runs it as a credential provider and tells it the sha256 of the very file that it is about to upload. Where that is not what
/// the sandbox made of the pushed commit, nothing is uploaded. The token comes from CARGO_REGISTRY_TOKEN (or, for other registries,
/// CARGO_REGISTRIES_NAME_TOKEN), from cargo's credentials.toml, from another provider, or from Trusted Publishing.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Set it up with one variable, or with the same key in your own config.toml of cargo:
  CARGO_REGISTRY_CREDENTIAL_PROVIDER='recrate credential'             the default registry
  CARGO_REGISTRIES_NAME_CREDENTIAL_PROVIDER='recrate credential'      another registry

Then:
  recrate check && cargo publish

`cargo publish --token` goes past every credential provider. Where a crate takes Trusted Publishing only, no such token is of use.")]
pub struct Credential {
    /// Take the token from Trusted Publishing: this CI job's identity is exchanged once the bytes were let pass
    #[arg(long, conflicts_with = "inner")]
    trusted_publishing: bool,
    /// Take the token from another credential provider: a program and its arguments, the last option of all
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true)]
    inner: Vec<String>,
    #[command(flatten)]
    places: Places,
}

impl Credential {
    /// Says how it is used: only cargo can talk to it.
    ///
    /// # Errors
    /// Always.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        Err(Failure::usage(
            "cargo runs this itself\nhelp: CARGO_REGISTRY_CREDENTIAL_PROVIDER='recrate credential' makes it; `recrate credential \
             --help` shows more",
        ))
    }

    /// The token of a registry, wherever this is set up to take it from.
    ///
    /// # Errors
    /// Where there is none, in words without it.
    pub fn token(&self, registry: &RegistryInfo<'_>, action: &Action<'_>) -> Result<Secret<String>, String> {
        if self.trusted_publishing {
            return trusted(registry).map(|(_, _, token)| token);
        }
        if !self.inner.is_empty() {
            return tokens::of_provider(&self.inner, registry, action).map_err(|error| error.to_string());
        }
        tokens::usual(registry.name, registry.index_url, cargo_home().as_deref()).map_err(|error| error.to_string())
    }

    fn approvals(&self) -> Result<Approvals, String> {
        let cache = self.places.cache_with_results(false).map_err(|failure| failure.text().to_owned())?;
        Ok(Approvals::of(cache))
    }

    /// Whether an upload may pass; why not, and what to do.
    ///
    /// # Errors
    /// Where it may not, in words.
    pub fn judge(&self, upload: Upload<'_>) -> Result<Approval, String> {
        let approval = self.approvals()?.get(upload.package);
        match allow(approval.as_ref(), upload, Timestamp::now()) {
            Ok(()) => approval.ok_or_else(String::new),
            Err(refusal) => Err(explain(&refusal, upload, approval.as_ref())),
        }
    }
}

/// Runs as cargo's credential provider: arguments come with each request.
#[must_use]
pub fn serve() -> ExitCode {
    cargo_credential::main(Gate);
    ExitCode::SUCCESS
}

struct Gate;

impl cargo_credential::Credential for Gate {
    fn perform(
        &self,
        registry: &RegistryInfo<'_>,
        action: &Action<'_>,
        arguments: &[&str],
    ) -> Result<CredentialResponse, Error> {
        // An error of any other kind has cargo ask the next provider.
        answer(registry, action, arguments).map_err(Error::from)
    }
}

fn answer(registry: &RegistryInfo<'_>, action: &Action<'_>, arguments: &[&str]) -> Result<CredentialResponse, String> {
    let gate = parse(arguments)?;
    // A token is for the registry that the user means, whatever the request is.
    let named = match action {
        Action::Get(_) => Some(name_of(registry)?),
        _ => None,
    };
    let token = match action {
        Action::Get(Operation::Publish { name, vers, cksum }) => {
            let id: CrateId = format!("{name}@{vers}").parse().map_err(|error| format!("{error}"))?;
            let checksum: Sha256 = cksum.parse().map_err(|_| "cargo names no sha256".to_owned())?;
            let package = PackageKey::new(named.ok_or("cargo names no registry")?, id);
            let upload = Upload { package: &package, checksum };
            let approval = gate.judge(upload)?;
            let token = gate.token(registry, action)?;
            if gate.trusted_publishing {
                hand_on(&token);
            }
            gate.approvals()?.note_upload(&package, checksum).map_err(|error| error.to_string())?;
            eprintln!(
                "     Approved {package}: sha256 {checksum} is what the sandbox made of {} at {}",
                approval.repository, approval.commit
            );
            token
        }
        // A registry that everybody may read has not asked for it.
        Action::Get(Operation::Read) if registry.headers.is_empty() => Secret::from(NOTHING.to_owned()),
        // Nothing is uploaded with these.
        Action::Get(Operation::Read | Operation::Yank { .. } | Operation::Unyank { .. } | Operation::Owners { .. }) => {
            gate.token(registry, action)?
        }
        Action::Login(_) | Action::Logout => {
            return Err(
                "recrate keeps no token: `cargo login` and `cargo logout` work without it as credential provider"
                    .to_owned(),
            );
        }
        _ => return Err("recrate does not know this request of cargo's, and gives no token for it".to_owned()),
    };
    Ok(CredentialResponse::Get { token, cache: CacheControl::Never, operation_independent: false })
}

/// The arguments after the program's name in cargo's configuration.
fn parse(arguments: &[&str]) -> Result<Credential, String> {
    let given = std::iter::once("recrate").chain(arguments.iter().copied());
    let cli = Cli::try_parse_from(given).map_err(|error| {
        format!(
            "cargo's configuration has a credential provider that recrate does not understand: {}",
            error.to_string().lines().next().unwrap_or_default()
        )
    })?;
    match cli.command {
        Command::Credential(credential) => Ok(credential),
        _ => Err("cargo's configuration has to say `recrate credential`".to_owned()),
    }
}

/// The registry that cargo names, where the user means the same by that name.
fn name_of(registry: &RegistryInfo<'_>) -> Result<RegistryName, String> {
    let address = registry.index_url;
    let same = |one: &str, other: &str| one.trim_end_matches('/') == other.trim_end_matches('/');
    let folder = std::env::current_dir().map_err(|error| error.to_string())?;
    let users = users_config(&folder).map_err(|failure| failure.text().to_owned())?;
    if [tame_index::CRATES_IO_INDEX, tame_index::CRATES_IO_HTTP_INDEX].iter().any(|known| same(known, address)) {
        return Ok(RegistryName::Default);
    }
    let name = registry.name.filter(|name| *name != DEFAULT);
    let name = name.ok_or_else(|| format!("{address} has no name in your own configuration of cargo"))?;
    match users.index_of(name)? {
        RegistryName::Index(own) if same(own.as_str(), address) => Ok(RegistryName::Index(own)),
        _ => Err(format!("{address} is not where your own configuration has the registry {name}")),
    }
}

/// A token by Trusted Publishing, and how it is taken back.
fn trusted(registry: &RegistryInfo<'_>) -> Result<(Network, String, Secret<String>), String> {
    let network = Network::acquire(false, PATIENCE).ok_or("no network")?;
    let api = api_of(&name_of(registry)?, &network)?;
    let token = trusted_publishing::exchange(&network, &api).map_err(|error| error.to_string())?;
    Ok((network, api, token))
}

/// Where a registry takes uploads, by its own index: whatever stands for it in cargo's configuration gets no token.
///
/// # Errors
/// Where it takes none, or can't be asked, in words.
pub fn api_of(registry: &RegistryName, network: &Network) -> Result<String, String> {
    let place = unreplaced(registry).map_err(|error| error.to_string())?;
    // Not from the cache: anybody who can write there could send the token elsewhere.
    let nowhere = tempfile::tempdir().map_err(|error| error.to_string())?;
    let registry = Registry::new(place, Cache::at(nowhere.path().to_owned()), Some(network.clone()));
    let api = registry.api().map_err(|error| error.to_string())?;
    let address = url::Url::parse(&api).map_err(|error| format!("the registry's API is at {api}: {error}"))?;
    let is_here = match address.host() {
        Some(url::Host::Ipv4(host)) => host.is_loopback(),
        Some(url::Host::Ipv6(host)) => host.is_loopback(),
        Some(url::Host::Domain(_)) | None => false,
    };
    let is_plain = address.username().is_empty() && address.password().is_none() && address.has_host();
    if is_plain && (address.scheme() == "https" || is_here && address.scheme() == "http") {
        Ok(api)
    } else {
        Err(format!("the registry's API is at {api}: no token is sent to what is not https"))
    }
}

/// Hands a token to `recrate publish`, which takes it back in the end.
fn hand_on(token: &Secret<String>) {
    let Some(path) = std::env::var_os(TO_REVOKE) else { return };
    let said = UnixStream::connect(path).and_then(|mut to| to.write_all(token.clone().expose().as_bytes()));
    if said.is_err() {
        eprintln!("warning: the token can't be taken back at the end; it ends by itself after half an hour");
    }
}

/// Why an upload is refused, and what to do.
fn explain(refusal: &Refusal, upload: Upload<'_>, approval: Option<&Approval>) -> String {
    let Upload { package, checksum } = upload;
    match refusal {
        Refusal::NotApproved => format!(
            "recrate refuses to publish {package}: nothing approves it\ncargo would upload sha256 {checksum}\nrun `recrate check {}` \
             in its workspace first: what passes is approved",
            package.name
        ),
        Refusal::Expired(until) => format!(
            "recrate refuses to publish {package}: its approval ended at {}\nrun `recrate check {}` again; --approve-for makes \
             approvals last longer",
            until.strftime("%F %H:%M:%S UTC"),
            package.name
        ),
        Refusal::OtherBytes(approved) => {
            let mut text = format!(
                "recrate refuses to publish {package}: cargo would upload sha256 {checksum}, the sandbox made {approved}"
            );
            if let Some(approval) = approval {
                text += &format!(" of {} with cargo {}", approval.commit, approval.cargo);
                let made = Path::new(&approval.out).join(format!("{}.crate", package.id().stem()));
                let both = found(&package.id(), checksum).zip(fs_err::read(made).ok());
                let first = both.and_then(|(uploaded, made)| first_difference(&package.id(), &uploaded, &made));
                text += &match first {
                    Some(first) => format!("\n{first}"),
                    None => "\nthe tree is dirty, the commit is another, or another cargo packages it".to_owned(),
                };
                let here = std::env::current_dir().ok().and_then(|folder| Cargo::of(&folder).ok());
                if let Some(cargo) = here.filter(|cargo| cargo.release != approval.cargo) {
                    text += &format!("\ncargo here is {}: the approval is for {}", cargo.release, approval.cargo);
                }
            }
            text + "\n`recrate check` shows what is different"
        }
    }
}

/// The file that cargo is about to upload: cargos put it in different places.
fn found(id: &CrateId, checksum: Sha256) -> Option<Vec<u8>> {
    let named = [TARGET, "CARGO_TARGET_DIR", "CARGO_BUILD_BUILD_DIR"]
        .into_iter()
        .filter_map(std::env::var_os)
        .map(PathBuf::from);
    let usual = || {
        let folder = std::env::current_dir().ok()?;
        Some(Cargo::of(&folder).ok()?.workspace().ok()?.target)
    };
    let folders = named.chain(std::iter::once_with(usual).flatten());
    let file = format!("{}.crate", id.stem());
    folders
        .flat_map(|target| ["", "tmp-crate", "tmp-registry"].map(|part| target.join("package").join(part).join(&file)))
        .filter_map(|path| fs_err::read(path).ok())
        .find(|bytes| Sha256::of(bytes) == checksum)
}
