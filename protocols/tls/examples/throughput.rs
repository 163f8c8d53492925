//! What the engine costs: sealing and opening of large and small writes, full and resumed handshakes.
//!
//! `cargo run --release -p ringway-tls --example throughput`. Both sides run on one core, in memory.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use ringway_tls::{
    ClientContext, ClientOptions, Engine, Identity, Parameters, ServerContext, ServerOptions,
    Source, TlsVersion,
};

const TIME: Duration = Duration::from_millis(700);

fn main() -> Result<(), Box<dyn Error>> {
    let server = server()?;
    let (fresh, resuming) = (client(0)?, client(1)?);
    handshakes("full", &server, &fresh)?;
    handshakes("resumed", &server, &resuming)?;
    for size in [64, 1024, 16 * 1024, 64 * 1024] {
        transfer(size, &server, &fresh)?;
    }
    Ok(())
}

fn server() -> Result<ServerContext, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()])?;
    let source = |text: String| Source { name: "memory".to_owned(), bytes: text.into_bytes() };
    let (chain, key) = (source(made.cert.pem()), source(made.signing_key.serialize_pem()));
    let identity = Identity { chain, key, ocsp_staple: None };
    Ok(ServerContext::new(&ServerOptions::new(vec![identity]))?)
}

fn client(max_session_keys: usize) -> Result<ClientContext, Box<dyn Error>> {
    let parameters = Parameters { max: TlsVersion::V1_3, ..Parameters::upstream() };
    let options = ClientOptions { parameters, max_session_keys, ..ClientOptions::default() };
    Ok(ClientContext::new(&options)?)
}

fn pair(
    server: &ServerContext,
    client: &ClientContext,
) -> Result<(Engine, Engine), Box<dyn Error>> {
    let now = Instant::now();
    Ok((Engine::client(client, Some("a.test"), now, None)??, Engine::server(server, now, None)?))
}

fn carry(from: &mut Engine, to: &mut Engine, wire: &mut Vec<u8>) -> Result<usize, Box<dyn Error>> {
    wire.clear();
    from.transmit(wire);
    let (mut taken, mut read, now) = (0, 0, Instant::now());
    while taken < wire.len() {
        taken += to.receive(&mut wire[taken..], now)?.taken;
        loop {
            let len = black_box(to.plaintext()).len();
            if len == 0 {
                break;
            }
            to.consume(len);
            read += len;
        }
    }
    Ok(read)
}

fn connect(
    server: &ServerContext,
    client: &ClientContext,
    wire: &mut Vec<u8>,
) -> Result<(Engine, Engine), Box<dyn Error>> {
    let (mut client, mut server) = pair(server, client)?;
    while client.is_handshaking() || server.is_handshaking() || server.wants_transmit() {
        carry(&mut client, &mut server, wire)?;
        carry(&mut server, &mut client, wire)?;
    }
    Ok((client, server))
}

fn handshakes(
    name: &str,
    server: &ServerContext,
    client: &ClientContext,
) -> Result<(), Box<dyn Error>> {
    let mut wire = Vec::new();
    drop(connect(server, client, &mut wire)?);
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < TIME {
        drop(connect(server, client, &mut wire)?);
        count += 1;
    }
    println!("{name:8} handshake, both sides: {:8.1} us", micros(start, count));
    Ok(())
}

fn transfer(
    size: usize,
    server: &ServerContext,
    client: &ClientContext,
) -> Result<(), Box<dyn Error>> {
    let mut wire = Vec::new();
    let (mut client, mut server) = connect(server, client, &mut wire)?;
    let block = vec![7; size];
    let (mut sealing, mut opening, mut count) = (Duration::ZERO, Duration::ZERO, 0_u32);
    let start = Instant::now();
    while start.elapsed() < TIME {
        let before = Instant::now();
        assert_eq!(client.send(&block), size);
        wire.clear();
        client.transmit(&mut wire);
        let sealed = Instant::now();
        let mut taken = 0;
        while taken < wire.len() {
            taken += server.receive(&mut wire[taken..], sealed)?.taken;
            loop {
                let len = black_box(server.plaintext()).len();
                if len == 0 {
                    break;
                }
                server.consume(len);
            }
        }
        sealing += sealed - before;
        opening += sealed.elapsed();
        count += 1;
    }
    let each = |total: Duration| total.as_secs_f64() * 1e6 / f64::from(count);
    println!("{size:6} bytes: seal {:7.2} us, open {:7.2} us", each(sealing), each(opening));
    Ok(())
}

fn micros(start: Instant, count: u32) -> f64 {
    start.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}
