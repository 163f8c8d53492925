//! Blocks that come again mean what they meant before, until the table changes.

use ringway_http::h2::{Connection, Event, Options, Settings, StreamId};
use ringway_http::{RequestHead, ResponseHead};

/// The two ends of a connection.
struct Ends {
    client: Connection,
    server: Connection,
}

impl Ends {
    fn new(table: u32) -> Self {
        let settings = Settings { header_table_size: table, ..Settings::default() };
        let options = Options { settings, ..Options::default() };
        let client = Connection::client(options.clone(), 0);
        let mut ends = Self { client, server: Connection::server(options, 0) };
        assert!(pass(&mut ends.client, &mut ends.server).is_empty());
        assert!(pass(&mut ends.server, &mut ends.client).is_empty());
        ends
    }

    /// One request and its answer; both must arrive as they were sent.
    fn exchange(&mut self, request: &RequestHead, response: &ResponseHead) {
        let sent = self.client.send_request(request, true).expect("room for a stream");
        let heads = pass(&mut self.client, &mut self.server);
        assert_eq!(heads, [sent], "one head, of this stream");
        assert_eq!(self.server.request_mut(), request);
        // Who keeps a head swaps it with another.
        let mut other = Box::new(request_for("/other", "other"));
        self.server.swap_request(&mut other);
        assert_eq!(*other, *request);
        self.server.send_response(sent, response, true).expect("it was not answered");
        let heads = pass(&mut self.server, &mut self.client);
        assert_eq!(heads, [sent]);
        assert_eq!(self.client.response_mut(), response);
    }
}

/// Moves what waits from one end to the other; the streams whose heads have come.
fn pass(from: &mut Connection, to: &mut Connection) -> Vec<StreamId> {
    let mut bytes = Vec::new();
    from.poll_transmit(&mut bytes);
    let consumed = to.receive(&bytes, 0).expect("nothing is wrong with it");
    assert_eq!(consumed, bytes.len());
    let mut heads = Vec::new();
    while let Some(event) = to.poll_event() {
        if let Event::Head { stream, .. } = event {
            heads.push(stream);
        }
    }
    heads
}

fn request_for(path: &str, agent: &str) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_version(ringway_http::Version::Http2);
    head.set_method(b"GET");
    head.set_scheme(b"http");
    head.set_authority(b"test");
    head.set_path(path.as_bytes());
    head.fields.push(b"user-agent", agent.as_bytes());
    head.fields.push(b"x-other", b"1");
    head
}

fn response_of(status: u16, server: &str, length: &str) -> ResponseHead {
    let mut head = ResponseHead::new();
    head.status = status;
    head.version = ringway_http::Version::Http2;
    head.fields.push(b"content-length", length.as_bytes());
    head.fields.push(b"server", server.as_bytes());
    head
}

#[test]
fn repeated_heads_arrive_as_they_were_sent() {
    // In a table of 128 bytes two agents push each other out; in one of none nothing stays.
    for table in [4096, 128, 0] {
        let mut ends = Ends::new(table);
        let agents = ["a", "a", "a", "b", "b", "b", "a", "b", "a", "a", "a"];
        for (at, agent) in agents.into_iter().cycle().take(200).enumerate() {
            let long = agent.repeat(30);
            let request = request_for(if at % 17 < 12 { "/" } else { "/x" }, &long);
            let status = if at % 13 < 9 { 200 } else { 404 };
            let length = if at % 7 < 5 { "0" } else { "00" };
            ends.exchange(&request, &response_of(status, &long, length));
            if at % 50 == 49 {
                ends.client.shrink();
                ends.server.shrink();
            }
        }
    }
}
