//! Nix: the one module that starts it, through the host's own stable commands.
//!
//! `nix build x.drv` builds nothing on current versions and exits 0; it is not used. Whether a build came about is
//! asked of the store afterwards; the log is for progress only.

mod under_way;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use duct::cmd;
use serde::Deserialize;

use crate::stages::derivation::RebuildDrv;
pub use under_way::stop_builds;

/// The Nix of this host.
#[derive(Debug, Clone, Default)]
pub struct Nix {
    /// Options for the commands that build, like `--builders` or `-j`, passed on as they are.
    pub build_options: Vec<String>,
    /// Whether outputs may come from a binary cache instead of a build. What somebody else's machine made proves only
    /// what its keys are worth, and asking takes longer than building.
    pub substitute: bool,
    /// The store that builds, if not this machine's own: like `ssh-ng://host`.
    pub store: Option<String>,
    /// The store that derivations are made in, if not the one that builds.
    pub eval_store: Option<String>,
}

/// Why Nix did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command is not there.
    #[error(
        "failed to run {command}: {source}; install Nix (https://nixos.org/download, or `apt-get install nix-bin`), \
         then run `recrate doctor`"
    )]
    Absent {
        /// The command.
        command: &'static str,
        /// What the system output.
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("{command} failed: {output}")]
    Failed {
        /// The command.
        command: &'static str,
        /// Its exit status; none where a signal ended it.
        code: Option<i32>,
        /// The end of what it printed.
        output: String,
    },
    /// It printed something that is not understood.
    #[error("{command} printed something unexpected: {output}")]
    Garbled {
        /// The command.
        command: &'static str,
        /// What it printed.
        output: String,
    },
}

/// How many paths one command line takes.
const BATCH: usize = 2000;

/// Something that happened during a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The build of a derivation began.
    Started(String),
    /// Some build may have ended.
    Progress,
    /// Nix output something outside of any build.
    Message(String),
}

impl Nix {
    /// Whether Nix can be found, without starting it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        program("nix-store").is_absolute()
    }

    /// Whether no build happens on this machine: all go to `--builders`.
    #[must_use]
    pub fn builds_elsewhere(&self) -> bool {
        self.build_options.windows(2).any(|pair| pair[0] == "--max-jobs" && pair[1] == "0")
    }

    /// What `nix-store --version` prints.
    ///
    /// # Errors
    /// Where there is no Nix.
    pub fn version(&self) -> Result<String, Error> {
        let output = run("nix-store", vec!["--version".into()])?;
        Ok(output.lines().last().unwrap_or_default().trim().to_owned())
    }

    /// Adds files or folders under the paths of fixed-output derivations named like them; gives those paths, in order.
    ///
    /// # Errors
    /// Where the store does not take them.
    pub fn add(&self, paths: &[PathBuf], recursive: bool) -> Result<Vec<String>, Error> {
        let mut added = Vec::new();
        for batch in paths.chunks(BATCH) {
            let mut arguments: Vec<OsString> = vec!["--add-fixed".into()];
            if recursive {
                arguments.push("--recursive".into());
            }
            arguments.push("sha256".into());
            arguments.extend(batch.iter().map(|path| path.as_os_str().to_owned()));
            added.extend(self.run("nix-store", arguments)?.lines().map(str::to_owned));
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
            let output = self.run("nix-store", arguments.chain(batch.iter().map(|path| path.as_str())))?;
            missing.extend(output.lines().map(str::to_owned));
        }
        Ok(missing)
    }

    /// Instantiates an attribute of `nix/plan.nix`, which has `.drv` paths by job name, with a plan; gives those paths.
    ///
    /// # Errors
    /// Where Nix does not take the plan.
    pub fn instantiate(
        &self,
        plan_nix: &Path,
        plan: &Path,
        attribute: &str,
    ) -> Result<BTreeMap<String, String>, Error> {
        let command = "nix-instantiate";
        let options = ["--eval", "--strict", "--json", "--read-write-mode"].map(OsString::from);
        let what = [plan_nix.into(), "-A".into(), attribute.into(), "--argstr".into(), "planFile".into(), plan.into()];
        let store = self.eval_store.as_ref().or(self.store.as_ref());
        let output = run(command, in_store(store, options.into_iter().chain(what)))?;
        let drvs: BTreeMap<String, String> =
            serde_json::from_str(&output).map_err(|_| Error::Garbled { command, output: tail(&output) })?;
        if let Some(from) = &self.eval_store {
            self.copy(Some(from), self.store.as_ref(), true, drvs.values())?;
        }
        Ok(drvs)
    }

    /// Copies store paths with what they refer to, or derivations with all that they are made of, from one store to
    /// another; none is this machine's own.
    ///
    /// # Errors
    /// Where a store can't be reached or does not take them.
    pub fn copy<'a>(
        &self,
        from: Option<&String>,
        to: Option<&String>,
        derivations: bool,
        paths: impl Iterator<Item = &'a String>,
    ) -> Result<(), Error> {
        let mut arguments = vec!["copy".to_owned(), "--no-check-sigs".to_owned()];
        for (option, store) in [("--from", from), ("--to", to)] {
            arguments.extend(store.into_iter().flat_map(|store| [option.to_owned(), store.clone()]));
        }
        arguments.extend(derivations.then(|| "--derivation".to_owned()));
        arguments.extend(paths.cloned());
        ask_nix(&arguments).map(drop)
    }

    /// Builds derivations, going on where one fails, and roots their outputs against garbage collection. `max_jobs` at once,
    /// where that is another number than Nix is set up with.
    ///
    /// That a build fails is no error here: ask the store what came about ([`Nix::missing`]). Gives the last errors that Nix
    /// printed outside of builds, where it did not end well: the reason why it could not even begin some.
    ///
    /// # Errors
    /// Where Nix can't be started.
    pub fn realise(
        &self,
        builds: &[&RebuildDrv],
        root: &Path,
        max_jobs: Option<u32>,
        mut on: impl FnMut(Event),
    ) -> Result<Option<String>, Error> {
        let command = "nix-store";
        let absent = |source| Error::Absent { command, source };
        let mut arguments: Vec<OsString> =
            ["--realise", "--keep-going", "--log-format", "internal-json"].map(Into::into).to_vec();
        // Another machine's store can't be told of roots here; what is wanted of it is copied.
        if self.store.is_none() {
            arguments.extend(["--indirect".into(), "--add-root".into(), root.into()]);
        }
        arguments.extend(self.options().map(Into::into));
        // The last one counts.
        arguments.extend(max_jobs.into_iter().flat_map(|jobs| ["--max-jobs".into(), jobs.to_string().into()]));
        arguments.extend(builds.iter().map(|build| build.drv.clone().into()));
        let reader = cmd(program(command), in_store(self.store.as_ref(), arguments))
            .stdin_null()
            .stderr_to_stdout()
            .unchecked()
            .reader()
            .map_err(absent)?;
        let _under_way = under_way::UnderWay::of(reader.pids());
        let mut errors = Vec::new();
        for line in BufReader::new(&reader).lines() {
            let Ok(line) = line else { break };
            match read_event(&line) {
                Some(Event::Message(text)) => {
                    errors.push(text.clone());
                    on(Event::Message(text));
                }
                Some(event) => on(event),
                None => {}
            }
        }
        let status = reader.try_wait().map_err(absent)?.map(|output| output.status);
        let failed = status.is_none_or(|status| !status.success());
        Ok(failed.then(|| match (errors.is_empty(), status) {
            (false, _) => tail(&plain(&errors.join("\n"))),
            (true, Some(status)) => format!("nix-store ended with {status} and printed no error"),
            (true, None) => "nix-store did not end".to_owned(),
        }))
    }

    /// Roots what the store has of these paths against garbage collection; gives what it lacks of them, and of others that
    /// it is asked about at the same time.
    ///
    /// # Errors
    /// Where the store can't be asked.
    pub fn keep<'a>(
        &self,
        paths: &BTreeSet<&'a String>,
        others: impl Iterator<Item = &'a String> + Clone,
        root: &Path,
    ) -> Result<BTreeSet<String>, Error> {
        let mut patience = KEEP_TRIES;
        loop {
            let missing = self.missing(paths.iter().copied().chain(others.clone()))?;
            let there: Vec<&String> = paths.iter().copied().filter(|path| !missing.contains(*path)).collect();
            patience -= 1;
            match self.root(&there, root) {
                // A collection may have taken some of them just now.
                Err(Error::Failed { .. }) if patience > 0 => {}
                rooted => return rooted.map(|()| missing),
            }
        }
    }

    fn root(&self, paths: &[&String], root: &Path) -> Result<(), Error> {
        // Another machine's store can't be told of roots here.
        if self.store.is_some() || paths.is_empty() {
            return Ok(());
        }
        for (number, batch) in paths.chunks(BATCH).enumerate() {
            let mut root = root.as_os_str().to_owned();
            root.push(format!("-{number}"));
            let arguments: Vec<OsString> = vec!["--realise".into(), "--indirect".into(), "--add-root".into(), root];
            let options = self.options().map(OsString::from);
            let paths = batch.iter().map(OsString::from);
            self.run("nix-store", arguments.into_iter().chain(options).chain(paths))?;
        }
        Ok(())
    }

    /// Builds something again that the store has, and has Nix compare; gives what it output where that differs.
    ///
    /// # Errors
    /// Where it can't be built again.
    pub fn check(&self, drv: &str) -> Result<Option<String>, Error> {
        let command = "nix-store";
        let arguments = ["--realise", "--check"].into_iter().chain(self.options()).chain([drv]).map(OsString::from);
        match run(command, in_store(self.store.as_ref(), arguments)) {
            Ok(_) => Ok(None),
            // 0x60 with the bits of what went wrong; 8: not deterministic.
            Err(Error::Failed { output, code: Some(code), .. }) if code & 0x68 == 0x68 => Ok(Some(output)),
            Err(error) => Err(error),
        }
    }

    /// The hash of a store path's NAR, as Nix writes it.
    ///
    /// # Errors
    /// Where the store does not have it.
    pub fn hash(&self, path: &str) -> Result<String, Error> {
        Ok(self.run("nix-store", ["--query", "--hash", path])?.trim().to_owned())
    }

    /// The log of a build, as far as the store kept one.
    #[must_use]
    pub fn log(&self, drv: &str) -> String {
        self.run("nix-store", ["--read-log", drv]).unwrap_or_default()
    }

    /// Options for every command that builds.
    fn options(&self) -> impl Iterator<Item = &str> {
        let substitute = ["--option", "substitute", "false"];
        let substitute = substitute.into_iter().filter(|_| !self.substitute);
        substitute.chain(self.build_options.iter().map(String::as_str))
    }

    /// Runs one of Nix's commands on the store that builds.
    fn run(
        &self,
        command: &'static str,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<String, Error> {
        run(command, in_store(self.store.as_ref(), arguments.into_iter().map(Into::into)))
    }

    /// Nix's settings, by name, as text.
    ///
    /// # Errors
    /// Where Nix does not tell.
    pub fn settings(&self) -> Result<BTreeMap<String, String>, Error> {
        // The second is the first's name before Nix 2.20.
        let output = ask_nix(&["config", "show", "--json"]).or_else(|_| ask_nix(&["show-config", "--json"]))?;
        let all: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&output).map_err(|_| Error::Garbled { command: "nix", output: tail(&output) })?;
        let text = |value: &serde_json::Value| match &value["value"] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Ok(all.iter().map(|(name, value)| (name.clone(), text(value))).collect())
    }

    /// How many builds Nix does at once on this machine.
    ///
    /// # Errors
    /// Where Nix does not tell.
    pub fn max_jobs(&self) -> Result<u32, Error> {
        let given =
            self.build_options.windows(2).rev().find(|pair| pair[0] == "--max-jobs").map(|pair| pair[1].clone());
        let jobs = match given {
            Some(jobs) => Some(jobs),
            None => self.settings()?.remove("max-jobs"),
        };
        let processors = || std::thread::available_parallelism().map_or(1, |number| number.get() as u32);
        Ok(jobs.and_then(|jobs| jobs.parse().ok()).unwrap_or_else(processors))
    }

    /// Whether the daemon trusts this user; none where there is no daemon, or where it does not say (before Nix 2.19).
    #[must_use]
    pub fn is_trusted(&self) -> Option<bool> {
        #[derive(Deserialize)]
        struct Wire {
            trusted: Option<serde_json::Value>,
        }
        let output = ask_nix(&["store", "info", "--json"]).ok()?;
        let trusted = serde_json::from_str::<Wire>(&output).ok()?.trusted?;
        trusted.as_bool().or_else(|| Some(trusted.as_u64()? == 1))
    }

    /// Builds a one-off derivation of the builder's `probe` verb and gives what it saw.
    ///
    /// # Errors
    /// Where it can't be built.
    pub fn probe(&self, builder: &str, system: &str, salt: &str) -> Result<String, Error> {
        let expression = "{ builder, system, salt }: derivation { name = \"recrate-probe\"; inherit system salt; \
             builder = builtins.storePath builder; args = [ \"probe\" ]; }";
        let asked = ["--argstr", "builder", builder, "--argstr", "system", system, "--argstr", "salt", salt];
        let drv = self.run("nix-instantiate", ["--expr", expression].into_iter().chain(asked))?;
        let drv = drv.lines().next().unwrap_or_default();
        let out = self.run("nix-store", ["--realise", "--option", "substitute", "false", drv])?;
        let out = out.lines().last().unwrap_or_default().to_owned();
        fs_err::read_to_string(&out).map_err(|source| Error::Absent { command: "nix-store", source })
    }
}

/// Asks the newer command line, which calls itself experimental.
fn ask_nix(arguments: &[impl AsRef<str>]) -> Result<String, Error> {
    let features = ["--extra-experimental-features", "nix-command"].into_iter();
    run("nix", features.chain(arguments.iter().map(AsRef::as_ref)).map(OsString::from).collect())
}

/// The arguments with the store that they are about.
fn in_store(store: Option<&String>, arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let store = store.into_iter().flat_map(|store| ["--store".into(), store.into()]);
    arguments.into_iter().chain(store).collect()
}

/// Where a command is; its name where it is nowhere. A program that is named by its path can be started without a copy of this
/// process's page tables, which takes long while much memory is in use.
fn program(command: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(command));
    places.find(|file| file.is_absolute() && file.is_file()).unwrap_or_else(|| command.into())
}

/// Runs a command to its end and gives what it printed.
fn run(command: &'static str, arguments: Vec<OsString>) -> Result<String, Error> {
    let mut patience = BUSY_TRIES;
    loop {
        let output = cmd(program(command), &arguments)
            .stdin_null()
            .stdout_capture()
            .stderr_capture()
            .unchecked()
            .run()
            .map_err(|source| Error::Absent { command, source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let last = tail(&String::from_utf8_lossy(&output.stderr));
        patience -= 1;
        if patience == 0 || !BUSY.iter().any(|words| last.contains(words)) {
            return Err(Error::Failed { command, code: output.status.code(), output: last });
        }
        std::thread::sleep(BUSY_PAUSE);
    }
}

/// Nix waits for its database itself, but not while another process makes it, or its folders: then it says that it is busy,
/// or that a link is there already.
const BUSY: [&str; 2] = ["is busy", "gcroots/profiles"];
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How often paths are looked for and rooted: each time a collection may come between.
const KEEP_TRIES: u32 = 3;

/// A text without the escape sequences that colour it.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// The end of a text, where errors are.
fn tail(text: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Nix's activity type for the build of a derivation.
const BUILD: u64 = 105;

/// Nix's result type for how many builds are under way and done. That a build's activity stops is of no use: it does so at
/// the end of all builds (Nix 2.8).
const PROGRESS: u64 = 105;

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
        "result" if wire.r#type == PROGRESS => Some(Event::Progress),
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
        let progress = r#"@nix {"action":"result","id":2,"type":105,"fields":[1,6,2,0]}"#;
        assert_eq!(read_event(progress), Some(Event::Progress));
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
