//! The blocks of a PEM file (RFC 7468). A damaged line is an error with its number.
//!
//! The parser of rustls ignores every line that it does not recognize. A certificate whose marker is damaged is then missing
//! from the chain without an error. So the structure is checked here, and rustls gets single blocks to decode.

/// What stands between two markers.
#[derive(Debug)]
pub struct Block {
    /// The text of its markers, such as `CERTIFICATE`.
    pub label: String,
    /// The line of its first marker, from 1.
    pub line: usize,
    /// Its header fields say that it is encrypted (RFC 1421 4.6.1.1).
    pub encrypted: bool,
    base64: String,
}

/// What is wrong with a line.
#[derive(Debug)]
pub struct Damage {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

impl Block {
    /// The block as a PEM text with this label, without anything that a decoder could misread.
    #[must_use]
    pub fn labelled(&self, label: &str) -> String {
        let base64 = &self.base64;
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
    }

    /// Adds a line between the markers.
    fn add(&mut self, line: &str) -> Result<(), String> {
        if self.base64.is_empty() && line.contains(':') {
            self.encrypted |= line.starts_with("Proc-Type:") && line.contains("ENCRYPTED");
            return Ok(());
        }
        for letter in line.chars().filter(|letter| !letter.is_ascii_whitespace()) {
            if !letter.is_ascii_alphanumeric() && !"+/=".contains(letter) {
                let letter = letter.escape_debug();
                return Err(format!("\"{letter}\" is not base64; {}", self.copy_again()));
            }
            if self.base64.ends_with('=') && letter != '=' {
                return Err(format!("base64 behind its end; {}", self.copy_again()));
            }
            self.base64.push(letter);
        }
        Ok(())
    }

    /// Checks that its base64 is whole (RFC 4648 4).
    fn finish(self) -> Result<Self, String> {
        let padding = self.base64.bytes().rev().take_while(|byte| *byte == b'=');
        let is_whole = self.base64.len().is_multiple_of(4) && padding.count() <= 2;
        if self.base64.is_empty() || !is_whole {
            return Err(format!(
                "base64 is missing before it; {}",
                self.copy_again()
            ));
        }
        Ok(self)
    }

    fn copy_again(&self) -> String {
        format!("copy the {} of line {} again", self.label, self.line)
    }
}

/// The blocks of a file in their order. Text outside of blocks is allowed (RFC 7468 2), and so are byte order marks, blanks
/// around a line, and the line ends of all systems.
///
/// # Errors
/// The first damaged line.
pub fn blocks(file: &[u8]) -> Result<Vec<Block>, Damage> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, bytes) in (1..).zip(file.split(|byte| *byte == b'\n')) {
        let text = String::from_utf8_lossy(bytes);
        // The line ends of DOS leave an empty line, which is ignored like any other.
        for line in text.split('\r') {
            let line = line.trim_matches(|letter: char| letter.is_whitespace() || letter == BOM);
            open = next(open, number, line, &mut blocks)
                .map_err(|what| Damage { line: number, what })?;
        }
    }
    match open {
        None => Ok(blocks),
        Some(Block { label, line, .. }) => Err(Damage {
            line,
            what: format!(
                "\"-----BEGIN {label}-----\" without its end; copy the file again, or add \"-----END {label}-----\""
            ),
        }),
    }
}

/// The byte order mark, which editors of Windows put at the start of a file. It is in the middle where files were joined.
const BOM: char = '\u{feff}';

/// Takes one line: returns the block that is open after it, and adds the one that it ends.
fn next(
    open: Option<Block>,
    number: usize,
    line: &str,
    blocks: &mut Vec<Block>,
) -> Result<Option<Block>, String> {
    match (marker(line)?, open) {
        (Marker::None, None) => Ok(None),
        (Marker::None, Some(mut block)) => block.add(line).map(|()| Some(block)),
        (Marker::Begin(label), None) => Ok(Some(Block {
            label: label.to_owned(),
            line: number,
            encrypted: false,
            base64: String::new(),
        })),
        (Marker::End(label), Some(block)) if block.label == label => {
            blocks.push(block.finish()?);
            Ok(None)
        }
        (Marker::End(label), None) => Err(format!(
            "\"-----END {label}-----\" without its start; copy the file again, or add \"-----BEGIN {label}-----\""
        )),
        (Marker::Begin(_) | Marker::End(_), Some(block)) => Err(format!(
            "\"{line}\" in the {0} of line {1}; put \"-----END {0}-----\" before it",
            block.label, block.line
        )),
    }
}

/// What a line is.
enum Marker<'a> {
    Begin(&'a str),
    End(&'a str),
    None,
}

/// Reads a line without blanks around it. A line that was a marker and is damaged is an error.
fn marker(line: &str) -> Result<Marker<'_>, String> {
    let between = |start: &str| {
        let label = line.strip_prefix(start)?.strip_suffix("-----")?;
        let is_word = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        let is_label = label.bytes().all(is_word) && !label.contains("--");
        (is_label && !label.is_empty() && label == label.trim()).then_some(label)
    };
    if let Some(label) = between(BEGIN) {
        return Ok(Marker::Begin(label));
    }
    if let Some(label) = between(END) {
        return Ok(Marker::End(label));
    }
    // A block that was turned into a comment is text.
    if line.starts_with('#') {
        return Ok(Marker::None);
    }
    let inner = line.char_indices().skip(1).map(|(at, _)| &line[at..]);
    let mut inner = inner.filter(|rest| rest.starts_with(BEGIN) || rest.starts_with(END));
    if let Some(second) = inner.next() {
        // What follows may be a part of a private key.
        let word = if second.starts_with(BEGIN) {
            BEGIN
        } else {
            END
        };
        return Err(format!(
            "\"{word}...\" within a line; put it on a line of its own"
        ));
    }
    if is_damaged(line) {
        return Err(
            "a damaged marker; write \"-----BEGIN LABEL-----\" or \"-----END LABEL-----\" alone on the line".to_owned(),
        );
    }
    Ok(Marker::None)
}

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// Whether a line that is no marker was one: dashes, perhaps those of a word processor, and the words of a marker.
fn is_damaged(line: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    let dash = |letter: char| matches!(letter, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    (line.starts_with(dash) || line.ends_with(dash))
        && has(&["BEGIN", "END"])
        && has(&["CERTIFICATE", "KEY", "PARAMETERS", "PKCS7", "CRL"])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nAAAA\nBBB=\n-----END CERTIFICATE-----\n";

    /// What is read of a text: labels and base64.
    fn read(text: impl AsRef<[u8]>) -> Vec<(String, String)> {
        let blocks = blocks(text.as_ref()).unwrap().into_iter();
        blocks.map(|block| (block.label, block.base64)).collect()
    }

    fn damage(text: &str) -> (usize, String) {
        let damage = blocks(text.as_bytes()).unwrap_err();
        (damage.line, damage.what)
    }

    #[test]
    fn a_block_reads_the_same_whatever_the_system_that_wrote_it() {
        let expected = read(BLOCK);
        assert_eq!(
            expected,
            [("CERTIFICATE".to_owned(), "AAAABBB=".to_owned())]
        );
        for text in [
            format!("\u{feff}{BLOCK}"),
            BLOCK.replace('\n', "\r\n"),
            BLOCK.replace('\n', "\r\r\n"),
            BLOCK.replace('\n', "\r"),
            BLOCK.replace('\n', " \t\n"),
            BLOCK.replace('\n', "\n  \t"),
            BLOCK.replace('\n', "\n\n"),
            BLOCK.replace("AAAA\n", "AA AA"),
            BLOCK.trim_end().to_owned(),
            BLOCK.replacen('\n', "\nComment: none\n\n", 1),
        ] {
            assert_eq!(read(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn text_is_allowed_outside_of_blocks() {
        let both = [read(BLOCK), read(BLOCK)].concat();
        for between in [
            "",
            "\u{feff}",
            "\n\n",
            "Bag Attributes\n    friendlyName: a\nsubject=CN = a\n\nissuer=CN = b\n",
            "Certificate:\n    Data:\n        Version: 1 (0x0)\n            X509v3 Key Usage: -- \n",
            "# The end of the first\n---\n----- Intermediate -----\n",
            "#-----BEGIN CERTIFICATE-----\n#AAAA\n#-----END CERTIFICATE-----\n",
        ] {
            let text = format!("{BLOCK}{between}{BLOCK}");
            assert_eq!(read(&text), both, "{between:?}");
        }
        let latin_1 = [b"Z\xfcrich\n", BLOCK.as_bytes()].concat();
        assert_eq!(read(latin_1), read(BLOCK));
        assert!(read("").is_empty());
    }

    #[test]
    fn the_line_of_a_damage_is_named_with_what_to_do() {
        let glued = BLOCK.trim_end().to_owned() + BLOCK;
        let two = format!("{BLOCK}{BLOCK}");
        let again = "copy the CERTIFICATE of line 5 again";
        let marker = "a damaged marker; write \"-----BEGIN LABEL-----\" or \"-----END LABEL-----\" alone on the line";
        for (text, line, what) in [
            (
                glued.as_str(),
                4,
                "\"-----BEGIN ...\" within a line; put it on a line of its own",
            ),
            (
                &two.replace("BBB=\n", "BBB="),
                3,
                "\"-----END ...\" within a line; put it on a line of its own",
            ),
            (
                &format!("{BLOCK}{}", BLOCK.replace("AAAA", "AA!A")),
                6,
                &format!("\"!\" is not base64; {again}"),
            ),
            (
                &format!("{BLOCK}{}", BLOCK.replace("AAAA", "AAAA=")),
                7,
                &format!("base64 behind its end; {again}"),
            ),
            (
                &format!("{BLOCK}{}", BLOCK.replace("AAAA", "AAA")),
                8,
                &format!("base64 is missing before it; {again}"),
            ),
            (
                &format!("{BLOCK}{}", BLOCK.replace("AAAA\nBBB=", "")),
                7,
                &format!("base64 is missing before it; {again}"),
            ),
            (
                &format!("{BLOCK}{}", &BLOCK[..36]),
                5,
                "\"-----BEGIN CERTIFICATE-----\" without its end; copy the file again, or add \"-----END CERTIFICATE-----\"",
            ),
            (
                &format!("{BLOCK}{}", &BLOCK[28..]),
                7,
                "\"-----END CERTIFICATE-----\" without its start; copy the file again, or add \"-----BEGIN CERTIFICATE-----\"",
            ),
            (
                &format!("{}{BLOCK}", &BLOCK[..33]),
                3,
                "\"-----BEGIN CERTIFICATE-----\" in the CERTIFICATE of line 1; put \"-----END CERTIFICATE-----\" before it",
            ),
            (
                &BLOCK.replace("END CERT", "END X509 CERT"),
                4,
                "\"-----END X509 CERTIFICATE-----\" in the CERTIFICATE of line 1; put \"-----END CERTIFICATE-----\" before it",
            ),
            (&BLOCK[1..], 1, marker),
            (
                &BLOCK.replace("BEGIN CERTIFICATE-----", "BEGIN CERTIFICATE----"),
                1,
                marker,
            ),
            (&BLOCK.replace("-----BEGIN", "----- BEGIN"), 1, marker),
            (
                &BLOCK.replace("-----BEGIN", "\u{2014}\u{2014}-BEGIN"),
                1,
                marker,
            ),
            (&BLOCK.replacen('\n', "", 1), 1, marker),
        ] {
            assert_eq!(damage(text), (line, what.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_encrypted_key_is_known_by_its_field() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,3E\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let blocks = blocks(key.as_bytes()).unwrap();
        assert!(blocks[0].encrypted && blocks[0].base64 == "AAAA");
    }
}
