//! The words of this program: values without I/O and without a clock.

pub mod commit;
pub mod digest;
pub mod foreign;
pub mod krate;
pub mod nonempty;
#[cfg(feature = "stages")]
pub mod package;
#[cfg(feature = "stages")]
pub mod packed;
pub mod release;
#[cfg(feature = "stages")]
pub mod repository;
pub mod requirement;
pub mod sub_path;
