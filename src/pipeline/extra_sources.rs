//! Commits that rebuilds need besides the packages' own: submodules that were checked out, and what members of a
//! workspace take from git.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use url::Url;

use super::context::Context;
use super::trace::Commits;
use crate::edges::git;
use crate::edges::git::commit::{CargoFiles, Commit};
use crate::model::commit::CommitId;
use crate::model::digest::{Sha256, Sri};
use crate::model::repository::{BadRepositoryUrl, RepositoryUrl};
use crate::model::sub_path::SubPath;
use crate::stages::checkout::Traces;
use crate::stages::claims::{Cause, Missing};
use crate::stages::lock::{GitSource, git_packages};
use crate::stages::manifest::Manifest;
use crate::stages::plan::{CommitPin, GitDependency};
use crate::stages::workspace::resolve;

/// How deep submodules may be in one another. What is deeper is left unchecked out, and shows as a difference.
pub const DEPTH: usize = 4;

/// How many submodules a package may need.
const SUBMODULES: usize = 64;

/// A commit that is needed.
#[derive(Debug, Clone)]
struct Wanted {
    role: Role,
    /// An error where the address is not an allowed one.
    repository: Result<RepositoryUrl, String>,
    commit: CommitId,
}

/// What a commit is needed for.
#[derive(Debug, Clone)]
enum Role {
    /// The submodule at this path.
    Submodule(String),
    /// These packages, as the workspace's Cargo.lock says; all, where it is silent and a manifest says which commit.
    Git(GitSource, BTreeSet<String>),
}

/// What a package needs besides its own commit.
#[derive(Debug, Default)]
pub struct ExtraSources {
    /// The submodules, by path.
    pub submodules: BTreeMap<SubPath, CommitId>,
    /// The packages from git.
    pub git_dependencies: Vec<GitDependency>,
    /// The commits of both.
    pub commits: BTreeMap<CommitId, (Commit, CommitPin)>,
    /// Folders that a manifest names, relative to the repository.
    named: BTreeSet<String>,
    /// Files of the package, relative to the repository.
    files: BTreeSet<String>,
    wanted: Vec<Wanted>,
}

/// Whether members of the workspace can stay, once everything that can be had was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// Nothing speaks against it.
    CanStay,
    /// Some need what can't be had: they must be left out.
    MustGo,
}

impl ExtraSources {
    /// What a package needs that was packaged from this commit.
    #[must_use]
    pub fn of(
        repository: &RepositoryUrl,
        path: &SubPath,
        workspace: &SubPath,
        files: &CargoFiles,
        traces: &Traces,
    ) -> Self {
        let files_of = traces.files().map(|file| path.join(file)).flat_map(|file| {
            let behind = behind_link(&file, &files.links);
            [Some(file), behind].into_iter().flatten()
        });
        let mut extra = Self { files: files_of.collect(), ..Self::default() };
        extra.name("", files);
        extra.want_submodules("", repository, files);
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
            extra.wanted.push(Wanted { role: Role::Git(source, names), repository, commit });
        }
        extra
    }

    /// Remembers the folders that manifests name. `above` is where the commit is in the worktree.
    fn name(&mut self, above: &str, files: &CargoFiles) {
        for (folder, text) in &files.manifests {
            let Ok(base) = join(above, folder.as_str()).parse() else { continue };
            let manifest = Manifest::read(text);
            let named = manifest.paths().into_iter().filter_map(|path| resolve(&base, path)).map(String::from);
            self.named.extend(named);
        }
    }

    /// Wants the submodules that the crate has files of, or that a manifest names a folder of.
    fn want_submodules(&mut self, above: &str, repository: &RepositoryUrl, files: &CargoFiles) {
        for (path, commit) in &files.gitlinks {
            let address = files.submodules.get(path).map_or("", String::as_str);
            let path = join(above, path);
            let named = |folder: &String| *folder == path || is_below(folder, &path);
            let needed = self.has_files_in(&path) || self.named.iter().any(named);
            if needed && self.submodules.len() + self.wanted.len() < SUBMODULES {
                let repository = submodule_address(repository, address);
                self.wanted.push(Wanted { role: Role::Submodule(path), repository, commit: *commit });
            }
        }
    }

    /// Whether the crate has files of a submodule.
    fn has_files_in(&self, submodule: &str) -> bool {
        self.files.iter().any(|file| is_below(file, submodule))
    }

    /// The commits that are still wanted.
    pub fn wanted(&self) -> impl Iterator<Item = (&RepositoryUrl, CommitId)> {
        self.wanted.iter().filter_map(|wanted| Some((wanted.repository.as_ref().ok()?, wanted.commit)))
    }

    /// Whether nothing is wanted any more.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Takes what was wanted, as far as it was fetched. Ends where something can't be had that the package can't do without;
    /// what it takes may want more.
    pub fn resolve(
        &mut self,
        fetched: &Commits,
        context: &Context,
        can_be_pruned: bool,
    ) -> ControlFlow<Cause, Members> {
        let mut members = Members::CanStay;
        for wanted in std::mem::take(&mut self.wanted) {
            let what = match &wanted.role {
                Role::Submodule(path) => format!("its submodule {path}"),
                Role::Git(source, _) => format!("what its workspace takes from {}", source.url),
            };
            let missing = |cause: Cause| match cause {
                Cause::Error { reason } => Cause::Error { reason: format!("{what} can't be fetched: {reason}").into() },
                Cause::Impossible { reason, .. } => Cause::Impossible {
                    missing: Missing::ExtraSource,
                    reason: format!("{what} can't be fetched: {reason}").into(),
                },
                other => other,
            };
            let cause = match &wanted.repository {
                Err(reason) => {
                    missing(Cause::Impossible { missing: Missing::ExtraSource, reason: reason.clone().into() })
                }
                Ok(repository) => match fetched.get(&(repository.clone(), wanted.commit)) {
                    Some(Ok(commit)) => match self.take(wanted.clone(), repository.clone(), commit.clone(), context) {
                        Ok(()) => continue,
                        Err(error) => missing(error.cause()),
                    },
                    Some(Err(error)) => missing(error.cause()),
                    None => continue,
                },
            };
            match &wanted.role {
                // What no lock file names cargo may do without; it will say.
                Role::Git(_, names) if names.is_empty() => {}
                // Members that take something from git may be left out.
                Role::Git(..) if can_be_pruned => members = Members::MustGo,
                // cargo will say whether it needs the manifest there.
                Role::Submodule(path) if !self.has_files_in(path) => {}
                Role::Submodule(_) | Role::Git(..) => return ControlFlow::Break(cause),
            }
        }
        ControlFlow::Continue(members)
    }

    /// Takes a commit that was wanted.
    fn take(
        &mut self,
        wanted: Wanted,
        repository: RepositoryUrl,
        commit: Commit,
        context: &Context,
    ) -> Result<(), git::Error> {
        let files = commit.cargo_files()?;
        match wanted.role {
            Role::Submodule(path) => {
                self.name(&path, &files);
                self.want_submodules(&path, &repository, &files);
                let path = path.parse().map_err(|error| git::Error::Refused(format!("{error}")))?;
                self.submodules.insert(path, wanted.commit);
            }
            Role::Git(source, names) => {
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
        let pin = context.pin_of(repository, &commit, &SubPath::default())?;
        self.commits.insert(wanted.commit, (commit, pin));
        Ok(())
    }
}

impl Context {
    /// What a plan has of a commit, with its source for a folder.
    ///
    /// # Errors
    /// Where a file can't be read.
    pub fn pin_of(
        &self,
        repository: RepositoryUrl,
        commit: &Commit,
        folder: &SubPath,
    ) -> Result<CommitPin, git::Error> {
        let tree = commit.tree.to_string();
        let trees = match self.cache.recall("trees", &tree) {
            Some(trees) => trees,
            None => {
                let trees = Sri(Sha256::of(&commit.trees()?));
                self.cache.remember("trees", &tree, &trees);
                trees
            }
        };
        Ok(CommitPin {
            repository,
            object: crate::contract::recipe::Base64(commit.body.clone()),
            trees,
            sources: BTreeMap::from([(folder.clone(), self.source_of(commit, folder)?)]),
        })
    }

    /// The hash of a commit's source for a folder, remembered by tree: it depends on nothing else.
    ///
    /// # Errors
    /// Where a file can't be read.
    pub fn source_of(&self, commit: &Commit, folder: &SubPath) -> Result<Sri, git::Error> {
        let inputs = (commit.tree.to_string(), folder);
        if let Some(hash) = self.cache.recall("source", &inputs) {
            return Ok(hash);
        }
        let hash = self.permits.with(0, || commit.export(folder, None))?;
        self.cache.remember("source", &inputs, &hash);
        Ok(hash)
    }
}

/// A submodule's address: one that begins with a dot is relative to the repository's own.
fn submodule_address(repository: &RepositoryUrl, address: &str) -> Result<RepositoryUrl, String> {
    let absolute = if address.starts_with("./") || address.starts_with("../") {
        let base = Url::parse(&format!("{repository}/")).map_err(|error| error.to_string())?;
        base.join(address).map_err(|error| error.to_string())?.to_string()
    } else {
        address.to_owned()
    };
    absolute.parse().map_err(|error: BadRepositoryUrl| error.to_string())
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
