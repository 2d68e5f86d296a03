//! nginx's grammar: what could be read prints as what reads the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maintd::config::nginx::syntax::{Directive, parse};

fn print(directives: &[Directive]) -> String {
    directives.iter().map(ToString::to_string).collect()
}

fuzz_target!(|text: &str| {
    let (directives, faults) = parse(text, 0);
    for fault in faults {
        let line = text.split('\n').nth(fault.place.line as usize - 1);
        assert!(line.is_some(), "a fault beyond the end");
    }
    let printed = print(&directives);
    let (again, faults) = parse(&printed, 0);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(print(&again), printed);
});
