//! The judge: a static binary that Nix runs to compare rebuilt crates with published ones.

use std::process::ExitCode;

fn main() -> ExitCode {
    recrate::judge::main(&std::env::args_os().collect::<Vec<_>>())
}
