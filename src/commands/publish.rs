//! `recrate publish`: check, package, publish under the gate, and verify what the registry has.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{ErrorKind, Read as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use serde::{Deserialize, Serialize};

use super::Failure;
use super::author::{Author, Rehearsal};
use super::check::{ApproveFor, approve};
use super::credential::{TARGET, TO_REVOKE, api_of};
use crate::edges::cache::write_whole;
use crate::edges::cargo::Target;
use crate::edges::cargo_config::unreplaced;
use crate::edges::console::{colours_on_stdout, print};
use crate::edges::network::Network;
use crate::edges::parallel::locked;
use crate::edges::registry::{self, Registry};
use crate::edges::trusted_publishing;
use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::pipeline::context::check_interrupt;
use crate::pipeline::rehearsal::{Project, Rehearsed};
use crate::stages::artefact::{Archive, LOCK};
use crate::stages::check::Name;

/// Publish exactly the bytes that the sandbox made.
///
/// Checks the packages as `recrate check` does, runs `cargo publish` for each, in the order of their dependencies, under the gate of
/// `recrate credential`, waits until the registry shows it, and compares what it serves with what the sandbox made. A run that was cut
/// off goes on, and nothing is uploaded twice. Packages are built before any token is asked for, without tokens in their variables.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Exit status:
  0    everything is published, and verified
  1    something must not be published like this, or the registry has other bytes
  2    usage error or unreadable input
  3    something could not be determined
  70   recrate or the machine is at fault
  130  interrupted

The token comes from where `recrate credential` takes it: CARGO_REGISTRY_TOKEN, cargo's credentials, a provider (--inner) or
--trusted-publishing.

Examples:
  recrate publish --dry-run              everything but the upload
  recrate publish                        the package of this folder
  recrate publish --workspace --trusted-publishing")]
pub struct Publish {
    /// Do all but upload
    #[arg(long)]
    dry_run: bool,
    /// Don't build the packages before they are published, as cargo's own option
    #[arg(long)]
    no_verify: bool,
    /// How long the registry may take to show what was published
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait: u64,
    /// Take the token from Trusted Publishing; it is taken back at the end
    #[arg(long, conflicts_with = "inner")]
    trusted_publishing: bool,
    /// Take the token from another credential provider: its program and arguments in one text
    #[arg(long, value_name = "COMMAND")]
    inner: Option<String>,
    #[command(flatten)]
    approve_for: ApproveFor,
    #[command(flatten)]
    author: Author,
}

/// How often the registry is asked whether it shows a package.
const PAUSE: Duration = Duration::from_secs(2);

/// How long a registry takes to show what was sent, at most.
const SHOWN: SignedDuration = SignedDuration::from_mins(10);

/// How long a registry is given to show what cargo has failed to upload: it may have it all the same.
const AFTER_ALL: Duration = Duration::from_secs(20);

/// How long the gate may take to hand a token on.
const MOMENT: Duration = Duration::from_secs(5);

impl Publish {
    /// Publishes.
    ///
    /// # Errors
    /// Where the project can't be read, cargo fails, or recrate or the machine is at fault.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        // What the variables have is not for other programs of this user to read.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        let project = self.author.project()?;
        if !project.cargo.asks_providers() {
            return Err(Failure::Refused(format!(
                "cargo {} asks no credential provider: no gate keeps it from uploading other bytes\nhelp: publish with cargo 1.74 or \
                 newer, or with `recrate check`, `recrate package` and `recrate upload`",
                project.cargo.release
            )));
        }
        let revocation = if self.trusted_publishing && !self.dry_run { Some(Revocation::listen()?) } else { None };
        self.publish_all(&project, revocation.as_ref())
    }

    fn publish_all(&self, project: &Project, revocation: Option<&Revocation>) -> Result<ExitCode, Failure> {
        let groups = project.groups();
        if groups.len() > 1 {
            eprintln!(
                "note: cargo {} can't package what is not published yet: {} groups of packages are published one after the other",
                project.cargo.release,
                groups.len()
            );
        }
        for (number, group) in groups.iter().enumerate() {
            self.author.withdraw(project, group)?;
            let mut rehearsal = self.author.rehearse(project, group, number)?;
            // With the run's lock held: no other one has laid it now.
            LaidLock::restore(project);
            rehearsal.packages.iter_mut().for_each(settle);
            let report = approve(project, &rehearsal, self.approve_for.until())?;
            print(&report.to_text(colours_on_stdout())).map_err(Failure::internal)?;
            if report.exit_code() != 0 {
                return Ok(ExitCode::from(report.exit_code()));
            }
            for package in &rehearsal.packages {
                self.publish(project, &rehearsal, package, revocation)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Publishes a package that is approved, where it is not, and compares what the registry serves.
    fn publish(
        &self,
        project: &Project,
        rehearsal: &Rehearsal,
        package: &Rehearsed,
        revocation: Option<&Revocation>,
    ) -> Result<(), Failure> {
        let id = &package.member.id;
        let approved = package.sandbox.as_deref().map(Sha256::of);
        let approved = approved.ok_or_else(|| Failure::internal(format!("the sandbox made nothing of {id}")))?;
        let context = &rehearsal.context;
        let place = context.cargo_config.place(&project.registry).map_err(Failure::usage)?;
        let registry = Registry::new(place, context.cache.clone(), context.network.clone());
        check_interrupt().map_err(|error| Failure::Interrupted(error.to_string()))?;
        let there = published(&registry, id)?;
        if let Some(there) = there {
            if there != approved {
                return Err(Failure::Refused(format!(
                    "the registry has {id} with sha256 {there}, the sandbox makes {approved}: somebody else has published it"
                )));
            }
            eprintln!("{id} is published already: it is not uploaded again");
        } else if !self.was_sent(&registry, rehearsal, package, approved)? {
            self.upload(project, rehearsal, package, approved, revocation)?;
        }
        if self.dry_run {
            if there.is_none() {
                eprintln!("{id} would be uploaded with sha256 {approved}; --dry-run does not");
            }
            return Ok(());
        }
        let served = self.wait_for(&registry, id, approved)?;
        if served != approved {
            return Err(Failure::Refused(format!(
                "the registry serves {id} with sha256 {served}, and was sent {approved}: yank it, and tell the registry's people"
            )));
        }
        let job = package.key.job();
        let plan = project.out.join(format!("{}.plan.json", id.stem()));
        write_whole(&plan, rehearsal.plan.only(&[job.as_str()].into()).to_json().as_bytes())
            .map_err(Failure::internal)?;
        print(&format!(
            "published {id}: the registry serves sha256 {served}, which is what the sandbox made\n  anybody can repeat it: \
             recrate verify --from-plan {}; ten minutes from now, also recrate verify {id}\n",
            plan.display()
        ))
        .map_err(Failure::internal)
    }

    /// Packages, builds and uploads with cargo.
    fn upload(
        &self,
        project: &Project,
        rehearsal: &Rehearsal,
        package: &Rehearsed,
        approved: Sha256,
        revocation: Option<&Revocation>,
    ) -> Result<(), Failure> {
        let (cargo, member, label) = (&project.cargo, &package.member, project.label.as_deref());
        let id = &member.id;
        // Until this is done.
        let _laid = if package.lock_tracked == Some(false) { LaidLock::lay(project, package)? } else { None };
        let target = project.workspace.target.join("recrate-publish");
        // Builds run code of others: they get no token in their variables.
        eprintln!("packaging {id}{}", if self.no_verify { "" } else { " and building it" });
        let made = cargo.package(&[member], label, &target, !self.no_verify);
        let made = made.map_err(|error| Failure::Refused(error.to_string()))?;
        let made = made.first().and_then(|file| fs_err::read(file).ok()).map(|bytes| Sha256::of(&bytes));
        if made != Some(approved) {
            let made = made.map_or("nothing".to_owned(), |made| format!("sha256 {made}"));
            return Err(Failure::Refused(format!(
                "cargo makes {made} of {id} here, the sandbox {approved}: it is not published\nhelp: something has changed since it was \
                 checked; run the same command again"
            )));
        }
        if self.dry_run {
            return Ok(());
        }
        let variables: Vec<(&'static str, OsString)> = std::iter::once((TARGET, target.clone().into()))
            .chain(revocation.map(|revocation| (TO_REVOKE, revocation.socket.clone().into())))
            .collect();
        let gate = self.gate()?;
        let done = cargo.publish(member, &Target { registry: label, gate: &gate, variables: &variables }, &target);
        if let Some(revocation) = revocation {
            revocation.revoke(project);
        }
        let Err(error) = done else { return Ok(()) };
        let approvals = rehearsal.approvals();
        if approvals.upload(&package.key).is_some() {
            // An answer that was lost says nothing of what was sent.
            let place = unreplaced(&project.registry).map_err(Failure::usage)?;
            let context = &rehearsal.context;
            let registry = Registry::new(place, context.cache.clone(), context.network.clone());
            let end = Instant::now() + AFTER_ALL.min(Duration::from_secs(self.wait));
            while Instant::now() < end {
                if published(&registry, id)?.is_some() {
                    return Ok(());
                }
                check_interrupt().map_err(|error| Failure::Interrupted(error.to_string()))?;
                std::thread::sleep(PAUSE);
            }
            approvals.forget_upload(&package.key).map_err(Failure::internal)?;
        }
        Err(Failure::Refused(format!("{error}\nhelp: the same command goes on from here, and uploads nothing twice")))
    }

    /// Whether an earlier run, which did not see it through, has sent a package: waits for the registry to show it.
    fn was_sent(
        &self,
        registry: &Registry,
        rehearsal: &Rehearsal,
        package: &Rehearsed,
        approved: Sha256,
    ) -> Result<bool, Failure> {
        let (id, approvals) = (&package.member.id, rehearsal.approvals());
        let Some((sent, at)) = approvals.upload(&package.key).filter(|(sent, _)| *sent == approved) else {
            return Ok(false);
        };
        let until = at.checked_add(SHOWN).unwrap_or(at);
        if until <= Timestamp::now() || self.dry_run {
            return Ok(false);
        }
        eprintln!("an earlier run may have sent {id} with sha256 {sent}: waiting for the registry to show it");
        let end = Instant::now() + Duration::from_secs(self.wait);
        while published(registry, id)?.is_none() {
            if Instant::now() >= end {
                return Err(Failure::Refused(format!(
                    "an earlier run may have sent {id}, and the registry does not show it yet: it is not sent twice\nhelp: the same \
                     command sends it if it is not there after {}",
                    until.strftime("%H:%M UTC")
                )));
            }
            check_interrupt().map_err(|error| Failure::Interrupted(error.to_string()))?;
            std::thread::sleep(PAUSE);
        }
        Ok(true)
    }

    /// This program as cargo's credential provider.
    fn gate(&self) -> Result<Vec<String>, Failure> {
        let me = std::env::current_exe().map_err(Failure::internal)?;
        let me = me.to_str().ok_or_else(|| Failure::usage("recrate lies in a folder whose name is not UTF-8"))?;
        let mut gate = vec![me.to_owned(), "credential".to_owned()];
        gate.extend(self.author.options.places().arguments());
        if self.trusted_publishing {
            gate.push("--trusted-publishing".to_owned());
        }
        if let Some(inner) = &self.inner {
            let words = shlex::split(inner).ok_or_else(|| Failure::usage("--inner: a quote has no end"))?;
            gate.push("--inner".to_owned());
            gate.extend(words);
        }
        Ok(gate)
    }

    /// Waits until the registry shows a package; gives the sha256 of what it serves.
    fn wait_for(&self, registry: &Registry, id: &CrateId, approved: Sha256) -> Result<Sha256, Failure> {
        let end = Instant::now() + Duration::from_secs(self.wait);
        loop {
            if let Some(there) = published(registry, id)? {
                if there != approved {
                    return Ok(there);
                }
                match registry.served(id, approved) {
                    Err(registry::Error::Absent(_)) => {}
                    served => return served.map_err(Failure::internal),
                }
            }
            if Instant::now() >= end {
                return Err(Failure::Internal(format!(
                    "the registry does not show {id} after {} s\nhelp: the same command waits again, and uploads nothing twice",
                    self.wait
                )));
            }
            check_interrupt().map_err(|error| Failure::Interrupted(error.to_string()))?;
            std::thread::sleep(PAUSE);
        }
    }
}

/// Takes from what is wrong with a package what publishing does something about.
fn settle(package: &mut Rehearsed) {
    // What is published already is not published again, and its Cargo.lock is laid into the checkout.
    let is_published = package.is_published;
    let can_lay = package.lock_tracked == Some(false);
    package.problems.retain(|problem| match problem.name {
        Name::VersionTaken => !is_published,
        Name::LockDiffers => !can_lay,
        _ => true,
    });
}

/// The checksum of a package that a registry has; none where it has none.
fn published(registry: &Registry, id: &CrateId) -> Result<Option<Sha256>, Failure> {
    match registry.newest_index(&id.name) {
        Ok(lines) => Ok(lines.iter().find(|line| line.version == id.version).map(|line| line.checksum)),
        Err(registry::Error::Absent(_)) => Ok(None),
        Err(error) => Err(Failure::internal(error)),
    }
}

/// The sandbox's Cargo.lock, laid into the checkout where none is tracked: then cargo packages what the sandbox did, whatever comes out
/// meanwhile. What lay there before is there again in the end.
#[derive(Debug, Serialize, Deserialize)]
struct LaidLock {
    place: PathBuf,
    /// What was laid: nothing else is ever taken away.
    laid: Sha256,
    /// What lay there before; none where nothing did.
    before: Option<String>,
    /// Where this is written, for when the run is killed; nowhere where it is not to be put back.
    #[serde(skip)]
    noted: PathBuf,
}

impl LaidLock {
    /// Lays it; none where it is there.
    fn lay(project: &Project, package: &Rehearsed) -> Result<Option<Self>, Failure> {
        let id = &package.member.id;
        let archive = package.sandbox.as_deref().and_then(|bytes| Archive::read(id, bytes).ok());
        let Some(text) = archive.and_then(|archive| archive.text(LOCK).map(Cow::into_owned)) else { return Ok(None) };
        let place = project.workspace.root.join(LOCK);
        let before = match fs_err::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_file() => Some(fs_err::read_to_string(&place).map_err(Failure::internal)?),
            Ok(_) => {
                return Err(Failure::Refused(format!(
                    "{} is no plain file, and not tracked\nhelp: track Cargo.lock, or remove it",
                    place.display()
                )));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::internal(error)),
        };
        if before.as_ref() == Some(&text) {
            return Ok(None);
        }
        let laid = Self { place, laid: Sha256::of(text.as_bytes()), before, noted: Self::note(project) };
        let note = serde_json::to_vec(&laid).map_err(Failure::internal)?;
        write_whole(&laid.noted, &note).map_err(Failure::internal)?;
        eprintln!("Cargo.lock is not tracked: the sandbox's is used while {id} is published");
        write_whole(&laid.place, text.as_bytes()).map_err(Failure::internal)?;
        Ok(Some(laid))
    }

    /// Where a project's is noted: several may share a target folder.
    fn note(project: &Project) -> PathBuf {
        let root = Sha256::of(project.workspace.root.as_os_str().as_encoded_bytes()).to_string();
        project.workspace.target.join("recrate-publish").join(format!("laid-{}.json", &root[..16]))
    }

    /// Puts back what a run that was killed has left.
    fn restore(project: &Project) {
        let noted = Self::note(project);
        let laid = fs_err::read(&noted).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        if let Some(mut laid) = laid {
            // Dropping it puts back.
            laid.place = project.workspace.root.join(LOCK);
            laid.noted = noted;
        }
    }

    fn put_back(&self) -> std::io::Result<()> {
        let is_ours = fs_err::symlink_metadata(&self.place).is_ok_and(|metadata| metadata.is_file())
            && fs_err::read(&self.place).is_ok_and(|text| Sha256::of(&text) == self.laid);
        match &self.before {
            Some(before) if is_ours => write_whole(&self.place, before.as_bytes())?,
            None if is_ours => fs_err::remove_file(&self.place)?,
            Some(before) => {
                // Somebody has changed it since: theirs counts.
                let kept = self.noted.with_extension("lock");
                write_whole(&kept, before.as_bytes())?;
                eprintln!("note: Cargo.lock was changed meanwhile and stays; the one before is {}", kept.display());
            }
            None => {}
        }
        fs_err::remove_file(&self.noted)
    }
}

impl Drop for LaidLock {
    fn drop(&mut self) {
        if self.noted.as_os_str().is_empty() {
            return;
        }
        if let Err(error) = self.put_back() {
            eprintln!("warning: Cargo.lock as it was is in {}: {error}", self.noted.display());
        }
    }
}

/// The tokens that are to be taken back at the end.
struct Revocation {
    socket: PathBuf,
    tokens: Arc<Mutex<Vec<String>>>,
    _folder: tempfile::TempDir,
}

impl Revocation {
    /// Waits for what the gate hands on.
    fn listen() -> Result<Self, Failure> {
        // For this user alone.
        let folder = tempfile::tempdir().map_err(Failure::internal)?;
        let socket = folder.path().join("tokens");
        let listener = UnixListener::bind(&socket).map_err(Failure::internal)?;
        let tokens: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&tokens);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(MOMENT));
                let mut token = String::new();
                if stream.read_to_string(&mut token).is_ok() && !token.is_empty() {
                    locked(&kept).push(token);
                }
            }
        });
        Ok(Self { socket, tokens, _folder: folder })
    }

    /// Takes back what was handed on by now.
    fn revoke(&self, project: &Project) {
        let tokens = std::mem::take(&mut *locked(&self.tokens));
        if tokens.is_empty() {
            return;
        }
        let Some(network) = Network::acquire(false, Duration::from_secs(60)) else { return };
        let api = api_of(&project.registry, &network);
        for token in tokens {
            let done = api
                .clone()
                .and_then(|api| trusted_publishing::revoke(&network, &api, &token).map_err(|error| error.to_string()));
            if let Err(error) = done {
                eprintln!("warning: {error}; the token ends by itself after half an hour");
            }
        }
    }
}
