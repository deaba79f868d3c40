//! *Coverage*: whether a plan is about the packages of a lock file, all of them and no others. `nix/plan.nix` computes the
//! same list.

use std::collections::BTreeSet;

use super::lock::{Locked, source_of};
use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;

/// The hash of a lock file's package list: a line for each package, `name version source checksum`, sorted.
#[must_use]
pub fn digest(locked: &Locked) -> Sha256 {
    Sha256::of(lines(locked).into_iter().map(|line| line + "\n").collect::<String>().as_bytes())
}

/// The package list of a lock file. What a package lacks is `-`.
#[must_use]
pub fn lines(locked: &Locked) -> BTreeSet<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let raw = |text: &Option<Foreign>| or_none(text.as_ref().map(|text| text.raw().to_owned()));
    let packages = locked.packages.iter().map(|package| {
        let key = &package.key;
        let checksum = or_none(package.checksum.map(|checksum| checksum.to_string()));
        format!("{} {} {} {checksum}", key.name, key.version, source_of(&key.registry))
    });
    let skipped = locked.skipped.iter().map(|skipped| {
        let (source, checksum) = (raw(&skipped.source), raw(&skipped.checksum));
        format!("{} {} {source} {checksum}", skipped.name.raw(), skipped.version.raw())
    });
    packages.chain(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::lock::read;

    #[test]
    fn every_package_is_a_line() {
        let text = format!(
            "version = 4\n\n[[package]]\nname = \"mine\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"itoa\"\n\
             version = \"1.0.18\"\nsource = \"{}\"\nchecksum = \"{}\"\n",
            crate::stages::lock::DEFAULT_SOURCE,
            "a".repeat(64)
        );
        let found: Vec<String> = lines(&read(&text).unwrap()).into_iter().collect();
        let itoa = format!("itoa 1.0.18 {} {}", crate::stages::lock::DEFAULT_SOURCE, "a".repeat(64));
        assert_eq!(found, [itoa, "mine 0.1.0 - -".to_owned()]);
    }
}
