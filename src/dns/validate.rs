//! In-process DNSSEC validation (RFC 4035), by the `domain` crate's validator.

use std::sync::Arc;

use bytes::Bytes;
use domain::base::{Message, Name, Rtype};
use domain::dnssec::validator::context::{Config, ValidationContext, ValidationState};

use super::anchor::{AnchorError, Anchors};
use super::chain::ChainSource;
use super::message::{self, End, Reading};
use super::outcome::{Authenticity, Lookup};
use super::transport::{Failure, Transport};

/// NSEC3 iterations above which a zone counts as unsigned (RFC 9276 section 3.2).
const NSEC3_ITERATIONS: u16 = 100;

/// Most zones on the way to one name that the validator needs help with.
const MAX_STEPS: usize = 8;

/// Judges the answers of one look-up.
///
/// Made anew for each look-up: the validator's caches keep a broken chain for a week and a good
/// signature beyond its expiry, and a shared one could not say whose question to a server failed.
pub(super) struct Validator {
    configured: Anchors,
    /// The configured anchors and the DS records that were validated on the way.
    reached: Anchors,
    context: ValidationContext<ChainSource>,
    source: ChainSource,
}

impl Validator {
    pub(super) fn new(anchors: &Anchors, transport: Arc<Transport>) -> Result<Self, Lookup> {
        let source = ChainSource::new(transport);
        let context = context(anchors, &source).map_err(|_| Lookup::Bogus)?;
        Ok(Self { configured: anchors.clone(), reached: anchors.clone(), context, source })
    }

    /// The verdict over the part of `reply` that `reading` used, and the part itself with its
    /// TTLs lowered to what the signatures allow.
    pub(super) async fn judge(
        &mut self,
        reply: &Message<Bytes>,
        reading: &Reading,
    ) -> Result<(Authenticity, Message<Bytes>), Lookup> {
        let names = &reading.names;
        let Some(start) = names.first() else { return Err(Lookup::Malformed) };
        match &reading.end {
            End::Txt(_) | End::Denied { soa: Some(_), .. } => {
                let part = self.excerpt(reply, (start, Rtype::TXT), names)?;
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
                    let part = self.excerpt(reply, (owner, Rtype::CNAME), only)?;
                    weakest = weakest.min(self.verdict(part).await?.0);
                }
                Ok((weakest, reply.clone()))
            }
        }
    }

    fn excerpt(
        &self,
        reply: &Message<Bytes>,
        question: (&Name<Bytes>, Rtype),
        owners: &[Name<Bytes>],
    ) -> Result<Message<Vec<u8>>, Failure> {
        let plausible = |owner: &Name<Bytes>, signer: &Name<Bytes>| self.plausible(owner, signer);
        message::excerpt(reply, question, owners, plausible)
    }

    /// Whether a signature by `signer` can be meant for `owner`.
    ///
    /// RFC 4035 section 5.3.1: the signer is the zone of the record, so it stands at or above the
    /// owner. The validator takes the security status of whatever signer is named, so a forger
    /// could name an unsigned zone elsewhere, or one above a private trust anchor.
    fn plausible(&self, owner: &Name<Bytes>, signer: &Name<Bytes>) -> bool {
        owner.ends_with(signer)
            && self.configured.covering(owner) == self.configured.covering(signer)
    }

    async fn verdict(
        &mut self,
        part: Message<Vec<u8>>,
    ) -> Result<(Authenticity, Message<Bytes>), Lookup> {
        for _ in 0..MAX_STEPS {
            let (authenticity, judged) = self.validate(part.clone()).await?;
            if authenticity == Authenticity::Secure || !self.step_into_signed_zone().await? {
                let octets = Bytes::from(judged.into_octets());
                let judged = Message::from_octets(octets).map_err(|_| Lookup::Malformed)?;
                return Ok((authenticity, judged));
            }
        }
        Err(Lookup::Bogus)
    }

    /// Makes a trust anchor of the DS records of a zone that the validator took for unsigned only
    /// because it does not count the zone's algorithm among the supported ones, although it can
    /// verify it; false if there is none.
    ///
    /// RFC 8624 section 3.1 recommends validating ECDSAP384SHA384 and ED25519. As anchors, DS
    /// records of these algorithms are followed; they become anchors only if they are secure.
    async fn step_into_signed_zone(&mut self) -> Result<bool, Lookup> {
        for (zone, reply) in self.source.overlooked() {
            let Some(text) = message::ds_text(&reply, &zone) else { continue };
            if self.reached.stands_at(&zone) {
                continue;
            }
            let part = self.excerpt(&reply, (&zone, Rtype::DS), std::slice::from_ref(&zone))?;
            if self.validate(part).await?.0 != Authenticity::Secure {
                continue;
            }
            self.reached = self.reached.with(&text).map_err(|_| Lookup::Malformed)?;
            self.context = context(&self.reached, &self.source).map_err(|_| Lookup::Malformed)?;
            return Ok(true);
        }
        Ok(false)
    }

    async fn validate(
        &self,
        mut part: Message<Vec<u8>>,
    ) -> Result<(Authenticity, Message<Vec<u8>>), Lookup> {
        match self.context.validate_msg::<Vec<u8>, Vec<u8>>(&mut part).await {
            Ok((ValidationState::Secure, _)) => Ok((Authenticity::Secure, part)),
            // RFC 4033 section 5: without an anchor nothing says that data must be signed.
            Ok((ValidationState::Insecure | ValidationState::Indeterminate, _)) => {
                Ok((Authenticity::Insecure, part))
            }
            Ok((ValidationState::Bogus, reason)) => {
                // A key that could not be fetched is an outage, not a forgery.
                if let Some(failure) = self.source.failure() {
                    return Err(failure.into());
                }
                eprintln!("{reason:?}");tracing::debug!(?reason, "bogus DNS answer");
                Err(Lookup::Bogus)
            }
            Err(_) => Err(Lookup::Malformed),
        }
    }
}

fn context(
    anchors: &Anchors,
    source: &ChainSource,
) -> Result<ValidationContext<ChainSource>, AnchorError> {
    let mut config = Config::new();
    config.set_nsec3_iter_insecure(NSEC3_ITERATIONS);
    Ok(ValidationContext::with_config(anchors.build()?, source.clone(), config))
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
