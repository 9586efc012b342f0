//! See `events` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| freshwire_fuzz::run("events", data));
