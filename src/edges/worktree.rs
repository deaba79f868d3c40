//! The user's own repository: files as they were at a revision, and who the user is.

use std::path::{Path, PathBuf};

/// The worktree that a folder lies in.
///
/// Only one with a `.git`: no commit can hold that, while it can hold everything else that git takes for a repository.
#[derive(Debug)]
pub struct Worktree {
    repository: gix::Repository,
    root: PathBuf,
}

impl Worktree {
    /// Finds it; none where there is none, or it can't be read.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        let folder = folder.canonicalize().ok()?;
        let root = folder.ancestors().find(|folder| folder.join(".git").exists())?.to_owned();
        let repository = gix::open(root.join(".git")).ok()?;
        Some(Self { repository, root })
    }

    /// Whether it has such a revision.
    #[must_use]
    pub fn has(&self, revision: &str) -> bool {
        self.commit(revision).is_some()
    }

    /// Where a file lies in it; none where that is outside.
    #[must_use]
    pub fn inside(&self, file: &Path) -> Option<PathBuf> {
        let absolute = std::path::absolute(file).ok()?;
        let folder = absolute.parent()?.canonicalize().ok()?;
        Some(folder.strip_prefix(&self.root).ok()?.join(absolute.file_name()?))
    }

    /// A file as it was at a revision; none where it was not there. `file`: as on disk.
    ///
    /// # Errors
    /// Where there is no such revision, or the file lies outside, or was a link or a folder, in words.
    pub fn file_at(&self, revision: &str, file: &Path) -> Result<Option<Vec<u8>>, String> {
        let root = self.root.display();
        let inside = self.inside(file).ok_or_else(|| format!("{} is not in {root}", file.display()))?;
        let commit = self.commit(revision).ok_or_else(|| format!("{root} has no revision {revision}"))?;
        let tree = commit.tree().map_err(|error| error.to_string())?;
        let Some(entry) = tree.lookup_entry_by_path(&inside).map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        if !entry.mode().is_blob() {
            return Err(format!("{} is no plain file at {revision}: links are not followed", inside.display()));
        }
        Ok(Some(entry.object().map_err(|error| error.to_string())?.data.clone()))
    }

    fn commit(&self, revision: &str) -> Option<gix::Commit<'_>> {
        self.repository.rev_parse_single(revision).ok()?.object().ok()?.peel_to_commit().ok()
    }
}

/// Who the user is, by git's configuration for a folder: `Name <address>`; none where that says nothing.
#[must_use]
pub fn author(folder: &Path) -> Option<String> {
    let of = |config: &gix::config::File| {
        let name = config.string("user.name")?;
        let address = config.string("user.email").map_or(String::new(), |address| format!(" <{address}>"));
        Some(format!("{name}{address}"))
    };
    if let Some(Worktree { repository, .. }) = Worktree::of(folder) {
        return of(repository.config_snapshot().plumbing());
    }
    of(&gix::config::File::from_globals().ok()?)
}
