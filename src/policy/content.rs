//! What a verified prefix must say before a message is passed on: the checks 9 and 10 of [R-uns-01].

use crate::core::{ContentType, SmtpEnvelope, UnfitPath, Verified};
use crate::records::CLOCK_TOLERANCE;

/// What the receiver asks of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acceptance {
    /// For how many seconds after it was sealed a message is taken: as the recipient's policy says.
    pub window: u64,
    /// Whether the reverse-path must not be flagged foreign [R-uns-11].
    pub require_aligned: bool,
}

/// Why a message is refused that its sender has signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentFault {
    /// The content is of another type.
    #[error("the envelope holds a receipt, not a message")]
    NotMail,
    /// Paths and parameters are not those of an SMTP envelope for the recipient domain.
    #[error("what is signed is no SMTP envelope: {0}")]
    Paths(#[from] UnfitPath),
    /// The reverse-path is of another domain, and not flagged.
    #[error("the signed sender is of another domain than the signature")]
    SenderPath,
    /// The reverse-path is flagged foreign, and must not be.
    #[error("the signed sender is flagged as one of another domain")]
    NotAligned,
    /// Sealed more than [`CLOCK_TOLERANCE`] after now.
    #[error("sealed in the future")]
    InFuture,
    /// Sealed longer ago than the window.
    #[error("sealed too long ago")]
    TooOld,
}

/// Makes the checks 9 and 10 of [R-uns-01], in their order, at `now` (seconds since 1970); returns the SMTP envelope.
///
/// # Errors
///
/// The first check that fails.
pub fn check_content(
    verified: &Verified,
    acceptance: &Acceptance,
    now: u64,
) -> Result<SmtpEnvelope, ContentFault> {
    let prefix = verified.prefix();
    if prefix.content_type != ContentType::Mail {
        return Err(ContentFault::NotMail);
    }
    let recipient_domain = &verified.header().recipient_domain;
    let envelope =
        SmtpEnvelope::read(&prefix.reverse_path, &prefix.forward_paths, recipient_domain)?;
    if envelope.is_foreign_to(&prefix.sender_domain) && !prefix.foreign_reverse_path {
        return Err(ContentFault::SenderPath);
    }
    // The author is seen to when the header is complete.
    if prefix.foreign_reverse_path && acceptance.require_aligned {
        return Err(ContentFault::NotAligned);
    }
    if prefix.sealed_at > now.saturating_add(CLOCK_TOLERANCE) {
        return Err(ContentFault::InFuture);
    }
    if now > prefix.sealed_at.saturating_add(acceptance.window) {
        return Err(ContentFault::TooOld);
    }
    Ok(envelope)
}
