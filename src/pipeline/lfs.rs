//! LFS objects that stood in publishers' checkouts where commits have only pointers to them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::context::Context;
use crate::edges::git::Error;
use crate::edges::git::lfs::Sizes;
use crate::edges::parallel::in_parallel;
use crate::model::digest::Sri;
use crate::model::repository::RepositoryUrl;
use crate::stages::plan::LfsObject;

/// What came of asking repositories for LFS objects: each as plans have it, with where it is.
pub type LfsObjects = BTreeMap<(RepositoryUrl, Sri), Result<(LfsObject, PathBuf), Error>>;

impl Context {
    /// Gets the LFS objects of several repositories, in as few requests as can be.
    #[must_use]
    pub fn lfs_objects_of(&self, wanted: BTreeMap<RepositoryUrl, Sizes>) -> LfsObjects {
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
