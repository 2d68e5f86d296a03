//! The parser of heads. The first byte is the size of the pieces of input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maintd::serve::http1::{MAX_HEAD, Parsed, Scan, parse};

fuzz_target!(|data: &[u8]| {
    let Some((cut, input)) = data.split_first() else {
        return;
    };
    let whole = parse(input, &mut Scan::default());
    let mut pieces = Parsed::Partial;
    let mut scan = Scan::default();
    for end in (0..=input.len())
        .step_by(usize::from(*cut).max(1))
        .chain([input.len()])
    {
        pieces = parse(&input[..end], &mut scan);
        if pieces != Parsed::Partial {
            break;
        }
    }
    match (whole, pieces) {
        // A malformed head is refused when it is complete, or earlier if all input arrives at once.
        (Parsed::Refusal(_), Parsed::Refusal(_) | Parsed::Partial) => {}
        (whole, pieces) => assert_eq!(whole, pieces),
    }
    if let Parsed::Request(_, length) = whole {
        assert!(length <= input.len() && length <= MAX_HEAD);
        assert_eq!(input[length - 1], b'\n');
    }
});
