//! The index as cargo reads it: the slice, and in the place of every crate that it leaves out something that can't be read.
//!
//! Where an index file is missing, cargo takes an older version of what needs it, without a word. A folder in its place is an error
//! that names it, from a cargo between 1.46 and 1.65 on: so cargo itself says what it would have asked for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::symlink;

use crate::model::krate::CrateName;
use crate::model::release::Minor;

/// The first cargo that is known to stop at a folder; 1.46 does not.
pub const STOPS: Minor = Minor(65);

/// Lays the slice in the store out once more at `place`, which must not exist.
///
/// # Errors
/// Where it can't be read or written.
pub fn lay_out(slice: &Path, place: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(place.join("index"))?;
    let (mut there, mut named) = (BTreeSet::new(), BTreeSet::new());
    let mut ahead = vec![PathBuf::from("index")];
    while let Some(path) = ahead.pop() {
        for entry in fs_err::read_dir(slice.join(&path))? {
            let entry = entry?;
            let path = path.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                fs_err::create_dir_all(place.join(&path))?;
                ahead.push(path);
            } else {
                names(&fs_err::read_to_string(entry.path())?, &mut named)?;
                symlink(entry.path(), place.join(&path))?;
                there.insert(path);
            }
        }
    }
    let paths: BTreeSet<PathBuf> = named.iter().map(|name| PathBuf::from(name.index_path())).collect();
    paths.difference(&there).try_for_each(|path| fs_err::create_dir_all(place.join(path)))
}

/// The crates that the lines of an index file may name: whatever stands after these keys. Lines are long and many, and reading them
/// would take longer than packaging.
///
/// # Errors
/// Where keys may be written in another way.
fn names(text: &str, found: &mut BTreeSet<CrateName>) -> std::io::Result<()> {
    let is_odd = |at: usize| text[..at].ends_with([' ', '\t']);
    if text.contains("\\u") || text.match_indices(':').any(|(at, _)| is_odd(at)) {
        return Err(std::io::Error::other("a line of the index slice is not written as registries write them"));
    }
    for key in ["\"name\":", "\"package\":"] {
        for (at, _) in text.match_indices(key) {
            let rest = text[at + key.len()..].trim_start();
            let name = rest.strip_prefix('"').and_then(|rest| rest.split('"').next());
            // One that is none is none that cargo asks for.
            found.extend(name.and_then(|name| name.parse().ok()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_overlooked_are_an_error() {
        let lines =
            [r#"{"name":"some","deps":[{"name" :"hidden"}]}"#, r#"{"name":"some","deps":[{"n\u0061me":"hidden"}]}"#];
        assert!(lines.iter().all(|line| names(line, &mut BTreeSet::new()).is_err()));
        let usual =
            r#"{"name": "some","deps":[{"name":"dep","target":"cfg(target_os = \"x\")"}],"features":{"a":["dep:b"]}}"#;
        names(usual, &mut BTreeSet::new()).unwrap();
    }

    #[test]
    fn what_a_slice_leaves_out_can_not_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let (slice, place) = (folder.path().join("slice"), folder.path().join("place"));
        std::fs::create_dir_all(slice.join("index/so/me")).unwrap();
        std::fs::create_dir_all(slice.join("index/3/d")).unwrap();
        let line = "{\"name\":\"some\",\"deps\":[{\"name\":\"dep\"},{\"name\": \"Gone\"},{\"name\":\"x\",\"package\":\"real-one\"}]}\n";
        std::fs::write(slice.join("index/so/me/some"), line).unwrap();
        std::fs::write(slice.join("index/3/d/dep"), "").unwrap();
        lay_out(&slice, &place).unwrap();
        assert_eq!(std::fs::read_to_string(place.join("index/so/me/some")).unwrap(), line);
        assert_eq!(std::fs::read_to_string(place.join("index/3/d/dep")).unwrap(), "");
        for path in ["index/go/ne/gone", "index/re/al/real-one", "index/1/x"] {
            assert!(std::fs::read_to_string(place.join(path)).is_err() && place.join(path).is_dir(), "{path}");
        }
    }
}
