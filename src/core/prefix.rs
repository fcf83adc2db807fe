//! The prefix of a content: who sends what to whom.

use super::codec::{Decode, Encode, Field, Reader};
use super::domain::{Domain, MAX_DOMAIN};
use super::error::{DecodeError, EncodeError, Unsupported};
use super::extension::Extensions;
use super::ids::{DeliveryId, KeyId};

/// Most octets of a prefix [R-con-01].
pub const MAX_PREFIX: usize = 1 << 20;
/// Most forward-paths of a prefix [R-con-01].
pub const MAX_FORWARD_PATHS: usize = 1000;

pub(super) const PREFIX: Field = Field::new("prefix", 1, MAX_PREFIX);
const SENDER_DOMAIN: Field = Field::new("sender_domain", 1, MAX_DOMAIN);
const FORWARD_PATHS: Field = Field::new("forward_paths", 0, (1 << 20) - 1);
const FORWARD_MAILBOX: Field = Field::new("forward-path mailbox", 1, 512);
const ORCPT: Field = Field::new("orcpt", 0, 500);
const REVERSE_MAILBOX: Field = Field::new("reverse-path mailbox", 0, 512);
const ENVID: Field = Field::new("envid", 0, 100);

const RECEIPT_WANTED: u16 = 0x0001;
const FOREIGN_REVERSE_PATH: u16 = 0x0002;

/// What a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// A message for the mailboxes of the forward-paths.
    Mail,
    /// A receipt for a message that went the other way.
    Receipt,
}

/// A path or parameter that cannot stand in a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid {0}")]
pub struct InvalidField(pub &'static str);

impl From<InvalidField> for DecodeError {
    fn from(error: InvalidField) -> Self {
        Self::Malformed(error.0)
    }
}

/// Text of a path or parameter: UTF-8 without control characters, so that it cannot break out of
/// a command line.
fn text(field: &Field, text: &str) -> Result<(), InvalidField> {
    let fits = (field.min..=field.max).contains(&text.len());
    if fits && !text.chars().any(char::is_control) { Ok(()) } else { Err(InvalidField(field.name)) }
}

fn read_text(input: &mut Reader<'_>, field: &Field) -> Result<String, DecodeError> {
    let octets = input.vector(field)?;
    String::from_utf8(octets.to_vec()).map_err(|_| DecodeError::Malformed(field.name))
}

/// One recipient with its parameters, as at the sealing gateway [R-con-02].
///
/// The texts are UTF-8 without control characters; the grammar of RFC 5321 is checked where they
/// are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardPath {
    mailbox: String,
    notify: u8,
    orcpt: String,
}

impl ForwardPath {
    /// `notify` is 0 if absent, else 1 for NEVER, or the sum of 2 SUCCESS, 4 FAILURE, 8 DELAY;
    /// `orcpt` is empty if absent.
    pub fn new(mailbox: String, notify: u8, orcpt: String) -> Result<Self, InvalidField> {
        text(&FORWARD_MAILBOX, &mailbox)?;
        // NEVER stands alone (RFC 3461 section 4.1).
        if notify > 14 || (notify > 1 && notify & 1 == 1) {
            return Err(InvalidField("notify"));
        }
        text(&ORCPT, &orcpt)?;
        Ok(Self { mailbox, notify, orcpt })
    }

    /// The mailbox as in RCPT TO, without angle brackets, exact spelling; 1 to 512 octets.
    #[must_use]
    pub fn mailbox(&self) -> &str {
        &self.mailbox
    }

    /// 0 absent; else 1 NEVER, or the sum of 2 SUCCESS, 4 FAILURE, 8 DELAY.
    #[must_use]
    pub const fn notify(&self) -> u8 {
        self.notify
    }

    /// The value of `ORCPT=`, at most 500 octets; empty: absent.
    #[must_use]
    pub fn orcpt(&self) -> &str {
        &self.orcpt
    }
}

// struct {
//     opaque mailbox<1..512>;           /* as in RCPT TO, without angle brackets, exact spelling */
//     uint8 notify;                     /* 0 absent; else 1 NEVER, or the sum of 2 SUCCESS,
//                                          4 FAILURE, 8 DELAY */
//     opaque orcpt<0..500>;             /* value of ORCPT=, empty: absent */
// } ForwardPath;
impl Encode for ForwardPath {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        FORWARD_MAILBOX.put(out, self.mailbox.as_bytes())?;
        out.push(self.notify);
        ORCPT.put(out, self.orcpt.as_bytes())
    }
}

impl Decode for ForwardPath {
    const NAME: &'static str = "forward-path";

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mailbox = read_text(input, &FORWARD_MAILBOX)?;
        let notify = input.u8("notify")?;
        let orcpt = read_text(input, &ORCPT)?;
        Ok(Self::new(mailbox, notify, orcpt)?)
    }
}

/// The sender with its parameters, as at the sealing gateway [R-con-02].
///
/// The texts are UTF-8 without control characters; the grammar of RFC 5321 is checked where they
/// are used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReversePathField {
    mailbox: String,
    body: u8,
    smtputf8: bool,
    ret: u8,
    envid: String,
}

impl ReversePathField {
    /// `mailbox` is empty for the null reverse-path; `body` is 0 if absent, 1 for 7BIT, 2 for
    /// 8BITMIME; `ret` is 0 if absent, 1 for FULL, 2 for HDRS; `envid` is empty if absent.
    pub fn new(
        mailbox: String,
        body: u8,
        smtputf8: bool,
        ret: u8,
        envid: String,
    ) -> Result<Self, InvalidField> {
        text(&REVERSE_MAILBOX, &mailbox)?;
        if body > 2 {
            return Err(InvalidField("body"));
        }
        if ret > 2 {
            return Err(InvalidField("ret"));
        }
        text(&ENVID, &envid)?;
        Ok(Self { mailbox, body, smtputf8, ret, envid })
    }

    /// The mailbox as in MAIL FROM, without angle brackets, at most 512 octets; empty: null.
    #[must_use]
    pub fn mailbox(&self) -> &str {
        &self.mailbox
    }

    /// 0 absent, 1 7BIT, 2 8BITMIME.
    #[must_use]
    pub const fn body(&self) -> u8 {
        self.body
    }

    /// Whether SMTPUTF8 was given.
    #[must_use]
    pub const fn smtputf8(&self) -> bool {
        self.smtputf8
    }

    /// 0 absent, 1 FULL, 2 HDRS.
    #[must_use]
    pub const fn ret(&self) -> u8 {
        self.ret
    }

    /// The value of `ENVID=`, at most 100 octets; empty: absent.
    #[must_use]
    pub fn envid(&self) -> &str {
        &self.envid
    }
}

// struct {
//     opaque mailbox<0..512>;           /* as in MAIL FROM, without angle brackets; empty: null */
//     uint8 body;                       /* 0 absent, 1 7BIT, 2 8BITMIME */
//     uint8 smtputf8;                   /* 0 or 1 */
//     uint8 ret;                        /* 0 absent, 1 FULL, 2 HDRS */
//     opaque envid<0..100>;             /* value of ENVID=, empty: absent */
// } ReversePath;
impl Encode for ReversePathField {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        REVERSE_MAILBOX.put(out, self.mailbox.as_bytes())?;
        out.extend_from_slice(&[self.body, self.smtputf8.into(), self.ret]);
        ENVID.put(out, self.envid.as_bytes())
    }
}

impl Decode for ReversePathField {
    const NAME: &'static str = "reverse-path";

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mailbox = read_text(input, &REVERSE_MAILBOX)?;
        let body = input.u8("body")?;
        let smtputf8 = match input.u8("smtputf8")? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Malformed("smtputf8")),
        };
        let ret = input.u8("ret")?;
        let envid = read_text(input, &ENVID)?;
        Ok(Self::new(mailbox, body, smtputf8, ret, envid)?)
    }
}

/// The prefix of a content: everything but the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// Mail or receipt.
    pub content_type: ContentType,
    /// The domain whose signing key signs the content.
    pub sender_domain: Domain,
    /// The signing key. Set by the sealer to the key it signs with.
    pub signing_key_id: KeyId,
    /// When the content was sealed, in seconds since 1970-01-01T00:00:00Z.
    pub sealed_at: u64,
    /// Flag 0x0001: the sender wants a receipt.
    pub receipt_wanted: bool,
    /// Flag 0x0002: the reverse-path is not of the sender domain.
    pub foreign_reverse_path: bool,
    /// The same for all attempts at one delivery [R-con-07].
    pub delivery_id: DeliveryId,
    /// The sender.
    pub reverse_path: ReversePathField,
    /// The recipients, all of the recipient domain; at most [`MAX_FORWARD_PATHS`].
    pub forward_paths: Vec<ForwardPath>,
    /// Extensions, all of them unknown to this version and not critical.
    pub extensions: Extensions,
}

impl Prefix {
    /// A prefix of a mail without flags and extensions. The sealer sets the signing key id.
    #[must_use]
    pub fn mail(
        sender_domain: Domain,
        sealed_at: u64,
        delivery_id: DeliveryId,
        reverse_path: ReversePathField,
        forward_paths: Vec<ForwardPath>,
    ) -> Self {
        Self {
            content_type: ContentType::Mail,
            sender_domain,
            signing_key_id: KeyId::from_bytes([0; 32]),
            sealed_at,
            receipt_wanted: false,
            foreign_reverse_path: false,
            delivery_id,
            reverse_path,
            forward_paths,
            extensions: Extensions::default(),
        }
    }

    /// Length of the encoding in octets; an error if a part is beyond its limit.
    pub fn encoded_len(&self) -> Result<usize, EncodeError> {
        self.to_octets().map(|octets| octets.len())
    }
}

// struct {
//     uint8 type;                       /* 1 mail, 2 receipt */
//     opaque sender_domain<1..253>;
//     opaque signing_key_id[32];
//     uint64 sealed_at;
//     uint16 flags;                     /* 0x0001 receipt wanted, 0x0002 foreign reverse-path */
//     opaque delivery_id[16];
//     ReversePath reverse_path;
//     ForwardPath forward_paths<0..2^20-1>;
//     Extension extensions<0..2^16-1>;
// } Prefix;
impl Encode for Prefix {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.push(match self.content_type {
            ContentType::Mail => 1,
            ContentType::Receipt => 2,
        });
        SENDER_DOMAIN.put(out, self.sender_domain.as_str().as_bytes())?;
        out.extend_from_slice(self.signing_key_id.as_bytes());
        out.extend_from_slice(&self.sealed_at.to_be_bytes());
        let flag = |set: bool, bit: u16| if set { bit } else { 0 };
        let flags = flag(self.receipt_wanted, RECEIPT_WANTED)
            | flag(self.foreign_reverse_path, FOREIGN_REVERSE_PATH);
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(self.delivery_id.as_bytes());
        self.reverse_path.encode(out)?;
        // [R-con-01]
        if self.forward_paths.len() > MAX_FORWARD_PATHS {
            return Err(EncodeError { what: FORWARD_PATHS.name, limit: MAX_FORWARD_PATHS });
        }
        let mut paths = Vec::new();
        for path in &self.forward_paths {
            path.encode(&mut paths)?;
        }
        FORWARD_PATHS.put(out, &paths)?;
        self.extensions.encode(out)?;
        if out.len() - start > MAX_PREFIX {
            return Err(EncodeError { what: PREFIX.name, limit: MAX_PREFIX });
        }
        Ok(())
    }
}

impl Decode for Prefix {
    const NAME: &'static str = "prefix";

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let content_type = match input.u8("type")? {
            1 => ContentType::Mail,
            2 => ContentType::Receipt,
            other => return Err(DecodeError::Unsupported(Unsupported::ContentType(other))),
        };
        let sender_domain = Domain::from_canonical(input.vector(&SENDER_DOMAIN)?)
            .map_err(|_| DecodeError::Malformed(SENDER_DOMAIN.name))?;
        let signing_key_id = KeyId::from_bytes(input.array("signing_key_id")?);
        let sealed_at = input.u64("sealed_at")?;
        let flags = input.u16("flags")?;
        let delivery_id = DeliveryId::from_bytes(input.array("delivery_id")?);
        let reverse_path = ReversePathField::decode(input)?;
        let mut octets = Reader::new(input.vector(&FORWARD_PATHS)?);
        let mut forward_paths = Vec::new();
        while !octets.is_empty() {
            // [R-con-01]
            if forward_paths.len() == MAX_FORWARD_PATHS {
                return Err(DecodeError::TooLarge {
                    what: FORWARD_PATHS.name,
                    limit: MAX_FORWARD_PATHS,
                });
            }
            forward_paths.push(ForwardPath::decode(&mut octets)?);
        }
        let extensions = Extensions::decode(input)?;
        Ok(Self {
            content_type,
            sender_domain,
            signing_key_id,
            sealed_at,
            receipt_wanted: flags & RECEIPT_WANTED != 0,
            foreign_reverse_path: flags & FOREIGN_REVERSE_PATH != 0,
            delivery_id,
            reverse_path,
            forward_paths,
            extensions,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn forward(mailbox: &str) -> ForwardPath {
        ForwardPath::new(mailbox.to_owned(), 6, "rfc822;v@b.example".to_owned()).unwrap()
    }

    fn reverse(mailbox: &str, smtputf8: bool) -> ReversePathField {
        ReversePathField::new(mailbox.to_owned(), 2, smtputf8, 1, "QQ314159".to_owned()).unwrap()
    }

    fn prefix(reverse: ReversePathField, forward: Vec<ForwardPath>) -> Prefix {
        let domain = Domain::from_canonical(b"a.example").unwrap();
        Prefix::mail(domain, 7, DeliveryId::from_bytes([3; 16]), reverse, forward)
    }

    #[test]
    fn what_is_decoded_is_what_was_given() {
        let given = prefix(reverse("u@a.example", true), vec![forward("v@b.example")]);
        let read = Prefix::from_octets(&given.to_octets().unwrap()).unwrap();
        assert_eq!(read, given);
        let path = &read.forward_paths[0];
        let forward = (path.mailbox(), path.notify(), path.orcpt());
        assert_eq!(forward, ("v@b.example", 6, "rfc822;v@b.example"));
        let path = &read.reverse_path;
        assert_eq!((path.mailbox(), path.body(), path.smtputf8()), ("u@a.example", 2, true));
        assert_eq!((path.ret(), path.envid()), (1, "QQ314159"));
        for smtputf8 in [false, true] {
            let given = reverse("u@a.example", smtputf8);
            let read = ReversePathField::from_octets(&given.to_octets().unwrap()).unwrap();
            assert_eq!((read.smtputf8(), read), (smtputf8, given));
        }
    }
}
