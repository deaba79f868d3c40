//! What packages came to in earlier runs: recalled where the same program would be given the same answers under the same
//! circumstances, and the store still has what was built.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::context::{Context, Error, Registries};
use super::sources::{Answers, Sources};
use crate::edges::parallel::in_parallel;
use crate::edges::run_directory::{Kept, KeptBuild, RunDirectory};
use crate::model::digest::Sha256;
use crate::stages::claims::{Cause, Missing};
use crate::stages::lock::LockedPackage;
use crate::stages::toolchain::Search;

/// What is kept of what a package came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Outcome {
    answers: Answers,
    kept: Kept,
}

/// The outcomes of runs under the same circumstances.
#[derive(Debug)]
pub struct Outcomes {
    circumstances: Sha256,
}

/// What could be recalled, and the packages of which nothing could.
pub type Recalled<'a> = (Vec<(LockedPackage, Kept)>, Vec<&'a LockedPackage>);

const KIND: &str = "outcome";

impl Outcomes {
    /// Those of runs like this one.
    #[must_use]
    pub fn of(context: &Context, packages: &[&LockedPackage]) -> Self {
        let registries = packages.iter().map(|package| package.key.registry.clone());
        Self { circumstances: context.circumstances(registries).hash() }
    }

    /// Recalls outcomes, and roots what they are about; gives them, and the packages that have none.
    ///
    /// # Errors
    /// Where the store can't be asked.
    pub fn recall<'a>(
        &self,
        context: &Context,
        packages: Vec<&'a LockedPackage>,
        registries: &Registries,
        run: &RunDirectory,
    ) -> Result<Recalled<'a>, Error> {
        // What another store has would have to be copied; and of what is to be published, everything is asked again.
        if context.nix.store.is_some() || context.search == Search::Nothing {
            return Ok((Vec::new(), packages));
        }
        let recalled = in_parallel(context.workers, packages, |package| {
            let outcome: Option<Outcome> = context.cache.recall(KIND, &(self.circumstances, package));
            let sources = Sources::new(context, registries);
            let holds = |outcome: &Outcome| {
                let record = &outcome.kept.record;
                record.key == package.key && sources.still_has(record) && sources.would_answer(&outcome.answers)
            };
            (package, outcome.filter(holds).map(|outcome| outcome.kept))
        });
        let wanted: BTreeSet<&String> =
            recalled.iter().filter_map(|(_, kept)| kept.as_ref()).flat_map(outputs).collect();
        let missing = if wanted.is_empty() {
            BTreeSet::new()
        } else {
            context.nix.keep(&wanted, std::iter::empty(), &run.next_root())?
        };
        let (mut found, mut fresh) = (Vec::new(), Vec::new());
        for (package, kept) in recalled {
            match kept.filter(|kept| outputs(kept).all(|out| !missing.contains(out))) {
                Some(kept) => found.push((package.clone(), kept)),
                None => fresh.push(package),
            }
        }
        Ok((found, fresh))
    }

    /// Keeps what a package came to, where asking again would find nothing else.
    pub fn remember(&self, context: &Context, package: &LockedPackage, kept: &Kept, sources: &Sources<'_>) {
        if context.search == Search::Nothing {
            return;
        }
        let Some(answers) = sources.answers() else { return };
        if kept.record.is_determined() || ends_with_answers(kept, &answers, context) {
            let outcome = Outcome { answers, kept: kept.clone() };
            context.cache.remember(KIND, &(self.circumstances, package), &outcome);
        }
    }
}

/// Whether a package can't be rebuilt for a reason that lies in its own bytes and in answers that are noted.
fn ends_with_answers(kept: &Kept, answers: &Answers, context: &Context) -> bool {
    let KeptBuild::Obstacle(obstacle) = &kept.build else { return false };
    let Cause::Impossible { missing, .. } = &obstacle.cause else { return false };
    match missing {
        Missing::VcsInfo
        | Missing::ReadableVcsInfo
        | Missing::ReadableManifest
        | Missing::Repository
        | Missing::AllowedRepository => true,
        // Neither what an archive has is noted, nor which parts of a commit are there.
        Missing::RepositoryAtAddress => context.git.archive.is_none(),
        Missing::Commit => answers.lack_a_commit() && context.git.archive.is_none(),
        Missing::Version | Missing::AcceptableCommit | Missing::ExtraSource | Missing::Sha1Ids | Missing::Planned => {
            false
        }
    }
}

fn outputs(kept: &Kept) -> impl Iterator<Item = &String> {
    kept.record.attempts.iter().map(|attempt| &attempt.out)
}
