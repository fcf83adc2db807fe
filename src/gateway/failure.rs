//! From a failure to its SMTP reply: the one place where wire texts are written [R-smtp-01].
//!
//! The text is generic and stable; what exactly failed goes to the log with the trace id.

use std::fmt::Display;

use crate::core::Domain;
use crate::mail::date::utc;
use crate::policy::{ContentFault, DeferReason, RejectReason};
use crate::smtp::Reply;
use crate::smtp::server::DataEnd;

/// Why a recipient or a message is not accepted. The variants are the rows of the draft's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The look-up of the recipient domain's policy failed and nothing is remembered.
    PolicyUnknown(Domain),
    /// Sealing is required or demanded and the domain has no policy.
    PolicyRequired(Domain),
    /// The domain has a policy that cannot be used now.
    PolicyUnusable(Domain),
    /// The message demands sealing and the operator's rule for the domain is `never`.
    DemandRefused(Domain),
    /// The demand field of the message cannot be understood.
    DemandMalformed,
    /// Sealing is required or demanded, and the recipient has no domain to seal to.
    NoDomain,
    /// The recipient is not in a local domain.
    NotLocal,
    /// The client is not allowed to use the sealing listener.
    SenderNotAllowed,
    /// The client's range is shared with strangers, and it has given no proof of where it belongs.
    NotAuthenticated,
    /// The client may not send for the domain of the reverse-path.
    SenderDomain,
    /// The message bears no proof that it comes from one of those who may send it.
    NotProven,
    /// The name or the password of a login is wrong.
    LoginWrong,
    /// Logins cannot be checked now.
    LoginBusy,
    /// The transaction has more recipient domains than the limit.
    TooManyDomains,
    /// The transaction has more recipients than the limit.
    TooManyRecipients,
    /// The header block is larger than the limit.
    HeaderTooLarge,
    /// The message is larger than the limit.
    TooLarge,
    /// A path or one of its parameters has no place in an envelope.
    PathUnfit,
    /// The sealed message would be larger than the next hop takes.
    SealedTooLarge,
    /// The message has passed too many hops.
    Loop,
    /// The message has a bare CR, a bare LF or a NUL.
    BareLineEnd,
    /// The carrier or the envelope in it is malformed.
    CarrierMalformed,
    /// The envelope uses a version, suite or critical extension that is not known.
    CarrierUnsupported,
    /// The envelope is for another domain.
    CarrierForeign,
    /// The message has two sealed parts.
    TwoParts,
    /// The envelope is sealed to a key that this gateway never had.
    UnknownKey,
    /// The envelope is sealed to a key that was destroyed.
    DestroyedKey,
    /// Any cryptographic check failed.
    Unauthentic,
    /// The sender domain's policy cannot be had.
    SenderUnknown,
    /// The reverse-path does not belong to the sender domain.
    SenderPath,
    /// The envelope is older than the window.
    TooOld,
    /// The envelope is dated in the future.
    InFuture,
    /// The outer recipient is not among the signed ones.
    NotSignedRecipient,
    /// Another transaction is delivering the same envelope.
    InProgress,
    /// Sealed mail of a domain that must be aligned and is not.
    NotAligned(Domain),
    /// Clear mail from a domain that must seal.
    SealDemanded(Domain),
    /// The ledger cannot be written.
    Ledger,
    /// There is no room for a carrier that waits for its DKIM signature.
    Spool,
    /// The carrier's DKIM signature cannot be made.
    Signature,
    /// The next hop cannot be reached.
    NextHop,
    /// The connection to the next hop broke.
    NextHopLost,
    /// The next hop does not take the gateway's password, or wants one that it has not.
    NextHopLogin,
    /// The message needs SMTPUTF8 and the next hop has none.
    NeedsSmtpUtf8,
    /// The message needs 8BITMIME and the next hop has none.
    NeedsEightBit,
    /// DNS or the next hop does not answer for this domain, and others wait for it already.
    Stalled(Domain),
    /// Some recipients were accepted, others only refused for now.
    Mixed,
}

impl Failure {
    /// Why a message is refused whose data ended so; `None` if they ended well.
    #[must_use]
    pub fn of_end(end: DataEnd) -> Option<Self> {
        match end {
            DataEnd::Clean => None,
            DataEnd::Violation(_) => Some(Self::BareLineEnd),
            DataEnd::TooLarge => Some(Self::TooLarge),
        }
    }

    /// Why mail to `domain` waits.
    #[must_use]
    pub fn of_deferral(domain: &Domain, why: &DeferReason) -> Self {
        match why {
            DeferReason::Lookup(_) => Self::PolicyUnknown(domain.clone()),
            _ => Self::PolicyUnusable(domain.clone()),
        }
    }

    /// Why mail to `domain` is refused for good.
    #[must_use]
    pub fn of_rejection(domain: &Domain, why: &RejectReason) -> Self {
        match why {
            RejectReason::LocalRule => Self::DemandRefused(domain.clone()),
            RejectReason::NoPolicy | RejectReason::Withdrawn => {
                Self::PolicyRequired(domain.clone())
            }
        }
    }

    /// Why the checks 9 and 10 refuse a message of `domain`.
    #[must_use]
    pub fn of_content(domain: &Domain, fault: &ContentFault) -> Self {
        match fault {
            ContentFault::NotMail => Self::CarrierUnsupported,
            ContentFault::Paths(_) => Self::CarrierMalformed,
            ContentFault::SenderPath => Self::SenderPath,
            ContentFault::NotAligned => Self::NotAligned(domain.clone()),
            ContentFault::InFuture => Self::InFuture,
            ContentFault::TooOld => Self::TooOld,
        }
    }

    /// One of each, about `domain` where a failure is about one: all rows of the table.
    #[must_use]
    pub fn all(domain: &Domain) -> Vec<Self> {
        vec![
            Self::PolicyUnknown(domain.clone()),
            Self::PolicyRequired(domain.clone()),
            Self::PolicyUnusable(domain.clone()),
            Self::DemandRefused(domain.clone()),
            Self::DemandMalformed,
            Self::NoDomain,
            Self::NotLocal,
            Self::SenderNotAllowed,
            Self::NotAuthenticated,
            Self::SenderDomain,
            Self::NotProven,
            Self::LoginWrong,
            Self::LoginBusy,
            Self::TooManyDomains,
            Self::TooManyRecipients,
            Self::HeaderTooLarge,
            Self::TooLarge,
            Self::PathUnfit,
            Self::SealedTooLarge,
            Self::Loop,
            Self::BareLineEnd,
            Self::CarrierMalformed,
            Self::CarrierUnsupported,
            Self::CarrierForeign,
            Self::TwoParts,
            Self::UnknownKey,
            Self::DestroyedKey,
            Self::Unauthentic,
            Self::SenderUnknown,
            Self::SenderPath,
            Self::TooOld,
            Self::InFuture,
            Self::NotSignedRecipient,
            Self::InProgress,
            Self::NotAligned(domain.clone()),
            Self::SealDemanded(domain.clone()),
            Self::Ledger,
            Self::Spool,
            Self::Signature,
            Self::NextHop,
            Self::NextHopLost,
            Self::NextHopLogin,
            Self::NeedsSmtpUtf8,
            Self::NeedsEightBit,
            Self::Stalled(domain.clone()),
            Self::Mixed,
        ]
    }

    /// The name of the row in the draft's table; also the reason code in logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row().0
    }

    /// The reply that the peer sees.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (_, code, status, text) = self.row();
        match self.domain() {
            Some(domain) => Reply::new(code, status, text.replace("DOMAIN", domain.as_str())),
            None => Reply::new(code, status, text),
        }
    }

    /// The reply for our own MTA and whoever reads its bounces [R-smtp-02]: with the reason and its name, and since when, in
    /// Unix seconds, mail to the domain has been waiting, if any has.
    #[must_use]
    pub fn reply_because(&self, why: &impl Display, name: &str, since: Option<u64>) -> Reply {
        let reply = self.reply().with_line(format!("{why} ({name})"));
        match (self.domain(), since) {
            (Some(domain), Some(since)) => {
                reply.with_line(format!("mail for {domain} has been waiting since {}", utc(since)))
            }
            _ => reply,
        }
    }

    /// The reason in words that a reply of ours gives: that of [`Failure::reply_because`], else the text of its row. `None` if
    /// another server wrote it.
    #[must_use]
    pub fn words_of(reply: &Reply) -> Option<&str> {
        Self::row_of(reply)?;
        reply.lines().nth(1).or(reply.lines().next())
    }

    /// The name of the row by which a reply was written; `None` if another server wrote it, unless in the very same words.
    #[must_use]
    pub fn row_of(reply: &Reply) -> Option<&'static str> {
        let domain = Domain::from_canonical(b"domain.invalid").ok()?;
        let first = reply.lines().next()?;
        let wrote = |failure: &Self| {
            let (_, code, (class, subject, detail), text) = failure.row();
            let status = reply.status();
            let text = match text.split_once("DOMAIN") {
                Some((before, after)) => first.starts_with(before) && first.ends_with(after),
                None => first == text,
            };
            text && reply.code() == code
                && (status.class(), status.subject(), status.detail()) == (class, subject, detail)
        };
        Self::all(&domain).into_iter().find(wrote).map(|failure| failure.name())
    }

    /// Whether the sender may try again with a chance of success.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.row().1 < 500
    }

    fn domain(&self) -> Option<&Domain> {
        match self {
            Self::PolicyUnknown(domain)
            | Self::PolicyRequired(domain)
            | Self::PolicyUnusable(domain)
            | Self::DemandRefused(domain)
            | Self::NotAligned(domain)
            | Self::SealDemanded(domain)
            | Self::Stalled(domain) => Some(domain),
            _ => None,
        }
    }

    #[rustfmt::skip]
    fn row(&self) -> (&'static str, u16, (u8, u16, u16), &'static str) {
        match self {
            Self::PolicyUnknown(_) => ("policy-unknown", 451, (4, 7, 10), "sealing policy of DOMAIN cannot be determined now"),
            Self::PolicyRequired(_) => ("policy-required", 550, (5, 7, 10), "sealing is required and DOMAIN publishes no sealing policy"),
            Self::PolicyUnusable(_) => ("policy-unusable", 451, (4, 7, 5), "sealing policy of DOMAIN cannot be used now"),
            Self::DemandRefused(_) => ("demand-refused", 550, (5, 7, 10), "sealing is demanded and refused by local policy for DOMAIN"),
            Self::DemandMalformed => ("demand-malformed", 550, (5, 6, 0), "malformed MTA-Seal-Required field"),
            Self::NoDomain => ("no-domain", 550, (5, 7, 10), "sealing is required and the recipient has no domain"),
            Self::NotLocal => ("not-local", 550, (5, 7, 1), "relaying denied"),
            Self::SenderNotAllowed => ("sender-not-allowed", 554, (5, 7, 1), "client may not use this service"),
            Self::NotAuthenticated => ("not-authenticated", 530, (5, 7, 0), "authentication required"),
            Self::SenderDomain => ("sender-domain", 550, (5, 7, 1), "client may not send for this reverse-path"),
            Self::NotProven => ("not-proven", 550, (5, 7, 1), "message bears no proof of its origin"),
            Self::LoginWrong => ("login-wrong", 535, (5, 7, 8), "name or password is wrong"),
            Self::LoginBusy => ("login-busy", 454, (4, 7, 0), "login cannot be checked now"),
            Self::TooManyDomains => ("too-many-domains", 452, (4, 5, 3), "too many recipient domains"),
            Self::TooManyRecipients => ("too-many-recipients", 452, (4, 5, 3), "too many recipients"),
            Self::HeaderTooLarge => ("header-too-large", 552, (5, 3, 4), "message header too large"),
            Self::TooLarge => ("too-large", 552, (5, 3, 4), "message too large"),
            Self::PathUnfit => ("path-unfit", 553, (5, 1, 3), "address or parameter cannot be sealed"),
            Self::SealedTooLarge => ("sealed-too-large", 552, (5, 3, 4), "message too large once sealed"),
            Self::Loop => ("loop", 554, (5, 4, 6), "too many hops"),
            Self::BareLineEnd => ("bare-line-end", 550, (5, 6, 0), "bare CR, bare LF or NUL in message"),
            Self::CarrierMalformed => ("carrier-malformed", 550, (5, 6, 0), "sealed message is malformed; please send again"),
            Self::CarrierUnsupported => ("carrier-unsupported", 550, (5, 6, 3), "sealed message uses an unsupported feature; look up the policy again"),
            Self::CarrierForeign => ("carrier-foreign", 550, (5, 7, 5), "sealed message is not for this domain; please send again"),
            Self::TwoParts => ("two-parts", 550, (5, 6, 0), "message has more than one sealed part; send each by itself"),
            Self::UnknownKey => ("unknown-key", 550, (5, 7, 5), "sealed to a key that is not known here; look up the policy again"),
            Self::DestroyedKey => ("destroyed-key", 550, (5, 7, 5), "sealed to a key that no longer exists; please send again"),
            Self::Unauthentic => ("unauthentic", 550, (5, 7, 7), "sealed message failed verification; please send again"),
            Self::SenderUnknown => ("sender-unknown", 451, (4, 7, 5), "sealing policy of the sender cannot be verified now; check its DNS records"),
            Self::SenderPath => ("sender-path", 550, (5, 7, 1), "reverse-path does not belong to the sealing domain; send from one that does"),
            Self::TooOld => ("too-old", 550, (5, 4, 7), "sealed message is too old; please send again"),
            Self::InFuture => ("in-future", 451, (4, 7, 5), "sealed message is dated in the future; check the clock"),
            Self::NotSignedRecipient => ("not-signed-recipient", 550, (5, 7, 1), "recipient is not among the sealed recipients; please write to it directly"),
            Self::InProgress => ("in-progress", 451, (4, 5, 0), "another delivery of this message is in progress"),
            Self::NotAligned(_) => ("not-aligned", 550, (5, 7, 1), "author or reverse-path is not of DOMAIN, which has sealed the message"),
            Self::SealDemanded(_) => ("seal-demanded", 550, (5, 7, 10), "clear mail from DOMAIN is refused here; it must be sealed"),
            Self::Ledger => ("ledger", 451, (4, 3, 0), "local store is unavailable"),
            Self::Spool => ("spool", 452, (4, 3, 1), "not enough storage for the sealed message"),
            Self::Signature => ("signature", 451, (4, 3, 0), "sealed message cannot be signed now"),
            Self::NextHop => ("next-hop", 451, (4, 4, 1), "next hop is unavailable"),
            Self::NextHopLost => ("next-hop-lost", 451, (4, 4, 2), "connection to next hop lost"),
            Self::NextHopLogin => ("next-hop-login", 451, (4, 3, 5), "next hop does not let this gateway in"),
            Self::NeedsSmtpUtf8 => ("needs-smtputf8", 550, (5, 6, 7), "next hop does not support SMTPUTF8"),
            Self::NeedsEightBit => ("needs-8bitmime", 550, (5, 6, 3), "next hop does not support 8BITMIME"),
            Self::Stalled(_) => ("stalled", 451, (4, 4, 5), "mail for DOMAIN does not move on now; please send again"),
            Self::Mixed => ("mixed", 451, (4, 5, 0), "some recipients were refused for now; please send again"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_reply_is_traced_to_its_row() {
        for failure in Failure::all(&Domain::parse("b.example").unwrap()) {
            let name = failure.name();
            assert_eq!(Failure::row_of(&failure.reply()), Some(name));
            let because = failure.reply_because(&"it broke", "broken", None);
            assert_eq!(Failure::row_of(&because), Some(name));
            assert_eq!(Failure::words_of(&because), Some("it broke (broken)"));
            assert_eq!(Failure::words_of(&failure.reply()), failure.reply().lines().next());
        }
        for other in ["Greylisted", "next hop is not available", ""] {
            let other = Reply::new(451, (4, 4, 1), other).with_line("because");
            assert_eq!((Failure::row_of(&other), Failure::words_of(&other)), (None, None));
        }
        let text = "next hop is unavailable";
        assert_eq!(Failure::row_of(&Reply::new(450, (4, 4, 1), text)), None);
    }
}
