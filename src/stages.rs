//! The stages: pure functions from values to values, one per arrow of the way of the data, in its order.

pub mod artefact;
pub mod checkout;
pub mod compare;
pub mod deflate;
pub mod derivation;
pub mod diff;
pub mod lock;
pub mod manifest;
pub mod moves;
pub mod page;
pub mod plan;
pub mod provenance;
pub mod report;
pub mod search;
pub mod slice;
pub mod toolchain;
pub mod verdict;
pub mod workspace;
pub mod yanked;
