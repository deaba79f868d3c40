//! Links of the worktree: where they lead, step by step, whether something is there yet or not.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// How many links are followed on the way to one file, as Linux does.
const LIMIT: usize = 40;

/// Follows a link below `root`. Gives where it leads, relative to the root; none where it leads round in circles.
///
/// # Errors
/// Where the way leaves the root, were it to come back, or passes a `.git`: what lies there was made on this machine. The target
/// that does so.
pub fn follow(root: &Path, link: &Path) -> Result<Option<PathBuf>, PathBuf> {
    let mut ahead: VecDeque<OsString> = link.iter().map(ToOwned::to_owned).collect();
    let mut here = PathBuf::new();
    let (mut target, mut links) = (link.to_owned(), 0);
    while let Some(part) = ahead.pop_front() {
        match Path::new(&part).components().next() {
            None | Some(Component::CurDir) => continue,
            Some(Component::ParentDir) if here.pop() => continue,
            Some(Component::Normal(name)) if !name.eq_ignore_ascii_case(".git") => here.push(name),
            Some(Component::ParentDir | Component::Normal(_) | Component::RootDir | Component::Prefix(_)) => {
                return Err(target);
            }
        }
        // What can't be read is not there, and leads nowhere further.
        let Ok(next) = fs_err::read_link(root.join(&here)) else { continue };
        links += 1;
        if links > LIMIT {
            return Ok(None);
        }
        here.pop();
        for part in next.components().rev() {
            ahead.push_front(part.as_os_str().to_owned());
        }
        target = next;
    }
    Ok(Some(here))
}

/// A place below `root` that no link leads to or leads through: what is written there is written there and nowhere else.
#[must_use]
pub fn place(root: &Path, path: &Path) -> Option<PathBuf> {
    let is_link = |path: &Path| fs_err::symlink_metadata(root.join(path)).is_ok_and(|found| found.is_symlink());
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !path.ancestors().any(is_link)).then(|| root.join(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Where a link `a/link` leads; other links lie beside it.
    fn leads(target: &str, others: &[(&str, &str)]) -> Result<Option<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("a/b/c")).unwrap();
        for (link, target) in others.iter().chain([&("a/link", target)]) {
            symlink(target, root.join(link)).unwrap();
        }
        let text = |path: PathBuf| path.display().to_string();
        follow(&root, Path::new("a/link")).map(|path| path.map(text)).map_err(text)
    }

    #[test]
    fn a_link_leads_somewhere_in_the_tree_whether_or_not_it_is_there() {
        for (target, path) in
            [("b", "a/b"), ("../x/./y", "x/y"), ("b/c/../../z", "a/z"), ("..", ""), ("gone/../b", "a/b")]
        {
            assert_eq!(leads(target, &[]), Ok(Some(path.to_owned())), "{target}");
        }
        assert_eq!(leads("deep/../x", &[("a/deep", "b/c")]), Ok(Some("a/b/x".to_owned())), "not a/x");
        assert_eq!(leads("link", &[]), Ok(None));
    }

    #[test]
    fn a_link_that_leaves_the_tree_on_its_way_leads_out() {
        for target in ["/etc", "../..", "../../root/a/b", "../../gone", "../.git/config", "b/.GIT/x", "../sub/.git"] {
            assert_eq!(leads(target, &[]), Err(target.to_owned()));
        }
        // By its letters it stays inside.
        assert_eq!(leads("up/../x", &[("a/up", "..")]), Err("up/../x".to_owned()).or(Err("..".to_owned())));
    }

    #[test]
    fn nothing_is_written_through_links() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("real")).unwrap();
        symlink("real", folder.path().join("folder")).unwrap();
        symlink("real/file", folder.path().join("file")).unwrap();
        let place = |path: &str| place(folder.path(), Path::new(path));
        assert_eq!(place("real/file"), Some(folder.path().join("real/file")));
        for path in ["file", "folder/file", "folder", "../x", "/x"] {
            assert_eq!(place(path), None, "{path}");
        }
    }
}
