//! The `package` verb: one rebuild, from the source in the store to the crate in `$out`.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::checkout::Checkout;
use super::commit::Commit;
use super::further::{self, GitDependency, Provided, Submodules};
use super::left_out::{self, LeftOut};
use super::status::{FILE, LOG, Outcome, SCHEMA, Status};
use super::worktree::Worktree;
use super::{At, Fault, file_variable, git, sandbox, variable};

/// How much of cargo's last words a status keeps, in bytes.
const MESSAGE_LIMIT: usize = 4000;

/// What the derivation says.
struct Recipe {
    commit: Commit,
    submodules: Submodules,
    git_dependencies: Vec<GitDependency>,
    index: PathBuf,
    toolchain: PathBuf,
    package: String,
    package_path: String,
    left_out: LeftOut,
    release: (u32, String),
    checkout: Checkout,
    allow_dirty: bool,
    exclude_lockfile: bool,
    outside_git: bool,
    /// The published Cargo.lock where it is an input, and the places it is put.
    lock: Option<(Vec<u8>, Vec<String>)>,
}

impl Recipe {
    /// Reads the derivation's variables; `nix/plan.nix` and `stages/derivation.rs` write them.
    fn from_environment() -> Result<Self, Fault> {
        let base64 = |name| BASE64.decode(file_variable(name)?.trim()).map_err(|_| Fault::Variable(name));
        let lock_paths: Vec<String> = variable("lockPaths")?.lines().map(str::to_owned).collect();
        let release = variable("cargoRelease")?;
        let minor = release.split('.').nth(1).and_then(|minor| minor.parse().ok());
        Ok(Self {
            commit: Commit::from_environment()?,
            submodules: further::read("submodules")?,
            git_dependencies: further::read("gitDependencies")?,
            index: variable("index")?.into(),
            toolchain: variable("toolchain")?.into(),
            package: variable("packageName")?,
            package_path: variable("packagePath")?,
            left_out: left_out::read(&file_variable("leftOut")?)?,
            release: (minor.ok_or(Fault::Variable("cargoRelease"))?, release),
            checkout: Checkout::read(&variable("checkout")?, &file_variable("crlfFiles")?, further::read("lfs")?)?,
            allow_dirty: variable("allowDirty")? == "1",
            exclude_lockfile: variable("excludeLockfile")? == "1",
            outside_git: variable("outsideGit")? == "1",
            lock: if lock_paths.is_empty() { None } else { Some((base64("lock")?, lock_paths)) },
        })
    }
}

/// Proves the source, runs cargo, and leaves crate, status and log in `$out`.
///
/// # Errors
/// Where the machine is at fault or the source is not what the plan says. That cargo refuses is no error.
pub fn run() -> Result<(), Fault> {
    sandbox::require()?;
    let recipe = Recipe::from_environment()?;
    let out = PathBuf::from(variable("out")?);
    let build = std::env::current_dir().at(".")?;
    let root = build.join("worktree");

    let mut worktree = recipe.commit.check_out(&root, &recipe.checkout)?;
    further::check_out(&recipe.submodules, &recipe.commit, &root, &mut worktree, &recipe.checkout)?;
    let from_git = further::provide(&recipe.git_dependencies, &build.join("git"), &root, &recipe.package_path)?;

    std::fs::create_dir(&out).at(&out)?;
    let outcome = match obstacle(&recipe, &worktree, &root) {
        Some(outcome) => outcome,
        None => package(&recipe, &worktree, &build, &root, &out, &from_git)?,
    };
    let (commit, tree) = (recipe.commit.id.to_string(), worktree.root.to_string());
    let status = Status { schema: SCHEMA, commit, tree, outcome };
    let file = out.join(FILE);
    let text = serde_json::to_vec_pretty(&status).map_err(std::io::Error::other).at(&file)?;
    std::fs::write(&file, text).at(file)
}

/// What makes it needless, or unsafe, to run cargo at all.
fn obstacle(recipe: &Recipe, worktree: &Worktree, root: &Path) -> Option<Outcome> {
    if !root.join(&recipe.package_path).join("Cargo.toml").is_file() {
        return Some(Outcome::NoPackage { path: recipe.package_path.clone() });
    }
    // cargo packs what a link points at. A link to an existing file outside of the repository would put something
    // into the crate that is not in git at all.
    let root = root.canonicalize().ok()?;
    worktree.links.iter().find_map(|link| {
        let target = root.join(link).canonicalize().ok()?;
        (!target.starts_with(&root)).then(|| Outcome::LinkLeavesTree {
            link: link.display().to_string(),
            target: std::fs::read_link(root.join(link)).unwrap_or(target).display().to_string(),
        })
    })
}

fn package(
    recipe: &Recipe,
    worktree: &Worktree,
    build: &Path,
    root: &Path,
    out: &Path,
    from_git: &Provided,
) -> Result<Outcome, Fault> {
    let ignored = recipe.lock.as_ref().map_or(&[][..], |(_, paths)| paths);
    if !recipe.outside_git {
        git::write_repository(root, worktree, recipe.commit.id, &recipe.commit.body, ignored)?;
    }
    if let Some((lock, paths)) = &recipe.lock {
        for path in paths {
            let path = root.join(path);
            std::fs::write(&path, [&lock[..], from_git.locked.as_bytes()].concat()).at(path)?;
        }
    }
    left_out::take_out(&recipe.left_out, root, &recipe.package_path)?;
    let (exit, said) = run_cargo(recipe, build, &root.join(&recipe.package_path), &from_git.config)?;
    let said = without_store_paths(&said);
    let log = out.join(LOG);
    std::fs::write(&log, &said).at(log)?;
    if exit != Some(0) {
        let from = (said.len().saturating_sub(MESSAGE_LIMIT)..said.len()).find(|at| said.is_char_boundary(*at));
        return Ok(Outcome::Refused { exit, message: said[from.unwrap_or(0)..].trim().to_owned() });
    }
    let packages = build.join("target/package");
    let made = std::fs::read_dir(&packages)
        .at(&packages)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "crate"));
    let Some((made, name)) = made.as_ref().and_then(|path| Some((path, path.file_name()?.to_str()?))) else {
        return Ok(Outcome::Refused { exit, message: "cargo left no crate behind".to_owned() });
    };
    let kept = out.join(name);
    std::fs::copy(made, &kept).at(kept)?;
    Ok(Outcome::Packaged { file: name.to_owned() })
}

/// Runs `cargo package` and returns its exit code and what it printed.
fn run_cargo(recipe: &Recipe, build: &Path, package: &Path, from_git: &str) -> Result<(Option<i32>, String), Fault> {
    let (minor, release) = &recipe.release;
    let home = build.join("cargo-home");
    std::fs::create_dir(&home).at(&home)?;
    let config = format!(
        "[source.crates-io]\nreplace-with = \"recrate-slice\"\n\
         [source.recrate-slice]\nlocal-registry = \"{}\"\n{from_git}",
        recipe.index.display()
    );
    // The name without ending is the one that cargos before 1.39 know.
    for name in ["config", "config.toml"] {
        if name == "config" && *minor >= 39 {
            continue;
        }
        let file = home.join(name);
        std::fs::write(&file, &config).at(file)?;
    }
    let rustc = build.join("rustc");
    let me = std::env::current_exe().at("/proc/self/exe")?;
    std::os::unix::fs::symlink(me, &rustc).at(&rustc)?;

    let cargo = recipe.toolchain.join("bin/cargo");
    let mut command = match loader(&recipe.toolchain)? {
        Some(loader) => {
            let mut command = Command::new(loader);
            command.arg("--library-path").arg(recipe.toolchain.join("lib")).arg(&cargo);
            command
        }
        None => Command::new(&cargo),
    };
    // What the repository's own .cargo/config could say about the index is outranked by the command line, from the
    // first cargo that has this option on.
    if *minor >= 63 {
        command.arg("--config").arg(home.join("config.toml"));
    }
    command.args(["package", "--no-verify"]);
    if *minor >= 36 {
        command.arg("--offline");
    }
    // A workspace may have its own mind about which members a command without a name is for.
    if *minor >= 56 {
        command.args(["--package", &recipe.package]);
    }
    if recipe.allow_dirty {
        command.arg("--allow-dirty");
    }
    if recipe.exclude_lockfile {
        command.arg("--exclude-lockfile");
    }
    // Nothing of the machine, nor of the sandbox, reaches cargo; the variables outrank the repository's own
    // .cargo/config where that could make cargo run a program or write elsewhere.
    command
        .current_dir(package)
        .env_clear()
        .env("HOME", build)
        .env("PATH", build.join("no-programs"))
        .env("TERM", "dumb")
        .env("CARGO", &cargo)
        .env("CARGO_HOME", &home)
        .env("CARGO_TARGET_DIR", build.join("target"))
        .env("CARGO_TERM_COLOR", "never")
        .env("RUSTC", &rustc)
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "")
        .env(RUSTC_RELEASE, release)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().at(&cargo)?;
    let mut said = Vec::new();
    if let Some(mut stream) = child.stderr.take() {
        let mut buffer = [0; 8192];
        loop {
            let read = stream.read(&mut buffer).at(&cargo)?;
            if read == 0 {
                break;
            }
            // Whoever follows the build sees it as it comes. If nobody listens that is no fault of the build.
            let _ = std::io::stderr().write_all(&buffer[..read]);
            said.extend_from_slice(&buffer[..read]);
        }
    }
    let exit = child.wait().at(&cargo)?;
    Ok((exit.code(), String::from_utf8_lossy(&said).into_owned()))
}

/// The dynamic loader that came with a toolchain; none where its cargo is static.
fn loader(toolchain: &Path) -> Result<Option<PathBuf>, Fault> {
    let lib = toolchain.join("lib");
    if !lib.is_dir() {
        return Ok(None);
    }
    Ok(std::fs::read_dir(&lib)
        .at(&lib)?
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

/// The variable that tells the stand-in which release it answers for.
const RUSTC_RELEASE: &str = "RECRATE_RUSTC_RELEASE";

/// Answers `rustc -vV`, and nothing else, as the compiler of the pinned cargo's own release would.
///
/// cargo asks it when it makes a Cargo.lock for a package of resolver 3 without `rust-version`, and reads `release`
/// and `host`. A package that needs more of a compiler than its version can't be packaged without one.
pub fn stand_in_for_rustc(arguments: &[OsString]) -> ExitCode {
    let release = std::env::var(RUSTC_RELEASE).unwrap_or_default();
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
