//! Properties that hold for every input: splits do not matter, what is encoded decodes to itself,
//! random bytes neither panic nor stand still.

mod support;

use proptest::prelude::*;
use ringway_http::h1::{
    Framing, RequestDecoder, RequestLimits, RequestOptions, ResponseDecoder, ResponseLimits,
    ResponseOptions, Underscores, Upgrade, encode_chunk_end, encode_chunk_prefix, encode_request,
    encode_response, encode_trailers,
};
use ringway_http::{Body, Fields, Method, RequestHead, ResponseHead, Step, Version, normalize};
use support::{requests, responses};

const LAX: RequestLimits = RequestLimits {
    max_head_bytes: 60 * 1024,
    max_fields: 100,
    allow_http10: true,
    allow_chunked_length: true,
    allow_absolute_url: true,
    allow_custom_methods: true,
    enable_trailers: true,
    underscores: Underscores::Allow,
};

const ASKED: [(Method, Upgrade); 4] = [
    (Method::Get, Upgrade::None),
    (Method::Head, Upgrade::None),
    (Method::Get, Upgrade::WebSocket),
    (Method::Post, Upgrade::None),
];

/// Pieces of protocol: their random concatenations reach further into the decoders than random
/// bytes do.
fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let scrap = prop_oneof![
        4 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /a HTTP/1.1\r\n", "GET  /\tHTTP/1.1\n", "GET /\r\n",
            "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 C\r\n\r\n", "HTTP/1.0 204 N\r\n",
            "host: h\r\n", "a: b\r\n", "A_b:c\n", " folded\r\n", "\r\n", "\r\n\r\n", "\n", "\r",
            "content-length: 3\r\n", "content-length: 0\r\n", "transfer-encoding: chunked\r\n",
            "connection: close\r\n", "connection: upgrade\r\nupgrade: x\r\n",
            "3\r\nabc\r\n", "1;x=y\r\n", "0\r\n\r\n", "0\r\nt: v\r\n\r\n", "abc",
        ]).prop_map(|scrap| scrap.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(scrap, 0..24).prop_map(|scraps| scraps.concat())
}

/// A head that nobody finishes may be refused late when it comes byte by byte; this ends it.
const END: &[u8] = b"\r\n\r\n";

/// `input` cut at random places.
fn cut<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    places.extend([0, input.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

fn token() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,20}".prop_filter("fields with a meaning of their own", |name| {
        ringway_http::Known::classify(name.as_bytes()).is_none()
    })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let visible = prop_oneof![0x21_u8..0x7f, 0x80_u8..=0xff];
    let inner = prop_oneof![8 => 0x21_u8..0x7f, 1 => Just(b' '), 1 => Just(b'\t')];
    (visible.clone(), prop::collection::vec(inner, 0..40), visible)
        .prop_map(|(first, rest, last)| [vec![first], rest, vec![last]].concat())
}

fn fields() -> impl Strategy<Value = Fields> {
    prop::collection::vec((token(), value()), 0..20).prop_map(|list| {
        let mut fields = Fields::new();
        for (name, value) in list {
            fields.push(name.as_bytes(), &value);
        }
        fields
    })
}

fn body() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..5)
}

/// Behind a head: the body in this framing.
fn encode_body(framing: Framing, chunks: &[Vec<u8>], trailers: Option<&Fields>, out: &mut Vec<u8>) {
    for chunk in chunks {
        if framing == Framing::Chunked {
            encode_chunk_prefix(chunk.len(), out);
            out.extend_from_slice(chunk);
            encode_chunk_end(out);
        } else {
            out.extend_from_slice(chunk);
        }
    }
    if framing == Framing::Chunked {
        encode_trailers(trailers, out);
    }
}

fn framing(chunked: bool, chunks: &[Vec<u8>]) -> Framing {
    match chunked {
        true => Framing::Chunked,
        false => Framing::Length(chunks.iter().map(|chunk| chunk.len() as u64).sum()),
    }
}

fn without_framing(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    let framing = |name: &[u8]| name == b"content-length" || name == b"transfer-encoding";
    let kept = fields.iter().filter(|(name, _)| !framing(name));
    kept.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn splits_of_requests_do_not_matter(
        mut input in scraps(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        lax in any::<bool>(),
    ) {
        let limits = if lax { LAX } else { RequestLimits::default() };
        input.extend_from_slice(END);
        let whole = requests(limits, &[&input]);
        let text = input.escape_ascii();
        prop_assert_eq!(&requests(limits, &cut(&input, &cuts)), &whole, "{}", text);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&requests(limits, &bytes), &whole, "{}", text);
    }

    #[test]
    fn splits_of_responses_do_not_matter(
        mut input in scraps(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        first in 0_usize..4,
    ) {
        let limits = ResponseLimits { enable_trailers: true, ..ResponseLimits::default() };
        let asked = [ASKED[first], ASKED[(first + 1) % 4], ASKED[(first + 3) % 4]];
        input.extend_from_slice(END);
        let whole = responses(limits, &asked, &[&input], true);
        let text = input.escape_ascii();
        prop_assert_eq!(&responses(limits, &asked, &cut(&input, &cuts), true), &whole, "{}", text);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        prop_assert_eq!(&responses(limits, &asked, &bytes, true), &whole, "{}", text);
    }

    #[test]
    fn random_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..2000)) {
        requests(LAX, &[&input]);
        responses(ResponseLimits::default(), &ASKED, &[&input], true);
        let head = [b"GET / HTTP/1.1\r\n", &input[..]].concat();
        requests(LAX, &[&head]);
        let chunked = [b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", &input[..]].concat();
        requests(LAX, &[&chunked]);
    }

    #[test]
    fn encoded_requests_decode_to_themselves(
        method in prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "OPTIONS"]),
        path in "/[!-~]{0,40}",
        authority in "[a-z0-9.-]{1,20}(:[0-9]{1,4})?",
        fields in fields(),
        chunks in body(),
        trailers in prop::option::of(fields()),
        chunked in any::<bool>(),
    ) {
        let mut head = RequestHead::new();
        head.set_method(method.as_bytes());
        head.set_path(path.as_bytes());
        head.set_authority(authority.as_bytes());
        head.fields = fields;
        let framing = framing(chunked, &chunks);
        let mut wire = Vec::new();
        encode_request(&head, framing, RequestOptions::default(), &mut wire);
        encode_body(framing, &chunks, trailers.as_ref(), &mut wire);

        let mut decoder = RequestDecoder::new(LAX);
        let (mut decoded, mut data, mut rest) = (RequestHead::new(), Vec::new(), &wire[..]);
        let mut got_trailers = None;
        loop {
            let (consumed, step) = decoder.decode(rest, &mut decoded).unwrap();
            match step {
                Step::Data(range) => data.extend_from_slice(&rest[range]),
                Step::Trailers => got_trailers = Some(decoder.trailers().clone()),
                Step::Complete => break prop_assert_eq!(consumed, rest.len()),
                Step::Head | Step::NeedMore => prop_assert!(consumed > 0),
                Step::Informational => unreachable!(),
            }
            rest = &rest[consumed..];
        }
        prop_assert_eq!(decoded.method(), head.method());
        prop_assert_eq!(decoded.path(), head.path());
        prop_assert_eq!(decoded.authority(), head.authority());
        prop_assert_eq!(without_framing(&decoded.fields), without_framing(&head.fields));
        prop_assert_eq!(data, chunks.concat());
        let trailers = trailers.filter(|trailers| chunked && !trailers.is_empty());
        prop_assert_eq!(got_trailers, trailers);
    }

    #[test]
    fn encoded_responses_decode_to_themselves(
        status in prop::sample::select(vec![200_u16, 201, 206, 301, 404, 418, 500, 599]),
        fields in fields(),
        chunks in body(),
        chunked in any::<bool>(),
    ) {
        let head = ResponseHead { status, version: Version::Http11, fields };
        let framing = framing(chunked, &chunks);
        let mut wire = Vec::new();
        encode_response(&head, framing, ResponseOptions::default(), &mut wire);
        encode_body(framing, &chunks, None, &mut wire);

        let mut decoder = ResponseDecoder::new(ResponseLimits::default());
        decoder.expect(Method::Get, Upgrade::None);
        let (mut decoded, mut data, mut rest) = (ResponseHead::new(), Vec::new(), &wire[..]);
        loop {
            let (consumed, step) = decoder.decode(rest, &mut decoded).unwrap();
            match step {
                Step::Data(range) => data.extend_from_slice(&rest[range]),
                Step::Complete => break,
                Step::Head => prop_assert_eq!(Framing::of_response(
                    decoder.body(), status, Method::Get, Version::Http11), framing),
                other => prop_assert!(false, "{other:?}"),
            }
            rest = &rest[consumed..];
        }
        prop_assert!(decoder.keep_alive() && decoder.body() != Body::UntilClose);
        prop_assert_eq!(decoded.status, status);
        prop_assert_eq!(without_framing(&decoded.fields), without_framing(&head.fields));
        prop_assert_eq!(data, chunks.concat());
    }

    #[test]
    fn normalised_paths_are_stable_and_safe(path in "/[a./%;\\\\2eEfF5cC0?-]{0,30}") {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        if normalize::normalize_path(path.as_bytes(), &mut once).is_ok() {
            let mut head = RequestHead::new();
            head.set_path(&once);
            let whole = head.path_without_query();
            prop_assert!(whole.starts_with(b"/") && !whole.contains(&b'\\'));
            for segment in whole.split(|byte| *byte == b'/') {
                let name = segment.split(|byte| *byte == b';').next().unwrap();
                prop_assert!(name != b"." && name != b"..", "{:?}", path);
            }
            // An escape that an escape hid (%%32e) may come to light once.
            if !path.contains('%') {
                prop_assert_eq!(normalize::normalize_path(&once, &mut twice), Ok(false));
            }
        }
    }
}
