//! What `check`, `package` and `publish` work on: packages of the author's own workspace, as cargo packages them here and as the
//! sandbox does from the repository.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;

use super::Failure;
use super::build_options::{BuildOptions, users_config};
use super::subject::in_run;
use crate::edges::approvals::Approvals;
use crate::edges::cargo::{Cargo, Member, Workspace};
use crate::edges::console::Detail;
use crate::edges::run_directory::RunDirectory;
use crate::edges::tokens::DEFAULT;
use crate::model::krate::CrateName;
use crate::model::package::{PackageKey, RegistryName};
use crate::pipeline::context::Context;
use crate::pipeline::rehearsal::{Project, Rehearsed};
use crate::stages::plan::Plan;
use crate::stages::policy::BuiltIn;
use crate::stages::report::{Basis, Report};
use crate::stages::toolchain::Search;

/// Packages of the author's workspace.
#[derive(Debug, Clone, clap::Args)]
pub struct Author {
    /// Packages of this workspace [default: the one of this folder]
    #[arg(value_name = "PACKAGE")]
    packages: Vec<CrateName>,
    /// All packages of the workspace that may be published
    #[arg(long, conflicts_with = "packages")]
    workspace: bool,
    /// The registry, by its name in cargo's configuration [default: the only one that `publish` in Cargo.toml allows, or the default one]
    #[arg(long, value_name = "NAME")]
    registry: Option<String>,
    /// Folder of the run: records, logs, plan and report [default: recrate in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    /// How it is built.
    #[command(flatten)]
    pub options: BuildOptions,
}

/// Packages as they would be published.
#[derive(Debug)]
pub struct Rehearsal {
    /// What was needed of the outside world.
    pub context: Context,
    /// The packages, each after those that it needs.
    pub packages: Vec<Rehearsed>,
    /// The recipes.
    pub plan: Plan,
    /// The run directory, still locked.
    pub run: RunDirectory,
}

impl Author {
    /// Reads the project in this folder.
    ///
    /// # Errors
    /// Where there is none, or it has no such package.
    pub fn project(&self) -> Result<Project, Failure> {
        let folder = std::env::current_dir().map_err(Failure::internal)?;
        let cargo = Cargo::of(&folder).map_err(Failure::usage)?;
        let workspace = cargo.workspace().map_err(Failure::usage)?;
        let members = self.members(&workspace)?;
        let label = self.label(&members)?;
        let users = users_config(&folder)?;
        let registry = match &label {
            None => RegistryName::Default,
            Some(label) => users.index_of(label).map_err(Failure::usage)?,
        };
        let out = self.out.clone().unwrap_or_else(|| workspace.target.join("recrate"));
        Ok(Project { cargo, workspace, members, registry, label, out, folder })
    }

    fn members(&self, workspace: &Workspace) -> Result<Vec<Member>, Failure> {
        let names = || {
            let names: Vec<&str> = workspace.packages.iter().map(|member| member.id.name.as_str()).collect();
            names.join(", ")
        };
        let chosen: BTreeSet<&CrateName> = if self.workspace {
            let may =
                workspace.packages.iter().filter(|member| member.publish.as_ref().is_none_or(|to| !to.is_empty()));
            may.map(|member| &member.id.name).collect()
        } else if self.packages.is_empty() {
            let usual = workspace.usual.as_ref().ok_or_else(|| {
                Failure::usage(format!(
                    "this folder has no package\nhelp: name some of {}, or give --workspace",
                    names()
                ))
            })?;
            [&usual.name].into()
        } else {
            self.packages.iter().collect()
        };
        let is_there = |name: &&CrateName| workspace.packages.iter().any(|member| member.id.name == **name);
        if workspace.packages.is_empty() {
            return Err(Failure::usage("the workspace has no package"));
        }
        if let Some(unknown) = chosen.iter().copied().find(|name| !is_there(name)) {
            return Err(Failure::usage(format!(
                "the workspace has no package {}\nhelp: it has {}",
                unknown.as_str(),
                names()
            )));
        }
        let members: Vec<Member> =
            workspace.packages.iter().filter(|member| chosen.contains(&member.id.name)).cloned().collect();
        if members.is_empty() {
            return Err(Failure::usage("no package of the workspace may be published: `publish` forbids it"));
        }
        Ok(members)
    }

    /// The registry's name, as cargo finds it: given, or the only one that is allowed.
    fn label(&self, members: &[Member]) -> Result<Option<String>, Failure> {
        let given = self.registry.clone();
        let only: BTreeSet<&String> = members
            .iter()
            .filter_map(|member| match member.publish.as_deref() {
                Some([only]) => Some(only),
                _ => None,
            })
            .collect();
        let by_manifest = match only.iter().collect::<Vec<_>>()[..] {
            [one] if members.iter().all(|member| member.publish.as_deref() == Some(&[(*one).clone()])) => {
                Some((*one).clone())
            }
            _ => None,
        };
        let label = given.or(by_manifest).filter(|label| label != DEFAULT);
        match &label {
            Some(label) if label.chars().any(|c| !c.is_ascii_alphanumeric() && c != '-' && c != '_') => {
                Err(Failure::usage(format!("`{label}` is not the name of a registry")))
            }
            _ => Ok(label),
        }
    }

    /// Takes back what was approved of members before: whatever comes of looking at them again.
    ///
    /// # Errors
    /// Where that can't be done.
    pub fn withdraw(&self, project: &Project, members: &[Member]) -> Result<(), Failure> {
        let approvals = Approvals::of(self.options.places().cache()?);
        members.iter().try_for_each(|member| {
            let key = PackageKey::new(project.registry.clone(), member.id.clone());
            approvals.withdraw(&key).map_err(Failure::internal)
        })
    }

    /// Packages members here and in the sandbox, and looks at what keeps them from being published. `number`: which of several
    /// rehearsals of a run it is.
    ///
    /// # Errors
    /// Where recrate or the machine is at fault. What is wrong with a package is its problem.
    pub fn rehearse(&self, project: &Project, members: &[Member], number: usize) -> Result<Rehearsal, Failure> {
        let mut context = self.context(project)?;
        let out = match number {
            0 => project.out.clone(),
            more => PathBuf::from(format!("{}-{}", project.out.display(), more + 1)),
        };
        let ids: Vec<String> = members.iter().map(|member| member.id.to_string()).collect();
        // No run goes on from another one: everything is asked again.
        let key = ("rehearsal", &ids, context.asked_since.map(|now| now.to_string()));
        let detail = Detail::of(self.quiet, false);
        let ((packages, plan), run) = in_run(&out, &key, &project.folder, members.len(), detail, |run, console| {
            context.rehearse(project, members, run, console)
        })?;
        Ok(Rehearsal { context, packages, plan, run })
    }

    /// The outside world, with the project's own cargo and nothing believed that was asked before.
    fn context(&self, project: &Project) -> Result<Context, Failure> {
        let mut context = self.options.context(&project.folder)?;
        if context.network.is_none() {
            return Err(Failure::usage(
                "before something is published, registry and repository are asked: leave --offline out",
            ));
        }
        let release = &project.cargo.release;
        let toolchain = context.available.iter().find(|one| one.release == *release).cloned().ok_or_else(|| {
            Failure::usage(format!(
                "the sandbox has no cargo {release}, which this project uses\nhelp: `recrate toolchain add PATH` imports it, like what \
                 `rustup which cargo` names"
            ))
        })?;
        // What a project's own file says is no word on where others can fetch it.
        (context.git.mirrors, context.renamed) = self.options.users_mirrors()?;
        let now = Timestamp::now();
        context.available = vec![toolchain];
        context.notices.clear();
        context.search = Search::Nothing;
        context.asked_since = Some(now);
        context.git.asked_since = Some(now);
        context.git.archive = None;
        Ok(context)
    }
}

impl Rehearsal {
    /// What verifying the packages would come to, if they were published now.
    #[must_use]
    pub fn report(&self) -> Report {
        let records = self.packages.iter().filter_map(|package| package.record.clone()).collect();
        Report::new(records, Basis::of(BuiltIn::Strict))
    }

    /// The approvals of this user.
    #[must_use]
    pub fn approvals(&self) -> Approvals {
        Approvals::of(self.context.cache.clone())
    }
}
