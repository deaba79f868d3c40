//! *Policy*: which findings are required. A policy asks for findings by name; what was not determined never meets a
//! requirement. Exit status, Hydra's red and green and every gate come from its decisions alone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::claims::Reach;
use super::decision::Decision;
use super::findings::{ArchiveForm, Checksum, Condition, Contents, Findings, Lockfile, NamedBy, Rebuild};
use crate::model::foreign::join;
use crate::model::nonempty::NonEmpty;

/// What is required of a package. A higher value of a field requires more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// How equal the contents must be.
    pub contents: RequiredContents,
    /// Whether the package itself must name the commit and its repository, and nothing may contradict that.
    pub origin_named: bool,
    /// What must reach the commit.
    pub reach: RequiredReach,
    /// Whether a match with the published Cargo.lock as an input is refused.
    pub no_published_lockfile: bool,
}

/// How equal the contents must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequiredContents {
    /// Bit for bit, or every file with all of the container accounted for.
    SameContents,
    /// Bit for bit.
    BitForBit,
}

/// What must reach the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequiredReach {
    /// Nothing.
    Nothing,
    /// A branch or tag, or one reaches a commit with the same tree.
    ReachedOrSquashed,
    /// A branch or tag.
    Reached,
}

/// The built-in policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "driver", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum BuiltIn {
    /// Bit for bit, without the published Cargo.lock as an input, from a commit that the crate names and a branch or tag reaches
    Strict,
    /// Bit for bit, or every file the same with all of the container accounted for; from a commit that the crate names
    /// and a branch or tag reaches, or that was squashed into one
    Default,
    /// Bit for bit, or every file the same, whatever commit that is: who wrote it is not looked at
    ContentsOnly,
}

impl BuiltIn {
    /// All of them, the strictest first.
    pub const ALL: [Self; 3] = [Self::Strict, Self::Default, Self::ContentsOnly];

    /// What it requires.
    #[must_use]
    pub fn policy(self) -> Policy {
        match self {
            Self::Strict => Policy {
                contents: RequiredContents::BitForBit,
                origin_named: true,
                reach: RequiredReach::Reached,
                no_published_lockfile: true,
            },
            Self::Default => Policy {
                contents: RequiredContents::SameContents,
                origin_named: true,
                reach: RequiredReach::ReachedOrSquashed,
                no_published_lockfile: false,
            },
            Self::ContentsOnly => Policy {
                contents: RequiredContents::SameContents,
                origin_named: false,
                reach: RequiredReach::Nothing,
                no_published_lockfile: false,
            },
        }
    }
}

impl fmt::Display for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::Default => "default",
            Self::ContentsOnly => "contents-only",
        })
    }
}

impl FromStr for BuiltIn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(|policy| policy.to_string()).join(", ");
        Self::ALL
            .into_iter()
            .find(|policy| policy.to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a policy: there are {names}"))
    }
}

/// Whether a requirement is met.
enum Met {
    Yes,
    No(String),
    Unknown(String),
}

impl Policy {
    /// Decides on a package.
    #[must_use]
    pub fn decide(&self, findings: &Findings) -> Decision {
        let requirements = [
            checksum(findings),
            archive(findings),
            self.contents(findings),
            self.origin(findings),
            self.contradictions(findings),
            self.reach(findings),
            self.lockfile(findings),
        ];
        let (mut refused, mut unknown) = (Vec::new(), Vec::new());
        for requirement in requirements {
            match requirement {
                Met::Yes => {}
                Met::No(reason) => refused.push(reason),
                Met::Unknown(reason) => unknown.push(reason),
            }
        }
        if !unknown.is_empty() && matches!(findings.rebuild, Rebuild::Impossible { .. } | Rebuild::Error { .. }) {
            // Where there is no rebuild nothing else was looked at either: why there is none says it all.
            unknown = vec![not_compared(&findings.rebuild)];
        }
        match (NonEmpty::new(refused), NonEmpty::new(unknown)) {
            (Some(reasons), _) => Decision::Rejected { reasons },
            (None, Some(reasons)) => Decision::Undetermined { reasons },
            (None, None) => Decision::Accepted,
        }
    }

    fn contents(&self, findings: &Findings) -> Met {
        match &findings.contents {
            Contents::BitForBit => Met::Yes,
            Contents::SameContents { .. } if self.contents <= RequiredContents::SameContents => Met::Yes,
            Contents::SameContents { .. } => Met::No("same contents, but not bit for bit".to_owned()),
            Contents::CompressorUnknown { .. } => Met::No("the compressor is unknown".to_owned()),
            Contents::GeneratedFilesDiffer { .. } => Met::No("generated files differ".to_owned()),
            Contents::SourceDiffers { .. } => Met::No("source differs".to_owned()),
            Contents::NotCompared => match &findings.rebuild {
                Rebuild::Refused { .. } => Met::No("packaging failed".to_owned()),
                rebuild => Met::Unknown(not_compared(rebuild)),
            },
        }
    }

    fn origin(&self, findings: &Findings) -> Met {
        let origin = findings.origin.as_ref().filter(|_| self.origin_named);
        match origin.map(|origin| &origin.named_by) {
            _ if !self.origin_named => Met::Yes,
            Some(NamedBy::Crate) => Met::Yes,
            Some(NamedBy::Tag(tag)) => Met::Unknown(format!("the crate names no commit; found by tag {tag}")),
            Some(NamedBy::OtherVersion) => Met::Unknown("the crate names no repository".to_owned()),
            None => Met::Unknown("origin unknown".to_owned()),
        }
    }

    fn contradictions(&self, findings: &Findings) -> Met {
        let found = findings.origin.iter().flat_map(|origin| &origin.contradictions);
        let found: Vec<String> = found.filter(|_| self.origin_named).map(ToString::to_string).collect();
        if found.is_empty() { Met::Yes } else { Met::No(found.join("; ")) }
    }

    fn reach(&self, findings: &Findings) -> Met {
        match &findings.reach.reach {
            _ if self.reach == RequiredReach::Nothing => Met::Yes,
            Reach::Reached { .. } => Met::Yes,
            Reach::Squashed { .. } if self.reach <= RequiredReach::ReachedOrSquashed => Met::Yes,
            Reach::Squashed { .. } => Met::No("the commit was squashed".to_owned()),
            Reach::Unreachable => Met::No("unreachable commit".to_owned()),
            Reach::Unknown { reason } => Met::Unknown(format!("reach unknown: {reason}")),
        }
    }

    fn lockfile(&self, findings: &Findings) -> Met {
        let input = |condition: &Condition| matches!(condition, Condition::PublishedLockfile { .. });
        match (&findings.lockfile, findings.conditions.iter().any(input)) {
            (Lockfile::Faults { faults }, _) => {
                Met::No(format!("published Cargo.lock as input: {}", join(faults, "; ")))
            }
            (_, true) if self.no_published_lockfile => Met::No("published Cargo.lock as input".to_owned()),
            (Lockfile::Undated { versions }, _) => Met::Unknown(format!(
                "published Cargo.lock as input: nobody knows when {} came out",
                join(versions, ", ")
            )),
            (Lockfile::NotAnInput, true) => Met::Unknown("the published Cargo.lock was not checked".to_owned()),
            (Lockfile::Consistent { .. } | Lockfile::NotAnInput, _) => Met::Yes,
        }
    }
}

/// Why the contents were not compared.
fn not_compared(rebuild: &Rebuild) -> String {
    match rebuild {
        Rebuild::Impossible { missing, .. } => missing.to_string(),
        Rebuild::Error { .. } | Rebuild::Done | Rebuild::Refused { .. } | Rebuild::NotAttempted => {
            "contents not compared".to_owned()
        }
    }
}

fn checksum(findings: &Findings) -> Met {
    match &findings.checksum {
        Checksum::Matches => Met::Yes,
        Checksum::Mismatch { .. } => Met::No("checksum mismatch".to_owned()),
        Checksum::Unknown => Met::Unknown("checksum not checked".to_owned()),
    }
}

fn archive(findings: &Findings) -> Met {
    match &findings.archive {
        ArchiveForm::WellFormed { .. } => Met::Yes,
        ArchiveForm::Malformed { .. } => Met::No("malformed archive".to_owned()),
        ArchiveForm::Unknown => Met::Unknown("archive not read".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stages::claims::{Missing, OtherTag};
    use crate::stages::compare::{Difference, Kind, Weight};
    use crate::stages::container::{Normalised, Writer};
    use crate::stages::decision::{DecisionName, Exit};
    use crate::stages::deflate::Compressor;
    use crate::stages::findings::{Contradiction, Flags, Origin, ReachFinding};

    fn difference(weight: Weight) -> NonEmpty<Difference> {
        NonEmpty::one(Difference { path: "a".into(), kind: Kind::Bytes, weight, details: Vec::new() })
    }

    fn contents() -> impl Strategy<Value = Contents> {
        let normalised = || NonEmpty::one(Normalised::Times);
        prop_oneof![
            Just(Contents::BitForBit),
            Just(Contents::SameContents {
                normalised: normalised(),
                writer: Writer::Gnu,
                compressor: Compressor::Zlib8
            }),
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
        let reach = prop_oneof![
            Just(RequiredReach::Nothing),
            Just(RequiredReach::ReachedOrSquashed),
            Just(RequiredReach::Reached)
        ];
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn taking_information_away_never_turns_anything_into_accepted(
            findings in findings(), policy in policy(), which in 0_usize..7,
        ) {
            let (more, less) = (policy.decide(&findings), policy.decide(&without(&findings, which)));
            prop_assert!(more.passes() || !less.passes(), "{which}: {more:?} {less:?}");
        }

        #[test]
        fn a_stricter_policy_never_accepts_more(findings in findings(), one in policy(), two in policy()) {
            if requires_no_less(&one, &two) && one.decide(&findings).passes() {
                prop_assert!(two.decide(&findings).passes());
            }
        }

        #[test]
        fn what_a_publisher_says_of_dirt_never_decides(findings in findings(), policy in policy()) {
            let clean = Findings { flags: Flags { dirty: false }, ..findings.clone() };
            let dirty = Findings { flags: Flags { dirty: true }, ..findings };
            prop_assert_eq!(policy.decide(&clean), policy.decide(&dirty));
        }

        #[test]
        fn what_is_accepted_was_compared_and_equal(findings in findings(), policy in policy()) {
            if policy.decide(&findings).passes() {
                let equal = matches!(findings.contents, Contents::BitForBit | Contents::SameContents { .. });
                prop_assert!(equal && findings.checksum == Checksum::Matches);
                let is_well_formed = matches!(findings.archive, ArchiveForm::WellFormed { .. });
                prop_assert!(is_well_formed);
            }
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
}
