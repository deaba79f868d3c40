//! The outside world, one thing each: everything that reads or writes something outside of this process.

pub mod cache;
pub mod cargo_config;
#[cfg(feature = "driver")]
pub mod console;
pub mod costs;
pub mod git;
#[cfg(feature = "driver")]
pub mod memory;
pub mod network;
#[cfg(feature = "driver")]
pub mod nix;
pub mod parallel;
pub mod registry;
#[cfg(feature = "driver")]
pub mod results;
#[cfg(feature = "driver")]
pub mod run_directory;
pub mod software_heritage;
#[cfg(feature = "driver")]
pub mod toolchains;
#[cfg(feature = "driver")]
pub mod worktree;
