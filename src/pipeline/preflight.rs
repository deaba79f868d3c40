//! What would keep every build from working is found once, before anything is fetched.

use std::time::SystemTime;

use super::context::{Context, Error};
use crate::edges::nix::Nix;
use crate::model::digest::Sha256;

/// What to do where Nix can't build in a sandbox.
pub const HELP: &str = "help: set `sandbox = true` in nix.conf, and on a machine without build users `build-users-group =` \
    (empty).\n      In a container, Nix needs to make namespaces: with Docker or Podman that takes `--privileged`, or \
    `--security-opt seccomp=unconfined --cap-add SYS_ADMIN`.\n      `recrate doctor` checks again.";

impl Context {
    /// Checks that Nix builds in a sandbox, by a build that does nothing. What was seen is remembered until the machine is
    /// started again or Nix's settings change.
    ///
    /// Another store's machine is not probed: the builder itself refuses to build without a sandbox there.
    ///
    /// # Errors
    /// Where it does not, with what to do.
    pub fn preflight(&self) -> Result<(), Error> {
        if self.nix.store.is_some() || self.nix.builds_elsewhere() {
            return Ok(());
        }
        let memo = format!("probes/{}", Sha256::of(self.machine().as_bytes()));
        if self.cache.read(&memo)?.is_some() {
            return Ok(());
        }
        let seen = probe(&self.nix, &self.programs.builder.file, &self.system).map_err(Error::CannotBuild)?;
        if seen != SANDBOXED {
            return Err(Error::CannotBuild(format!("Nix builds without a sandbox: {seen}\n{HELP}")));
        }
        // That it can't be noted costs time only.
        let _ = self.cache.write(&memo, b"sandboxed\n");
        Ok(())
    }

    /// What the answer depends on.
    fn machine(&self) -> String {
        let read = |file: &str| fs_err::read_to_string(file).unwrap_or_default();
        let variables = ["NIX_CONFIG", "NIX_REMOTE", "NIX_USER_CONF_FILES", "NIX_CONF_DIR", "PATH", "USER"];
        let variables: Vec<_> = variables.iter().map(|name| std::env::var(name).unwrap_or_default()).collect();
        format!(
            "{:?}",
            (
                read("/proc/sys/kernel/random/boot_id"),
                read("/etc/nix/nix.conf"),
                fs_err::read_link("/proc/self/ns/user").ok(),
                variables,
                &self.nix.build_options,
            )
        )
    }
}

/// What the probe writes where it is in a sandbox.
pub const SANDBOXED: &str = "sandboxed";

/// Builds a probe that was never built before; gives what it saw.
///
/// # Errors
/// Where Nix can't build it, in words.
pub fn probe(nix: &Nix, builder: &std::path::Path, system: &str) -> Result<String, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("Nix can't build here: {error}\n{HELP}");
    let added = nix.add(&[builder.to_owned()], true).map_err(|error| cannot(&error))?;
    let path = added.first().ok_or("the store took no builder")?;
    let salt = format!("{:?} {}", SystemTime::now(), std::process::id());
    nix.probe(path, system, &salt).map_err(|error| cannot(&error))
}
