//! Whether the index slice of a plan is what its label says: who writes a plan could choose with it what cargo locks.

use std::collections::BTreeSet;

use jiff::Timestamp;
use semver::Version;

use super::index::{Index, IndexLine, On, read_index};
use super::lock_evidence::{GAP, TOGETHER};
use super::plan::{IndexMode, IndexPin};
use super::slice::{CHOOSES_BY_COMPILER, Cut, PASSES_OVER_FORMAT_2, left_out};
use crate::model::krate::{CrateId, CrateName};
use crate::model::release::Minor;

/// What an index slice of a plan has to go with.
#[derive(Debug)]
pub struct Stated {
    /// Its label.
    pub mode: IndexMode,
    /// The cargo that reads it; none where the plan has no such cargo.
    pub cargo: Option<Minor>,
    /// When the package was published.
    pub published: Option<Timestamp>,
    /// When the newest version that the published Cargo.lock names came out, where it has one and the label is about that.
    pub newest_locked: Option<Timestamp>,
    /// What the manifests of the commit require.
    pub required: Vec<On>,
}

/// Compares a slice with the registry's own index. `index` has the lines of all its crates. Gives the label that the slice
/// deserves.
///
/// # Errors
/// What of it the registry, or the commit, contradicts, in words.
pub fn checked(pin: &IndexPin, stated: &Stated, index: &Index) -> Result<IndexMode, String> {
    let Stated { mode, cargo, published, newest_locked, required } = stated;
    let (mode, published) = (*mode, *published);
    let understood = |cargo: &Minor| {
        pin.second_format != PASSES_OVER_FORMAT_2.contains(*cargo) && pin.by_compiler == (*cargo >= CHOOSES_BY_COMPILER)
    };
    if !pin.names.is_empty() && !cargo.as_ref().is_some_and(understood) {
        return Err("the plan's index has not the lines that its cargo understands".to_owned());
    }
    let line = |name: &CrateName, version: &Version| index.get(name)?.iter().find(|line| line.version == *version);
    let yanked = |text: &String| {
        let id = text.parse::<CrateId>().ok();
        id.and_then(|id| line(&id.name, &id.version)).is_some_and(|line| line.yanked)
    };
    if let Some(text) = pin.yanked.iter().find(|text| !yanked(text)) {
        return Err(format!("the plan takes {text} to be yanked, the registry does not"));
    }
    let together = |line: &IndexLine| {
        let own = published.zip(line.published);
        own.is_some_and(|(own, other)| other <= own + TOGETHER)
    };
    let labelled = matches!(mode, IndexMode::WithSiblings | IndexMode::PublishedLock);
    let late = pin.late.iter().flat_map(|(name, versions)| versions.iter().map(move |version| (name, version)));
    for (name, version) in late {
        if !labelled || !line(name, version).is_some_and(together) {
            return Err(format!("the plan has {name}@{version} in an index of before it was published"));
        }
    }
    if mode != IndexMode::PublishedLock
        && let Some((name, _)) = pin.pinned.first_key_value()
    {
        return Err(format!("the plan leaves versions of {name} out of an index without saying so"));
    }
    let is_stated = |(name, versions): &&On| {
        let stated = pin.requirements.get(name);
        !pin.names.contains(name) || stated.is_some_and(|stated| stated.contains(&versions.to_string()))
    };
    if let Some((name, versions)) = required.iter().find(|one| !is_stated(one)) {
        return Err(format!("the commit requires {name} {versions}, the plan's index was cut for something else"));
    }
    let slice = pin.cut(index);
    if slice.nar_hash() != pin.nar_hash {
        return Err("the registry's index does not give the plan's slice".to_owned());
    }
    let cut = match mode {
        IndexMode::AtPublication | IndexMode::WithSiblings | IndexMode::WithYanked => published.map(Cut::Before),
        IndexMode::MinutesBefore => published.map(|own| Cut::Before(own - GAP)),
        IndexMode::AtNewestLocked => newest_locked.map(Cut::Until),
        IndexMode::PublishedLock => newest_locked.map(Cut::Until).or_else(|| published.map(Cut::Before)),
    };
    // Of a time that is not known the index is that of today.
    if pin.cut_at(index, cut).nar_hash() != pin.nar_hash {
        return Err("the plan's index is not that of the time that it names".to_owned());
    }
    let restored = |name: &CrateName| -> bool {
        let there = slice.file(name).map(|text| read_index(text.as_bytes())).unwrap_or_default();
        let there: BTreeSet<Version> = there
            .into_iter()
            .filter(|line| !line.yanked && !line.required().any(|(name, _)| left_out::is_one(name)))
            .map(|line| line.version)
            .collect();
        index.get(name).is_some_and(|lines| lines.iter().any(|line| line.yanked && there.contains(&line.version)))
    };
    // A version that was yanked since the plan was made counts, too: when that was, no index tells.
    let restores = mode == IndexMode::AtPublication && pin.names.iter().any(restored);
    Ok(if restores { IndexMode::WithYanked } else { mode })
}
