//! nginx's grammar: parsed directives are printed as text that is parsed again with the same result.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maintd::config::nginx::syntax::{Directive, parse};

fn print(directives: &[Directive]) -> String {
    directives.iter().map(ToString::to_string).collect()
}

fuzz_target!(|text: &str| {
    let (directives, errors) = parse(text, 0);
    for error in errors {
        let line = text.split('\n').nth(error.position.line as usize - 1);
        assert!(line.is_some(), "an error beyond the end");
    }
    let printed = print(&directives);
    let (again, errors) = parse(&printed, 0);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(print(&again), printed);
});
