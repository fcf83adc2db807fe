//! In-process DNSSEC validation (RFC 4035), by the `domain` crate's validator.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use domain::base::{Message, Name, Rtype};
use domain::dnssec::validator::context::{Config, ValidationContext, ValidationState};
use domain::net::client::request::{Error, GetResponse, SendRequest};

use super::anchor::Anchors;
use super::message::{self, End, Reading};
use super::outcome::{Authenticity, Lookup};
use super::transport::{Failure, Question, Transport};

/// NSEC3 iterations above which a zone counts as unsigned (RFC 9276 section 3.2).
const NSEC3_ITERATIONS: u16 = 100;

/// Judges the answers of one look-up.
///
/// Made anew for each look-up: the validator's caches keep a broken chain for a week and a good
/// signature beyond its expiry, and a shared one could not say whose question to a server failed.
pub(super) struct Validator {
    anchors: Anchors,
    context: ValidationContext<ChainSource>,
    source: ChainSource,
}

impl Validator {
    pub(super) fn new(anchors: &Anchors, transport: Arc<Transport>) -> Result<Self, Lookup> {
        let source = ChainSource { transport, failure: Arc::default() };
        let mut config = Config::new();
        config.set_nsec3_iter_insecure(NSEC3_ITERATIONS);
        let built = anchors.build().map_err(|_| Lookup::Bogus)?;
        let context = ValidationContext::with_config(built, source.clone(), config);
        Ok(Self { anchors: anchors.clone(), context, source })
    }

    /// The verdict over the part of `reply` that `reading` used, and the part itself with its
    /// TTLs lowered to what the signatures allow.
    pub(super) async fn judge(
        &self,
        reply: &Message<Bytes>,
        reading: &Reading,
    ) -> Result<(Authenticity, Message<Bytes>), Lookup> {
        let names = &reading.names;
        let Some(start) = names.first() else { return Err(Lookup::Malformed) };
        let plausible = |owner: &Name<Bytes>, signer: &Name<Bytes>| self.plausible(owner, signer);
        match &reading.end {
            End::Txt(_) | End::Denied { soa: Some(_), .. } => {
                let part = message::excerpt(reply, (start, Rtype::TXT), names, plausible)?;
                self.verdict(part).await
            }
            // The validator takes a denial without SOA for bogus, but unsigned zones give such.
            End::Denied { soa: None, .. } => {
                let (authenticity, _) = self.verdict(message::probe(start)?).await?;
                Ok((authenticity, reply.clone()))
            }
            End::Open => {
                let mut weakest = Authenticity::Secure;
                let Some((_, owners)) = names.split_last() else { return Err(Lookup::Malformed) };
                for owner in owners {
                    let only = std::slice::from_ref(owner);
                    let part = message::excerpt(reply, (owner, Rtype::CNAME), only, plausible)?;
                    weakest = weakest.min(self.verdict(part).await?.0);
                }
                Ok((weakest, reply.clone()))
            }
        }
    }

    /// Whether a signature by `signer` can be meant for `owner`.
    ///
    /// RFC 4035 section 5.3.1: the signer is the zone of the record, so it stands at or above the
    /// owner. The validator takes the security status of whatever signer is named, so a forger
    /// could name an unsigned zone elsewhere, or one above a private trust anchor.
    fn plausible(&self, owner: &Name<Bytes>, signer: &Name<Bytes>) -> bool {
        owner.ends_with(signer) && self.anchors.covering(owner) == self.anchors.covering(signer)
    }

    async fn verdict(
        &self,
        mut part: Message<Vec<u8>>,
    ) -> Result<(Authenticity, Message<Bytes>), Lookup> {
        let verdict = self.context.validate_msg::<Vec<u8>, Vec<u8>>(&mut part).await;
        let authenticity = match verdict {
            Ok((ValidationState::Secure, _)) => Authenticity::Secure,
            Ok((ValidationState::Insecure | ValidationState::Indeterminate, _)) => {
                Authenticity::Insecure
            }
            Ok((ValidationState::Bogus, reason)) => {
                // A key that could not be fetched is an outage, not a forgery.
                if let Some(failure) = self.source.failure() {
                    return Err(failure.into());
                }
                tracing::debug!(?reason, "bogus DNS answer");
                return Err(Lookup::Bogus);
            }
            Err(_) => return Err(Lookup::Malformed),
        };
        let octets = Bytes::from(part.into_octets());
        let part = Message::from_octets(octets).map_err(|_| Lookup::Malformed)?;
        Ok((authenticity, part))
    }
}

impl From<Failure> for Lookup {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Timeout => Self::Timeout,
            Failure::Malformed => Self::Malformed,
            Failure::Rcode(rcode) => Self::ServFail { rcode },
        }
    }
}

/// Fetches DS and DNSKEY records for the validator and notes why it could not.
#[derive(Debug, Clone)]
struct ChainSource {
    transport: Arc<Transport>,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl ChainSource {
    fn failure(&self) -> Option<Failure> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SendRequest<Question> for ChainSource {
    fn send_request(&self, question: Question) -> Box<dyn GetResponse + Send + Sync> {
        Box::new(ChainRequest { source: self.clone(), question })
    }
}

#[derive(Debug)]
struct ChainRequest {
    source: ChainSource,
    question: Question,
}

impl GetResponse for ChainRequest {
    fn get_response(
        &mut self,
    ) -> Pin<Box<dyn Future<Output = Result<Message<Bytes>, Error>> + Send + Sync + '_>> {
        Box::pin(async {
            self.source.transport.exchange(&self.question).await.map_err(|failure| {
                let mut noted = self.source.failure.lock().unwrap_or_else(PoisonError::into_inner);
                *noted = (*noted).max(Some(failure));
                Error::NoTransportAvailable
            })
        })
    }
}
