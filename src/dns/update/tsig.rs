//! Signs requests and verifies replies with a shared key (RFC 8945).
//!
//! Format and digest input are hickory's; the HMAC is made here, since hickory keeps the secret in memory that is not wiped.

use std::fmt;

use aws_lc_rs::hmac;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::TSIG;
use hickory_proto::rr::rdata::tsig::{
    TsigAlgorithm, TsigError, make_tsig_record, message_tbs, signed_bitmessage_to_buf,
};

use super::error::UpdateFailure;
use super::key_file::{self, KeyError};

/// How far two clocks may be apart, in seconds (RFC 8945 section 10).
const FUDGE: u16 = 300;

/// Bit TC in the third octet of a message.
const TC: u8 = 0x02;

/// A key that is shared with a server.
pub struct Key {
    name: Name,
    algorithm: TsigAlgorithm,
    // Wiped when it is dropped.
    secret: hmac::Key,
}

impl Key {
    /// Reads the file of a key as `tsig-keygen` of BIND writes it.
    ///
    /// # Errors
    ///
    /// The text is no key, or one of an algorithm or length that is not safe.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        key_file::parse(text)
    }

    /// None if the algorithm is not supported.
    pub(super) fn new(name: Name, algorithm: TsigAlgorithm, secret: &[u8]) -> Option<Self> {
        let hmac = match algorithm {
            TsigAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
            TsigAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
            TsigAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
            _ => return None,
        };
        Some(Self { name: name.to_lowercase(), algorithm, secret: hmac::Key::new(hmac, secret) })
    }

    /// Its name, without trailing dot.
    pub(super) fn name(&self) -> String {
        super::text(&self.name)
    }

    /// Signs a request at the time `now`.
    pub(super) fn sign(&self, mut message: Message, now: u64) -> Result<Signed, UpdateFailure> {
        // None of this fails but for the sake of the length.
        let too_large = |_| UpdateFailure::TooLarge;
        let id = message.metadata.id;
        let blank = TSIG::new(self.algorithm.clone(), now, FUDGE, Vec::new(), id, None, Vec::new());
        let input = message_tbs(&message, &blank, &self.name).map_err(too_large)?;
        let mac = hmac::sign(&self.secret, &input).as_ref().to_vec();
        message.set_signature(Box::new(make_tsig_record(
            self.name.clone(),
            blank.set_mac(mac.clone()),
        )));
        let octets = message.to_vec().map_err(too_large)?;
        // What does not fit is left out by the encoder, which says so in this bit.
        if octets.len() > usize::from(u16::MAX) || octets.get(2).is_none_or(|bits| bits & TC != 0) {
            return Err(UpdateFailure::TooLarge);
        }
        let op_code = message.metadata.op_code;
        Ok(Signed { octets, id, op_code, mac, at: now })
    }

    /// Reads the reply to `request`, if it is signed by this key. Order of checks: RFC 8945 section 5.3.
    pub(super) fn verify(&self, request: &Signed, octets: &[u8]) -> Result<Message, UpdateFailure> {
        let reply = Message::from_vec(octets).map_err(|_| UpdateFailure::Malformed)?;
        let head = &reply.metadata;
        let matches = head.message_type == MessageType::Response
            && head.id == request.id
            && head.op_code == request.op_code;
        if !matches {
            return Err(UpdateFailure::Malformed);
        }
        let rcode = u16::from(head.response_code);
        let Some(signature) = reply.signature() else {
            return Err(UpdateFailure::Unsigned { rcode });
        };
        let tsig = &signature.data;
        // These two are not signed (RFC 8945 section 5.3.2): the word of whoever answered, but an error either way.
        if head.response_code == ResponseCode::NotAuth && tsig.mac.is_empty() {
            match tsig.error {
                Some(TsigError::BadKey) => {
                    let (key, algorithm) = (self.name(), self.algorithm.to_string());
                    return Err(UpdateFailure::BadKey { key, algorithm });
                }
                Some(TsigError::BadSig) => {
                    return Err(UpdateFailure::BadSignature { key: self.name() });
                }
                _ => {}
            }
        }
        if signature.name != self.name || tsig.algorithm != self.algorithm {
            return Err(UpdateFailure::BadReply);
        }
        let (input, _) = signed_bitmessage_to_buf(octets, Some(&request.mac), true)
            .map_err(|_| UpdateFailure::Malformed)?;
        // The whole MAC: truncated ones are no more than a licence to guess.
        hmac::verify(&self.secret, &input, &tsig.mac).map_err(|_| UpdateFailure::BadReply)?;
        match tsig.error {
            Some(TsigError::BadTime) => {
                let server = tsig.other.iter().fold(0, |time, octet| time << 8 | u64::from(*octet));
                return Err(UpdateFailure::BadTime { by: apart(server, request.at) });
            }
            Some(error) => return Err(UpdateFailure::Tsig(u16::from(error))),
            None => {}
        }
        let by = apart(tsig.time, request.at);
        if by.unsigned_abs() > u64::from(FUDGE) {
            return Err(UpdateFailure::StaleReply { by });
        }
        Ok(reply)
    }
}

/// The first time less the second.
fn apart(one: u64, two: u64) -> i64 {
    let one = i64::try_from(one).unwrap_or(i64::MAX);
    one.saturating_sub(i64::try_from(two).unwrap_or(i64::MAX))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.algorithm)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// A signed request.
pub(super) struct Signed {
    /// The whole message.
    pub(super) octets: Vec<u8>,
    id: u16,
    op_code: OpCode,
    mac: Vec<u8>,
    at: u64,
}
