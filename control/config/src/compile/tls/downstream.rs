//! `DownstreamTlsContext`.

use ringway_model::transport::DownstreamTls;
use ringway_tls::{ClientCertificates, Parameters, ServerContext, ServerOptions};

use super::super::at::At;
use super::super::proto::tls;
use super::super::{Cx, stat_names};
use super::{identity, parameters, validation};

pub(super) fn context(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &tls::DownstreamTlsContext,
    scope: &str,
) -> Option<DownstreamTls> {
    let none = tls::CommonTlsContext::default();
    let common = message.common_tls_context.as_ref().unwrap_or(&none);
    let at_common = at.field("common_tls_context");
    let loaded = identity::each(cx, &at_common.field("tls_certificates"), &common.tls_certificates);
    let parameters = parameters::parameters(
        &at_common.field("tls_params"),
        common.tls_params.as_ref(),
        Parameters::downstream(),
    );
    let validation = validation::of(cx, &at_common, common);
    let (loaded, parameters, validation) = (loaded?, parameters?, validation?);
    if loaded.is_empty() {
        at.invalid("No TLS certificates found for server context");
        return None;
    }
    let (identities, certificates) =
        loaded.into_iter().map(|one| (one.identity, one.shown)).unzip();
    let options = ServerOptions {
        alpn_protocols: alpn(common),
        parameters,
        client_certificates: match validation.validation {
            validation if validation.trusted_ca.is_none() => ClientCertificates::Ignored,
            validation => ClientCertificates::Optional(validation),
        },
        ..ServerOptions::new(identities)
    };
    let context = ServerContext::new(&options);
    let context = context.map_err(|error| parameters::refuse(&at_common, &error)).ok()?;
    let (stats, scope) = stat_names::listener_ssl(&cx.env.catalog, scope);
    Some(DownstreamTls { context, stats, scope, certificates, authorities: validation.authorities })
}

/// `alpn_protocols`, by preference.
pub(super) fn alpn(common: &tls::CommonTlsContext) -> Vec<Vec<u8>> {
    let names = common.alpn_protocols.iter();
    names.map(|name| name.clone().into_bytes()).collect()
}
