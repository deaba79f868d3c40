//! recrate's command line: parse, run, print, exit. See the library for everything else.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("RECRATE_LOG").unwrap_or_else(|_| EnvFilter::new("recrate=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(recrate::edges::console::colours_on_stderr())
        .without_time()
        .init();
    recrate::commands::Cli::parse_from(arguments(std::env::args_os().collect())).run()
}

/// Called as `recrate-verify` it is `recrate verify`: an app of a flake is a program without arguments.
fn arguments(mut given: Vec<OsString>) -> Vec<OsString> {
    if given.first().is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == "recrate-verify")) {
        given.insert(1, "verify".into());
    }
    given
}
