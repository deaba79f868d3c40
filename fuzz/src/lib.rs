//! The fuzz targets: each drives something that reads strangers' bytes, and asserts what has to hold whatever they are.
//!
//! `fuzz_targets/` gives them to libFuzzer; `tests/fuzzing.rs` of the package above gives them random bytes in every test run.

pub mod archive;
pub mod container;
pub mod crates;
pub mod git;
pub mod index;
pub mod lock_file;
pub mod manifest;
pub mod plan;
pub mod text;
