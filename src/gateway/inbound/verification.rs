//! Verifying an envelope up to its prefix: checks 2 to 10 of [R-uns-01].

use tracing::{info, warn};

use super::envelope::{EnvelopeReader, unseal_failure};
use super::{Inbound, Stop};
use crate::core::address::ReversePath;
use crate::core::esmtp::MailParameters;
use crate::core::smtp_envelope::mailbox_text;
use crate::core::{
    Decrypted, Opened, Parsed, Received, SmtpEnvelope, Step, UnsealError, Verified, VerifyingKey,
};
use crate::gateway::audit::Names;
use crate::gateway::config::Config;
use crate::gateway::failure::Failure;
use crate::gateway::session::Recipient;
use crate::mail::results::ReversePathOf;
use crate::policy::{Acceptance, ContentFault, Level, SenderDecision, Source, check_content};
use crate::records::{CLOCK_TOLERANCE, WINDOW};
use crate::store::keyring::Find;
use crate::store::ledger::IncomingMessage;

/// How long after sealed-at a delivery is remembered, in seconds: longer than any window, since that of today may be lengthened
/// while the envelope still lies about [R-uns-04].
const KEEP: u64 = *WINDOW.end() + 2 * CLOCK_TOLERANCE;

/// A verified envelope with everything its prefix says.
pub struct Genuine {
    /// The envelope, of which the message is still to come.
    pub verified: Verified,
    /// How authentic the sender's policy is.
    pub level: Level,
    /// The signed reverse-path with its parameters.
    pub sender: (ReversePath, MailParameters),
    pub(super) signed: Vec<Recipient>,
    /// What identifies the message.
    pub message: IncomingMessage,
    /// Until when the delivery must be remembered.
    pub(super) keep_until: u64,
}

impl Inbound {
    /// Checks 2 to 10: everything up to the verified prefix, its reverse-path and its time.
    pub(super) async fn verify(
        &self,
        reader: &mut EnvelopeReader<'_>,
        names: &Names,
    ) -> Result<Genuine, Stop> {
        let refuse = |error| {
            warn!(%error, "envelope refused");
            unseal_failure(&error)
        };
        let mut piece = Vec::new();
        let parsed = read_clear_part(reader, &mut piece).await?.map_err(refuse)?;
        let header = parsed.header();
        let envelope_id = parsed.envelope_id();
        names.of_envelope(envelope_id);
        info!(envelope = %envelope_id, domain = %header.recipient_domain, suite = header.suite.id().0, "carrier recognised");
        let local =
            self.shared.domains.get(&header.recipient_domain).ok_or(Failure::CarrierForeign)?;
        let key = match local.keyring.find(&header.key_id) {
            Find::Found(key) => key,
            Find::Destroyed => return Err(Failure::DestroyedKey.into()),
            Find::Unknown => return Err(Failure::UnknownKey.into()),
        };
        let window = local.policy.record().window;
        let opened = parsed.open(key).map_err(refuse)?;
        let decrypted = read_prefix(opened, reader, &mut piece).await?.map_err(refuse)?;
        let (signing, level) = self.signing_key(&decrypted).await?;
        let verified = decrypted.verify(&signing).map_err(refuse)?;
        let genuine =
            Genuine::judge(verified, level, &self.shared.config, window, self.shared.clock.now())?;
        let sender = &genuine.message.sender_domain;
        info!(envelope = %envelope_id, %sender, level = level.as_str(), "prefix verified");
        Ok(genuine)
    }

    /// Check 7: the policy of the sender domain lists the signing key that the prefix names.
    async fn signing_key(&self, decrypted: &Decrypted) -> Result<(VerifyingKey, Level), Stop> {
        let domain = decrypted.sender_domain();
        let local = self.shared.config.sender(domain);
        let verdict = self.shared.discovery.sender(domain, &local).await.map_err(|error| {
            warn!(%error, "ledger unavailable");
            Failure::Ledger
        })?;
        Ok(signing_key(decrypted, verdict.decision)?)
    }
}

impl Genuine {
    /// Checks 8 to 10, after the opening signature: what the prefix holds, its reverse-path, and its time at `now` within
    /// `window` seconds.
    ///
    /// # Errors
    ///
    /// How the message is refused.
    pub fn judge(
        verified: Verified,
        level: Level,
        config: &Config,
        window: u64,
        now: u64,
    ) -> Result<Self, Failure> {
        let prefix = verified.prefix();
        let domain = &prefix.sender_domain;
        let require_aligned = config.treatment(domain).require_aligned;
        let acceptance = Acceptance { window, require_aligned };
        let SmtpEnvelope { sender, recipients } = check_content(&verified, &acceptance, now)
            .map_err(|fault| {
                if let ContentFault::Paths(error) = &fault {
                    warn!(%error, "signed prefix refused");
                }
                Failure::of_content(domain, &fault)
            })?;
        let message = IncomingMessage {
            envelope_id: verified.envelope_id(),
            sender_domain: prefix.sender_domain.clone(),
            delivery_id: prefix.delivery_id,
        };
        let keep_until = prefix.sealed_at.saturating_add(KEEP);
        Ok(Self { verified, level, sender, signed: recipients, message, keep_until })
    }

    /// The signed recipients in the spelling of the ledger.
    #[must_use]
    pub fn recipients(&self) -> Vec<String> {
        self.signed.iter().map(|recipient| mailbox_text(&recipient.path)).collect()
    }

    /// Whose the signed reverse-path is.
    #[must_use]
    pub fn reverse_path_of(&self) -> ReversePathOf {
        if self.verified.prefix().foreign_reverse_path {
            ReversePathOf::Foreign
        } else if self.sender.0.is_null() {
            ReversePathOf::Nobody
        } else {
            ReversePathOf::Sender
        }
    }
}

/// Check 7 once the policy of the sender domain is known: the key that the prefix names, if it is listed.
///
/// # Errors
///
/// How the message is refused.
pub fn signing_key(
    decrypted: &Decrypted,
    decision: SenderDecision,
) -> Result<(VerifyingKey, Level), Failure> {
    let domain = decrypted.sender_domain();
    match decision {
        SenderDecision::Verify { keys, level, source, .. } => {
            let wanted = decrypted.signing_key_id();
            match (keys.into_iter().find(|key| key.key_id() == wanted), source) {
                (Some(key), _) => Ok((key, level)),
                (None, Source::Dns) => {
                    warn!(%domain, "signing key is not in the sender's policy");
                    Err(Failure::Unauthentic)
                }
                // The key may be newer than what is remembered.
                (None, Source::Memory) => Err(Failure::SenderUnknown),
            }
        }
        SenderDecision::Defer(why) => {
            // The reply is the same for all of them [R-smtp-03].
            warn!(%domain, reason = why.code(), %why, "sender cannot be verified now");
            Err(Failure::SenderUnknown)
        }
        SenderDecision::Refuse(why) => {
            warn!(%domain, reason = why.code(), %why, "sender cannot be verified");
            Err(Failure::Unauthentic)
        }
    }
}

pub(super) fn broken(error: &UnsealError) -> Failure {
    warn!(%error, "envelope refused");
    unseal_failure(error)
}

/// Reads until the clear part of the envelope is complete.
async fn read_clear_part(
    reader: &mut EnvelopeReader<'_>,
    piece: &mut Vec<u8>,
) -> Result<Result<Parsed, UnsealError>, Stop> {
    let mut received = Received::new();
    while reader.next(piece).await? {
        match received.push(piece) {
            Ok(Step::More(more)) => received = more,
            Ok(Step::Done(parsed)) => return Ok(Ok(parsed)),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Err(received.ended()))
}

/// Reads until prefix and opening signature are decrypted.
async fn read_prefix(
    mut opened: Opened,
    reader: &mut EnvelopeReader<'_>,
    piece: &mut Vec<u8>,
) -> Result<Result<Decrypted, UnsealError>, Stop> {
    // First what came along with the clear part.
    piece.clear();
    loop {
        match opened.push(piece) {
            Ok(Step::More(more)) => opened = more,
            Ok(Step::Done(decrypted)) => return Ok(Ok(decrypted)),
            Err(error) => return Ok(Err(error)),
        }
        if !reader.next(piece).await? {
            return Ok(opened.end());
        }
    }
}
