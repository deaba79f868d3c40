//! Commits that rebuilds need besides the packages' own: submodules that were checked out, and what members of a
//! workspace take from git.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use url::Url;

use super::case::{Case, Settled, exported};
use super::commits::Commits;
use super::{Lab, in_parallel};
use crate::edges::git;
use crate::edges::git::commit::{CargoFiles, Commit, Export};
use crate::model::digest::Sri;
use crate::model::source::{CommitId, GitSource, RepositoryUrl, SubPath};
use crate::stages::checkout::Traces;
use crate::stages::lock::git_packages;
use crate::stages::manifest::Manifest;
use crate::stages::plan::{GitDependency, LfsObject, Source};
use crate::stages::verdict::Verdict;
use crate::stages::workspace::resolve;

/// How deep submodules may lie in one another. What lies deeper is left unchecked out, and shows as a difference.
const DEPTH: usize = 4;

/// How many submodules a crate may need.
const SUBMODULES: usize = 64;

/// A commit that is needed.
#[derive(Debug, Clone)]
struct Wanted {
    place: Place,
    /// An error where the address is none that git is let loose on.
    repository: Result<RepositoryUrl, String>,
    commit: CommitId,
}

/// What a commit is needed for.
#[derive(Debug, Clone)]
enum Place {
    /// The submodule at this path.
    Submodule(String),
    /// These packages, as the workspace's Cargo.lock says; all, where it is silent and a manifest says which commit.
    Git(GitSource, BTreeSet<String>),
}

/// What a crate needs besides its own commit.
#[derive(Debug, Default)]
pub struct Further {
    /// The submodules, by path.
    pub submodules: BTreeMap<String, CommitId>,
    /// The packages from git.
    pub git_dependencies: Vec<GitDependency>,
    /// The commits of both.
    pub commits: BTreeMap<CommitId, (Commit, Source)>,
    /// The LFS objects, with where they lie.
    pub objects: BTreeMap<Sri, (LfsObject, PathBuf)>,
    /// Folders that a manifest names, relative to the repository.
    named: BTreeSet<String>,
    /// Files of the package, relative to the repository.
    files: BTreeSet<String>,
    wanted: Vec<Wanted>,
}

impl Further {
    /// What a crate needs that was packaged from this commit.
    pub(super) fn of(
        repository: &RepositoryUrl,
        path: &SubPath,
        workspace: &SubPath,
        files: &CargoFiles,
        export: &Export,
        traces: &Traces,
    ) -> Self {
        let files_of = traces.files().map(|file| path.join(file)).flat_map(|file| {
            let behind = behind_link(&file, &files.links);
            [Some(file), behind].into_iter().flatten()
        });
        let mut further = Self { files: files_of.collect(), ..Self::default() };
        further.name("", files);
        further.want_submodules("", repository, files, export);
        let mut pinned = files.locks.get(workspace).map(|text| git_packages(text)).unwrap_or_default();
        for folder in BTreeSet::from([path, workspace]) {
            let manifest = files.manifests.get(folder).map(|text| Manifest::read(text)).unwrap_or_default();
            for source in manifest.git_revisions() {
                pinned.entry(source).or_default();
            }
        }
        for (source, names) in pinned {
            let repository = source.url.parse::<RepositoryUrl>().map_err(|error| error.to_string());
            let commit = source.commit;
            further.wanted.push(Wanted { place: Place::Git(source, names), repository, commit });
        }
        further
    }

    /// Remembers the folders that manifests name. `above` is where the commit lies in the worktree.
    fn name(&mut self, above: &str, files: &CargoFiles) {
        for (folder, text) in &files.manifests {
            let Ok(base) = join(above, folder.as_str()).parse() else { continue };
            let manifest = Manifest::read(text);
            let named = manifest.paths().into_iter().filter_map(|path| resolve(&base, path)).map(String::from);
            self.named.extend(named);
        }
    }

    /// Wants the submodules that the crate has files of, or that a manifest names a folder of.
    fn want_submodules(&mut self, above: &str, repository: &RepositoryUrl, files: &CargoFiles, export: &Export) {
        for (path, commit) in &export.submodules {
            let address = files.submodules.get(path).map_or("", String::as_str);
            let path = join(above, path);
            let named = |folder: &String| *folder == path || is_below(folder, &path);
            let needed = self.has_files_in(&path) || self.named.iter().any(named);
            if needed && self.submodules.len() + self.wanted.len() < SUBMODULES {
                let repository = submodule_address(repository, address);
                self.wanted.push(Wanted { place: Place::Submodule(path), repository, commit: *commit });
            }
        }
    }

    /// Whether the crate has files of a submodule.
    fn has_files_in(&self, submodule: &str) -> bool {
        self.files.iter().any(|file| is_below(file, submodule))
    }

    /// Takes a commit that was wanted.
    fn take(&mut self, wanted: Wanted, repository: RepositoryUrl, commit: Commit, lab: &Lab) -> Result<(), git::Error> {
        let files = commit.cargo_files()?;
        let export = exported(&commit, lab)?;
        match wanted.place {
            Place::Submodule(path) => {
                self.name(&path, &files);
                self.want_submodules(&path, &repository, &files, &export);
                self.submodules.insert(path, wanted.commit);
            }
            Place::Git(source, names) => {
                let named = |text: &str| {
                    Manifest::read(text).name().is_some_and(|name| names.is_empty() || names.contains(name))
                };
                let packages = files.manifests.iter().filter(|(_, text)| named(text));
                self.git_dependencies.push(GitDependency {
                    commit: source.commit,
                    packages: packages.map(|(path, _)| path.clone()).collect(),
                    reference: source.reference,
                    url: source.url,
                });
                self.git_dependencies.sort();
            }
        }
        let source = Source::of(repository, &commit.body, export.nar_hash, export.submodules);
        self.commits.insert(wanted.commit, (commit, source));
        Ok(())
    }
}

impl Lab {
    /// Brings what cases need besides their own commits, one request for each repository. Cases that need something
    /// that can't be had end here.
    pub(super) fn furnish(&self, mut cases: Vec<Case>) -> (Vec<Case>, Vec<Settled>) {
        let mut settled = Vec::new();
        for _ in 0..DEPTH {
            let mut by_repository: BTreeMap<RepositoryUrl, BTreeSet<CommitId>> = BTreeMap::new();
            let wanted = cases.iter().filter_map(|case| case.located.as_ref()).flat_map(|one| &one.further.wanted);
            for Wanted { repository, commit, .. } in wanted {
                if let Ok(repository) = repository {
                    by_repository.entry(repository.clone()).or_default().insert(*commit);
                }
            }
            if cases.iter().all(|case| case.located.as_ref().is_none_or(|one| one.further.wanted.is_empty())) {
                break;
            }
            let fetched = self.commits_of(by_repository);
            let furnished = in_parallel(self.workers, cases, |case| case.furnish(&fetched, self));
            cases = Vec::new();
            for one in furnished {
                match one {
                    Ok(case) => cases.push(case),
                    Err(end) => settled.push(end),
                }
            }
        }
        let (cases, lacking) = self.furnish_objects(cases);
        settled.extend(lacking);
        (cases, settled)
    }
}

impl Case {
    fn furnish(mut self, fetched: &Commits, lab: &Lab) -> Result<Self, Settled> {
        let Some(located) = &mut self.located else { return Ok(self) };
        for wanted in std::mem::take(&mut located.further.wanted) {
            let what = match &wanted.place {
                Place::Submodule(path) => format!("its submodule {path}"),
                Place::Git(source, _) => format!("what its workspace takes from {}", source.url),
            };
            let verdict = match &wanted.repository {
                Err(reason) => Verdict::unverifiable(format!("{what} can't be had: {reason}")),
                Ok(repository) => match fetched.get(&(repository.clone(), wanted.commit)) {
                    Some(Ok(commit)) => {
                        match located.further.take(wanted.clone(), repository.clone(), commit.clone(), lab) {
                            Ok(()) => continue,
                            Err(error) => error.verdict(&what),
                        }
                    }
                    Some(Err(error)) => error.verdict(&what),
                    None => continue,
                },
            };
            match &wanted.place {
                // What no lock file names cargo may do without; it will say.
                Place::Git(_, names) if names.is_empty() => continue,
                // Members that take something from git may be left out.
                Place::Git(..) if self.subject.can_be_alone => {
                    self.subject.must_be_alone = true;
                    continue;
                }
                // cargo will say whether it needs the manifest there.
                Place::Submodule(path) if !located.further.has_files_in(path) => continue,
                Place::Submodule(_) | Place::Git(..) => {}
            }
            return Err(self.settle(verdict));
        }
        Ok(self)
    }
}

impl git::Error {
    /// What is said of a crate that needs a commit that can't be had: that it is not there is a finding, everything
    /// else is not.
    pub(super) fn verdict(&self, what: &str) -> Verdict {
        let reason = if what.is_empty() { self.to_string() } else { format!("{what} can't be had: {self}") };
        match self {
            Self::Gone(_) | Self::Refused(_) => Verdict::unverifiable(reason),
            Self::Unreachable { .. } | Self::Offline(_) | Self::OfflineObject(_) | Self::File(_) => {
                Verdict::Inconclusive { reason }
            }
        }
    }
}

/// A submodule's address: one that begins with a dot goes from the repository's own.
fn submodule_address(repository: &RepositoryUrl, address: &str) -> Result<RepositoryUrl, String> {
    let absolute = if address.starts_with("./") || address.starts_with("../") {
        let base = Url::parse(&format!("{repository}/")).map_err(|error| error.to_string())?;
        base.join(address).map_err(|error| error.to_string())?.to_string()
    } else {
        address.to_owned()
    };
    absolute.parse().map_err(|error: crate::model::source::BadSource| error.to_string())
}

/// Where a file lies that the package has through a link; none where no link is in its path.
fn behind_link(file: &str, links: &BTreeMap<String, String>) -> Option<String> {
    let at_or_below = |link: &String| file == link || is_below(file, link);
    let (link, target) = links.iter().find(|(link, _)| at_or_below(link))?;
    let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder).parse().ok()?;
    Some(format!("{}{}", resolve(&folder, target)?, &file[link.len()..]))
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn join(folder: &str, path: &str) -> String {
    match (folder, path) {
        ("", path) => path.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, path) => format!("{folder}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_may_lie_behind_a_link() {
        let links = BTreeMap::from([("a/src/generated".to_owned(), "../../vendored/x".to_owned())]);
        let behind = |file: &str| behind_link(file, &links);
        assert_eq!(behind("a/src/generated/mod.rs").as_deref(), Some("vendored/x/mod.rs"));
        assert_eq!(behind("a/src/generated").as_deref(), Some("vendored/x"));
        assert_eq!(behind("a/src/generated.rs"), None);
        let out = BTreeMap::from([("a".to_owned(), "../../b".to_owned())]);
        assert_eq!(behind_link("a/c", &out), None);
    }

    #[test]
    fn addresses_of_submodules_may_be_relative() {
        let repository = "https://git.example/a/b".parse().unwrap();
        let at = |address: &str| submodule_address(&repository, address).ok().map(String::from);
        assert_eq!(at("../c.git").as_deref(), Some("https://git.example/a/c"));
        assert_eq!(at("../../d/e").as_deref(), Some("https://git.example/d/e"));
        assert_eq!(at("git@other.example:x/y.git").as_deref(), Some("https://other.example/x/y"));
        for bad in ["", "ext::sh -c id", "/etc", "file:///etc"] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }
}
