//! One crate of a plan once more: is the rebuild deterministic, does it equal the registry's; and a bundle for others.

use std::path::Path;

use super::{Error, Lab};
use crate::edges::cache::write_whole;
use crate::edges::console::Console;
use crate::edges::run_directory::RunDirectory;
use crate::lab::seed::Content;
use crate::stages::derivation::{Hermetic, Leaf, derive};
use crate::stages::plan::Plan;
use crate::stages::verdict::{Level, Record};

/// What came of reproducing one crate. Three questions that are kept apart; the third, whether others get the same, is
/// for them to answer: with the hash.
#[derive(Debug)]
pub struct Reproduced {
    /// The rebuild.
    pub hermetic: Hermetic,
    /// What is said of the crate: whether the rebuild equals the registry's.
    pub record: Record,
    /// Whether a second build here came out the same; none where there was no first one.
    pub again: Option<Again>,
    /// The hash of the output's NAR.
    pub nar_hash: Option<String>,
}

/// How a second build compares with the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// It is the same.
    Same,
    /// It differs, with what Nix said.
    Differs(String),
}

impl Lab {
    /// Builds what a plan of one crate says, and builds it again.
    ///
    /// # Errors
    /// Where the machinery fails.
    pub fn reproduce(&self, plan: &Plan, run: &RunDirectory, console: &Console) -> Result<(Reproduced, Plan), Error> {
        let (mut records, plan) = self.replay(plan, run, console)?;
        let derivations = derive(&plan)?;
        self.assert_agreement(&plan, run)?;
        let (Some(record), Some(hermetic)) = (records.pop(), derivations.rebuilds.into_values().next()) else {
            return Err(Error::Lacking("a rebuild".to_owned()));
        };
        let built = record.verdict.level() != Level::Inconclusive;
        let (mut again, mut nar_hash) = (None, None);
        if built {
            console.stage("building it again");
            again = Some(self.nix.check(&hermetic.drv)?.map_or(Again::Same, Again::Differs));
            nar_hash = Some(self.nix.hash(&hermetic.out)?);
        }
        Ok((Reproduced { hermetic, record, again, nar_hash }, plan))
    }

    /// Writes a bundle: a static binary cache with all that the verdict of a plan of one crate is derived from, and
    /// nothing built. Gives the verdict's `.drv`.
    ///
    /// # Errors
    /// Where an input can't be had, or the folder can't be written.
    pub fn export(&self, plan: &Plan, run: &RunDirectory, bundle: &Path) -> Result<String, Error> {
        let derivations = derive(plan)?;
        let inputs = self.inputs(plan, &derivations)?;
        let mut leaves = self.content(&inputs);
        let registry = self.default_registry();
        let mut published = Vec::new();
        for rebuild in plan.rebuilds.values() {
            published.push((rebuild.id(), self.published(rebuild, &registry).map_err(Error::Lacking)?));
        }
        leaves.extend(published.iter().map(|(id, bytes)| (Leaf::Published(id.clone()), Content::Published(id, bytes))));
        self.seed(&derivations, leaves)?;
        // The fetcher would bring what is in the bundle.
        let wanted: Vec<(&Leaf, &String)> =
            derivations.leaves.iter().filter(|(leaf, _)| **leaf != Leaf::Fetcher).collect();
        let missing = self.nix.missing(wanted.iter().map(|(_, path)| *path))?;
        if let Some(path) = missing.first() {
            return Err(Error::Lacking(path.clone()));
        }
        let verdicts =
            self.nix.instantiate(&run.path().join("plan.nix"), &run.path().join("plan.json"), "verdictDrvPaths")?;
        let verdict = verdicts.into_values().next().ok_or_else(|| Error::Lacking("a verdict".to_owned()))?;
        // zstd is far faster than the xz of old, and every Nix since 2.4 reads it.
        let cache = format!("file://{}?compression=zstd", bundle.display());
        let from = self.nix.store.as_ref();
        self.nix.copy(from, Some(&cache), true, [&verdict].into_iter())?;
        self.nix.copy(from, Some(&cache), false, wanted.iter().map(|(_, path)| *path))?;
        let paths: String = wanted.iter().map(|(_, path)| format!("{path}\n")).collect();
        write_whole(&bundle.join("paths"), paths.as_bytes())?;
        write_whole(&bundle.join("verdict.drv.path"), format!("{verdict}\n").as_bytes())?;
        write_whole(&bundle.join("README"), HOW_TO.as_bytes())?;
        Ok(verdict)
    }
}

/// What lies in every bundle: the three commands.
pub const HOW_TO: &str = "\
This folder is a static binary cache with everything that a verdict of recrate is derived from. With Nix, without recrate,
without network and without any trust in whoever made it:

  nix --extra-experimental-features nix-command copy --from \"file://$PWD\" --derivation $(cat verdict.drv.path)
  nix --extra-experimental-features nix-command copy --from \"file://$PWD\" $(cat paths)
  cat $(nix-store --realise --option substitute false $(cat verdict.drv.path))/verdict.txt

Every input is named by the hash of its content, so Nix takes it whoever sends it, and nothing here was built: the last
command builds it.
";
