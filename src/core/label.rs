//! Domain separation of every hash, signature and key derivation.

use aws_lc_rs::digest;

/// The label at the beginning of every structure that is hashed, signed or derived from
/// [R-lab-01].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// Identifier of a sealing key.
    SealingKeyId,
    /// Identifier of a signing key.
    SigningKeyId,
    /// Fingerprint of an identity key, next-identity hash.
    Identity,
    /// Signature of a policy record.
    Policy,
    /// Statement that an identity key is succeeded by another.
    Rollover,
    /// HPKE `info` for the content key.
    ContentKey,
    /// Identifier of an envelope.
    EnvelopeId,
    /// Context of the chunked encryption.
    Body,
    /// Opening signature.
    Opening,
    /// Closing signature.
    Closing,
}

impl Label {
    /// The label's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SealingKeyId => "mta-seal/1 sealing-key-id",
            Self::SigningKeyId => "mta-seal/1 signing-key-id",
            Self::Identity => "mta-seal/1 identity",
            Self::Policy => "mta-seal/1 policy",
            Self::Rollover => "mta-seal/1 rollover",
            Self::ContentKey => "mta-seal/1 content-key",
            Self::EnvelopeId => "mta-seal/1 envelope-id",
            Self::Body => "mta-seal/1 body",
            Self::Opening => "mta-seal/1 opening",
            Self::Closing => "mta-seal/1 closing",
        }
    }

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
        let all = [
            Label::SealingKeyId,
            Label::SigningKeyId,
            Label::Identity,
            Label::Policy,
            Label::Rollover,
            Label::ContentKey,
            Label::EnvelopeId,
            Label::Body,
            Label::Opening,
            Label::Closing,
        ];
        // [R-lab-01]: the first octet is the length, so no label is a prefix of another's input.
        let inputs: std::collections::HashSet<_> = all.iter().map(|l| l.begin()).collect();
        assert_eq!(inputs.len(), all.len());
        for label in all {
            let input = label.begin();
            assert_eq!(usize::from(input[0]), input.len() - 1);
            assert_eq!(&input[1..], label.as_str().as_bytes());
            assert!(label.as_str().starts_with("mta-seal/1 "));
        }
    }
}
