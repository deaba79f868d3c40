#![no_main]

libfuzzer_sys::fuzz_target!(|given: recrate_fuzz::lock_file::Given| recrate_fuzz::lock_file::run(given));
