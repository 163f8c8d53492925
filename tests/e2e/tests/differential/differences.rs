//! The differences from Envoy that are meant, each with its reason. A difference that has gone
//! must leave this list: the comparison fails when an exchange on it is equal.

/// Exchanges whose outcome is not Envoy's.
pub(crate) struct Known {
    pub(crate) corpus: &'static str,
    pub(crate) exchanges: &'static [&'static str],
    /// Why Ringway does otherwise, for the reader who wants it to be the same.
    pub(crate) reason: &'static str,
}

/// The reason on record for a difference in this exchange, if there is one.
pub(crate) fn reason(corpus: &str, exchange: &str) -> Option<&'static str> {
    let known = KNOWN.iter().filter(|known| known.corpus == corpus);
    let mut known = known.filter(|known| known.exchanges.contains(&exchange));
    known.next().map(|known| known.reason)
}

const KNOWN: &[Known] = &[
    Known {
        corpus: "gRPC filters",
        exchanges: &["bridge without trailers"],
        reason: "A response that was collected has a known length. Envoy tells it only where \
                 trailers have come.",
    },
    Known {
        corpus: "framing of requests",
        exchanges: &["chunk: LF after the data", "chunk: data too long", "chunk: LF at the end"],
        reason: "RFC 9112 section 7.1: chunk data ends with exactly CRLF. Envoy skips bytes up to \
                 the next LF, which lets two parsers see different requests.",
    },
    Known {
        corpus: "framing of requests",
        exchanges: &[
            "chunk: size of 17 zeros",
            "chunk: extension of 100,000 bytes",
            "chunk: 200 trailers",
        ],
        reason: "What a client can make the proxy read without any effect is bounded.",
    },
    Known {
        corpus: "framing of requests",
        exchanges: &["chunk: NUL in an extension", "smuggling: TE after a bare CR"],
        reason: "RFC 9112 section 2.2: a bare CR or a NUL is no part of a message. Envoy drops or \
                 keeps it and goes on; the next parser may see a line end there.",
    },
    Known {
        corpus: "framing of responses",
        exchanges: &["chunk data too long"],
        reason: "As in requests: RFC 9112 section 7.1.",
    },
    Known {
        corpus: "framing of responses",
        exchanges: &["bare CR in a value"],
        reason: "As in requests: RFC 9112 section 2.2.",
    },
    Known {
        corpus: "methods and heads",
        exchanges: &["bare CR in a value", "CR CR LF"],
        reason: "RFC 9112 section 2.2: a recipient must not take a bare CR for nothing.",
    },
    Known {
        corpus: "framing of responses",
        exchanges: &["101 nobody asked for"],
        reason: "RFC 9110 section 15.2.2: nobody asked to switch protocols, so what follows cannot \
                 be read; Envoy hands the 101 to the client.",
    },
    Known {
        corpus: "methods and heads",
        exchanges: &[
            "response: status 101",
            "response: status 099",
            "response: status 000",
            "response: status 20",
            "response: status 2000",
            "response: HTTP/2.0 response",
            "response: HTTP/1.2 response",
        ],
        reason: "RFC 9112 section 4: three digits from 100, and a version that the proxy speaks. \
                 Envoy writes a status line that no client can read.",
    },
    Known {
        corpus: "methods and heads",
        exchanges: &["absolute form with query and no path"],
        reason: "RFC 9112 section 3.2.2: an empty path is `/`. Envoy routes on the path `?q`.",
    },
    Known {
        corpus: "methods and heads",
        exchanges: &["method QUERY"],
        reason: "Envoy's parser knows the method and its connection manager refuses it, without a \
                 word on why. It changes nothing at the origin, so it is as safe as GET.",
    },
    Known {
        corpus: "methods and heads",
        exchanges: &["expect 100 without body"],
        reason: "RFC 9110 section 10.1.1: the client that has no content waits for nothing.",
    },
    Known {
        corpus: "bodies",
        exchanges: &["length with leading zeros", "response: length with leading zeros"],
        reason: "The length is written anew from its value, so that both sides read the same.",
    },
    Known {
        corpus: "unreachable origins",
        exchanges: &["HEAD /nowhere"],
        reason: "RFC 9110 section 9.3.2: HEAD has the fields of GET, which are `content-length: 0`. \
                 Envoy announces a chunked body.",
    },
    Known { corpus: "redirects", exchanges: &["HEAD"], reason: "As for HEAD of an unknown path." },
    Known {
        corpus: "gRPC replies",
        exchanges: &["HEAD /odd500", "HEAD /moved", "HEAD /added", "HEAD /nowhere"],
        reason: "As for HEAD of an unknown path.",
    },
    Known {
        corpus: "unreachable origins",
        exchanges: &["large POST /refused"],
        reason: "The answer is ready before the body is read, so the connection ends behind it. \
                 Envoy reads ahead while it connects, and whether it has read enough to keep the \
                 connection depends on which is faster.",
    },
    Known {
        corpus: "unreachable origins",
        exchanges: &["POST /none", "POST /nowhere"],
        reason: "The body has come whole with the head, so the connection can serve on. Envoy \
                 closes it, because it answers before it looks at the body.",
    },
    Known {
        corpus: "redirects",
        exchanges: &["POST", "POST with 307"],
        reason: "As for local replies: the body has come whole.",
    },
    Known {
        corpus: "direct responses",
        exchanges: &["/body/204", "/body/304", "HEAD of 204"],
        reason: "RFC 9112 section 6.3: nothing follows 204 and 304. Envoy sends the body that is \
                 configured, and the client takes it for the beginning of the next response.",
    },
    Known {
        corpus: "direct responses",
        exchanges: &["POST"],
        reason: "As for local replies: the body has come whole.",
    },
    Known {
        corpus: "HTTP/1.0",
        exchanges: &["accepted: chunked request", "default_host: chunked request"],
        reason: "RFC 9112 section 6.1: transfer-encoding in HTTP/1.0 is faulty framing.",
    },
    Known {
        corpus: "HTTP/1.0",
        exchanges: &["accepted: expect", "default_host: expect"],
        reason: "RFC 9110 section 10.1.1: an expectation in HTTP/1.0 must be ignored.",
    },
    Known {
        corpus: "HTTP/1.0",
        exchanges: &["accepted: upgrade", "default_host: upgrade"],
        reason: "RFC 9110 section 7.8: upgrade in HTTP/1.0 must be ignored.",
    },
    Known {
        corpus: "strictness of requests",
        exchanges: &[
            "chunk: trailer of a length",
            "chunk: trailer of a coding",
            "chunk: trailer of a host",
            "chunk: trailer of a connection",
        ],
        reason: "RFC 9110 section 6.5.1: what frames, routes or concerns one connection has no \
                 place in trailers. Envoy passes it on, to a next hop that may merge it.",
    },
    Known {
        corpus: "strictness of responses",
        exchanges: &["trailer of a length", "trailer of a coding"],
        reason: "As in requests.",
    },
    Known {
        corpus: "strictness of responses",
        exchanges: &["a tab for blank", "a status with a plus", "a version of HTTP/0.9"],
        reason: "RFC 9112 section 4: one blank, three digits, and a version that the proxy speaks.",
    },
];
