//! A plain HTTP/1.1 client for checks: one connection, one request, nothing forgiven.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a check waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest head that is read.
const MOST_HEAD: u64 = 64 * 1024;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first field of a name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Connects to a port of this host.
pub(crate) fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The bytes of a request.
pub(crate) fn request(path: &str, wish: Option<&str>, body: Option<&[u8]>) -> Vec<u8> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n");
    if let Some(wish) = wish {
        head += &format!("x-ringway-answer: {wish}\r\n");
    }
    if let Some(body) = body {
        head += &format!("content-length: {}\r\n", body.len());
    }
    let mut bytes = (head + "\r\n").into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// Sends a request and reads its answer.
pub(crate) fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<Answer> {
    let mut writer = stream.try_clone()?;
    // A large body is sent while the answer comes back.
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || writer.write_all(request));
        let answer = read(&mut BufReader::new(&mut *stream));
        match (answer, sender.join()) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Ok(Err(error))) => Err(error),
            (Err(error), _) => Err(error),
        }
    })
}

/// Reads one answer.
pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Answer> {
    let mut line = line(reader)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| invalid(format!("`{line}` is no status line")))?;
    let mut fields = Vec::new();
    loop {
        line = self::line(reader)?;
        if line.is_empty() {
            break;
        }
        let field = line.split_once(':').ok_or_else(|| invalid(format!("`{line}` is no field")))?;
        fields.push((field.0.to_ascii_lowercase(), field.1.trim().to_owned()));
    }
    let mut answer = Answer { status, fields, body: Vec::new() };
    answer.body = body(reader, &answer)?;
    Ok(answer)
}

fn body(reader: &mut impl BufRead, answer: &Answer) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = answer.field("content-length") {
        let length = length.parse().map_err(|_| invalid(format!("content-length: {length}")))?;
        reader.take(length).read_to_end(&mut body)?;
        let whole = body.len() as u64 == length;
        return if whole { Ok(body) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
    }
    if answer.field("transfer-encoding") != Some("chunked") {
        return Ok(body);
    }
    loop {
        let size = line(reader)?;
        let size = u64::from_str_radix(size.trim(), 16).map_err(|_| invalid(size))?;
        let before = body.len() as u64;
        reader.take(size).read_to_end(&mut body)?;
        if body.len() as u64 - before != size || !line(reader)?.is_empty() {
            return Err(invalid("a chunk without its end".to_owned()));
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(MOST_HEAD).read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(invalid(format!("`{line}` does not end"))),
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> io::Result<Answer> {
        read(&mut text.replace('\n', "\r\n").as_bytes())
    }

    #[test]
    fn answers_of_both_framings_are_read() {
        let answer = parse("HTTP/1.1 200 OK\nContent-Length: 3\nX-A: b\n\nabcdef").expect("whole");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"abc"[..]));
        assert_eq!((answer.field("x-a"), answer.field("x-b")), (Some("b"), None));
        let text = "HTTP/1.1 503 No\ntransfer-encoding: chunked\n\n3\nabc\n1\nd\n0\n\n";
        let answer = parse(text).expect("whole");
        assert_eq!((answer.status, answer.body.as_slice()), (503, &b"abcd"[..]));
    }

    #[test]
    fn what_is_cut_or_wrong_is_an_error() {
        for text in [
            "",
            "HTTP/1.1\n\n",
            "HTTP/1.1 200 OK\nno field\n\n",
            "HTTP/1.1 200 OK\ncontent-length: 3\n\nab",
            "HTTP/1.1 200 OK\ncontent-length: x\n\n",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n3\nabcd\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
