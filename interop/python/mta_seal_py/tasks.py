"""Answers the tasks of `test-vectors/`: a kind and an input, as the README there has them."""

import base64
import json
import os

from . import author
from . import decide as decisions
from . import ed25519, envelope, key_record, keyids, mime, padding, receiving, recognition
from . import policy as policies
from . import rollover, sealing, suites, unsealing, words
from .claims import Claims
from .failures import KeyRecordRefused, OrdinaryRefused, RecordRefused, Refused, Unsupported
from .identity import identity_of_domain, identity_of_mailbox
from .ownkeys import OwnKeys, SealingKey
from .paths import ForwardPath, ReversePath
from .records import Records

SUITE_OF = {"suite-1": 1, "suite-2": 2}
LEVELS = {level.name.lower().replace("_", "-"): level for level in decisions.Level}


class NotGood(Refused):
    """Something that is no key, signature, statement or domain; nobody is answered."""

    answer = "none"

    def __init__(self, stage):
        super().__init__(stage)
        self.stage = stage


def b64(octets):
    """Octets in JSON."""
    return base64.b64encode(octets).decode("ascii")


def octets(text):
    """And back."""
    return base64.b64decode(text, validate=True)


def _sealing_ids(suite, public):
    return {"public_key": b64(public), "key_id": b64(keyids.sealing_key_id(suite, public))}


def _signing_ids(public):
    return {
        "public_key": b64(public),
        "signing_key_id": b64(keyids.signing_key_id(public)),
        "fingerprint": b64(keyids.fingerprint(public)),
    }


def _identity(task):
    identity = identity_of_domain(task["domain"])
    if identity is None:
        raise NotGood("identity")
    return {"identity": identity}


def _keys(task):
    private = octets(task["private_key"])
    if task["algorithm"] == "ed25519":
        return _signing_ids(ed25519.public_key(private))
    suite = SUITE_OF[task["algorithm"]]
    return _sealing_ids(suite, suites.public_of_private(suite, private))


def _public_keys(task):
    public = octets(task["public_key"])
    if task["algorithm"] == "ed25519":
        if not ed25519.is_good_point(public):
            raise NotGood("public-key")
        return _signing_ids(public)
    suite = SUITE_OF[task["algorithm"]]
    try:
        suites.load_public(suite, public)
    except ValueError:
        raise NotGood("public-key") from None
    return _sealing_ids(suite, public)


def _words(task):
    fingerprint = words.heard(task["text"])
    if fingerprint is None:
        raise NotGood("words")
    return {"fingerprint": b64(fingerprint), "words": words.spoken(fingerprint)}


def _signature(task):
    if not ed25519.verify(octets(task["public_key"]), octets(task["signature"]), octets(task["message"])):
        raise NotGood("signature")
    return {}


def _optional(value):
    return None if value is None else b64(value)


def _policy_record(task):
    policy = policies.parse(task["domain"], octets(task["text"]))
    statement = policy.statement
    return {
        "mode": policy.mode,
        "serial": policy.serial,
        "expiry": policy.expiry,
        "max_age": policy.max_age,
        "window": policy.window,
        "identity": b64(policy.identity),
        "fingerprint": b64(keyids.fingerprint(policy.identity)),
        "signing_keys": [
            {"public_key": b64(key), "key_id": b64(keyids.signing_key_id(key))} for key in policy.signing_keys
        ],
        "sealing_keys": [
            {
                "suite": entry.suite,
                "key_id": b64(entry.key_id),
                "public_key": _optional(entry.public),
                "selector": entry.selector,
            }
            for entry in policy.sealing_keys
        ],
        "outgoing_always": policy.outgoing_always,
        "rollover": statement and {"old_key": b64(statement.old_key), "expiry": statement.expiry},
        "next_identity": _optional(policy.next_identity),
    }


def _key_record(task):
    entry = policies.SealingEntry(task["suite"], octets(task["key_id"]), selector="any")
    try:
        return {"public_key": b64(key_record.parse(octets(task["text"]), entry))}
    except RecordRefused as error:
        raise KeyRecordRefused(error.detail) from None


def _rollover(task):
    policy = policies.parse(task["domain"], octets(task["text"]))
    if not rollover.proves(policy, octets(task["old_key"]), task["now"]):
        raise NotGood("rollover")
    return {}


def _records_of(listed):
    records = Records()
    for one in listed:
        records.add(one["name"], octets(one["text"]))
    return records


def _records(task):
    policy, entry, public = sealing.recipient_key(_records_of(task["records"]), task["domain"], task["now"])
    return {"mode": policy.mode, "serial": policy.serial, "suite": entry.suite, **_sealing_ids(entry.suite, public)}


def _outcome(task):
    told = task["outcome"]
    if told["result"] != "found":
        return decisions.Outcome(told["result"], told.get("secure", False))
    policy = policies.parse(task["domain"], octets(told["policy"]))
    records, available = _records_of(told["key_records"]), set()
    for entry in policy.sealing_keys:
        try:
            available.add(records.key_of_entry(task["domain"], entry) and entry.key_id)
        except Refused:
            continue
    return decisions.Outcome("found", told["secure"], policy, frozenset(available))


def _memory(task):
    told = task["memory"]
    if told is None:
        return None
    key = told["key"] and keyids.sealing_key_id(told["key"]["suite"], octets(told["key"]["public_key"]))
    policy = policies.parse(task["domain"], octets(told["policy"]))
    return decisions.Memory(policy, LEVELS[told["level"]], key, told["enforce_until"])


class DecisionRefused(Refused):
    """[R-dec-02] says defer or reject."""

    stage = "decision"


def _failure(decision, task):
    if decision.verdict == "reject":
        return "demand-refused" if task["rule"] == "never" else "policy-required"
    return "policy-unusable" if task["outcome"]["result"] in ("found", *decisions.DENIALS) else "policy-unknown"


def _decide(task):
    pin = task["pin"] and octets(task["pin"])
    minimum = LEVELS[task["minimum"]]
    operator = decisions.Operator(task["rule"], minimum, pin, task["weaker_suite"], task["override"])
    outcome, memory = _outcome(task), _memory(task)
    decision = decisions.decide(operator, outcome, memory, task["demand"], task["now"])
    if decision.verdict in ("defer", "reject"):
        raise DecisionRefused(decision.verdict, _failure(decision, task))
    if decision.verdict == "clear":
        return {"verdict": "clear"}
    listing = outcome.policy if decision.source == "found" else memory.policy
    suite = next(entry.suite for entry in listing.sealing_keys if entry.key_id == decision.key_id)
    return {
        "verdict": "seal",
        "source": "dns" if decision.source == "found" else "memory",
        "level": next(name for name, level in LEVELS.items() if level == decision.level),
        "suite": suite,
        "key_id": b64(decision.key_id),
    }


def _padding(task):
    return {"padded": padding.padded_length(task["length"])}


def _header(parsed):
    return {
        "suite": parsed.header.suite,
        "key_id": b64(parsed.header.key_id),
        "recipient_domain": parsed.header.recipient_domain,
        "extensions": [one.type for one in parsed.header.extensions],
        "envelope_id": b64(parsed.id),
    }


def _ids(task):
    return _header(envelope.parse(octets(task["octets"])))


def _seal(task):
    own = OwnKeys(task["sender"]["domain"], bytes(32), [octets(task["sender"]["signing_key"])])
    reverse = ReversePath(**task["reverse_path"])
    forward = [ForwardPath(**path) for path in task["forward_paths"]]
    records = _records_of(task["records"])
    carrier, report = sealing.seal(own, records, reverse, forward, octets(task["message"]), task["now"])
    if task["randomness"] is not None:
        raise Unsupported("randomness from elsewhere")
    made = recognition.find(carrier)
    return {"envelope": b64(made.octets), "envelope_id": b64(made.id), "carrier": b64(carrier)}


def _own_keys(told):
    return OwnKeys(
        told["domain"],
        bytes(32),
        sealing=[SealingKey(key["suite"], octets(key["private_key"])) for key in told["sealing"]],
        destroyed={octets(key_id) for key_id in told["destroyed"]},
    )


def _claims(told):
    claims = Claims()
    for one in told:
        if "envelope_id" in one:
            claims.add_envelope(octets(one["envelope_id"]), one["recipient"])
        else:
            claims.add_delivery(one["sender_domain"], octets(one["delivery_id"]), one["recipient"])
    return claims


def _unsealed(task, carrier, recipients, claims):
    """The work of kinds `unseal` and `smtp`."""
    aligned = task.get("require_aligned", False)
    own_keys = [_own_keys(one) for one in task["own_keys"]]
    records = _records_of(task["records"])
    return unsealing.unseal(carrier, own_keys, records, recipients, task["now"], task["window"], claims, aligned)


def _unseal(task):
    verified = _unsealed(task, octets(task["carrier"]), task["recipients"], _claims(task["claims"]))
    prefix, reverse = verified.prefix, verified.prefix.reverse_path
    header = _header(verified.envelope)
    del header["extensions"]
    return {
        **header,
        "message": b64(verified.message),
        "sender_domain": prefix.sender_domain,
        "signing_key_id": b64(prefix.signing_key_id),
        "delivery_id": b64(prefix.delivery_id),
        "sealed_at": prefix.sealed_at,
        "foreign": prefix.foreign,
        "reverse_path": {name: getattr(reverse, name) for name in ("mailbox", "body", "smtputf8", "ret", "envid")},
        "forward_paths": [
            {"mailbox": path.mailbox, "notify": path.notify, "orcpt": path.orcpt} for path in verified.recipients
        ],
        "refused_recipients": list(verified.refused),
    }


def _smtp(task):
    own_domains = {own["domain"] for own in task["own_keys"]}
    session = receiving.Session(own_domains, lambda *given: _unsealed(task, *given, Claims()))
    replies = [session.command(line) for line in task["dialog"]]
    if replies[-1].startswith("354"):
        replies.append(session.message(octets(task["carrier"])))
    if session.delivery is not None:
        delivered = session.delivery
        told = {"mail_from": delivered.mail_from, "rcpt_to": list(delivered.rcpt_to), "message": b64(delivered.message)}
        return {"replies": replies, "delivered": told}
    if session.refusal is None:
        raise Unsupported("a dialog without a row in the table of replies")
    return {"result": "refused", "stage": session.refusal.stage, "failure": session.refusal.answer, "replies": replies}


def _recognise(task):
    return {"envelope": b64(recognition.find(octets(task["message"]), set(task["own_domains"])).octets)}


def _ordinary(task):
    message = octets(task["message"])
    authors = author.claimed(mime.read_entity(message, 0, len(message)))
    path = identity_of_mailbox(task["reverse_path"])
    for domain in task["sealed_only"]:
        if authors is None or domain in (path, *authors):
            raise OrdinaryRefused(f"in the name of {domain}")
    return {}


def _inspect(task):
    parsed = recognition.find(octets(task["carrier"]))
    return {**_header(parsed), "envelope_octets": len(parsed.octets)}


KINDS = {
    "identity": _identity,
    "keys": _keys,
    "public-keys": _public_keys,
    "words": _words,
    "signature": _signature,
    "policy-record": _policy_record,
    "key-record": _key_record,
    "rollover": _rollover,
    "records": _records,
    "decide": _decide,
    "padding": _padding,
    "ids": _ids,
    "seal": _seal,
    "unseal": _unseal,
    "recognise": _recognise,
    "ordinary": _ordinary,
    "inspect": _inspect,
    "smtp": _smtp,
}


def answer(kind, task):
    """What is expected of a task; `unsupported` for kinds that this implementation has not."""
    if kind not in KINDS:
        return {"result": "unsupported"}
    try:
        return {"result": "done", **KINDS[kind](task)}
    except Refused as refused:
        return {"result": "refused", "stage": refused.stage, "failure": refused.answer}
    except Unsupported:
        return {"result": "unsupported"}


def run():
    """Answers all tasks of the file that MTA_SEAL_TASKS names: whether any was supported."""
    supported = False
    with (
        open(os.environ["MTA_SEAL_TASKS"], encoding="utf-8") as tasks,
        open(os.environ["MTA_SEAL_RESULTS"], "w", encoding="utf-8") as results,
    ):
        for line in tasks:
            task = json.loads(line)
            answered = {"id": task["id"], **answer(task["kind"], task["input"])}
            supported |= answered["result"] != "unsupported"
            results.write(json.dumps(answered, sort_keys=True) + "\n")
    return supported
