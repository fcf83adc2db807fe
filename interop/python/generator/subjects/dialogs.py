"""What an unsealing gateway answers: the replies of [R-smtp-01] to one fault each."""

import re
from pathlib import Path

from mta_seal_py.paths import ForwardPath
from mta_seal_py.tasks import b64

from ..envelopes import Forgery
from ..vector import vector
from . import carriers, unsealing_done, unsealing_refused

DRAFT = Path(__file__).resolve().parents[4] / "spec" / "draft-mta-seal.md"
REFUSALS = """
version recipient-domain-capitals critical-extension header-4097 cut-in-sealed-key domain key destroyed-key hpke
commitment chunk-tag one-octet-more type-9 sender-domain-capitals notify-3 signing-key-id no-policy policy-expired
opening receipt forward-path-other-domain reverse-path too-old in-future recipient bare-lf blocks padding-longer
padding-first closing
""".split()
DONE = "plain suite-2 foreign-reverse-path null-reverse-path long parameters quoted utf-8 one-of-two".split()
CARRIERS = {
    "two-parts": "two",
    "base64": "base64-0-character",
    "header-too-large": "header-block-of-262145-octets",
    "no-magic": "magic-other",
}


def replies():
    """Code, status and text by failure, from the table of the draft."""
    rows = re.findall(r"^\| ([a-z0-9-]+) \| ([245]\d\d [0-9.]+) \| (.+?) \|$", DRAFT.read_text("utf-8"), re.MULTILINE)
    return {failure: f"{code} {text}" for failure, code, text in rows}


def _dialog(task, reverse_path):
    paths = [reverse_path, *task["recipients"]]
    smtputf8 = "" if all(map(str.isascii, paths)) else " SMTPUTF8"
    lines = [f"MAIL FROM:<{reverse_path}>{smtputf8}", *(f"RCPT TO:<{one}>" for one in task["recipients"])]
    kept = {key: value for key, value in task.items() if key not in ("recipients", "claims")}
    return {**kept, "dialog": ["EHLO client.example", *lines, "DATA"]}


def _begin(task, relayed=()):
    recipients = [replies()["not-local"] if one in relayed else "250" for one in task["recipients"]]
    return ["250", "250", *recipients, "354"]


def _done(name, requirements, comment, task, delivered, relayed=()):
    given = _dialog(task, delivered["mail_from"])
    expected = {"result": "done", "replies": [*_begin(task, relayed), "250"], "delivered": delivered}
    return vector("smtp", f"smtp/done/{name}", requirements, comment, given, expected=expected)


def _accepted(one):
    task, expected = one["input"], one["expected"]
    requirements = "R-uns-03 R-uns-10" if expected["refused_recipients"] else "R-uns-02 R-uns-06"
    delivered = {
        "mail_from": expected["reverse_path"]["mailbox"],
        "rcpt_to": [path["mailbox"] for path in expected["forward_paths"]],
        "message": expected["message"],
    }
    name = one["name"].removeprefix("unseal/done/")
    return _done(name, requirements, one["comment"], task, delivered)


def _refused(name, requirements, comment, task, stage, failure, twin="smtp/done/plain", relayed=()):
    expected = {"result": "refused", "stage": stage, "failure": failure}
    given = _dialog(task, "u@a.example")
    expected["replies"] = [*_begin(task, relayed), replies()[failure]]
    return vector("smtp", f"smtp/refused/{name}", requirements, comment, given, twin=twin, expected=expected)


def _relayed(plain):
    """Recipients of a domain that is not the gateway's."""
    message = plain["expected"]["message"]
    delivered = {"mail_from": "u@a.example", "rcpt_to": ["v@b.example"], "message": message}
    foreign = "v@z.example"
    both = {**plain["input"], "recipients": [foreign, "v@b.example"]}
    yield _done("relay-beside", "R-smtp-01", "One of two recipients is not the gateway's.", both, delivered, (foreign,))
    dialog = _dialog({**plain["input"], "recipients": [foreign]}, "u@a.example")
    dialog["dialog"].pop()
    expected = {"result": "refused", "stage": "domain", "failure": "not-local", "replies": ["250", "250"]}
    expected["replies"].append(replies()["not-local"])
    text = "A recipient of a domain that is not the gateway's; there is no DATA."
    twin = "smtp/done/relay-beside"
    yield vector("smtp", "smtp/refused/relay", "R-smtp-01", text, dialog, twin=twin, expected=expected)


def _late_faults(long):
    """A fault of the SMTP envelope, and one late in the carrier ([R-uns-01])."""
    made = Forgery("smtp/refused/two-parts-late").set(message=unsealing_done.LONG)
    task = {**long["input"], "carrier": b64(unsealing_refused.with_second_part(made))}
    requirements, limits, two = "R-smtp-01 R-uns-01", "limits", "two-parts"
    late = "The carrier has a second sealed part behind it."
    unsigned = {**task, "recipients": ["w@b.example"]}
    text = f"The recipient is not signed. {late}"
    yield _refused("two-parts-and-recipient", requirements, text, unsigned, limits, two, "smtp/done/long")
    unknown = {**task, "records": []}
    text = f"The sender domain has no policy. {late}"
    yield _refused("two-parts-and-no-policy", requirements, text, unknown, limits, two, "smtp/done/long")
    foreign = "v@z.example"
    both = {**task, "recipients": [foreign, *task["recipients"]]}
    text = f"One of two recipients is not the gateway's. {late}"
    yield _refused("two-parts-and-relay", requirements, text, both, limits, two, "smtp/done/relay-beside", (foreign,))


def _to_nobody(plain):
    """A message for mta-seal@, which belongs to nobody."""
    path = "MTA-Seal@b.example"
    forgery = Forgery("smtp/done/mta-seal").set(forward_paths=(ForwardPath(path),))
    task = {**plain["input"], "carrier": b64(forgery.carrier()), "recipients": [path]}
    message = plain["expected"]["message"]
    delivered = {"mail_from": "u@a.example", "rcpt_to": ["postmaster@b.example"], "message": message}
    return _done("mta-seal", "R-uns-09", "A message for mta-seal@, which the postmaster gets.", task, delivered)


def vectors():
    """All of them."""
    done = {one["name"]: one for one in unsealing_done.vectors()}
    refused = {one["name"]: one for one in unsealing_refused.vectors()}
    for name in DONE:
        yield _accepted(done[f"unseal/done/{name}"])
    plain = done["unseal/done/plain"]
    yield _to_nobody(plain)
    for name in REFUSALS:
        one = refused[f"unseal/refused/{name}"]
        expected = one["expected"]
        if expected["stage"] == "domain" or one["input"]["recipients"] is None:
            # The client names recipients, of the gateway's own domain, or it would refuse to relay.
            one["input"]["recipients"] = plain["input"]["recipients"]
        requirements, stage, failure = "R-smtp-01 R-smtp-03", expected["stage"], expected["failure"]
        yield _refused(name, requirements, one["comment"], one["input"], stage, failure)
    recognised = {one["name"]: one for one in carriers.vectors()}
    for name, carrier in CARRIERS.items():
        one = recognised[f"recognise/refused/{carrier}"]
        task = {**plain["input"], "carrier": one["input"]["message"]}
        stage, failure = one["expected"]["stage"], one["expected"]["failure"]
        yield _refused(name, "R-smtp-01 R-car-05", one["comment"], task, stage, failure)
    yield from _relayed(plain)
    yield from _late_faults(done["unseal/done/long"])
