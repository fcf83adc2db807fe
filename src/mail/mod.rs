//! The carrier, header fields and notices; pure and streaming.
//!
//! * [`carrier`]: the outer message that transports one envelope, written and recognised;
//! * [`header`]: header blocks, split byte-exactly, and the message's own demand;
//! * [`mime`]: structured field bodies with parameters (RFC 2045, RFC 2231);
//! * [`address`]: the one mailbox of `From:`;
//! * [`claims`]: whom a reader might take for the author;
//! * [`trace`]: the `Received:` field;
//! * [`dkim`]: DKIM signatures of carriers (RFC 6376);
//! * [`results`]: the `Authentication-Results:` field, written and weeded;
//! * [`notice`]: delivery status notifications (RFC 3464), written;
//! * [`bounce`]: those that others write about carriers, read;
//! * [`date`]: date-time of RFC 5322, and for people.
//!
//! A line ends with CRLF and with nothing else; a bare CR or LF is an octet like any other. The
//! SMTP layer has refused both before they get here.

pub mod address;
pub mod bounce;
pub mod carrier;
pub mod claims;
pub mod date;
pub mod dkim;
mod encoded_word;
pub mod header;
pub mod mime;
pub mod notice;
pub mod results;
pub mod trace;
