//! The `Authentication-Results:` field (RFC 8601): written for what the gateway verified, and
//! taken out where somebody else wrote it in our name.
//!
//! The method is `mta-seal` [R-res-01]; its result is `pass` for a message that was unsealed and `none`
//! for one that came in clear. A message that fails is never delivered, so no other result exists.
//! The one property of `none` is `policy.expected=sealed`, for clear mail in the name of a domain
//! that should have sealed it: by its own policy (tag `o`), or because the operator demands it and
//! an exception lets this message through [R-uns-12].
//!
//! Properties of a pass, all of the property type `policy` but the last:
//!
//! * `policy.domain`: the authenticated sender domain;
//! * `policy.suite`: the number of the suite;
//! * `policy.level`: how authentic the sender's policy is (`pinned`, `dnssec`, ...);
//! * `policy.foreign`: `yes` if the reverse-path is flagged as foreign, else absent;
//! * `policy.aligned`: `yes` if the message has one author, that is of exactly the sender domain,
//!   and the reverse-path is neither foreign nor null, else `no`;
//! * `header.from`: the domain of the one author, if there is one.
//!
//! `ARC-Authentication-Results:` is left alone: it is bound by the signatures of its chain, and
//! ours is not among them. So is a field of another authserv-id.

use super::header::{Field, Header};
use super::mime::Cursor;
use super::trace::{fold, plain};
use super::{address, header};
use crate::core::Domain;

/// Name of the field.
pub const FIELD: &str = "Authentication-Results";

/// Name of our method.
pub const METHOD: &str = "mta-seal";

/// Whose the reverse-path of an unsealed message is [R-uns-11].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReversePathOf {
    /// The sender domain's.
    Sender,
    /// Another domain's, by its flag: the sender domain relayed or forwarded the message, and does not vouch for its
    /// author.
    Foreign,
    /// Nobody's: null. Nothing says who wrote the message.
    Nobody,
}

/// What is reported of one message.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// The message was unsealed and every check passed.
    Pass {
        /// Authenticated sender domain.
        sender: &'a Domain,
        /// Suite of the envelope.
        suite: u16,
        /// Level of authenticity of the sender's policy, one word.
        level: &'a str,
        /// Whose the reverse-path is.
        reverse_path: ReversePathOf,
        /// Header block of the message inside.
        header: &'a Header,
    },
    /// The message came in clear.
    None {
        /// A domain that it claims should have sealed it.
        expected: bool,
    },
}

/// The field with its CRLF. `authserv_id` is the name under which this organisation reports.
#[must_use]
pub fn field(authserv_id: &str, outcome: &Outcome<'_>) -> String {
    let mut words = vec![format!("{};", plain(authserv_id))];
    match outcome {
        Outcome::None { expected } => {
            words.push(format!("{METHOD}=none"));
            words.extend(expected.then(|| "policy.expected=sealed".to_owned()));
        }
        Outcome::Pass { sender, suite, level, reverse_path, header } => {
            words.push(format!("{METHOD}=pass"));
            words.push(format!("policy.domain={sender}"));
            words.push(format!("policy.suite={suite}"));
            words.push(format!("policy.level={}", plain(level)));
            let author = address::author(header);
            let aligned = *reverse_path == ReversePathOf::Sender
                && author.as_ref().is_some_and(|a| a.domain == **sender);
            if *reverse_path == ReversePathOf::Foreign {
                words.push("policy.foreign=yes".to_owned());
            }
            words.push(format!("policy.aligned={}", if aligned { "yes" } else { "no" }));
            words.extend(author.map(|a| format!("header.from={}", a.domain)));
        }
    }
    fold(&format!("{FIELD}:"), words.iter().map(String::as_str))
}

/// Whether an incoming field must be removed because it claims to be ours (RFC 8601 section 5).
///
/// A well-formed field of another authserv-id stays, unless our name also stands before its first
/// result, where a careless reader would find it: in a comment, quoted, in encoded words. A
/// malformed field goes if it has our name or our method anywhere. Case, folding, comments,
/// quoting, versions and a trailing dot change nothing; when in doubt, the field goes.
#[must_use]
pub fn removes_forged(field: &Field<'_>, authserv_id: &str) -> bool {
    if !field.is(FIELD) {
        return false;
    }
    let text = header::unfold(field.body());
    let ours = squeeze(authserv_id.as_bytes());
    let Some((id, end)) = authserv(&text) else {
        let all = squeeze(&text);
        return contains(&all, &ours)
            || contains(&all, &squeeze(METHOD.as_bytes()))
            || contains(&text, b"=?")
            || !text.iter().all(|&b| b == b'\t' || matches!(b, b' '..=b'~'));
    };
    let head = text.get(..end).unwrap_or_default();
    same_name(&id, authserv_id) || contains(&squeeze(head), &ours) || contains(head, b"=?")
}

/// The authserv-id of a well-formed field, and where its results begin: `[CFWS] value [CFWS
/// version] [CFWS] (";" / end)`.
fn authserv(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    if text.iter().any(|&b| b < b' ' && b != b'\t' || b == 0x7f) {
        return None;
    }
    let mut input = Cursor::new(text);
    input.skip_cfws()?;
    let id = if input.peek() == Some(b'"') {
        input.quoted_string()?
    } else {
        // A token, or U-labels (RFC 8616 section 5).
        input.run(|b| b.is_ascii_alphanumeric() || b"._-:[]/+".contains(&b) || b >= 0x80).to_vec()
    };
    if id.is_empty() {
        return None;
    }
    input.skip_cfws()?;
    input.run(|b| b.is_ascii_digit());
    input.skip_cfws()?;
    if input.is_empty() || input.peek() == Some(b';') {
        return Some((id, text.len() - input.len()));
    }
    None
}

fn same_name(id: &[u8], ours: &str) -> bool {
    let id = id.trim_ascii();
    let id = id.strip_suffix(b".").unwrap_or(id);
    let ours = ours.strip_suffix('.').unwrap_or(ours);
    if id.is_ascii() {
        return id.eq_ignore_ascii_case(ours.as_bytes());
    }
    // In doubt about what a U-label means, it is ours.
    let read = std::str::from_utf8(id).ok().and_then(|id| Domain::parse(id).ok());
    read.is_none_or(|read| read.as_str().eq_ignore_ascii_case(ours))
}

/// Letters and digits alone, in lower case: no quoting, comment or space hides a name in it.
fn squeeze(text: &[u8]) -> Vec<u8> {
    text.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && memchr::memmem::find(text, part).is_some()
}
