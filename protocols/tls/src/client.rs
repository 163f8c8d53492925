//! The context of an upstream: `UpstreamTlsContext`, built once, shared by all workers.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;

use crate::certificate::Certificate;
use crate::load::{self, ContextError, Identity};
use crate::notes::NoteSecrets;
use crate::parameters::Parameters;
use crate::select::parse_leaf;
use crate::signature::limited;
use crate::verify::{PeerVerifier, Validation};

/// Envoy's groups of an upstream. The hybrid is sent with TLS 1.3 only.
const GROUPS: &[&dyn rustls::crypto::SupportedKxGroup] =
    &[kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1];

/// All that a client context is made of.
#[derive(Clone)]
pub struct ClientOptions {
    /// The certificate to show when a server asks for one.
    pub identity: Option<Identity>,
    /// What the server's certificate has to be.
    pub validation: Validation,
    /// Protocols by preference; none for no ALPN.
    pub alpn_protocols: Vec<Vec<u8>>,
    /// Versions, suites, groups.
    pub parameters: Parameters,
    /// `max_session_keys`: how many servers' sessions are remembered; 0 turns resumption off.
    pub max_session_keys: usize,
    /// As in [`ServerOptions`](crate::ServerOptions).
    pub key_log: bool,
}

impl Default for ClientOptions {
    /// Envoy's: TLS 1.2, nothing verified, one session remembered.
    fn default() -> Self {
        Self {
            identity: None,
            validation: Validation::default(),
            alpn_protocols: Vec::new(),
            parameters: Parameters::upstream(),
            max_session_keys: 1,
            key_log: false,
        }
    }
}

/// A server name that cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no server name")]
pub struct ServerNameError(pub String);

/// A built context; a clone is a reference to the same.
#[derive(Debug, Clone)]
pub struct ClientContext {
    pub(crate) config: Arc<ClientConfig>,
    /// No server is talked to whose certificate is not good.
    pub(crate) verifies: bool,
    /// The certificate of `options.identity`.
    pub(crate) local: Option<Arc<Certificate>>,
}

impl ClientContext {
    /// Builds and checks everything that can be wrong.
    pub fn new(options: &ClientOptions) -> Result<Self, ContextError> {
        let provider = options.parameters.provider(GROUPS)?;
        let schemes = options.parameters.schemes()?;
        let verifier = PeerVerifier::of_servers(&options.validation, &provider)?;
        let verifier = Arc::new(verifier.limited(schemes.clone()));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(options.parameters.versions()?);
        let builder = builder.map_err(|error| ContextError::of_field("tls_params", error))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut local = None;
        let mut config = match &options.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = limited(load::certified_key(identity, &provider)?, schemes.as_ref());
                local = parse_leaf(&key).map(Arc::new);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        config.alpn_protocols.clone_from(&options.alpn_protocols);
        config.resumption = match options.max_session_keys {
            0 => Resumption::disabled(),
            size => Resumption::in_memory_sessions(size),
        };
        if options.key_log {
            config.key_log = Arc::new(NoteSecrets);
        }
        Ok(Self { config: Arc::new(config), verifies: options.validation.is_strict(), local })
    }
}

/// The name as rustls wants it. Without one, an address that is not sent stands in.
pub(crate) fn server_name(sni: Option<&str>) -> Result<ServerName<'static>, ServerNameError> {
    let Some(sni) = sni else { return Ok(ServerName::from(IpAddr::from([0, 0, 0, 0]))) };
    ServerName::try_from(sni.to_owned()).map_err(|_| ServerNameError(sni.to_owned()))
}
