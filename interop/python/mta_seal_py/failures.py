"""What can be refused, each class named for the stage that refuses, in the order of [R-uns-01].

`stage` says where; `answer` is the failure of [R-smtp-01] that an SMTP server would give.
"""


class Refused(Exception):
    """The work was done as asked and the answer is no."""

    stage = "unknown"
    answer = "unauthentic"

    def __init__(self, detail, answer=None):
        super().__init__(detail)
        self.detail = detail
        if answer is not None:
            self.answer = answer

    def report(self):
        """What the command prints on standard error."""
        return {"result": "refused", "stage": self.stage, "failure": self.answer, "detail": self.detail}


class RecordRefused(Refused):
    """A policy or key record is malformed ([R-rec-01] to [R-rec-04], [R-rec-07])."""

    stage = "record"
    answer = "policy-unknown"


class RecordSignatureRefused(RecordRefused):
    """The signature of a policy does not verify under its own tag `i` ([R-rec-05])."""

    stage = "record-signature"


class KeyRecordRefused(Refused):
    """A key record is malformed or of another key than the policy lists ([R-rec-07])."""

    stage = "key-record"
    answer = "policy-unusable"


class PolicyRefused(Refused):
    """The records of a recipient domain do not let a message be sealed ([R-rec-06], [R-dec-15])."""

    stage = "policy"
    answer = "policy-unusable"


class PathRefused(Refused):
    """A path or parameter cannot be sealed ([R-con-01], [R-con-02])."""

    stage = "path"
    answer = "path-unfit"


class CarrierRefused(Refused):
    """Check 1: the carrier ([R-car-05], [R-car-07], [R-car-09])."""

    stage = "limits"
    answer = "carrier-malformed"


class NotSealed(CarrierRefused):
    """The message is ordinary mail ([R-car-05]); there is nothing to unseal."""

    stage = "recognition"
    answer = "none"


class HeaderRefused(Refused):
    """Check 1: the header of the envelope ([R-env-02] to [R-env-04])."""

    stage = "limits"
    answer = "carrier-malformed"


class DomainRefused(Refused):
    """Check 2: the recipient domain is not one of ours."""

    stage = "domain"
    answer = "carrier-foreign"


class NotLocal(Refused):
    """A recipient of the outer SMTP envelope is of no domain of ours ([R-smtp-01])."""

    stage = "domain"
    answer = "not-local"


class KeyRefused(Refused):
    """Check 3: the key id is not known here."""

    stage = "key"
    answer = "unknown-key"


class HpkeRefused(Refused):
    """Check 4: HPKE does not open the content key."""

    stage = "hpke"


class CommitmentRefused(Refused):
    """Check 5: the commitment of the body does not match."""

    stage = "commitment"


class BodyRefused(Refused):
    """A chunk of the body is not authentic; [R-uns-01] gives it no number."""

    stage = "body"


class PrefixRefused(Refused):
    """Check 6: the prefix is not well-formed."""

    stage = "prefix"
    answer = "carrier-malformed"


class SenderPolicyRefused(Refused):
    """Check 7: the policy of the sender domain is not found or does not list the signing key."""

    stage = "sender-policy"
    answer = "sender-unknown"


class OpeningRefused(Refused):
    """Check 8: the opening signature does not verify."""

    stage = "opening"


class PathsRefused(Refused):
    """Check 9: a signed forward-path is of another domain ([R-con-02]), or a signed path of no grammar ([R-uns-05])."""

    stage = "paths"
    answer = "carrier-malformed"


class ReversePathRefused(Refused):
    """Check 9: the reverse-path is of another domain and not flagged."""

    stage = "reverse-path"
    answer = "sender-path"


class TimeRefused(Refused):
    """Check 10: sealed too long ago, or in the future."""

    stage = "time"
    answer = "too-old"


class DeliveredRefused(Refused):
    """Check 11: every recipient had this message already ([R-uns-04])."""

    stage = "delivered"
    answer = "delivered-before"


class RecipientsRefused(Refused):
    """Check 12: no signed recipient remains ([R-uns-03])."""

    stage = "recipients"
    answer = "not-signed-recipient"


class BytesRefused(Refused):
    """Check 14: bare CR, bare LF or NUL ([R-seal-07]), or the header block of the message."""

    stage = "bytes"
    answer = "bare-line-end"


class BlocksRefused(Refused):
    """Check 15, first part: the blocks do not end as [R-con-04] has it."""

    stage = "blocks"


class PaddingRefused(Refused):
    """Check 15, second part: padding of wrong length or not zero ([R-con-05])."""

    stage = "padding"


class ClosingRefused(Refused):
    """Check 15, third part: the closing signature does not verify ([R-con-06])."""

    stage = "closing"


class TypeRefused(Refused):
    """Check 9: the content is no mail ([R-uns-09])."""

    stage = "type"
    answer = "carrier-unsupported"


class OrdinaryRefused(Refused):
    """Ordinary mail in the name of a domain that has to seal ([R-uns-07])."""

    stage = "ordinary"
    answer = "seal-demanded"


class Unsupported(Exception):
    """The peer cannot do what was asked, whatever the answer would be: exit code 127."""
