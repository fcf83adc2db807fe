//! Bounces of carriers: what a hop that could not deliver one writes back to its reverse-path, in clear [R-bnc-01].
//!
//! The form is RFC 3464 in `multipart/report` (RFC 6522). OpenSMTPD writes `multipart/mixed` instead, and the whole carrier under the
//! type of its header alone. Exim, sendmail and Postfix return the header only, always or above a size. So a bounce is
//! known by its parts: the fields of a delivery status, and the header of a carrier that was returned. ENVID and ORCPT are lost on
//! the way, and the body may be damaged; neither is used.
//!
//! Nothing here is proven. Whoever has seen a carrier can write a bounce of it.

mod parts;
mod status;

use parts::{Part, parts};

use super::carrier::{TOKEN_FIELD, Token};
use super::header::Header;
pub use status::Reported;

/// Octets from the beginning of a message within which a bounce tells what it is about; the rest is not looked at, since it may
/// be the whole carrier. A header may have 32 KiB at every hop, and some write the notification for people twice.
pub const MAX_BOUNCE: usize = 256 * 1024;

/// What a bounce says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    /// The token of the carrier that was returned.
    pub token: Token,
    /// The system that reports, as it calls itself.
    pub reporting_mta: Option<String>,
    /// What became of each recipient; at least one.
    pub recipients: Vec<Reported>,
}

impl Bounce {
    /// Whether a message with this header may be one.
    #[must_use]
    pub fn may_be(header: &Header) -> bool {
        parts::boundary(header).is_some()
    }

    /// Reads the beginning of a message, of which the first [`MAX_BOUNCE`] octets are looked at. `whole` says that nothing follows. `None` if
    /// it is no bounce of a carrier, or not a clear one.
    #[must_use]
    pub fn read(message: &[u8], whole: bool) -> Option<Self> {
        let whole = whole && message.len() <= MAX_BOUNCE;
        let message = message.get(..MAX_BOUNCE).unwrap_or(message);
        let parts = parts(message, whole)?;
        let token = parts.iter().find(|part| part.is_returned()).and_then(token)?;
        let status = parts.iter().find(|part| part.is_status())?;
        let text = parts.iter().find(|part| part.is_text()).map_or(&[][..], |part| part.content);
        let (reporting_mta, recipients) = status::read(status.content, text);
        (!recipients.is_empty()).then_some(Self { token, reporting_mta, recipients })
    }
}

/// The token of the carrier whose header, at least, is in this part: in its own field, or in the Message-ID, which every hop keeps as
/// well. None if they contradict each other: then it is nobody's.
fn token(part: &Part<'_>) -> Option<Token> {
    let (header, _) = Header::split(part.content);
    if !part.ended && header.separator().is_empty() {
        // The last field may have been cut.
        return None;
    }
    let own = match header.count(TOKEN_FIELD) {
        0 => None,
        _ => Some(Token::parse(&header.only(TOKEN_FIELD)?.unfolded())?),
    };
    let named = header.only("Message-ID").and_then(|field| {
        let id = field.unfolded();
        let left = id.strip_prefix(b"<")?.split(|&b| b == b'@').next()?;
        Token::parse(left)
    });
    match (own, named) {
        (Some(own), Some(named)) => (own == named).then_some(own),
        (own, named) => own.or(named),
    }
}
