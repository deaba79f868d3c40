//! Which credential providers cargo asks for tokens, by its configuration. See
//! <https://doc.rust-lang.org/cargo/reference/registry-authentication.html>.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::cargo_config::files;
use super::tokens::DEFAULT;

/// A provider: a program and its arguments, or the name of one that is part of cargo.
pub type Provider = Vec<String>;

/// The providers that cargo asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Providers {
    /// Of a registry, by its name: nobody else is asked for it.
    of: BTreeMap<String, Provider>,
    /// For all others: the last is asked first, the next where it has no token.
    global: Vec<Provider>,
}

/// What is to be known of the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// No registry has it.
    None,
    /// These registries have it.
    For(Vec<String>),
    /// It is one of several providers, and these are asked, too.
    Open(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    List(Vec<String>),
}

impl Written {
    fn read(self) -> Provider {
        match self {
            Self::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
            Self::List(list) => list,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct Registry {
    credential_provider: Option<Written>,
    global_credential_providers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    registry: Registry,
    #[serde(default)]
    registries: BTreeMap<String, Registry>,
}

impl Providers {
    /// Those that count in a folder: by `variables`, then the files there, those above, and that of cargo's home. What can't be read names
    /// none: cargo will say so.
    #[must_use]
    pub fn read(folder: &Path, cargo_home: Option<&Path>, variables: impl Iterator<Item = (String, String)>) -> Self {
        let mut found = Self::default();
        for (name, value) in variables {
            let provider = || Written::Text(value.clone()).read();
            if name == "CARGO_REGISTRY_CREDENTIAL_PROVIDER" {
                found.of.insert(DEFAULT.to_owned(), provider());
            } else if name == "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS" {
                found.global = value.split_whitespace().map(|one| vec![one.to_owned()]).collect();
            } else if let Some(label) =
                name.strip_prefix("CARGO_REGISTRIES_").and_then(|rest| rest.strip_suffix("_CREDENTIAL_PROVIDER"))
            {
                found.of.insert(spelled(label), provider());
            }
        }
        for path in files(folder, cargo_home) {
            let Ok(text) = fs_err::read_to_string(&path) else { continue };
            let Ok(File { registry, registries }) = toml::from_str::<File>(&text) else { continue };
            if let Some(provider) = registry.credential_provider {
                found.of.entry(DEFAULT.to_owned()).or_insert_with(|| provider.read());
            }
            if let (true, Some(global)) = (found.global.is_empty(), registry.global_credential_providers) {
                found.global = global.into_iter().map(|one| Written::Text(one).read()).collect();
            }
            // That of the default registry is not looked at there.
            for (label, registry) in registries.into_iter().filter(|(label, _)| label != DEFAULT) {
                if let Some(provider) = registry.credential_provider {
                    found.of.entry(spelled(&label)).or_insert_with(|| provider.read());
                }
            }
        }
        found
    }

    /// What is to be known of the gate.
    #[must_use]
    pub fn gate(&self) -> Gate {
        if self.global.iter().any(is_gate) {
            let others: Vec<String> =
                self.global.iter().filter(|provider| !is_gate(provider)).map(|provider| provider.join(" ")).collect();
            if !others.is_empty() {
                return Gate::Open(others);
            }
            return Gate::For(vec!["every registry without a provider of its own".to_owned()]);
        }
        let gated: Vec<String> =
            self.of.iter().filter(|(_, provider)| is_gate(provider)).map(|(label, _)| label.clone()).collect();
        if gated.is_empty() { Gate::None } else { Gate::For(gated) }
    }
}

/// A registry's name as variables spell it: they don't tell more names apart.
fn spelled(label: &str) -> String {
    label.to_ascii_lowercase().replace('-', "_")
}

fn is_gate(provider: &Provider) -> bool {
    let program = provider.first().map(Path::new).and_then(Path::file_name);
    program.is_some_and(|name| name == "recrate") && provider.get(1).is_some_and(|word| word == "credential")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(text: &str, variables: &[(&str, &str)]) -> Gate {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.toml"), text).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Providers::read(home.path(), Some(home.path()), variables).gate()
    }

    #[test]
    fn another_provider_beside_the_gate_leaves_it_open() {
        assert_eq!(gate("", &[]), Gate::None);
        assert_eq!(gate("[registry]\ncredential-provider = \"cargo:token\"", &[]), Gate::None);
        let one = "[registry]\ncredential-provider = [\"/bin/recrate\", \"credential\", \"--trusted-publishing\"]";
        assert_eq!(gate(one, &[]), Gate::For(vec!["crates-io".to_owned()]));
        assert_eq!(
            gate("", &[("CARGO_REGISTRIES_OWN_CREDENTIAL_PROVIDER", "recrate credential")]),
            Gate::For(vec!["own".to_owned()])
        );
        let several = "[registry]\nglobal-credential-providers = [\"recrate credential\", \"cargo:token\"]";
        assert_eq!(gate(several, &[]), Gate::Open(vec!["cargo:token".to_owned()]));
        assert_eq!(
            gate(one, &[("CARGO_REGISTRY_CREDENTIAL_PROVIDER", "cargo:token")]),
            Gate::None,
            "variables count first"
        );
    }
}
