//! Requests: from the command line or a file, with blanks that are filled in for each one.
//!
//! [`parts`] are the blanks, [`form`] is what a request looks like on its connection, [`files`]
//! reads many of them.

mod files;
mod form;
mod parts;

use std::fmt::Write as _;

use ringway_http::RequestHead;

use crate::check::{Check, Content};
use crate::protocol::udp;
use crate::url::{Speaks, Url};
use form::{Form, Length, Payload, StreamForm};

pub(crate) use files::{parse_chunk, parse_field, parse_file};
pub(crate) use parts::Filler;

/// What is sent where nothing is asked for and something must be sent.
const MESSAGE: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.\n";

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
    /// What a WebSocket's connection begins with, up to its key.
    pub(crate) opening: Option<Vec<u8>>,
    form: Form,
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
    /// HTTP/2 where the URL leaves the choice.
    pub(crate) http2: bool,
    /// Bodies go in chunks of so many bytes.
    pub(crate) chunk: Option<usize>,
}

impl Request {
    /// Makes the bytes or the parts of a request. `name` defaults to method and path.
    pub(crate) fn new(mut draft: Draft, url: Url) -> Result<Self, String> {
        let speaks = url.scheme.speaks;
        let method = method(&draft, speaks)?.to_owned();
        for (name, value) in &draft.fields {
            check_field(name, value)?;
        }
        if draft.has("transfer-encoding") {
            return Err("transfer-encoding: chunked bodies are sent with --chunked".to_owned());
        }
        if matches!(speaks, Speaks::WebSocket | Speaks::Tcp | Speaks::Udp) && draft.body.is_empty()
        {
            draft.body = MESSAGE.to_vec();
        }
        let body = parts::parts(&draft.body)?;
        let form = match speaks {
            Speaks::WebSocket | Speaks::Tcp => Form::Message(Payload::new(body)),
            Speaks::Udp => Form::Message(datagram(body)?),
            Speaks::Grpc => draft.stream(&method, &url, body)?,
            Speaks::Http if draft.http2 => draft.stream(&method, &url, body)?,
            Speaks::Http => draft.http1(&method, &url, body)?,
        };
        let mut check = draft.check.clone();
        if let (Form::Message(payload), Content::Any, None) = (&form, &check.content, check.length)
        {
            check.content = match payload {
                Payload::Fixed(bytes) if speaks != Speaks::Udp => Content::Bytes(bytes.clone()),
                // Numbers stand in datagrams.
                Payload::Fixed(bytes) => {
                    check.length = Some(bytes.len() as u64);
                    Content::Echo
                }
                Payload::Filled(_) => Content::Echo,
            };
        }
        if speaks == Speaks::Grpc {
            check.grpc = Some(check.grpc.unwrap_or_default());
        }
        let name = match (draft.name.is_empty(), speaks) {
            (false, _) => draft.name.clone(),
            (true, Speaks::Http) => format!("{method} {}", url.path),
            (true, _) => url.to_string(),
        };
        let opening = (speaks == Speaks::WebSocket).then(|| draft.opening(&url));
        let is_head = method == "HEAD";
        Ok(Self { name, url, weight: draft.weight.max(1), check, is_head, opening, form })
    }

    /// The request as HTTP/1.1, where it is always the same.
    #[inline]
    pub(crate) fn fixed(&self, last: bool) -> Option<&[u8]> {
        self.form.fixed(last)
    }

    /// Appends the request to `out`, as HTTP/1.1. `last` asks the server to close after its answer.
    #[inline]
    pub(crate) fn fill(&self, filler: &mut Filler, connection: u64, last: bool, out: &mut Vec<u8>) {
        self.form.fill(filler, connection, last, out);
    }

    /// Its head and body, as HTTP/2; `None` where it was made for another protocol.
    #[inline]
    pub(crate) fn stream<'a>(
        &'a self,
        filler: &'a mut Filler,
        connection: u64,
    ) -> Option<(&'a RequestHead, &'a [u8])> {
        self.form.stream(filler, connection)
    }

    /// Its bytes, as a message.
    #[inline]
    pub(crate) fn message<'a>(&'a self, filler: &'a mut Filler, connection: u64) -> &'a [u8] {
        self.form.message(filler, connection)
    }
}

/// The method, given or usual.
fn method(draft: &Draft, speaks: Speaks) -> Result<&str, String> {
    let given = draft.method.as_str();
    match speaks {
        Speaks::Http if given.is_empty() => Ok("GET"),
        Speaks::Http => check_method(given).map(|()| given),
        Speaks::Grpc if matches!(given, "" | "POST") => Ok("POST"),
        Speaks::WebSocket | Speaks::Tcp | Speaks::Udp if matches!(given, "" | "POST") => Ok("GET"),
        _ => Err(format!("method {given}: only http and https URLs have methods")),
    }
}

/// What a datagram says, with room for its number.
fn datagram(body: Vec<parts::Part>) -> Result<Payload, String> {
    let payload = Payload::new(body);
    let fits = udp::NUMBER..=udp::LARGEST;
    match &payload {
        Payload::Fixed(bytes) if !fits.contains(&bytes.len()) => Err(format!(
            "{} bytes are no datagram: it begins with its number, {} bytes, and has {} at most",
            bytes.len(),
            udp::NUMBER,
            udp::LARGEST
        )),
        _ => Ok(payload),
    }
}

impl Draft {
    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    fn length(&self, method: &str) -> Length {
        let carries = !self.body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH");
        match self.chunk {
            _ if !carries || self.has("content-length") => Length::Silent,
            Some(size) => Length::Chunked(size),
            None => Length::Counted,
        }
    }

    fn http1(&self, method: &str, url: &Url, body: Vec<parts::Part>) -> Result<Form, String> {
        let text = self.head(method, url);
        Ok(Form::http1(parts::parts(text.as_bytes())?, body, self.length(method)))
    }

    /// Request line and fields. Writing to a string cannot fail.
    fn head(&self, method: &str, url: &Url) -> String {
        let mut text = format!("{method} {} HTTP/1.1\r\n", url.path);
        if !self.has("host") {
            let _ = write!(text, "host: {}\r\n", url.authority);
        }
        for (name, value) in &self.fields {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text
    }

    /// RFC 6455 section 4.1, but for the key, which each connection draws.
    fn opening(&self, url: &Url) -> Vec<u8> {
        let mut text = self.head("GET", url);
        text.push_str("upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n");
        text.into_bytes()
    }

    fn stream(&self, method: &str, url: &Url, body: Vec<parts::Part>) -> Result<Form, String> {
        let is_grpc = url.scheme.speaks == Speaks::Grpc;
        let mut head = RequestHead::new();
        head.set_method(method.as_bytes());
        head.set_scheme(if url.scheme.tls { b"https" } else { b"http" });
        head.set_authority(url.authority.to_string().as_bytes());
        let mut form = StreamForm {
            path: blanks(&url.path)?,
            fields: Vec::new(),
            body: Payload::new(body),
            counted: !is_grpc && self.length(method) == Length::Counted,
            framed: is_grpc,
            head,
        };
        form.head.set_path(url.path.as_bytes());
        for (name, value) in &self.fields {
            let name = name.to_ascii_lowercase();
            match blanks(value)? {
                // RFC 9113 section 8.3.1: what was `host` is a pseudo field here.
                _ if name == "host" => form.head.set_authority(value.as_bytes()),
                None => form.head.fields.push(name.as_bytes(), value.as_bytes()),
                Some(value) => form.fields.push((name, value)),
            }
        }
        if is_grpc {
            for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
                if !self.has(name) {
                    form.head.fields.push(name.as_bytes(), value.as_bytes());
                }
            }
        }
        Ok(Form::Stream(Box::new(form.finished())))
    }
}

/// The parts of a text that has blanks.
fn blanks(text: &str) -> Result<Option<Vec<parts::Part>>, String> {
    let parts = parts::parts(text.as_bytes())?;
    let has = parts.iter().any(|part| !matches!(part, parts::Part::Bytes(_)));
    Ok(has.then_some(parts))
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

#[cfg(test)]
mod tests;
