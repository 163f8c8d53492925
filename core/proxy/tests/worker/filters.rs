//! What the chain of filters may do to a request.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use ringway_bridge::stats::Total;
use ringway_http::RequestHead;
use ringway_model::filter::{FilterState, HttpFilter, Interest, Step, StreamCx};
use ringway_model::stream::LocalReply;

use crate::rig::Rig;

/// Tells that it was visited, and then does what the path says.
#[derive(Debug)]
struct Deciding(Sender<()>);

impl HttpFilter for Deciding {
    fn interest(&self) -> Interest {
        Interest { request_head: true, response_head: false }
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
