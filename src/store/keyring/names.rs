//! The names of the files of a keyring, and what each holds.

use super::StoredKey;
use crate::core::KeyId;

pub(super) const IDENTITY: &str = "identity.pem";
pub(super) const FORMER: &str = "identity-former.pem";
pub(super) const NEXT: &str = "identity-next.pem";
pub(super) const POLICY: &str = "policy.txt";
pub(super) const DESTROYED: &str = "destroyed";
pub(super) const BOOK: &str = "lifetimes.json";
pub(super) const AHEAD: &str = "ahead.txt";

/// Holds the secret that opens the private keys, encrypted to the operator's passphrase.
pub(super) const PASSPHRASE: &str = "passphrase.age";

/// What the name of an encrypted private key ends in, behind the name it has in clear.
pub(super) const ENCRYPTED: &str = ".age";

/// What a file holds, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The identity key.
    Identity,
    /// The identity key before it.
    FormerIdentity,
    /// The identity key after it.
    NextIdentity,
    /// A signing key.
    Signing,
    /// A sealing key.
    Sealing,
    /// The signed policy.
    Policy,
    /// What is known of the lifetimes of the keys.
    Book,
    /// Policies that were signed elsewhere for times to come.
    Ahead,
    /// Key ids of destroyed keys, one at the beginning of each line.
    Destroyed,
}

impl Kind {
    /// Of a name without [`ENCRYPTED`]; none if the format knows no such file.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            IDENTITY => return Some(Self::Identity),
            FORMER => return Some(Self::FormerIdentity),
            NEXT => return Some(Self::NextIdentity),
            POLICY => return Some(Self::Policy),
            BOOK => return Some(Self::Book),
            AHEAD => return Some(Self::Ahead),
            DESTROYED => return Some(Self::Destroyed),
            _ => {}
        }
        let between = |before, after| name.strip_prefix(before)?.strip_suffix(after);
        if between("signing-", ".pem").is_some() {
            return Some(Self::Signing);
        }
        between("sealing-", ".key").map(|_| Self::Sealing)
    }

    /// Whether such a file holds a private key.
    pub(super) fn is_secret(self) -> bool {
        matches!(
            self,
            Self::Identity
                | Self::FormerIdentity
                | Self::NextIdentity
                | Self::Signing
                | Self::Sealing
        )
    }
}

/// Name of the file of a sealing key. Selectors may be used again, so a key id stands in it.
pub(super) fn sealing(stored: &StoredKey) -> String {
    let (suite, selector) = (stored.key.suite().id(), &stored.selector);
    let own = StoredKey::selector_of(&stored.key.key_id());
    if *selector == own {
        format!("sealing-{suite}-{selector}.key")
    } else {
        format!("sealing-{suite}-{selector}-{own}.key")
    }
}

/// Name of the file of a signing key.
pub(super) fn signing(id: &KeyId) -> String {
    let id = id.to_string();
    format!("signing-{}.pem", id.get(..12).unwrap_or(&id))
}

/// Whether `name` is that of a private key in clear.
pub(super) fn is_secret(name: &str) -> bool {
    Kind::of(name).is_some_and(Kind::is_secret)
}

/// The name in clear of an encrypted private key.
pub(super) fn encrypted(name: &str) -> Option<&str> {
    name.strip_suffix(ENCRYPTED).filter(|plain| is_secret(plain))
}

/// Whether `name` is what a crash leaves of the writing of a file: see [`temporary`].
pub(super) fn is_remnant(name: &str) -> bool {
    let middle = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
    let Some((written, process)) = middle.and_then(|name| name.rsplit_once('.')) else {
        return false;
    };
    process.bytes().all(|octet| octet.is_ascii_digit())
        && (Kind::of(written).is_some() || encrypted(written).is_some() || written == PASSPHRASE)
}

/// The name under which process `process` writes a file before it is whole.
pub(super) fn temporary(name: &str, process: u32) -> String {
    format!(".{name}.{process}.tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, kind) in [
            ("identity.pem", Some(Kind::Identity)),
            ("signing-0123456789ab.pem", Some(Kind::Signing)),
            ("sealing-2-k0123456789ab.key", Some(Kind::Sealing)),
            ("policy.txt", Some(Kind::Policy)),
            ("destroyed", Some(Kind::Destroyed)),
            ("lifetimes.json", Some(Kind::Book)),
            ("sealing-2-k1.key.bak", None),
            ("passphrase.age", None),
            ("identity.pem.age", None),
            ("", None),
        ] {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
        assert_eq!(encrypted("sealing-2-k1.key.age"), Some("sealing-2-k1.key"));
        assert_eq!(encrypted("policy.txt.age"), None);
        assert!(is_remnant(&temporary("sealing-2-k1.key", 17)));
        assert!(is_remnant(&temporary("identity.pem.age", 17)));
        assert!(is_remnant(&temporary("ahead.txt", 17)));
        assert!(!is_remnant(&temporary("notes", 17)));
        assert!(!is_remnant("sealing-2-k1.key"));
    }
}
