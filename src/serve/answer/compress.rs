//! Compresses bodies when they are loaded.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Shorter bodies are not compressed: they fit into one packet.
const MIN_LENGTH: usize = 512;
/// Longer bodies are not compressed, since that would delay a reload.
const MAX_LENGTH: usize = 1024 * 1024;
/// The total input, in bytes, that is compressed with Brotli quality 11; takes about 0.5 s.
const MAX_BEST: usize = 128 * 1024;

/// Compresses bodies. Brotli uses quality 5 after [`MAX_BEST`] bytes, so that many bodies do not delay the start.
#[derive(Debug, Default)]
pub(crate) struct Compressor {
    /// The number of bytes compressed so far.
    spent: usize,
}

/// A body in both codings.
pub(crate) struct Compressed {
    pub(crate) gzip: Vec<u8>,
    pub(crate) brotli: Vec<u8>,
}

impl Compressor {
    /// A body in both codings, if each of them saves an eighth of it.
    pub(crate) fn compress(&mut self, body: &[u8]) -> Option<Compressed> {
        let saves = |smaller: &Vec<u8>| smaller.len() <= body.len() - body.len() / 8;
        if !(MIN_LENGTH..=MAX_LENGTH).contains(&body.len()) {
            return None;
        }
        // First the faster one, in case nothing can be saved.
        let gzip = Some(gzip(body)).filter(saves)?;
        self.spent = self.spent.saturating_add(body.len());
        let quality = if self.spent <= MAX_BEST { 11 } else { 5 };
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

/// The body before compression by this coding.
#[cfg(test)]
pub(crate) fn decompressed(coding: &str, body: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_body_can_be_decompressed() {
        for length in [MIN_LENGTH, 5000, 700_000] {
            let body: Vec<u8> = b"<p>Back soon</p>\n"
                .iter()
                .copied()
                .cycle()
                .take(length)
                .collect();
            let compressed = Compressor::default().compress(&body).unwrap();
            assert!(compressed.gzip.len() < length / 5 && compressed.brotli.len() < length / 5);
            assert!(decompressed("gzip", &compressed.gzip) == body);
            assert!(decompressed("br", &compressed.brotli) == body);
        }
    }

    #[test]
    fn a_body_that_compression_does_not_shorten_is_left_alone() {
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
        let mut compressor = Compressor::default();
        assert!(compressor.compress(&noise).is_none());
        assert!(compressor.compress(&[b'x'; MIN_LENGTH - 1]).is_none());
        assert!(compressor.compress(&vec![b'x'; MAX_LENGTH + 1]).is_none());
        assert!(compressor.compress(b"").is_none());
    }
}
