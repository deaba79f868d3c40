#![no_main]

libfuzzer_sys::fuzz_target!(|given: &str| recrate_fuzz::plan::run(given));
