//! MTA-SEAL seals mail between organisations.
//!
//! The sealing gateway of a sending organisation seals each message to a key that the recipient
//! domain publishes in DNS; every hop between stores and forwards an opaque carrier; the
//! unsealing gateway restores the exact bytes. The protocol is the draft in `spec/`; requirement
//! ids such as `[R-env-03]` in comments and tests refer to it.
//!
//! The crate is layered; a module imports only from the layers before it:
//!
//! 1. [`core`]: envelope, suites, content, sealing and unsealing; pure.
//! 2. [`records`] and [`policy`]: the DNS records, the decision table, memory rules; pure.
//! 3. [`mail`]: carrier, header fields, DSN texts; pure and streaming.
//! 4. [`smtp`]: SMTP and LMTP server and client machinery.
//! 5. [`dns`]: look-ups that keep their DNSSEC status.
//! 6. [`store`]: the ledger and the keyring on disk.
//! 7. [`gateway`]: the daemon; the only layer that knows all others.
//! 8. [`cli`]: the subcommands of `mta-seal`.

pub mod cli;
pub mod core;
pub mod dns;
pub mod gateway;
pub mod lifetime;
pub mod mail;
pub mod policy;
pub mod records;
pub mod smtp;
pub mod store;
