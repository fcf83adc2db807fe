"""CPU time of seal and unseal beside age, armoured, on the same octets."""

import filecmp
import os
import re
import shutil
import statistics
import subprocess

from rig.process import RigError

from .company import MAIL_FROM, RCPT_TO
from .message import Body, header

SIZE = 100_000_000


def measure(rig, report, pair, pairs):
    """Runs A B A B, so that both meet the same machine, and compares medians."""
    if not shutil.which("age"):
        raise RigError("no age: it is in Debian's package age")
    directory = rig.make_directory("cpu")
    head = header(0, MAIL_FROM, RCPT_TO)
    body = Body(directory / "body", SIZE - len(head))
    message = body.with_header(directory / "message", head)
    identity = directory / "identity"
    made = _said(["age-keygen", "-o", str(identity)])
    recipient = re.search(r"age1\w+", made)[0]

    carrier, armour, back = (directory / name for name in ("carrier", "armour", "back"))
    _compare(
        report, "seal", pairs, message,
        (pair.seal_command(), carrier),
        (["age", "-a", "-r", recipient], armour),
    )  # fmt: skip
    _compare(
        report, "unseal", pairs, None,
        (pair.unseal_command(), back, carrier),
        (["age", "-d", "-i", str(identity)], directory / "age-back", armour),
    )  # fmt: skip
    same = filecmp.cmp(message, back, shallow=False)
    report.check("unseal gives the message back", same)
    shutil.rmtree(directory)


def _compare(report, name, pairs, source, ours, theirs):
    own, other = [], []
    for _ in range(pairs):
        own.append(cpu_seconds(ours[0], (*ours, source)[2], ours[1]))
        other.append(cpu_seconds(theirs[0], (*theirs, source)[2], theirs[1]))
    own, other = statistics.median(own), statistics.median(other)
    report.figure(f"{name}.cpu", own * 1000, "ms")
    report.figure(f"{name}.age.cpu", other * 1000, "ms")
    report.figure(f"{name}.cpu/age", own / other, "ratio", 1)


def cpu_seconds(command, source, target):
    """User and system time of a command from file to file."""
    program = shutil.which(command[0])
    target.unlink(missing_ok=True)
    errors = target.with_suffix(".errors")
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        program,
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, str(source), os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(target), write, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(errors), write, 0o600),
        ],
    )
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RigError(f"{command[0]} ended with {os.waitstatus_to_exitcode(status)}: {errors.read_text()}")
    return usage.ru_utime + usage.ru_stime


def _said(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RigError(f"{command[0]}: {done.stderr}")
    return done.stdout + done.stderr
