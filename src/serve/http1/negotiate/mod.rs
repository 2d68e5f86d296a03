//! Content negotiation: the form, coding and language that a client prefers (RFC 9110 12.4, 12.5). Lenient, since clients
//! write these fields in many ways.

use crate::http_field::trim;

/// The forms of the 503.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The page, for browsers.
    #[default]
    Page,
    /// JSON, for programs.
    Json,
    /// Text, for terminals.
    Plain,
    /// No body, in place of an image, style or script.
    Empty,
}

impl Form {
    /// All forms, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Page, Self::Json, Self::Plain, Self::Empty];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Json => "json",
            Self::Plain => "text",
            Self::Empty => "empty",
        }
    }
}

/// The content codings of a body, in the order of their discriminants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// Not compressed.
    #[default]
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
}

/// The quality 1, in thousandths.
const FULL: u16 = 1000;

/// The members of a list, without whitespace around them. A comma within quotes separates none (RFC 9110 5.6.1, 5.6.4).
fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    list.split(move |byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    })
    .map(trim)
    .filter(|member| !member.is_empty())
}

/// A member without its parameters, and its quality in thousandths. An invalid quality is ignored and so counts as 1.
fn split_quality(member: &[u8]) -> (&[u8], u16) {
    let Some(end) = member.iter().position(|byte| *byte == b';') else {
        return (member, FULL);
    };
    let mut parameters = member[end + 1..].split(|byte| *byte == b';').map(trim);
    let quality = parameters.find_map(|parameter| match parameter {
        [b'q' | b'Q', rest @ ..] => quality(trim(trim(rest).strip_prefix(b"=")?)),
        _ => None,
    });
    (trim(&member[..end]), quality.unwrap_or(FULL))
}

/// A quality in thousandths, also as Java writes it (`.2`). Larger ones are 1, and digits after the third are ignored.
fn quality(text: &[u8]) -> Option<u16> {
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (parts.next()?, parts.next().unwrap_or_default());
    let are_digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    if !are_digits(whole) || !are_digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    if whole.iter().any(|digit| *digit != b'0') {
        return Some(FULL);
    }
    let digit = |at: usize| u16::from(fraction.get(at).map_or(0, |digit| digit - b'0'));
    Some(digit(0) * 100 + digit(1) * 10 + digit(2))
}

/// The media range that applies to a form.
#[derive(Clone, Copy, Debug, Default)]
struct RangeMatch {
    quality: u16,
    /// The position of the range in the list, from 1; 0 without a range.
    position: u16,
}

impl RangeMatch {
    /// Adds a range. The one of the highest quality applies, and of equal ones the first.
    const fn add(&mut self, quality: u16, position: u16) {
        if self.position == 0 || self.quality < quality {
            *self = Self { quality, position };
        }
    }
}

/// The Accept lines of a head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accept {
    /// The number of ranges.
    count: u16,
    html: RangeMatch,
    json: RangeMatch,
    plain: RangeMatch,
    /// Images, styles and other types of subresources.
    subresource: RangeMatch,
    any_text: RangeMatch,
    any_application: RangeMatch,
    any: RangeMatch,
}

impl Accept {
    /// Reads a line.
    #[inline]
    pub(crate) fn read(&mut self, value: &[u8]) {
        // Fast path: `*/*` (tools), or `text/html` first (browsers); later members cannot change the form.
        if self.count == 0 {
            let range = match value {
                b"*/*" => Some(&mut self.any),
                _ if value.starts_with(b"text/html,") => Some(&mut self.html),
                _ => None,
            };
            if let Some(range) = range {
                self.count = 1;
                range.add(FULL, 1);
                return;
            }
        }
        self.read_list(value);
    }

    fn read_list(&mut self, value: &[u8]) {
        for member in members(value) {
            let (range, quality) = split_quality(member);
            let position = self.count.saturating_add(1);
            self.count = position;
            if let Some(range) = self.range(range) {
                range.add(quality, position);
            }
        }
    }

    /// The entry of a media range.
    fn range(&mut self, range: &[u8]) -> Option<&mut RangeMatch> {
        let slash = range.iter().position(|byte| *byte == b'/');
        let (main, sub) = match slash {
            Some(slash) => (&range[..slash], &range[slash + 1..]),
            // As Java writes it.
            None if range == b"*" => return Some(&mut self.any),
            None => return None,
        };
        if is_json_type(main, sub) {
            return Some(&mut self.json);
        }
        if is(main, "text") {
            match sub {
                b"*" => Some(&mut self.any_text),
                _ if is(sub, "html") => Some(&mut self.html),
                _ if is(sub, "plain") => Some(&mut self.plain),
                _ if is(sub, "css") || is(sub, "javascript") => Some(&mut self.subresource),
                _ => None,
            }
        } else if is(main, "application") {
            match sub {
                b"*" => Some(&mut self.any_application),
                _ if is(sub, "xhtml+xml") => Some(&mut self.html),
                _ if is(sub, "javascript") => Some(&mut self.subresource),
                _ => None,
            }
        } else if main == b"*" {
            Some(&mut self.any)
        } else if ["image", "font", "audio", "video"]
            .iter()
            .any(|other| is(main, other))
        {
            Some(&mut self.subresource)
        } else {
            None
        }
    }

    /// The form of the highest quality. Of equal ones the first that is named, before those that only a wildcard matches; the
    /// page if there is none.
    #[inline]
    pub(crate) fn form(&self) -> Form {
        let is_page = || self.html.quality == FULL || self.any.quality == FULL;
        if self.count == 0 || self.count == 1 && is_page() {
            Form::Page
        } else {
            self.best_form(false)
        }
    }

    /// As [`Self::form`], for a client that sends JSON: it gets JSON if no form is named, unless it refuses JSON.
    #[cold]
    pub(crate) fn form_for_json(&self) -> Form {
        self.best_form(true)
    }

    fn best_form(&self, sends_json: bool) -> Form {
        let mut best = (0, 0, 0);
        let mut form = None;
        for (candidate, named, any_of_type) in [
            (Form::Page, self.html, self.any_text),
            (Form::Json, self.json, self.any_application),
            (Form::Plain, self.plain, self.any_text),
        ] {
            // The most specific range applies (RFC 9110 12.5.1).
            let range = [named, any_of_type, self.any]
                .into_iter()
                .find(|range| range.position > 0);
            let Some(range) = range.filter(|range| range.quality > 0) else {
                continue;
            };
            let preference = if named.position > 0 {
                2
            } else {
                u8::from(sends_json && candidate == Form::Json)
            };
            let rank = (range.quality, preference, u16::MAX - range.position);
            if rank > best {
                (best, form) = (rank, Some(candidate));
            }
        }
        if self.subresource.quality > best.0 {
            return Form::Empty;
        }
        form.unwrap_or(if sends_json && self.json.position == 0 {
            Form::Json
        } else {
            Form::Page
        })
    }
}

fn is(text: &[u8], other: &str) -> bool {
    text.eq_ignore_ascii_case(other.as_bytes())
}

/// Whether a media type, split at its slash, is JSON: also by the suffix of RFC 6839, and as `text/json`, its name before
/// RFC 4627.
fn is_json_type(main: &[u8], sub: &[u8]) -> bool {
    let ends_with = |end: &str| {
        let tail = sub.len().checked_sub(end.len()).map(|at| &sub[at..]);
        tail.is_some_and(|tail| is(tail, end))
    };
    match main.len() {
        4 => is(sub, "json") && is(main, "text"),
        11 => (is(sub, "json") || ends_with("+json")) && is(main, "application"),
        _ => false,
    }
}

/// Whether a Content-Type is JSON, with or without parameters.
pub(crate) fn is_json(content_type: &[u8]) -> bool {
    let mut parts = content_type.split(|byte| *byte == b';');
    let mut halves = trim(parts.next().unwrap_or_default()).splitn(2, |byte| *byte == b'/');
    match (halves.next(), halves.next()) {
        (Some(main), Some(sub)) => is_json_type(main, sub),
        (Some(_) | None, _) => false,
    }
}

/// Whether a request with this `Sec-Fetch-Dest` is for a subresource, whose response the browser does not display.
pub(crate) fn is_subresource(destination: &[u8]) -> bool {
    matches!(
        trim(destination),
        b"image"
            | b"style"
            | b"script"
            | b"font"
            | b"audio"
            | b"video"
            | b"track"
            | b"manifest"
            | b"worker"
            | b"sharedworker"
            | b"serviceworker"
            | b"audioworklet"
            | b"paintworklet"
            | b"xslt"
            | b"report"
    )
}

/// Whether a request with this `Sec-Fetch-Dest` is for a document: a navigation of a window or a frame.
pub(crate) fn is_document(destination: &[u8]) -> bool {
    matches!(
        trim(destination),
        b"document" | b"iframe" | b"frame" | b"fencedframe" | b"embed" | b"object"
    )
}

/// The Accept-Encoding lines of a head: the quality of each coding.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AcceptEncoding {
    gzip: Option<u16>,
    brotli: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl AcceptEncoding {
    /// Reads a line.
    #[inline]
    pub(crate) fn read(&mut self, value: &[u8]) {
        match value {
            // The lines of browsers.
            b"gzip, deflate, br, zstd" | b"gzip, deflate, br" => {
                (self.gzip, self.brotli) = (Some(FULL), Some(FULL));
            }
            b"gzip, deflate" | b"gzip" => self.gzip = Some(FULL),
            _ => self.read_list(value),
        }
    }

    fn read_list(&mut self, value: &[u8]) {
        for member in members(value) {
            let (name, quality) = split_quality(member);
            let coding = match name.len() {
                1 if name == b"*" => &mut self.any,
                2 if is(name, "br") => &mut self.brotli,
                4 if is(name, "gzip") => &mut self.gzip,
                // RFC 9110 8.4.1.3.
                6 if is(name, "x-gzip") => &mut self.gzip,
                8 if is(name, "identity") => &mut self.identity,
                _ => continue,
            };
            *coding = Some(coding.map_or(quality, |other| other.max(quality)));
        }
    }

    /// The coding of the highest quality, and of equal ones the smallest body. A wildcard alone means gzip, which all clients
    /// know. If no coding is acceptable, the body is not compressed (RFC 9110 12.5.3), since that is better than no answer.
    #[inline]
    pub(crate) fn coding(&self) -> Coding {
        let gzip = self.gzip.or(self.any).unwrap_or(0);
        let brotli = self.brotli.unwrap_or(0);
        let best = gzip.max(brotli);
        // Identity counts only if it is named: it is acceptable by default.
        if best == 0 || self.identity.is_some_and(|identity| identity > best) {
            Coding::Identity
        } else if brotli >= gzip {
            Coding::Brotli
        } else {
            Coding::Gzip
        }
    }
}

/// The index of the available language that a list prefers (RFC 4647 3.4); `None` if the list has none of them.
#[must_use]
pub fn preferred_language<'a>(
    list: &[u8],
    languages: impl Iterator<Item = &'a str> + Clone,
) -> Option<usize> {
    let mut best = None;
    let mut best_quality = 0;
    for member in members(list) {
        let (range, quality) = split_quality(member);
        if quality > best_quality
            && let Some(index) = languages.clone().position(|tag| matches_range(tag, range))
        {
            (best, best_quality) = (Some(index), quality);
        }
    }
    best
}

/// Whether a page in this language serves that range: `de` serves `de-AT`, and `pt-BR` serves `pt`.
fn matches_range(tag: &str, range: &[u8]) -> bool {
    let tag = tag.as_bytes();
    let common = tag.len().min(range.len());
    let is_whole = |text: &[u8]| text.get(common).is_none_or(|byte| *byte == b'-');
    range == b"*"
        || common > 0
            && tag[..common].eq_ignore_ascii_case(&range[..common])
            && is_whole(tag)
            && is_whole(range)
}

#[cfg(test)]
mod tests;
