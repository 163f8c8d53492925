//! `DownstreamTlsContext`.

use ringway_model::transport::DownstreamTls;
use ringway_tls::{
    ClientCertificates, Parameters, ServerContext, ServerOptions, StaplePolicy, Validation,
};

use super::super::at::At;
use super::super::proto::tls;
use super::super::value::or_bool;
use super::super::{Cx, stat_names};
use super::{Scope, alpn, identity, key_log, parameters, session, validation};

pub(super) fn context(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &tls::DownstreamTlsContext,
    scope: &str,
) -> Option<DownstreamTls> {
    let none = tls::CommonTlsContext::default();
    let common = message.common_tls_context.as_ref().unwrap_or(&none);
    let at_common = at.field("common_tls_context");
    let (stats, name) = stat_names::listener_ssl(&cx.env.catalog, scope);
    let scope = Scope { cx, name: &name, is_server: true };
    let loaded = identity::all(&scope, &at_common, common);
    let parameters = parameters::parameters(
        &at_common.field("tls_params"),
        common.tls_params.as_ref(),
        Parameters::downstream(),
    );
    let validation = validation::of(&scope, &at_common, common);
    let sessions = session::sessions(cx, at, message);
    let alpn_protocols = alpn(&at_common, common);
    let key_log = key_log::of(cx, &at_common, common);
    let (loaded, validation, key_log) = (loaded?, validation?, key_log?);
    if loaded.is_empty() {
        at.invalid("No TLS certificates found for server context");
        return None;
    }
    let (identities, certificates) =
        loaded.into_iter().map(|one| (one.identity, one.shown)).unzip();
    let options = ServerOptions {
        alpn_protocols: alpn_protocols?,
        parameters: parameters?,
        client_certificates: client_certificates(at, message, validation.validation),
        sessions: sessions?,
        require_sni: or_bool(message.require_sni, false),
        prefer_client_ciphers: message.prefer_client_ciphers,
        full_scan_certs_on_sni_mismatch: or_bool(message.full_scan_certs_on_sni_mismatch, false),
        key_log: key_log.is_some(),
        staple_policy: staple_policy(message),
        ..ServerOptions::new(identities)
    };
    let context = ServerContext::new(&options);
    let context = context.map_err(|error| at.inside(error.field).invalid(&error.reason)).ok()?;
    let authorities = validation.authorities;
    Some(DownstreamTls { context, stats, scope: name, certificates, authorities, key_log })
}

fn staple_policy(message: &tls::DownstreamTlsContext) -> StaplePolicy {
    use tls::downstream_tls_context::OcspStaplePolicy as Policy;
    match Policy::try_from(message.ocsp_staple_policy) {
        Ok(Policy::StrictStapling) => StaplePolicy::Strict,
        Ok(Policy::MustStaple) => StaplePolicy::Must,
        // The rules of the API refuse other numbers.
        Ok(Policy::LenientStapling) | Err(_) => StaplePolicy::Lenient,
    }
}

/// As Envoy 1.40 does it: what there is to be verified makes it ask for a certificate, and names or
/// pins make it insist on one.
fn client_certificates(
    at: &At<'_>,
    message: &tls::DownstreamTlsContext,
    validation: Validation,
) -> ClientCertificates {
    let required = or_bool(message.require_client_certificate, false);
    if validation.spiffe.is_some() {
        return ClientCertificates::Required(validation);
    }
    let Validation { trusted_ca, names, hashes, spki_hashes, accept_untrusted, .. } = &validation;
    let pinned = !hashes.is_empty() || !spki_hashes.is_empty();
    if trusted_ca.is_none() && !pinned && !accept_untrusted {
        if required {
            at.field("require_client_certificate").no_effect(
                "there is nothing to verify a certificate with, so that clients are not asked for \
                 one; trusted_ca is missing",
            );
        }
        return ClientCertificates::Ignored;
    }
    match required || !accept_untrusted && (pinned || !names.is_empty()) {
        true => ClientCertificates::Required(validation),
        false => ClientCertificates::Optional(validation),
    }
}
