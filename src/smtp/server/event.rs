//! What a session tells the gateway.

use std::io;

#[cfg(doc)]
use super::ServerConnection;
use super::{Credentials, HelloKind};
use crate::core::address::{ForwardPath, ReversePath};
use crate::core::esmtp::{MailParameters, RcptParameters};
use crate::smtp::data::Violation;

/// What the gateway has to act on.
///
/// Every command but `Rset` and `Quit` waits for an answer through the method named with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A greeting. Answer by [`ServerConnection::accept_hello`] or a negative
    /// [`ServerConnection::reply`]. An open transaction has been reset.
    Hello {
        /// HELO, EHLO or LHLO.
        kind: HelloKind,
        /// The client's name for itself: letters, digits and `-._:[]`, at most 255 octets.
        name: String,
    },
    /// MAIL, with parameters that were advertised. Answer by [`ServerConnection::reply`].
    Mail {
        /// The sender.
        path: ReversePath,
        /// Its parameters.
        parameters: MailParameters,
    },
    /// RCPT, with parameters that were advertised. Answer by [`ServerConnection::reply`].
    Rcpt {
        /// The recipient.
        path: ForwardPath,
        /// Its parameters.
        parameters: RcptParameters,
    },
    /// DATA, with at least one accepted recipient. Answer by [`ServerConnection::accept_data`] or
    /// a negative [`ServerConnection::reply`].
    Data,
    /// RSET; 250 has been answered.
    Rset,
    /// STARTTLS, answered by [`ServerConnection::start_tls`].
    StartTls,
    /// AUTH under TLS, with name and password. Answer by [`ServerConnection::accept_auth`] or a negative
    /// [`ServerConnection::reply`].
    Auth(Credentials),
    /// QUIT; 221 has been answered and the connection closed.
    Quit,
}

/// The next piece of message data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataChunk {
    /// Content without stuffed dots; free of bare CR, bare LF and NUL, and never cut between CR
    /// and LF.
    Content(bytes::Bytes),
    /// The data ended. Now give one reply (SMTP) or one per accepted recipient (LMTP).
    End(DataEnd),
}

/// How message data ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataEnd {
    /// Complete.
    Clean,
    /// Forbidden octets: the message must not be delivered.
    Violation(Violation),
    /// More octets than the limit given to [`ServerConnection::accept_data`].
    TooLarge,
}

/// Why a connection is over. The peer has been told, where that makes sense.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer closed the connection.
    #[error("connection closed by the peer")]
    Closed,
    /// The peer kept silent, or did not take what it was sent.
    #[error("peer timed out")]
    Timeout,
    /// Too many bad commands, or too many without a transaction.
    #[error("too many commands refused")]
    TooManyErrors,
    /// The peer sent data before DATA was answered, so commands and content cannot be told apart.
    #[error("data sent before DATA was answered")]
    EarlyData,
    /// The peer went on sending a message that was refused already.
    #[error("refused message does not end")]
    Endless,
    /// The TLS handshake failed.
    #[error("TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    /// The connection failed.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// The caller called a method that the state of the session does not allow.
    #[error("session method called out of order")]
    OutOfOrder,
}
