//! *Check*: what keeps a package from being published so that everybody can rebuild it, before it is published.

pub mod report;

use serde::{Deserialize, Serialize};

use super::artefact::LOCK;
use super::claims::{Cause, Missing, Obstacle, Reach};
use super::compare::{Difference, Kind};
use super::findings::{Condition, Contents, Contradiction, Findings, Rebuild};
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateId;
use crate::model::package::RegistryName;

/// How much a problem weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// The package must not be published like this.
    Error,
    /// Something could not be determined, and so nothing is approved.
    Undetermined,
    /// It is worth knowing, and nothing fails for it.
    Note,
}

/// The names of problems. JSON has them as they are written here, in lower case with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// The manifest forbids it.
    PublishForbidden,
    /// The manifest lacks what the registry wants.
    ManifestLacks,
    /// The manifest names no repository, or none that can be asked.
    RepositoryUnnamed,
    /// The registry has the version.
    VersionTaken,
    /// The registry has a crate whose name differs in `-`, `_` or letter case only.
    NameTaken,
    /// It is larger than the registry takes.
    TooLarge,
    /// There are uncommitted changes.
    Dirty,
    /// cargo does not package it here.
    PackagingRefused,
    /// It is in no commit.
    NotInGit,
    /// The repository can't be asked.
    RepositoryUnreachable,
    /// The repository does not have the commit.
    CommitNotPushed,
    /// No branch and no tag reaches the commit.
    CommitNotReached,
    /// A folder of this machine was asked, not what others can reach.
    AskedHere,
    /// A tag of the version is on another commit.
    TagElsewhere,
    /// There is no tag of the version.
    NoTag,
    /// A tag that looks like the version's is on another commit.
    SimilarTag,
    /// This cargo asks no credential provider.
    NoGate,
    /// A submodule, an LFS object or a git dependency can't be had by others.
    SourceNotFetchable,
    /// git has written files differently here: line endings, links, executable bits.
    CheckoutConverted,
    /// Cargo.lock is not tracked.
    LockUntracked,
    /// Cargo.lock comes out differently in the sandbox.
    LockDiffers,
    /// Anything but Cargo.lock comes out differently in the sandbox.
    CrateDiffers,
    /// cargo does not package it in the sandbox.
    SandboxRefused,
    /// A rebuild takes an assumption that others would have to make, too.
    Assumed,
    /// The sandbox came to nothing.
    NotBuilt,
    /// It needs another package of the workspace that is not ready.
    NeedsUnready,
}

/// A problem, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Its name.
    pub name: Name,
    /// How much it weighs.
    pub weight: Weight,
    /// What is wrong.
    pub message: Foreign,
    /// What to do.
    pub fix: String,
}

impl Problem {
    fn error(name: Name, message: impl Into<Foreign>, fix: impl Into<String>) -> Self {
        Self { name, weight: Weight::Error, message: message.into(), fix: fix.into() }
    }

    fn note(name: Name, message: impl Into<Foreign>, fix: impl Into<String>) -> Self {
        Self { weight: Weight::Note, ..Self::error(name, message, fix) }
    }

    fn undetermined(name: Name, message: impl Into<Foreign>, fix: impl Into<String>) -> Self {
        Self { weight: Weight::Undetermined, ..Self::error(name, message, fix) }
    }
}

/// What the default registry takes, in bytes: `src/config/publish_limits.rs` of its server.
const LARGEST: u64 = 10 << 20;
const LARGEST_UNPACKED: u64 = 512 << 20;

/// What a manifest says about being published.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// The package.
    pub id: &'a CrateId,
    /// The registry, and its name in cargo's configuration; none for the default one.
    pub registry: (&'a RegistryName, Option<&'a str>),
    /// The registries that it may be published to; none where to all.
    pub publish: Option<&'a [String]>,
    /// The repository that it names.
    pub repository: Option<&'a str>,
    /// Whether it has a description.
    pub has_description: bool,
    /// Whether it names its licence.
    pub has_licence: bool,
}

/// What the manifest alone shows.
#[must_use]
pub fn of_manifest(declared: &Declared<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (registry, named) = declared.registry;
    let name = named.unwrap_or("crates-io");
    if declared.publish.is_some_and(|allowed| !allowed.iter().any(|one| one == name)) {
        problems.push(Problem::error(
            Name::PublishForbidden,
            format!("`publish` in Cargo.toml does not allow {name}"),
            "change `publish`, or name another registry with --registry",
        ));
    }
    if declared.repository.is_none_or(|text| text.trim().is_empty()) {
        problems.push(Problem::error(
            Name::RepositoryUnnamed,
            "the manifest names no repository: nobody could find the commit",
            "add `repository = \"https://…\"` to [package]",
        ));
    }
    if *registry == RegistryName::Default {
        let lacks = [("description", declared.has_description), ("license or license-file", declared.has_licence)];
        problems.extend(lacks.into_iter().filter(|(_, has)| !has).map(|(what, _)| {
            Problem::error(
                Name::ManifestLacks,
                format!("the manifest has no {what}, which the registry wants"),
                format!("add `{what}` to [package]"),
            )
        }));
    }
    problems
}

/// What a registry has already.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// The checksum of the version, where the registry has it. Build metadata does not make another version.
    pub version: Option<(String, Sha256)>,
    /// A crate of another spelling, where the registry has none of this one.
    pub name: Option<String>,
}

/// What the registry's index shows.
#[must_use]
pub fn of_registry(id: &CrateId, taken: &Taken) -> Vec<Problem> {
    let version = taken.version.as_ref().map(|(version, checksum)| {
        Problem::error(
            Name::VersionTaken,
            format!("the registry has {}@{version} already, with sha256 {checksum}", id.name),
            "raise `version` in Cargo.toml and commit it",
        )
    });
    let name = taken.name.as_ref().map(|other| {
        Problem::error(
            Name::NameTaken,
            format!("the registry has a crate {other}, and takes no other spelling of it"),
            "give the package another name",
        )
    });
    version.into_iter().chain(name).collect()
}

/// What the size of a crate shows: bytes, and bytes unpacked.
#[must_use]
pub fn of_size(registry: &RegistryName, packed: u64, unpacked: u64) -> Option<Problem> {
    let is_too_large = *registry == RegistryName::Default && (packed > LARGEST || unpacked > LARGEST_UNPACKED);
    is_too_large.then(|| {
        Problem::error(
            Name::TooLarge,
            format!(
                "the crate has {packed} bytes, {unpacked} unpacked; the registry takes {LARGEST} and {LARGEST_UNPACKED}"
            ),
            "leave files out with `exclude` or `include` in [package]",
        )
    })
}

/// What cargo's refusal to package here shows, by its own words.
#[must_use]
pub fn of_refusal(said: &str) -> Problem {
    let text: Foreign = said.trim_start_matches("error: ").into();
    if said.contains("uncommitted changes") || said.contains("not yet committed into git") {
        let fix = "commit the changes and push, or stash them";
        return Problem::error(Name::Dirty, text, fix);
    }
    if said.contains("no matching package named") || said.contains("failed to select a version") {
        let fix = "publish what it depends on first: `recrate publish` does it in order; cargos from 1.90 on package \
                   workspaces together";
        return Problem::error(Name::PackagingRefused, text, fix);
    }
    Problem::error(Name::PackagingRefused, text, "`cargo package` in this folder has to work")
}

/// What was observed of a package that was packaged here and built in the sandbox.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The package.
    pub id: &'a CrateId,
    /// What is known of it as if it was published now.
    pub findings: &'a Findings,
    /// Why it was not built, where that is so.
    pub obstacle: Option<&'a Obstacle>,
    /// Whether the commit has the Cargo.lock that cargo starts from; none where nobody could look.
    pub lock_tracked: Option<bool>,
    /// Whether the crate has a Cargo.lock.
    pub has_lock: bool,
    /// Whether a tag of the version is on the commit.
    pub is_tagged: bool,
    /// What such a tag may be called.
    pub tag: Option<&'a str>,
}

/// That cargo, of a release, asks no credential provider before it uploads.
#[must_use]
pub fn of_old_cargo(release: &str) -> Problem {
    Problem::note(
        Name::NoGate,
        format!("cargo {release} asks no credential provider: nothing keeps it from uploading other bytes"),
        "publish with cargo 1.74 or newer, or with `recrate upload`",
    )
}

/// That a tag looks like the version's, and is on another commit.
#[must_use]
pub fn of_similar_tag(tag: &str) -> Problem {
    Problem::note(
        Name::SimilarTag,
        format!("the tag {tag} is on another commit"),
        "if it stands for this version, check that commit out, or raise the version",
    )
}

/// That others can't fetch what a package needs besides its own commit.
#[must_use]
pub fn of_extra_source(what: &str) -> Problem {
    Problem::error(
        Name::SourceNotFetchable,
        what,
        "push submodules, git dependencies and LFS objects to places that others can fetch from, on a branch or tag",
    )
}

/// That a package needs another one that can't be published like this.
#[must_use]
pub fn of_unready(needed: &CrateId) -> Problem {
    Problem::error(Name::NeedsUnready, format!("it needs {needed}, which is not ready"), format!("see {needed} first"))
}

/// What packaging here and building in the sandbox shows.
#[must_use]
pub fn of_findings(observed: &Observed<'_>) -> Vec<Problem> {
    let mut problems: Vec<Problem> =
        observed.obstacle.map(|obstacle| of_obstacle(&obstacle.cause)).into_iter().collect();
    let findings = observed.findings;
    let built = matches!(findings.rebuild, Rebuild::Done);
    if observed.obstacle.is_none() {
        problems.extend(of_rebuild(observed));
    }
    problems.extend(of_origin(observed, built));
    let not_tracked = built && observed.has_lock && observed.lock_tracked != Some(true);
    if not_tracked && !problems.iter().any(|problem| problem.name == Name::LockDiffers) {
        problems.push(Problem::note(
            Name::LockUntracked,
            "Cargo.lock is not tracked: it changes whenever a dependency comes out",
            "commit Cargo.lock: then the crate is the same tomorrow",
        ));
    }
    problems.sort_by_key(|problem| problem.weight);
    problems
}

fn of_obstacle(cause: &Cause) -> Problem {
    match cause {
        Cause::Impossible { missing, reason } => match missing {
            Missing::Commit => Problem::error(
                Name::CommitNotPushed,
                format!("the repository does not have the commit: {reason}"),
                "push it to the repository that `repository` in Cargo.toml names",
            ),
            Missing::RepositoryAtAddress | Missing::AllowedRepository | Missing::Repository => Problem::error(
                Name::RepositoryUnreachable,
                reason.clone(),
                "`repository` in Cargo.toml must be an address that others can fetch from",
            ),
            Missing::VcsInfo | Missing::ReadableVcsInfo => Problem::error(
                Name::NotInGit,
                "cargo names no commit in the crate: the package is not in a git repository",
                "commit the package, and push it",
            ),
            Missing::ExtraSource => Problem::error(
                Name::SourceNotFetchable,
                reason.clone(),
                "push submodules and LFS objects to places that others can fetch from",
            ),
            Missing::AcceptableCommit
            | Missing::Sha1Ids
            | Missing::Version
            | Missing::ReadableManifest
            | Missing::Planned => Problem::undetermined(Name::NotBuilt, reason.clone(), "`recrate explain` says more"),
        },
        Cause::NotPackageable { reason } => Problem::error(
            Name::SandboxRefused,
            reason.clone(),
            "the package has to be in the commit, in the folder that cargo names",
        ),
        Cause::MalformedArchive { reason } | Cause::ChecksumMismatch { reason } => {
            Problem::error(Name::CrateDiffers, reason.clone(), "package with a stable cargo")
        }
        Cause::Error { reason } => {
            Problem::undetermined(Name::NotBuilt, reason.clone(), "try again; `recrate doctor` looks at the machine")
        }
    }
}

fn of_rebuild(observed: &Observed<'_>) -> Vec<Problem> {
    let findings = observed.findings;
    let mut problems = Vec::new();
    match &findings.rebuild {
        Rebuild::Done => {}
        Rebuild::Refused { reason } => {
            let fix = "what packaging needs has to be in the commit, and its dependencies in the registry";
            problems.push(Problem::error(Name::SandboxRefused, format!("cargo refused in the sandbox: {reason}"), fix));
        }
        Rebuild::Error { reason } => {
            problems.push(Problem::undetermined(
                Name::NotBuilt,
                reason.clone(),
                "try again; `recrate doctor` looks at the machine",
            ));
        }
        Rebuild::Impossible { reason, .. } => {
            problems.push(Problem::undetermined(Name::NotBuilt, reason.clone(), "`recrate explain` says more"));
        }
        Rebuild::NotAttempted => {
            problems.push(Problem::undetermined(Name::NotBuilt, "nothing was built", "try again"));
        }
    }
    problems.extend(of_contents(observed));
    for condition in &findings.conditions {
        let problem = match condition {
            // They are pinned by the commit, and were fetched.
            Condition::Submodules | Condition::LfsObjects => continue,
            other => Problem::error(
                Name::Assumed,
                format!("a rebuild takes an assumption: {other}"),
                "the commit alone has to give the crate",
            ),
        };
        problems.push(problem);
    }
    problems
}

fn of_contents(observed: &Observed<'_>) -> Option<Problem> {
    let contents = &observed.findings.contents;
    let differences = contents.differences();
    let is_lock = |difference: &Difference| difference.path.raw() == LOCK;
    let is_converted = |difference: &&Difference| matches!(difference.kind, Kind::LineEndings | Kind::Mode);
    let converted = differences.iter().find(is_converted);
    match contents {
        Contents::BitForBit => None,
        Contents::NotCompared if observed.findings.rebuild == Rebuild::Done => {
            Some(Problem::undetermined(Name::NotBuilt, "the two crates were not compared", "try again"))
        }
        Contents::NotCompared => None,
        Contents::GeneratedFilesDiffer { .. } if differences.iter().all(is_lock) => Some(Problem::error(
            Name::LockDiffers,
            "Cargo.lock comes out differently in the sandbox: the one here is not in the commit, or older than the index",
            "commit Cargo.lock, or remove it; `recrate publish` lays the sandbox's into the checkout",
        )),
        _ if let Some(Difference { path, kind, .. }) = converted => Some(Problem::error(
            Name::CheckoutConverted,
            format!("files of this checkout are not as committed: {path}: {kind}"),
            "set core.autocrlf to false, core.fileMode and core.symlinks to true, and check the commit out again",
        )),
        Contents::SameContents { .. } | Contents::CompressorUnknown { .. } => Some(Problem::error(
            Name::CrateDiffers,
            "every file is the same, but the archive differs: the cargo here compresses differently",
            "package with a stable cargo as rustup installs it",
        )),
        Contents::GeneratedFilesDiffer { .. } | Contents::SourceDiffers { .. } => {
            let named = |difference: &Difference| format!("{}: {}", difference.path, difference.kind);
            let names: Vec<String> = differences.iter().take(NAMED).map(named).collect();
            let more = differences.len().saturating_sub(NAMED);
            let more = if more == 0 { String::new() } else { format!(", and {more} more") };
            Some(Problem::error(
                Name::CrateDiffers,
                format!("the crate differs from the sandbox's: {}{more}", names.join(", ")),
                format!("commit what differs, or leave it out with `exclude`; `recrate diff {}` shows it", observed.id),
            ))
        }
    }
}

/// How many differences are named.
const NAMED: usize = 3;

fn of_origin(observed: &Observed<'_>, built: bool) -> Vec<Problem> {
    let findings = observed.findings;
    let mut problems = Vec::new();
    let contradictions = findings.origin.iter().flat_map(|origin| &origin.contradictions);
    for contradiction in contradictions {
        problems.push(match contradiction {
            Contradiction::Tag(tag) => Problem::error(
                Name::TagElsewhere,
                format!("the tag {} of this version is on {}", tag.tag, tag.commit),
                "check that commit out, or raise the version; a tag that others have is not to be moved",
            ),
            Contradiction::Repository { .. } => Problem::error(
                Name::RepositoryUnreachable,
                contradiction.to_string(),
                "`repository` in Cargo.toml has to name the repository as it is today",
            ),
            Contradiction::Version { .. } => Problem::error(
                Name::CrateDiffers,
                contradiction.to_string(),
                "commit the version that is to be published",
            ),
        });
    }
    if !built {
        return problems;
    }
    match &findings.reach.reach {
        Reach::Reached { .. } => {
            let is_elsewhere = problems.iter().any(|problem| problem.name == Name::TagElsewhere);
            if let Some(tag) = observed.tag.filter(|_| !observed.is_tagged && !is_elsewhere) {
                problems.push(Problem::note(
                    Name::NoTag,
                    "no tag of this version is on the commit yet",
                    format!("git tag {tag} && git push origin {tag}"),
                ));
            }
        }
        Reach::Squashed { .. } | Reach::Unreachable => problems.push(Problem::error(
            Name::CommitNotReached,
            "the repository has the commit, but no branch and no tag of it reaches it",
            "push a branch or a tag that has the commit",
        )),
        Reach::Unknown { reason } => problems.push(Problem::undetermined(
            Name::RepositoryUnreachable,
            format!("nobody could say which branches and tags reach the commit: {reason}"),
            "try again",
        )),
    }
    let asked = findings.reach.asked.as_ref();
    if asked.is_none_or(|asked| asked.source.raw() == LOCAL) {
        problems.push(Problem::undetermined(
            Name::AskedHere,
            "a folder of this machine stood for the repository: that shows nothing of what others can fetch",
            "without --git-mirror, or with one that is a server's address",
        ));
    }
    problems
}

/// What is told of a repository that a folder stands for.
pub const LOCAL: &str = "local mirror";
