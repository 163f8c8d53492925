//! `UpstreamTlsContext`.

use ringway_model::transport::UpstreamTls;
use ringway_tls::{ClientContext, ClientOptions, Parameters};

use super::super::at::At;
use super::super::proto::tls;
use super::super::value::or_u32;
use super::super::{Cx, stat_names};
use super::{downstream, identity, parameters, validation};

pub(super) fn context(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &tls::UpstreamTlsContext,
    scope: &str,
) -> Option<UpstreamTls> {
    let none = tls::CommonTlsContext::default();
    let common = message.common_tls_context.as_ref().unwrap_or(&none);
    let at_common = at.field("common_tls_context");
    let loaded = identity::each(cx, &at_common.field("tls_certificates"), &common.tls_certificates);
    let validation = validation::of(cx, &at_common, common);
    let parameters = parameters::parameters(
        &at_common.field("tls_params"),
        common.tls_params.as_ref(),
        Parameters::upstream(),
    );
    let (loaded, validation, parameters) = (loaded?, validation?, parameters?);
    let (identities, certificates): (Vec<_>, _) =
        loaded.into_iter().map(|one| (one.identity, one.shown)).unzip();
    if identities.len() > 1 {
        at_common
            .field("tls_certificates")
            .invalid("Multiple TLS certificates are not supported for client contexts");
        return None;
    }
    let options = ClientOptions {
        identity: identities.into_iter().next(),
        validation: validation.validation,
        alpn_protocols: downstream::alpn(common),
        parameters,
        max_session_keys: or_u32(message.max_session_keys, 1) as usize,
        ..ClientOptions::default()
    };
    let context = ClientContext::new(&options);
    let context = context.map_err(|error| parameters::refuse(&at_common, &error)).ok()?;
    let (stats, scope) = stat_names::cluster_ssl(&cx.env.catalog, scope);
    Some(UpstreamTls {
        context,
        sni: (!message.sni.is_empty()).then(|| message.sni.as_str().into()),
        auto_host_sni: message.auto_host_sni,
        stats,
        scope,
        certificates,
        authorities: validation.authorities,
    })
}
