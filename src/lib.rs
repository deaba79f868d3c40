//! recrate rebuilds every crate of a `Cargo.lock` from its git commit, with a pinned `cargo package` inside the Nix
//! sandbox, and compares the result with the registry's checksum, bit for bit.
//!
//! See `docs/ARCHITECTURE.md` for the map. A module uses only modules below its own:
//!
//! | module | what it is |
//! |---|---|
//! | `commands` | parse, run, print, exit |
//! | [`fetcher`], [`judge`], [`builder`] | the programs that Nix runs |
//! | [`pipeline`] | the driver: each crate's way from the lock file to its record |
//! | [`edges`] | the outside world, one thing each |
//! | [`stages`] | pure functions from values to values |
//! | [`contract`] | what driver, builder and judge hand to each other |
//! | [`model`] | the words: no I/O, no clock |

#![forbid(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

pub mod builder;
pub mod contract;
pub mod model;

#[cfg(feature = "driver")]
pub mod commands;
#[cfg(feature = "network")]
pub mod edges;
#[cfg(feature = "network")]
pub mod fetcher;
#[cfg(feature = "stages")]
pub mod judge;
#[cfg(feature = "driver")]
pub mod pipeline;
#[cfg(feature = "stages")]
pub mod stages;
