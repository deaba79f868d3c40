//! Policies, waivers and rules by their properties.

use std::collections::BTreeSet;

use jiff::ToSpan as _;
use jiff::civil::Date;
use proptest::prelude::*;

use super::project::{Circumstances, OnUndetermined, ProjectPolicy, Require};
use super::review::{Scope, State, review};
use super::waiver::{Rule, Waiver};
use super::*;
use crate::model::digest::Sha256;
use crate::model::nonempty::NonEmpty;
use crate::model::package::{PackageKey, RegistryName};
use crate::stages::claims::OtherTag;
use crate::stages::compare::Weight;
use crate::stages::container::{Normalised, Writer};
use crate::stages::decision::{Decision, DecisionName, Exit};
use crate::stages::deflate::Compressor;
use crate::stages::findings::{Flags, Origin, ReachFinding};
use crate::stages::record::Record;

fn difference(weight: Weight) -> NonEmpty<Difference> {
    NonEmpty::one(Difference { path: "a".into(), kind: Kind::Bytes, weight, details: Vec::new() })
}

fn contents() -> impl Strategy<Value = Contents> {
    let normalised = || NonEmpty::one(Normalised::Times);
    prop_oneof![
        Just(Contents::BitForBit),
        Just(Contents::SameContents { normalised: normalised(), writer: Writer::Gnu, compressor: Compressor::Zlib8 }),
        Just(Contents::CompressorUnknown { normalised: normalised(), writer: Writer::Gnu }),
        Just(Contents::GeneratedFilesDiffer { differences: difference(Weight::Generated) }),
        Just(Contents::SourceDiffers { differences: difference(Weight::Source) }),
        Just(Contents::NotCompared),
    ]
}

fn origin() -> impl Strategy<Value = Option<Origin>> {
    let named_by = prop_oneof![Just(NamedBy::Crate), Just(NamedBy::Tag("v1".into())), Just(NamedBy::OtherVersion)];
    let contradiction = Contradiction::Tag(OtherTag { tag: "v1".into(), commit: "a".repeat(40).parse().unwrap() });
    let made = (named_by, any::<bool>()).prop_map(move |(named_by, contradicted)| Origin {
        named_by,
        repository: "https://git.example/a/b".parse().unwrap(),
        commit: "b".repeat(40).parse().unwrap(),
        path: None,
        contradictions: contradicted.then(|| contradiction.clone()).into_iter().collect(),
    });
    proptest::option::of(made)
}

fn reach() -> impl Strategy<Value = ReachFinding> {
    let reach = prop_oneof![
        Just(Reach::Reached { branch: Some("main".into()), tag: None }),
        Just(Reach::Squashed { commit: "c".repeat(40).parse().unwrap(), branch: None, tag: Some("v1".into()) }),
        Just(Reach::Unreachable),
        Just(Reach::Unknown { reason: "gaps".into() }),
    ];
    (reach, any::<bool>()).prop_map(|(reach, claimed_by_plan)| ReachFinding { reach, asked: None, claimed_by_plan })
}

prop_compose! {
    fn findings()(
        checksum in prop_oneof![Just(Checksum::Matches), Just(Checksum::Mismatch { reason: "".into() }), Just(Checksum::Unknown)],
        archive in prop_oneof![Just(ArchiveForm::WellFormed { alike: Vec::new() }), Just(ArchiveForm::Malformed { reason: "".into() }), Just(ArchiveForm::Unknown)],
        origin in origin(),
        reach in reach(),
        rebuild in prop_oneof![
            Just(Rebuild::Done), Just(Rebuild::Refused { reason: "".into() }),
            Just(Rebuild::Impossible { missing: Missing::Commit, reason: "".into() }),
            Just(Rebuild::Error { reason: "".into() }), Just(Rebuild::NotAttempted),
        ],
        contents in contents(),
        lockfile in prop_oneof![
            Just(Lockfile::NotAnInput), Just(Lockfile::Consistent { yanked: Vec::new() }),
            Just(Lockfile::Undated { versions: Vec::new() }),
            Just(Lockfile::Faults { faults: NonEmpty::one("x".into()) }),
        ],
        locked in any::<bool>(),
        dirty in any::<bool>(),
    ) -> Findings {
        let conditions = locked.then_some(Condition::PublishedLockfile { binaries: false }).into_iter().collect();
        // It is checked where it is an input, and nowhere else.
        let lockfile = if locked { lockfile } else { Lockfile::NotAnInput };
        Findings { checksum, archive, origin, reach, rebuild, contents, lockfile, conditions, flags: Flags { dirty } }
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    let contents = prop_oneof![Just(RequiredContents::SameContents), Just(RequiredContents::BitForBit)];
    let reach =
        prop_oneof![Just(RequiredReach::Nothing), Just(RequiredReach::ReachedOrSquashed), Just(RequiredReach::Reached)];
    (contents, any::<bool>(), reach, any::<bool>()).prop_map(
        |(contents, origin_named, reach, no_published_lockfile)| Policy {
            contents,
            origin_named,
            reach,
            no_published_lockfile,
        },
    )
}

/// The same findings with one of them taken away.
fn without(findings: &Findings, which: usize) -> Findings {
    let mut less = findings.clone();
    match which {
        0 => less.checksum = Checksum::Unknown,
        1 => less.archive = ArchiveForm::Unknown,
        2 => less.origin = None,
        3 => less.reach = ReachFinding::unknown("taken away"),
        4 => less.contents = Contents::NotCompared,
        5 => less.rebuild = Rebuild::NotAttempted,
        _ => less.lockfile = Lockfile::NotAnInput,
    }
    less
}

fn requires_no_less(strict: &Policy, lenient: &Policy) -> bool {
    strict.contents >= lenient.contents
        && strict.origin_named >= lenient.origin_named
        && strict.reach >= lenient.reach
        && strict.no_published_lockfile >= lenient.no_published_lockfile
}

const TODAY: Date = jiff::civil::date(2026, 11, 22);

fn today() -> Circumstances {
    Circumstances { today: Some(TODAY), new: false }
}

fn checksum_of(letter: char) -> Option<Sha256> {
    letter.to_string().repeat(64).parse().ok()
}

fn record(findings: Findings) -> Record {
    let key = PackageKey::new(RegistryName::Default, "a@1.0.0".parse().unwrap());
    Record::new(key, checksum_of('a'), findings)
}

fn requires(policy: Policy) -> ProjectPolicy {
    let Policy { contents, origin_named, reach, no_published_lockfile } = policy;
    let require = Require {
        base: None,
        contents: Some(contents),
        origin_named: Some(origin_named),
        reach: Some(reach),
        no_published_lockfile: Some(no_published_lockfile),
    };
    let mut project = ProjectPolicy::default();
    project.policy.require = require;
    assert_eq!(project.policy.require.policy(BuiltIn::Strict.policy()), policy);
    project
}

/// The waiver that `recrate waive` writes for a record.
fn waiver_for(project: &ProjectPolicy, record: &Record, expires: Option<Date>) -> Option<Waiver> {
    let lines = project.faults(record, today()).iter().flat_map(Fault::lines).collect();
    Some(Waiver {
        krate: record.key.id(),
        registry: RegistryName::Default,
        sha256: record.checksum?,
        findings: NonEmpty::new(lines)?,
        reason: "read".into(),
        who: "somebody".into(),
        expires,
        link: None,
    })
}

fn rule(finding: &str, scope: &str) -> Rule {
    let text = format!(
        "{scope}\ncrates = [\"a\"]\nfindings = [\"{finding}\"]\nreason = \"r\"\nwho = \"w\"\nexpires = \"2027-01-01\"\n"
    );
    toml::from_str(&text).unwrap()
}

const RULED: [&str; 5] =
    ["found-by-tag", "published-lockfile", "squashed-commit", "tag-elsewhere", "unreachable-commit"];

fn of_repository(finding: &str) -> Rule {
    rule(finding, "repository = \"https://git.example/a/b\"")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn taking_information_away_never_turns_anything_into_accepted(
        findings in findings(), policy in policy(), which in 0_usize..7, ruled in proptest::sample::subsequence(&RULED[..], 0..=5),
    ) {
        let mut project = requires(policy);
        project.rule = ruled.into_iter().map(of_repository).collect();
        let decide = |findings: &Findings| project.decide(&record(findings.clone()), today());
        let (more, less) = (decide(&findings), decide(&without(&findings, which)));
        prop_assert!(more.passes() || !less.passes(), "{which}: {more:?} {less:?}");
    }

    #[test]
    fn a_stricter_policy_never_accepts_more(
        findings in findings(), one in policy(), two in policy(), undetermined: bool,
        ruled in proptest::sample::subsequence(&RULED[..], 0..=5),
    ) {
        if requires_no_less(&one, &two) {
            let decide = |policy: Policy, undetermined: OnUndetermined| {
                let mut project = requires(policy);
                project.rule = ruled.iter().map(|finding| of_repository(finding)).collect();
                project.policy.undetermined = undetermined;
                project.decide(&record(findings.clone()), today())
            };
            let lenient = if undetermined { OnUndetermined::Reject } else { OnUndetermined::Warn };
            let (strict, lenient) = (decide(one, OnUndetermined::Reject), decide(two, lenient));
            prop_assert!(!strict.passes() || lenient.passes(), "{strict:?} {lenient:?}");
        }
    }

    #[test]
    fn what_a_publisher_says_of_dirt_never_decides(findings in findings(), policy in policy()) {
        let clean = Findings { flags: Flags { dirty: false }, ..findings.clone() };
        let dirty = Findings { flags: Flags { dirty: true }, ..findings };
        prop_assert_eq!(policy.faults(&clean), policy.faults(&dirty));
    }

    #[test]
    fn what_is_accepted_was_compared_and_equal(findings in findings(), policy in policy()) {
        if requires(policy).decide(&record(findings.clone()), today()) == Decision::Accepted {
            let equal = matches!(findings.contents, Contents::BitForBit | Contents::SameContents { .. });
            prop_assert!(equal && findings.checksum == Checksum::Matches);
            let is_well_formed = matches!(findings.archive, ArchiveForm::WellFormed { .. });
            prop_assert!(is_well_formed);
        }
    }

    #[test]
    fn a_waiver_covers_what_it_was_given_for_and_nothing_else(given in findings(), found in findings(), policy in policy()) {
        let project = requires(policy);
        let Some(waiver) = waiver_for(&project, &record(given.clone()), None) else { return Ok(()) };
        let lines = |findings: &Findings| -> Vec<String> {
            policy.faults(findings).iter().flat_map(Fault::lines).collect()
        };
        let with = ProjectPolicy { waiver: vec![waiver], ..project.clone() };
        let of_given = with.decide(&record(given.clone()), today());
        prop_assert_eq!(of_given.passes(), given.checksum != Checksum::Mismatch { reason: "".into() }, "{:?}", of_given);
        let (own, others) = (lines(&given), lines(&found));
        let decision = with.decide(&record(found.clone()), today());
        let without = project.decide(&record(found.clone()), today());
        if decision.passes() && !without.passes() {
            prop_assert!(others.iter().all(|line| own.contains(line)), "{own:?} {others:?}");
            let is_waived = matches!(decision, Decision::Waived { .. });
            prop_assert!(is_waived, "it says so");
        }
        // Other bytes are another crate's.
        let mut other = record(found);
        other.checksum = checksum_of('b');
        prop_assert_eq!(with.decide(&other, today()), without.clone());
        other.checksum = None;
        prop_assert_eq!(with.decide(&other, today()), without);
    }

    #[test]
    fn an_expired_waiver_never_covers(findings in findings(), policy in policy(), days in -400_i64..400) {
        let project = requires(policy);
        let record = record(findings);
        let expires = TODAY.checked_add(days.days()).unwrap();
        let Some(waiver) = waiver_for(&project, &record, Some(expires)) else { return Ok(()) };
        let with = ProjectPolicy { waiver: vec![waiver], ..project };
        for circumstances in [today(), Circumstances { today: None, new: false }] {
            if days <= 0 || circumstances.today.is_none() {
                prop_assert!(!with.decide(&record, circumstances).passes());
                let state = review(&with, &[(&record, false)], &Scope::Part, circumstances.today)[0].state;
                prop_assert_eq!(state, State::Expired);
            }
        }
    }

    #[test]
    fn a_rule_only_accepts_what_is_bit_for_bit(findings in findings(), policy in policy(), which in 0_usize..5) {
        let project = requires(policy);
        let with = ProjectPolicy { rule: vec![of_repository(RULED[which])], ..project.clone() };
        let record = record(findings);
        if with.decide(&record, today()) != project.decide(&record, today()) {
            prop_assert_eq!(&record.findings.contents, &Contents::BitForBit);
            prop_assert_eq!(&record.findings.checksum, &Checksum::Matches);
        }
        let elsewhere = ProjectPolicy { rule: vec![rule(RULED[which], "owner = \"https://git.example/other\"")], ..project.clone() };
        prop_assert_eq!(elsewhere.decide(&record, today()), project.decide(&record, today()));
    }
}

#[test]
fn an_owner_is_all_of_a_folder() {
    let found = |repository: &str| {
        let mut findings = exact();
        findings.origin.as_mut().unwrap().repository = repository.parse().unwrap();
        findings.reach.reach = Reach::Unreachable;
        let mut project = ProjectPolicy::of(BuiltIn::Default);
        project.rule = vec![rule("unreachable-commit", "owner = \"https://git.example/a\"")];
        project.decide(&record(findings), today()).passes()
    };
    assert!(found("https://git.example/a/b"));
    // A server may take this for a repository of `b`.
    assert!(!found("https://git.example/a/x%2f..%2f..%2fb/c"));
    assert!(!found("https://git.example/a-evil/b") && !found("https://git.example/ab/b"));
}

#[test]
fn the_words_of_waivers_stay() {
    let line = |kind: Kind, details: &[&str]| {
        let details = details.iter().map(|detail| (*detail).into()).collect();
        let differences = NonEmpty::one(Difference { path: "a".into(), kind, weight: Weight::Source, details });
        let findings = Findings { contents: Contents::SourceDiffers { differences }, ..exact() };
        BuiltIn::Default.policy().faults(&findings)[0].lines().remove(0)
    };
    let lines = [
        line(Kind::Lines { published: 1, rebuilt: 2 }, &[]),
        line(Kind::LineEndings, &[]),
        line(Kind::WhiteSpace, &[]),
        line(Kind::Bytes, &[]),
        line(Kind::OnlyPublished, &[]),
        line(Kind::OnlyRebuilt, &[]),
        line(Kind::Mode, &[]),
        line(Kind::Repeated, &[]),
        line(Kind::Form, &[]),
        line(Kind::Meaning, &["one", "two"]),
        line(Kind::Container, &[]),
    ];
    let words = [
        "lines +1 -2 a",
        "line-endings a",
        "white-space a",
        "bytes a",
        "only-published a",
        "only-rebuilt a",
        "mode a",
        "repeated a",
        "form a",
        "meaning a (one; two)",
        "container a",
    ];
    assert_eq!(lines, words.map(|words| format!("source-differs: {words}")));
}

#[test]
fn a_section_counts_for_the_crates_that_it_names() {
    let project: ProjectPolicy = toml::from_str(
        "[policy]\nrequire = \"contents-only\"\nundetermined = \"warn\"\n\
         [[policy.for]]\ncrates = [\"a\", \"b-*\"]\nrequire = { base = \"strict\", no-published-lockfile = false }\nundetermined = \"reject\"\n\
         [[policy.for]]\nregistries = [\"sparse+https://crates.example/\"]\nrequire = \"default\"\n",
    )
    .unwrap();
    let of = |name: &str, registry: &str, new: bool| {
        let id = format!("{name}@1.0.0").parse().unwrap();
        project.requirements(&PackageKey::new(registry.parse().unwrap(), id), new)
    };
    let strict = Policy { no_published_lockfile: false, ..BuiltIn::Strict.policy() };
    assert_eq!(of("a", "default", false), (strict, OnUndetermined::Reject));
    assert_eq!(
        of("b-c", "sparse+https://crates.example/", false),
        (strict, OnUndetermined::Reject),
        "the first counts"
    );
    assert_eq!(of("c", "default", false), (BuiltIn::ContentsOnly.policy(), OnUndetermined::Warn));
    assert_eq!(of("c", "default", true).1, OnUndetermined::Reject, "what is new");
    assert_eq!(of("c", "sparse+https://crates.example/", false).0, BuiltIn::Default.policy());
}

#[test]
fn what_is_undetermined_may_pass_with_a_warning_but_what_is_wrong_may_not() {
    let mut project = ProjectPolicy::of(BuiltIn::Default);
    project.policy.undetermined = OnUndetermined::Warn;
    let mut findings = exact();
    findings.reach = ReachFinding::unknown("gaps");
    assert_eq!(project.decide(&record(findings.clone()), today()).name(), DecisionName::Warned);
    findings.contents = Contents::SourceDiffers { differences: difference(Weight::Source) };
    assert_eq!(project.decide(&record(findings), today()).name(), DecisionName::Rejected);
}

#[test]
fn waivers_that_do_nothing_are_reported() {
    let mut findings = exact();
    findings.contents = Contents::SourceDiffers { differences: difference(Weight::Source) };
    let bad = record(findings);
    let project = ProjectPolicy::of(BuiltIn::Default);
    let waiver = waiver_for(&project, &bad, Some(jiff::civil::date(2026, 12, 1))).unwrap();
    let state = |waiver: Waiver, record: &Record| {
        let with = ProjectPolicy { waiver: vec![waiver], ..project.clone() };
        let scope = Scope::AllBut(BTreeSet::new());
        let reviewed = review(&with, &[(record, false)], &scope, Some(TODAY)).remove(0);
        (reviewed.state, reviewed.detail.map(|detail| detail.to_string()).unwrap_or_default())
    };
    assert_eq!(state(waiver.clone(), &bad), (State::Used, "it expires on 2026-12-01".into()), "announced");
    assert_eq!(state(waiver.clone(), &record(exact())).0, State::Unused);
    let elsewhere = Waiver { krate: "a@0.9.0".parse().unwrap(), ..waiver.clone() };
    assert_eq!(state(elsewhere, &bad), (State::Unused, "the lock file has a 1.0.0".into()));
    let mut other = bad.clone();
    other.checksum = checksum_of('b');
    assert_eq!(state(waiver.clone(), &other).0, State::Void);
    let less = Waiver { findings: NonEmpty::one("unreachable-commit".into()), ..waiver };
    assert_eq!(state(less, &bad), (State::Void, "found now: source-differs: bytes a".into()));
}

/// Nothing is wrong with it.
fn exact() -> Findings {
    Findings {
        checksum: Checksum::Matches,
        archive: ArchiveForm::WellFormed { alike: Vec::new() },
        origin: Some(Origin {
            named_by: NamedBy::Crate,
            repository: "https://git.example/a/b".parse().unwrap(),
            commit: "b".repeat(40).parse().unwrap(),
            path: None,
            contradictions: Vec::new(),
        }),
        reach: ReachFinding {
            reach: Reach::Reached { branch: Some("main".into()), tag: None },
            asked: None,
            claimed_by_plan: false,
        },
        rebuild: Rebuild::Done,
        contents: Contents::BitForBit,
        lockfile: Lockfile::NotAnInput,
        conditions: Vec::new(),
        flags: Flags { dirty: false },
    }
}

#[test]
fn the_built_in_policies_go_from_strict_to_lenient() {
    let policies = BuiltIn::ALL.map(BuiltIn::policy);
    assert!(policies.windows(2).all(|pair| requires_no_less(&pair[0], &pair[1])));
    for policy in BuiltIn::ALL {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    assert!("reproduced".parse::<BuiltIn>().is_err());
}

#[test]
fn the_exit_status_follows_the_worst_decision() {
    use DecisionName::{Accepted, Rejected, Undetermined, Waived};
    let of = |decisions: &[DecisionName]| Exit::of(decisions.iter().copied()).code();
    assert_eq!(of(&[]), 4);
    assert_eq!(of(&[Accepted, Waived]), 0);
    assert_eq!(of(&[Accepted, Undetermined]), 3);
    assert_eq!(of(&[Undetermined, Rejected, Accepted]), 1);
}
