//! Requests from a file.

use super::{Draft, Request, check_field};
use crate::check::{parse_hash, parse_status};
use crate::units::parse_size;
use crate::url::Url;

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

/// The size of a chunk.
pub(crate) fn parse_chunk(text: &str) -> Result<usize, String> {
    match parse_size(text)? {
        // RFC 9112 section 7.1: the chunk of no bytes ends the body.
        0 => Err("a chunk has at least one byte".to_owned()),
        size => usize::try_from(size).map_err(|error| error.to_string()),
    }
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
        "chunked" => draft.chunk = Some(parse_chunk(value)?),
        _ => {
            return Err(format!(
                "`@{name}` is unknown: there are name, weight, status, length, hash, chunked"
            ));
        }
    }
    Ok(())
}
