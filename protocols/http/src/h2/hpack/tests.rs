use super::*;

/// Fields as text, `name: value` each.
#[derive(Default)]
struct Lines(Vec<String>);

impl Sink for Lines {
    fn field(&mut self, field: Field<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mark = if field.is_sound { "" } else { " (unsound)" };
        self.0.push(format!("{}: {}{mark}", text(field.name), text(field.value)));
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |at: &u8| (*at as char).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}

fn decoded(decoder: &mut Decoder, hex: &str) -> Result<Vec<String>, HpackError> {
    let mut lines = Lines::default();
    decoder.decode(&bytes(hex), &mut lines)?;
    Ok(lines.0)
}

const REQUESTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
        "cache-control: no-cache",
    ],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

#[test]
fn rfc_7541_c_2_single_fields() {
    let mut decoder = Decoder::new(65536);
    let with_indexing = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    assert_eq!(decoded(&mut decoder, with_indexing).unwrap(), ["custom-key: custom-header"]);
    assert_eq!(decoded(&mut decoder, "be").unwrap(), ["custom-key: custom-header"]);
    let without = "040c 2f73 616d 706c 652f 7061 7468";
    assert_eq!(decoded(&mut decoder, without).unwrap(), [":path: /sample/path"]);
    let never = "1008 7061 7373 776f 7264 0673 6563 7265 74";
    assert_eq!(decoded(&mut decoder, never).unwrap(), ["password: secret"]);
    assert_eq!(decoded(&mut decoder, "82").unwrap(), [":method: GET"]);
}

#[test]
fn rfc_7541_c_3_requests_without_huffman() {
    let mut decoder = Decoder::new(65536);
    let blocks = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    for (block, lines) in blocks.iter().zip(REQUESTS) {
        assert_eq!(decoded(&mut decoder, block).unwrap(), lines);
    }
}

#[test]
fn rfc_7541_c_4_requests_with_huffman() {
    let mut decoder = Decoder::new(65536);
    let blocks = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for (block, lines) in blocks.iter().zip(REQUESTS) {
        assert_eq!(decoded(&mut decoder, block).unwrap(), lines);
    }
}

#[test]
fn rfc_7541_c_6_responses_evict() {
    let mut decoder = Decoder::new(65536);
    decoder.set_allowed_size(256);
    let first = "3f e101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81
         66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
    assert_eq!(
        decoded(&mut decoder, first).unwrap(),
        [
            ":status: 302",
            "cache-control: private",
            "date: Mon, 21 Oct 2013 20:13:21 GMT",
            "location: https://www.example.com"
        ]
    );
    assert_eq!(decoded(&mut decoder, "4883 640e ffc1 c0bf").unwrap()[0], ":status: 307");
    let third = "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160
         65c0 03ed 4ee5 b106 3d50 07";
    assert_eq!(
        decoded(&mut decoder, third).unwrap(),
        [
            ":status: 200",
            "cache-control: private",
            "date: Mon, 21 Oct 2013 20:13:22 GMT",
            "location: https://www.example.com",
            "content-encoding: gzip",
            "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
        ]
    );
}

#[test]
fn blocks_that_break_the_rules() {
    for (hex, error) in [
        ("80", HpackError::Index),
        ("be", HpackError::Index),
        ("ff ff ff ff ff ff", HpackError::Integer),
        ("ff", HpackError::Integer),
        ("40 05 61", HpackError::Truncated),
        ("40", HpackError::Truncated),
        ("82 20", HpackError::TableSize),
        ("3f e2 1f", HpackError::TableSize),
        // EOS, padding of eight ones, padding of zeros.
        ("41 84 ff ff ff ff", HpackError::Huffman),
        ("41 82 1f ff", HpackError::Huffman),
        ("41 81 00", HpackError::Huffman),
        ("41 7f e1 ff 07", HpackError::StringTooLong),
    ] {
        assert_eq!(decoded(&mut Decoder::new(65536), hex), Err(error), "{hex}");
    }
}

#[test]
fn a_lowered_table_size_must_be_confirmed() {
    let mut decoder = Decoder::new(65536);
    decoder.set_allowed_size(0);
    assert_eq!(decoded(&mut decoder, "82"), Err(HpackError::TableSize));
    assert_eq!(decoded(&mut decoder, "20 82").unwrap(), [":method: GET"]);
}

#[test]
fn unsound_fields_are_marked() {
    let mut decoder = Decoder::new(65536);
    assert_eq!(decoded(&mut decoder, "00 01 41 01 61").unwrap(), ["A: a (unsound)"]);
    assert_eq!(decoded(&mut decoder, "00 01 61 01 0a").unwrap(), ["a: \n (unsound)"]);
    assert_eq!(decoded(&mut decoder, "00 00 01 61").unwrap(), [": a (unsound)"]);
}

#[test]
fn every_byte_survives_the_huffman_code() {
    let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    for len in 0..all.len() {
        let (mut coded, mut back) = (Vec::new(), b"before".to_vec());
        huffman::encode(&all[..len], &mut coded);
        assert_eq!(coded.len(), huffman::encoded_len(&all[..len]));
        assert!(huffman::decode(&coded, &mut back));
        assert_eq!(&back[6..], &all[..len]);
    }
}

#[test]
fn the_encoder_and_the_decoder_keep_one_table() {
    use crate::Known;
    let mut encoder = Encoder::new(4096, true);
    let mut decoder = Decoder::new(65536);
    for round in 0..2000 {
        if round % 97 == 0 {
            encoder.set_peer_size(round % 500);
            encoder.set_peer_size(64 + round % 4096);
        }
        let value = format!("value {}", round % 23);
        let mut block = Vec::new();
        encoder.begin(&mut block);
        encoder.status(200 + (round % 300) as u16, &mut block);
        let known = Known::ALL[round % Known::ALL.len()];
        encoder.known(known, value.as_bytes(), &mut block);
        encoder.known(Known::Server, b"envoy", &mut block);
        encoder.other(b"x-other", value.as_bytes(), &mut block);
        let mut lines = Lines::default();
        decoder.decode(&block, &mut lines).unwrap();
        let name = String::from_utf8(known.as_bytes().to_vec()).unwrap();
        assert_eq!(
            lines.0,
            [
                format!(":status: {}", 200 + round % 300),
                format!("{name}: {value}"),
                "server: envoy".to_owned(),
                format!("x-other: {value}")
            ]
        );
    }
}

#[test]
fn what_repeats_is_one_byte() {
    use crate::Known;
    let mut encoder = Encoder::new(4096, true);
    let mut block = Vec::new();
    encoder.known(Known::Server, b"envoy", &mut block);
    block.clear();
    encoder.known(Known::Server, b"envoy", &mut block);
    assert_eq!(block, [0xbe]);
}
