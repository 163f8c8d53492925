//! Resumption: `session_ticket_keys`, what is turned off, `session_timeout`.

use ringway_tls::{Sessions, TicketKey, TicketKeys};

use super::super::Cx;
use super::super::at::At;
use super::super::proto::tls;
use super::super::value::duration;
use super::{secret, source};

pub(super) fn sessions(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &tls::DownstreamTlsContext,
) -> Option<Sessions> {
    use tls::downstream_tls_context::SessionTicketKeysType as Type;
    let defaults = Sessions::default();
    let (tickets, keys) = match &message.session_ticket_keys_type {
        None => (true, None),
        Some(Type::DisableStatelessSessionResumption(off)) => (!off, None),
        Some(Type::SessionTicketKeys(list)) => {
            (true, Some(keys(cx, &at.field("session_ticket_keys"), list)?))
        }
        Some(Type::SessionTicketKeysSdsSecretConfig(config)) => {
            let at = at.field("session_ticket_keys_sds_secret_config");
            let found = secret::with(cx, &at, config, |at, list| keys(cx, at, list));
            (true, Some(found?))
        }
    };
    let timeout = duration(&at.field("session_timeout"), message.session_timeout);
    // Fractions are cut; 0 is BoringSSL's word for the default.
    let timeout = timeout.map_or(0, |timeout| u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX));
    Some(Sessions {
        tickets,
        stateful: !message.disable_stateful_session_resumption,
        keys,
        timeout_s: if timeout == 0 { defaults.timeout_s } else { timeout },
    })
}

fn keys(cx: &Cx<'_>, at: &At<'_>, message: &tls::TlsSessionTicketKeys) -> Option<TicketKeys> {
    let at = at.field("keys");
    let each = message.keys.iter().enumerate();
    let all: Vec<Option<TicketKey>> = each
        .map(|(index, one)| {
            let at = at.index(index);
            let source = source::read(cx, &at, one)?;
            let wrong = |_| {
                at.invalid(format_args!(
                    "Incorrect TLS session ticket key length. Length {}, expected length 80.",
                    source.bytes.len()
                ));
            };
            TicketKey::new(&source.bytes).map_err(wrong).ok()
        })
        .collect();
    all.into_iter().collect::<Option<Vec<_>>>().map(TicketKeys)
}
