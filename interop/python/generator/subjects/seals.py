"""Envelopes that follow from their randomness, and what is not sealed ([R-seal-01], [R-seal-02])."""

from mta_seal_py.paths import ForwardPath, ReversePath
from mta_seal_py.prefix import FOREIGN
from mta_seal_py.tasks import b64

from .. import hpke
from ..envelopes import BLOCK, MESSAGE, Forgery
from ..parties import NOW, A, B, C, in_json, party, published
from ..randomness import octets
from ..vector import vector
from . import orcpts

PLAIN = {"mailbox": "u@a.example", "body": 0, "smtputf8": 0, "ret": 0, "envid": ""}
TO = {"mailbox": "v@b.example", "notify": 0, "orcpt": ""}


def _task(name, suite, message=MESSAGE, reverse=None, forward=None, records=None):
    own = B if suite == 2 else party(B.domain, (1,))
    return {
        "sender": {"domain": A.domain, "signing_key": b64(A.signing[0])},
        "recipient_domain": B.domain,
        "records": in_json(published(own) if records is None else records),
        "now": NOW,
        "reverse_path": {**PLAIN, **(reverse or {})},
        "forward_paths": [{**TO, **one} for one in ([{}] if forward is None else forward)],
        "message": b64(message),
        "block_size": BLOCK,
        "randomness": {
            "content_key": b64(octets(name, "content-key", 32)),
            "encapsulation": b64(octets(name, "encapsulation", hpke.ENCAPSULATION[suite])),
            "salt": b64(octets(name, "salt", 24)),
            "delivery_id": b64(octets(name, "delivery-id", 16)),
        },
    }


def _done(name, requirements, comment, suite=1, message=MESSAGE, reverse=None, forward=None):
    name = f"seal/done/{name}"
    task = _task(name, suite, message, reverse, forward)
    reverse_path = ReversePath(**task["reverse_path"])
    forgery = Forgery(name, suite).set(
        message=message,
        reverse_path=reverse_path,
        forward_paths=tuple(ForwardPath(**one) for one in task["forward_paths"]),
        flags=0 if reverse_path.mailbox.lower().endswith("@a.example") or not reverse_path.mailbox else FOREIGN,
    )
    expected = {"result": "done", "envelope": b64(forgery.octets()), "envelope_id": b64(forgery.id())}
    return vector("seal", name, requirements, comment, task, expected=expected)


def _refused(name, requirements, comment, refused, twin="plain", **changes):
    name = f"seal/refused/{name}"
    return vector("seal", name, requirements, comment, _task(name, 1, **changes), refused, f"seal/done/{twin}")


def vectors():
    """All of them."""
    yield _done("plain", "R-env-05 R-con-03", "Everything plain, suite 1.")
    yield _done("suite-2", "R-env-05 R-suite-01", "Everything plain, suite 2.", 2)
    yield _done("empty", "R-con-04 R-con-05", "A message of no octets.", message=b"")
    long = b"Subject: long\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 500
    yield _done("blocks", "R-con-04", "Three blocks of this size.", message=long)
    yield _done("null-reverse-path", "R-seal-02", "The null reverse-path.", reverse={"mailbox": ""})
    yield _done(
        "foreign", "R-seal-02", "A reverse-path of another domain is flagged.", reverse={"mailbox": "u@z.example"}
    )
    yield _done(
        "parameters",
        "R-con-02",
        "All parameters.",
        reverse={"body": 2, "ret": 1, "envid": "QQ314159"},
        forward=[{"mailbox": "V@B.Example", "notify": 6, "orcpt": "rfc822;v@b.example"}, {"notify": 1}],
    )
    yield _done(
        "utf-8",
        "R-con-02",
        "Mailboxes that are not ASCII, with SMTPUTF8.",
        reverse={"mailbox": "\u00fc@a.example", "smtputf8": 1},
        forward=[{"mailbox": "\u00e4@b.example"}],
    )
    text = "A mailbox that is not ASCII, with SMTPUTF8: the recipient."
    forward = [{"mailbox": "\u00e4@b.example"}]
    yield _done("forward-path-utf-8", "R-con-02", text, reverse={"smtputf8": 1}, forward=forward)
    text = "A mailbox that is not ASCII, with SMTPUTF8: the reverse-path."
    yield _done("reverse-path-utf-8", "R-con-02", text, reverse={"mailbox": "\u00fc@a.example", "smtputf8": 1})
    text = "Two recipients of one domain in one envelope."
    yield _done("two-recipients", "R-seal-01 R-con-02", text, forward=[{}, {"mailbox": "w@b.example"}])
    text = "The longest ENVID."
    yield _done("envid-100", "R-con-01", text, reverse={"envid": "a" * 100})
    text = "The longest ORCPT."
    yield _done("orcpt-500", "R-con-01", text, forward=[{"orcpt": "rfc822;" + "a" * 493}])
    for name, (orcpt, text) in orcpts.DONE.items():
        smtputf8 = {"smtputf8": int(not orcpt.isascii())}
        yield _done(name, "R-con-02", text, reverse=smtputf8, forward=[{"orcpt": orcpt}])
    hops = b"Received: x\r\n"
    yield _done("received-50", "R-seal-08", "50 Received fields.", message=hops * 50 + MESSAGE)
    loop = ("bytes", "loop")
    yield _refused("received-51", "R-seal-08", "51 Received fields.", loop, "received-50", message=hops * 51 + MESSAGE)
    path = ("path", "path-unfit")
    for name, mailbox, comment in (
        ("no-domain", "postmaster", "A recipient without domain."),
        ("literal", "v@[192.0.2.1]", "A recipient at an address literal."),
        ("one-label", "v@localhost", "A recipient at a name that is no identity."),
        ("two-domains", "v@c.example", "Recipients of two domains in one envelope."),
    ):
        forward = [{}, {"mailbox": mailbox}]
        yield _refused(name, "R-seal-01 R-con-02 R-id-02", comment, path, "two-recipients", forward=forward)
    yield _refused("no-forward-path", "R-seal-01 R-con-02", "No recipient.", path, forward=[])
    for name, twin, changes, comment in (
        ("forward-path-space", "plain", {"forward": [{"mailbox": "v v@b.example"}]}, "A recipient with a space."),
        ("reverse-path-space", "plain", {"reverse": {"mailbox": "u u@a.example"}}, "A reverse-path with a space."),
        ("envid-space", "envid-100", {"reverse": {"envid": "a b"}}, "ENVID with a space, which is no xtext."),
        ("envid-control", "envid-100", {"reverse": {"envid": "a\x01b"}}, "ENVID with a control character."),
        ("envid-line-feed", "envid-100", {"reverse": {"envid": "a+0Ab"}}, "ENVID with a line feed in xtext."),
        ("envid-101", "envid-100", {"reverse": {"envid": "a" * 101}}, "ENVID of 101 octets."),
        ("orcpt-501", "orcpt-500", {"forward": [{"orcpt": "rfc822;" + "a" * 494}]}, "ORCPT of 501 octets."),
    ):
        yield _refused(name, "R-con-01 R-con-02", comment, path, twin, **changes)
    for name, (orcpt, comment, twin) in orcpts.REFUSED.items():
        changes = {"reverse": {"smtputf8": int(not orcpt.isascii())}, "forward": [{"orcpt": orcpt}]}
        yield _refused(name, "R-con-02", comment, path, twin, **changes)
    name, orcpt, comment, twin = orcpts.WITHOUT_SMTPUTF8
    yield _refused(name, "R-con-02", comment, path, twin, forward=[{"orcpt": orcpt}])
    bare = ("bytes", "bare-line-end")
    for name, octets_, comment in (
        ("bare-lf", b"a\nb", "A bare LF."),
        ("bare-cr", b"a\rb", "A bare CR."),
        ("nul", b"a\0b", "A NUL."),
        ("cr-at-the-end", b"a\r", "A CR is the last octet."),
    ):
        yield _refused(name, "R-seal-07", comment, bare, message=MESSAGE + octets_)
    for name, changes, comment in (
        ("forward-path", {"forward": [{"mailbox": "\u00e4@b.example"}]}, "A recipient"),
        ("reverse-path", {"reverse": {"mailbox": "\u00fc@a.example"}}, "The reverse-path"),
    ):
        comment = f"{comment} is not ASCII, and SMTPUTF8 was not given."
        yield _refused(f"{name}-smtputf8", "R-con-02", comment, path, f"{name}-utf-8", **changes)
    required, unusable = ("policy", "policy-required"), ("policy", "policy-unusable")
    yield _refused("no-policy", "R-dec-02", "There is no policy.", required, records=[])
    yield _refused("mode-none", "R-dec-02", "Mode none.", required, records=published(B, "none"))
    yield _refused("expired", "R-rec-06", "The policy expires now.", unusable, records=published(B, expiry=NOW))
    yield _refused("no-key", "R-dec-15", "The key record is missing.", unusable, "suite-2", records=published(B)[:1])
    other = [(published(B)[0][0], published(C)[0][1])]
    unsigned = ("record-signature", "policy-unknown")
    yield _refused("policy-of-another", "R-rec-05", "The policy of another domain.", unsigned, records=other)
