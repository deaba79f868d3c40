//! recrate rebuilds every crate of a `Cargo.lock` from its git commit, with a pinned `cargo package` in the Nix
//! sandbox, and compares the result with the registry's checksum, bit for bit.
//!
//! The way of the data, one module per arrow (see `docs/ARCHITECTURE.md`):
//!
//! ```text
//! Cargo.lock ─► locked crates ─► published crate ─► provenance ─► recipe(s) ─► derivation ─► rebuilt crate ─► verdict ─► report
//! ```
//!
//! Four floors; a module uses only floors below its own: [`commands`] and [`lab`] drive, [`edges`] touch the outside
//! world, [`stages`] are pure functions from values to values, [`model`] has the words. [`fetcher`] and [`judge`] drive,
//! too, as programs of their own that Nix runs: they bring inputs and give verdicts. [`builder`] is apart: it is what
//! rebuilds inside the sandbox, and needs none of them.

#![forbid(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

pub mod builder;

#[cfg(feature = "driver")]
pub mod commands;
#[cfg(feature = "driver")]
pub mod edges;
#[cfg(feature = "driver")]
pub mod fetcher;
#[cfg(feature = "stages")]
pub mod judge;
#[cfg(feature = "driver")]
pub mod lab;
#[cfg(feature = "stages")]
pub mod model;
#[cfg(feature = "stages")]
pub mod stages;
