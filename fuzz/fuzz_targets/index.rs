#![no_main]

libfuzzer_sys::fuzz_target!(|given: &[u8]| recrate_fuzz::index::run(given));
