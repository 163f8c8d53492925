//! The context of a downstream: `DownstreamTlsContext`, built once, shared by all workers.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer as RandomTicketer, kx_group};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;

use crate::certificate::sha256;
use crate::load::{self, ContextError, Identity};
use crate::notes::NoteSecrets;
use crate::order::{Configs, Order, Parts};
use crate::parameters::{Parameters, TlsVersion};
use crate::select::{Rules, Selection};
use crate::signature::limited;
use crate::staple::StaplePolicy;
use crate::ticket::{Aged, TicketKeys, Ticketer};
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
    /// `session_timeout`, in seconds: how long after the handshake in which a session began it may
    /// be resumed.
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
    /// `prefer_client_ciphers`: with TLS 1.2 the client's order of suites counts.
    pub prefer_client_ciphers: bool,
    /// `full_scan_certs_on_sni_mismatch`.
    pub full_scan_certs_on_sni_mismatch: bool,
    /// `ocsp_staple_policy`.
    pub staple_policy: StaplePolicy,
    /// The secrets of sessions are kept, for whoever looks into captured traffic, see
    /// [`Engine::take_key_log`](crate::Engine::take_key_log).
    pub key_log: bool,
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
            prefer_client_ciphers: false,
            full_scan_certs_on_sni_mismatch: false,
            staple_policy: StaplePolicy::default(),
            key_log: false,
        }
    }
}

/// A built context; a clone is a reference to the same.
#[derive(Debug, Clone)]
pub struct ServerContext {
    /// Without ALPN for clients whose protocols are all unknown.
    pub(crate) configs: Configs,
    /// Others for clients of TLS 1.2, unless their order of suites counts.
    pub(crate) order: Option<Arc<Order>>,
    /// No client is let in with a certificate that is not good.
    pub(crate) verifies: bool,
}

impl ServerContext {
    /// Builds and checks everything that can be wrong.
    pub fn new(options: &ServerOptions) -> Result<Self, ContextError> {
        let provider = options.parameters.provider(GROUPS)?;
        let certificates = certificates(options, &provider)?;
        let schemes = options.parameters.schemes()?;
        let clients = |validation, mandatory| {
            let verifier = PeerVerifier::of_clients(validation, mandatory, &provider)?;
            Ok::<_, ContextError>(verifier.limited(schemes.clone()))
        };
        let clients: Arc<dyn ClientCertVerifier> = match &options.client_certificates {
            ClientCertificates::Ignored => WebPkiClientVerifier::no_client_auth(),
            ClientCertificates::Optional(validation) => Arc::new(clients(validation, false)?),
            ClientCertificates::Required(validation) => Arc::new(clients(validation, true)?),
        };
        let identity = identity(options, &certificates);
        let staples: Result<_, _> = options.identities.iter().map(Identity::staple).collect();
        let rules = Rules {
            full_scan: options.full_scan_certs_on_sni_mismatch,
            require_sni: options.require_sni,
            staple: options.staple_policy,
        };
        let selection = Arc::new(Selection::new(certificates, staples?, rules)?);
        let parts = Parts { provider, clients, certificates: selection };
        let mut config = builder(options, &parts)?;
        config.alpn_protocols.clone_from(&options.alpn_protocols);
        if options.key_log {
            config.key_log = Arc::new(NoteSecrets);
        }
        set_sessions(&mut config, &options.sessions, &identity)?;
        let configs = Configs::new(config);
        let order = order(options, parts, &configs.usual)?;
        let verifies = match &options.client_certificates {
            ClientCertificates::Ignored => false,
            ClientCertificates::Optional(asked) | ClientCertificates::Required(asked) => {
                asked.is_strict()
            }
        };
        Ok(Self { configs, order, verifies })
    }
}

fn builder(options: &ServerOptions, parts: &Parts) -> Result<ServerConfig, ContextError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(&parts.provider));
    let builder = builder.with_protocol_versions(options.parameters.versions()?);
    let builder = builder.map_err(|error| ContextError::of_field("tls_params", error))?;
    let builder = builder.with_client_cert_verifier(Arc::clone(&parts.clients));
    Ok(builder.with_cert_resolver(Arc::clone(&parts.certificates)))
}

/// The order of suites of a context that speaks TLS 1.2 and whose own order counts.
fn order(
    options: &ServerOptions,
    parts: Parts,
    config: &Arc<ServerConfig>,
) -> Result<Option<Arc<Order>>, ContextError> {
    let Parameters { min, max, .. } = options.parameters;
    if options.prefer_client_ciphers || min > TlsVersion::V1_2 {
        return Ok(None);
    }
    let groups = options.parameters.groups()?;
    let order = Order::new(groups, max == TlsVersion::V1_2, parts, config);
    let order = order.map_err(|error| ContextError::of_field("tls_params", error))?;
    Ok(Some(Arc::new(order)))
}

fn certificates(
    options: &ServerOptions,
    provider: &rustls::crypto::CryptoProvider,
) -> Result<Vec<Arc<CertifiedKey>>, ContextError> {
    if options.identities.is_empty() {
        return Err(ContextError::of_field("tls_certificates", "is empty"));
    }
    let schemes = options.parameters.schemes()?;
    let load = |identity| {
        let certified = load::certified_key(identity, provider)?;
        Ok(Arc::new(limited(certified, schemes.as_ref())))
    };
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
        true => {
            let memory = ServerSessionMemoryCache::new(STATEFUL_SESSIONS);
            Arc::new(Aged::new(memory, sessions.timeout_s))
        }
        false => Arc::new(NoServerSessionStorage {}),
    };
    // 0-RTT stays off: `max_early_data_size` is zero unless somebody sets it.
    config.send_tls13_tickets = if sessions.tickets || sessions.stateful { TICKETS } else { 0 };
    if !sessions.tickets {
        return Ok(());
    }
    let tickets: Arc<dyn ProducesTickets> = match &sessions.keys {
        Some(keys) => Arc::new(Ticketer::new(keys, identity)?),
        None => {
            let own = RandomTicketer::new();
            own.map_err(|error| ContextError::of_field("session_ticket_keys", error))?
        }
    };
    config.ticketer = Arc::new(Aged::new(tickets, sessions.timeout_s));
    Ok(())
}
