//! recrate's command line: parse, run, print, exit. See the library for everything else.

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("RECRATE_LOG").unwrap_or_else(|_| EnvFilter::new("recrate=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    recrate::commands::Cli::parse().run()
}
