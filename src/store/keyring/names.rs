//! The names of the files of a keyring, and what each holds.

pub(super) const IDENTITY: &str = "identity.pem";
pub(super) const POLICY: &str = "policy.txt";
pub(super) const DESTROYED: &str = "destroyed";
pub(super) const LIVES: &str = "lives";

/// Holds the secret that opens the private keys, encrypted to the operator's passphrase.
pub(super) const PASSPHRASE: &str = "passphrase.age";

/// What the name of an encrypted private key ends in, behind the name it has in clear.
pub(super) const ENCRYPTED: &str = ".age";

/// What a file holds, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The identity key.
    Identity,
    /// A signing key.
    Signing,
    /// A sealing key.
    Sealing,
    /// The signed policy.
    Policy,
    /// A list, one key id at the beginning of each line.
    List,
}

impl Kind {
    /// Of a name without [`ENCRYPTED`]; none if the format knows no such file.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            IDENTITY => return Some(Self::Identity),
            POLICY => return Some(Self::Policy),
            DESTROYED | LIVES => return Some(Self::List),
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
        matches!(self, Self::Identity | Self::Signing | Self::Sealing)
    }
}

/// Whether `name` is that of a private key in clear.
pub(super) fn is_secret(name: &str) -> bool {
    Kind::of(name).is_some_and(Kind::is_secret)
}

/// The name in clear of an encrypted private key.
pub(super) fn encrypted(name: &str) -> Option<&str> {
    name.strip_suffix(ENCRYPTED).filter(|plain| is_secret(plain))
}

/// Whether `name` is what a crash leaves of the writing of a private key: see [`temporary`].
pub(super) fn is_remnant(name: &str) -> bool {
    let middle = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp"));
    let Some((written, process)) = middle.and_then(|name| name.rsplit_once('.')) else {
        return false;
    };
    process.bytes().all(|octet| octet.is_ascii_digit())
        && (is_secret(written) || encrypted(written).is_some() || written == PASSPHRASE)
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
            ("destroyed", Some(Kind::List)),
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
        assert!(!is_remnant(&temporary("policy.txt", 17)));
        assert!(!is_remnant("sealing-2-k1.key"));
    }
}
