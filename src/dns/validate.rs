//! In-process DNSSEC validation (RFC 4035), by the `domain` crate's validator.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::base::{Message, Name, Rtype};
use domain::dnssec::validator::context::{Config, ValidationContext, ValidationState};

use super::anchor::Anchors;
use super::chain::ChainSource;
use super::excerpt::{self, Link};
use super::message::{End, Reading};
use super::outcome::{Authenticity, Lookup};
use super::transport::{Failure, Transport};

/// NSEC3 iterations above which a zone counts as unsigned (RFC 9276 section 3.2).
const NSEC3_ITERATIONS: u16 = 100;

/// Most zones on the way to one name that the validator needs help with.
const MAX_STEPS: usize = 8;

/// Judges the answers of one look-up, link by link.
///
/// Each link gets a validation context of its own, and only the fetched DS and DNSKEY records are
/// shared. The validator's cache keeps a broken chain for a week and a good signature beyond its
/// expiry, could not say whose question to a server failed, and holds a second zone below the
/// same empty non-terminal for bogus.
pub(super) struct Validator {
    configured: Anchors,
    /// The configured anchors and the DS records that were validated on the way.
    reached: Anchors,
    source: ChainSource,
}

/// What the validator says about one answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    /// The weakest link.
    pub(super) authenticity: Authenticity,
    /// How long the records may be used, by their TTLs and signatures.
    pub(super) ttl: Duration,
}

impl Validator {
    pub(super) fn new(anchors: &Anchors, transport: Arc<Transport>) -> Self {
        let source = ChainSource::new(transport);
        Self { configured: anchors.clone(), reached: anchors.clone(), source }
    }

    /// The verdict over the part of `reply` that `reading` used.
    pub(super) async fn judge(
        &mut self,
        reply: &Message<Bytes>,
        reading: &Reading,
    ) -> Result<Verdict, Lookup> {
        let mut whole = Verdict::unlimited(Authenticity::Secure);
        for step in reading.names.windows(2) {
            let [owner, target] = step else { continue };
            let question = match excerpt::link(reply, (owner, target), |o, s| self.plausible(o, s))?
            {
                Link::Cname => (owner.clone(), Rtype::CNAME),
                Link::Dname(above) => (above, Rtype::DNAME),
            };
            whole.weaken(self.verdict(reply, &question.0, question.1).await?);
        }
        let Some(last) = reading.names.last() else { return Err(Lookup::Malformed) };
        match &reading.end {
            End::Txt(_) | End::Denied { soa: Some(_), .. } => {
                whole.weaken(self.verdict(reply, last, Rtype::TXT).await?);
            }
            // The validator takes a denial without SOA for bogus, but unsigned zones give such.
            End::Denied { soa: None, .. } => {
                whole.weaken(self.verdict_on(excerpt::probe(last)?).await?);
            }
            End::Open => {}
        }
        Ok(whole)
    }

    /// Whether a signature by `signer` can be meant for `owner`.
    ///
    /// RFC 4035 section 5.3.1: the signer is the zone of the record, so it stands at or above the
    /// owner. The validator takes the security status of whatever signer is named, so a forger
    /// could name an unsigned zone elsewhere, or one above a private trust anchor. The same holds
    /// for the SOA record of a denial and the DNAME record behind an alias.
    fn plausible(&self, owner: &Name<Bytes>, signer: &Name<Bytes>) -> bool {
        owner.ends_with(signer)
            && self.configured.covering(owner) == self.configured.covering(signer)
    }

    async fn verdict(
        &mut self,
        reply: &Message<Bytes>,
        name: &Name<Bytes>,
        rtype: Rtype,
    ) -> Result<Verdict, Lookup> {
        let part = self.part(reply, name, rtype)?;
        self.verdict_on(part).await
    }

    async fn verdict_on(&mut self, part: Message<Vec<u8>>) -> Result<Verdict, Lookup> {
        for _ in 0..MAX_STEPS {
            let verdict = self.validate(part.clone()).await?;
            let secure = verdict.authenticity == Authenticity::Secure;
            if secure || !self.step_into_signed_zone().await? {
                return Ok(verdict);
            }
        }
        Err(Lookup::Bogus)
    }

    fn part(
        &self,
        reply: &Message<Bytes>,
        name: &Name<Bytes>,
        rtype: Rtype,
    ) -> Result<Message<Vec<u8>>, Failure> {
        excerpt::part(reply, (name, rtype), |owner, signer| self.plausible(owner, signer))
    }

    /// Makes a trust anchor of the DS records of a zone that the validator took for unsigned only
    /// because it does not count the zone's algorithm among the supported ones, although it can
    /// verify it; false if there is none.
    ///
    /// RFC 8624 section 3.1 recommends validating ECDSAP384SHA384 and ED25519. As anchors, DS
    /// records of these algorithms are followed; they become anchors only if they are secure.
    async fn step_into_signed_zone(&mut self) -> Result<bool, Lookup> {
        for (zone, reply) in self.source.overlooked() {
            let Some(text) = excerpt::ds_text(&reply, &zone) else { continue };
            if self.reached.stands_at(&zone) {
                continue;
            }
            let part = self.part(&reply, &zone, Rtype::DS)?;
            if self.validate(part).await?.authenticity != Authenticity::Secure {
                continue;
            }
            self.reached = self.reached.with(&text).map_err(|_| Lookup::Malformed)?;
            return Ok(true);
        }
        Ok(false)
    }

    async fn validate(&self, mut part: Message<Vec<u8>>) -> Result<Verdict, Lookup> {
        let mut config = Config::new();
        config.set_nsec3_iter_insecure(NSEC3_ITERATIONS);
        let anchors = self.reached.build().map_err(|_| Lookup::Malformed)?;
        let context = ValidationContext::with_config(anchors, self.source.clone(), config);
        let authenticity = match context.validate_msg::<Vec<u8>, Vec<u8>>(&mut part).await {
            Ok((ValidationState::Secure, _)) => Authenticity::Secure,
            // RFC 4033 section 5: without an anchor nothing says that data must be signed.
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
        Ok(Verdict { authenticity, ttl: excerpt::least_ttl(&part) })
    }
}

impl Verdict {
    /// A verdict without signatures, so without a limit of its own.
    pub(super) fn unlimited(authenticity: Authenticity) -> Self {
        Self { authenticity, ttl: Duration::MAX }
    }

    fn weaken(&mut self, other: Self) {
        self.authenticity = self.authenticity.min(other.authenticity);
        self.ttl = self.ttl.min(other.ttl);
    }
}

impl From<Failure> for Lookup {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Timeout => Self::Timeout,
            Failure::Malformed => Self::Malformed,
            Failure::Rcode(rcode) => Self::ServFail { rcode },
            Failure::Excess => Self::Oversize,
        }
    }
}
