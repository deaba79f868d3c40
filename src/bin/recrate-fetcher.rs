//! The fetcher: a static binary that Nix runs, with network, where the store lacks an input that a plan pins.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Nobody's certificates lie in Nix's sandbox: these are Mozilla's.
    let certificates = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|certificate| certificate.as_ref());
    recrate::fetcher::main(&std::env::args_os().collect::<Vec<_>>(), certificates)
}
