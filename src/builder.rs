//! What runs inside the Nix sandbox: prove the source, write a minimal `.git`, run cargo, hand over the crate.
//!
//! The builder is the only program that a derivation needs besides cargo itself. It trusts nothing but the plan's
//! commit id: the files are hashed here, in the sandbox, and must come out as that commit.
//!
//! Verbs, one module each:
//!
//! | verb | derivation | module |
//! |---|---|---|
//! | `package` | a rebuild | [`package`] |
//! | `unpack-toolchain` | an official archive made ready to run | [`toolchain`] |
//! | `probe` | `recrate doctor`'s question whether the sandbox is on | [`sandbox`] |
//! | `missing` | the builder of every fixed-output leaf that recrate seeds | here |

pub mod checkout;
pub mod commit;
pub mod configuration;
pub mod contents;
pub mod extra_sources;
pub mod git;
pub mod index;
pub mod links;
pub mod package;
pub mod place;
pub mod prune;
pub mod resolution;
pub mod sandbox;
pub mod toolchain;
pub mod worktree;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::contract::program::exit;

/// Why a build fails. That cargo refuses a package is *not* such a fault: it is an [`crate::contract::status::Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The derivation lacks a variable, or has one that can't be read.
    #[error(
        "the derivation's variable `{0}` is missing or malformed: the plan was not made by this version of recrate"
    )]
    Variable(&'static str),
    /// The recipe asks for something that no plan of recrate asks for.
    #[error("the recipe's `{0}` is not allowed: the plan was not made by this version of recrate")]
    Recipe(&'static str),
    /// The build does not run in Nix's sandbox.
    #[error(
        "not building outside the Nix sandbox: {0}\n\
         Nix falls back to building without a sandbox where namespaces are forbidden, and says nothing. \
         Set `sandbox = true` and `sandbox-fallback = false` in nix.conf; `recrate doctor` tells more."
    )]
    Unsandboxed(String),
    /// The source is not the commit that the plan names.
    #[error("the source is not commit {commit}: {reason}")]
    Unproven {
        /// The commit id that the plan names.
        commit: String,
        /// What came out instead.
        reason: String,
    },
    /// A file is not the LFS object that its pointer in the commit names.
    #[error("{path} is not the LFS object that the commit points at")]
    Object {
        /// The file.
        path: PathBuf,
    },
    /// The machine has no room left.
    #[error("no space left on the machine that builds: {0}")]
    Full(String),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// An archive can't be unpacked.
    #[error("{0}")]
    Archive(String),
}

/// A variable of the derivation.
pub(crate) fn variable(name: &'static str) -> Result<String, Fault> {
    std::env::var(name).map_err(|_| Fault::Variable(name))
}

/// A variable that Nix passes as a file because it may be long (`passAsFile`).
pub(crate) fn file_variable(name: &'static str) -> Result<String, Fault> {
    let path = std::env::var(format!("{name}Path")).map_err(|_| Fault::Variable(name))?;
    Ok(fs_err::read_to_string(path)?)
}

/// The builder's whole `main`: `arguments` as the system gives them, program name first.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let program = arguments.first().map(PathBuf::from).unwrap_or_default();
    if program.file_name().is_some_and(|name| name == "rustc") {
        return package::stand_in_for_rustc(&program, &arguments[1..]);
    }
    let verb = arguments.get(1).and_then(|verb| verb.to_str()).unwrap_or_default();
    let done = match verb {
        "package" => package::run(),
        "unpack-toolchain" => toolchain::unpack(),
        "probe" => sandbox::probe(),
        "missing" => {
            eprintln!(
                "recrate: this input is not in the store and has no address to be fetched from.\n\
                 `recrate verify` of a crate that needs it, on a machine that has it imported, puts it there."
            );
            return ExitCode::FAILURE;
        }
        _ => return exit::<Fault>("recrate-builder", None),
    };
    exit("recrate-builder", Some(done))
}
