//! Requests: from the command line or a file, with blanks that are filled in for each one.
//!
//! A request without blanks is bytes, made once. One with blanks is a list of parts; the length of
//! its body is counted when it is filled in.

use std::fmt::Write as _;

use crate::check::{Check, parse_hash, parse_status};
use crate::units::parse_size;
use crate::url::Url;

/// One kind of request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// For reports.
    pub(crate) name: String,
    pub(crate) url: Url,
    pub(crate) weight: u32,
    pub(crate) check: Check,
    /// Its answer has no body.
    pub(crate) is_head: bool,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// The bytes, and the same with `connection: close`.
    Fixed {
        usual: Vec<u8>,
        last: Vec<u8>,
    },
    Filled {
        head: Vec<Part>,
        body: Vec<Part>,
        counted: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    /// The number of the request: no other one of the run has it.
    Sequence,
    /// A number from `.0` to `.1`, both included.
    Random(u64, u64),
    /// A random UUID (version 4).
    Uuid,
    /// So many random hexadecimal digits.
    Hex(u32),
    /// The number of the connection.
    Connection,
}

/// What is asked for, before it becomes bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) method: String,
    /// Lines of `name: value`, in order.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) weight: u32,
    pub(crate) check: Check,
}

/// What fills the blanks; one for each worker.
#[derive(Debug)]
pub(crate) struct Filler {
    pub(crate) rng: fastrand::Rng,
    sequence: u64,
    stride: u64,
    scratch: Vec<u8>,
}

impl Filler {
    /// Worker `index` of `of` counts `index`, `index + of`, `index + 2 of`, ...
    pub(crate) fn new(index: usize, of: usize, rng: fastrand::Rng) -> Self {
        Self { rng, sequence: index as u64, stride: of as u64, scratch: Vec::new() }
    }

    fn sequence(&mut self) -> u64 {
        let number = self.sequence;
        self.sequence += self.stride;
        number
    }
}

impl Request {
    /// Makes the bytes or the parts of a request. `name` defaults to method and path.
    pub(crate) fn new(draft: Draft, url: Url) -> Result<Self, String> {
        let method = if draft.method.is_empty() { "GET" } else { &draft.method };
        check_method(method)?;
        let has = |name: &str| draft.fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        if has("transfer-encoding") {
            return Err("request bodies are sent with a length, not in chunks".to_owned());
        }
        let body = parts(&draft.body)?;
        let mut text = format!("{method} {} HTTP/1.1\r\n", url.path);
        if !has("host") {
            // Writing to a string cannot fail.
            let _ = write!(text, "host: {}\r\n", url.authority);
        }
        for (name, value) in &draft.fields {
            check_field(name, value)?;
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let carries = !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH");
        let counted = carries && !has("content-length");
        let name =
            if draft.name.is_empty() { format!("{method} {}", url.path) } else { draft.name };
        let form = Form::new(parts(text.as_bytes())?, body, counted);
        let is_head = method == "HEAD";
        Ok(Self { name, url, weight: draft.weight.max(1), check: draft.check, is_head, form })
    }

    /// Appends the request to `out`. `last` asks the server to close after its answer.
    #[inline]
    pub(crate) fn fill(&self, filler: &mut Filler, connection: u64, last: bool, out: &mut Vec<u8>) {
        match &self.form {
            Form::Fixed { usual, .. } if !last => out.extend_from_slice(usual),
            Form::Fixed { last, .. } => out.extend_from_slice(last),
            Form::Filled { head, body, counted } => {
                let mut filled = std::mem::take(&mut filler.scratch);
                filled.clear();
                let place = Place { connection, sequence: filler.sequence() };
                append(body, filler, place, &mut filled);
                append(head, filler, place, out);
                finish_head(out, counted.then_some(filled.len()), last);
                out.extend_from_slice(&filled);
                filler.scratch = filled;
            }
        }
    }
}

impl Form {
    fn new(head: Vec<Part>, body: Vec<Part>, counted: bool) -> Self {
        let (Some(fixed_head), Some(fixed_body)) = (fixed(&head), fixed(&body)) else {
            return Self::Filled { head, body, counted };
        };
        let make = |last| {
            let mut bytes = fixed_head.to_vec();
            finish_head(&mut bytes, counted.then_some(fixed_body.len()), last);
            bytes.extend_from_slice(fixed_body);
            bytes
        };
        Self::Fixed { usual: make(false), last: make(true) }
    }
}

/// The bytes of parts without blanks.
fn fixed(parts: &[Part]) -> Option<&[u8]> {
    match parts {
        [] => Some(&[]),
        [Part::Bytes(bytes)] => Some(bytes),
        _ => None,
    }
}

fn finish_head(out: &mut Vec<u8>, length: Option<usize>, last: bool) {
    if let Some(length) = length {
        out.extend_from_slice(b"content-length: ");
        append_number(length as u64, out);
        out.extend_from_slice(b"\r\n");
    }
    // RFC 9112 section 9.6: a client that will send no more says so.
    out.extend_from_slice(if last { b"connection: close\r\n\r\n" } else { b"\r\n" });
}

/// What stays the same within one request.
#[derive(Clone, Copy)]
struct Place {
    connection: u64,
    sequence: u64,
}

fn append(parts: &[Part], filler: &mut Filler, place: Place, out: &mut Vec<u8>) {
    for part in parts {
        match part {
            Part::Bytes(bytes) => out.extend_from_slice(bytes),
            Part::Sequence => append_number(place.sequence, out),
            Part::Random(from, to) => append_number(filler.rng.u64(*from..=*to), out),
            Part::Connection => append_number(place.connection, out),
            Part::Hex(digits) => append_hex(*digits, &mut filler.rng, out),
            Part::Uuid => append_uuid(filler.rng.u128(..), out),
        }
    }
}

fn append_number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn append_hex(digits: u32, rng: &mut fastrand::Rng, out: &mut Vec<u8>) {
    out.extend((0..digits).map(|_| HEX[rng.usize(..16)]));
}

/// RFC 9562 section 5.4: version 4, variant 10.
fn append_uuid(random: u128, out: &mut Vec<u8>) {
    let bits = (random & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    for digit in 0..32 {
        if matches!(digit, 8 | 12 | 16 | 20) {
            out.push(b'-');
        }
        out.push(HEX[(bits >> (124 - 4 * digit)) as usize & 0xf]);
    }
}

/// Splits text at its `{{...}}`.
fn parts(text: &[u8]) -> Result<Vec<Part>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(from) = memchr::memmem::find(rest, b"{{") {
        let inner = &rest[from + 2..];
        let Some(length) = memchr::memmem::find(inner, b"}}") else { break };
        if from > 0 {
            parts.push(Part::Bytes(rest[..from].to_vec()));
        }
        parts.push(blank(&String::from_utf8_lossy(&inner[..length]))?);
        rest = &inner[length + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Bytes(rest.to_vec()));
    }
    Ok(parts)
}

fn blank(text: &str) -> Result<Part, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |word: &str| word.parse().map_err(|_| format!("`{{{{{text}}}}}`: `{word}`?"));
    match words.as_slice() {
        ["seq"] => Ok(Part::Sequence),
        ["uuid"] => Ok(Part::Uuid),
        ["connection"] => Ok(Part::Connection),
        ["random", from, to] => match (number(from)?, number(to)?) {
            (from, to) if from <= to => Ok(Part::Random(from, to)),
            _ => Err(format!("`{{{{{text}}}}}`: the first number is larger than the second")),
        },
        ["hex", digits] => Ok(Part::Hex(number(digits)?.clamp(1, 65_536) as u32)),
        _ => Err(format!(
            "`{{{{{text}}}}}` is unknown: there are seq, uuid, connection, random A B, hex N"
        )),
    }
}

fn check_method(method: &str) -> Result<(), String> {
    match method {
        // The answer to CONNECT is a tunnel, not a message.
        "CONNECT" => Err("CONNECT is not supported".to_owned()),
        _ if method.bytes().all(is_token) => Ok(()),
        _ => Err(format!("`{method}` is no method")),
    }
}

fn check_field(name: &str, value: &str) -> Result<(), String> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("`{name}` is no field name"));
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(format!("the value of `{name}` holds a control character"));
    }
    Ok(())
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Reads `name: value`.
pub(crate) fn parse_field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("`{line}` has no `:`"))?;
    check_field(name, value.trim())?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// Reads a file of requests that are separated by lines of `###`; paths are relative to `base`.
///
/// # Errors
///
/// The first thing that is wrong, with its line.
pub(crate) fn parse_file(text: &str, base: &Url, common: &Draft) -> Result<Vec<Request>, String> {
    let mut requests = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut name = String::new();
    loop {
        let mut block = Vec::new();
        while let Some((number, line)) = lines.next_if(|(_, line)| !line.starts_with("###")) {
            block.push((number + 1, line));
        }
        if block.iter().any(|(_, line)| !line.trim().is_empty()) {
            requests.push(parse_block(&block, &name, base, common)?);
        }
        let Some((_, separator)) = lines.next() else { break };
        name = separator.trim_start_matches('#').trim().to_owned();
    }
    if requests.is_empty() { Err("it holds no request".to_owned()) } else { Ok(requests) }
}

fn parse_block(
    block: &[(usize, &str)],
    name: &str,
    base: &Url,
    common: &Draft,
) -> Result<Request, String> {
    let mut draft = Draft { name: name.to_owned(), body: Vec::new(), ..common.clone() };
    let mut lines = block.iter().copied();
    let mut url = None;
    for (number, line) in lines.by_ref() {
        let at = |error: String| format!("line {number}: {error}");
        match (line.trim(), url.is_some()) {
            ("", false) => {}
            ("", true) => break,
            (line, _) if line.starts_with('#') => parse_wish(line, &mut draft).map_err(at)?,
            (line, false) => url = Some(parse_request_line(line, base, &mut draft).map_err(at)?),
            (line, true) => draft.fields.push(parse_field(line).map_err(at)?),
        }
    }
    let first = block.first().map_or(0, |(number, _)| *number);
    let url = url.ok_or_else(|| format!("line {first}: there is no request line"))?;
    let body: Vec<&str> = lines.map(|(_, line)| line).collect();
    draft.body = body.join("\n").trim_end().as_bytes().to_vec();
    Request::new(draft, url).map_err(|error| format!("line {first}: {error}"))
}

fn parse_request_line(line: &str, base: &Url, draft: &mut Draft) -> Result<Url, String> {
    let line = line.strip_suffix("HTTP/1.1").unwrap_or(line).trim();
    let (method, target) = line.split_once(' ').ok_or("write METHOD /path")?;
    draft.method = method.to_owned();
    // Blanks hold spaces, which a path may not; they are looked at later.
    let (plain, blanks) = target.trim().split_once("{{").unwrap_or((target.trim(), ""));
    let mut url = base.join(plain)?;
    if !blanks.is_empty() {
        url.path.push_str("{{");
        url.path.push_str(blanks);
    }
    Ok(url)
}

/// `# @weight 3`, `# @status 2xx,404`, `# @length 64k`, `# @hash xxh3:...`; else a comment.
fn parse_wish(line: &str, draft: &mut Draft) -> Result<(), String> {
    let Some(wish) = line.trim_start_matches('#').trim().strip_prefix('@') else { return Ok(()) };
    let (name, value) = wish.split_once(char::is_whitespace).unwrap_or((wish, ""));
    let value = value.trim();
    match name {
        "name" => draft.name = value.to_owned(),
        "weight" => draft.weight = value.parse().map_err(|_| format!("`{value}` is no weight"))?,
        "status" => {
            let ranges: Result<_, _> = value.split(',').map(|s| parse_status(s.trim())).collect();
            draft.check.statuses = ranges?;
        }
        "length" => draft.check.length = Some(parse_size(value)?),
        "hash" => draft.check.content = parse_hash(value)?,
        _ => {
            return Err(format!(
                "`@{name}` is unknown: there are name, weight, status, length, hash"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
