//! The h2 crate as referee: each side of the engine talks to the other side of that crate over a
//! pipe in memory. What one sends must arrive as it was, whatever the windows and limits.

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, Request, Response};
use ringway_http::h2::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::echo::{Asker, Echo, Exchange};

/// Bytes that the pipe holds: less than many frames, so that either side has to wait.
const PIPE_BYTES: usize = 3000;

fn exchanges() -> Vec<Exchange> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    (0..60)
        .map(|number: usize| Exchange {
            path: format!("/a/path?number={number}&text=%7Eabc"),
            fields: vec![
                pair("x-number", &number.to_string()),
                pair("x-same", "the same value in each of them"),
                pair("x-odd", "~!@#$%^&*()_+{}|:\"<>?`-=[];',./\\"),
                pair("x-long", &"0123456789".repeat(number * 9)),
            ],
            body: (0..number * number * 40).map(|at| (at % 253) as u8).collect(),
            trailers: match number % 3 {
                0 => vec![pair("t-number", &number.to_string())],
                _ => vec![],
            },
        })
        .collect()
}

/// Options of the engine, and the window and table size of the referee.
fn matches() -> Vec<(Options, u32, u32)> {
    let mut tight = Options { use_huffman: false, ..Options::default() };
    tight.settings.initial_stream_window = 65_535;
    tight.settings.initial_connection_window = 65_535;
    tight.settings.header_table_size = 200;
    tight.settings.max_concurrent_streams = 3;
    tight.limits.max_outbound_bytes = 5000;
    vec![
        (Options::default(), 65_535, 4096),
        (Options::default(), 1 << 20, 0),
        (tight.clone(), 4000, 4096),
        (tight, 1 << 20, 100),
    ]
}

/// Runs on one thread: an exchange that stands still fails after a minute instead of hanging.
fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    let limit = std::time::Duration::from_secs(60);
    let in_time = async move { tokio::time::timeout(limit, future).await };
    tasks.block_on(&runtime, in_time).expect("the exchange stands still");
}

/// Reads what there is; `None` at the end.
async fn read(io: &mut DuplexStream) -> Option<Vec<u8>> {
    let mut input = vec![0; 2048];
    let len = io.read(&mut input).await.ok().filter(|len| *len > 0)?;
    input.truncate(len);
    Some(input)
}

#[test]
fn our_client_and_the_referees_server() {
    for (options, window, table) in matches() {
        run(async move {
            let (mut io, other) = tokio::io::duplex(PIPE_BYTES);
            tokio::task::spawn_local(referee_server(other, window, table));
            let count = exchanges().len();
            let mut asker = Asker::new(options, exchanges());
            let mut out = Vec::new();
            asker.turn(b"", &mut out).unwrap();
            while !asker.is_over() {
                io.write_all(&out).await.unwrap();
                out.clear();
                let input = read(&mut io).await.expect("the referee hung up");
                asker.turn(&input, &mut out).unwrap();
            }
            assert_eq!(asker.done, count);
        });
    }
}

async fn referee_server(io: DuplexStream, window: u32, table: u32) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(window).header_table_size(table).max_concurrent_streams(7);
    let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
    while let Some(accepted) = connection.accept().await {
        let Ok((request, respond)) = accepted else { return };
        tokio::task::spawn_local(answer(request, respond));
    }
}

async fn answer(request: Request<RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    assert_eq!(head.uri.authority().unwrap(), "localhost");
    let mut response = Response::builder().status(200);
    response = response.header("x-path", head.uri.path_and_query().unwrap().as_str());
    for (name, value) in &head.headers {
        response = response.header(name, value);
    }
    let mut out = respond.send_response(response.body(()).unwrap(), false).unwrap();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        out.send_data(data, false).unwrap();
    }
    match body.trailers().await.unwrap() {
        Some(trailers) => out.send_trailers(trailers).unwrap(),
        None => out.send_data(Bytes::new(), true).unwrap(),
    }
}

#[test]
fn the_referees_client_and_our_server() {
    for (options, window, table) in matches() {
        run(async move {
            let (io, other) = tokio::io::duplex(PIPE_BYTES);
            let server = tokio::task::spawn_local(our_server(io, options));
            referee_client(other, window, table).await;
            assert_eq!(server.await.unwrap(), 0, "streams that are still open");
        });
    }
}

/// Serves until the peer hangs up; returns the streams that are open then.
async fn our_server(mut io: DuplexStream, options: Options) -> usize {
    let mut echo = Echo::new(options);
    let mut out = Vec::new();
    echo.turn(b"", &mut out).unwrap();
    loop {
        if io.write_all(&out).await.is_err() {
            return echo.connection.open_streams();
        }
        out.clear();
        let Some(input) = read(&mut io).await else { return echo.connection.open_streams() };
        echo.turn(&input, &mut out).unwrap();
    }
}

async fn referee_client(io: DuplexStream, window: u32, table: u32) {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window).header_table_size(table);
    let (client, connection) = builder.handshake::<_, Bytes>(io).await.unwrap();
    let connection = tokio::task::spawn_local(connection);
    let asked: Vec<_> = exchanges()
        .into_iter()
        .map(|exchange| tokio::task::spawn_local(ask(client.clone(), exchange)))
        .collect();
    for task in asked {
        task.await.unwrap();
    }
    drop(client);
    connection.await.unwrap().unwrap();
}

async fn ask(client: h2::client::SendRequest<Bytes>, exchange: Exchange) {
    let mut client = client.ready().await.unwrap();
    let mut request = Request::post(format!("http://localhost{}", exchange.path));
    for (name, value) in &exchange.fields {
        request = request.header(name, value);
    }
    let (response, mut out) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let is_end = exchange.trailers.is_empty();
    out.send_data(Bytes::from(exchange.body.clone()), is_end).unwrap();
    if !is_end {
        let mut trailers = HeaderMap::new();
        for (name, value) in &exchange.trailers {
            let name: http::HeaderName = name.parse().unwrap();
            trailers.append(name, value.parse().unwrap());
        }
        out.send_trailers(trailers).unwrap();
    }
    check(response.await.unwrap(), exchange).await;
}

async fn check(response: Response<RecvStream>, exchange: Exchange) {
    let (head, mut body) = response.into_parts();
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["x-path"], exchange.path);
    for (name, value) in &exchange.fields {
        assert_eq!(head.headers[name], *value);
    }
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        whole.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(whole, exchange.body);
    let trailers = body.trailers().await.unwrap().unwrap_or_default();
    assert_eq!(trailers.len(), exchange.trailers.len());
    for (name, value) in &exchange.trailers {
        assert_eq!(trailers[name], *value);
    }
}
