//! What a message is called beside its trace id, for the audit trail.

use std::sync::OnceLock;

use crate::core::EnvelopeId;
use crate::mail::carrier::{TOKEN_FIELD, Token};
use crate::mail::header::Header;

/// Longest Message-ID that is looked at, in octets: a line has no more (RFC 5322 section 2.1.1).
const MAX_ID: usize = 998;

/// Names that become known while a message passes; the first of each stays.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Names {
    message_id: OnceLock<String>,
    envelope: OnceLock<EnvelopeId>,
    token: OnceLock<[u8; 16]>,
}

impl Names {
    /// Takes the Message-ID of the message itself, never that of a carrier.
    pub(in crate::gateway) fn of_message(&self, header: &Header) {
        if let Some(id) = message_id(header) {
            let _ = self.message_id.set(id);
        }
    }

    /// Takes the token of a carrier that came in.
    pub(in crate::gateway) fn of_carrier(&self, header: &Header) {
        let token = header.only(TOKEN_FIELD);
        if let Some(token) = token.and_then(|field| Token::parse(field.unfolded().trim_ascii())) {
            let _ = self.token.set(*token.as_bytes());
        }
    }

    /// Takes the envelope in it.
    pub(in crate::gateway) fn of_envelope(&self, id: EnvelopeId) {
        let _ = self.envelope.set(id);
    }

    pub(super) fn message_id(&self) -> &str {
        self.message_id.get().map_or("", String::as_str)
    }

    pub(super) fn envelope(&self) -> Option<EnvelopeId> {
        self.envelope.get().copied()
    }

    pub(super) fn token(&self) -> Option<[u8; 16]> {
        self.token.get().copied()
    }
}

/// The Message-ID of a message as its sender wrote it; none if it has none of its own.
fn message_id(header: &Header) -> Option<String> {
    let body = header.find("Message-ID").next()?.unfolded();
    let id = body.trim_ascii();
    let fits = !id.is_empty() && id.len() <= MAX_ID;
    fits.then(|| String::from_utf8_lossy(id).into_owned())
}
