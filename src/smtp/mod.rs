//! SMTP and LMTP: server and client machinery, data transparency.
//!
//! Built for an in-line proxy (RFC 5321, LMTP of RFC 2033): the gateway reads typed commands from
//! a [`server::ServerConnection`], passes them on through a [`client::Client`], and answers with
//! the [`reply::Reply`] it got. Message data pass through the codec of [`data`], which refuses
//! every octet sequence that another implementation might take for an end of data.

pub mod capabilities;
pub mod client;
pub mod client_certificate;
mod command;
pub mod data;
pub mod line;
pub mod next_hop;
pub mod origin;
pub mod reply;
pub mod server;
mod stream;
pub mod tls;

pub use capabilities::Capabilities;
pub use reply::{EnhancedStatus, Reply, Severity};
pub use stream::Io;

/// Which of the two protocols is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// SMTP (RFC 5321): one reply after the data.
    Smtp,
    /// LMTP (RFC 2033): one reply per accepted recipient after the data.
    Lmtp,
}
