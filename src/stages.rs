//! The stages: pure functions from values to values. In the order of the data:
//!
//! [`lock`] → [`artefact`], [`published`] → [`provenance`] → [`toolchain`], [`mod@slice`], [`search`] → [`plan`] →
//! [`derivation`] → [`compare`], [`container`] → [`judge`], [`findings`] → [`verdict`], [`policy`] → [`report`].

#[cfg(feature = "driver")]
pub mod approval;
pub mod artefact;
pub mod candidate;
pub mod changes;
#[cfg(feature = "driver")]
pub mod check;
pub mod checkout;
pub mod claims;
pub mod compare;
pub mod container;
pub mod coverage;
pub mod decision;
pub mod deflate;
pub mod derivation;
pub mod diff;
pub mod findings;
pub mod history;

pub mod index;
pub mod index_label;
pub mod judge;
#[cfg(feature = "driver")]
pub mod letter;
pub mod lock;
pub mod lock_evidence;
pub mod manifest;
#[cfg(feature = "driver")]
pub mod new_crate;
pub mod pages;
pub mod plan;
pub mod policy;
pub mod provenance;
pub mod published;
pub mod recipe;
pub mod record;
pub mod renamed_repositories;
pub mod report;
pub mod search;
pub mod sign;
pub mod slice;
pub mod toolchain;
pub mod verdict;
pub mod workspace;
pub mod yanked_since;
