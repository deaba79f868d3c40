//! A registry, as who publishes there sees it.

use super::{Believed, DESCRIPTION, Error, Registry};
use crate::edges::cargo_config::Place;
use crate::model::digest::Sha256;
use crate::model::krate::CrateId;
use crate::stages::candidate::Candidate;

impl Registry {
    /// The sha256 of a crate as the registry serves it now, whatever is cached.
    ///
    /// # Errors
    /// Where it has none, or can't be asked.
    pub fn served(&self, id: &CrateId, expected: Sha256) -> Result<Sha256, Error> {
        match &self.place {
            Place::Sparse(address) => Ok(Sha256::of(&self.download(address, id, expected)?)),
            Place::Local(root) => Ok(Sha256::of(&fs_err::read(root.join(format!("{}.crate", id.stem())))?)),
        }
    }

    /// Puts the bytes of a package that is not published yet where published ones are cached, by their checksum: what shows packages
    /// finds them there.
    ///
    /// # Errors
    /// Where they can't be written.
    pub fn keep(&self, candidate: &Candidate) -> Result<(), Error> {
        Ok(self.cache.write(&format!("crates/{}.crate", candidate.checksum), &candidate.bytes)?)
    }

    /// The address that uploads go to.
    ///
    /// # Errors
    /// Where the registry takes none, or can't be asked.
    pub fn api(&self) -> Result<String, Error> {
        let takes_none = || Error::Config("it names no `api`: nothing can be published there".to_owned());
        let Place::Sparse(address) = &self.place else { return Err(takes_none()) };
        let (bytes, _) = self.fetch(address, DESCRIPTION, Believed::Lately)?;
        #[derive(serde::Deserialize)]
        struct Wire {
            api: Option<String>,
        }
        let wire: Wire =
            serde_json::from_slice(&bytes.unwrap_or_default()).map_err(|error| Error::Config(error.to_string()))?;
        wire.api.map(|api| api.trim_end_matches('/').to_owned()).ok_or_else(takes_none)
    }
}
