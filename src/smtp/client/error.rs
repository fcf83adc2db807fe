//! What can go wrong with a next hop, sorted by who is at fault.

use std::io;
use std::sync::Arc;

use crate::smtp::data::Violation;
use crate::smtp::reply::ReplyError;
use crate::smtp::{Capabilities, Reply};

/// What the client was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Connecting and all that follows up to AUTH, taken together.
    SetUp,
    /// Connecting.
    Connect,
    /// Waiting for the greeting.
    Greeting,
    /// EHLO, HELO or LHLO.
    Hello,
    /// STARTTLS and the handshake.
    StartTls,
    /// AUTH.
    Auth,
    /// XCLIENT or XFORWARD.
    Origin,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// Sending message data.
    Write,
    /// Waiting for the replies to the message.
    Dot,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

/// Something that a transaction needs and the next hop does not offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// SMTPUTF8 for the parameter or a non-ASCII address: 5.6.7 (RFC 6531 section 3.5).
    SmtpUtf8,
    /// 8BITMIME for BODY=8BITMIME: 5.6.3 (RFC 6152 section 3).
    EightBitMime,
}

/// Why there is no reply to pass on.
///
/// After every error but [`ClientError::Missing`] and [`ClientError::OutOfOrder`] the connection
/// is closed, and no final dot has been sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The next hop cannot be reached, or the connection broke.
    #[error("{step:?}: {source}")]
    Io {
        /// What the client was doing.
        step: Step,
        /// What happened.
        source: Arc<io::Error>,
    },
    /// The next hop kept silent, or did not take what it was sent.
    #[error("{0:?}: timed out")]
    Timeout(Step),
    /// The next hop closed the connection.
    #[error("{0:?}: closed by the next hop")]
    Closed(Step),
    /// The next hop refuses connections or greetings; the reply is its own.
    #[error("{step:?}: refused: {reply}")]
    Refused {
        /// Which step it refused.
        step: Step,
        /// Its reply.
        reply: Reply,
    },
    /// What the next hop sent is no reply, or a reply to nothing.
    #[error("{step:?}: {source}")]
    Garbage {
        /// What the client was doing.
        step: Step,
        /// What is wrong with it.
        source: ReplyError,
    },
    /// The next hop sent something that answers no command, as behind STARTTLS (an injection).
    #[error("{0:?}: unsolicited octets")]
    Unsolicited(Step),
    /// The next hop answered while the message was still being sent.
    #[error("reply before the end of the message: {0}")]
    EarlyReply(Reply),
    /// TLS is required and not offered, or refused with the given reply.
    #[error("next hop offers no TLS")]
    NoTls(Option<Reply>),
    /// The TLS handshake failed.
    #[error("TLS handshake failed: {0}")]
    Tls(#[source] Arc<io::Error>),
    /// The next hop does not take the user name and password, now or ever; the reply is its own.
    #[error("authentication refused: {0}")]
    Auth(Reply),
    /// The next hop offers neither AUTH PLAIN nor AUTH LOGIN.
    #[error("next hop offers neither AUTH PLAIN nor LOGIN (offered: `{}`)", .offered.auth.join(" "))]
    NoMechanism {
        /// What it does offer.
        offered: Box<Capabilities>,
    },
    /// What came of AUTH, or of an earlier one, so that it was not sent this time. Made by those who remember that; they have
    /// logged it.
    #[error(transparent)]
    Login(Box<ClientError>),
    /// The transaction needs what the next hop does not offer. The connection is still good.
    #[error("next hop does not offer {0:?}")]
    Missing(Missing),
    /// The content must not be sent.
    #[error(transparent)]
    Content(#[from] Violation),
    /// The caller called a method that the state of the connection does not allow.
    #[error("client method called out of order")]
    OutOfOrder,
}

impl ClientError {
    /// Whether the connection has gone without an answer to the command, as servers do when they restart or are tired of
    /// waiting.
    pub(crate) fn is_loss(&self) -> bool {
        match self {
            Self::Closed(_) => true,
            Self::Io { step, .. } => *step != Step::Connect,
            Self::Refused { reply, .. } => reply.code() == 421,
            _ => false,
        }
    }

    pub(super) fn io(step: Step, source: io::Error) -> Self {
        Self::Io { step, source: source.into() }
    }
}
