//! Nix: the one module that starts it, through the host's own stable commands.
//!
//! `nix build x.drv` builds nothing on current versions and exits 0; it is not used. Whether a build came about is
//! asked of the store afterwards; the log is for progress only.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use duct::cmd;
use serde::Deserialize;

use crate::stages::derivation::Hermetic;

/// The Nix of this host.
#[derive(Debug, Clone, Default)]
pub struct Nix {
    /// Options for the commands that build, like `--builders` or `-j`, passed on as they are.
    pub build_options: Vec<String>,
    /// Whether outputs may come from a binary cache instead of a build. What somebody else's machine made proves only
    /// what its keys are worth, and asking takes longer than building.
    pub substitute: bool,
}

/// Why Nix did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command is not there.
    #[error("failed to run {command}: {source}")]
    Absent {
        /// The command.
        command: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("{command} failed: {said}")]
    Failed {
        /// The command.
        command: &'static str,
        /// The end of what it printed.
        said: String,
    },
    /// It printed something that is not understood.
    #[error("{command} printed something unexpected: {said}")]
    Garbled {
        /// The command.
        command: &'static str,
        /// What it printed.
        said: String,
    },
}

/// How many paths one command line takes.
const BATCH: usize = 2000;

/// Something that happened during a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The build of a derivation began.
    Started(String),
    /// Nix said something outside of any build.
    Message(String),
}

impl Nix {
    /// Whether Nix can be found, without starting it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join("nix-store").is_file())
    }

    /// What `nix-store --version` prints.
    ///
    /// # Errors
    /// Where there is no Nix.
    pub fn version(&self) -> Result<String, Error> {
        let said = run("nix-store", cmd!("nix-store", "--version"))?;
        Ok(said.lines().last().unwrap_or_default().trim().to_owned())
    }

    /// Adds files or folders under the paths of fixed-output derivations named like them; gives those paths, in order.
    ///
    /// # Errors
    /// Where the store does not take them.
    pub fn add(&self, paths: &[PathBuf], recursive: bool) -> Result<Vec<String>, Error> {
        let mut added = Vec::new();
        for batch in paths.chunks(BATCH) {
            let mut arguments: Vec<std::ffi::OsString> = vec!["--add-fixed".into()];
            if recursive {
                arguments.push("--recursive".into());
            }
            arguments.push("sha256".into());
            arguments.extend(batch.iter().map(|path| path.as_os_str().to_owned()));
            added.extend(run("nix-store", cmd("nix-store", arguments))?.lines().map(str::to_owned));
        }
        Ok(added)
    }

    /// Which of these store paths the store does not have.
    ///
    /// # Errors
    /// Where the store can't be asked.
    pub fn missing<'a>(&self, paths: impl Iterator<Item = &'a String>) -> Result<BTreeSet<String>, Error> {
        let paths: Vec<&String> = paths.collect();
        let mut missing = BTreeSet::new();
        for batch in paths.chunks(BATCH) {
            let arguments = ["--check-validity", "--print-invalid"].into_iter();
            let arguments = arguments.chain(batch.iter().map(|path| path.as_str()));
            let said = run("nix-store", cmd("nix-store", arguments))?;
            missing.extend(said.lines().map(str::to_owned));
        }
        Ok(missing)
    }

    /// Instantiates the rebuilds of a plan with `nix/plan.nix`; gives their `.drv` paths by job name.
    ///
    /// # Errors
    /// Where Nix does not take the plan.
    pub fn instantiate(&self, plan_nix: &Path, plan: &Path) -> Result<BTreeMap<String, String>, Error> {
        let said = run(
            "nix-instantiate",
            cmd!(
                "nix-instantiate",
                "--eval",
                "--strict",
                "--json",
                "--read-write-mode",
                plan_nix,
                "-A",
                "drvPaths",
                "--argstr",
                "planFile",
                plan
            ),
        )?;
        serde_json::from_str(&said).map_err(|_| Error::Garbled { command: "nix-instantiate", said: tail(&said) })
    }

    /// Builds derivations, going on where one fails, and roots their outputs against garbage collection.
    ///
    /// That a build fails is no error here: ask the store what came about ([`Nix::missing`]).
    ///
    /// # Errors
    /// Where Nix can't be started.
    pub fn realise(&self, builds: &[&Hermetic], root: &Path, mut on: impl FnMut(Event)) -> Result<(), Error> {
        let command = "nix-store";
        let absent = |source| Error::Absent { command, source };
        let mut arguments: Vec<std::ffi::OsString> =
            ["--realise", "--keep-going", "--log-format", "internal-json", "--indirect", "--add-root"]
                .map(Into::into)
                .to_vec();
        arguments.push(root.into());
        if !self.substitute {
            arguments.extend(["--option", "substitute", "false"].map(Into::into));
        }
        arguments.extend(self.build_options.iter().map(Into::into));
        arguments.extend(builds.iter().map(|build| build.drv.clone().into()));
        let reader = cmd(command, arguments).stdin_null().stderr_to_stdout().unchecked().reader().map_err(absent)?;
        for line in BufReader::new(reader).lines() {
            let Ok(line) = line else { break };
            if let Some(event) = read_event(&line) {
                on(event);
            }
        }
        Ok(())
    }

    /// The log of a build, as far as the store kept one.
    #[must_use]
    pub fn log(&self, drv: &str) -> String {
        run("nix-store", cmd!("nix-store", "--read-log", drv)).unwrap_or_default()
    }

    /// Nix's settings, by name, as text.
    ///
    /// # Errors
    /// Where Nix does not tell.
    pub fn settings(&self) -> Result<BTreeMap<String, String>, Error> {
        // The second is the first's name before Nix 2.20.
        let said = ask_nix(&["config", "show", "--json"]).or_else(|_| ask_nix(&["show-config", "--json"]))?;
        let all: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&said).map_err(|_| Error::Garbled { command: "nix", said: tail(&said) })?;
        let text = |value: &serde_json::Value| match &value["value"] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Ok(all.iter().map(|(name, value)| (name.clone(), text(value))).collect())
    }

    /// Whether the daemon trusts this user; none where there is no daemon, or where it does not say (before Nix 2.19).
    #[must_use]
    pub fn is_trusted(&self) -> Option<bool> {
        #[derive(Deserialize)]
        struct Wire {
            trusted: Option<serde_json::Value>,
        }
        let said = ask_nix(&["store", "info", "--json"]).ok()?;
        let trusted = serde_json::from_str::<Wire>(&said).ok()?.trusted?;
        trusted.as_bool().or_else(|| Some(trusted.as_u64()? == 1))
    }

    /// Builds a one-off derivation of the builder's `probe` verb and gives what it saw.
    ///
    /// # Errors
    /// Where it can't be built.
    pub fn probe(&self, builder: &str, system: &str, salt: &str) -> Result<String, Error> {
        let expression = "{ builder, system, salt }: derivation { name = \"recrate-probe\"; inherit system salt; \
             builder = builtins.storePath builder; args = [ \"probe\" ]; }";
        let drv = run(
            "nix-instantiate",
            cmd!(
                "nix-instantiate",
                "--expr",
                expression,
                "--argstr",
                "builder",
                builder,
                "--argstr",
                "system",
                system,
                "--argstr",
                "salt",
                salt
            ),
        )?;
        let drv = drv.lines().next().unwrap_or_default().to_owned();
        let out = run("nix-store", cmd!("nix-store", "--realise", "--option", "substitute", "false", drv))?;
        let out = out.lines().last().unwrap_or_default().to_owned();
        std::fs::read_to_string(&out).map_err(|source| Error::Absent { command: "nix-store", source })
    }
}

/// Asks the newer command line, which calls itself experimental.
fn ask_nix(arguments: &[&str]) -> Result<String, Error> {
    run("nix", cmd("nix", [&["--extra-experimental-features", "nix-command"], arguments].concat()))
}

/// Runs a command to its end and gives what it printed.
fn run(command: &'static str, expression: duct::Expression) -> Result<String, Error> {
    let output = expression
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .map_err(|source| Error::Absent { command, source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Failed { command, said: tail(&String::from_utf8_lossy(&output.stderr)) })
    }
}

/// The end of a text, where errors stand.
fn tail(text: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Nix's activity type for the build of a derivation.
const BUILD: u64 = 105;

/// Reads a line of `--log-format internal-json`.
fn read_event(line: &str) -> Option<Event> {
    #[derive(Deserialize)]
    struct Wire {
        action: String,
        #[serde(default)]
        r#type: u64,
        #[serde(default)]
        fields: Vec<serde_json::Value>,
        #[serde(default)]
        level: u64,
        #[serde(default)]
        msg: String,
    }
    let wire: Wire = serde_json::from_str(line.strip_prefix("@nix ")?).ok()?;
    match wire.action.as_str() {
        "start" if wire.r#type == BUILD => Some(Event::Started(wire.fields.first()?.as_str()?.to_owned())),
        // Levels 0 and 1 are errors and warnings.
        "msg" if wire.level <= 1 => Some(Event::Message(wire.msg)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nix_log_lines_are_read_and_everything_else_is_passed_over() {
        let started = r#"@nix {"action":"start","id":1,"level":3,"type":105,"fields":["/nix/store/x.drv","",1,1]}"#;
        assert_eq!(read_event(started), Some(Event::Started("/nix/store/x.drv".to_owned())));
        let message = r#"@nix {"action":"msg","level":0,"msg":"error: no"}"#;
        assert_eq!(read_event(message), Some(Event::Message("error: no".to_owned())));
        for other in ["/nix/store/out", "@nix {", "@nix {}", r#"@nix {"action":"msg","level":3,"msg":"x"}"#, ""] {
            assert_eq!(read_event(other), None, "{other}");
        }
    }

    #[test]
    fn of_a_long_text_the_end_is_kept() {
        let text: String = (0..30).map(|n| format!("{n}\n")).collect();
        assert!(tail(&text).starts_with("18\n") && tail(&text).ends_with("29"));
        assert_eq!(tail(""), "");
    }
}
