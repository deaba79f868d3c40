//! LFS objects that stood in the publisher's checkout where commits have only pointers to them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::case::{Case, Settled};
use super::{Lab, in_parallel};
use crate::edges::git::Error;
use crate::edges::git::lfs::Sizes;
use crate::model::digest::Sri;
use crate::model::source::RepositoryUrl;
use crate::stages::plan::LfsObject;

/// What came of asking repositories for LFS objects: each as plans have it, with where it lies.
type Found = BTreeMap<(RepositoryUrl, Sri), Result<(LfsObject, PathBuf), Error>>;

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
        let found = self.lfs_objects_of(by_repository);
        let (mut furnished, mut settled) = (Vec::new(), Vec::new());
        for mut case in cases {
            match case.take_objects(&found) {
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
    pub(super) fn lfs_objects_of(&self, wanted: BTreeMap<RepositoryUrl, Sizes>) -> Found {
        let fetched = in_parallel(self.workers, wanted.into_iter().collect(), |(repository, sizes)| {
            let objects = self.git.lfs_objects(&repository, &sizes).into_iter();
            let found = objects.filter_map(|(hash, file)| {
                let object = LfsObject { repository: repository.clone(), size: *sizes.get(&hash)? };
                Some(((repository.clone(), hash), file.map(|file| (object, file))))
            });
            found.collect::<Vec<_>>()
        });
        fetched.into_iter().flatten().collect()
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

    fn take_objects<'a>(&mut self, found: &'a Found) -> Result<(), (String, &'a Error)> {
        let Some(located) = &mut self.located else { return Ok(()) };
        for (path, hash) in &located.checkout.lfs {
            let Some(object) = found.get(&(self.origin.repository.clone(), *hash)) else { continue };
            let object = object.as_ref().map_err(|error| (path.clone(), error))?;
            located.further.objects.insert(*hash, object.clone());
        }
        Ok(())
    }
}
