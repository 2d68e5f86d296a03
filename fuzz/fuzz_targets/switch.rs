//! The output of pfctl, nft and ss: no text causes a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| maintd::switch::read_everything(text));
