//! What pfctl, nft and ss print: nothing of it stops the switch.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| maintd::switch::read_everything(text));
