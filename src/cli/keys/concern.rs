//! What an operator must hear of the keys of a domain, and what to do about it.

use super::WIDTH;
use crate::cli::moment::utc;
use crate::cli::table::{paragraph, printable};
use crate::core::Domain;
use crate::lifetime::Concern;

/// Whose keys they are, and how they are tended.
pub(super) struct About<'a> {
    pub(super) domain: &'a Domain,
    /// Whether the gateway rotates the keys by itself.
    pub(super) rotates: bool,
    pub(super) identity_here: bool,
}

/// A concern, with its time.
pub(super) fn words(concern: &Concern) -> String {
    match concern {
        Concern::Late { due: at, .. } => format!("{concern}; due since {}", utc(*at)),
        Concern::Unpublished { since: at, .. } | Concern::NotWithdrawn { since: at, .. } => {
            format!("{concern}; due since {}", utc(*at))
        }
        Concern::PolicyEnds { at } => format!("{concern}: {}", utc(*at)),
        Concern::Clock { until } => format!("{concern}: not before {}", utc(*until)),
        Concern::FormerMissing { former } => format!("{concern}: {former}"),
        Concern::AnotherSigner { .. } | Concern::NoSelector => concern.to_string(),
    }
}

impl About<'_> {
    /// What can be done.
    pub(super) fn hint(&self, concern: &Concern) -> String {
        let domain = self.domain;
        match concern {
            Concern::Late { .. } | Concern::Unpublished { .. } | Concern::NotWithdrawn { .. } => {
                format!("`mta-seal check {domain}` asks each name server; nothing that is in use is taken away meanwhile")
            }
            Concern::PolicyEnds { .. } => match (self.identity_here, self.rotates) {
                (true, true) => "`mta-seal keys rotate` says what is in the way; after the end mail to the domain waits at its senders".to_owned(),
                (true, false) => format!("`mta-seal policy sign --domain {domain}`, and publish what it prints; after the end mail to the domain waits at its senders"),
                (false, _) => "sign others where the identity key is: `mta-seal policy request`; after the end mail to the domain waits at its senders".to_owned(),
            },
            Concern::Clock { .. } => "look at the clock (`timedatectl`); if it is right, nothing".to_owned(),
            Concern::FormerMissing { .. } => "put identity-former.pem back; else partners that have not looked yet do not follow".to_owned(),
            Concern::AnotherSigner { .. } => "let one gateway alone sign; bring its keys here (`mta-seal keys export` there, `keys import` here)".to_owned(),
            Concern::NoSelector => "add to `selectors` in [domain.publish], and a CNAME for each".to_owned(),
        }
    }
}

/// Concerns and their hints, folded; a hint that several have in a row stands behind the last of them.
pub(super) fn paragraphs<'a>(out: &mut String, told: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut told = told.peekable();
    while let Some((concern, hint)) = told.next() {
        paragraph(out, "  ! ", 4, &printable(concern), WIDTH);
        if told.peek().is_none_or(|(_, next)| *next != hint) {
            paragraph(out, "    ", 4, &format!("hint: {}", printable(hint)), WIDTH);
        }
    }
}
