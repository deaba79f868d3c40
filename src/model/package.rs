//! What a package *is*: registry, name and version. Wherever a package is named, it is named by this key.

use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::krate::{CrateId, CrateName};

/// A registry as a lock file names it. Written as `default`, or as the address of its index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RegistryName {
    /// The default registry, wherever cargo's configuration says that it is.
    Default,
    /// Another registry by the address of its index, without `registry+`; sparse ones begin with `sparse+`.
    Index(IndexAddress),
}

/// The address of a registry's index: printable ASCII with `://` in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexAddress(String);

/// Text that does not name a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of a registry's index")]
pub struct BadRegistryName(String);

impl RegistryName {
    const DEFAULT: &'static str = "default";
}

impl FromStr for RegistryName {
    type Err = BadRegistryName;

    fn from_str(text: &str) -> Result<Self, BadRegistryName> {
        if text == Self::DEFAULT {
            return Ok(Self::Default);
        }
        let legal = text.contains("://")
            && text.len() <= 2048
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"#[]".contains(&byte));
        if legal { Ok(Self::Index(IndexAddress(text.to_owned()))) } else { Err(BadRegistryName(text.to_owned())) }
    }
}

impl TryFrom<String> for RegistryName {
    type Error = BadRegistryName;

    fn try_from(text: String) -> Result<Self, BadRegistryName> {
        text.parse()
    }
}

impl From<RegistryName> for String {
    fn from(name: RegistryName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => Self::DEFAULT,
            Self::Index(address) => address.as_str(),
        })
    }
}

impl IndexAddress {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One version of one crate of one registry. Two packages are the same only if all three are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackageKey {
    /// Its name.
    pub name: CrateName,
    /// Its version, build metadata and all.
    pub version: Version,
    /// The registry that it comes from.
    pub registry: RegistryName,
}

impl PackageKey {
    /// A crate of a registry.
    #[must_use]
    pub fn new(registry: RegistryName, id: CrateId) -> Self {
        Self { registry, name: id.name, version: id.version }
    }

    /// Name and version.
    #[must_use]
    pub fn id(&self) -> CrateId {
        CrateId { name: self.name.clone(), version: self.version.clone() }
    }

    /// A name that Nix attributes, Hydra jobs and files may have: `itoa-1_0_18`. No two packages get the same.
    ///
    /// In the name, `_` becomes `__`; in the version, `.` becomes `_` and `+` becomes `__`. So the first run of
    /// underscores of odd length belongs to the version, and what stands before it says where the version begins. A
    /// package of another registry has `_`, the address and `-` in front, where everything but letters and digits is
    /// `_` and two hex digits. `nix/plan.nix` computes the same.
    #[must_use]
    pub fn job(&self) -> String {
        let name = self.name.as_str().replace('_', "__");
        let version = self.version.to_string().replace('.', "_").replace('+', "__");
        match &self.registry {
            RegistryName::Default => format!("{name}-{version}"),
            RegistryName::Index(address) => {
                let escaped = address.as_str().bytes().fold(String::new(), |text, byte| match byte {
                    byte if byte.is_ascii_alphanumeric() => text + char::from(byte).encode_utf8(&mut [0; 1]),
                    byte => text + &format!("_{byte:02x}"),
                });
                format!("_{escaped}-{name}-{version}")
            }
        }
    }
}

/// `name@version`, and the registry where it is not the default one.
impl fmt::Display for PackageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)?;
        match &self.registry {
            RegistryName::Default => Ok(()),
            RegistryName::Index(address) => write!(f, " from {}", address.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(registry: &str, id: &str) -> PackageKey {
        PackageKey::new(registry.parse().unwrap(), id.parse().unwrap())
    }

    #[test]
    fn jobs_have_legal_names() {
        assert_eq!(key("default", "openssl-src@300.2.3+3.2.1").job(), "openssl-src-300_2_3__3_2_1");
        assert_eq!(key("default", "serde_json@1.0.0").job(), "serde__json-1_0_0");
        assert_eq!(key("sparse+https://a.b/", "x@1.0.0").job(), "_sparse_2bhttps_3a_2f_2fa_2eb_2f-x-1_0_0");
    }

    #[test]
    fn crates_whose_names_and_versions_run_together_are_told_apart() {
        assert_ne!(key("default", "foo@1.0.0-2.0.0").job(), key("default", "foo-1_0_0@2.0.0").job());
        assert_ne!(key("default", "foo@1.0.0-v2.0.0").job(), key("default", "foo-1_0_0-v2@0.0.0").job());
    }

    #[test]
    fn only_addresses_name_registries() {
        for bad in ["", "Default", "corp", "https://a b/", "https://é/", "a\n://"] {
            assert!(bad.parse::<RegistryName>().is_err(), "{bad}");
        }
        assert_eq!("default".parse(), Ok(RegistryName::Default));
    }

    proptest::proptest! {
        #[test]
        fn no_two_packages_share_a_job(
            names in ("[a_][a_0-]{0,6}", "[a_][a_0-]{0,6}"),
            versions in ("[01]\\.0\\.[01](-[a0]([.-][a0]){0,2})?(\\+[a0](\\.[a0])?)?", "[01]\\.0\\.[01](-[a0]([.-][a0]){0,2})?(\\+[a0])?"),
            registries in ("default|(sparse\\+)?https://[a./-]{1,3}", "default|https://[a./-]{1,3}"),
        ) {
            let make = |registry: &str, name: &str, version: &str| {
                Some(PackageKey::new(registry.parse().ok()?, format!("{name}@{version}").parse().ok()?))
            };
            let one = make(&registries.0, &names.0, &versions.0);
            let two = make(&registries.1, &names.1, &versions.1);
            if let (Some(one), Some(two)) = (one, two) {
                assert_eq!(one == two, one.job() == two.job(), "{one} {two}");
                assert!(one.job().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            }
        }
    }
}
