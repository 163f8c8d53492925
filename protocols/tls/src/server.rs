//! The context of a downstream: `DownstreamTlsContext`, built once, shared by all workers.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{Ticketer as RandomTicketer, kx_group};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{KeyLog, ServerConfig};

use crate::certificate::sha256;
use crate::load::{self, ContextError, Identity};
use crate::parameters::Parameters;
use crate::select::Selection;
use crate::ticket::{Kept, TicketKeys, Ticketer};
use crate::verify::{PeerVerifier, Validation};

/// The post-quantum hybrid first: a client that does not know it takes the next.
const GROUPS: &[&dyn rustls::crypto::SupportedKxGroup] =
    &[kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1];
/// Sessions that one context remembers when tickets are off.
const STATEFUL_SESSIONS: usize = 20_480;
/// Tickets after a full handshake of TLS 1.3, as BoringSSL sends.
const TICKETS: usize = 2;

/// What is asked of clients.
#[derive(Debug, Clone, Default)]
pub enum ClientCertificates {
    /// No certificate is asked for.
    #[default]
    Ignored,
    /// One is asked for and verified if it comes.
    Optional(Validation),
    /// `require_client_certificate`.
    Required(Validation),
}

/// How sessions are resumed.
#[derive(Debug, Clone)]
pub struct Sessions {
    /// `disable_stateless_session_resumption` turns it off.
    pub tickets: bool,
    /// `disable_stateful_session_resumption` turns it off.
    pub stateful: bool,
    /// `session_ticket_keys`. Without them each context draws its own and rotates them every six
    /// hours.
    pub keys: Option<TicketKeys>,
    /// `session_timeout`, in seconds: how long a client is told that it may keep a ticket.
    pub timeout_s: u32,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { tickets: true, stateful: true, keys: None, timeout_s: 7200 }
    }
}

/// All that a server context is made of.
#[derive(Clone)]
pub struct ServerOptions {
    /// At least one.
    pub identities: Vec<Identity>,
    /// Protocols by preference; none for no ALPN.
    pub alpn_protocols: Vec<Vec<u8>>,
    /// Versions, suites, groups.
    pub parameters: Parameters,
    /// What clients have to show.
    pub client_certificates: ClientCertificates,
    /// Resumption.
    pub sessions: Sessions,
    /// `require_sni`: no certificate for a client that names no host, or one for which none speaks.
    pub require_sni: bool,
    /// `full_scan_certs_on_sni_mismatch`.
    pub full_scan_certs_on_sni_mismatch: bool,
    /// Where the secrets of sessions go, for whoever looks into captured traffic.
    pub key_log: Option<Arc<dyn KeyLog>>,
}

impl ServerOptions {
    /// Envoy's defaults around these certificates.
    pub fn new(identities: Vec<Identity>) -> Self {
        Self {
            identities,
            alpn_protocols: Vec::new(),
            parameters: Parameters::downstream(),
            client_certificates: ClientCertificates::default(),
            sessions: Sessions::default(),
            require_sni: false,
            full_scan_certs_on_sni_mismatch: false,
            key_log: None,
        }
    }
}

/// A built context; a clone is a reference to the same.
#[derive(Debug, Clone)]
pub struct ServerContext {
    pub(crate) config: Arc<ServerConfig>,
    /// The same without ALPN, for clients whose protocols are all unknown; `None` without ALPN.
    pub(crate) without_alpn: Option<Arc<ServerConfig>>,
    /// No client is let in with a certificate that is not good.
    pub(crate) verifies: bool,
}

impl ServerContext {
    /// Builds and checks everything that can be wrong.
    pub fn new(options: &ServerOptions) -> Result<Self, ContextError> {
        let provider = options.parameters.provider(GROUPS)?;
        let certificates = certificates(options, &provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(options.parameters.versions()?);
        let builder = builder.map_err(|error| ContextError::of_field("tls_params", error))?;
        let builder = match &options.client_certificates {
            ClientCertificates::Ignored => builder.with_no_client_auth(),
            ClientCertificates::Optional(validation) => builder.with_client_cert_verifier(
                Arc::new(PeerVerifier::of_clients(validation, false, &provider)?),
            ),
            ClientCertificates::Required(validation) => builder.with_client_cert_verifier(
                Arc::new(PeerVerifier::of_clients(validation, true, &provider)?),
            ),
        };
        let identity = identity(options, &certificates);
        let full_scan = options.full_scan_certs_on_sni_mismatch;
        let selection = Selection::new(certificates, full_scan, options.require_sni);
        let mut config = builder.with_cert_resolver(Arc::new(selection));
        config.alpn_protocols.clone_from(&options.alpn_protocols);
        if let Some(log) = &options.key_log {
            config.key_log = Arc::clone(log);
        }
        set_sessions(&mut config, &options.sessions, &identity)?;
        let without_alpn = (!config.alpn_protocols.is_empty()).then(|| without_alpn(&config));
        let verifies = match &options.client_certificates {
            ClientCertificates::Ignored => false,
            ClientCertificates::Optional(asked) | ClientCertificates::Required(asked) => {
                asked.is_strict()
            }
        };
        Ok(Self { config: Arc::new(config), without_alpn, verifies })
    }
}

fn without_alpn(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols.clear();
    Arc::new(config)
}

fn certificates(
    options: &ServerOptions,
    provider: &rustls::crypto::CryptoProvider,
) -> Result<Vec<Arc<CertifiedKey>>, ContextError> {
    if options.identities.is_empty() {
        return Err(ContextError::of_field("tls_certificates", "is empty"));
    }
    let load = |identity| load::certified_key(identity, provider).map(Arc::new);
    options.identities.iter().map(load).collect()
}

/// What tells this context from another that shares its ticket keys: its certificates and what it
/// asks of clients. The same configuration gives the same on every worker and after a restart.
fn identity(options: &ServerOptions, certificates: &[Arc<CertifiedKey>]) -> [u8; 32] {
    let mut text = Vec::new();
    for leaf in certificates.iter().filter_map(|one| one.cert.first()) {
        text.extend_from_slice(&sha256(leaf));
    }
    // The debug form names every field of the validation, sources included.
    text.extend_from_slice(format!("{:?}", options.client_certificates).as_bytes());
    text.push(u8::from(options.require_sni));
    sha256(&text)
}

fn set_sessions(
    config: &mut ServerConfig,
    sessions: &Sessions,
    identity: &[u8; 32],
) -> Result<(), ContextError> {
    config.session_storage = match sessions.stateful {
        true => ServerSessionMemoryCache::new(STATEFUL_SESSIONS),
        false => Arc::new(NoServerSessionStorage {}),
    };
    // 0-RTT stays off: `max_early_data_size` is zero unless somebody sets it.
    config.send_tls13_tickets = if sessions.tickets || sessions.stateful { TICKETS } else { 0 };
    if !sessions.tickets {
        return Ok(());
    }
    config.ticketer = match &sessions.keys {
        Some(keys) => Arc::new(Ticketer::new(keys, identity, sessions.timeout_s)?),
        None => {
            let own = RandomTicketer::new();
            let own = own.map_err(|error| ContextError::of_field("session_ticket_keys", error))?;
            Arc::new(Kept { tickets: own, lifetime_s: sessions.timeout_s })
        }
    };
    Ok(())
}
