//! The SMTP envelope on its way into a prefix and out of it.
//!
//! What comes out of a prefix is parsed by the grammar of RFC 5321 and RFC 3461 and printed anew
//! [R-uns-05].

use super::session::Recipient;
use crate::core::address::{ForwardPath, Mailbox, ReversePath};
use crate::core::esmtp::{Body, Envid, MailParameters, Notify, Orcpt, RcptParameters, Ret};
use crate::core::{self, InvalidField, ReversePathField};

const NEVER: u8 = 1;
const SUCCESS: u8 = 2;
const FAILURE: u8 = 4;
const DELAY: u8 = 8;

/// A path or parameter of a verified prefix that is no such thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} in the prefix is malformed")]
pub(super) struct Malformed(&'static str);

/// The mailbox of a forward-path as it stands in a prefix and in the ledger.
pub(super) fn mailbox_text(path: &ForwardPath) -> String {
    path.mailbox().map_or_else(|| "postmaster".to_owned(), ToString::to_string)
}

/// Writes a reverse-path with its parameters.
pub(super) fn reverse_path_field(
    path: &ReversePath,
    parameters: &MailParameters,
) -> Result<ReversePathField, InvalidField> {
    let body = match parameters.body {
        None => 0,
        Some(Body::SevenBit) => 1,
        Some(Body::EightBitMime) => 2,
    };
    let ret = match parameters.ret {
        None => 0,
        Some(Ret::Full) => 1,
        Some(Ret::Hdrs) => 2,
    };
    let mailbox = path.mailbox().map(ToString::to_string).unwrap_or_default();
    let envid = parameters.envid.as_ref().map(ToString::to_string).unwrap_or_default();
    ReversePathField::new(mailbox, body, parameters.smtputf8, ret, envid)
}

/// Writes a forward-path with its parameters.
pub(super) fn forward_path_field(recipient: &Recipient) -> Result<core::ForwardPath, InvalidField> {
    let notify = match recipient.parameters.notify {
        None => 0,
        Some(Notify::Never) => NEVER,
        Some(Notify::On { success, failure, delay }) => {
            u8::from(success) * SUCCESS + u8::from(failure) * FAILURE + u8::from(delay) * DELAY
        }
    };
    let orcpt = recipient.parameters.orcpt.as_ref().map(ToString::to_string).unwrap_or_default();
    core::ForwardPath::new(mailbox_text(&recipient.path), notify, orcpt)
}

/// Reads a reverse-path with its parameters.
pub(super) fn read_reverse_path(
    field: &ReversePathField,
) -> Result<(ReversePath, MailParameters), Malformed> {
    let path = if field.mailbox().is_empty() {
        ReversePath::Null
    } else {
        let mailbox = Mailbox::parse(field.mailbox()).map_err(|_| Malformed("reverse-path"))?;
        ReversePath::Mailbox(mailbox)
    };
    let envid = match field.envid() {
        "" => None,
        text => Some(Envid::parse(text).ok_or(Malformed("ENVID"))?),
    };
    let parameters = MailParameters {
        size: None,
        body: match field.body() {
            0 => None,
            1 => Some(Body::SevenBit),
            _ => Some(Body::EightBitMime),
        },
        smtputf8: field.smtputf8(),
        ret: match field.ret() {
            0 => None,
            1 => Some(Ret::Full),
            _ => Some(Ret::Hdrs),
        },
        envid,
    };
    Ok((path, parameters))
}

/// Reads a forward-path with its parameters.
pub(super) fn read_forward_path(field: &core::ForwardPath) -> Result<Recipient, Malformed> {
    let mailbox = Mailbox::parse(field.mailbox()).map_err(|_| Malformed("forward-path"))?;
    let orcpt = match field.orcpt() {
        "" => None,
        text => Some(Orcpt::parse(text).ok_or(Malformed("ORCPT"))?),
    };
    let notify = match field.notify() {
        0 => None,
        NEVER => Some(Notify::Never),
        set => Some(
            Notify::on(set & SUCCESS != 0, set & FAILURE != 0, set & DELAY != 0)
                .ok_or(Malformed("NOTIFY"))?,
        ),
    };
    let path = ForwardPath::Mailbox(mailbox);
    Ok(Recipient { path, parameters: RcptParameters { notify, orcpt } })
}
