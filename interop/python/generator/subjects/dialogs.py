"""What an unsealing gateway answers: the replies of [R-smtp-01] to one fault each."""

import re
from pathlib import Path

from mta_seal_py.tasks import answer

from ..vector import vector
from . import carriers, unsealing_done, unsealing_refused

DRAFT = Path(__file__).resolve().parents[4] / "spec" / "draft-mta-seal.md"
REFUSALS = """
version recipient-domain-capitals critical-extension header-4097 cut-in-sealed-key domain key destroyed-key hpke
commitment chunk-tag one-octet-more type-9 sender-domain-capitals notify-3 signing-key-id no-policy policy-expired
opening receipt forward-path-other-domain reverse-path too-old in-future recipient bare-lf blocks padding-longer
padding-first closing
""".split()
DONE = ("plain", "suite-2", "foreign-reverse-path", "null-reverse-path")


def replies():
    """Code, status and text by failure, from the table of the draft."""
    rows = re.findall(r"^\| ([a-z0-9-]+) \| ([245]\d\d [0-9.]+) \| (.+?) \|$", DRAFT.read_text("utf-8"), re.MULTILINE)
    return {failure: f"{code} {text}" for failure, code, text in rows}


def _dialog(task, reverse_path):
    lines = [f"MAIL FROM:<{reverse_path}>", *(f"RCPT TO:<{one}>" for one in task["recipients"])]
    kept = {key: value for key, value in task.items() if key not in ("recipients", "claims")}
    return {**kept, "dialog": ["EHLO client.example", *lines, "DATA"]}


def _begin(task):
    return ["250"] * (2 + len(task["recipients"])) + ["354"]


def _accepted(one):
    task, expected = one["input"], one["expected"]
    reverse_path = expected["reverse_path"]["mailbox"]
    delivered = {
        "mail_from": reverse_path,
        "rcpt_to": [path["mailbox"] for path in expected["forward_paths"]],
        "message": expected["message"],
    }
    return vector(
        "smtp",
        one["name"].replace("unseal/", "smtp/"),
        "R-uns-02 R-uns-06",
        one["comment"],
        _dialog(task, reverse_path),
        expected={"result": "done", "replies": [*_begin(task), "250"], "delivered": delivered},
    )


def _refused(name, requirements, comment, task, stage, failure, twin):
    expected = {"result": "refused", "stage": stage, "failure": failure}
    given = _dialog(task, "u@a.example")
    expected["replies"] = [*_begin(task), replies()[failure]]
    return vector("smtp", name, requirements, comment, given, twin=twin, expected=expected)


def vectors():
    """All of them."""
    done = {one["name"]: one for one in unsealing_done.vectors()}
    refused = {one["name"]: one for one in unsealing_refused.vectors()}
    for name in DONE:
        yield _accepted(done[f"unseal/done/{name}"])
    plain = done["unseal/done/plain"]["input"]
    for name in REFUSALS:
        one = refused[f"unseal/refused/{name}"]
        expected = one["expected"]
        if expected["stage"] == "domain" or one["input"]["recipients"] is None:
            # The client names recipients, of the gateway's own domain, or it would refuse to relay.
            one["input"]["recipients"] = plain["recipients"]
        yield _refused(
            f"smtp/refused/{name}",
            "R-smtp-01 R-smtp-03",
            one["comment"],
            one["input"],
            expected["stage"],
            expected["failure"],
            "smtp/done/plain",
        )
    for one in carriers.vectors():
        if one["name"] in ("recognise/refused/two", "recognise/refused/base64-0-character"):
            task = {**plain, "carrier": one["input"]["message"]}
            answered = answer("unseal", task)
            name = "two-parts" if one["name"].endswith("two") else "base64"
            yield _refused(
                f"smtp/refused/{name}",
                "R-smtp-01 R-car-05",
                one["comment"],
                task,
                answered["stage"],
                answered["failure"],
                "smtp/done/plain",
            )
    relayed = {**plain, "recipients": ["v@z.example"]}
    dialog = _dialog(relayed, "u@a.example")
    dialog["dialog"].pop()
    expected = {"result": "refused", "stage": "domain", "failure": "not-local", "replies": ["250", "250"]}
    expected["replies"].append(replies()["not-local"])
    yield vector(
        "smtp",
        "smtp/refused/relay",
        "R-smtp-01",
        "A recipient of a domain that is not the gateway's; there is no DATA.",
        dialog,
        twin="smtp/done/plain",
        expected=expected,
    )
