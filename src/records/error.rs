//! Why a record cannot be used.

/// A record whose text breaks the grammar, a limit or a rule of a tag. The publisher is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The text is longer than the record may be [R-rec-02], [R-rec-07].
    #[error("the record has {length} octets, the limit is {limit}")]
    TooLong {
        /// Length found, in octets.
        length: usize,
        /// The limit, in octets.
        limit: usize,
    },
    /// The text does not begin with the version tag [R-rec-01].
    #[error("the record does not begin with the version tag")]
    Version,
    /// An octet is outside printable ASCII, space and tab.
    #[error("octet {offset} of the record is not printable ASCII")]
    Octet {
        /// Offset from the beginning of the text.
        offset: usize,
    },
    /// What stands between two semicolons is not `name=value`.
    #[error("at octet {offset} of the record: expected name=value")]
    Tag {
        /// Offset from the beginning of the text.
        offset: usize,
    },
    /// A tag stands twice.
    #[error("tag \"{tag}\" stands twice")]
    Duplicate {
        /// The name of the tag.
        tag: String,
    },
    /// A required tag is absent.
    #[error("tag \"{tag}\" is missing")]
    Missing {
        /// The name of the tag.
        tag: &'static str,
    },
    /// The signature tag is not the last one [R-rec-02].
    #[error("tag \"s\" is not the last one")]
    SignatureNotLast,
    /// The value of a tag is not what the tag asks for.
    #[error("tag \"{tag}\": {what}")]
    Value {
        /// The name of the tag.
        tag: &'static str,
        /// What is wrong with the value.
        what: ValueError,
    },
}

impl RecordError {
    /// Ties the fault of a value to its tag.
    pub(super) fn at(tag: &'static str) -> impl FnOnce(ValueError) -> Self {
        move |what| Self::Value { tag, what }
    }
}

/// Why the signature of a well-formed policy does not hold for a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The domain is so long that its policy name does not fit into DNS; it cannot have a policy.
    #[error("the policy name of the domain is too long for DNS")]
    NameTooLong,
    /// The signature does not verify under the identity key of the record [R-rec-05].
    #[error("the signature does not verify")]
    Signature,
}

/// Why a policy cannot be signed. All causes are local.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The record would break a limit or a rule.
    #[error("the policy would not be valid: {0}")]
    Record(#[from] RecordError),
    /// The domain cannot have a policy.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The rollover statement is not for this domain, identity key and serial, or has expired.
    #[error("the rollover statement does not belong to this policy")]
    Rollover,
}

/// Why the value of a tag is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not decimal digits alone.
    #[error("not a decimal number")]
    NotANumber,
    /// A number with leading zeros [R-rec-04].
    #[error("the number has leading zeros")]
    LeadingZero,
    /// A number outside the range of the tag.
    #[error("the number is out of range")]
    OutOfRange,
    /// Not canonical, padded base64 [R-rec-04].
    #[error("not canonical base64")]
    NotBase64,
    /// Base64 of another number of octets than asked for.
    #[error("{length} octets where {expected} are expected")]
    WrongLength {
        /// Octets found.
        length: usize,
        /// Octets expected.
        expected: usize,
    },
    /// A word that the tag does not know.
    #[error("unknown value")]
    UnknownWord,
    /// A list with too many elements.
    #[error("more than {most} elements")]
    TooMany {
        /// The greatest number of elements.
        most: usize,
    },
    /// An Ed25519 key that is not canonical or of small order [R-sig-01].
    #[error("not a valid Ed25519 public key")]
    BadVerifyingKey,
    /// A sealing key that its suite rejects [R-suite-04].
    #[error("not a valid public key of suite {suite}")]
    BadSealingKey {
        /// The number of the suite.
        suite: u16,
    },
    /// An element that has not the form `suite:key` or `suite:selector:key-id`.
    #[error("not of the form suite:key or suite:selector:key-id")]
    BadSealingEntry,
    /// A suite whose keys stand inline is listed, or the other way round [R-rec-03].
    #[error("keys of suite {suite} do not stand in this form")]
    WrongForm {
        /// The number of the suite.
        suite: u16,
    },
    /// A suite that this implementation does not know.
    #[error("suite {suite} is unknown")]
    UnknownSuite {
        /// The number of the suite.
        suite: u16,
    },
    /// A selector that is no lower-case label.
    #[error("not a selector")]
    BadSelector,
    /// A rollover statement that has not the form `key:expiry:signature`.
    #[error("not of the form key:expiry:signature")]
    BadRollover,
}
