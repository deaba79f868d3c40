#![no_main]

libfuzzer_sys::fuzz_target!(|given: recrate_fuzz::container::Given| recrate_fuzz::container::run(given));
