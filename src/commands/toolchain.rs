//! `recrate toolchain`: the cargos that crates are rebuilt with.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use super::build_options::Places;
use crate::edges::console::print;
use crate::stages::toolchain::CATALOGUE;

/// List or import the cargos that crates are rebuilt with.
#[derive(Debug, clap::Subcommand)]
pub enum Toolchain {
    /// List the available cargos
    List {
        /// Show every official release of the catalogue, too
        #[arg(long)]
        all: bool,
        /// Where recrate keeps things
        #[command(flatten)]
        places: Places,
    },
    /// Import a cargo of this machine, with the shared libraries that it links
    Add {
        /// A cargo binary, a toolchain's folder (with bin/cargo) or an unpacked package (with usr/bin/cargo)
        path: PathBuf,
        /// What to call it [default: its release]
        #[arg(long)]
        name: Option<String>,
        /// Where recrate keeps things
        #[command(flatten)]
        places: Places,
    },
}

impl Toolchain {
    /// Lists or imports.
    ///
    /// # Errors
    /// Where the cargo can't be imported.
    pub fn run(&self) -> Result<ExitCode, Failure> {
        let mut text = String::new();
        match self {
            Self::List { all, places } => {
                for toolchain in places.toolchains()?.imported().map_err(Failure::internal)? {
                    let _ = writeln!(text, "{:<20} cargo {:<10} imported", toolchain.name, toolchain.release);
                }
                if *all {
                    for official in CATALOGUE.iter() {
                        let release = &official.release;
                        let _ = writeln!(text, "official-{release:<11} cargo {release:<10} {}", official.date);
                    }
                } else if let (Some(first), Some(last)) = (CATALOGUE.first(), CATALOGUE.last()) {
                    let _ = writeln!(
                        text,
                        "and {} official releases from {} to {}, fetched when tried (--all lists them)",
                        CATALOGUE.len(),
                        first.release,
                        last.release
                    );
                }
            }
            Self::Add { path, name, places } => {
                if name.as_deref().is_some_and(|name| !is_plain(name)) {
                    return Err(Failure::usage("a toolchain's name has letters, digits, dots, dashes and underscores"));
                }
                let added = places.toolchains()?.add(path, name.as_deref()).map_err(Failure::usage)?;
                let _ = writeln!(text, "{}: cargo {}", added.name, added.release);
            }
        }
        print(&text).map_err(Failure::internal)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A name that is one part of a path and no option.
fn is_plain(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with(['.', '-']) && name != "runtime" && name.bytes().all(legal)
}
