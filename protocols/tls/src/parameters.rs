//! `tls_params`: versions, cipher suites, groups and signatures by Envoy's names.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs as provider};
use rustls::{SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion};

use crate::load::ContextError;
use crate::signature;

/// The versions that exist here. TLS 1.0 and 1.1 do not (RFC 8996).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// What may be negotiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// The lowest version.
    pub min: TlsVersion,
    /// The highest version.
    pub max: TlsVersion,
    /// Names of suites of TLS 1.2, preferred first; those of a group `[A|B]` are equal. Empty for
    /// all. The suites of TLS 1.3 are always on, as in Envoy.
    pub cipher_suites: Vec<String>,
    /// Names of groups, preferred first. Empty for the side's default.
    pub ecdh_curves: Vec<String>,
    /// Names of the algorithms with which either side signs, preferred first. Empty for all.
    pub signature_algorithms: Vec<String>,
    /// `compliance_policies`, which stands above the lists: `FIPS_202205`.
    pub fips_202205: bool,
}

/// BoringSSL's order: what is cheapest first.
const SUITES: &[SupportedCipherSuite] = {
    use provider::cipher_suite::*;
    &[
        TLS13_AES_128_GCM_SHA256,
        TLS13_AES_256_GCM_SHA384,
        TLS13_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ]
};

/// Those of TLS 1.2 among them as Envoy writes them.
const GROUPS_OF_SUITES: &[&str] = &[
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]",
    "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
];

impl Parameters {
    /// Envoy's defaults of a downstream context.
    pub fn downstream() -> Self {
        Self {
            min: TlsVersion::V1_2,
            max: TlsVersion::V1_3,
            cipher_suites: Vec::new(),
            ecdh_curves: Vec::new(),
            signature_algorithms: Vec::new(),
            fips_202205: false,
        }
    }

    /// Envoy's defaults of an upstream context, which offers TLS 1.2 alone.
    pub fn upstream() -> Self {
        Self { max: TlsVersion::V1_2, ..Self::downstream() }
    }

    /// Whether a context can be built with them.
    pub fn check(&self) -> Result<(), ContextError> {
        self.versions()?;
        self.schemes()?;
        self.provider(&[]).map(drop)
    }

    pub(crate) fn versions(
        &self,
    ) -> Result<&'static [&'static SupportedProtocolVersion], ContextError> {
        static V1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
        static V1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
        match (self.min, self.max) {
            (TlsVersion::V1_2, TlsVersion::V1_2) => Ok(V1_2),
            (TlsVersion::V1_3, TlsVersion::V1_3) => Ok(V1_3),
            (TlsVersion::V1_2, TlsVersion::V1_3) => Ok(rustls::ALL_VERSIONS),
            _ => Err(ContextError::of_field(
                "tls_params.tls_minimum_protocol_version",
                "is above tls_maximum_protocol_version",
            )),
        }
    }

    /// The provider with these suites and groups, or with the defaults given where none are named.
    pub(crate) fn provider(
        &self,
        default_groups: &[&'static dyn SupportedKxGroup],
    ) -> Result<Arc<CryptoProvider>, ContextError> {
        let mut chosen = provider::default_provider();
        chosen.cipher_suites = SUITES.to_vec();
        if !self.cipher_suites.is_empty() {
            chosen.cipher_suites.retain(|suite| suite.tls13().is_some());
            let names = self.cipher_suites.iter().flat_map(|name| members(name));
            for name in names {
                chosen.cipher_suites.push(suite(name)?);
            }
        }
        chosen.kx_groups = match self.ecdh_curves.is_empty() {
            true => default_groups.to_vec(),
            false => self.ecdh_curves.iter().map(|name| group(name)).collect::<Result<_, _>>()?,
        };
        if self.fips_202205 {
            chosen.cipher_suites = SUITES.iter().copied().filter(is_of_aes).collect();
            chosen.kx_groups = vec![provider::kx_group::SECP256R1, provider::kx_group::SECP384R1];
        }
        Ok(Arc::new(chosen))
    }

    /// The suites of TLS 1.2, preferred first; those of one group are equal.
    pub(crate) fn groups(&self) -> Result<Vec<Vec<SupportedCipherSuite>>, ContextError> {
        if self.fips_202205 {
            let ours = SUITES.iter().filter(|suite| suite.tls13().is_none() && is_of_aes(suite));
            return Ok(ours.map(|suite| vec![*suite]).collect());
        }
        let members = |name: &str| members(name).map(suite).collect::<Result<Vec<_>, _>>();
        match self.cipher_suites.is_empty() {
            true => GROUPS_OF_SUITES.iter().map(|name| members(name)).collect(),
            false => self.cipher_suites.iter().map(|name| members(name)).collect(),
        }
    }

    /// The algorithms of signatures, preferred first; `None` for all that there are.
    pub(crate) fn schemes(&self) -> Result<Option<Vec<SignatureScheme>>, ContextError> {
        let mut schemes = Vec::with_capacity(self.signature_algorithms.len());
        for name in &self.signature_algorithms {
            let refuse = |reason: &str| {
                let error = format!("{reason} signature algorithm {name:?}");
                ContextError::of_field("tls_params.signature_algorithms", error).about(name)
            };
            let scheme = signature::scheme(name).ok_or_else(|| refuse("unknown or unsupported"))?;
            if schemes.contains(&scheme) {
                return Err(refuse("repeated"));
            }
            schemes.push(scheme);
        }
        match (self.fips_202205, schemes.is_empty()) {
            (true, _) => Ok(Some(signature::FIPS_202205.to_vec())),
            (false, true) => Ok(None),
            (false, false) => Ok(Some(schemes)),
        }
    }
}

fn is_of_aes(suite: &SupportedCipherSuite) -> bool {
    use rustls::CipherSuite as Suite;
    !matches!(
        suite.suite(),
        Suite::TLS13_CHACHA20_POLY1305_SHA256
            | Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

/// `[A|B]` is BoringSSL's group of equally preferred suites.
fn members(name: &str) -> impl Iterator<Item = &str> {
    name.trim_start_matches('[').trim_end_matches(']').split('|')
}

fn suite(name: &str) -> Result<SupportedCipherSuite, ContextError> {
    use provider::cipher_suite as suites;
    let openssl = IANA.iter().find(|(iana, _)| *iana == name).map_or(name, |(_, openssl)| *openssl);
    Ok(match openssl {
        "ECDHE-ECDSA-AES128-GCM-SHA256" => suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256" => suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES256-GCM-SHA384" => suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384" => suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-CHACHA20-POLY1305" => suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-CHACHA20-POLY1305" => suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        _ => {
            let reason = format!("unknown or unsupported cipher suite {name:?}");
            let error = ContextError::of_field("tls_params.cipher_suites", reason);
            return Err(error.about(name));
        }
    })
}

/// The names of RFC 5289 and RFC 7905, which BoringSSL takes as well.
const IANA: &[(&str, &str)] = &[
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
];

fn group(name: &str) -> Result<&'static dyn SupportedKxGroup, ContextError> {
    use provider::kx_group;
    Ok(match name {
        "X25519" | "x25519" => kx_group::X25519,
        "P-256" | "prime256v1" => kx_group::SECP256R1,
        "P-384" | "secp384r1" => kx_group::SECP384R1,
        "X25519MLKEM768" => kx_group::X25519MLKEM768,
        "MLKEM1024" => kx_group::MLKEM1024,
        _ => {
            let reason = format!("unknown or unsupported group {name:?}");
            return Err(ContextError::of_field("tls_params.ecdh_curves", reason).about(name));
        }
    })
}
