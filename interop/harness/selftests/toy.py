#!/usr/bin/env python3
"""A peer for the tests of the harness: `toy.py MODE`. It seals nothing: its carriers hold the task itself."""

import base64
import json
import os
import subprocess
import sys
import time

MODE = sys.argv[1]


def b64(octets):
    """Octets in JSON."""
    return base64.b64encode(octets).decode()


def seal(task):
    """A carrier with the whole task in it."""
    inside = base64.encodebytes(json.dumps(task).encode()).decode().replace("\n", "\r\n")
    head = "".join(
        f"{name}: x\r\n"
        for name in ("Date", "From", "To", "Subject", "Message-ID", "MTA-Seal-Token", "MIME-Version")
    )
    kind = 'Content-Type: multipart/mixed; boundary="toy"\r\n\r\n'
    part = f"--toy\r\nContent-Type: application/mta-seal\r\n\r\n{inside}--toy--\r\n"
    return {"result": "done", "carrier": b64((head + kind + part).encode()), "envelope_id": b64(bytes(32))}


def unseal(task):
    """What the toy has put into the carrier."""
    carrier = base64.b64decode(task["carrier"])
    told = json.loads(base64.b64decode(carrier.split(b"\r\n\r\n")[2].partition(b"--toy--")[0]))
    suite = 1 if len(task["own_keys"][0]["sealing"]) == 1 else 2
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "parties.json"), encoding="ascii") as file:
        key_id = json.load(file)["parties"][told["recipient_domain"]]["sealing"][0]["key_id"]
    mailbox = told["reverse_path"]["mailbox"]
    return {
        "result": "done",
        "message": told["message"] if MODE != "liar" else b64(b"something else"),
        "sender_domain": told["sender"]["domain"],
        "recipient_domain": told["recipient_domain"],
        "suite": suite,
        "key_id": key_id,
        "envelope_id": b64(bytes(32)),
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
        return seal(task["input"])
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
