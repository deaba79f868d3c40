//! *Judgement*: what a rebuild says of a published crate. The one place where findings are made.
//!
//! The driver, a replay and the static judge that Nix runs all call [`judge`] and [`judge_obstacle`] with the same inputs: the
//! package's part of the plan, the checked bytes, the rebuild's output and the renamed repositories that the verifier knows.

use super::artefact::{Archive, Artefact, LOCK, MANIFEST};
use super::claims::{Cause, Claims, Obstacle};
use super::compare::{Comparison, Context, Difference, Kind, Weight, compare};
use super::container::{Account, Normalised};
use super::findings::{
    ArchiveForm, Checksum, Condition, Contents, Contradiction, Findings, Flags, Lockfile, NamedBy, Origin,
    ReachFinding, Rebuild,
};
use super::index::Index;
use super::lock_evidence::examine;
use super::manifest::Manifest;
use super::plan::{IndexMode, PlannedPackage, PlannedRebuild, PlannedRecipe};
use super::provenance::Untraceable;
use super::published::Published;
use super::record::{AttemptRecord, Record};
use super::renamed_repositories::Renamed;
use super::toolchain::{Origin as CargoOrigin, Toolchain};
use super::verdict::Verdict;
use super::workspace::WorkspaceView;
use crate::contract::recipe::Base64;
use crate::contract::status::{Outcome, Status};
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::{CrateId, CrateName};
use crate::model::nonempty::NonEmpty;
use crate::model::release::{Minor, Span};

/// A rebuild, and what it is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Which crate it is.
    pub id: &'a CrateId,
    /// The published crate.
    pub published: &'a Published,
    /// How it was rebuilt, by the plan.
    pub planned: &'a PlannedRebuild,
    /// Its cargo, by the plan.
    pub toolchain: &'a Toolchain,
    /// What the rebuild came to.
    pub output: &'a Output,
    /// The index lines that cargo saw of what the published Cargo.lock names; empty where that was not an input.
    pub index: &'a Index,
    /// The renamed repositories that the verifier knows. A plan has no say in them.
    pub renamed: &'a [Renamed],
    /// Whether the claims are the plan's author's, and were not asked for here.
    pub claimed_by_plan: bool,
}

/// What a rebuild came to.
#[derive(Debug, Clone)]
pub enum Output {
    /// The builder left a status; with the crate, where cargo packaged one.
    Built {
        /// The status.
        status: Status,
        /// The rebuilt crate's bytes; empty where there is none.
        rebuilt: Vec<u8>,
    },
    /// The build failed by a fault of the machine.
    Failed(String),
}

/// What a rebuild says of a crate.
#[must_use]
pub fn judge(case: &Case<'_>) -> Findings {
    let Case { published, planned, .. } = case;
    let (rebuild, contents) = match (disagreement(case), case.output) {
        (_, Output::Failed(reason)) => (Rebuild::Error { reason: reason.clone().into() }, Contents::NotCompared),
        (Some(reason), _) => (Rebuild::Error { reason: reason.into() }, Contents::NotCompared),
        (None, Output::Built { status, rebuilt }) => built(case, &status.outcome, rebuilt),
    };
    let mut conditions = planned.recipe.conditions(published.binaries);
    let (origin, renamed) = origin(case);
    conditions.extend(renamed);
    if contents.normalised().contains(&Normalised::ExecutableBits) {
        conditions.push(Condition::ExecutableBitsAlike);
    }
    Findings {
        checksum: Checksum::Matches,
        archive: ArchiveForm::WellFormed { alike: published.archive.names_alike() },
        origin: Some(origin),
        reach: reach(&planned.claims, case.claimed_by_plan),
        rebuild,
        contents,
        lockfile: lockfile(case),
        conditions,
        flags: Flags { dirty: published.dirty() },
    }
}

/// What there is to say of a crate that can't be rebuilt.
#[must_use]
pub fn judge_obstacle(obstacle: &Obstacle, claimed_by_plan: bool) -> Findings {
    let (mut checksum, mut archive) = (Checksum::Unknown, ArchiveForm::Unknown);
    let rebuild = match obstacle.cause.clone() {
        Cause::ChecksumMismatch { reason } => {
            checksum = Checksum::Mismatch { reason };
            Rebuild::NotAttempted
        }
        Cause::MalformedArchive { reason } => {
            (checksum, archive) = (Checksum::Matches, ArchiveForm::Malformed { reason });
            Rebuild::NotAttempted
        }
        Cause::NotPackageable { reason } => Rebuild::Refused { reason },
        Cause::Impossible { missing, reason } => Rebuild::Impossible { missing, reason },
        Cause::Error { reason } => Rebuild::Error { reason },
    };
    let origin = obstacle.origin.as_ref();
    let reach = origin.map_or_else(
        || ReachFinding::unknown("no commit is known"),
        |origin| ReachFinding { reach: origin.reach.clone(), asked: origin.asked.clone(), claimed_by_plan },
    );
    Findings {
        checksum,
        archive,
        origin: origin.map(|origin| Origin {
            named_by: origin.tag.clone().map_or(NamedBy::Crate, NamedBy::Tag),
            repository: origin.repository.clone(),
            commit: origin.commit,
            path: origin.path.clone(),
            contradictions: Vec::new(),
        }),
        reach,
        rebuild,
        contents: Contents::NotCompared,
        lockfile: Lockfile::NotAnInput,
        conditions: Vec::new(),
        flags: Flags::default(),
    }
}

/// Why a rebuild is not about this crate. A recipe that is not, or that hides an input, proves nothing, however equal the
/// bytes are.
fn disagreement(case: &Case<'_>) -> Option<String> {
    let PlannedRebuild { checksum, recipe, .. } = case.planned;
    let published = case.published;
    if *checksum != published.checksum {
        return Some(format!(
            "the plan is about a crate with checksum {checksum}, this one has {}",
            published.checksum
        ));
    }
    let toolchain = case.toolchain;
    if toolchain.name != recipe.toolchain {
        return Some(format!("the plan rebuilds it with cargo {}, this is {}", recipe.toolchain, toolchain.name));
    }
    if matches!(toolchain.origin, CargoOrigin::Archive { .. }) && !toolchain.is_official() {
        return Some(format!("the plan's cargo {} is not the official release {}", toolchain.name, toolchain.release));
    }
    if let Output::Built { status, .. } = case.output
        && status.commit != recipe.commit.to_string()
    {
        return Some(format!("it was rebuilt from commit {}, the plan has {}", status.commit, recipe.commit));
    }
    match &published.vcs_info {
        Ok(info) if info.commit != recipe.commit => {
            return Some(format!(
                "the plan rebuilds it from commit {}, the crate names {}",
                recipe.commit, info.commit
            ));
        }
        Ok(info) if info.path.as_ref().is_some_and(|path| *path != recipe.package_path) => {
            return Some("the plan rebuilds it from another folder than the crate names".to_owned());
        }
        Ok(info) if info.dirty != recipe.allow_dirty => {
            return Some("the plan and the crate disagree on whether there were uncommitted changes".to_owned());
        }
        Ok(_) if recipe.outside_git => {
            return Some("the plan packages it as from outside of git, the crate names a commit".to_owned());
        }
        Ok(_) => {}
        Err(Untraceable::NoVcsInfo) if case.planned.claims.tag.is_some() => {}
        Err(error) => return Some(error.to_string()),
    }
    lockfile_disagreement(recipe, published)
}

fn lockfile_disagreement(recipe: &PlannedRecipe, published: &Published) -> Option<String> {
    let input = recipe.published_lockfile.as_ref();
    if input.is_some() != (recipe.index_mode == IndexMode::PublishedLock) {
        return Some("the plan hides whether a Cargo.lock is an input".to_owned());
    }
    let own = published.archive.file(LOCK);
    if input.is_some_and(|lockfile| Some(lockfile.content.0.as_slice()) != own.as_deref()) {
        return Some("the Cargo.lock that is an input is not the published one".to_owned());
    }
    None
}

/// What a build says of the crate's contents.
fn built(case: &Case<'_>, outcome: &Outcome, rebuilt: &[u8]) -> (Rebuild, Contents) {
    let refused = |reason: String| (Rebuild::Refused { reason: reason.into() }, Contents::NotCompared);
    match outcome {
        Outcome::Packaged { file } if *file != format!("{}.crate", case.id.stem()) => {
            let difference = Difference {
                path: MANIFEST.into(),
                kind: Kind::Meaning,
                weight: Weight::Source,
                details: vec![format!("the commit packages {}", file.trim_end_matches(".crate")).into()],
            };
            (Rebuild::Done, Contents::SourceDiffers { differences: NonEmpty::one(difference) })
        }
        Outcome::Packaged { .. } => {
            let sum = Sha256::of(rebuilt);
            if sum == case.published.checksum {
                return (Rebuild::Done, Contents::BitForBit);
            }
            match Archive::read(case.id, rebuilt) {
                Ok(mine) => (Rebuild::Done, compared(case, &mine, sum)),
                Err(error) => {
                    let reason = format!("the rebuilt crate can't be read: {error}");
                    (Rebuild::Error { reason: reason.into() }, Contents::NotCompared)
                }
            }
        }
        Outcome::Refused { message, .. } => {
            // Where its Cargo.lock names what can't have been locked, that may be why.
            let faults = case.planned.claims.lock_faults.iter().map(|fault| format!("\nits Cargo.lock: {fault}"));
            refused(format!("cargo: {}{}", gist(message), faults.collect::<String>()))
        }
        Outcome::LinkLeavesTree { link, target } => {
            refused(format!("the repository's link {link} leads out of it, to {target}"))
        }
        Outcome::Undecided { passed_over, lacks } => {
            let lacks: Vec<&str> = lacks.iter().map(CrateName::as_str).take(5).collect();
            let reason =
                format!("cargo passed {passed_over} over, perhaps as the index slice lacks {}", lacks.join(", "));
            (Rebuild::Error { reason: reason.into() }, Contents::NotCompared)
        }
        Outcome::NotOfCommit { path } => {
            refused(format!("cargo packs {path}, which the commit does not have like that"))
        }
        Outcome::LeadsOut { path } => refused(format!("the repository's {path} takes something from outside of it")),
        Outcome::OwnSources { path } => refused(format!(
            "the repository's {path} says where crates come from, and cargo before 1.63 can't be told otherwise"
        )),
        Outcome::NoPackage { path } => {
            let at = if path.is_empty() { "the root" } else { path };
            refused(format!("the commit has no Cargo.toml in {at}"))
        }
    }
}

fn compared(case: &Case<'_>, rebuilt: &Archive, sum: Sha256) -> Contents {
    let Published { archive, checksum, evidence, .. } = case.published;
    let claims = &case.planned.claims;
    let context = Context {
        lock_tracked: claims.lock_tracked,
        lock_faults: claims.lock_faults.clone(),
        cargo_range: evidence.range,
        rebuilt_by: Minor::of_release(&case.toolchain.release),
    };
    match compare(case.id, (archive, *checksum), (rebuilt, sum), &context) {
        Comparison::Identical => Contents::BitForBit,
        Comparison::SameFiles(Account { normalised, writer, compressor: Some(compressor) }) => {
            Contents::SameContents { normalised, writer, compressor }
        }
        Comparison::SameFiles(Account { normalised, writer, compressor: None }) => {
            Contents::CompressorUnknown { normalised, writer }
        }
        Comparison::Differs(differences) if differences.iter().any(|one| one.weight == Weight::Source) => {
            Contents::SourceDiffers { differences }
        }
        Comparison::Differs(differences) => Contents::GeneratedFilesDiffer { differences },
    }
}

/// Where the crate comes from, and the condition that its repository was renamed. Who names the commit and the repository
/// is read from the crate itself, whatever the plan says.
fn origin(case: &Case<'_>) -> (Origin, Option<Condition>) {
    let PlannedRebuild { claims, recipe, .. } = case.planned;
    let used = &claims.repository;
    let (mut contradictions, mut renamed) = (Vec::new(), None);
    let mut named_by = match (&case.published.vcs_info, &claims.tag) {
        (Err(_), Some(tag)) => NamedBy::Tag(tag.clone()),
        _ => NamedBy::Crate,
    };
    match &case.published.repository {
        Ok(named) if named == used => {}
        Ok(named) if case.renamed.iter().any(|one| one.from == *named && one.to == *used) => {
            renamed = Some(Condition::RenamedRepository { from: named.clone() });
        }
        Ok(named) => contradictions.push(Contradiction::Repository { named: named.to_string().into() }),
        Err(Untraceable::BadRepository(named)) => {
            contradictions.push(Contradiction::Repository { named: named.clone().into() });
        }
        Err(_) if named_by == NamedBy::Crate => named_by = NamedBy::OtherVersion,
        Err(_) => {}
    }
    contradictions.extend(claims.other_tags.iter().cloned().map(Contradiction::Tag));
    contradictions.extend(claims.other_version.clone().map(|version| Contradiction::Version { version }));
    let (commit, path) = (recipe.commit, Some(recipe.package_path.clone()));
    (Origin { named_by, repository: used.clone(), commit, path, contradictions }, renamed)
}

fn reach(claims: &Claims, claimed_by_plan: bool) -> ReachFinding {
    ReachFinding { reach: claims.reach.clone(), asked: claims.asked.clone(), claimed_by_plan }
}

/// Checks a published Cargo.lock that was an input.
fn lockfile(case: &Case<'_>) -> Lockfile {
    let PlannedRebuild { claims, recipe, .. } = case.planned;
    let Some(Base64(text)) = recipe.published_lockfile.as_ref().map(|lockfile| &lockfile.content) else {
        return Lockfile::NotAnInput;
    };
    let manifest = Manifest::of(&case.published.archive);
    let text = String::from_utf8_lossy(text);
    let evidence = examine(&text, case.id, case.index, claims.published, &manifest);
    let mut faults: Vec<Foreign> = evidence.faults.iter().map(|fault| fault.as_str().into()).collect();
    let own = faults.clone();
    faults.extend(claims.lock_faults.iter().filter(|fault| !own.contains(fault)).cloned());
    match NonEmpty::new(faults) {
        Some(faults) => Lockfile::Faults { faults },
        None if !evidence.undated.is_empty() => {
            Lockfile::Undated { versions: evidence.undated.into_iter().map(Into::into).collect() }
        }
        None => Lockfile::Consistent { yanked: evidence.yanked_ids().into_iter().map(Into::into).collect() },
    }
}

/// The first error of what cargo printed, with its causes.
fn gist(message: &str) -> String {
    const LINES: usize = 8;
    let from = message.find("error:").map_or(message, |at| &message[at..]);
    from.trim_start_matches("error:").trim().lines().take(LINES).collect::<Vec<_>>().join("\n")
}

/// A rebuild of a plan with everything that its record is made of.
#[derive(Debug, Clone)]
pub struct Replayed<'a> {
    /// The package, by the plan.
    pub package: &'a PlannedPackage,
    /// Its rebuild, by the plan.
    pub planned: &'a PlannedRebuild,
    /// Its cargo, by the plan.
    pub toolchain: &'a Toolchain,
    /// The rebuild's derivation, and the path of its output.
    pub drv: &'a str,
    /// See [`Self::drv`].
    pub out: &'a str,
    /// What the rebuild came to.
    pub output: &'a Output,
    /// See [`Case::index`].
    pub index: &'a Index,
    /// See [`Case::renamed`].
    pub renamed: &'a [Renamed],
    /// See [`Case::claimed_by_plan`].
    pub claimed_by_plan: bool,
}

impl Replayed<'_> {
    /// The record of the package whose published bytes these are.
    #[must_use]
    pub fn record(&self, bytes: Vec<u8>) -> Record {
        let key = self.package.key.clone();
        let ended = |cause: Cause| {
            let findings = judge_obstacle(&Obstacle { cause, origin: None }, self.claimed_by_plan);
            Record::new(key.clone(), self.package.checksum, findings)
        };
        let artefact = match Artefact::check(key.id(), self.planned.checksum, bytes) {
            Ok(artefact) => artefact,
            Err(error) => return ended(Cause::ChecksumMismatch { reason: error.to_string().into() }),
        };
        let published = match Published::read(&artefact, self.planned.claims.published) {
            Ok(published) => published,
            Err(error) => return ended(Cause::MalformedArchive { reason: error.to_string().into() }),
        };
        let findings = judge(&Case {
            id: &key.id(),
            published: &published,
            planned: self.planned,
            toolchain: self.toolchain,
            output: self.output,
            index: self.index,
            renamed: self.renamed,
            claimed_by_plan: self.claimed_by_plan,
        });
        let recipe = &self.planned.recipe;
        let attempt = AttemptRecord {
            toolchain: self.toolchain.name.clone(),
            in_range: published.evidence.range.unwrap_or(Span::ALL).contains(self.toolchain.minor),
            index_mode: recipe.index_mode,
            workspace: WorkspaceView::of(&recipe.prune),
            verdict: Verdict::of(&findings),
            drv: self.drv.to_owned(),
            out: self.out.to_owned(),
        };
        let record = Record::new(key, self.package.checksum, findings).with_evidence(&published.evidence);
        Record { best: Some(0), attempts: vec![attempt], ..record }
    }
}
