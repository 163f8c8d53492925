//! Whose order of suites counts with TLS 1.2: the server's, unless `prefer_client_ciphers` says
//! otherwise, and among equals of a group the client's.
//!
//! rustls knows one order for both versions of TLS, and with TLS 1.3 the client's counts, as in
//! BoringSSL. So a client that comes with TLS 1.2 is served by a configuration of its own.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::ResolvesServerCert;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ServerConfig, SupportedCipherSuite};

use crate::hello::Said;

/// A configuration, and the same without ALPN where it has some.
#[derive(Debug, Clone)]
pub(crate) struct Configs {
    pub(crate) usual: Arc<ServerConfig>,
    pub(crate) without_alpn: Option<Arc<ServerConfig>>,
}

impl Configs {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let without_alpn = (!config.alpn_protocols.is_empty()).then(|| {
            let mut config = config.clone();
            config.alpn_protocols.clear();
            Arc::new(config)
        });
        Self { usual: Arc::new(config), without_alpn }
    }
}

/// What configurations of one context have in common.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) clients: Arc<dyn ClientCertVerifier>,
    pub(crate) certificates: Arc<dyn ResolvesServerCert>,
}

/// The order of one context.
pub(crate) struct Order {
    /// Preferred first; those of one group are equal.
    groups: Vec<Vec<SupportedCipherSuite>>,
    /// For clients that agree with the order in which groups are written.
    usual: Configs,
    /// TLS 1.3 is not spoken at all.
    only_1_2: bool,
    parts: Parts,
    /// Where everything else stands.
    model: Arc<ServerConfig>,
}

impl Order {
    pub(crate) fn new(
        groups: Vec<Vec<SupportedCipherSuite>>,
        only_1_2: bool,
        parts: Parts,
        model: &Arc<ServerConfig>,
    ) -> Result<Self, rustls::Error> {
        let usual = make(groups.concat(), &parts, model)?;
        Ok(Self { groups, usual, only_1_2, parts, model: Arc::clone(model) })
    }

    /// What serves a client that has said this; nothing where TLS 1.3 will be spoken.
    pub(crate) fn configs(&self, said: &Said) -> Option<Result<Configs, rustls::Error>> {
        if said.suites.is_empty() || said.knows_1_3 && !self.only_1_2 {
            return None;
        }
        let place = |suite: &SupportedCipherSuite| {
            said.suites.iter().position(|offered| *offered == suite.suite())
        };
        let groups = self.groups.iter().map(|group| {
            let mut offered: Vec<_> = group.iter().filter(|one| place(one).is_some()).collect();
            let written = offered.clone();
            offered.sort_by_key(|one| place(one));
            (offered == written, offered)
        });
        let (agrees, wished): (Vec<bool>, Vec<_>) = groups.unzip();
        if agrees.into_iter().all(|agrees| agrees) {
            return Some(Ok(self.usual.clone()));
        }
        let wished = wished.into_iter().flatten().copied().collect();
        Some(make(wished, &self.parts, &self.model))
    }
}

fn make(
    suites: Vec<SupportedCipherSuite>,
    parts: &Parts,
    model: &ServerConfig,
) -> Result<Configs, rustls::Error> {
    let provider =
        CryptoProvider { cipher_suites: suites, ..CryptoProvider::clone(&parts.provider) };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])?
        .with_client_cert_verifier(Arc::clone(&parts.clients))
        .with_cert_resolver(Arc::clone(&parts.certificates));
    config.ignore_client_order = true;
    config.alpn_protocols.clone_from(&model.alpn_protocols);
    config.session_storage = Arc::clone(&model.session_storage);
    config.ticketer = Arc::clone(&model.ticketer);
    config.key_log = Arc::clone(&model.key_log);
    Ok(Configs::new(config))
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("groups", &self.groups).finish_non_exhaustive()
    }
}
