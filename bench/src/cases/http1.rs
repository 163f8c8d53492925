//! Decoding and encoding of HTTP/1.

use std::hint::black_box;

use ringway_http::h1::{
    Framing, RequestDecoder, RequestLimits, RequestOptions, ResponseDecoder, ResponseLimits,
    ResponseOptions, Upgrade, encode_request, encode_response,
};
use ringway_http::{Body, Method, RequestHead, ResponseHead, Step, Version};

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case { name: "http1/decode-request-small", make: || decode_request(SMALL) },
    Case { name: "http1/decode-request-browser", make: || decode_request(BROWSER) },
    Case { name: "http1/decode-response", make: decode_response },
    Case { name: "http1/decode-chunked", make: decode_chunked },
    Case { name: "http1/encode-request", make: encode_a_request },
    Case { name: "http1/encode-response", make: encode_a_response },
];

const SMALL: &[u8] = b"GET /api/items?page=2 HTTP/1.1\r\nhost: example.com\r\n\
                       user-agent: curl/8.5.0\r\naccept: */*\r\n\r\n";
const BROWSER: &[u8] = b"GET /shop/items/12345?utm_source=mail&page=2 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.com/shop\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Priority: u=0, i\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nserver: origin\r\ndate: Sat, 21 Nov 2026 09:00:00 GMT\r\n\
    content-type: application/json\r\ncontent-length: 16\r\ncache-control: no-store\r\n\
    etag: \"33a64df5\"\r\n\r\n{\"answer\": 42.0}";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\
    transfer-encoding: chunked\r\n\r\n\
    10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";

/// Reads one whole request.
fn read_request(decoder: &mut RequestDecoder, head: &mut RequestHead, mut input: &[u8]) {
    loop {
        let (consumed, step) = decoder.decode(input, head).expect("a good request");
        input = &input[consumed..];
        match step {
            Step::Complete => return,
            Step::NeedMore => unreachable!("the request is whole"),
            _ => {}
        }
    }
}

/// Reads one whole response to a GET.
fn read_response(decoder: &mut ResponseDecoder, head: &mut ResponseHead, mut input: &[u8]) {
    decoder.expect(Method::Get, Upgrade::None);
    loop {
        let (consumed, step) = decoder.decode(input, head).expect("a good response");
        input = &input[consumed..];
        match step {
            Step::Complete => return,
            Step::NeedMore => unreachable!("the response is whole"),
            _ => {}
        }
    }
}

fn decode_request(bytes: &'static [u8]) -> Box<dyn FnMut()> {
    let mut decoder = RequestDecoder::new(RequestLimits::default());
    let mut head = RequestHead::new();
    Box::new(move || {
        head.clear();
        read_request(&mut decoder, &mut head, black_box(bytes));
        black_box(&head);
    })
}

fn decode_response_of(bytes: &'static [u8]) -> Box<dyn FnMut()> {
    let mut decoder = ResponseDecoder::new(ResponseLimits::default());
    let mut head = ResponseHead::new();
    Box::new(move || {
        head.clear();
        read_response(&mut decoder, &mut head, black_box(bytes));
        black_box(&head);
    })
}

fn decode_response() -> Box<dyn FnMut()> {
    decode_response_of(RESPONSE)
}

fn decode_chunked() -> Box<dyn FnMut()> {
    decode_response_of(CHUNKED)
}

fn encode_a_request() -> Box<dyn FnMut()> {
    let mut head = RequestHead::new();
    read_request(&mut RequestDecoder::new(RequestLimits::default()), &mut head, BROWSER);
    let mut out = Vec::with_capacity(4096);
    Box::new(move || {
        out.clear();
        encode_request(black_box(&head), Framing::None, RequestOptions::default(), &mut out);
        black_box(&out);
    })
}

fn encode_a_response() -> Box<dyn FnMut()> {
    let mut head = ResponseHead::new();
    read_response(&mut ResponseDecoder::new(ResponseLimits::default()), &mut head, RESPONSE);
    let framing = Framing::of_response(Body::Length(16), 200, Method::Get, Version::Http11);
    let options = ResponseOptions { version: Version::Http11, ..ResponseOptions::default() };
    let mut out = Vec::with_capacity(4096);
    Box::new(move || {
        out.clear();
        encode_response(black_box(&head), framing, options, &mut out);
        black_box(&out);
    })
}
