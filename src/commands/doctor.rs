//! `recrate doctor`: can this machine rebuild crates, and what is to be fixed?

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{DecimalBytes, HumanDuration};

use super::Failure;
use super::build_options::{Places, cargo_home, find_program, how_to_build};
use crate::edges::console::print;
use crate::edges::nix::Nix;
use crate::edges::providers::{Gate, Providers};
use crate::pipeline::preflight::{HELP, SANDBOXED, probe};
use crate::stages::derivation::names;
use crate::stages::lock;

/// Check that this machine can rebuild crates, and how to fix what keeps it from that.
///
/// Builds a probe, to see whether Nix builds in a sandbox. Says what a first run needs of the disks, the memory and the
/// processors, and whether there is as much.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// A Cargo.lock: how many packages the run is to have
    /// [default: Cargo.lock, if there is one; else 500 packages]
    #[arg(value_name = "LOCK")]
    lock: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

/// What a check came to: what was found, or how to fix it.
type Check = Result<String, String>;

impl Doctor {
    /// Runs every check and prints what it found. The exit status is 0 where nothing is to be fixed, 1 otherwise.
    ///
    /// # Errors
    /// Where a folder can't be found.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let nix = Nix::default();
        let settings = nix.settings().unwrap_or_default();
        let setting = |name: &str| settings.get(name).cloned().unwrap_or_default();
        let toolchains = self.places.toolchains()?.imported().map_err(Failure::internal)?;
        let cache = self.places.cache()?;
        let (packages, of) = self.packages()?;
        let checks: [(&str, Check); 15] = [
            ("Nix", nix.version().map_err(|error| error.to_string())),
            ("builder", static_program(names::BUILDER)),
            ("fetcher", static_program(names::FETCHER)),
            ("judge", static_program(names::JUDGE)),
            ("sandbox", Self::sandbox(&nix)),
            (
                "sandbox-fallback",
                match setting("sandbox-fallback").as_str() {
                    "false" => Ok("off".to_owned()),
                    _ => Ok("on, Nix's default: the builder itself refuses to build without a sandbox".to_owned()),
                },
            ),
            (
                "max-jobs",
                match setting("max-jobs").as_str() {
                    "1" => Ok("1, Nix's default: `max-jobs = auto` in nix.conf builds on all cores at once".to_owned()),
                    jobs => Ok(jobs.to_owned()),
                },
            ),
            ("cache", room(cache.path("crates").parent().unwrap_or(Path::new("/")), packages * CACHED)),
            ("store", room(Path::new("/nix/store"), packages * STORED)),
            ("memory", memory()),
            ("/dev/shm", Ok(memory_of_builds(&setting("sandbox-dev-shm-size")))),
            ("open files", open_files()),
            ("clock", clock()),
            ("gate", gate()?),
            (
                "toolchains",
                if toolchains.is_empty() {
                    Err("none imported: official ones must be reachable, or `recrate toolchain add` imports one"
                        .to_owned())
                } else {
                    let names: Vec<String> = toolchains.iter().map(|toolchain| toolchain.name.clone()).collect();
                    Ok(names.join(", "))
                },
            ),
        ];
        let mut well = true;
        let mut text = String::new();
        for (name, check) in checks {
            match check {
                Ok(found) => {
                    let _ = writeln!(text, "ok    {name}: {found}");
                }
                Err(fix) => {
                    well = false;
                    let _ = writeln!(text, "fix:  {name}: {fix}");
                }
            }
        }
        let daemon = std::path::Path::new("/nix/var/nix/daemon-socket/socket").exists();
        let who = match (daemon, nix.is_trusted()) {
            (false, _) => "single user, no daemon",
            (true, Some(true)) => "a daemon, which trusts this user; recrate does not need it to",
            (true, Some(false)) => "a daemon, which does not trust this user: recrate needs no trust",
            (true, None) => "a daemon; whether it trusts this user does not matter to recrate",
        };
        let _ = writeln!(text, "note  store: {who}");
        let (cached, stored) = (DecimalBytes(packages * CACHED), DecimalBytes(packages * STORED));
        let time = HumanDuration(PROCESSOR_TIME * u32::try_from(packages).unwrap_or(u32::MAX));
        let _ = writeln!(
            text,
            "note  a first run: {packages} packages{of} take about {cached} in the cache, {stored} in the store and {time} of a \
             processor, besides what servers take"
        );
        print(&text).map_err(Failure::internal)?;
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// How many packages a run is to have, and who says so.
    fn packages(&self) -> Result<(u64, String), Failure> {
        let usual = Path::new("Cargo.lock");
        let Some(file) = self.lock.as_deref().or_else(|| usual.exists().then_some(usual)) else {
            return Ok((USUAL, String::new()));
        };
        let named = |error: String| Failure::usage(format!("{}: {error}", file.display()));
        let text = fs_err::read_to_string(file).map_err(Failure::usage)?;
        let locked = lock::read(&text).map_err(|error| named(error.to_string()))?;
        Ok((locked.packages.len() as u64, format!(" of {}", file.display())))
    }

    /// Builds a probe that was never built before, and reads what it saw.
    fn sandbox(nix: &Nix) -> Check {
        let builder = find_program(names::BUILDER).ok_or("not probed: the builder is missing")?;
        let system = format!("{}-linux", std::env::consts::ARCH);
        match probe(nix, &builder, &system)?.as_str() {
            SANDBOXED => Ok("on (a probe was built)".to_owned()),
            leak => Err(format!("off: {leak}\n{HELP}")),
        }
    }
}

/// How many packages a run has where nobody says so.
const USUAL: u64 = 500;

/// What a package takes in the cache, in bytes, measured over a lock file of 566: its crate, index files, and of its
/// repository what packaging reads and how its branches go.
const CACHED: u64 = 1_000_000;

/// What a package takes in the store, in bytes, with lean source, index slice and output; measured over the same.
const STORED: u64 = 2_700_000;

/// What a package takes of one processor the first time, measured over the same: half of it is cargo's and Nix's.
const PROCESSOR_TIME: Duration = Duration::from_millis(250);

/// What a disk has to have besides, in bytes: builds that don't fit into memory work there.
const SPARE: u64 = 500_000_000;

/// Whether the file system of a folder has room for so many bytes.
fn room(folder: &Path, needed: u64) -> Check {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let found = rustix::fs::statvfs(there).map_err(|error| format!("{}: {error}", there.display()))?;
    let (free, place) = (found.f_bavail.saturating_mul(found.f_frsize), there.display());
    let (has, needs) = (DecimalBytes(free), DecimalBytes(needed + SPARE));
    if free < needed + SPARE {
        return Err(format!(
            "{has} are free in {place}, a run may take {needs}: `recrate cache clean` and `nix-collect-garbage` make room"
        ));
    }
    Ok(format!("{has} free in {place}"))
}

/// What the driver needs for some hundred crates, in bytes; builds take theirs besides.
const MEMORY: u64 = 512 << 20;

fn memory() -> Check {
    let text = fs_err::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = available.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    match available.map(|kilobytes| kilobytes << 10) {
        Some(bytes) if bytes < MEMORY => {
            Err(format!("{} are available, a run may take {}", DecimalBytes(bytes), DecimalBytes(MEMORY)))
        }
        Some(bytes) => Ok(format!("{} available", DecimalBytes(bytes))),
        None => Err("the system does not say how much there is".to_owned()),
    }
}

/// What Nix gives each build of memory to work in, by its setting.
fn memory_of_builds(setting: &str) -> String {
    match setting {
        "" => "Nix does not say how much each build has: those that don't fit work on disk".to_owned(),
        size => {
            format!("{size} for each build (sandbox-dev-shm-size): those that don't fit work on disk, which is slower")
        }
    }
}

/// How many files a run has open at once, at most: repositories are maps of many packs.
const FILES: u64 = 1024;

fn open_files() -> Check {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    if limit < FILES {
        Err(format!("{limit} at once: `ulimit -n {FILES}` allows more"))
    } else {
        Ok(format!("{limit} at once"))
    }
}

/// Whether uploads from this folder go through `recrate credential`.
fn gate() -> Result<Check, Failure> {
    let folder = std::env::current_dir().map_err(Failure::internal)?;
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(match Providers::read(&folder, cargo_home().as_deref(), variables).gate() {
        Gate::None => {
            Ok("none: nothing keeps `cargo publish` from uploading what was not checked (docs/PUBLISHING.md)"
                .to_owned())
        }
        Gate::For(registries) => Ok(format!("`cargo publish` asks recrate: {}", registries.join(", "))),
        Gate::Open(others) => Err(format!(
            "cargo asks {} for tokens, too: name `recrate credential` as `registry.credential-provider`, not in \
             `global-credential-providers`",
            others.join(", ")
        )),
    })
}

/// Seconds since 1970 when this was written: no clock that is right says less.
const WRITTEN: u64 = 1_795_000_000;

fn clock() -> Check {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    if now < WRITTEN {
        return Err(
            "it is in the past: certificates are not believed then, and cached index files are too old or too new"
                .to_owned(),
        );
    }
    Ok("not in the past".to_owned())
}

/// Whether one of recrate's own programs is there, and static.
fn static_program(name: &str) -> Check {
    let fix = format!("`{}` builds", how_to_build(name));
    let path = find_program(name).ok_or_else(|| format!("missing; {fix} it"))?;
    let bytes = fs_err::read(&path).map_err(|error| error.to_string())?;
    let path = path.display();
    if is_static(&bytes) {
        Ok(format!("static, {path}"))
    } else {
        Err(format!("{path} links libraries; {fix} a static one"))
    }
}

/// Whether an ELF binary asks for no loader: it has no program header of type `PT_INTERP`.
fn is_static(bytes: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let word = |at: usize, length: usize| -> Option<u64> {
        let field = bytes.get(at..at + length)?;
        Some(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    // Offsets of the 64-bit ELF header: e_phoff, e_phentsize, e_phnum.
    let (Some(start), Some(size), Some(count)) = (word(32, 8), word(54, 2), word(56, 2)) else { return false };
    bytes.starts_with(b"\x7fELF")
        && (0..count).all(|at| word((start + at * size) as usize, 4) != Some(u64::from(PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_too_little_room_is_to_be_fixed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(room(folder.path(), 0).unwrap().contains(" free in "));
        let fix = room(folder.path(), 1 << 60).unwrap_err();
        assert!(fix.contains("a run may take 1.15 EB: `recrate cache clean`"), "{fix}");
    }
}
