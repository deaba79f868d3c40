//! Which branches and tags of a repository reach a commit.
//!
//! A code host serves commits of forks under the parent's address, and a fetch by id takes them without a word: that a
//! commit could be had says nothing about whose it is. So the branches and tags are asked for, and how the commits that
//! they reach hang together: of other repositories than folders that alone, without any files, where the server can do so.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::OnceLock;

use gix::protocol::handshake::Ref;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::error::{Error, object_id};
use super::server::{Server, Wish, Without, by_either_name};
use super::{Git, open_folder, plain_name};
use crate::contract::git::{Kind, ObjectId, hash};
use crate::edges::cache::Cache;
use crate::edges::network::chain;
use crate::model::commit::CommitId;
use crate::model::digest::Sha256;
use crate::model::repository::RepositoryUrl;
use crate::stages::claims::{Asked, Reach};

/// How long the branches and tags that a server gave are believed before it is asked again: a branch may have been deleted.
const FRESH: SignedDuration = SignedDuration::from_hours(24);

/// The branches and tags of a repository, and their history.
#[derive(Debug)]
pub struct History {
    refs: Refs,
    /// Who was asked, and when.
    asked: Asked,
    /// Where: what one repository shows is no answer of another's.
    address: String,
    repository: gix::ThreadSafeRepository,
    /// What earlier runs saw from the same branches and tags.
    cache: Cache,
    /// How commits hang together: read when the cache does not tell.
    graph: OnceLock<Graph>,
    /// The seen commits by their trees: read when a commit is not among them.
    by_tree: OnceLock<HashMap<gix::ObjectId, Vec<gix::ObjectId>>>,
}

/// The commits that branches and tags reach.
#[derive(Debug)]
struct Graph {
    /// The commits that come right after each commit.
    children: HashMap<gix::ObjectId, Vec<gix::ObjectId>>,
    /// Every commit that was seen.
    known: HashSet<gix::ObjectId>,
    /// Why something may be missing; none where nothing is.
    gaps: Option<String>,
}

/// What was seen of a commit, and what for.
#[derive(Serialize, Deserialize)]
struct Seen {
    tree: String,
    tags: Vec<String>,
    reach: Reach,
}

/// What a copy remembers of an address.
#[derive(Serialize, Deserialize)]
struct Memo {
    at: Timestamp,
    refs: Refs,
}

/// Branches and tags with the commits that they are on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Refs {
    default: Option<String>,
    branches: BTreeMap<String, CommitId>,
    tags: BTreeMap<String, CommitId>,
}

/// The file in a copy that remembers its branches and tags.
const MEMO: &str = "recrate-asked.json";

const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

impl Refs {
    fn add(&mut self, name: &str, commit: gix::ObjectId) {
        let Ok(commit) = commit.as_slice().try_into().map(CommitId) else { return };
        if let Some(branch) = name.strip_prefix(BRANCHES) {
            self.branches.insert(branch.to_owned(), commit);
        } else if let Some(tag) = name.strip_prefix(TAGS) {
            self.tags.insert(tag.to_owned(), commit);
        }
    }

    fn tips(&self) -> impl Iterator<Item = gix::ObjectId> {
        self.branches.values().chain(self.tags.values()).copied().map(object_id)
    }
}

impl Git {
    /// The history of a repository, by the address that it is asked at. A server that was asked lately is asked again only
    /// where that did not show what reaches the commits that are `wanted`.
    ///
    /// # Errors
    /// Where the repository can't be asked.
    pub fn history(&self, repository: &RepositoryUrl, wanted: &[CommitId]) -> Result<History, Error> {
        let address = self.address(repository);
        if address.starts_with('/') {
            let found = open_folder(&address)?;
            let refs = refs_of(&found.to_thread_local());
            let refs = refs.map_err(|reason| Error::Unreachable { url: address.clone(), reason })?;
            let memo = Memo { at: Timestamp::now(), refs };
            return Ok(History::of(found, memo, "local mirror".to_owned(), address, self.cache.clone()));
        }
        let copy = self.bare("history", &history_name(repository, &address))?;
        let before = self.memo(repository, &address).and_then(|text| serde_json::from_slice::<Memo>(&text).ok());
        let age = before.as_ref().map(|before| Timestamp::now().duration_since(before.at));
        let is_recent = |at: Timestamp| self.asked_since.is_none_or(|since| at >= since);
        let fresh = age.is_some_and(|age| !age.is_negative() && age < FRESH)
            && before.as_ref().is_some_and(|before| is_recent(before.at));
        let refs_before = before.as_ref().map(|before| before.refs.clone()).unwrap_or_default();
        if let Some(before) = before {
            let history = History::of(copy.clone(), before, address.clone(), address.clone(), self.cache.clone());
            let shown = |commit: &CommitId| history.has(*commit);
            if self.network.is_none() || fresh && wanted.iter().all(shown) {
                return Ok(history);
            }
        }
        let Some(network) = &self.network else {
            let reason = "it was not asked before, and --offline is set".to_owned();
            return Err(Error::Unreachable { url: address, reason });
        };
        let into = copy.clone();
        let ask = move |address: &str| fetch_history(&into.to_thread_local(), &refs_before, address);
        let refs = by_either_name(&address, network.patience, ask);
        let refs = refs.map_err(|reason| Error::of_server(&address, reason))?;
        let asked = Memo { at: Timestamp::now(), refs };
        let text = serde_json::to_vec(&asked).expect("a memo is plain data");
        self.cache.write_sealed(&memo_name(repository, &address), &text);
        Ok(History::of(copy, asked, address.clone(), address, self.cache.clone()))
    }

    /// What the copy of what an address reaches remembers.
    fn memo(&self, repository: &RepositoryUrl, address: &str) -> Option<Vec<u8>> {
        self.cache.read_sealed(&memo_name(repository, address))
    }
}

impl Git {
    /// A hash of what [`Git::history`] would go by, and of the day; none where a server would have to be asked.
    #[must_use]
    pub fn history_hash(&self, repository: &RepositoryUrl) -> Option<Sha256> {
        let address = self.address(repository);
        if !address.starts_with('/') {
            let text = self.memo(repository, &address)?;
            let memo: Memo = serde_json::from_slice(&text).ok()?;
            let age = Timestamp::now().duration_since(memo.at);
            let believed = self.network.is_none() || !age.is_negative() && age < FRESH;
            return believed.then(|| Sha256::of(&text));
        }
        // As the files are: reading what each tag is on would take longer than all the rest.
        let found = match open_folder(&address) {
            Ok(found) => found,
            Err(Error::NoRepository(reason)) => return Some(Sha256::of(reason.as_bytes())),
            Err(_) => return None,
        };
        let folder = found.refs.git_dir().to_owned();
        let mut text = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string().into_bytes();
        for name in ["HEAD", "packed-refs", "shallow"] {
            text.extend(name.as_bytes());
            text.extend(fs_err::read(folder.join(name)).unwrap_or_default());
        }
        let mut folders = vec![folder.join("refs")];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
                let kind = entry.file_type().ok()?;
                if kind.is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
            }
        }
        files.sort();
        for file in files {
            text.extend(file.as_os_str().as_encoded_bytes());
            text.extend(fs_err::read(file).ok()?);
        }
        Some(Sha256::of(&text))
    }
}

/// The name of the copy of what an address reaches: what one mirror's branches reach says nothing about another's.
fn history_name(repository: &RepositoryUrl, address: &str) -> String {
    format!("{}-{}", plain_name(repository), &Sha256::of(address.as_bytes()).to_string()[..16])
}

fn memo_name(repository: &RepositoryUrl, address: &str) -> String {
    format!("history/{}.git/{MEMO}", history_name(repository, address))
}

/// The branches and tags of a repository in a folder.
fn refs_of(repository: &gix::Repository) -> Result<Refs, String> {
    let mut refs = Refs::default();
    let platform = repository.references().map_err(|error| chain(&error))?;
    for reference in platform.all().map_err(|error| chain(&error))?.flatten() {
        let name = reference.name().as_bstr().to_string();
        if (name.starts_with(BRANCHES) || name.starts_with(TAGS))
            && let Ok(commit) = reference.into_fully_peeled_id()
        {
            refs.add(&name, commit.detach());
        }
    }
    let head = repository.head_name().ok().flatten().map(|name| name.as_bstr().to_string());
    refs.default = head.and_then(|name| name.strip_prefix(BRANCHES).map(str::to_owned));
    Ok(refs)
}

impl History {
    /// `source` is what a report calls the `address`.
    fn of(repository: gix::ThreadSafeRepository, memo: Memo, source: String, address: String, cache: Cache) -> Self {
        let Memo { at, refs } = memo;
        let asked = Asked { source: source.into(), date: at.to_zoned(TimeZone::UTC).date() };
        Self { refs, asked, address, repository, cache, graph: OnceLock::new(), by_tree: OnceLock::new() }
    }
    /// Whether a branch or tag reaches a commit.
    #[must_use]
    pub fn has(&self, commit: CommitId) -> bool {
        self.seen(commit).is_some_and(|seen| matches!(seen.reach, Reach::Reached { .. }))
            || self.graph().known.contains(&object_id(commit))
    }

    fn seen(&self, commit: CommitId) -> Option<Seen> {
        self.cache.recall("reach", &(&self.address, &self.refs, commit))
    }

    fn graph(&self) -> &Graph {
        self.graph.get_or_init(|| Graph::read(&self.repository, &self.refs))
    }

    /// What reaches a commit with this tree. `tags` are those that a release of it would have: where several commits have
    /// the tree, the one that such a tag is on is named.
    #[must_use]
    pub fn reach(&self, commit: CommitId, tree: ObjectId, tags: &[String]) -> Reach {
        let tree_id = tree.to_string();
        if let Some(seen) = self.seen(commit).filter(|seen| seen.tree == tree_id && seen.tags == tags) {
            return seen.reach;
        }
        let reach = self.find(commit, tree, tags);
        // Gaps may be filled without any branch or tag being another.
        if !matches!(reach, Reach::Unknown { .. }) {
            let seen = Seen { tree: tree_id, tags: tags.to_vec(), reach: reach.clone() };
            self.cache.remember("reach", &(&self.address, &self.refs, commit), &seen);
        }
        reach
    }

    fn find(&self, commit: CommitId, tree: ObjectId, tags: &[String]) -> Reach {
        let start = object_id(commit);
        if self.graph().known.contains(&start) {
            let (branch, tag) = self.names(start);
            return Reach::Reached { branch: branch.map(Into::into), tag: tag.map(Into::into) };
        }
        if let Some(same) = self.with_tree(tree, tags) {
            let (branch, tag) = self.names(same);
            if let Ok(commit) = same.as_slice().try_into().map(CommitId) {
                return Reach::Squashed { commit, branch: branch.map(Into::into), tag: tag.map(Into::into) };
            }
        }
        match &self.graph().gaps {
            Some(reason) => Reach::Unknown { reason: reason.clone().into() },
            None => Reach::Unreachable,
        }
    }

    /// A branch that reaches a commit, the default one if it does, and the nearest tag that does.
    fn names(&self, start: gix::ObjectId) -> (Option<String>, Option<String>) {
        let tag_at: HashMap<gix::ObjectId, &String> =
            self.refs.tags.iter().rev().map(|(name, commit)| (object_id(*commit), name)).collect();
        let (mut seen, mut queue) = (HashSet::from([start]), VecDeque::from([start]));
        let mut tag = None;
        while let Some(id) = queue.pop_front() {
            tag = tag.or_else(|| tag_at.get(&id).copied());
            for child in self.graph().children.get(&id).into_iter().flatten() {
                if seen.insert(*child) {
                    queue.push_back(*child);
                }
            }
        }
        let reaches = |name: &&String| self.refs.branches.get(*name).is_some_and(|tip| seen.contains(&object_id(*tip)));
        let default = self.refs.default.as_ref().filter(reaches);
        let branch = default.or_else(|| self.refs.branches.keys().find(reaches));
        (branch.cloned(), tag.cloned())
    }

    /// A commit that is reached and has this tree: the one with one of these tags, or else with any tag, or else the one
    /// whose id comes first.
    fn with_tree(&self, tree: ObjectId, tags: &[String]) -> Option<gix::ObjectId> {
        let by_tree = self.by_tree.get_or_init(|| {
            let local = self.repository.to_thread_local();
            let mut by_tree: HashMap<gix::ObjectId, Vec<gix::ObjectId>> = HashMap::new();
            for id in &self.graph().known {
                // One whose content was never seen to be what its id says has no tree.
                let found = local.find_object(*id).ok();
                let found = found.filter(|found| hash(Kind::Commit, &found.data).0 == id.as_slice());
                let tree = found.and_then(|found| Some(found.try_into_commit().ok()?.tree_id().ok()?.detach()));
                if let Some(tree) = tree {
                    by_tree.entry(tree).or_default().push(*id);
                }
            }
            by_tree
        });
        let key = |id: &&gix::ObjectId| {
            let is = |commit: &CommitId| object_id(*commit) == **id;
            let named = tags.iter().filter_map(|name| self.refs.tags.get(name)).any(is);
            let tagged = self.refs.tags.values().any(is);
            (!named, !tagged, **id)
        };
        by_tree.get(&gix::ObjectId::Sha1(tree.0))?.iter().min_by_key(key).copied()
    }

    /// The commits that tags are on, by tag.
    #[must_use]
    pub fn tags(&self) -> &BTreeMap<String, CommitId> {
        &self.refs.tags
    }

    /// Who was asked, and when.
    #[must_use]
    pub fn asked(&self) -> &Asked {
        &self.asked
    }
}

impl Graph {
    fn read(repository: &gix::ThreadSafeRepository, refs: &Refs) -> Self {
        let local = repository.to_thread_local();
        let (mut children, mut known) = (HashMap::<_, Vec<_>>::new(), HashSet::new());
        let mut gaps =
            local.is_shallow().unwrap_or(true).then(|| "the history is cut off (a shallow clone)".to_owned());
        let lacks = |error: &dyn std::error::Error| format!("the history has gaps: {}", chain(error));
        let mut tips = Vec::new();
        for id in refs.tips().collect::<HashSet<_>>() {
            match local.find_header(id) {
                Ok(header) if header.kind().is_commit() => tips.push(id),
                // A tag may be of something else than a commit.
                Ok(_) => {}
                Err(error) => gaps = gaps.or_else(|| Some(lacks(&error))),
            }
        }
        known.extend(tips.iter().copied());
        while let Some(id) = tips.pop() {
            let found = match local.find_object(id) {
                Ok(found) => found,
                // The walk goes on with what else is to be seen.
                Err(error) => {
                    gaps = gaps.or_else(|| Some(lacks(&error)));
                    continue;
                }
            };
            // What a copy holds under an id may be something else: somebody else may have put it there.
            if hash(Kind::Commit, &found.data).0 != id.as_slice() {
                gaps = gaps.or_else(|| Some(format!("the copy of the history is damaged: {id} is something else")));
                continue;
            }
            for parent in gix::objs::CommitRefIter::from_bytes(&found.data, gix::hash::Kind::Sha1).parent_ids() {
                children.entry(parent).or_default().push(id);
                if known.insert(parent) {
                    tips.push(parent);
                }
            }
        }
        Self { children, known, gaps }
    }
}

/// Asks a repository for its branches and tags, and for the commits that are not here yet.
fn fetch_history(found: &gix::Repository, before: &Refs, address: &str) -> Result<Refs, String> {
    let mut server = Server::connect(found, address)?;
    let mut refs = Refs::default();
    let mut wanted = Vec::new();
    for reference in server.refs(&["HEAD", "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"])? {
        match reference {
            Ref::Symbolic { full_ref_name, target, .. } if full_ref_name == "HEAD" => {
                refs.default = target.to_string().strip_prefix(BRANCHES).map(str::to_owned);
            }
            Ref::Peeled { full_ref_name, tag, object } => {
                refs.add(&full_ref_name.to_string(), object);
                wanted.push((tag, object));
            }
            Ref::Direct { full_ref_name, object } | Ref::Symbolic { full_ref_name, object, .. } => {
                refs.add(&full_ref_name.to_string(), object);
                wanted.push((object, object));
            }
            Ref::Unborn { .. } => {}
        }
    }
    let here = |id: &gix::ObjectId| found.has_object(id);
    server.receive(Wish {
        wanted: wanted.into_iter().filter(|(_, commit)| !here(commit)).map(|(id, _)| id).collect(),
        had: before.tips().filter(here).collect(),
        without: Some(Without::Trees),
        history: true,
    })?;
    Ok(refs)
}
