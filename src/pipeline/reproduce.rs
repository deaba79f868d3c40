//! One package of a plan once more: is the rebuild deterministic, does it equal the registry's; and a bundle for others.

use std::path::Path;

use super::context::{Context, Error};
use super::seed::Content;
use crate::edges::cache::write_whole;
use crate::edges::console::Console;
use crate::edges::run_directory::RunDirectory;
use crate::stages::derivation::{FixedInput, RebuildDrv, derive};
use crate::stages::findings::Rebuild;
use crate::stages::plan::Plan;
use crate::stages::record::Record;

/// What came of reproducing one package. Three questions that are kept apart; the third, whether others get the same, is
/// for them to answer: with the hash.
#[derive(Debug)]
pub struct Reproduced {
    /// The rebuild.
    pub drv: RebuildDrv,
    /// What is known of the package: whether the rebuild equals the registry's.
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

impl Context {
    /// Builds what a plan of one package says, and builds it again.
    ///
    /// # Errors
    /// Where recrate or the machine is at fault.
    pub fn reproduce(&self, plan: &Plan, run: &RunDirectory, console: &Console) -> Result<(Reproduced, Plan), Error> {
        let (mut records, plan) = self.replay(plan, run, console)?;
        let derivations = derive(&plan)?;
        self.register(&plan, run)?;
        let (Some(record), Some(drv)) = (records.pop(), derivations.rebuilds.into_values().next()) else {
            return Err(Error::Lacking("a rebuild".to_owned()));
        };
        let built = !matches!(record.findings.rebuild, Rebuild::Error { .. });
        let (mut again, mut nar_hash) = (None, None);
        if built {
            console.stage("building it again");
            again = Some(self.nix.check(&drv.drv)?.map_or(Again::Same, Again::Differs));
            nar_hash = Some(self.nix.hash(&drv.out)?);
        }
        Ok((Reproduced { drv, record, again, nar_hash }, plan))
    }

    /// Writes a bundle: a static binary cache with all that the verdict of a plan of one package is derived from, and
    /// nothing built. Gives the verdict's `.drv`.
    ///
    /// # Errors
    /// Where an input can't be had, or the folder can't be written.
    pub fn export(&self, plan: &Plan, run: &RunDirectory, bundle: &Path) -> Result<String, Error> {
        let derivations = derive(plan)?;
        let inputs = self.inputs(plan, &derivations)?;
        let mut content = self.content(&inputs);
        let mut published = Vec::new();
        for (_, package, rebuild) in plan.rebuilds() {
            let registry = self.registry(&package.key.registry);
            let bytes = self.published(package, rebuild, &registry);
            let bytes = bytes.map_err(|_| Error::Lacking(format!("the published {}", package.key)))?;
            published.push((package.key.clone(), package.key.id(), bytes));
        }
        let crates = published
            .iter()
            .map(|(key, id, bytes)| (FixedInput::Published(key.clone()), Content::Published(id, bytes)));
        content.extend(crates);
        let missing = self.nix.missing(derivations.fixed_inputs.values())?;
        self.seed(&derivations, content, &missing)?;
        // The fetcher would fetch what is in the bundle.
        let wanted: Vec<(&FixedInput, &String)> =
            derivations.fixed_inputs.iter().filter(|(input, _)| **input != FixedInput::Fetcher).collect();
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

/// What is in every bundle: the three commands.
pub const HOW_TO: &str = "\
This folder is a static binary cache with everything that a verdict of recrate is derived from. With Nix, without recrate,
without network and without any trust in whoever made it:

  nix --extra-experimental-features nix-command copy --from \"file://$PWD\" --derivation $(cat verdict.drv.path)
  nix --extra-experimental-features nix-command copy --from \"file://$PWD\" $(cat paths)
  cat $(nix-store --realise --option substitute false $(cat verdict.drv.path))/verdict.txt

Every input is named by the hash of its content, so Nix takes it whoever sends it, and nothing here was built: the last
command builds it.
";
