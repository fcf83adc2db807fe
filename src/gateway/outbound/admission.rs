//! Who is sent to, and how: decided at RCPT, and again when the header block is known.

use std::sync::Arc;

use tracing::{info, warn};

use super::destination::{Course, Destination, Evidence, Sealing, declared_size_fits};
use super::{Outbound, Transaction};
use crate::core::{DeliveryId, Domain};
use crate::dns::Mode;
use crate::gateway::booking::{Answered, Entry};
use crate::gateway::breaker::{Breaker, Step, is_answer};
use crate::gateway::failure::Failure;
use crate::gateway::hop::{Downstream, Mail};
use crate::gateway::message::Start;
use crate::gateway::session::{Recipient, Sender};
use crate::policy::{Decision, Demand, Rule, Source};
use crate::smtp::{Protocol, Reply};

impl Outbound {
    /// Answers RCPT: the next hop's reply, or why it was not asked.
    pub(super) async fn admit(
        &self,
        transaction: &mut Transaction,
        recipient: Recipient,
    ) -> Result<Reply, Reply> {
        let domain = recipient.path.domain().cloned();
        let breaker = &self.shared.breaker;
        breaker.admit(domain.as_ref()).map_err(|failure| failure.reply())?;
        let known = transaction.destinations.iter().position(|d| d.domain == domain);
        let at = match known {
            Some(at) => at,
            None => {
                if transaction.destinations.len() >= self.shared.config.limits.recipient_domains {
                    return Err(Failure::TooManyDomains.reply());
                }
                let course = self.course(domain.as_ref(), Demand::Absent, transaction.proven);
                let found = |course: &Result<Course, Reply>| {
                    course.as_ref().err().is_none_or(|refusal| !refusal.is_transient())
                };
                let course = breaker.wait(domain.as_ref(), Step::LookUp, course, found).await;
                let course = course.map_err(|stalled| stalled.failure().reply())??;
                let named = std::iter::once(&recipient);
                let mail = course.mail(&transaction.sender, self.protocol, named);
                let downstream = Downstream::begin(&self.hop, mail).await?;
                transaction.destinations.push(Destination::new(domain, course, downstream));
                transaction.destinations.len() - 1
            }
        };
        let destination = &mut transaction.destinations[at];
        let Some(downstream) = &mut destination.downstream else {
            return Err(Failure::NextHopLost.reply());
        };
        let sealing = Sealing {
            sender_domain: &transaction.origin,
            foreign: transaction.foreign,
            sealed_at: self.shared.clock.now(),
            // Any is as long.
            delivery_id: DeliveryId::from_bytes([0; 16]),
            limit: downstream.capabilities().size_limit(),
            dkim: self.shared.domains.get(&transaction.origin).map_or(0, |local| local.dkim_len()),
        };
        let named: Vec<&Recipient> = destination.recipients.iter().chain([&recipient]).collect();
        declared_size_fits(&destination.course, &transaction.sender, &named, &sealing)
            .map_err(|failure| failure.reply())?;
        let mail = destination.course.mail(&transaction.sender, self.protocol, named.into_iter());
        if mail.parameters.smtputf8 && !downstream.mail().parameters.smtputf8 {
            if !downstream.capabilities().smtputf8 {
                return Err(Failure::NeedsSmtpUtf8.reply());
            }
            promote(downstream, mail).await?;
        }
        let outer = destination.course.rcpt(&recipient);
        let asked = downstream.recipient(outer);
        let asked = breaker.wait(destination.domain.as_ref(), Step::Rcpt, asked, is_answer).await;
        let reply = asked.map_err(|stalled| {
            let reply = stalled.failure().reply();
            destination.fail(&reply);
            reply
        })?;
        if reply.is_positive() {
            transaction.accepted.push((at, destination.recipients.len()));
            destination.recipients.push(recipient);
            destination.answers.push(None);
        }
        Ok(reply)
    }

    /// Decides for a domain [R-seal-01]; the error is the refusal.
    async fn course(
        &self,
        domain: Option<&Domain>,
        demand: Demand,
        proven: bool,
    ) -> Result<Course, Reply> {
        let Some(domain) = domain else {
            // [R-id-02]: nothing to seal to.
            let required = self.shared.config.defaults.policy == Rule::Require;
            return if required || demand == Demand::Sealed {
                Err(Failure::NoDomain.reply())
            } else {
                Ok(Course::Clear("no-domain"))
            };
        };
        let local = self.shared.config.destination(domain);
        let verdict = self.shared.discovery.recipient(domain, &local, demand, proven).await;
        let verdict = verdict.map_err(|error| {
            warn!(%domain, %error, "ledger unavailable");
            Failure::Ledger.reply()
        })?;
        match verdict.decision {
            Decision::Seal { key, level, source, policy } => {
                let source = self.evidence_of(source);
                let evidence = Box::new(Evidence { level, source, policy });
                Ok(Course::Seal { domain: domain.clone(), key: Box::new(key), evidence })
            }
            Decision::Clear(why) => {
                info!(%domain, reason = why.code(), %why, "mail goes clear");
                Ok(Course::Clear(why.code()))
            }
            Decision::Defer(why) => {
                warn!(%domain, reason = why.code(), %why, "mail is deferred");
                let failure = Failure::of_deferral(domain, &why);
                if !proven {
                    return Err(failure.reply());
                }
                let since = self.waiting_since(domain).await;
                Err(failure.reply_because(&why, why.code(), since))
            }
            Decision::Reject(why) => {
                warn!(%domain, reason = why.code(), %why, "mail is refused");
                let failure = Failure::of_rejection(domain, &why);
                if !proven {
                    return Err(failure.reply());
                }
                Err(failure.reply_because(&why, why.code(), None))
            }
        }
    }

    /// Who has validated what a policy from there rests on.
    fn evidence_of(&self, source: Source) -> &'static str {
        match (source, &self.shared.config.dns.mode) {
            (Source::Memory, _) => "remembered",
            (Source::Dns, Mode::Validate { .. }) => "validated",
            (Source::Dns, Mode::AdBit) => "ad",
            (Source::Dns, Mode::Plain) => "plain",
        }
    }

    /// Since when our mail to a domain has been waiting. That this is not known changes nothing.
    async fn waiting_since(&self, domain: &Domain) -> Option<u64> {
        let shared = &self.shared;
        shared.ledger.waiting_since(domain, shared.clock.now()).await.unwrap_or_else(|error| {
            warn!(%domain, %error, "ledger unavailable");
            None
        })
    }

    /// Everything that is decided by the header block, before any DATA goes to the next hop.
    pub(super) async fn prepare(
        &self,
        transaction: &mut Transaction,
        start: &Start,
    ) -> Result<(), Failure> {
        let demand = start.demand()?;
        let Transaction { sender, destinations, learned, .. } = transaction;
        for destination in destinations {
            if destination.recipients.is_empty() {
                // MAIL was sent for a recipient that was then refused.
                destination.release().await;
                continue;
            }
            if demand == Demand::Sealed || !*learned {
                // Also where it would be sealed anyway: a demand may forbid the key that was chosen [R-dec-05].
                match self.course(destination.domain.as_ref(), demand, true).await {
                    Ok(course) => destination.course = course,
                    Err(reply) => {
                        destination.release().await;
                        destination.fail(&reply);
                        continue;
                    }
                }
            }
            let domain = destination.domain.as_ref();
            let header = &start.header;
            let recipients = &destination.recipients;
            let begun = Entry::begin(&self.shared, sender, domain, header, recipients).await;
            let (entry, settled) = match begun {
                Err(Failure::InProgress) => {
                    destination.release().await;
                    destination.fail(&Failure::InProgress.reply());
                    continue;
                }
                begun => begun?,
            };
            destination.entry = Some(entry);
            destination.answers = settled;
            reissue(sender, self.protocol, destination, &self.shared.breaker).await;
        }
        Ok(())
    }
}

/// Begins the transaction anew for a recipient that takes other parameters of MAIL. The recipients that were accepted must be so
/// again.
async fn promote(downstream: &mut Downstream, mail: Mail) -> Result<(), Reply> {
    let accepted = downstream.recipients().to_vec();
    let replies = downstream.become_one(mail, accepted).await?;
    if replies.iter().all(Reply::is_positive) {
        Ok(())
    } else {
        downstream.close();
        Err(Failure::NextHopLost.reply())
    }
}

/// Makes the downstream transaction one for the recipients that are still open: what an earlier attempt has settled is not sent
/// again.
async fn reissue(
    sender: &Sender,
    protocol: Protocol,
    destination: &mut Destination,
    breaker: &Arc<Breaker>,
) {
    let open = destination.open();
    if open.is_empty() {
        destination.release().await;
        return;
    }
    let Some(downstream) = &mut destination.downstream else { return };
    let named = || open.iter().map(|&at| &destination.recipients[at]);
    let mail = destination.course.mail(sender, protocol, named());
    let recipients = named().map(|recipient| destination.course.rcpt(recipient)).collect();
    let asked = downstream.become_one(mail, recipients);
    let moves_on = |replies: &Result<Vec<Reply>, Reply>| match replies {
        Ok(replies) => replies.iter().any(is_answer),
        Err(reply) => is_answer(reply),
    };
    let asked = breaker.wait(destination.domain.as_ref(), Step::Rcpt, asked, moves_on).await;
    match asked.unwrap_or_else(|stalled| Err(stalled.failure().reply())) {
        Err(reply) => destination.fail(&reply),
        Ok(replies) => {
            for (at, reply) in open.into_iter().zip(replies) {
                if !reply.is_positive() {
                    destination.answers[at] = Some(Answered::Reply(reply));
                }
            }
            if destination.is_settled() {
                destination.release().await;
            }
        }
    }
}
