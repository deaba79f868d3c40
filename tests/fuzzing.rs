//! The fuzz targets with random bytes, in every test run. `scripts/fuzz` lets libFuzzer look for more.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use arbitrary::{Arbitrary, Unstructured};
use proptest::prelude::*;

/// Enough for each to say something, and few enough for every run.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..400)
}

/// Something of arbitrary structure, made of bytes.
fn made<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn container(bytes in bytes()) {
        made(&bytes).into_iter().for_each(targets::container::run);
    }

    #[test]
    fn manifest(bytes in bytes()) {
        made(&bytes).into_iter().for_each(targets::manifest::run);
    }

    #[test]
    fn lock_file(bytes in bytes()) {
        made(&bytes).into_iter().for_each(targets::lock_file::run);
    }

    #[test]
    fn text(text: String) {
        targets::text::run(&text);
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn archive(bytes in bytes()) {
        targets::archive::run(&bytes);
    }

    #[test]
    fn index(bytes in bytes()) {
        targets::index::run(&bytes);
    }

    #[test]
    fn plan(text: String) {
        targets::plan::run(&text);
    }

    #[test]
    fn git(bytes in bytes()) {
        targets::git::run(&bytes);
    }
}
