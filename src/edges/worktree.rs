//! The user's own repository: files as they were at a revision, and who the user is.

use std::path::Path;

/// A file as it was at a revision of the repository that it lies in; none where it was not there. `path`: as on disk.
///
/// # Errors
/// Where the file lies in no repository, or that has no such revision, in words.
pub fn file_at(revision: &str, path: &Path) -> Result<Option<Vec<u8>>, String> {
    let absolute = std::path::absolute(path).map_err(|error| error.to_string())?;
    let folder = absolute.parent().unwrap_or(&absolute);
    let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
    let name = absolute.file_name().ok_or_else(|| format!("{} is no file", path.display()))?;
    let repository = gix::discover(&folder).map_err(|_| format!("{} is in no git repository", folder.display()))?;
    let root = repository.workdir().ok_or("the git repository has no worktree")?;
    let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
    let inside = folder.join(name);
    let inside = inside.strip_prefix(&root).map_err(|_| format!("{} is not in {}", path.display(), root.display()))?;
    let commit = repository
        .rev_parse_single(revision)
        .map_err(|_| ())
        .and_then(|id| id.object().map_err(|_| ())?.peel_to_commit().map_err(|_| ()))
        .map_err(|()| format!("{} has no revision {revision}", root.display()))?;
    let tree = commit.tree().map_err(|error| error.to_string())?;
    let Some(entry) = tree.lookup_entry_by_path(inside).map_err(|error| error.to_string())? else { return Ok(None) };
    let object = entry.object().map_err(|error| error.to_string())?;
    Ok((object.kind == gix::objs::Kind::Blob).then(|| object.data.clone()))
}

/// Who the user is, by git's configuration for a folder: `Name <address>`; none where that says nothing.
#[must_use]
pub fn author(folder: &Path) -> Option<String> {
    let of = |config: &gix::config::File| {
        let name = config.string("user.name")?;
        let address = config.string("user.email").map_or(String::new(), |address| format!(" <{address}>"));
        Some(format!("{name}{address}"))
    };
    if let Ok(repository) = gix::discover(folder) {
        return of(repository.config_snapshot().plumbing());
    }
    of(&gix::config::File::from_globals().ok()?)
}
