"""One fault for each check of [R-uns-01], which can be combined, in the order in which they must be found."""

from mta_seal_py import failures
from mta_seal_py.paths import ForwardPath, ReversePath

ORDER = {
    "domain": failures.DomainRefused,
    "key": failures.KeyRefused,
    "hpke": failures.HpkeRefused,
    "commitment": failures.CommitmentRefused,
    "body": failures.BodyRefused,
    "prefix": failures.PrefixRefused,
    "sender-policy": failures.SenderPolicyRefused,
    "opening": failures.OpeningRefused,
    "type": failures.TypeRefused,
    "paths": failures.PathsRefused,
    "reverse-path": failures.ReversePathRefused,
    "time": failures.TimeRefused,
    "padding": failures.PaddingRefused,
    "closing": failures.ClosingRefused,
}


def envelope(forge, faults, foreign="c.example"):
    """An envelope with these faults; `foreign` is a domain of neither side."""
    header, prefix, parts = {}, {}, {}
    if "domain" in faults:
        header["recipient_domain"] = foreign
    if "key" in faults:
        header["key_id"] = bytes(32)
    if "sender-policy" in faults:
        prefix["signing_key_id"] = bytes(32)
    if "opening" in faults:
        parts["opening_seed"] = bytes(32)
    if "type" in faults:
        prefix["type"] = 2
    if "prefix" in faults:
        prefix["type"] = 9
    if "paths" in faults:
        prefix["forward_paths"] = (ForwardPath(f"v@{foreign}"),)
    if "reverse-path" in faults:
        prefix["reverse_path"] = ReversePath("u@elsewhere.example")
    if "time" in faults:
        prefix["sealed_at"] = 5
    if "padding" in faults:
        parts["extra_padding"] = 256
    if "closing" in faults:
        parts["closing_seed"] = bytes(32)
    made = forge.header(**header)
    octets = bytearray(forge.envelope(header=made, prefix_octets=forge.prefix(**prefix).encode(), **parts))
    after_header = len(made.encode())
    sealed_key = after_header + (32 if made.suite == 1 else 1120)
    for fault, offset in (("hpke", 0), ("commitment", 48 + 30), ("body", 48 + 60)):
        if fault in faults:
            octets[sealed_key + offset] ^= 1
    return bytes(octets)
