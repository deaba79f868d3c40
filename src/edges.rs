//! The outside world, one thing each: everything that reads or writes something outside of this process.

pub mod cache;
pub mod cargo_config;
pub mod console;
pub mod git;
pub mod network;
pub mod nix;
pub mod registry;
pub mod run_directory;
pub mod software_heritage;
pub mod toolchains;
