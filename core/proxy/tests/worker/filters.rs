//! What the chain of filters may do to a request.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use ringway_bridge::stats::Total;
use ringway_http::{Known, RequestHead, ResponseHead};
use ringway_model::filter::{
    End, FilterState, HttpFilter, Interest, Piece, ResponseStep, Step, StreamCx, Whole,
};
use ringway_model::stream::LocalReply;

use crate::rig::Rig;

/// Tells that it was visited, and then does what the path says.
#[derive(Debug)]
struct Deciding(Sender<()>);

impl HttpFilter for Deciding {
    fn interest(&self) -> Interest {
        Interest { request_head: true, ..Interest::default() }
    }

    fn request_head(
        &self,
        state: &mut FilterState,
        head: &mut RequestHead,
        _: &mut StreamCx<'_>,
    ) -> Step {
        assert!(state.is_none(), "a state is of one request only");
        *state = Some(Box::new(()));
        self.0.send(()).expect("the test listens");
        match head.path() {
            b"/x/later" => Step::Wait(Box::pin(async {
                Step::Respond(Box::new(LocalReply::new(403, "later").body("later")))
            })),
            b"/x/never" => Step::Wait(Box::pin(std::future::pending())),
            _ => Step::Continue,
        }
    }
}

fn ask(client: &mut std::net::TcpStream, path: &str) -> String {
    write!(client, "GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").expect("sent");
    let mut buffer = [0; 4096];
    let received = client.read(&mut buffer).expect("a response");
    String::from_utf8_lossy(&buffer[..received]).into_owned()
}

#[test]
fn a_filter_may_answer_later_and_sees_what_has_no_route() {
    let (visit, visits) = channel();
    let rig = Rig::start(vec![Arc::new(Deciding(visit))]);
    let mut client = rig.connect();
    let later = ask(&mut client, "/x/later");
    assert!(later.starts_with("HTTP/1.1 403 ") && later.ends_with("later"), "{later}");
    let nowhere = ask(&mut client, "/nowhere");
    assert!(nowhere.starts_with("HTTP/1.1 404 "), "{nowhere}");
    assert_eq!(visits.try_iter().count(), 2);
    drop(client);
    rig.drain();
    rig.stop();
}

#[test]
fn a_client_that_leaves_ends_the_wait_for_a_filter() {
    let (visit, visits) = channel();
    let rig = Rig::start(vec![Arc::new(Deciding(visit))]);
    let mut client = rig.connect();
    client.write_all(b"GET /x/never HTTP/1.1\r\nhost: h\r\n\r\n").expect("sent");
    visits.recv().expect("the filter is asked");
    drop(client);
    // Ends only when no connection is left.
    rig.drain();
    assert_eq!(rig.total("http.t.downstream_rq_active"), Some(Total::Gauge(0)));
    assert_eq!(rig.total("http.t.downstream_rq_rx_reset"), Some(Total::Counter(1)));
    rig.stop();
}

/// Writes its letter around every piece and behind every body.
#[derive(Debug)]
struct Marking(char);

impl Marking {
    fn mark(&self, piece: &mut Piece<'_>) {
        let text = String::from_utf8_lossy(piece.bytes()).into_owned();
        piece.replace(format!("{0}{text}{0}", self.0).into_bytes());
    }
}

impl HttpFilter for Marking {
    fn interest(&self) -> Interest {
        Interest {
            request_head: true,
            request_body: true,
            response_head: true,
            response_body: true,
        }
    }

    fn request_head(
        &self,
        _: &mut FilterState,
        head: &mut RequestHead,
        _: &mut StreamCx<'_>,
    ) -> Step {
        head.fields.remove_known(Known::ContentLength);
        Step::Continue
    }

    fn request_data(
        &self,
        _: &mut FilterState,
        piece: &mut Piece<'_>,
        _: &mut StreamCx<'_>,
    ) -> Result<(), Box<LocalReply>> {
        if piece.bytes().starts_with(b"bad") {
            return Err(Box::new(LocalReply::new(400, "bad").body("refused")));
        }
        self.mark(piece);
        Ok(())
    }

    fn request_end(
        &self,
        _: &mut FilterState,
        end: &mut End<'_>,
        _: &mut StreamCx<'_>,
    ) -> Result<(), Box<LocalReply>> {
        end.tail.extend_from_slice(self.0.to_uppercase().to_string().as_bytes());
        Ok(())
    }

    fn response_head(
        &self,
        _: &mut FilterState,
        _: &RequestHead,
        head: &mut ResponseHead,
        _: &mut StreamCx<'_>,
    ) -> ResponseStep {
        head.fields.remove_known(Known::ContentLength);
        ResponseStep::Continue
    }

    fn response_data(&self, _: &mut FilterState, piece: &mut Piece<'_>, _: &mut StreamCx<'_>) {
        self.mark(piece);
    }

    fn response_end(&self, _: &mut FilterState, end: &mut End<'_>, _: &mut StreamCx<'_>) {
        end.tail.extend_from_slice(self.0.to_uppercase().to_string().as_bytes());
    }
}

/// Collects responses and puts their length in front.
#[derive(Debug)]
struct Measuring;

impl HttpFilter for Measuring {
    fn interest(&self) -> Interest {
        Interest { response_head: true, ..Interest::default() }
    }

    fn response_head(
        &self,
        _: &mut FilterState,
        _: &RequestHead,
        _: &mut ResponseHead,
        _: &mut StreamCx<'_>,
    ) -> ResponseStep {
        ResponseStep::Collect
    }

    fn response_whole(
        &self,
        _: &mut FilterState,
        _: &RequestHead,
        whole: &mut Whole<'_>,
        _: &mut StreamCx<'_>,
    ) {
        let length = whole.body.len();
        whole.body.splice(0..0, format!("{length}:").into_bytes());
    }
}

fn read_until(stream: &mut impl Read, end: &str) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !text.ends_with(end) {
        let received = stream.read(&mut buffer).expect("more");
        assert!(received > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..received]));
    }
    text
}

/// What the origin gets of `body`, and the client of `answer`.
fn exchanged(rig: &Rig, body: &str, answer: &[&str]) -> (String, String) {
    let mut client = rig.connect();
    let length = body.len();
    write!(client, "POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n{body}")
        .expect("sent");
    let (mut origin, _) = rig.origin.accept().expect("a connection");
    let request = read_until(&mut origin, "B\r\n0\r\n\r\n");
    let length: usize = answer.iter().map(|piece| piece.len()).sum();
    write!(origin, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").expect("sent");
    answer.iter().for_each(|piece| origin.write_all(piece.as_bytes()).expect("sent"));
    let response = read_until(&mut client, "A\r\n0\r\n\r\n");
    (request, response)
}

#[test]
fn bodies_pass_the_filters_in_their_order_and_back() {
    let rig = Rig::start(vec![Arc::new(Marking('a')), Arc::new(Marking('b'))]);
    let (request, response) = exchanged(&rig, "up", &["down"]);
    assert!(request.ends_with("\r\n\r\n6\r\nbaupab\r\n4\r\nbAbB\r\n0\r\n\r\n"), "{request}");
    assert!(request.contains("transfer-encoding: chunked\r\n"), "{request}");
    assert!(response.ends_with("8\r\nabdownba\r\n4\r\naBaA\r\n0\r\n\r\n"), "{response}");
    rig.drain();
    rig.stop();
}

#[test]
fn a_filter_may_refuse_a_body() {
    let rig = Rig::start(vec![Arc::new(Marking('a'))]);
    let mut client = rig.connect();
    write!(client, "POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nbad").expect("sent");
    let _origin = rig.origin.accept().expect("a connection");
    // Its own body passes the filters as well, and is measured behind them.
    let response = read_until(&mut client, "arefusedaA");
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(response.contains("content-length: 10\r\n"), "{response}");
    drop(client);
    rig.drain();
    rig.stop();
}

#[test]
fn a_collected_response_is_seen_whole_by_its_filter_and_then_by_those_behind() {
    let filters: [Arc<dyn HttpFilter>; 3] =
        [Arc::new(Marking('a')), Arc::new(Measuring), Arc::new(Marking('b'))];
    let rig = Rig::start(filters.into());
    let mut client = rig.connect();
    write!(client, "POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nup").expect("sent");
    let (mut origin, _) = rig.origin.accept().expect("a connection");
    read_until(&mut origin, "B\r\n0\r\n\r\n");
    write!(origin, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndown").expect("sent");
    let response = read_until(&mut client, "a7:bdownbBaA");
    assert!(response.contains("content-length: 12\r\n"), "{response}");
    drop((client, origin));
    rig.drain();
    rig.stop();
}

#[test]
fn what_is_too_large_to_collect_is_answered_in_its_place() {
    let rig = Rig::start(vec![Arc::new(Measuring)]);
    let mut client = rig.connect();
    client.write_all(b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n").expect("sent");
    let (mut origin, _) = rig.origin.accept().expect("a connection");
    read_until(&mut origin, "\r\n\r\n");
    let piece = vec![b'x'; 64 << 10];
    write!(origin, "HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n").expect("sent");
    // Ends when the proxy has had enough and closes.
    while origin.write_all(&piece).is_ok() {}
    let response = read_until(&mut client, "Internal Server Error");
    assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
    assert_eq!(rig.total("http.t.rs_too_large"), Some(Total::Counter(1)));
    drop(client);
    rig.drain();
    rig.stop();
}
