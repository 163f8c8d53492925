//! TLS contexts from the wishes of the command line.
//!
//! Owns: which certificates are trusted and shown, and what is offered. Does not own: handshakes,
//! which are `ringway-tls`'s.

use std::path::{Path, PathBuf};

use ringway_tls::{
    ClientContext, ClientOptions, Identity, Parameters, ServerContext, ServerOptions, Source,
    TlsVersion, Validation,
};

use crate::cli::{TlsArgs, TlsServeArgs, VersionWish};

/// Where Debian, Fedora and Alpine keep the authorities that everybody trusts.
const AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// Servers whose sessions are remembered: more than any run has targets.
const SESSIONS: usize = 256;

/// The client's side, offering one protocol.
///
/// # Errors
///
/// A file that cannot be read, or holds nothing of use.
pub(crate) fn client(args: &TlsArgs, alpn: Option<&[u8]>) -> Result<ClientContext, String> {
    let mut options = ClientOptions::default();
    if !args.insecure {
        let trusted_ca = Some(authorities(args.cacert.as_deref())?);
        options.validation = Validation { trusted_ca, server_name: true, ..Validation::default() };
    }
    options.alpn_protocols = alpn.into_iter().map(<[u8]>::to_vec).collect();
    options.parameters = parameters(args.tls_version);
    options.max_session_keys = if args.resume { SESSIONS } else { 0 };
    ClientContext::new(&options).map_err(|error| format!("TLS: {error}"))
}

fn authorities(given: Option<&Path>) -> Result<Source, String> {
    if let Some(path) = given {
        return read(path);
    }
    let wished = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let usual = AUTHORITIES.iter().map(PathBuf::from);
    let found = wished.into_iter().chain(usual).find(|path| path.is_file());
    found.map_or_else(
        || Err("no authorities are on this host: --cacert FILE, or --insecure".to_owned()),
        |path| read(&path),
    )
}

fn parameters(wish: Option<VersionWish>) -> Parameters {
    let usual = Parameters::downstream();
    match wish {
        None => usual,
        Some(VersionWish::V1_2) => Parameters { max: TlsVersion::V1_2, ..usual },
        Some(VersionWish::V1_3) => Parameters { min: TlsVersion::V1_3, ..usual },
    }
}

/// The origin's side, when it is wished for.
///
/// # Errors
///
/// A file that cannot be read, or a certificate that is none.
pub(crate) fn server(args: &TlsServeArgs) -> Result<Option<ServerContext>, String> {
    let identity = match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => {
            Identity { chain: read(cert)?, key: read(key)?, ocsp_staple: None }
        }
        _ if args.tls => own_identity()?,
        _ => return Ok(None),
    };
    let mut options = ServerOptions::new(vec![identity]);
    options.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let context = ServerContext::new(&options).map_err(|error| format!("TLS: {error}"))?;
    Ok(Some(context))
}

/// A certificate that nobody else trusts: ECDSA P-256, for `localhost` and the loopback addresses.
fn own_identity() -> Result<Identity, String> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
    let source = |bytes: String| Source { name: "own".to_owned(), bytes: bytes.into_bytes() };
    let (chain, key) = (source(made.cert.pem()), source(made.signing_key.serialize_pem()));
    Ok(Identity { chain, key, ocsp_staple: None })
}

fn read(path: &Path) -> Result<Source, String> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| format!("{name}: {error}"))?;
    Ok(Source { name, bytes })
}
