//! The words of this program: values without I/O and without a clock.

pub mod digest;
pub mod krate;
pub mod nonempty;
pub mod release;
pub mod source;
