"""What peers are made of that seal otherwise than this version of the draft has it: the second implementation with the tools of its
own tests. It needs that one's interpreter."""

import base64
import json
import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))

from mta_seal_py.ownkeys import OwnKeys  # noqa: E402
from mta_seal_py.paths import ForwardPath, ReversePath  # noqa: E402
from mta_seal_py.records import Records  # noqa: E402
from tests.forge import Forge  # noqa: E402


def b64(octets_):
    """Octets in JSON."""
    return base64.b64encode(octets_).decode("ascii")


def octets(text):
    """Octets of a task."""
    return base64.b64decode(text, validate=True)


class Sender(Forge):
    """Seals the message of a task. Who is made of it has `sealed`, which makes an envelope and its id."""

    def __init__(self, task):
        self.now = task["now"]
        self.task = task
        self.message = octets(task["message"])
        domain = task["recipient_domain"]
        self.sender = OwnKeys(task["sender"]["domain"], bytes(32), [octets(task["sender"]["signing_key"])])
        self.recipient = OwnKeys(domain, bytes(32))
        records = Records()
        for one in task["records"]:
            records.add(one["name"], octets(one["text"]))
        entry, public = records.sealing_key(domain, records.policy(domain))
        self.recipient_key = (entry.suite, entry.key_id, public)

    def prefix(self, **changes):
        paths = tuple(ForwardPath(**path) for path in self.task["forward_paths"])
        good = {
            "delivery_id": os.urandom(16),
            "reverse_path": ReversePath(**self.task["reverse_path"]),
            "forward_paths": paths,
        }
        return super().prefix(**{**good, **changes})

    def envelope(self, **changes):
        return super().envelope(**{"message": self.message, **changes})

    def raw_header(self, offset, value):
        """The header with these octets at an offset."""
        header = bytearray(self.header().encode())
        header[offset : offset + len(value)] = value
        return bytes(header)


def answer(task, kind, what):
    """The result of a task."""
    if task["kind"] != "seal" or task["input"]["randomness"] is not None:
        return {"id": task["id"], "result": "unsupported"}
    sender = kind(task["input"])
    envelope, envelope_id = sender.sealed(what)
    return {
        "id": task["id"],
        "result": "done",
        "carrier": b64(sender.carrier(octets=envelope)),
        "envelope_id": b64(envelope_id),
    }


def main(kind, what):
    """Answers all tasks by senders of a kind, who seal so."""
    tasks, results = os.environ["MTA_SEAL_TASKS"], os.environ["MTA_SEAL_RESULTS"]
    with open(tasks, encoding="utf-8") as file, open(results, "w", encoding="utf-8") as out:
        for line in file:
            out.write(json.dumps(answer(json.loads(line), kind, what)) + "\n")
