//! Tests of which build is next.

use super::*;
use crate::model::digest::{Sha256, Sri};
use crate::model::nonempty::NonEmpty;
use crate::model::release::Minor;
use crate::stages::compare::{Difference, Kind, Weight};
use crate::stages::container::{Normalised, Writer};
use crate::stages::findings::{ArchiveForm, Checksum, Flags, Lockfile, ReachFinding};
use crate::stages::toolchain::{Origin, Toolchain};

fn subject(in_range: &[bool]) -> Subject {
    let toolchain = |minor: usize| Toolchain {
        name: format!("1.{minor}.0"),
        release: format!("1.{minor}.0"),
        minor: Minor(minor as u32),
        origin: Origin::Imported { nar_hash: Sri(Sha256::of(b"")) },
    };
    let candidates =
        in_range.iter().enumerate().map(|(n, at)| Candidate { toolchain: toolchain(n), in_range: *at }).collect();
    Subject {
        candidates,
        index_modes: vec![IndexMode::AtPublication, IndexMode::WithYanked, IndexMode::PublishedLock],
        can_be_pruned: false,
        must_be_pruned: false,
        tracks_workspace_lock: false,
        is_lean: false,
        search: Search::Likely,
    }
}

fn found(rebuild: Rebuild, contents: Contents) -> Findings {
    Findings {
        checksum: Checksum::Matches,
        archive: ArchiveForm::WellFormed { alike: Vec::new() },
        origin: None,
        reach: ReachFinding::unknown("no matter"),
        rebuild,
        contents,
        lockfile: Lockfile::NotAnInput,
        conditions: Vec::new(),
        flags: Flags::default(),
    }
}

fn reproduced() -> Findings {
    found(Rebuild::Done, Contents::BitForBit)
}

fn refused() -> Findings {
    found(Rebuild::Refused { reason: "".into() }, Contents::NotCompared)
}

fn differs(paths: &[&str]) -> Findings {
    let difference = |path: &&str| Difference {
        path: (*path).into(),
        kind: Kind::Form,
        weight: Weight::Generated,
        details: Vec::new(),
    };
    let differences = NonEmpty::new(paths.iter().map(difference).collect()).unwrap();
    found(Rebuild::Done, Contents::GeneratedFilesDiffer { differences })
}

/// Runs the search with a function that says what each build comes to; gives the steps.
fn run(subject: &Subject, outcome: impl Fn(&Attempt) -> (Findings, Option<Refusal>)) -> Vec<String> {
    let mut attempted = Vec::new();
    let mut steps = Vec::new();
    while let Some(attempt) = next(subject, &attempted) {
        steps.push(format!("{} {:?} {}", attempt.candidate, attempt.index_mode, attempt.missed.len()));
        assert!(steps.len() < 100, "the search must end");
        let (findings, refusal) = outcome(&attempt);
        attempted.push(Attempted { attempt, findings, refusal });
    }
    steps
}

#[test]
fn what_differs_is_not_said_where_another_build_failed_on_this_machine() {
    let attempt = |candidate| first(&subject(&[true, true, true]), candidate, Source::Whole).unwrap();
    let attempted = |candidate, findings| Attempted { attempt: attempt(candidate), findings, refusal: None };
    let failed = found(Rebuild::Error { reason: "the machine is at fault".into() }, Contents::NotCompared);
    let tried = vec![attempted(0, failed), attempted(1, differs(&[LOCK]))];
    assert_eq!(best(&tried, false), Some(0));
    let tried = [tried, vec![attempted(2, reproduced())]].concat();
    assert_eq!(best(&tried, false), Some(2), "what is the same is the same");
}

#[test]
fn an_exact_build_ends_the_search() {
    assert_eq!(run(&subject(&[true, true]), |_| (reproduced(), None)), ["0 AtPublication 0"]);
}

#[test]
fn where_the_lock_alone_differs_the_claim_gets_weaker_before_the_cargo_changes() {
    let steps = run(&subject(&[true, true]), |attempt| match attempt.index_mode {
        IndexMode::PublishedLock => (reproduced(), None),
        _ => (differs(&[LOCK]), None),
    });
    assert_eq!(steps, ["0 AtPublication 0", "0 WithYanked 0", "0 PublishedLock 0"]);
}

#[test]
fn where_more_differs_the_next_cargo_is_attempted() {
    let steps = run(&subject(&[true, true, false]), |_| (differs(&["Cargo.toml", LOCK]), None));
    assert_eq!(steps, ["0 AtPublication 0", "1 AtPublication 0", "2 AtPublication 0"]);
}

#[test]
fn where_the_source_differs_only_a_cargo_that_may_have_made_it_has_the_last_word() {
    let Contents::GeneratedFilesDiffer { differences } = differs(&["Cargo.toml"]).contents else { unreachable!() };
    let source = || found(Rebuild::Done, Contents::SourceDiffers { differences: differences.clone() });
    assert_eq!(run(&subject(&[true, false]), |_| (source(), None)).len(), 1);
    assert_eq!(run(&subject(&[false, false]), |_| (source(), None)).len(), 2);
}

#[test]
fn a_missing_crate_is_added_and_the_same_attempted_again() {
    let steps = run(&subject(&[true]), |attempt| match attempt.missed.len() {
        0 => (refused(), Some(Refusal::MissingCrates(["x".parse().unwrap()].into()))),
        _ => (reproduced(), None),
    });
    assert_eq!(steps, ["0 AtPublication 0", "0 AtPublication 1"]);
}

#[test]
fn what_the_published_lock_lacks_for_workspace_is_added_before_they_are_left_out() {
    let mut subject = subject(&[true]);
    subject.can_be_pruned = true;
    let missing = || Refusal::MissingCrates(["x".parse().unwrap()].into());
    let mut attempted = Vec::new();
    while let Some(attempt) = next(&subject, &attempted) {
        let (findings, refusal) = match (attempt.index_mode, attempt.missed.len()) {
            (IndexMode::PublishedLock, 0) => (refused(), Some(missing())),
            (IndexMode::PublishedLock, _) => (reproduced(), None),
            _ => (differs(&[LOCK]), None),
        };
        attempted.push(Attempted { attempt, findings, refusal });
    }
    let last = &attempted.last().unwrap().attempt;
    assert_eq!((last.workspace, last.missed.len()), (WorkspaceView::Full, 1));
}

#[test]
fn what_cargo_refuses_is_attempted_again_without_the_other_members_before_the_cargo_changes() {
    let mut both = Subject { can_be_pruned: true, ..subject(&[true, true]) };
    let mut seen = Vec::new();
    let mut attempted = Vec::new();
    while let Some(attempt) = next(&both, &attempted) {
        seen.push((attempt.candidate, attempt.workspace));
        let (findings, refusal) = (refused(), Some(Refusal::Other));
        attempted.push(Attempted { attempt, findings, refusal });
    }
    use WorkspaceView::{Full, Pruned, Stripped};
    assert_eq!(seen, [(0, Full), (0, Pruned), (0, Stripped), (1, Full), (1, Pruned), (1, Stripped)]);
    both.must_be_pruned = true;
    assert_eq!(next(&both, &[]).unwrap().workspace, Pruned);
}

#[test]
fn cargos_out_of_range_are_left_alone_once_all_files_are_proven_the_same() {
    let same = || {
        let compressor = crate::stages::deflate::Compressor::Zlib9;
        found(
            Rebuild::Done,
            Contents::SameContents { normalised: NonEmpty::one(Normalised::Times), writer: Writer::Gnu, compressor },
        )
    };
    assert_eq!(run(&subject(&[true, false]), |_| (same(), None)), ["0 AtPublication 0"]);
    assert_eq!(run(&subject(&[true, true]), |_| (same(), None)).len(), 2, "another in range may be exact");
}

#[test]
fn a_cargo_out_of_range_gets_one_attempt_once_another_has_packaged_the_crate() {
    let subject = Subject { can_be_pruned: true, ..subject(&[false, false]) };
    let steps = run(&subject, |attempt| match attempt.candidate {
        0 => (differs(&["Cargo.toml"]), None),
        _ => (refused(), Some(Refusal::MissingCrates(["x".parse().unwrap()].into()))),
    });
    assert_eq!(steps, ["0 AtPublication 0", "1 AtPublication 0"]);
}

/// The sources that are attempted, given what a lean one and the whole commit come to.
fn sources(subject: &Subject, outcome: impl Fn(Source) -> (Findings, Option<Refusal>)) -> (Vec<Source>, usize) {
    let mut attempted = Vec::new();
    while let Some(attempt) = next(subject, &attempted) {
        let (findings, refusal) = outcome(attempt.source);
        attempted.push(Attempted { attempt, findings, refusal });
        assert!(attempted.len() <= ATTEMPTS_LIMIT);
    }
    (attempted.iter().map(|one| one.attempt.source).collect(), best(&attempted, true).unwrap())
}

#[test]
fn what_differs_is_said_of_the_whole_commit_only() {
    use Source::{Lean, Whole};
    let lean = Subject { is_lean: true, ..subject(&[true]) };
    assert_eq!(sources(&lean, |_| (reproduced(), None)), (vec![Lean], 0));
    let nothing_more = sources(&lean, |_| (differs(&["Cargo.toml"]), None));
    assert_eq!(nothing_more, (vec![Lean, Whole], 1));
    // Refused for want of a file.
    let more = sources(&lean, |source| match source {
        Lean => (refused(), Some(Refusal::Other)),
        Whole => (reproduced(), None),
    });
    assert_eq!(more, (vec![Lean, Whole], 1));
    // Refused whatever cargo sees: attempted once, not for every cargo.
    let two = Subject { is_lean: true, ..subject(&[true, true]) };
    let refused = sources(&two, |_| (refused(), Some(Refusal::Other)));
    assert_eq!(refused, (vec![Lean, Whole, Lean], 1));
}

#[test]
fn where_the_whole_commit_comes_to_more_the_search_goes_on_with_it() {
    use Source::{Lean, Whole};
    let lean = Subject { is_lean: true, ..subject(&[true]) };
    let mut attempted = Vec::new();
    while let Some(attempt) = next(&lean, &attempted) {
        let findings = match (attempt.source, attempt.index_mode) {
            (Lean, _) => differs(&["Cargo.toml", LOCK]),
            (Whole, IndexMode::WithYanked) => reproduced(),
            (Whole, _) => differs(&[LOCK]),
        };
        attempted.push(Attempted { attempt, findings, refusal: None });
    }
    let steps: Vec<_> = attempted.iter().map(|one| (one.attempt.source, one.attempt.index_mode)).collect();
    use IndexMode::{AtPublication, WithYanked};
    assert_eq!(steps, [(Lean, AtPublication), (Whole, AtPublication), (Whole, WithYanked)]);
}

#[test]
fn what_the_index_lacked_is_no_reason_to_leave_members_out() {
    let mut subject = subject(&[true]);
    subject.can_be_pruned = true;
    let missing = || Some(Refusal::MissingCrates(["x".parse().unwrap()].into()));
    let mut attempted = Vec::new();
    while let Some(attempt) = next(&subject, &attempted) {
        let (findings, refusal) =
            if attempt.missed.is_empty() { (refused(), missing()) } else { (differs(&[LOCK]), None) };
        attempted.push(Attempted { attempt, findings, refusal });
    }
    assert!(attempted.iter().all(|one| one.attempt.workspace == WorkspaceView::Full), "{attempted:#?}");
}

#[test]
fn an_attempt_that_lacked_names_says_nothing_once_there_is_one_with_them() {
    let undecided = || found(Rebuild::Error { reason: "undecided".into() }, Contents::NotCompared);
    let missing = |name: &str| Some(Refusal::MissingCrates([name.parse().unwrap()].into()));
    let mut attempted = Vec::new();
    while let Some(attempt) = next(&subject(&[true]), &attempted) {
        let (findings, refusal) = match attempt.missed.len() {
            0 => (undecided(), missing("x")),
            1 => (undecided(), missing("y")),
            _ => (differs(&[LOCK]), None),
        };
        attempted.push(Attempted { attempt, findings, refusal });
    }
    assert!(matches!(
        attempted[best(&attempted, false).unwrap()].findings.contents,
        Contents::GeneratedFilesDiffer { .. }
    ));
    // While names are still missing nothing else is said.
    assert_eq!(best(&attempted[..2], false), Some(0));
}
