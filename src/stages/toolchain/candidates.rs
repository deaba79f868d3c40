//! Which cargos to try for a crate, and in which order.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CargoEvidence, Layer, Origin, Toolchain, class_of, stable_at};
use crate::model::release::{Minor, Span};

/// A cargo to try for a crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The cargo.
    pub toolchain: Toolchain,
    /// Whether all evidence allows it. One that it does not allow can still show that every file is the same.
    pub in_range: bool,
}

/// How far to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Search {
    /// What is likely.
    Likely,
    /// Every cargo that is not certain to be another one than the publisher's.
    Thorough,
    /// Nothing: the cargos, the index and the checkout are known, because the package is not published yet. What differs then is to be
    /// seen, not to be searched for.
    Nothing,
}

/// How many candidates a crate gets in a search for what is likely: those that all evidence allows, those that are only too
/// young for the day, and those that its bytes rule out, which can still show that every file is the same.
const FITTING: usize = 6;
const TOO_YOUNG: usize = 1;
const OUTSIDE: usize = 2;

/// The cargos to try for a crate, best first: one of each class, those that its bytes allow first, the nearest to the stable
/// release of the day before others. A cargo that is only too young for the day may well package like the one that was used.
#[must_use]
pub fn candidates(
    evidence: &CargoEvidence,
    published: Option<Timestamp>,
    available: &[Toolchain],
    search: Search,
) -> Vec<Candidate> {
    if search == Search::Nothing {
        return available.iter().map(|toolchain| Candidate { toolchain: toolchain.clone(), in_range: true }).collect();
    }
    let newest = || available.iter().map(|toolchain| toolchain.minor).max().unwrap_or(Minor(0));
    let expected = published.and_then(stable_at).unwrap_or_else(newest);
    let span = evidence.range.unwrap_or(Span::ALL);
    let allowed = match search {
        Search::Likely | Search::Nothing => span,
        Search::Thorough => evidence.certain.unwrap_or(Span::ALL),
    };
    let distance = |a: Minor, b: Minor| class_of(a).abs_diff(class_of(b));
    let clues = evidence.clues.iter().filter(|clue| clue.layer != Layer::Date);
    let by_bytes = clues.map(|clue| clue.span).try_fold(Span::ALL, Span::and).or(evidence.range).unwrap_or(Span::ALL);

    // Imported cargos are here, archives may have to be fetched. Older ones are likelier than newer ones.
    let mut ranked: Vec<&Toolchain> = available.iter().collect();
    ranked.sort_by_key(|toolchain| {
        let minor = toolchain.minor;
        let off = match by_bytes.last {
            Some(last) if minor > last => distance(minor, last),
            _ if minor < by_bytes.first => distance(minor, by_bytes.first),
            _ => 0,
        };
        let fetched = matches!(toolchain.origin, Origin::Archive { .. });
        let (outside, too_young) = (!by_bytes.contains(minor), !span.contains(minor));
        let near = (distance(minor, expected), too_young, minor > expected, fetched, minor.0.abs_diff(expected.0));
        (outside, off, near, toolchain.name.clone())
    });
    let mut classes = std::collections::BTreeSet::new();
    let (mut fitting, mut young, mut outside) = (0, 0, 0);
    let mut chosen = Vec::new();
    for toolchain in ranked {
        let minor = toolchain.minor;
        let (count, limit) = match (by_bytes.contains(minor), span.contains(minor)) {
            _ if search == Search::Thorough && allowed.contains(minor) => (&mut fitting, usize::MAX),
            (true, true) => (&mut fitting, FITTING),
            (true, false) => (&mut young, TOO_YOUNG),
            (false, _) => (&mut outside, OUTSIDE),
        };
        if *count < limit && classes.insert(class_of(minor)) {
            *count += 1;
            chosen.push(Candidate { toolchain: toolchain.clone(), in_range: allowed.contains(minor) });
        }
    }
    chosen
}

/// The release that a commit's `rust-toolchain` or `rust-toolchain.toml` asks for; none for a channel without a number.
#[must_use]
pub fn asked_for(text: &str) -> Option<Minor> {
    let channel = match text.parse::<toml::Table>() {
        Ok(table) => table.get("toolchain")?.get("channel")?.as_str()?.to_owned(),
        Err(_) => text.trim().to_owned(),
    };
    Minor::of_release(&channel)
}

/// Puts cargos that package like this release's before the others that may have made a crate.
pub fn prefer(candidates: &mut [Candidate], minor: Minor) {
    candidates.sort_by_key(|one| !one.in_range || class_of(one.toolchain.minor) != class_of(minor));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::digest::{Sha256, Sri};
    use crate::stages::toolchain::Clue;

    fn toolchain(release: &str) -> Toolchain {
        Toolchain {
            name: release.to_owned(),
            release: release.to_owned(),
            minor: Minor::of_release(release).unwrap(),
            origin: Origin::Imported { nar_hash: Sri(Sha256::of(release.as_bytes())) },
        }
    }

    #[test]
    fn what_a_commit_asks_for_comes_first_among_those_that_may_be() {
        for text in ["1.72.1\n", "[toolchain]\nchannel = \"1.72\"\n", "1.72.1-x86_64-unknown-linux-gnu"] {
            assert_eq!(asked_for(text), Some(Minor(72)), "{text}");
        }
        assert_eq!(asked_for("nightly-2024-01-01"), None);
        let one = |release, in_range| Candidate { toolchain: toolchain(release), in_range };
        let mut all = [one("1.78.0", true), one("1.65.0", true), one("1.46.0", false)];
        prefer(&mut all, Minor(65));
        assert_eq!(all.map(|one| one.toolchain.name), ["1.65.0", "1.78.0", "1.46.0"]);
    }

    fn names(span: Option<Span>, published: &str, available: &[&str]) -> Vec<String> {
        let available: Vec<_> = available.iter().map(|release| toolchain(release)).collect();
        let clues = span.map(|span| Clue { layer: Layer::Manifest, span, trait_seen: "".into() }).into_iter().collect();
        let evidence = CargoEvidence { clues, range: span, certain: span };
        candidates(&evidence, published.parse().ok(), &available, Search::Likely)
            .into_iter()
            .map(|candidate| format!("{}{}", candidate.toolchain.name, if candidate.in_range { "" } else { "?" }))
            .collect()
    }

    #[test]
    fn the_stable_release_of_the_day_comes_first_and_each_class_once() {
        let available = ["1.46.0", "1.65.0", "1.75.0", "1.76.0", "1.85.0", "1.86.0"];
        assert_eq!(
            names(Some(Span::between(63, 87)), "2024-02-20T00:00:00Z", &available),
            ["1.76.0", "1.65.0", "1.85.0", "1.46.0?"]
        );
    }

    #[test]
    fn one_that_is_only_too_young_for_the_day_comes_before_those_that_are_far_off() {
        let clue = |layer, span| Clue { layer, span, trait_seen: "".into() };
        let clues = vec![clue(Layer::Manifest, Span::between(63, 83)), clue(Layer::Date, Span::until(77))];
        let evidence =
            CargoEvidence { clues, range: Some(Span::between(63, 77)), certain: Some(Span::between(63, 77)) };
        let available: Vec<_> = ["1.46.0", "1.65.0", "1.78.0", "1.83.0", "1.97.0"].map(toolchain).into();
        let chosen = candidates(&evidence, "2024-01-05T00:00:00Z".parse().ok(), &available, Search::Likely);
        let names: Vec<_> = chosen.iter().map(|one| (one.toolchain.name.as_str(), one.in_range)).collect();
        assert_eq!(names, [("1.78.0", false), ("1.65.0", true), ("1.97.0", false), ("1.46.0", false)]);
    }

    #[test]
    fn outside_the_range_the_nearest_comes_first() {
        let available = ["1.46.0", "1.65.0", "1.85.0", "1.97.0"];
        assert_eq!(names(Some(Span::between(55, 56)), "2022-05-04T00:00:00Z", &available), ["1.46.0?", "1.65.0?"]);
    }

    #[test]
    fn a_thorough_search_excludes_only_what_is_certain() {
        let available: Vec<_> = ["1.65.0", "1.83.0", "1.85.0", "1.90.0"].map(toolchain).into();
        let clues = vec![Clue { layer: Layer::Manifest, span: Span::until(83), trait_seen: "".into() }];
        let evidence = CargoEvidence { clues, range: Some(Span::until(83)), certain: Some(Span::until(87)) };
        let chosen = |search| candidates(&evidence, "2025-01-01T00:00:00Z".parse().ok(), &available, search);
        let in_range = |search| -> Vec<String> {
            chosen(search).into_iter().filter(|one| one.in_range).map(|one| one.toolchain.name).collect()
        };
        assert_eq!(in_range(Search::Likely), ["1.83.0", "1.65.0"]);
        assert_eq!(in_range(Search::Thorough), ["1.83.0", "1.65.0", "1.85.0"]);
    }

    #[test]
    fn contradicting_evidence_leaves_the_date() {
        assert_eq!(names(None, "2025-03-01T00:00:00Z", &["1.65.0", "1.85.0"])[0], "1.85.0");
    }
}
