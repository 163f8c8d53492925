//! `UpstreamTlsContext`.

use ringway_model::transport::UpstreamTls;
use ringway_tls::{ClientContext, ClientOptions, Parameters, Validation};

use super::super::at::At;
use super::super::proto::tls;
use super::super::value::or_u32;
use super::super::{Cx, stat_names};
use super::{Scope, alpn, identity, key_log, parameters, validation};

pub(super) fn context(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &tls::UpstreamTlsContext,
    scope: &str,
) -> Option<UpstreamTls> {
    let none = tls::CommonTlsContext::default();
    let common = message.common_tls_context.as_ref().unwrap_or(&none);
    let at_common = at.field("common_tls_context");
    let (stats, name) = stat_names::cluster_ssl(&cx.env.catalog, scope);
    let scope = Scope { cx, name: &name, is_server: false };
    let loaded = identity::all(&scope, &at_common, common);
    let parameters = parameters::parameters(
        &at_common.field("tls_params"),
        common.tls_params.as_ref(),
        Parameters::upstream(),
    );
    let validation = validation::of(&scope, &at_common, common);
    let alpn_protocols = alpn(&at_common, common);
    let key_log = key_log::of(cx, &at_common, common);
    if message.enforce_rsa_key_usage.is_some() {
        at.field("enforce_rsa_key_usage").no_effect("Envoy 1.40 ignores it");
    }
    let (loaded, validation, key_log) = (loaded?, validation?, key_log?);
    let (identities, certificates): (Vec<_>, Vec<_>) =
        loaded.into_iter().map(|one| (one.identity, one.shown)).unzip();
    if identities.len() > 1 {
        at_common.invalid("Multiple TLS certificates are not supported for client contexts");
        return None;
    }
    let authorities = validation.authorities.clone();
    let options = ClientOptions {
        identity: identities.into_iter().next(),
        validation: of_server(at, message, validation)?,
        alpn_protocols: alpn_protocols?,
        parameters: parameters?,
        max_session_keys: or_u32(message.max_session_keys, 1) as usize,
        key_log: key_log.is_some(),
    };
    let context = ClientContext::new(&options);
    let context = context.map_err(|error| at.inside(error.field).invalid(&error.reason)).ok()?;
    Some(UpstreamTls {
        context,
        sni: (!message.sni.is_empty()).then(|| message.sni.as_str().into()),
        auto_host_sni: message.auto_host_sni,
        stats,
        scope: name,
        certificates,
        authorities,
        key_log,
    })
}

/// `auto_sni_san_validation` takes the place of the matchers of names.
fn of_server(
    at: &At<'_>,
    message: &tls::UpstreamTlsContext,
    loaded: validation::Loaded,
) -> Option<Validation> {
    if !message.auto_sni_san_validation {
        return Some(loaded.validation);
    }
    let at = at.field("auto_sni_san_validation");
    if !loaded.given {
        at.invalid("'auto_sni_san_validation' was configured without a validation context");
        return None;
    }
    if loaded.validation.trusted_ca.is_none() && loaded.validation.spiffe.is_none() {
        at.invalid("needs trusted_ca: without it any certificate can claim any name");
        return None;
    }
    Some(Validation { names: Vec::new(), server_name: true, ..loaded.validation })
}
