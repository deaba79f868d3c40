//! The `package` verb: one rebuild, from the source in the store to the crate in `$out`.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use super::checkout::Conversion;
use super::contents::Committed;
use super::extra_sources::{self, Provided};
use super::resolution::{Workspace, required_by_manifest};
use super::worktree::Worktree;
use super::{
    Fault, commit, configuration, file_variable, git, index, links, place, prune, resolution, sandbox, variable,
};
use crate::contract::program::NO_SPACE;
use crate::contract::recipe::{Completion, PublishedLockfile, Recipe, WORKSPACE_LOCK};
use crate::contract::status::{FILE, LOG, Outcome, SCHEMA, Status};
use crate::model::release::Minor;
use crate::model::sub_path::SubPath;

/// How much of cargo's last words a status keeps, in bytes.
const MESSAGE_LIMIT: usize = 4000;

/// Proves the source, runs cargo, and leaves crate, status and log in `$out`.
///
/// # Errors
/// Where the machine is at fault or the source is not what the plan says. That cargo refuses is no error.
pub fn run() -> Result<(), Fault> {
    let recipe: Recipe = serde_json::from_str(&file_variable("recipe")?).map_err(|_| Fault::Variable("recipe"))?;
    sandbox::require(Some(&recipe))?;
    let minor = Minor::of_release(&recipe.cargo_release).ok_or(Fault::Recipe("cargoRelease"))?;
    let out = PathBuf::from(variable("out")?);
    // Below the package's folder nothing may be missing.
    if !Path::new(recipe.package_path.as_str()).starts_with(recipe.commit.folder.as_str()) {
        return Err(Fault::Recipe("commit"));
    }
    let sources = recipe.extra_commits().chain([&recipe.commit]).map(|commit| commit.source.as_path());
    let objects = recipe.lfs.values().map(PathBuf::as_path);
    let build = place::choose(sources.chain(objects), &std::env::current_dir()?)?;
    let root = build.join("worktree");

    let conversion = Conversion { checkout: recipe.checkout.clone(), lfs: recipe.lfs.clone() };
    let mut worktree = commit::check_out(&recipe.commit, &root, &conversion)?;
    let is_lean = recipe.commit.folder != SubPath::default();
    extra_sources::check_out_submodules(&recipe.submodules, is_lean, &root, &mut worktree, &conversion)?;
    // No commit can hold its own id: nothing of the repository can name what lies in here.
    let beside = build.join(recipe.commit.id.to_string());
    fs_err::create_dir(&beside)?;
    let path = recipe.package_path.as_str();
    let salt = recipe.commit.id.to_string();
    let from_git = extra_sources::provide(&recipe.git_dependencies, &beside.join("git"), &root, path, &salt)?;

    fs_err::create_dir(&out)?;
    let outcome = match obstacle(&recipe, minor, &worktree, &root) {
        Some(outcome) => outcome,
        None => Rebuild { recipe: &recipe, minor, build: &build, beside: &beside, root: &root }
            .package(&worktree, &out, &from_git)?,
    };
    let (commit, tree) = (recipe.commit.id.to_string(), worktree.trees.root().to_string());
    let status = Status { schema: SCHEMA, commit, tree, outcome };
    Ok(fs_err::write(out.join(FILE), serde_json::to_vec_pretty(&status).map_err(std::io::Error::other)?)?)
}

/// What makes it needless, or unsafe, to run cargo at all.
fn obstacle(recipe: &Recipe, minor: Minor, worktree: &Worktree, root: &Path) -> Option<Outcome> {
    let path = recipe.package_path.as_str();
    let manifest = Path::new(path).join("Cargo.toml");
    // A package has one path: by another, through a link, other files would be its own.
    let is_there = links::place(root, Path::new(path)).is_some() || path.is_empty();
    if !is_there || !root.join(manifest).is_file() {
        return Some(Outcome::NoPackage { path: path.to_owned() });
    }
    // Where other repositories lie in the sandbox, no manifest that cargo may load can be let lead there. Elsewhere nothing is
    // there that somebody has written, and honest ones, of fuzzers, lead nowhere.
    let mut manifests = worktree.manifests();
    if recipe.extra_commits().next().is_none() {
        manifests.retain(|manifest| manifest.parent().is_some_and(|folder| Path::new(path).starts_with(folder)));
    }
    if let Some(file) = configuration::leads_out(root, path, &manifests) {
        return Some(Outcome::LeadsOut { path: file });
    }
    // The repository's configuration outranks the one of cargo's home.
    if !takes_configuration(minor)
        && let Some(file) = configuration::own_sources(root, path)
    {
        return Some(Outcome::OwnSources { path: file });
    }
    // cargo packs what a link points at. What lies outside of the repository, or in a `.git`, or is put where the commit has
    // nothing, is not in git at all.
    let folders = recipe.published_lockfile.iter().flat_map(|lock| &lock.folders);
    let written: Vec<PathBuf> = folders.map(|folder| folder.join("Cargo.lock").into()).collect();
    worktree.links.iter().find_map(|link| {
        let target = match links::follow(root, link) {
            Err(target) => target,
            Ok(Some(target)) if written.contains(&target) => target,
            Ok(_) => return None,
        };
        Some(Outcome::LinkLeavesTree { link: link.display().to_string(), target: target.display().to_string() })
    })
}

/// Whether configuration can be given on the command line, where it outranks the repository's own: from the first cargo that has
/// this option on.
fn takes_configuration(Minor(minor): Minor) -> bool {
    minor >= 63
}

/// Folders beside the worktree: cargo's home, and what it makes.
const HOME: &str = "cargo-home";
const TARGET: &str = "target";

/// A rebuild whose source is proven.
struct Rebuild<'a> {
    recipe: &'a Recipe,
    minor: Minor,
    /// Where it works: what messages call `/build`.
    build: &'a Path,
    /// What is there besides the worktree.
    beside: &'a Path,
    root: &'a Path,
}

impl Rebuild<'_> {
    fn package(&self, worktree: &Worktree, out: &Path, from_git: &Provided) -> Result<Outcome, Fault> {
        let Self { recipe, root, .. } = self;
        let package_path = recipe.package_path.as_str();
        let lockfile = recipe.published_lockfile.as_ref();
        let folders: Vec<_> = lockfile.map(|lock| lock.folders.iter().cloned().collect()).unwrap_or_default();
        // Cargo.lock is read from the package's folder and from those above it; anywhere else it would be packed.
        if folders.iter().any(|folder| !Path::new(package_path).starts_with(folder.as_str())) {
            return Err(Fault::Recipe("publishedLockfile"));
        }
        // A lock file that the commit has, and that this cargo starts from, is no input: it is there.
        let tracks = |folder: &SubPath| {
            let lock = folder.join("Cargo.lock");
            let starts_from_it = folder.as_str() == package_path || self.minor >= WORKSPACE_LOCK;
            starts_from_it && worktree.tracked.iter().any(|tracked| tracked.path == lock.as_bytes())
        };
        if folders.iter().any(tracks) {
            return Err(Fault::Recipe("publishedLockfile"));
        }
        if !recipe.outside_git {
            git::write_repository(root, worktree, &recipe.commit, &folders)?;
        }
        if let Some(lockfile) = lockfile {
            for folder in &folders {
                let lock = [&lockfile.content.0[..], from_git.locked.as_bytes()].concat();
                let place = links::place(root, Path::new(&folder.join("Cargo.lock")));
                fs_err::write(place.ok_or(Fault::Recipe("publishedLockfile"))?, lock)?;
            }
        }
        prune::prune(&recipe.prune, root, package_path)?;
        let package = root.join(package_path);
        let cargo = self.set_up(&from_git.config)?;
        let before = extra_sources::locks(root, package_path);
        let mut log = String::new();
        if let Some(PublishedLockfile { completion, .. }) = lockfile {
            match completion {
                Completion::UpdateWorkspace => {
                    log += &cargo.run(&package, &["update", "--workspace", "--offline"])?.1;
                }
                Completion::PackageTwice => {
                    log += &cargo.run(&package, &self.arguments())?.1;
                    let _ = fs_err::remove_dir_all(self.beside.join(TARGET).join("package"));
                }
            }
        }
        let (exit, output) = cargo.run(&package, &self.arguments())?;
        fs_err::write(out.join(LOG), log + &output)?;
        if exit != Some(0) {
            let from =
                (output.len().saturating_sub(MESSAGE_LIMIT)..output.len()).find(|at| output.is_char_boundary(*at));
            return Ok(Outcome::Refused { exit, message: output[from.unwrap_or(0)..].trim().to_owned() });
        }
        let made = fs_err::read_dir(self.beside.join(TARGET).join("package"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "crate"));
        let Some((made, name)) = made.as_ref().and_then(|path| Some((path, path.file_name()?.to_str()?))) else {
            return Ok(Outcome::Refused { exit, message: "cargo left no crate behind".to_owned() });
        };
        let committed = Committed { contents: &worktree.contents, links: &worktree.links, root };
        if let Some(path) = committed.lacks(made, package_path)? {
            return Ok(Outcome::NotOfCommit { path });
        }
        let around = || Workspace {
            required: worktree
                .manifests()
                .iter()
                .filter_map(|manifest| configuration::text_of(&root.join(manifest))?.parse().ok())
                .flat_map(|manifest| required_by_manifest(&manifest))
                .collect(),
            before,
            after: extra_sources::locks(root, package_path),
        };
        // Others stop by themselves. A published Cargo.lock that was put in pins what it pins, and the verdict says that it was.
        if lockfile.is_none()
            && self.minor < index::STOPS
            && let Some(undecided) = resolution::undecided(made, &recipe.index, &around())?
        {
            return Ok(undecided);
        }
        fs_err::copy(made, out.join(name))?;
        Ok(Outcome::Packaged { file: name.to_owned() })
    }

    /// Writes cargo's configuration, and gives the cargo that reads it.
    fn set_up(&self, from_git: &str) -> Result<Cargo<'_>, Fault> {
        let Self { recipe, minor: Minor(minor), build, beside, .. } = self;
        let home = beside.join(HOME);
        fs_err::create_dir(&home)?;
        // The repository's own configuration, which cargo adds to this, can't name this source.
        let slice = format!("recrate-{}", recipe.commit.id);
        let index = beside.join("registry");
        index::lay_out(&recipe.index, &index)?;
        let config = format!(
            "[source.crates-io]\nreplace-with = \"{slice}\"\n[source.{slice}]\nlocal-registry = \"{}\"\n{from_git}",
            index.display()
        );
        // The name without ending is the one that cargos before 1.39 know.
        for name in ["config", "config.toml"] {
            if name == "config" && *minor >= 39 {
                continue;
            }
            fs_err::write(home.join(name), &config)?;
        }
        fs_err::os::unix::fs::symlink(std::env::current_exe()?, beside.join("rustc"))?;
        fs_err::write(beside.join(RUSTC_RELEASE), &recipe.cargo_release)?;
        Ok(Cargo {
            recipe,
            build,
            beside,
            loader: loader(&recipe.cargo)?,
            takes_configuration: takes_configuration(Minor(*minor)),
        })
    }

    /// The arguments of `cargo package`.
    fn arguments(&self) -> Vec<&str> {
        let Self { recipe, minor: Minor(minor), .. } = self;
        let mut arguments = vec!["package", "--no-verify"];
        if *minor >= 36 {
            arguments.push("--offline");
        }
        // A workspace may have its own mind about which members a command without a name is for.
        if *minor >= 56 {
            arguments.extend(["--package", &recipe.package_name]);
        }
        if recipe.allow_dirty {
            arguments.push("--allow-dirty");
        }
        if recipe.exclude_lockfile {
            arguments.push("--exclude-lockfile");
        }
        arguments
    }
}

/// The pinned cargo, set up.
struct Cargo<'a> {
    recipe: &'a Recipe,
    build: &'a Path,
    beside: &'a Path,
    /// The dynamic loader that it is started through.
    loader: Option<PathBuf>,
    /// Whether configuration can be given on the command line.
    takes_configuration: bool,
}

impl Cargo<'_> {
    /// Runs cargo in the package's folder; gives its exit code and what it printed, which is the same wherever it works.
    fn run(&self, package: &Path, arguments: &[&str]) -> Result<(Option<i32>, String), Fault> {
        let Self { recipe, build, beside, .. } = self;
        let (home, cargo) = (beside.join(HOME), recipe.cargo.join("bin/cargo"));
        let mut command = match &self.loader {
            Some(loader) => {
                let mut command = Command::new(loader);
                command.arg("--library-path").arg(recipe.cargo.join("lib")).arg(&cargo);
                command
            }
            None => Command::new(&cargo),
        };
        // What the repository's own .cargo/config could say about the index is outranked by the command line.
        if self.takes_configuration {
            command.arg("--config").arg(home.join("config.toml"));
        }
        // Nothing of the machine, nor of the sandbox, reaches cargo; the variables outrank the repository's own
        // .cargo/config where that could make cargo run a program or write elsewhere.
        command
            .args(arguments)
            .current_dir(package)
            .env_clear()
            .env("HOME", beside)
            .env("PATH", beside.join("no-programs"))
            .env("TERM", "dumb")
            .env("CARGO", &cargo)
            .env("CARGO_HOME", home)
            .env("CARGO_TARGET_DIR", beside.join(TARGET))
            .env("CARGO_TERM_COLOR", "never")
            .env("RUSTC", beside.join("rustc"))
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut output = Vec::new();
        if let Some(mut stream) = child.stderr.take() {
            let mut buffer = [0; 8192];
            loop {
                let read = stream.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                // Whoever follows the build sees it as it comes. If nobody listens that is no fault of the build.
                let _ = std::io::stderr().write_all(&buffer[..read]);
                output.extend_from_slice(&buffer[..read]);
            }
        }
        let exit = child.wait()?;
        let output = String::from_utf8_lossy(&output);
        // That the machine is full says nothing about the package: it must not be kept as cargo's refusal.
        if !exit.success() && output.contains(NO_SPACE) {
            return Err(Fault::Full(output.into_owned()));
        }
        let output = output.replace(&build.display().to_string(), "/build");
        Ok((exit.code(), without_store_paths(&output)))
    }
}

/// The dynamic loader that came with a toolchain; none where its cargo is static.
fn loader(toolchain: &Path) -> Result<Option<PathBuf>, Fault> {
    let lib = toolchain.join("lib");
    if !lib.is_dir() {
        return Ok(None);
    }
    Ok(fs_err::read_dir(&lib)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"))))
}

/// Cuts the hash out of store paths: an output that names its inputs would drag them along wherever it is copied.
fn without_store_paths(text: &str) -> String {
    const STORE: &str = "/nix/store/";
    const HASH: usize = 32;
    let mut rest = text;
    let mut plain = String::with_capacity(text.len());
    while let Some(at) = rest.find(STORE) {
        let (before, after) = rest.split_at(at + STORE.len());
        plain.push_str(before);
        rest = match after.get(..=HASH) {
            Some(hash) if hash.ends_with('-') => {
                plain.push_str("…-");
                &after[HASH + 1..]
            }
            _ => after,
        };
    }
    plain + rest
}

/// The file beside the stand-in that tells it which release it answers for: variables can come from the repository's configuration.
const RUSTC_RELEASE: &str = "rustc-release";

/// Answers `rustc -vV`, and nothing else, as the compiler of the pinned cargo's own release would.
///
/// cargo asks it when it makes a Cargo.lock for a package of resolver 3 without `rust-version`, and reads `release`
/// and `host`. A package that needs more of a compiler than its version can't be packaged without one.
pub fn stand_in_for_rustc(program: &Path, arguments: &[OsString]) -> ExitCode {
    let Ok(release) = fs_err::read_to_string(program.with_file_name(RUSTC_RELEASE)) else {
        eprintln!("recrate: nobody says which rustc this is");
        return ExitCode::FAILURE;
    };
    if arguments != ["-vV"] && arguments != ["--version", "--verbose"] {
        eprintln!("recrate: cargo asked rustc {arguments:?}; only `rustc -vV` has an answer here");
        return ExitCode::FAILURE;
    }
    println!(
        "rustc {release}\nbinary: rustc\ncommit-hash: unknown\ncommit-date: unknown\n\
         host: {}-unknown-linux-gnu\nrelease: {release}",
        std::env::consts::ARCH
    );
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_the_name_of_a_store_path_and_lose_its_hash() {
        let path = "/nix/store/ig0iiq1zig0iiq1zig0iiq1zig0iiq1z-index-slice/index";
        assert_eq!(without_store_paths(&format!("at {path}.")), "at /nix/store/…-index-slice/index.");
        assert_eq!(without_store_paths("/nix/store/short"), "/nix/store/short");
        assert_eq!(without_store_paths("/nix/store/"), "/nix/store/");
        assert_eq!(without_store_paths("plain é"), "plain é");
    }
}
