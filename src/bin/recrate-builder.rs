//! The in-sandbox builder: a static binary that Nix runs as the `builder` of every derivation of recrate.
//!
//! It is called as `recrate-builder VERB` with everything else in the environment, as Nix hands it over. Called under
//! the name `rustc` it stands in for the compiler and answers the one question that cargo asks of it.

use std::process::ExitCode;

fn main() -> ExitCode {
    recrate::builder::main(std::env::args_os().collect())
}
