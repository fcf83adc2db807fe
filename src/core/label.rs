//! Domain separation of every hash, signature and key derivation.

use aws_lc_rs::digest;

macro_rules! labels {
    ($(#[$label_doc:meta])* $label:ident: $($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        $(#[$label_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $label {
            $($(#[$doc])* $name,)*
        }

        impl $label {
            /// Every label, in the order of the draft's table.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// The label's text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

labels! {
    /// The label at the beginning of every structure that is hashed, signed or derived from
    /// [R-lab-01].
    Label:
    /// Identifier of a sealing key.
    SealingKeyId = "mta-seal/1 sealing-key-id",
    /// Identifier of a signing key.
    SigningKeyId = "mta-seal/1 signing-key-id",
    /// Fingerprint of an identity key, next-identity hash.
    Identity = "mta-seal/1 identity",
    /// Signature of a policy record.
    Policy = "mta-seal/1 policy",
    /// Statement that an identity key is succeeded by another.
    Rollover = "mta-seal/1 rollover",
    /// HPKE `info` for the content key.
    ContentKey = "mta-seal/1 content-key",
    /// Identifier of an envelope.
    EnvelopeId = "mta-seal/1 envelope-id",
    /// Context of the chunked encryption.
    Body = "mta-seal/1 body",
    /// Opening signature.
    Opening = "mta-seal/1 opening",
    /// Closing signature.
    Closing = "mta-seal/1 closing",
}

impl Label {
    /// A new structure that holds `opaque label<1..255>` and nothing else yet.
    #[must_use]
    pub fn begin(self) -> Vec<u8> {
        let text = self.as_str().as_bytes();
        let mut out = Vec::with_capacity(1 + text.len() + 64);
        // Every label is far below 255 octets; a test holds the table to it.
        #[allow(clippy::cast_possible_truncation)]
        out.push(text.len() as u8);
        out.extend_from_slice(text);
        out
    }
}

/// SHA-256, the hash of every suite so far [R-suite-01].
#[must_use]
pub fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, octets).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_length_prefixed() {
        // [R-lab-01]: the first octet is the length, so no label is a prefix of another's input.
        let inputs: std::collections::HashSet<_> = Label::ALL.iter().map(|l| l.begin()).collect();
        assert_eq!(inputs.len(), Label::ALL.len());
        for label in Label::ALL {
            let input = label.begin();
            assert_eq!(usize::from(input[0]), input.len() - 1);
            assert_eq!(&input[1..], label.as_str().as_bytes());
            assert!(label.as_str().starts_with("mta-seal/1 "));
        }
    }
}
