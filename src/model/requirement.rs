//! Requirements of versions, as manifests and index lines write them.

use semver::VersionReq;

/// The versions that a requirement is for; any where that is not certain: cargos before 1.55 read an operator with a wildcard, as in
/// `>1.*`, as the wildcard alone, and today's library does not.
#[must_use]
pub fn versions(text: &str) -> VersionReq {
    let is_uncertain = |one: &str| {
        let plain = one.trim().trim_start_matches(['<', '>', '=', '~', '^']);
        plain.len() < one.trim().len() && plain.split('.').any(|part| matches!(part.trim(), "*" | "x" | "X"))
    };
    if text.split(',').any(is_uncertain) { VersionReq::STAR } else { text.parse().unwrap_or(VersionReq::STAR) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargos_read_differently_is_anything() {
        for text in [">1.*", "<2.*", ">=1.*, <3", "~1.x", "< 2.X", "no requirement", "*"] {
            assert_eq!(versions(text), VersionReq::STAR, "{text}");
        }
        for text in ["1.*", "^1.2", ">=1, <2", "=1.0.0-x"] {
            assert_eq!(versions(text), text.parse().unwrap());
        }
    }
}
