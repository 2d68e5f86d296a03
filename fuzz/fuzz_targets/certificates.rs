//! Certificate files: an error has a line of the file, a parsed block is parsed again with the same result, and certificates are
//! sorted into a chain without loss.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maintd::serve::tls::certificates::chain::{Chain, ParsedCertificate};
use maintd::serve::tls::certificates::pem;

fuzz_target!(|file: &[u8]| {
    match pem::blocks(file) {
        Err(damage) => {
            let lines = file.split(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&damage.line), "{damage:?}");
        }
        Ok(blocks) => {
            for block in blocks {
                let text = block.labelled(&block.label);
                let again = pem::blocks(text.as_bytes()).expect("a block");
                assert_eq!(again.len(), 1);
                assert_eq!(again[0].labelled(&block.label), text);
            }
        }
    }
    // Concatenated certificates in DER.
    let mut rest = file;
    let mut certificates = Vec::new();
    while let Ok(certificate) = ParsedCertificate::new(certificates.len() + 1, rest) {
        rest = &rest[certificate.der().len()..];
        certificates.push(certificate);
    }
    let count = certificates.len();
    if let Some(chain) = Chain::new(certificates) {
        let mut lines: Vec<_> = chain
            .path()
            .chain(chain.unrelated())
            .map(|one| one.line)
            .collect();
        assert_eq!(lines[0], 1);
        lines.sort_unstable();
        assert!(lines.into_iter().eq(1..=count));
        assert_eq!(chain.sent().len(), count);
    }
});
