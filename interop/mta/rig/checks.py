"""What must hold: octets equal but for prepended trace fields, no canary on the wire, DKIM valid."""

import base64
import re

TRACE = {
    b"return-path",
    b"delivered-to",
    b"x-original-to",
    b"received",
    b"authentication-results",
}


class Failed(Exception):
    """A case does not hold; the text says how."""


def require(holds, text):
    """Failed unless `holds`."""
    if not holds:
        raise Failed(text)


def fields(block):
    """The fields of a header block: (lower-case name, raw octets)."""
    found = re.findall(rb"([!-9;-~]+)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", block)
    raw = re.findall(rb"[!-9;-~]+[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", block)
    if b"".join(raw) != block:
        raise Failed(f"not header fields only: {block[:300]!r}")
    return [(name.lower(), octets) for name, octets in zip(found, raw)]


def prepended(arrived, handed):
    """The fields before `handed` in `arrived`; Failed if anything else differs by an octet."""
    if not arrived.endswith(handed):
        raise Failed(difference(arrived, handed))
    return fields(arrived[: len(arrived) - len(handed)])


def same_but_trace(arrived, handed, results):
    """Failed unless only trace fields were prepended; `results`: Authentication-Results expected."""
    trace = prepended(arrived, handed)
    foreign = [name for name, _ in trace if name not in TRACE]
    require(not foreign, f"prepended fields that are no trace: {foreign}")
    found = [octets for name, octets in trace if name == b"authentication-results"]
    require(len(found) == results, f"{len(found)} Authentication-Results, expected {results}")
    return trace


def difference(arrived, handed):
    """Where two messages part, seen from the end."""
    at = next(
        (i for i in range(1, min(len(arrived), len(handed)) + 1) if arrived[-i] != handed[-i]),
        min(len(arrived), len(handed)) + 1,
    )
    cut = lambda m: m[max(0, len(m) - at - 60) : len(m) - at + 60]
    return (
        f"differs {at} octets before the end ({len(handed)} handed over, {len(arrived)} arrived):\n"
        f"  handed  {cut(handed)!r}\n  arrived {cut(arrived)!r}"
    )


def visible(canary, wire):
    """The encodings in which a canary can be seen in these octets."""
    text = canary.encode()
    # As a relay could unwrap it: without line ends, soft line breaks and folding.
    flat = wire.replace(b"=\r\n", b"").translate(None, b"\r\n\t ")
    forms = {
        "plain": text,
        "reversed": text[::-1],
        "hex": text.hex().encode(),
        "HEX": text.hex().upper().encode(),
        "quoted-printable": b"".join(b"=%02X" % octet for octet in text),
        "utf-16": canary.encode("utf-16-le"),
    }
    for shift in range(3):
        # The middle that does not depend on the neighbours.
        encoded = base64.b64encode(b"\0" * shift + text)
        start = 0 if shift == 0 else 4
        end = len(encoded) - 4 if (shift + len(text)) % 3 else len(encoded)
        forms[f"base64+{shift}"] = encoded[start:end]
        forms[f"base64url+{shift}"] = base64.urlsafe_b64encode(b"\0" * shift + text)[start:end]
    return sorted(name for name, form in forms.items() if form in flat or form in wire)


def sealed_from(canaries, wire, where):
    """Failed if any canary can be seen in the wire."""
    for canary in canaries:
        seen = visible(canary, wire)
        require(not seen, f"{where} shows canary {canary} ({', '.join(seen)})")


def dkim_valid(message, dnsfunc):
    """Failed unless dkimpy verifies the signature of company1.example."""
    import dkim

    verifier = dkim.DKIM(message)
    try:
        valid = verifier.verify(dnsfunc=lambda name, timeout=5: dnsfunc(name))
    except dkim.DKIMException as error:
        raise Failed(f"DKIM: {error}") from error
    require(valid, "DKIM does not verify")
    require(verifier.domain == b"company1.example", f"DKIM of {verifier.domain}")
