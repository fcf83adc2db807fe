//! The SMTP envelope on its way into a prefix and out of it.
//!
//! What comes out of a prefix is parsed by the grammar of RFC 5321 and RFC 3461 and printed anew
//! [R-uns-05]. What is put into one is judged by the same function, so that nothing is sealed that
//! its receiver would have to refuse.

use super::address::{AddressError, ForwardPath, Mailbox, ReversePath};
use super::domain::Domain;
use super::esmtp::{Body, Envid, MailParameters, Notify, Orcpt, RcptParameters, Ret};
use super::prefix::{self, InvalidField, ReversePathField};

const NEVER: u8 = 1;
const SUCCESS: u8 = 2;
const FAILURE: u8 = 4;
const DELAY: u8 = 8;

/// One recipient with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// As in RCPT TO.
    pub path: ForwardPath,
    /// What follows it.
    pub parameters: RcptParameters,
}

/// The SMTP envelope of a message for one recipient domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpEnvelope {
    /// The reverse-path with its parameters.
    pub sender: (ReversePath, MailParameters),
    /// The forward-paths, all of the recipient domain.
    pub recipients: Vec<Recipient>,
}

/// Why paths and parameters are not those of an SMTP envelope for one recipient domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitPath {
    /// One has no place in a prefix.
    #[error(transparent)]
    Field(#[from] InvalidField),
    /// A path is none.
    #[error("{0}: {1}")]
    Address(&'static str, AddressError),
    /// A parameter breaks its grammar.
    #[error("malformed {0}")]
    Parameter(&'static str),
    /// A forward-path is of another domain, or of none.
    #[error("a recipient is of another domain than the envelope")]
    OtherDomain(Mailbox),
    /// A path is not ASCII and SMTPUTF8 was not given. No SMTP envelope is like that.
    #[error("a path is not ASCII, and SMTPUTF8 was not given")]
    LacksSmtputf8,
    /// Nobody is to be sent to.
    #[error("no recipient")]
    NoRecipient,
}

impl SmtpEnvelope {
    /// Reads what stands in a prefix for `recipient_domain` [R-con-02] [R-uns-05].
    ///
    /// # Errors
    ///
    /// A path or parameter breaks its grammar, a forward-path is of another domain, or SMTPUTF8 is missing.
    pub fn read(
        sender: &ReversePathField,
        recipients: &[prefix::ForwardPath],
        recipient_domain: &Domain,
    ) -> Result<Self, UnfitPath> {
        let read = |recipient| read_forward_path(recipient, recipient_domain);
        let envelope = Self {
            sender: read_reverse_path(sender)?,
            recipients: recipients.iter().map(read).collect::<Result<_, _>>()?,
        };
        // As they are spelled: a domain in U-labels would be written anew in A-labels.
        let mut mailboxes = recipients.iter().map(prefix::ForwardPath::mailbox);
        let ascii = sender.mailbox().is_ascii() && mailboxes.all(str::is_ascii);
        if ascii || sender.smtputf8() { Ok(envelope) } else { Err(UnfitPath::LacksSmtputf8) }
    }

    /// Reads what is to be sealed to `recipient_domain` [R-con-02].
    ///
    /// # Errors
    ///
    /// Whatever [`Self::read`] would refuse at the receiver; or there is no recipient.
    pub fn to_seal(
        sender: &ReversePathField,
        recipients: &[prefix::ForwardPath],
        recipient_domain: &Domain,
    ) -> Result<Self, UnfitPath> {
        if recipients.is_empty() {
            return Err(UnfitPath::NoRecipient);
        }
        Self::read(sender, recipients, recipient_domain)
    }

    /// Whether the reverse-path is neither null nor of this domain: sealed by it, it is flagged foreign [R-seal-02].
    #[must_use]
    pub fn is_foreign_to(&self, sender_domain: &Domain) -> bool {
        let path = &self.sender.0;
        !path.is_null() && path.domain() != Some(sender_domain)
    }
}

/// The mailbox of a forward-path as it stands in a prefix and in the ledger.
#[must_use]
pub fn mailbox_text(path: &ForwardPath) -> String {
    path.mailbox().map_or_else(|| "postmaster".to_owned(), ToString::to_string)
}

/// Writes a reverse-path with its parameters.
///
/// # Errors
///
/// One of them has no place in a prefix.
pub fn reverse_path_field(
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
///
/// # Errors
///
/// One of them has no place in a prefix.
pub fn forward_path_field(recipient: &Recipient) -> Result<prefix::ForwardPath, InvalidField> {
    let notify = match recipient.parameters.notify {
        None => 0,
        Some(Notify::Never) => NEVER,
        Some(Notify::On { success, failure, delay }) => {
            u8::from(success) * SUCCESS + u8::from(failure) * FAILURE + u8::from(delay) * DELAY
        }
    };
    let orcpt = recipient.parameters.orcpt.as_ref().map(ToString::to_string).unwrap_or_default();
    prefix::ForwardPath::new(mailbox_text(&recipient.path), notify, orcpt)
}

/// Reads a reverse-path with its parameters.
fn read_reverse_path(field: &ReversePathField) -> Result<(ReversePath, MailParameters), UnfitPath> {
    let path = if field.mailbox().is_empty() {
        ReversePath::Null
    } else {
        ReversePath::Mailbox(read_mailbox(field.mailbox(), "reverse-path")?)
    };
    let envid = match field.envid() {
        "" => None,
        text => Some(Envid::parse(text).ok_or(UnfitPath::Parameter("ENVID"))?),
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

/// Reads a forward-path of the recipient domain with its parameters.
fn read_forward_path(
    field: &prefix::ForwardPath,
    recipient_domain: &Domain,
) -> Result<Recipient, UnfitPath> {
    let mailbox = read_mailbox(field.mailbox(), "forward-path")?;
    if mailbox.domain() != Some(recipient_domain) {
        return Err(UnfitPath::OtherDomain(mailbox));
    }
    let orcpt = match field.orcpt() {
        "" => None,
        text => Some(Orcpt::parse(text).ok_or(UnfitPath::Parameter("ORCPT"))?),
    };
    let notify = match field.notify() {
        0 => None,
        NEVER => Some(Notify::Never),
        set => Some(
            Notify::on(set & SUCCESS != 0, set & FAILURE != 0, set & DELAY != 0)
                .ok_or(UnfitPath::Parameter("NOTIFY"))?,
        ),
    };
    let path = ForwardPath::Mailbox(mailbox);
    Ok(Recipient { path, parameters: RcptParameters { notify, orcpt } })
}

fn read_mailbox(text: &str, what: &'static str) -> Result<Mailbox, UnfitPath> {
    Mailbox::parse(text).map_err(|error| UnfitPath::Address(what, error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Of a sender to b.example.
    fn judged(from: &str, smtputf8: bool, to: &[&str]) -> Result<SmtpEnvelope, UnfitPath> {
        let sender = ReversePathField::new(from.into(), 0, smtputf8, 0, String::new()).unwrap();
        let path = |to: &&str| prefix::ForwardPath::new((*to).into(), 0, String::new()).unwrap();
        let recipients: Vec<_> = to.iter().map(path).collect();
        SmtpEnvelope::to_seal(&sender, &recipients, &Domain::parse("b.example").unwrap())
    }

    #[test]
    fn paths_beyond_ascii_need_smtputf8() {
        // [R-con-02]
        let lacks = |from, smtputf8, to| {
            judged(from, smtputf8, &["w@b.example", to]) == Err(UnfitPath::LacksSmtputf8)
        };
        assert!(!lacks("u@a.example", false, "v@b.example"));
        assert!(!lacks("u@a.example", true, "v@b.example"));
        assert!(lacks("\u{fc}@a.example", false, "v@b.example"));
        assert!(lacks("u@a.example", false, "\u{fc}@b.example"));
        assert!(!lacks("\u{fc}@a.example", true, "\u{fc}@b.example"));
    }

    #[test]
    fn recipients_are_of_one_domain() {
        // [R-con-02]
        assert!(judged("", false, &["v@B.example", "w@b.example"]).is_ok());
        assert_eq!(judged("", false, &[]), Err(UnfitPath::NoRecipient));
        for other in ["w@c.example", "w@sub.b.example", "w@[192.0.2.1]"] {
            let unfit = judged("", false, &["v@b.example", other]);
            assert!(matches!(unfit, Err(UnfitPath::OtherDomain(..))), "{unfit:?}");
        }
        let unfit = judged("", false, &["postmaster"]);
        assert_eq!(unfit, Err(UnfitPath::Address("forward-path", AddressError::NoDomain)));
    }

    #[test]
    fn a_reverse_path_is_foreign_or_not() {
        // [R-seal-02]
        let own = Domain::parse("a.example").unwrap();
        for (from, foreign) in
            [("", false), ("u@A.example", false), ("u@x.a.example", true), ("u@[192.0.2.1]", true)]
        {
            let envelope = judged(from, false, &["v@b.example"]).unwrap();
            assert_eq!(envelope.is_foreign_to(&own), foreign, "{from}");
        }
    }
}
