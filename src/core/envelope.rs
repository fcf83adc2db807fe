//! What is derived from an envelope's clear part.

use super::codec::Field;
use super::error::EncodeError;
use super::ids::EnvelopeId;
use super::keys::SealedKey;
use super::label::{Label, sha256};

const HEADER: Field = Field::new("header", 1, 0xffff);
const ENC: Field = Field::new("enc", 1, 0xffff);

// struct {
//     opaque label<1..255>;             /* "mta-seal/1 content-key" */
//     opaque header_hash[32];           /* SHA-256(header) */
// } ContentKeyInfo;
/// The HPKE `info` under which the content key is sealed [R-env-05].
pub(super) fn content_key_info(header: &[u8]) -> Vec<u8> {
    let mut info = Label::ContentKey.begin();
    info.extend_from_slice(&sha256(header));
    info
}

// struct {
//     opaque label<1..255>;             /* "mta-seal/1 envelope-id" */
//     opaque header<1..2^16-1>;
//     opaque enc<1..2^16-1>;
//     opaque sealed_key[48];
// } EnvelopeIdInput;
/// The identifier of an envelope [R-env-06].
pub(super) fn envelope_id(
    header: &[u8],
    enc: &[u8],
    sealed_key: &SealedKey,
) -> Result<EnvelopeId, EncodeError> {
    let mut input = Label::EnvelopeId.begin();
    HEADER.put(&mut input, header)?;
    ENC.put(&mut input, enc)?;
    input.extend_from_slice(sealed_key);
    Ok(EnvelopeId::from_bytes(sha256(&input)))
}

// struct {
//     opaque label<1..255>;             /* "mta-seal/1 body" */
//     opaque envelope_id[32];
// } BodyContext;
/// The context of the chunked encryption [R-env-07].
pub(super) fn body_context(envelope_id: &EnvelopeId) -> Vec<u8> {
    let mut context = Label::Body.begin();
    context.extend_from_slice(envelope_id.as_bytes());
    context
}
