//! Frames of a peer and calls of the proxy in any order: nothing panics or grows, and what is sent
//! keeps to the windows and the states of streams.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_fuzz::h2::{Story, Watch, client, feed, frame, server};
use ringway_http::h2::{Connection, ErrorCode, Options, State, StreamId};
use ringway_http::{Fields, RequestHead, ResponseHead};

const BLOCKS: [&[u8]; 6] = [
    b"\x82\x86\x84\x01\x01a",
    b"\x83\x86\x84\x01\x01a",
    b"\x88",
    b"\x83\x86\x84\x01\x01a\x0f\x0d\x013",
    b"\x00\x01t\x01v",
    b"\x48\x03\x31\x30\x33",
];

#[derive(Arbitrary, Debug)]
enum Operation {
    Head { stream: u8, block: u8, is_end: bool },
    PeerData { stream: u8, len: u16, padding: Option<u8>, is_end: bool },
    PeerReset { stream: u8, code: u8 },
    WindowUpdate { stream: u8, by: u32 },
    InitialWindow(u32),
    TableSize(u32),
    PeerStreams(u8),
    PeerGoAway { last: u8 },
    Ping,
    Frame { kind: u8, flags: u8, stream: u8, payload: Vec<u8> },
    Respond { stream: u8, status: u8, is_end: bool },
    Request { is_head: bool, is_end: bool },
    Data { stream: u8, len: u32, is_end: bool },
    Trailers { stream: u8 },
    Release { stream: u8, len: u32 },
    Reset { stream: u8 },
    Announce,
    GoAway,
    Shrink,
    Timeout,
    Transmit,
}

#[derive(Arbitrary, Debug)]
struct Play {
    is_server: bool,
    spares_connection: bool,
    operations: Vec<Operation>,
}

/// Zero, or a stream of the client's.
fn id(stream: u8) -> u32 {
    match stream % 16 {
        15 => 0,
        14 => 2,
        at => u32::from(at) * 2 + 1,
    }
}

struct Stage {
    connection: Connection,
    watch: Watch,
    story: Story,
    is_over: bool,
}

impl Stage {
    fn peer(&mut self, bytes: &[u8]) {
        self.is_over |= feed(&mut self.connection, bytes, &mut self.story).is_err();
        self.story.lines.clear();
        self.watch_sent();
    }

    fn watch_sent(&mut self) {
        self.watch.check(&mut self.connection);
    }

    fn window_update(&mut self, stream: u32, by: u32) {
        // Told before, since data may leave at once; an increment that is refused ends all.
        let lives = stream == 0
            || StreamId::from_number(stream).is_some_and(|id| {
                !matches!(self.connection.state(id), State::Idle | State::Closed)
            });
        if lives && by & 0x7fff_ffff != 0 {
            self.watch.grant(stream, by & 0x7fff_ffff);
        }
        self.peer(&frame(8, 0, stream, &by.to_be_bytes()));
    }

    fn setting(&mut self, identifier: u16, value: u32) {
        let payload = [&identifier.to_be_bytes()[..], &value.to_be_bytes()].concat();
        self.peer(&frame(4, 0, 0, &payload));
    }

    fn data(&mut self, stream: u32, len: u16, padding: Option<u8>, is_end: bool) {
        let data = vec![b'x'; usize::from(len) % 16_000];
        let end = u8::from(is_end);
        match padding {
            None => self.peer(&frame(0, end, stream, &data)),
            Some(padding) => {
                let zeros = vec![0; usize::from(padding)];
                self.peer(&frame(0, end | 8, stream, &[&[padding], &data[..], &zeros].concat()));
            }
        }
    }

    fn play(&mut self, operation: &Operation) {
        use Operation as O;
        match *operation {
            O::Head { stream, block, is_end } => {
                let block = BLOCKS[usize::from(block) % BLOCKS.len()];
                self.peer(&frame(1, 4 | u8::from(is_end), id(stream), block));
            }
            O::PeerData { stream, len, padding, is_end } => {
                self.data(id(stream), len, padding, is_end);
            }
            O::PeerReset { stream, code } => {
                self.peer(&frame(3, 0, id(stream), &u32::from(code).to_be_bytes()));
                self.watch.reset(id(stream));
            }
            O::WindowUpdate { stream, by } => self.window_update(id(stream), by),
            O::InitialWindow(window) => {
                let window = window & 0x7fff_ffff;
                // What was written before was within the windows of then.
                self.watch_sent();
                self.watch.set_initial(window);
                self.setting(4, window);
            }
            O::TableSize(size) => self.setting(1, size),
            O::PeerStreams(streams) => self.setting(3, u32::from(streams)),
            O::PeerGoAway { last } => {
                self.peer(&frame(7, 0, 0, &[id(last).to_be_bytes(), [0; 4]].concat()));
            }
            O::Ping => self.peer(&frame(6, 0, 0, &[7; 8])),
            // Those that the watch must be told of are made above.
            O::Frame { kind: 3 | 4 | 8, .. } => {}
            O::Frame { kind, flags, stream, ref payload } => {
                self.peer(&frame(kind, flags, id(stream), payload));
            }
            ref call => self.call(call),
        }
    }

    fn call(&mut self, call: &Operation) {
        use Operation as O;
        let of = |stream: u8| StreamId::from_number(id(stream) | 1).expect("it is not zero");
        let connection = &mut self.connection;
        match *call {
            O::Respond { stream, status, is_end } => {
                let mut head = ResponseHead::new();
                head.status = [100, 101, 103, 200, 204, 304, 500][usize::from(status) % 7];
                let _refused = connection.send_response(of(stream), &head, is_end);
            }
            O::Request { is_head, is_end } => {
                let mut head = RequestHead::new();
                head.set_method(if is_head { b"HEAD" } else { b"POST" });
                let _refused = connection.send_request(&head, is_end);
            }
            O::Data { stream, len, is_end } => {
                let data = vec![0; len as usize % 100_000];
                let taken = connection.send_data(of(stream), &data, is_end);
                assert!(taken.is_err() || taken.is_ok_and(|taken| taken <= data.len()));
            }
            O::Trailers { stream } => {
                let _refused = connection.send_trailers(of(stream), &Fields::new());
            }
            O::Release { stream, len } => connection.release(of(stream), len as usize),
            O::Reset { stream } => connection.reset(of(stream), ErrorCode::Cancel),
            O::Announce => connection.announce_leaving(),
            O::GoAway => drop(connection.go_away(ErrorCode::NoError)),
            O::Shrink => connection.shrink(),
            O::Timeout => drop(connection.handle_timeout(1)),
            _ => self.watch_sent(),
        }
    }
}

fuzz_target!(|play: Play| {
    let options =
        Options { stream_error_on_invalid_message: play.spares_connection, ..Options::default() };
    let connection = if play.is_server { server(options) } else { client(options) };
    let (watch, story) = (Watch::default(), Story::default());
    let mut stage = Stage { connection, watch, story, is_over: false };
    stage.watch_sent();
    for operation in play.operations.iter().take(200) {
        stage.play(operation);
        assert!(stage.connection.open_streams() <= 1024);
        assert!(stage.connection.pending_bytes() <= (1 << 20) + (1 << 17));
        if stage.is_over {
            return;
        }
    }
    stage.watch_sent();
});
