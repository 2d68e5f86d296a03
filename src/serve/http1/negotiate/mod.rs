//! What a client would rather have: the quality values of its Accept fields (RFC 9110 12.4, 12.5), read as leniently as
//! clients write them.

use crate::serve::http1::fields::trim;

/// The forms in which the one answer can be given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The page, for people.
    #[default]
    Page,
    /// JSON, for programs.
    Json,
    /// Text, for terminals.
    Plain,
    /// Nothing: an image, a style or a script cannot be a page.
    Empty,
}

impl Form {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Page, Self::Json, Self::Plain, Self::Empty];

    /// Its name, as it is told.
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

/// The codings in which a body can be sent, in the order of their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    #[default]
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
}

/// A quality of 1, in thousandths.
const FULL: u16 = 1000;

/// The members of a list, each trimmed; a comma within quotes is none of its commas (RFC 9110 5.6.1, 5.6.4).
fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    list.split(move |byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    })
    .map(trim)
    .filter(|member| !member.is_empty())
}

/// A member without its parameters, and its quality in thousandths. One that cannot be read counts as none, which is 1.
fn weighed(member: &[u8]) -> (&[u8], u16) {
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

/// A quality, also as Java writes it (`.2`); what is over 1 is 1, and digits after the third do not count.
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

/// How much a form is wanted, and by which member of the list.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    quality: u16,
    /// The number of the member, from 1; 0 where there was none.
    member: u16,
}

impl Wish {
    /// Of several members the one of the highest quality counts, and of those the first.
    const fn or(&mut self, quality: u16, member: u16) {
        if self.member == 0 || self.quality < quality {
            *self = Self { quality, member };
        }
    }
}

/// What the Accept lines of a head come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accept {
    members: u16,
    html: Wish,
    json: Wish,
    plain: Wish,
    /// Images, styles and the like.
    material: Wish,
    any_text: Wish,
    any_application: Wish,
    any: Wish,
}

impl Accept {
    /// Reads a line.
    #[inline]
    pub(crate) fn read(&mut self, value: &[u8]) {
        // The lines of most tools, and the beginning of those of browsers, behind which nothing could make another form of it.
        if self.members == 0 {
            let wish = match value {
                b"*/*" => Some(&mut self.any),
                _ if value.starts_with(b"text/html,") => Some(&mut self.html),
                _ => None,
            };
            if let Some(wish) = wish {
                self.members = 1;
                wish.or(FULL, 1);
                return;
            }
        }
        self.read_list(value);
    }

    fn read_list(&mut self, value: &[u8]) {
        for member in members(value) {
            let (range, quality) = weighed(member);
            let number = self.members.saturating_add(1);
            self.members = number;
            if let Some(wish) = self.wish(range) {
                wish.or(quality, number);
            }
        }
    }

    /// What a media range is about.
    fn wish(&mut self, range: &[u8]) -> Option<&mut Wish> {
        let slash = range.iter().position(|byte| *byte == b'/');
        let (kind, name) = match slash {
            Some(slash) => (&range[..slash], &range[slash + 1..]),
            // Java writes it so.
            None if range == b"*" => return Some(&mut self.any),
            None => return None,
        };
        if is_json_type(kind, name) {
            return Some(&mut self.json);
        }
        if is(kind, "text") {
            match name {
                b"*" => Some(&mut self.any_text),
                _ if is(name, "html") => Some(&mut self.html),
                _ if is(name, "plain") => Some(&mut self.plain),
                _ if is(name, "css") || is(name, "javascript") => Some(&mut self.material),
                _ => None,
            }
        } else if is(kind, "application") {
            match name {
                b"*" => Some(&mut self.any_application),
                _ if is(name, "xhtml+xml") => Some(&mut self.html),
                _ if is(name, "javascript") => Some(&mut self.material),
                _ => None,
            }
        } else if kind == b"*" {
            Some(&mut self.any)
        } else if ["image", "font", "audio", "video"]
            .iter()
            .any(|other| is(kind, other))
        {
            Some(&mut self.material)
        } else {
            None
        }
    }

    /// The form that is wanted most. Where several are wanted alike it is the one whose name stands first, before those that
    /// only a star speaks of; and the page where none is.
    #[inline]
    pub(crate) fn form(&self) -> Form {
        let is_page = || self.html.quality == FULL || self.any.quality == FULL;
        if self.members == 0 || self.members == 1 && is_page() {
            Form::Page
        } else {
            self.weigh(false)
        }
    }

    /// As [`Self::form`], for a client that sends JSON: it gets JSON where no form is named, unless it refuses JSON.
    #[cold]
    pub(crate) fn form_for_json(&self) -> Form {
        self.weigh(true)
    }

    fn weigh(&self, sends_json: bool) -> Form {
        let mut best = (0, 0, 0);
        let mut form = None;
        for (candidate, named, any_of_kind) in [
            (Form::Page, self.html, self.any_text),
            (Form::Json, self.json, self.any_application),
            (Form::Plain, self.plain, self.any_text),
        ] {
            let wish = [named, any_of_kind, self.any]
                .into_iter()
                .find(|wish| wish.member > 0);
            let Some(wish) = wish.filter(|wish| wish.quality > 0) else {
                continue;
            };
            let preference = if named.member > 0 {
                2
            } else {
                u8::from(sends_json && candidate == Form::Json)
            };
            let rank = (wish.quality, preference, u16::MAX - wish.member);
            if rank > best {
                (best, form) = (rank, Some(candidate));
            }
        }
        if self.material.quality > best.0 {
            return Form::Empty;
        }
        form.unwrap_or(if sends_json && self.json.member == 0 {
            Form::Json
        } else {
            Form::Page
        })
    }
}

fn is(text: &[u8], other: &str) -> bool {
    text.eq_ignore_ascii_case(other.as_bytes())
}

/// Whether a media type, given in its two halves, is JSON: also with the suffix of RFC 6839, and as `text/json`, its name
/// before RFC 4627.
fn is_json_type(kind: &[u8], name: &[u8]) -> bool {
    let ends = |end: &str| {
        let tail = name.len().checked_sub(end.len()).map(|at| &name[at..]);
        tail.is_some_and(|tail| is(tail, end))
    };
    match kind.len() {
        4 => is(name, "json") && is(kind, "text"),
        11 => (is(name, "json") || ends("+json")) && is(kind, "application"),
        _ => false,
    }
}

/// Whether a Content-Type is JSON, with or without parameters.
pub(crate) fn is_json(content_type: &[u8]) -> bool {
    let mut parts = content_type.split(|byte| *byte == b';');
    let mut halves = trim(parts.next().unwrap_or_default()).splitn(2, |byte| *byte == b'/');
    match (halves.next(), halves.next()) {
        (Some(kind), Some(name)) => is_json_type(kind, name),
        (Some(_) | None, _) => false,
    }
}

/// Whether `Sec-Fetch-Dest` names something that a page cannot be.
pub(crate) fn is_material(destination: &[u8]) -> bool {
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

/// Whether `Sec-Fetch-Dest` names what a browser shows as a page: a navigation of a window or of a frame.
pub(crate) fn is_document(destination: &[u8]) -> bool {
    matches!(
        trim(destination),
        b"document" | b"iframe" | b"frame" | b"fencedframe" | b"embed" | b"object"
    )
}

/// What the Accept-Encoding lines of a head come to.
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
            // What browsers send, to the byte.
            b"gzip, deflate, br, zstd" | b"gzip, deflate, br" => {
                (self.gzip, self.brotli) = (Some(FULL), Some(FULL));
            }
            b"gzip, deflate" | b"gzip" => self.gzip = Some(FULL),
            _ => self.read_list(value),
        }
    }

    fn read_list(&mut self, value: &[u8]) {
        for member in members(value) {
            let (name, quality) = weighed(member);
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            let place = match name.len() {
                1 if name == b"*" => &mut self.any,
                2 if is("br") => &mut self.brotli,
                4 if is("gzip") => &mut self.gzip,
                // RFC 9110 8.4.1.3.
                6 if is("x-gzip") => &mut self.gzip,
                8 if is("identity") => &mut self.identity,
                _ => continue,
            };
            *place = Some(place.map_or(quality, |other| other.max(quality)));
        }
    }

    /// The coding that is wanted most, the smallest where several are. A star alone means what everybody knows: gzip. Where
    /// none is acceptable it is none (RFC 9110 12.5.3), which is better than no answer.
    #[inline]
    pub(crate) fn coding(&self) -> Coding {
        let gzip = self.gzip.or(self.any).unwrap_or(0);
        let brotli = self.brotli.unwrap_or(0);
        let best = gzip.max(brotli);
        // Who names it with a quality says how much it is wanted; who does not can bear it.
        if best == 0 || self.identity.is_some_and(|identity| identity > best) {
            Coding::Identity
        } else if brotli >= gzip {
            Coding::Brotli
        } else {
            Coding::Gzip
        }
    }
}

/// The language, by its number, that a list asks for most (RFC 4647 3.4), of those that there are; nothing where it asks for
/// none of them.
#[must_use]
pub fn language<'a>(
    list: &[u8],
    languages: impl Iterator<Item = &'a str> + Clone,
) -> Option<usize> {
    let mut best = None;
    let mut most = 0;
    for member in members(list) {
        let (range, quality) = weighed(member);
        if quality > most
            && let Some(number) = languages.clone().position(|tag| matches_range(tag, range))
        {
            (best, most) = (Some(number), quality);
        }
    }
    best
}

/// Whether a page in this language is for somebody who asks for that range: `de` is for `de-AT`, and `pt-BR` for `pt`.
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
