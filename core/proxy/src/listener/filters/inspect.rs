//! What the connection is going to speak: a ClientHello, or the start of plain HTTP.

use ringway_model::listener::{HttpInspector, TlsInspector};
use ringway_preamble::Progress;
use ringway_preamble::hello::{self, ClientHello, HelloError};
use ringway_preamble::http::{MAX_SNIFF, Sniff, sniff};

use super::{Peek, Verdict};

impl Peek<'_> {
    /// Envoy's tls_inspector. It waits for the five bytes of a record head before it says that this
    /// is no TLS; here the first byte that cannot be of one is enough.
    pub(super) fn inspect_tls(&mut self, config: &TlsInspector) -> Verdict {
        let stats = &config.stats;
        match hello::peek(&self.bytes, config.max_client_hello_size) {
            Ok(Progress::NeedMore(_)) => Verdict::More,
            Ok(Progress::Done(hello, used)) => {
                self.page.record(stats.bytes_processed, used as u64);
                self.note_hello(config, &hello);
                Verdict::Next
            }
            Err(HelloError::TooLarge) => {
                self.page.inc(stats.client_hello_too_large);
                self.page.record(stats.bytes_processed, self.bytes.len() as u64);
                Verdict::Close
            }
            Err(_) if config.close_on_error => Verdict::Close,
            Err(_) => {
                self.page.inc(stats.tls_not_found);
                self.page.record(stats.bytes_processed, self.bytes.len().min(5) as u64);
                Verdict::Next
            }
        }
    }

    fn note_hello(&mut self, config: &TlsInspector, hello: &ClientHello) {
        let (page, stats) = (self.page, &config.stats);
        page.inc(stats.tls_found);
        page.inc(if hello.alpn.is_empty() { stats.alpn_not_found } else { stats.alpn_found });
        self.found.tls = true;
        let text = |name: &Vec<u8>| Box::from(&*String::from_utf8_lossy(name));
        self.found.application_protocols = hello.alpn.iter().map(text).collect();
        match &hello.server_name {
            Some(name) => {
                page.inc(stats.sni_found);
                self.found.server_name = Box::from(name.as_str());
            }
            None => page.inc(stats.sni_not_found),
        }
        self.found.ja3 = config.ja3.then(|| hello::ja3(hello).into());
        self.found.ja4 = config.ja4.then(|| hello::ja4(hello).into());
    }

    /// Envoy's http_inspector. What speaks TLS is none of its business.
    pub(super) fn inspect_http(&mut self, config: &HttpInspector) -> Verdict {
        if self.found.tls {
            return Verdict::Next;
        }
        let stats = &config.stats;
        let Progress::Done(found, _) = sniff(&self.bytes, MAX_SNIFF) else { return Verdict::More };
        self.page.inc(match found {
            Sniff::Http10 => stats.http10_found,
            Sniff::Http11 => stats.http11_found,
            Sniff::H2c => stats.http2_found,
            Sniff::NotHttp => stats.http_not_found,
        });
        if let Some(protocol) = found.application_protocol() {
            self.found.application_protocols = vec![Box::from(protocol)];
        }
        Verdict::Next
    }
}
