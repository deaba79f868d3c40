#![no_main]

libfuzzer_sys::fuzz_target!(|given: recrate_fuzz::manifest::Given| recrate_fuzz::manifest::run(given));
