//! Packages before they are published: as cargo packages them here, and as the sandbox does from the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;

use super::context::{Context, Error};
use crate::edges::cache::Cache;
use crate::edges::cargo::{Cargo, Member, Workspace};
use crate::edges::console::Console;
use crate::edges::git::Git;
use crate::edges::git::lfs::Sizes;
use crate::edges::registry::{self, Registry};
use crate::edges::run_directory::RunDirectory;
use crate::model::digest::Sha256;
use crate::model::krate::{CrateId, CrateName};
use crate::model::package::{PackageKey, RegistryName};
use crate::model::repository::RepositoryUrl;
use crate::stages::approval::Approval;
use crate::stages::artefact::{Archive, LOCK};
use crate::stages::candidate::Candidate;
use crate::stages::check::report::{Checked, From};
use crate::stages::check::{
    Declared, LOCAL, Name, Observed, Problem, Taken, Weight, of_extra_source, of_findings, of_manifest, of_old_cargo,
    of_refusal, of_registry, of_similar_tag, of_size, of_unready,
};
use crate::stages::findings::{Contents, Findings};
use crate::stages::index::raw;
use crate::stages::lock::{Locked, LockedPackage};
use crate::stages::new_crate::candidate;
use crate::stages::plan::{Build, Plan, PlannedRebuild};
use crate::stages::provenance::tag_names;
use crate::stages::record::Record;

/// The author's project, and where its packages are to be published.
#[derive(Debug)]
pub struct Project {
    /// Their cargo.
    pub cargo: Cargo,
    /// Their workspace.
    pub workspace: Workspace,
    /// The packages, each after those that it needs.
    pub members: Vec<Member>,
    /// The registry.
    pub registry: RegistryName,
    /// Its name in cargo's configuration; none for the default one.
    pub label: Option<String>,
    /// Folder of the run.
    pub out: PathBuf,
    /// The folder whose configuration counts.
    pub folder: PathBuf,
}

/// A package as it would be published.
#[derive(Debug)]
pub struct Rehearsed {
    /// The package.
    pub member: Member,
    /// What it would be published as.
    pub key: PackageKey,
    /// What cargo makes of it here; none where it does not.
    pub here: Option<Candidate>,
    /// What is known of it, as if it was published now; none where nothing was built.
    pub record: Option<Record>,
    /// The crate that the sandbox makes; none where it makes none.
    pub sandbox: Option<Vec<u8>>,
    /// Whether the commit has the Cargo.lock that cargo starts from; none where nobody looked.
    pub lock_tracked: Option<bool>,
    /// The checksum of this very version, where the registry has it.
    pub taken: Option<Sha256>,
    /// Whether that is what the sandbox makes.
    pub is_published: bool,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Project {
    /// Members in groups that can be packaged together, each group after those that it needs.
    #[must_use]
    pub fn groups(&self) -> Vec<Vec<Member>> {
        if self.cargo.packages_together() {
            return vec![self.members.clone()];
        }
        let mut groups: Vec<Vec<Member>> = Vec::new();
        for member in &self.members {
            let needed = |group: &Vec<Member>| group.iter().any(|other| member.needs.contains(&other.id));
            let at = groups.iter().rposition(needed).map_or(0, |at| at + 1);
            if at == groups.len() {
                groups.push(Vec::new());
            }
            groups[at].push(member.clone());
        }
        groups
    }

    /// Packages members here; gives why they can't be packaged together, too, where that is so.
    fn package_here(
        &self,
        members: &[Member],
        now: Timestamp,
        console: &Console,
    ) -> Result<(Vec<Rehearsed>, Option<String>), Error> {
        console.stage(&format!("packaging {} here, with cargo {}", plural(members.len()), self.cargo.release));
        fs_err::create_dir_all(&self.workspace.target)?;
        let target = tempfile::tempdir_in(&self.workspace.target)?;
        let all: Vec<&Member> = members.iter().collect();
        let made = (members.len() > 1 && self.cargo.packages_together())
            .then(|| self.cargo.package(&all, self.label.as_deref(), target.path(), false));
        let together = matches!(made, Some(Ok(_)));
        let apart = made.and_then(Result::err).map(|error| format!("cargo can't package them together: {error}"));
        let count = i64::try_from(members.len()).unwrap_or_default();
        let mut packages = Vec::new();
        for (at, member) in (0_i64..).zip(members) {
            let key = PackageKey::new(self.registry.clone(), member.id.clone());
            let file = target.path().join("package").join(format!("{}.crate", member.id.stem()));
            let made = if together {
                Ok(())
            } else {
                self.cargo.package(&[member], self.label.as_deref(), target.path(), false).map(drop)
            };
            // As if each was published a second after those that it needs; registries tell times to the second.
            let published = Timestamp::from_second(now.as_second() - (count - at)).unwrap_or(now);
            let read = || {
                let bytes = fs_err::read(&file).map_err(|error| error.to_string())?;
                candidate(key.clone(), bytes, published).map_err(|error| error.to_string())
            };
            let here = made.map_err(|error| error.to_string()).and_then(|()| read());
            let mut problems = of_manifest(&self.declared(member));
            if !self.cargo.asks_providers() {
                problems.push(of_old_cargo(&self.cargo.release));
            }
            let here = match here {
                Ok(here) => {
                    problems.extend(of_size(&self.registry, here.bytes.len() as u64, here.unpacked_size));
                    Some(here)
                }
                Err(said) => {
                    problems.push(of_refusal(&said));
                    None
                }
            };
            packages.push(Rehearsed {
                member: member.clone(),
                key,
                here,
                record: None,
                sandbox: None,
                lock_tracked: None,
                taken: None,
                is_published: false,
                problems,
            });
        }
        Ok((packages, apart))
    }

    fn declared<'a>(&'a self, member: &'a Member) -> Declared<'a> {
        Declared {
            id: &member.id,
            registry: (&self.registry, self.label.as_deref()),
            publish: member.publish.as_deref(),
            repository: member.repository.as_deref(),
            has_description: member.has_description,
            has_licence: member.has_licence,
        }
    }
}

impl Rehearsed {
    /// What weighs most of what is wrong.
    #[must_use]
    pub fn worst(&self) -> Option<Weight> {
        self.problems.iter().map(|problem| problem.weight).filter(|weight| *weight != Weight::Note).min()
    }

    /// Looks at what the registry has.
    fn look_at_registry(&mut self, project: &Project, registry: &Registry) -> Result<(), registry::Error> {
        let id = &self.member.id;
        let mut taken = Taken::default();
        match registry.newest_index(&id.name) {
            Ok(lines) => {
                let same = |version: &semver::Version| {
                    let without = |version: &semver::Version| semver::Version {
                        build: semver::BuildMetadata::EMPTY,
                        ..version.clone()
                    };
                    without(version) == without(&id.version)
                };
                let found = lines.iter().find(|line| same(&line.version));
                taken.version = found.map(|line| (line.version.to_string(), line.checksum));
                self.taken = found.filter(|line| line.version == id.version).map(|line| line.checksum);
                // One name, in other letters.
                taken.name = raw(lines.iter()).find_map(|(_, text)| {
                    #[derive(serde::Deserialize)]
                    struct Named {
                        name: String,
                    }
                    let Named { name } = serde_json::from_str(&text).ok()?;
                    (name != id.name.as_str()).then_some(name)
                });
            }
            Err(registry::Error::Absent(_)) => {
                for name in spellings(&id.name) {
                    let is_own = project.workspace.packages.iter().any(|member| member.id.name == name);
                    match registry.newest_index(&name) {
                        Ok(_) if !is_own => taken.name = Some(name.as_str().to_owned()),
                        Ok(_) | Err(registry::Error::Absent(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        self.problems.extend(of_registry(id, &taken));
        Ok(())
    }

    /// The checksum of the crate that the sandbox's is compared with: what the registry has, or else what cargo makes here.
    fn compared(&self) -> Option<Sha256> {
        let is_taken = self.problems.iter().any(|problem| problem.name == Name::VersionTaken);
        let here = || self.here.as_ref().filter(|_| !is_taken).map(|here| here.checksum);
        self.taken.or_else(here)
    }

    /// The row of a report; `manifest`: its path, as the repository has it.
    #[must_use]
    pub fn checked(&self, project: &Project, manifest: String, approved_until: Option<Timestamp>) -> Checked {
        let mut problems = self.problems.clone();
        problems.sort_by_key(|problem| problem.weight);
        let origin = self.record.as_ref().and_then(|record| record.findings.origin.as_ref());
        Checked {
            package: self.key.clone(),
            manifest,
            sandbox: self.sandbox.as_deref().map(Sha256::of),
            here: self.here.as_ref().map(|here| here.checksum),
            origin: origin.map(|origin| From { repository: origin.repository.clone(), commit: origin.commit }),
            cargo: project.cargo.release.clone(),
            approved_until,
            problems,
        }
    }

    /// The approval of the crate that the sandbox made; none where it made none.
    #[must_use]
    pub fn approval(&self, project: &Project, until: Timestamp) -> Option<Approval> {
        let record = self.record.as_ref()?;
        let (origin, attempt) = (record.findings.origin.as_ref()?, record.best_attempt()?);
        let checksum = Sha256::of(self.sandbox.as_deref()?);
        if record.findings.contents == Contents::BitForBit && record.checksum != Some(checksum) {
            return None;
        }
        Some(Approval {
            package: self.key.clone(),
            checksum,
            repository: origin.repository.clone(),
            commit: origin.commit,
            cargo: project.cargo.release.clone(),
            drv: attempt.drv.clone(),
            out: attempt.out.clone(),
            until,
        })
    }
}

impl Context {
    /// Packages members here and in the sandbox, and looks at what keeps them from being published at the time from which on servers
    /// are believed.
    ///
    /// # Errors
    /// Where recrate or the machine is at fault. What is wrong with a package is its problem.
    pub fn rehearse(
        &mut self,
        project: &Project,
        members: &[Member],
        run: &RunDirectory,
        console: &Console,
    ) -> Result<(Vec<Rehearsed>, Plan), Error> {
        let now = self.asked_since.unwrap_or_else(Timestamp::now);
        let (mut packages, apart) = project.package_here(members, now, console)?;
        self.notices.extend(apart);
        self.candidates = packages.iter().filter_map(|package| package.here.clone()).collect();
        let place = self.cargo_config.place(&project.registry);
        let place = place.map_err(|error| Error::CannotBuild(error.to_string()))?;
        // What it has, without what is to be published.
        let registry = Registry::new(place, self.cache.clone(), self.network.clone());
        for package in &mut packages {
            let looked = package.look_at_registry(project, &registry);
            looked.map_err(|error| Error::CannotBuild(format!("the registry can't be asked: {error}")))?;
        }
        let plan = self.build_candidates(&mut packages, run, console)?;
        Ok((packages, plan))
    }

    /// Builds packages in the sandbox as if they were published now, and notes what is wrong.
    fn build_candidates(
        &self,
        packages: &mut [Rehearsed],
        run: &RunDirectory,
        console: &Console,
    ) -> Result<Plan, Error> {
        let wanted = packages.iter().filter_map(|package| {
            Some(LockedPackage { key: package.key.clone(), checksum: Some(package.compared()?) })
        });
        let mut locked: Vec<LockedPackage> = wanted.collect();
        locked.sort();
        let (records, plan) = self.verify(&Locked { packages: locked, skipped: Vec::new() }, false, run, console)?;
        for record in records {
            let Some(package) = packages.iter_mut().find(|package| package.key == record.key) else { continue };
            let build = plan.packages.get(&record.key.job()).map(|planned| &planned.build);
            let (obstacle, claims) = match build {
                Some(Build::Rebuild(rebuild)) => (None, Some(&rebuild.claims)),
                Some(Build::Obstacle(obstacle)) => (Some(obstacle.as_ref()), None),
                None => (None, None),
            };
            package.sandbox = self.rebuilt(&record, run.path()).ok();
            package.lock_tracked = claims.map(|claims| claims.lock_tracked);
            let id = record.key.id();
            let only = claims.is_some_and(|claims| claims.only_package);
            let tags = tag_names(&id, only);
            let has_lock = [package.here.as_ref().map(|here| &here.bytes), package.sandbox.as_ref()]
                .into_iter()
                .flatten()
                .any(|bytes| Archive::read(&id, bytes).is_ok_and(|archive| archive.file(LOCK).is_some()));
            let (is_tagged, tagged_similar) = self.tagged(&record.findings, &tags, only.then_some(&id));
            package.is_published =
                package.taken.is_some() && package.sandbox.as_deref().map(Sha256::of) == package.taken;
            if package.taken.is_some() && !package.is_published {
                package.record = Some(record);
                continue;
            }
            package.problems.extend(tagged_similar.iter().map(|tag| of_similar_tag(tag)));
            if let Some(Build::Rebuild(rebuild)) = build {
                package.problems.extend(self.extra_sources_of(&plan, rebuild));
            }
            package.problems.extend(of_findings(&Observed {
                id: &id,
                findings: &record.findings,
                obstacle,
                lock_tracked: package.lock_tracked,
                has_lock,
                is_tagged,
                tag: tags.iter().find(|tag| tag.starts_with('v')).or(tags.first()).map(String::as_str),
            }));
            if let (Some(here), Ok(registry)) = (&package.here, self.registry(&record.key.registry)) {
                // That it can't be kept costs `recrate diff` only.
                let _ = registry.keep(here);
            }
            package.record = Some(record);
        }
        // The Cargo.lock of who needs a package has that one's checksum.
        let mut unready: BTreeSet<CrateId> = BTreeSet::new();
        for package in packages {
            let needed = package.member.needs.iter().filter(|id| unready.contains(id));
            package.problems.extend(needed.map(of_unready).collect::<Vec<_>>());
            if package.worst().is_some() && !package.is_published {
                unready.insert(package.member.id.clone());
            }
        }
        Ok(plan)
    }

    /// Whether a tag with one of these names is on the commit; and tags that look like those of `only`, the repository's only package, and
    /// are on other commits.
    fn tagged(&self, findings: &Findings, tags: &[String], only: Option<&CrateId>) -> (bool, Vec<String>) {
        let Some(origin) = &findings.origin else { return (false, Vec::new()) };
        let Ok(history) = self.git.history(&origin.repository, &[origin.commit]) else { return (false, Vec::new()) };
        let is_tagged = tags.iter().any(|tag| history.tags().get(tag) == Some(&origin.commit));
        let looks_alike = |tag: &str| {
            let before = only.and_then(|id| tag.strip_suffix(&id.version.to_string()));
            before.is_some_and(|before| !before.ends_with(|c: char| c.is_ascii_digit()) && !before.ends_with("-."))
        };
        let others =
            history.tags().iter().filter(|(tag, at)| **at != origin.commit && !tags.contains(tag) && looks_alike(tag));
        (is_tagged, others.map(|(tag, _)| tag.clone()).collect())
    }

    /// What others could not fetch of what a rebuild takes besides the package's own commit. All of it is asked for again: what is cached
    /// may be gone.
    fn extra_sources_of(&self, plan: &Plan, rebuild: &PlannedRebuild) -> Vec<Problem> {
        let mut problems = Vec::new();
        for id in rebuild.recipe.extra_commits() {
            let Some(pin) = plan.commits.get(&id) else { continue };
            let repository = &pin.repository;
            match self.git.history(repository, &[id]) {
                Ok(history) if history.asked().source.raw() == LOCAL => {
                    problems.push(of_extra_source(&format!("a folder of this machine stood for {repository}")));
                }
                Ok(history) if history.has(id) => {}
                Ok(_) => {
                    problems.push(of_extra_source(&format!("no branch and no tag of {repository} reaches {id}")));
                }
                Err(error) => problems.push(of_extra_source(&format!("{repository} can't be asked: {error}"))),
            }
        }
        let mut sizes: BTreeMap<RepositoryUrl, Sizes> = BTreeMap::new();
        for hash in rebuild.recipe.lfs.values() {
            if let Some(object) = plan.lfs_objects.get(hash) {
                sizes.entry(object.repository.clone()).or_default().insert(*hash, object.size);
            }
        }
        for (repository, sizes) in sizes {
            let fetched = tempfile::tempdir().map(|nowhere| {
                let git = Git { cache: Cache::at(nowhere.path().to_owned()), ..self.git.clone() };
                git.lfs_objects(&repository, &sizes).into_values().find_map(Result::err).map(|error| error.to_string())
            });
            match fetched {
                Ok(None) => {}
                Ok(Some(error)) => problems.push(of_extra_source(&format!("an LFS object of {repository}: {error}"))),
                Err(error) => problems.push(of_extra_source(&format!("LFS objects can't be fetched: {error}"))),
            }
        }
        problems
    }
}

/// How many hyphens and underscores of a name are tried in the other spelling.
const SPELLED: usize = 5;

/// The other spellings of a name that registries take for the same: with `-` and `_` in each other's place.
fn spellings(name: &CrateName) -> Vec<CrateName> {
    let own = name.as_str();
    let places: Vec<usize> = own.match_indices(['-', '_']).map(|(at, _)| at).take(SPELLED).collect();
    let spelled = (0..1_usize << places.len()).filter_map(|choice| {
        let mut text = own.as_bytes().to_vec();
        for (bit, at) in places.iter().enumerate() {
            text[*at] = if choice >> bit & 1 == 1 { b'_' } else { b'-' };
        }
        String::from_utf8(text).ok()?.parse().ok()
    });
    spelled.filter(|other| other != name).collect()
}

/// A number of packages.
fn plural(count: usize) -> String {
    if count == 1 { "a package".to_owned() } else { format!("{count} packages") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_as_many_spellings_as_its_hyphens_allow() {
        let of = |name: &str| -> Vec<String> {
            spellings(&name.parse().unwrap()).into_iter().map(|other| other.as_str().to_owned()).collect()
        };
        assert_eq!(of("plain"), [""; 0]);
        assert_eq!(of("a-b_c"), ["a-b-c", "a_b-c", "a_b_c"]);
        assert_eq!(of(&"a-".repeat(32)).len(), (1 << SPELLED) - 1);
    }
}
