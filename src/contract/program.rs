//! How recrate's static programs, which Nix runs, end.

use std::process::ExitCode;

/// The exit status of a program that Nix runs; prints the error. `done` is none where the program has no such verb.
pub fn exit<E: std::fmt::Display>(program: &str, done: Option<Result<(), E>>) -> ExitCode {
    match done {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("recrate: {error}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{program} is run by Nix; it is of no use by hand. See `recrate verify --help`.");
            ExitCode::from(2)
        }
    }
}
