//! recrate's command line: parse, run, print, exit. See the library for everything else.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use recrate::commands::credential::{PLUGIN, serve};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn main() -> ExitCode {
    recrate::edges::memory::give_back_early();
    let asked = std::env::var("RECRATE_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_target("recrate", tracing::Level::WARN));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(recrate::edges::console::colours_on_stderr())
        .without_time();
    tracing_subscriber::registry().with(filter).with(lines).init();
    // What is more comes with the requests.
    if std::env::args_os().nth(1).is_some_and(|first| first == PLUGIN) {
        return serve();
    }
    recrate::commands::Cli::parse_from(arguments(std::env::args_os().collect())).run()
}

/// Called as `recrate-verify` it is `recrate verify`: an app of a flake is a program without arguments.
fn arguments(mut given: Vec<OsString>) -> Vec<OsString> {
    if given.first().is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == "recrate-verify")) {
        given.insert(1, "verify".into());
    }
    given
}
