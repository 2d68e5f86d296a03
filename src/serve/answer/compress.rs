//! Bodies made smaller at load, where that saves anything.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// What is shorter fits into one packet anyway.
const SMALLEST: usize = 512;
/// What is longer is no page that one reads, but a load or reload would wait for it.
const LONGEST: usize = 1024 * 1024;
/// So many bytes of all pages are worth the slowest compression, which takes half a second for them.
const BEST: usize = 128 * 1024;

/// Compresses bodies, and sees to it that many of them do not hold up the start.
#[derive(Debug, Default)]
pub(crate) struct Compressor {
    spent: usize,
}

/// A body in both codings.
pub(crate) struct Compressed {
    pub(crate) gzip: Vec<u8>,
    pub(crate) brotli: Vec<u8>,
}

impl Compressor {
    /// A body in both codings, if each of them saves an eighth of it.
    pub(crate) fn press(&mut self, body: &[u8]) -> Option<Compressed> {
        let saves = |smaller: &Vec<u8>| smaller.len() <= body.len() - body.len() / 8;
        if !(SMALLEST..=LONGEST).contains(&body.len()) {
            return None;
        }
        // The faster one tells whether there is anything to be saved.
        let gzip = Some(gzip(body)).filter(saves)?;
        self.spent = self.spent.saturating_add(body.len());
        let quality = if self.spent <= BEST { 11 } else { 5 };
        let brotli = brotli(body, quality).filter(saves)?;
        Some(Compressed { gzip, brotli })
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

fn brotli(body: &[u8], quality: i32) -> Option<Vec<u8>> {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality,
        size_hint: body.len(),
        ..Default::default()
    };
    let mut smaller = Vec::new();
    brotli::BrotliCompress(&mut &body[..], &mut smaller, &parameters).ok()?;
    Some(smaller)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Read as _;

    use super::*;

    pub(crate) fn unpressed(coding: &str, body: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        match coding {
            "gzip" => drop(
                flate2::read::GzDecoder::new(body)
                    .read_to_end(&mut whole)
                    .unwrap(),
            ),
            "br" => brotli::BrotliDecompress(&mut &body[..], &mut whole).unwrap(),
            _ => whole.extend_from_slice(body),
        }
        whole
    }

    #[test]
    fn what_is_pressed_comes_back() {
        for length in [SMALLEST, 5000, 700_000] {
            let body: Vec<u8> = b"<p>Back soon</p>\n"
                .iter()
                .copied()
                .cycle()
                .take(length)
                .collect();
            let pressed = Compressor::default().press(&body).unwrap();
            assert!(pressed.gzip.len() < length / 5 && pressed.brotli.len() < length / 5);
            assert!(unpressed("gzip", &pressed.gzip) == body);
            assert!(unpressed("br", &pressed.brotli) == body);
        }
    }

    #[test]
    fn what_saves_nothing_is_left_alone() {
        // Bytes without a pattern (an LCG).
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(20_000)
        .collect();
        let mut press = Compressor::default();
        assert!(press.press(&noise).is_none());
        assert!(press.press(&[b'x'; SMALLEST - 1]).is_none());
        assert!(press.press(&vec![b'x'; LONGEST + 1]).is_none());
        assert!(press.press(b"").is_none());
    }
}
