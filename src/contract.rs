//! What driver, builder and judge hand to each other.
//!
//! The driver (or `nix/plan.nix`) writes a [`recipe::Recipe`] into a derivation; the builder reads it in the sandbox and
//! leaves a [`status::Status`] beside the crate; driver and judge read that.

pub mod checkout;
pub mod git;
pub mod lean;
pub mod lfs;
pub mod program;
pub mod prune;
pub mod recipe;
pub mod status;
pub mod trees;
