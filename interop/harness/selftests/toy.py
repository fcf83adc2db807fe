#!/usr/bin/env python3
"""A peer for the tests of the harness: `toy.py MODE`. It seals nothing: its carriers hold the task itself under a veil."""

import base64
import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

MODE = sys.argv[1]
PARTIES = json.loads((Path(__file__).resolve().parent.parent / "parties.json").read_text(encoding="ascii"))["parties"]
ENC = {1: 32, 2: 1120}
NUMBERS = itertools.count()


def b64(octets):
    """Octets in JSON."""
    return base64.b64encode(octets).decode()


def veiled(octets, salt):
    """The octets under a veil that everybody can lift who knows the salt."""
    veil = hashlib.shake_256(salt).digest(len(octets))
    return (int.from_bytes(octets) ^ int.from_bytes(veil)).to_bytes(len(octets))


def random(number):
    """Random octets, unless it is the fault that they are not."""
    return bytes(number) if MODE in ("constant", f"constant-{number}") else os.urandom(number)


def envelope(task):
    """Something of the form of an envelope, and its id."""
    domain, key = task["recipient_domain"], PARTIES[task["recipient_domain"]]["sealing"][0]
    header = b"\xd3MTASEAL\1" + key["suite"].to_bytes(2) + base64.b64decode(key["key_id"])
    header += bytes([len(domain)]) + domain.encode() + bytes(2)
    enc, sealed_key, salt = random(ENC[key["suite"]]), random(48), random(24)
    told = b"\x16mta-seal/1 envelope-id" + b"".join(len(one).to_bytes(2) + one for one in (header, enc)) + sealed_key
    inside = json.dumps({**task, "envelope_id": b64(hashlib.sha256(told).digest())}).encode()
    inside += b" " * (-len(inside) % 65536)
    return header + enc + sealed_key + salt + veiled(inside, salt), hashlib.sha256(told).digest()


def seal(task):
    """A carrier with the whole task in it; of those that lie, each shows something."""
    octets, envelope_id = envelope(task)
    token, sender = random(16).hex(), task["sender"]["domain"]
    secret, to = base64.b64decode(task["message"]).hex()[:900], task["forward_paths"][0]["mailbox"]
    coded = base64.b64encode(octets).decode()
    lines = [
        f"Date: {formatdate(task['now'])}" + (f" ({to})" if MODE == "shows-date" else ""),
        f"From: mta-seal@{sender}",
        f"To: {to}" if MODE == "shows-to" else f"To: mta-seal@{task['recipient_domain']}",
        "Subject: " + (secret[:60] if MODE == "shows-subject" else "Sealed message"),
        f"Message-ID: <{secret[:32] if MODE == 'shows-id' else token}@{sender}>",
        f"MTA-Seal-Token: {token}",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed;",
        f' boundary="mta-seal-{token}"',
        "",
        *([secret[:70]] if MODE == "shows-before" else []),
        f"--mta-seal-{token}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        "This is sealed.",
        *([secret[at : at + 70] for at in range(0, len(secret), 70)] if MODE == "shows-text" else []),
        *(["."] * next(NUMBERS) if MODE == "shows-length" else []),
        f"--mta-seal-{token}",
        f'Content-Type: application/mta-seal; name="{"hello" if MODE == "shows-name" else "message"}.mtaseal"',
        "Content-Transfer-Encoding: base64",
        'Content-Disposition: attachment; filename="message.mtaseal"',
        "",
        *(coded[at : at + 76] for at in range(0, len(coded), 76)),
        f"--mta-seal-{token}--",
        "",
    ]
    told = bytes(32) if MODE == "wrong-id" else envelope_id
    return {"result": "done", "carrier": b64("\r\n".join(lines).encode()), "envelope_id": b64(told)}


def unseal(task):
    """What the toy has put into the carrier."""
    carrier = base64.b64decode(task["carrier"])
    octets = base64.b64decode(carrier.split(b"\r\n\r\n")[3].partition(b"--")[0])
    suite = int.from_bytes(octets[9:11])
    at = 44 + octets[43] + 2 + ENC[suite] + 48
    told = json.loads(veiled(octets[at + 24 :], octets[at : at + 24]))
    key_id = PARTIES[told["recipient_domain"]]["sealing"][0]["key_id"]
    mailbox = told["reverse_path"]["mailbox"]
    return {
        "result": "done",
        "message": told["message"] if MODE != "liar" else b64(b"something else"),
        "sender_domain": told["sender"]["domain"],
        "recipient_domain": told["recipient_domain"],
        "suite": suite,
        "key_id": key_id,
        "envelope_id": told["envelope_id"],
        "sealed_at": told["now"],
        "foreign": bool(mailbox) and not mailbox.endswith("@" + told["sender"]["domain"]),
        "reverse_path": told["reverse_path"],
        "forward_paths": told["forward_paths"],
        "refused_recipients": [],
    }


def answer(task):
    """The result of a task."""
    if MODE == "unsupported":
        return {"result": "unsupported"}
    if task["kind"] == "seal":
        return {"result": "unsupported"} if task["input"]["randomness"] else seal(task["input"])
    if task["kind"] == "unseal":
        return unseal(task["input"])
    if task["kind"] == "padding":
        return {"result": "done", "padded": max(4096, task["input"]["length"])}
    return {"result": "unsupported"}


def main():
    """Answers all tasks, or does something else."""
    if MODE == "silent":
        return 0
    if MODE == "absent":
        return 127
    if MODE == "broken":
        return 1
    with open(os.environ["MTA_SEAL_TASKS"], encoding="utf-8") as file:
        tasks = [json.loads(line) for line in file]
    with open(os.environ["MTA_SEAL_RESULTS"], "w", encoding="utf-8") as out:
        for number, task in enumerate(tasks):
            if MODE == "crash" and number == len(tasks) // 2:
                out.flush()
                os.abort()
            if MODE == "hang":
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
                with open("child", "w", encoding="ascii") as pid:
                    pid.write(str(child.pid))
                time.sleep(600)
            result = {"id": task["id"], **answer(task)}
            if MODE == "junk":
                out.write("\x00\xff no JSON {\n[1, 2]\n" + json.dumps({"id": "99999", "result": "done"}) + "\n")
                result["result"] = "perhaps"
            out.write(json.dumps(result) + "\n")
            if MODE == "twice":
                out.write(json.dumps(result) + "\n")
            if MODE == "deep":
                out.write("[" * 100000 + "\n")
    return 0


sys.exit(main())
