//! The blocks of a PEM file (RFC 7468). A damaged line is an error with its number.
//!
//! The parser of rustls ignores every line that it does not recognize. A certificate whose marker is damaged is then missing
//! from the chain without an error. So the structure is checked here, and rustls gets single blocks to decode.

/// The text between two markers.
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

/// An error in a line.
#[derive(Debug)]
pub struct PemError {
    /// The line, from 1.
    pub line: usize,
    /// The error, and what to do.
    pub what: String,
}

impl Block {
    /// The block as a PEM text with this label, without header fields and blanks.
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
                return Err(format!("base64 after its end; {}", self.copy_again()));
            }
            self.base64.push(letter);
        }
        Ok(())
    }

    /// Checks that its base64 is complete (RFC 4648 4).
    fn finish(self) -> Result<Self, String> {
        let padding = self.base64.bytes().rev().take_while(|byte| *byte == b'=');
        let is_complete = self.base64.len().is_multiple_of(4) && padding.count() <= 2;
        if self.base64.is_empty() || !is_complete {
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
pub fn blocks(file: &[u8]) -> Result<Vec<Block>, PemError> {
    let text = String::from_utf8_lossy(file);
    let lines = (1..).zip(text.split('\n')).flat_map(|(number, line)| {
        // The line ends of Windows and of classic Mac OS.
        let lines = line.split('\r');
        lines.map(move |line| (number, line.trim_matches(is_blank)))
    });
    let mut lines = lines.filter(|(_, line)| !line.is_empty()).peekable();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut around = Around::default();
    while let Some((number, line)) = lines.next() {
        around.is_followed = lines.peek().is_some_and(|(_, next)| is_base64(next));
        open = next(open, number, line, around, &mut blocks)
            .map_err(|what| PemError { line: number, what })?;
        around.is_preceded = open.is_none() && (around.is_preceded || is_base64(line));
    }
    match open {
        None => Ok(blocks),
        Some(Block { label, line, .. }) => Err(PemError {
            line,
            what: format!(
                "\"-----BEGIN {label}-----\" without its end; copy the file again, or add \"-----END {label}-----\""
            ),
        }),
    }
}

/// White space, or a byte order mark, which Windows editors write at the start of a file. Joined files have one in the middle.
fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || letter == '\u{feff}'
}

/// The surroundings of a line outside of blocks.
#[derive(Clone, Copy, Default)]
struct Around {
    /// There was base64 since the last block.
    is_preceded: bool,
    /// The next line is base64.
    is_followed: bool,
}

/// Parses one line: returns the block that is open after it, and adds the block that it ends.
fn next(
    open: Option<Block>,
    number: usize,
    line: &str,
    around: Around,
    blocks: &mut Vec<Block>,
) -> Result<Option<Block>, String> {
    match (marker(line), open) {
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
        // A heading such as "END OF CHAIN".
        (Marker::End(label), None) if !LABELS.contains(&label) => Ok(None),
        (Marker::End(label), None) => Err(format!(
            "\"-----END {label}-----\" without its start; copy the file again, or add \"-----BEGIN {label}-----\""
        )),
        (Marker::Begin(_) | Marker::End(_), Some(block)) => Err(format!(
            "\"{line}\" in the {0} of line {1}; put \"-----END {0}-----\" before it",
            block.label, block.line
        )),
        (Marker::Damaged(damaged), None) if !damaged.delimits(around) => Ok(None),
        (Marker::Damaged(damaged), None | Some(_)) => Err(damaged.what()),
    }
}

/// The marker of a line.
enum Marker<'a> {
    Begin(&'a str),
    End(&'a str),
    /// The words of a marker in a line that is not one. Outside of blocks it may be a heading or a comment.
    Damaged(Damaged),
    None,
}

/// A line that has the words of a marker, but is not one.
#[derive(Default)]
struct Damaged {
    begins: bool,
    ends: bool,
    /// The line has base64 as well.
    has_base64: bool,
    /// A complete marker with other text before it.
    glued: Option<&'static str>,
}

impl Damaged {
    /// Whether there is base64 where a block would have it.
    const fn delimits(&self, around: Around) -> bool {
        self.has_base64 || self.begins && around.is_followed || self.ends && around.is_preceded
    }

    /// The line is not printed: it may contain a part of a private key.
    fn what(&self) -> String {
        match self.glued {
            Some(word) => {
                format!("\"{word}...\" within a line; put it on a line of its own")
            }
            None => "a damaged marker; write \"-----BEGIN LABEL-----\" or \"-----END LABEL-----\" alone on the line"
                .to_owned(),
        }
    }
}

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// The labels of openssl (`pem.h`). A label precedes its prefixes.
const LABELS: [&str; 24] = [
    "ANY PRIVATE KEY",
    "ATTRIBUTE CERTIFICATE",
    "CERTIFICATE REQUEST",
    "CERTIFICATE",
    "CMS",
    "DH PARAMETERS",
    "DSA PARAMETERS",
    "DSA PRIVATE KEY",
    "DSA PUBLIC KEY",
    "EC PARAMETERS",
    "EC PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "NEW CERTIFICATE REQUEST",
    "OPENSSH PRIVATE KEY",
    "PKCS7",
    "PRIVATE KEY",
    "PUBLIC KEY",
    "RSA PRIVATE KEY",
    "RSA PUBLIC KEY",
    "SSL SESSION PARAMETERS",
    "TRUSTED CERTIFICATE",
    "X509 CERTIFICATE",
    "X509 CRL",
    "X9.42 DH PARAMETERS",
];

/// Parses a line without surrounding blanks.
fn marker(line: &str) -> Marker<'_> {
    let between = |start: &str| {
        let label = line.strip_prefix(start)?.strip_suffix("-----")?;
        let is_word = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        let is_label = label.bytes().all(is_word) && !label.contains("--") && !label.ends_with('-');
        (is_label && !label.is_empty() && label == label.trim()).then_some(label)
    };
    if let Some(label) = between(BEGIN) {
        return Marker::Begin(label);
    }
    if let Some(label) = between(END) {
        return Marker::End(label);
    }
    let mut damaged = Damaged::default();
    for (marker, word) in [(BEGIN, "BEGIN "), (END, "END ")] {
        for (at, _) in line.match_indices(word) {
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            if !is_of_marker(before, after) {
                continue;
            }
            let text = before.trim_end_matches(is_dash);
            if !text.is_empty() && before.ends_with("-----") {
                damaged.glued = damaged.glued.or(Some(marker));
            }
            damaged.begins |= marker == BEGIN;
            damaged.ends |= marker == END;
        }
    }
    damaged.has_base64 = line.split(is_dash).any(|part| is_base64(part.trim()));
    if damaged.begins || damaged.ends {
        Marker::Damaged(damaged)
    } else {
        Marker::None
    }
}

/// Whether "BEGIN" or "END" between these texts belongs to a marker: it is a word, a label follows it, then only text that dashes
/// separate, and there are dashes on at least one side.
fn is_of_marker(before: &str, after: &str) -> bool {
    let after = after.trim_start();
    let rest = LABELS.iter().find_map(|label| after.strip_prefix(label));
    rest.map(str::trim_start).is_some_and(|rest| {
        let is_word =
            before.is_empty() || before.ends_with(|letter| is_dash(letter) || is_blank(letter));
        let is_set_off = rest.starts_with(is_dash);
        is_word && (is_set_off || rest.is_empty() && before.trim_end().ends_with(is_dash))
    })
}

/// A hyphen, or a dash of a word processor.
const fn is_dash(letter: char) -> bool {
    matches!(letter, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Whether a text is a line of base64. Lines of a block have 64 letters; the words of headings are shorter than this.
fn is_base64(text: &str) -> bool {
    const SHORTEST: usize = 32;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    text.len() >= SHORTEST && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nAAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJKKKKLLLL\nBBB=\n-----END CERTIFICATE-----\n";

    /// The text between its markers.
    const BASE64: &str = "AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJKKKKLLLL\nBBB=";

    /// The labels and base64 of all blocks.
    fn read(text: impl AsRef<[u8]>) -> Vec<(String, String)> {
        let blocks = blocks(text.as_ref()).unwrap().into_iter();
        blocks.map(|block| (block.label, block.base64)).collect()
    }

    fn damage(text: &str) -> (usize, String) {
        let damage = blocks(text.as_bytes()).unwrap_err();
        (damage.line, damage.what)
    }

    #[test]
    fn line_ends_and_blanks_do_not_matter() {
        let expected = read(BLOCK);
        assert_eq!(
            expected,
            [(
                "CERTIFICATE".to_owned(),
                "AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHIIIIJJJJKKKKLLLLBBB=".to_owned()
            )]
        );
        for text in [
            format!("\u{feff}{BLOCK}"),
            BLOCK.replace('\n', "\r\n"),
            BLOCK.replace('\n', "\r\r\n"),
            BLOCK.replace('\n', "\r"),
            BLOCK.replace('\n', " \t\n"),
            BLOCK.replace('\n', "\n  \t"),
            BLOCK.replace('\n', "\n\n"),
            BLOCK.replace("AAAA", "AA \nAA"),
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
        ] {
            let text = format!("{BLOCK}{between}{BLOCK}");
            assert_eq!(read(&text), both, "{between:?}");
        }
        let latin_1 = [b"Z\xfcrich\n", BLOCK.as_bytes()].concat();
        assert_eq!(read(latin_1), read(BLOCK));
        assert!(read("").is_empty());
    }

    /// nginx reads the same blocks.
    #[test]
    fn headings_similar_to_markers_are_text() {
        let commented = |prefix: &str| {
            let lines = BLOCK.lines().map(|line| format!("{prefix}{line}\n"));
            lines.collect::<String>()
        };
        for heading in [
            "-- VENDOR CERTIFICATE --",
            "-------- BACKEND KEY --------",
            "----- END ENTITY CERTIFICATE -----",
            "-- BEGIN LEAF CERTIFICATE --",
            "-- BEGIN CERTIFICATE --",
            "-- BEGIN CERTIFICATE --\nIntermediate",
            "---- END CERTIFICATE ----",
            "----- END OF CERTIFICATE CHAIN -----",
            "-----END OF CERTIFICATE CHAIN-----",
            "// -----BEGIN CERTIFICATE-----",
            "# -----END CERTIFICATE-----",
            &commented("> "),
            &commented("// "),
            &commented("# "),
            "---- BEGIN SSH2 PUBLIC KEY ----\nComment: a\nAAAAB3NzaC1yc2EAAAADAQABAAABAQDAAAAAAAAAAAAA\n---- END SSH2 PUBLIC KEY ----",
        ] {
            let text = format!("{heading}\n{BLOCK}{heading}\n{BLOCK}{heading}\n");
            assert_eq!(read(&text), [read(BLOCK), read(BLOCK)].concat(), "{text}");
        }
    }

    #[test]
    fn an_error_has_the_line_and_advice() {
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
                &format!("{BLOCK}{}", BLOCK.replace("LLLL", "LLLL=")),
                7,
                &format!("base64 after its end; {again}"),
            ),
            (
                &format!("{BLOCK}{}", BLOCK.replace("AAAA", "AAA")),
                8,
                &format!("base64 is missing before it; {again}"),
            ),
            (
                &format!("{BLOCK}{}", BLOCK.replace(BASE64, "")),
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
                &format!("{}\n{BLOCK}", &BLOCK[..32]),
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
            (&BLOCK.replace("-----\nA", "------\nA"), 1, marker),
            (&format!("-{BLOCK}"), 1, marker),
            (&BLOCK.replace("-----END", "----END"), 4, marker),
            (&BLOCK.replace("-----END", "\u{2014}-END"), 4, marker),
            (&BLOCK.replace('-', "\u{2014}"), 1, marker),
            (
                &format!("{BASE64}\n{}", "---- END CERTIFICATE ----"),
                3,
                marker,
            ),
            (
                &format!("subject=a {BLOCK}"),
                1,
                "\"-----BEGIN ...\" within a line; put it on a line of its own",
            ),
            (
                &BLOCK.replace('\n', ""),
                1,
                "\"-----END ...\" within a line; put it on a line of its own",
            ),
        ] {
            assert_eq!(damage(text), (line, what.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_encrypted_key_is_recognized_by_its_header_field() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,3E\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
        let blocks = blocks(key.as_bytes()).unwrap();
        assert!(blocks[0].encrypted && blocks[0].base64 == "AAAA");
    }
}
