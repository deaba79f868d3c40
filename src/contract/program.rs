//! How recrate's static programs, which Nix runs, end.

use std::process::ExitCode;

use crate::model::foreign::Foreign;

/// The system's words for a full file system, which cargo, git and Nix use, too.
pub const NO_SPACE: &str = "No space left on device";

/// The exit status of a program that Nix runs; prints the error. `done` is none where the program has no such verb.
pub fn exit<E: std::fmt::Display>(program: &str, done: Option<Result<(), E>>) -> ExitCode {
    match done {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            // In Nix's log, line by line: there are names of strangers' files in it.
            for line in Foreign::from(error.to_string()).lines() {
                eprintln!("recrate: {line}");
            }
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{program} is run by Nix; it is of no use by hand. See `recrate verify --help`.");
            ExitCode::from(2)
        }
    }
}
