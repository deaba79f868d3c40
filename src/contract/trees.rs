//! All tree objects of a commit, as one file that its packages share.
//!
//! They prove what a commit's files are even where most of them are not available, and cargos that ask git for the state of
//! a whole repository (libgit2, up to 1.85) walk them. The file has each tree once, as git hashes it, in the order of a walk
//! from the root: a folder before what is in it. So it is the same whoever makes it, and whoever reads it proves it on the
//! way.

use std::collections::{BTreeMap, HashSet};

use super::git::{Kind, ObjectId, hash};
use crate::model::commit::CommitId;

/// How many files a commit may have, how deep they may lie, and how large its trees may be together.
const FILE_LIMIT: usize = 300_000;
const DEPTH_LIMIT: usize = 128;
const SIZE_LIMIT: usize = 256 << 20;

/// Why trees are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTrees {
    /// The file ends early, goes on too long, or holds something else than trees.
    #[error("the file of its trees is damaged")]
    Malformed,
    /// A tree is not the one that is named above it.
    #[error("tree {0} is not what the file has in its place")]
    Unproven(ObjectId),
    /// A tree can't be read.
    #[error("tree {0} can't be read as one")]
    NoTree(ObjectId),
    /// A name that git refuses, or that can't be a file's.
    #[error("it has a file named `{0}`")]
    Name(String),
    /// More than any honest commit.
    #[error("{0}")]
    TooMuch(&'static str),
}

/// The tree objects of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trees {
    root: ObjectId,
    /// Each once, in the order of the walk: id and body.
    objects: Vec<(ObjectId, Vec<u8>)>,
}

/// What a commit's trees name besides folders: by path, `/` between the parts, in the order of git's index.
pub type Leaves = BTreeMap<Vec<u8>, Leaf>;

/// A file, link or submodule of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// The blob; of a submodule, the commit.
    pub id: ObjectId,
    /// What it is.
    pub mode: Mode,
}

/// The modes that git gives to tree entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A file.
    File,
    /// A file with its owner's executable bit.
    Executable,
    /// A symbolic link.
    Link,
    /// A folder.
    Tree,
    /// A submodule.
    Submodule,
}

impl Mode {
    /// From a tree entry. Old gits wrote other permissions than today's: only the owner's executable bit counts.
    fn read(octal: &[u8]) -> Option<Self> {
        // The library would take a sign.
        let octal = octal.iter().all(u8::is_ascii_digit).then_some(octal)?;
        let bits = u32::from_str_radix(std::str::from_utf8(octal).ok()?, 8).ok()?;
        Some(match bits & 0o170_000 {
            0o100_000 if bits & 0o100 == 0 => Self::File,
            0o100_000 => Self::Executable,
            0o120_000 => Self::Link,
            0o040_000 => Self::Tree,
            0o160_000 => Self::Submodule,
            _ => return None,
        })
    }

    /// As in the index.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::File => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Link => 0o120_000,
            Self::Tree => 0o040_000,
            Self::Submodule => 0o160_000,
        }
    }
}

/// An entry of a tree.
struct Entry<'a> {
    mode: Mode,
    name: &'a [u8],
    id: ObjectId,
}

/// The entries of a tree's body.
fn entries(id: ObjectId, body: &[u8]) -> Result<Vec<Entry<'_>>, BadTrees> {
    let bad = || BadTrees::NoTree(id);
    let (mut entries, mut names, mut rest) = (Vec::new(), HashSet::new(), body);
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(bad)?;
        let mode = Mode::read(&rest[..space]).ok_or_else(bad)?;
        rest = &rest[space + 1..];
        let end = rest.iter().position(|byte| *byte == 0).ok_or_else(bad)?;
        let (name, after) = (&rest[..end], &rest[end + 1..]);
        let (id, after) = after.split_first_chunk::<20>().ok_or_else(bad)?;
        rest = after;
        let no_name = name.is_empty() || name == b"." || name == b".." || name.eq_ignore_ascii_case(b".git");
        if no_name || name.contains(&b'/') {
            return Err(BadTrees::Name(String::from_utf8_lossy(name).into_owned()));
        }
        if !names.insert(name) {
            return Err(bad());
        }
        entries.push(Entry { mode, name, id: ObjectId(*id) });
    }
    Ok(entries)
}

impl Trees {
    /// Gathers the trees below a root from wherever `read` has their bodies.
    ///
    /// # Errors
    /// Where `read` fails, or they are none of an honest commit's.
    pub fn gather<E: From<BadTrees>>(
        root: ObjectId,
        mut read: impl FnMut(ObjectId) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let (mut objects, mut size) = (Vec::new(), 0);
        let (mut seen, mut waiting) = (HashSet::from([root.0]), vec![root]);
        while let Some(id) = waiting.pop() {
            let body = read(id)?;
            size += body.len();
            if size > SIZE_LIMIT || objects.len() > FILE_LIMIT {
                return Err(BadTrees::TooMuch("its trees are larger than 256 MiB together").into());
            }
            let folders = entries(id, &body)?.into_iter().filter(|entry| entry.mode == Mode::Tree);
            let fresh: Vec<ObjectId> = folders.map(|entry| entry.id).filter(|id| seen.insert(id.0)).collect();
            // The last in is the first out.
            waiting.extend(fresh.into_iter().rev());
            objects.push((id, body));
        }
        Ok(Self { root, objects })
    }

    /// Reads the file, and proves that it has the trees below this root: all of them and nothing else.
    ///
    /// # Errors
    /// Where it does not.
    pub fn read(root: ObjectId, file: &[u8]) -> Result<Self, BadTrees> {
        let mut rest = file;
        let trees = Self::gather(root, |id| {
            let end = rest.iter().take(32).position(|byte| *byte == 0).ok_or(BadTrees::Malformed)?;
            let header = std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.strip_prefix("tree "));
            let length: usize = header.and_then(|text| text.parse().ok()).ok_or(BadTrees::Malformed)?;
            let (body, after) = rest[end + 1..].split_at_checked(length).ok_or(BadTrees::Malformed)?;
            rest = after;
            if hash(Kind::Tree, body) == id { Ok(body.to_vec()) } else { Err(BadTrees::Unproven(id)) }
        })?;
        if rest.is_empty() { Ok(trees) } else { Err(BadTrees::Malformed) }
    }

    /// The file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for (_, body) in &self.objects {
            file.extend_from_slice(format!("tree {}\0", body.len()).as_bytes());
            file.extend_from_slice(body);
        }
        file
    }

    /// The objects: id and body.
    #[must_use]
    pub fn objects(&self) -> &[(ObjectId, Vec<u8>)] {
        &self.objects
    }

    /// The id of the root.
    #[must_use]
    pub fn root(&self) -> ObjectId {
        self.root
    }

    /// What they name besides folders.
    ///
    /// # Errors
    /// Where that is more than any honest commit has: one tree can stand in many places.
    pub fn leaves(&self) -> Result<Leaves, BadTrees> {
        let bodies: BTreeMap<ObjectId, &[u8]> = self.objects.iter().map(|(id, body)| (*id, body.as_slice())).collect();
        let mut leaves = Leaves::new();
        let (mut waiting, mut seen) = (vec![(Vec::new(), self.root, 0)], 0);
        while let Some((folder, id, depth)) = waiting.pop() {
            if depth > DEPTH_LIMIT {
                return Err(BadTrees::TooMuch("its folders lie more than 128 deep"));
            }
            let body = bodies.get(&id).ok_or(BadTrees::NoTree(id))?;
            for entry in entries(id, body)? {
                seen += 1;
                if seen > FILE_LIMIT {
                    return Err(BadTrees::TooMuch("it has more than 300000 files"));
                }
                let mut path: Vec<u8> = folder.clone();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(entry.name);
                if entry.mode == Mode::Tree {
                    waiting.push((path, entry.id, depth + 1));
                } else {
                    leaves.insert(path, Leaf { id: entry.id, mode: entry.mode });
                }
            }
        }
        Ok(leaves)
    }
}

/// The submodules among a commit's leaves, by path; those whose path is no text are none that anything could name.
#[must_use]
pub fn submodules(leaves: &Leaves) -> BTreeMap<String, CommitId> {
    let submodules = leaves.iter().filter(|(_, leaf)| leaf.mode == Mode::Submodule);
    submodules.filter_map(|(path, leaf)| Some((String::from_utf8(path.clone()).ok()?, CommitId(leaf.id.0)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mode: &str, name: &str, id: ObjectId) -> Vec<u8> {
        [mode.as_bytes(), b" ", name.as_bytes(), b"\0", &id.0].concat()
    }

    /// A root with a file, and twice the same folder.
    fn example() -> (ObjectId, BTreeMap<ObjectId, Vec<u8>>) {
        let blob = ObjectId([7; 20]);
        let inner = [entry("100664", "old", blob), entry("120000", "to", blob)].concat();
        let inner_id = hash(Kind::Tree, &inner);
        let root = [
            entry("100755", "a", blob),
            entry("40000", "b", inner_id),
            entry("40000", "c", inner_id),
            entry("160000", "d", blob),
        ]
        .concat();
        let root_id = hash(Kind::Tree, &root);
        (root_id, BTreeMap::from([(root_id, root), (inner_id, inner)]))
    }

    fn gathered() -> Trees {
        let (root, bodies) = example();
        Trees::gather::<BadTrees>(root, |id| Ok(bodies[&id].clone())).unwrap()
    }

    #[test]
    fn a_mode_is_octal_digits_and_nothing_else() {
        for mode in ["+100644", "-0", "", "100648", "0x1", "100644 "] {
            assert_eq!(Mode::read(mode.as_bytes()), None, "{mode}");
        }
        assert_eq!(Mode::read(b"100644"), Some(Mode::File));
    }

    #[test]
    fn the_file_has_each_tree_once_and_is_read_back() {
        let trees = gathered();
        assert_eq!(trees.objects().len(), 2);
        assert_eq!(Trees::read(trees.root(), &trees.to_bytes()).unwrap(), trees);
        let leaves = trees.leaves().unwrap();
        let paths: Vec<String> = leaves.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        assert_eq!(paths, ["a", "b/old", "b/to", "c/old", "c/to", "d"]);
        assert_eq!(leaves[&b"a"[..]].mode, Mode::Executable);
        assert_eq!(leaves[&b"b/old"[..]].mode, Mode::File);
        assert_eq!(submodules(&leaves).keys().collect::<Vec<_>>(), ["d"]);
    }

    #[test]
    fn a_file_that_lacks_adds_or_changes_anything_is_refused() {
        let trees = gathered();
        let file = trees.to_bytes();
        let read = |file: &[u8]| Trees::read(trees.root(), file).unwrap_err();
        assert_eq!(read(&file[..file.len() - 1]), BadTrees::Malformed);
        assert_eq!(read(&[&file[..], b"tree 0\0"].concat()), BadTrees::Malformed);
        assert_eq!(read(b""), BadTrees::Malformed);
        let mut changed = file.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(matches!(read(&changed), BadTrees::Unproven(_)));
        assert!(matches!(Trees::read(ObjectId([0; 20]), &file), Err(BadTrees::Unproven(_))));
    }

    #[test]
    fn names_that_git_refuses_are_refused() {
        let blob = ObjectId([7; 20]);
        for name in ["", ".", "..", ".git", ".GIT", "a/b"] {
            let body = entry("100644", name, blob);
            let gathered = Trees::gather::<BadTrees>(hash(Kind::Tree, &body), |_| Ok(body.clone()));
            assert!(matches!(gathered, Err(BadTrees::Name(_))), "{name}");
        }
        let twice = [entry("100644", "a", blob), entry("40000", "a", blob)].concat();
        let gathered = Trees::gather::<BadTrees>(hash(Kind::Tree, &twice), |_| Ok(twice.clone()));
        assert!(matches!(gathered, Err(BadTrees::NoTree(_))));
    }

    #[test]
    fn one_tree_in_many_places_does_not_fill_the_memory() {
        // Forty levels of two folders each: 2^40 files.
        let mut bodies = BTreeMap::new();
        let mut body = entry("100644", "file", ObjectId([7; 20]));
        for _ in 0..40 {
            let id = hash(Kind::Tree, &body);
            bodies.insert(id, std::mem::take(&mut body));
            body = [entry("40000", "a", id), entry("40000", "b", id)].concat();
        }
        let root = hash(Kind::Tree, &body);
        bodies.insert(root, body);
        let trees = Trees::gather::<BadTrees>(root, |id| Ok(bodies[&id].clone())).unwrap();
        assert!(matches!(trees.leaves(), Err(BadTrees::TooMuch(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = Trees::read(ObjectId([0; 20]), &bytes);
            let _ = entries(ObjectId([0; 20]), &bytes);
        }
    }
}
