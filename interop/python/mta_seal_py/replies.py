"""What an unsealing gateway answers to a failure ([R-smtp-01]); the texts are the same for everybody ([R-smtp-03])."""

REPLIES = {
    "not-local": "550 5.7.1 relaying denied",
    "header-too-large": "552 5.3.4 message header too large",
    "bare-line-end": "550 5.6.0 bare CR, bare LF or NUL in message",
    "carrier-malformed": "550 5.6.0 sealed message is malformed; please send again",
    "carrier-unsupported": "550 5.6.3 sealed message uses an unsupported feature; look up the policy again",
    "carrier-foreign": "550 5.7.5 sealed message is not for this domain; please send again",
    "two-parts": "550 5.6.0 message has more than one sealed part; send each by itself",
    "unknown-key": "550 5.7.5 sealed to a key that is not known here; look up the policy again",
    "destroyed-key": "550 5.7.5 sealed to a key that no longer exists; please send again",
    "unauthentic": "550 5.7.7 sealed message failed verification; please send again",
    "sender-unknown": "451 4.7.5 sealing policy of the sender cannot be verified now; check its DNS records",
    "sender-path": "550 5.7.1 reverse-path does not belong to the sealing domain; send from one that does",
    "too-old": "550 5.4.7 sealed message is too old; please send again",
    "in-future": "451 4.7.5 sealed message is dated in the future; check the clock",
    "not-signed-recipient": "550 5.7.1 recipient is not among the sealed recipients; please write to it directly",
    # No failure: it is told so without a second delivery ([R-uns-04]).
    "delivered-before": "250 2.0.0 delivered before",
}
