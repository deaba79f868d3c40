//! The author's own cargo: the one that their project chooses, as they would run it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};
use duct::cmd;

use super::tokens::DEFAULT;
use crate::model::krate::CrateId;
use crate::model::release::Minor;

/// Whether a variable has a token in it, or what one is given for: code of dependencies that cargo runs is not to see it.
fn is_secret(name: &str) -> bool {
    let of_registry = name.starts_with("CARGO_REGISTR") && (name.ends_with("_TOKEN") || name.ends_with("_SECRET_KEY"));
    of_registry || name.starts_with("ACTIONS_ID_TOKEN_REQUEST_") || name == "RECRATE_ID_TOKEN"
}

/// The first cargo that packages members together which depend on each other.
const PACKAGES_TOGETHER: Minor = Minor(90);

/// The first cargo that asks credential providers.
const ASKS_PROVIDERS: Minor = Minor(74);

/// cargo, in a folder.
#[derive(Debug)]
pub struct Cargo {
    program: OsString,
    folder: PathBuf,
    /// Its release, like `1.95.0`.
    pub release: String,
    /// The same as a number.
    pub minor: Minor,
}

/// The author's workspace.
#[derive(Debug)]
pub struct Workspace {
    /// Its folder.
    pub root: PathBuf,
    /// Where cargo writes.
    pub target: PathBuf,
    /// Its packages, each after those that it depends on.
    pub packages: Vec<Member>,
    /// The one that cargo means where none is named.
    pub usual: Option<CrateId>,
}

/// A package of the author's workspace.
#[derive(Debug, Clone)]
pub struct Member {
    /// Name and version.
    pub id: CrateId,
    /// Its manifest.
    pub manifest: PathBuf,
    /// The registries that it may be published to; none where to all.
    pub publish: Option<Vec<String>>,
    /// The repository that it names.
    pub repository: Option<String>,
    /// Whether it says what it is.
    pub has_description: bool,
    /// Whether it says under which licence it is.
    pub has_licence: bool,
    /// The packages of the workspace that it needs.
    pub needs: BTreeSet<CrateId>,
}

/// Why cargo is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be run.
    #[error("{program} can't be run: {error}\nhelp: install cargo, or name it with the variable CARGO")]
    Broken {
        /// What was run.
        program: String,
        /// What came of it.
        error: String,
    },
    /// It is of no release.
    #[error("cargo says that it is `{0}`, which is no release of Rust 1")]
    Unreleased(String),
    /// It refuses.
    #[error("{0}")]
    Refused(String),
}

impl Cargo {
    /// The cargo that is used in a folder.
    ///
    /// # Errors
    /// Where there is none, or it is of no release.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let broken = |error: String| Error::Broken { program: program.to_string_lossy().into_owned(), error };
        let said = cmd(&program, ["-vV"]).dir(folder).stderr_capture().stdout_capture().unchecked().run();
        let said = said.map_err(|error| broken(error.to_string()))?;
        if !said.status.success() {
            return Err(broken(String::from_utf8_lossy(&said.stderr).trim().to_owned()));
        }
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let release = said.lines().find_map(|line| line.strip_prefix("release: ")).unwrap_or_default().to_owned();
        let minor = Minor::of_release(&release).ok_or_else(|| Error::Unreleased(release.clone()))?;
        Ok(Self { program, folder: folder.to_owned(), release, minor })
    }

    /// Whether it asks a credential provider before it uploads.
    #[must_use]
    pub fn asks_providers(&self) -> bool {
        self.minor >= ASKS_PROVIDERS
    }

    /// Whether it packages members together which depend on each other before any is published.
    #[must_use]
    pub fn packages_together(&self) -> bool {
        self.minor >= PACKAGES_TOGETHER
    }

    /// Reads the workspace.
    ///
    /// # Errors
    /// Where cargo can't.
    pub fn workspace(&self) -> Result<Workspace, Error> {
        let refused = |error: cargo_metadata::Error| Error::Refused(error.to_string());
        let mut command = MetadataCommand::new();
        command.cargo_path(&self.program).current_dir(&self.folder).no_deps();
        let metadata = command.exec().map_err(refused)?;
        let id = |package: &cargo_metadata::Package| -> Option<CrateId> {
            Some(CrateId { name: package.name.as_str().parse().ok()?, version: package.version.clone() })
        };
        let by_folder: BTreeMap<&Path, CrateId> = metadata
            .packages
            .iter()
            .filter_map(|package| Some((package.manifest_path.parent()?.as_std_path(), id(package)?)))
            .collect();
        let members = metadata.packages.iter().filter_map(|package| {
            let own = id(package)?;
            // What is required for development without a version is not in the crate.
            let counts = |dependency: &&cargo_metadata::Dependency| {
                dependency.kind != DependencyKind::Development || !dependency.req.comparators.is_empty()
            };
            let needs = package.dependencies.iter().filter(counts).filter_map(|dependency| {
                by_folder.get(dependency.path.as_ref()?.as_std_path()).filter(|needed| **needed != own).cloned()
            });
            Some(Member {
                manifest: package.manifest_path.clone().into_std_path_buf(),
                publish: package.publish.clone(),
                repository: package.repository.clone(),
                has_description: package.description.as_ref().is_some_and(|text| !text.is_empty()),
                has_licence: package.license.is_some() || package.license_file.is_some(),
                needs: needs.collect(),
                id: own,
            })
        });
        let packages = in_order(members.collect());
        let here = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        let above = |folder: &&Path| by_folder.contains_key(*folder);
        let usual = here.ancestors().find(above).and_then(|folder| by_folder.get(folder)).cloned();
        Ok(Workspace {
            root: metadata.workspace_root.into_std_path_buf(),
            target: metadata.target_directory.into_std_path_buf(),
            packages,
            usual,
        })
    }

    /// Packages members, without building them; gives the crates' files. `registry`: where they are to be published, where that is not
    /// the default one.
    ///
    /// # Errors
    /// Where cargo refuses, with its own words.
    pub fn package(
        &self,
        members: &[&Member],
        registry: Option<&str>,
        target: &Path,
        verify: bool,
    ) -> Result<Vec<PathBuf>, Error> {
        let mut arguments: Vec<OsString> = vec!["package".into()];
        if !verify {
            arguments.push("--no-verify".into());
        }
        arguments.extend(self.places(members, target));
        if let Some(registry) = registry.filter(|_| self.packages_together()) {
            arguments.extend(["--registry".into(), registry.into()]);
        }
        let secrets = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_str().is_some_and(is_secret));
        let command = cmd(&self.program, arguments).dir(&self.folder).env("CARGO_TERM_COLOR", "never");
        let done = secrets
            .fold(command, |command, name| command.env_remove(name))
            .stderr_capture()
            .stdout_null()
            .unchecked()
            .run()
            .map_err(|error| Error::Refused(error.to_string()))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            // What it did before is no part of why it stopped.
            let from = said.find("\nerror: ").map_or(0, |at| at + 1);
            return Err(Error::Refused(said[from..].trim().to_owned()));
        }
        Ok(members.iter().map(|member| target.join("package").join(format!("{}.crate", member.id.stem()))).collect())
    }

    /// Publishes a member, which was verified before, and shows what cargo says. Tokens come from the credential provider `gate`, a
    /// program and its arguments, and from nowhere else.
    ///
    /// # Errors
    /// Where cargo refuses or fails: it has said why.
    pub fn publish(&self, member: &Member, to: &Target<'_>, target: &Path) -> Result<(), Error> {
        let mut arguments: Vec<OsString> = vec!["publish".into(), "--no-verify".into()];
        arguments.extend(self.places(&[member], target));
        let provider = match to.registry {
            Some(name) => {
                arguments.extend(["--registry".into(), name.into()]);
                format!("registries.{name}.credential-provider")
            }
            None => {
                // Where something stands for it, cargo wants to be told that it is meant.
                arguments.extend(["--registry".into(), DEFAULT.into()]);
                "registry.credential-provider".to_owned()
            }
        };
        let gate: Vec<toml::Value> = to.gate.iter().map(|part| toml::Value::from(part.as_str())).collect();
        arguments.extend(["--config".into(), format!("{provider}={}", toml::Value::Array(gate)).into()]);
        let command = cmd(&self.program, arguments).dir(&self.folder).stdout_to_stderr().unchecked();
        let command = to.variables.iter().fold(command, |command, (name, value)| command.env(name, value));
        let done = command.run().map_err(|error| Error::Refused(error.to_string()))?;
        if done.status.success() { Ok(()) } else { Err(Error::Refused(format!("cargo did not publish {}", member.id))) }
    }

    fn places(&self, members: &[&Member], target: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--target-dir".into(), target.into()];
        // Old cargos package one at a time, and by its manifest.
        if let [member] = members {
            arguments.extend(["--manifest-path".into(), member.manifest.clone().into()]);
        } else {
            arguments.extend(members.iter().flat_map(|member| ["-p".into(), OsString::from(member.id.to_string())]));
        }
        arguments
    }
}

/// Where cargo is to publish, and how it gets a token.
#[derive(Debug)]
pub struct Target<'a> {
    /// The registry by its name in cargo's configuration; none for the default one.
    pub registry: Option<&'a str>,
    /// The credential provider: a program and its arguments.
    pub gate: &'a [String],
    /// Variables for it.
    pub variables: &'a [(&'static str, OsString)],
}

/// Members so that each comes after those that it needs. Where they need each other in a circle, they stay as they are.
fn in_order(mut members: Vec<Member>) -> Vec<Member> {
    members.sort_by(|a, b| a.id.name.cmp(&b.id.name));
    let mut ordered: Vec<Member> = Vec::new();
    while !members.is_empty() {
        let waiting: BTreeSet<CrateId> = members.iter().map(|member| member.id.clone()).collect();
        let next = members.iter().position(|member| member.needs.is_disjoint(&waiting)).unwrap_or(0);
        ordered.push(members.remove(next));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, needs: &[&str]) -> Member {
        Member {
            id: id.parse().unwrap(),
            manifest: PathBuf::new(),
            publish: None,
            repository: None,
            has_description: true,
            has_licence: true,
            needs: needs.iter().map(|id| id.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_package_comes_after_those_that_it_needs() {
        let ordered = |members: Vec<Member>| -> Vec<String> {
            in_order(members).into_iter().map(|member| member.id.name.as_str().to_owned()).collect()
        };
        let members = vec![member("a@1.0.0", &["c@1.0.0"]), member("b@1.0.0", &["a@1.0.0"]), member("c@1.0.0", &[])];
        assert_eq!(ordered(members), ["c", "a", "b"]);
        let circle = vec![member("b@1.0.0", &["a@1.0.0"]), member("a@1.0.0", &["b@1.0.0"])];
        assert_eq!(ordered(circle), ["a", "b"]);
    }
}
