//! What may differ between two runs of the same program, made equal.

/// Replaces the ports of one run by names, in any text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports(Vec<(String, String)>);

impl Ports {
    pub(crate) fn name(&mut self, port: u16, name: &str) {
        self.0.push((format!(":{port}"), format!(":<{name}>")));
    }

    /// Ports after a colon, and a text that is nothing but a port.
    pub(crate) fn mask(&self, text: &str) -> String {
        match self.0.iter().find(|(port, _)| port[1..] == *text) {
            Some((_, name)) => name[1..].to_owned(),
            None => {
                self.0.iter().fold(text.to_owned(), |text, (port, name)| text.replace(port, name))
            }
        }
    }
}

/// One field as a line, its value masked where it is a time or an identifier in good form.
pub(crate) fn field(name: &str, value: &str, ports: &Ports) -> String {
    let shown = match name.to_ascii_lowercase().as_str() {
        "date" if is_date(value) => "<date>".into(),
        "x-request-id" if is_uuid(value) => "<uuid>".into(),
        "x-envoy-upstream-service-time" if is_number(value) => "<ms>".into(),
        _ => ports.mask(value),
    };
    format!("{name}: {shown}")
}

/// A line of an access log: its time in brackets, the two durations of the default format after
/// the quoted request line, and random identifiers are masked.
pub(crate) fn log_line(line: &str, ports: &Ports) -> String {
    let line = ports.mask(line);
    let words = line.split(' ').scan(0, |after_request, word| {
        *after_request = match word {
            "HTTP/1.1\"" | "HTTP/1.0\"" => 1,
            _ if *after_request > 0 => *after_request + 1,
            _ => 0,
        };
        Some(log_word(word, *after_request))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `place` counts from the end of the request line: status 2, flags 3, bytes 4 and 5, durations.
fn log_word(word: &str, place: usize) -> String {
    match word {
        _ if word.starts_with("[2") && word.ends_with("Z]") && word.len() == 26 => "<time>".into(),
        _ if matches!(place, 6 | 7) && is_number(word) => "<ms>".into(),
        _ if is_uuid(word.trim_matches('"')) => "<uuid>".into(),
        _ => word.to_owned(),
    }
}

fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 9110 section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`. Dates of this century only: the ones
/// that a test's origin invents stay visible.
fn is_date(value: &str) -> bool {
    let form = "aaa, 00 aaa 2000 00:00:00 GMT";
    let fits = |(have, form): (char, char)| match form {
        'a' => have.is_ascii_alphabetic(),
        '0' => have.is_ascii_digit(),
        other => have == other,
    };
    value.len() == form.len() && value.chars().zip(form.chars()).all(fits)
}

/// RFC 9562: a random (version 4) identifier, or Envoy's variants of its version digit.
fn is_uuid(value: &str) -> bool {
    let groups: Vec<&str> = value.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let lower_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    lengths == [8, 4, 4, 4, 12]
        && groups.concat().chars().all(lower_hex)
        && groups[2].starts_with(['4', '9', 'a', 'b'])
}

/// A body as one line: shown whole when short, else by its ends, length and a checksum.
pub(crate) fn body(bytes: &[u8], ports: &Ports) -> String {
    if bytes.len() <= 600 {
        return format!("{:?}", ports.mask(&ringway_test_support::escape(bytes)));
    }
    // FNV-1a: enough to see a difference.
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let start = ringway_test_support::escape(&bytes[..40]);
    format!("{} bytes, {hash:016x}, {start:?}...", bytes.len())
}

#[test]
fn masks_the_times_of_a_log() {
    let line = "[2026-01-02T03:04:05.678Z] \"GET / HTTP/1.1\" 200 - 0 5 12 11 \"-\" 7";
    let masked = "<time> \"GET / HTTP/1.1\" 200 - 0 5 <ms> <ms> \"-\" 7";
    assert_eq!(log_line(line, &Ports::default()), masked);
}

#[test]
fn masks_only_what_is_in_good_form() {
    let mut ports = Ports::default();
    ports.name(4242, "main");
    let shown = |name, value| field(name, value, &ports);
    assert_eq!(shown("date", "Sun, 06 Nov 2094 08:49:37 GMT"), "date: <date>");
    assert_eq!(shown("date", "yesterday"), "date: yesterday");
    assert_eq!(shown("Date", "Sun, 06 Nov 1994 08:49:37 GMT").len(), 35);
    assert_eq!(shown("x-request-id", "mine"), "x-request-id: mine");
    let uuid = "1b4e28ba-2fa1-41d2-883f-0016d3cca427";
    assert_eq!(shown("x-request-id", uuid), "x-request-id: <uuid>");
    assert_eq!(shown("x-envoy-upstream-service-time", "-1").len(), 33);
    assert_eq!(shown("location", "http://a:4242/"), "location: http://a:<main>/");
    assert_eq!(shown("x-forwarded-port", "4242"), "x-forwarded-port: <main>");
}
