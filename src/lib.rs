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
//! world, [`stages`] are pure functions from values to values, [`model`] has the words. [`fetcher`] is a second
//! driver, for Nix. [`builder`] is apart: it is what runs inside the sandbox, and needs none of them.

#![forbid(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

pub mod builder;

#[cfg(feature = "driver")]
pub mod commands;
#[cfg(feature = "driver")]
pub mod edges;
#[cfg(feature = "driver")]
pub mod fetcher;
#[cfg(feature = "driver")]
pub mod lab;
#[cfg(feature = "driver")]
pub mod model;
#[cfg(feature = "driver")]
pub mod stages;
