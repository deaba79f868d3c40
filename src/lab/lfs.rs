//! LFS objects that stood in the publisher's checkout where commits have only pointers to them.

use std::collections::BTreeMap;

use super::case::{Case, Settled};
use super::{Lab, in_parallel};
use crate::edges::git::Error;
use crate::edges::git::lfs::{Objects, Sizes};
use crate::model::digest::Sri;
use crate::model::source::RepositoryUrl;
use crate::stages::plan::LfsObject;

impl Lab {
    /// Brings the LFS objects that cases need, in as few requests as can be. Cases that need one that can't be had end
    /// here.
    pub(super) fn furnish_objects(&self, cases: Vec<Case>) -> (Vec<Case>, Vec<Settled>) {
        let mut by_repository: BTreeMap<RepositoryUrl, Sizes> = BTreeMap::new();
        for case in &cases {
            let wanted = case.lfs_objects();
            if !wanted.is_empty() {
                by_repository.entry(case.origin.repository.clone()).or_default().extend(wanted);
            }
        }
        let fetched = self.lfs_objects_of(by_repository);
        let (mut furnished, mut settled) = (Vec::new(), Vec::new());
        for mut case in cases {
            match case.take_objects(&fetched) {
                Ok(()) => furnished.push(case),
                Err((path, error)) => {
                    let verdict = error.verdict(&format!("the LFS object of its file {path}"));
                    settled.push(case.settle(verdict));
                }
            }
        }
        (furnished, settled)
    }

    /// Gets the LFS objects of several repositories.
    pub(super) fn lfs_objects_of(&self, wanted: BTreeMap<RepositoryUrl, Sizes>) -> BTreeMap<RepositoryUrl, Objects> {
        let fetched = in_parallel(self.workers, wanted.into_iter().collect(), |(repository, wanted)| {
            let objects = self.git.lfs_objects(&repository, &wanted);
            (repository, objects)
        });
        fetched.into_iter().collect()
    }
}

impl Case {
    /// The LFS objects that it needs.
    fn lfs_objects(&self) -> Sizes {
        let located = self.located.iter();
        let objects = located.flat_map(|located| {
            let sized = |(path, hash): (&String, &Sri)| Some((*hash, located.commit.pointer(path)?.size));
            located.checkout.lfs.iter().filter_map(sized)
        });
        objects.collect()
    }

    fn take_objects<'a>(&mut self, fetched: &'a BTreeMap<RepositoryUrl, Objects>) -> Result<(), (String, &'a Error)> {
        let sizes = self.lfs_objects();
        let repository = &self.origin.repository;
        let Some((located, objects)) = self.located.as_mut().zip(fetched.get(repository)) else { return Ok(()) };
        for (path, hash) in &located.checkout.lfs {
            let (Some(object), Some(size)) = (objects.get(hash), sizes.get(hash)) else { continue };
            let file = object.as_ref().map_err(|error| (path.clone(), error))?;
            let object = LfsObject { repository: repository.clone(), size: *size };
            located.further.objects.insert(*hash, (object, file.clone()));
        }
        Ok(())
    }
}
