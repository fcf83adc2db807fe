"""The largest resident size of a gateway under one huge message, and under many large ones."""

import contextlib
import hashlib
import itertools
import os
import shutil
import subprocess
import threading
import time

from rig.process import RigError
from rig.smtp import Client, ReplyError

from .company import MAIL_FROM, RCPT_TO, LargeGateway
from .hop import Hop
from .message import DOT, END_OF_HEADER, Body, header

HUGE, LARGE, MANY = 100_000_000, 20_000_000, 40
READ = 1 << 16

# Nobody waits longer than this for the slowest of MANY.
PATIENCE = 300


def measure(rig, report, pair):
    """Each figure is that of a gateway started for it."""
    directory = rig.make_directory("memory")
    huge, carrier = Body(directory / "huge", HUGE), directory / "carrier"
    with Serving(rig, pair.sender, "seal-huge", pair.dns, keep=carrier) as gateway:
        gateway.inject(HUGE, [_plain(0, huge)])
        gateway.report(report, "seal.100MB", 48)
    report.check("the carrier of 100 MB opens", _unsealed(pair, carrier) == huge.digest)
    with Serving(rig, pair.recipient, "unseal-huge", pair.dns) as gateway:
        gateway.inject(HUGE, [_file(carrier)])
        gateway.report(report, "unseal.100MB", 48)
        report.check("100 MB arrive as sent", gateway.digests() == {huge.digest})
    carrier.unlink()
    huge.path.unlink()

    large = Body(directory / "large", LARGE)
    with Serving(rig, pair.sender, "seal-many", pair.dns) as gateway:
        gateway.inject(LARGE, [_plain(number, large) for number in range(MANY)])
        gateway.report(report, f"seal.{MANY}x20MB", 160)
        least = min(octets for octets, _ in gateway.hop.taken)
        report.check("the carriers are whole", least > LARGE * 4 // 3, f"{least} octets")
    message = large.with_header(directory / "message", _header(0))
    with Serving(rig, pair.recipient, "unseal-many", pair.dns) as gateway:
        gateway.inject(LARGE, [_sealed(pair, message) for _ in range(MANY)])
        gateway.report(report, f"unseal.{MANY}x20MB", 160)
        report.check("20 MB arrive as sent", gateway.digests() == {large.digest})
    shutil.rmtree(directory)


def _header(number):
    return header(number, MAIL_FROM, RCPT_TO)


class Serving:
    """A gateway of one company with the same hop on both sides, and what went through it."""

    def __init__(self, rig, company, name, dns, keep=None):
        self.hop = Hop(rig, keep)
        self.sealing = name.startswith("seal")
        self.gateway = LargeGateway(rig, name, company)
        self.gateway.start(self.hop.url, self.hop.url, dns)

    def __enter__(self):
        self.begin = time.monotonic()
        self.cpu = self._cpu()
        return self

    def __exit__(self, *_):
        self.gateway.process.stop()
        self.hop.close()

    def inject(self, size, sources):
        """Sends messages of `size` octets or more on a connection each, all half sent at once."""
        port = self.gateway.inside_port if self.sealing else self.gateway.outside_port
        together, errors = threading.Barrier(len(sources), timeout=PATIENCE), []

        def one(source):
            try:
                with source as pieces:
                    _send(port, pieces, size // 2, together)
            except Exception as error:  # reported below, in the thread that can
                errors.append(error)
                together.abort()

        threads = [threading.Thread(target=one, args=(source,)) for source in sources]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = len(self.hop.taken)
        if errors or taken != len(sources):
            raise RigError(
                f"{self.gateway.name}: {taken} of {len(sources)} messages: "
                f"{errors[:1]}\n{self.gateway.process.tail()}"
            )

    def report(self, report, name, limit):
        """The peak, and for information how long it took."""
        report.figure(f"{name}.VmHWM", self.gateway.peak_rss() / 1e6, "MB", limit)
        report.figure(f"{name}.cpu", self._cpu() - self.cpu, "s")
        report.figure(f"{name}.time", time.monotonic() - self.begin, "s")

    def digests(self):
        """Of what the hop was given."""
        return {digest for _, digest in self.hop.taken}

    def _cpu(self):
        """Seconds of CPU used so far."""
        with open(f"/proc/{self.gateway.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _send(port, pieces, half, together):
    """One transaction; waits for the others when half of it is sent."""
    with Client(port, timeout=PATIENCE) as client:
        client.command(f"MAIL FROM:<{MAIL_FROM}>")
        client.command(f"RCPT TO:<{RCPT_TO}>")
        client.command("DATA", expect="354")
        sent, waited = 0, False
        for piece in pieces:
            client.socket.sendall(piece)
            sent += len(piece)
            if sent >= half and not waited:
                together.wait()
                waited = True
        client.socket.sendall(DOT)
        if not (reply := client.reply()).startswith("2"):
            raise ReplyError("final dot", reply)
        client.command("QUIT")


def _pieces(stream):
    while piece := stream.read(READ):
        yield piece


@contextlib.contextmanager
def _file(path):
    """A message that stands in a file."""
    with open(path, "rb") as file:
        yield _pieces(file)


@contextlib.contextmanager
def _plain(number, body):
    """A message with a header of its own; otherwise it would be the retry of another."""
    with open(body.path, "rb") as file:
        yield itertools.chain([_header(number)], _pieces(file))


@contextlib.contextmanager
def _sealed(pair, message):
    """A carrier of its own, made while it is sent: another copy would be a replay."""
    process = pair.sealed(message)
    with process.stdout:
        yield _pieces(process.stdout)
    if process.wait():
        raise RigError(f"mta-seal seal ended with {process.returncode}")


def _unsealed(pair, carrier):
    """The digest of the body in a carrier, by the command line."""
    with open(carrier, "rb") as file:
        process = subprocess.Popen(
            pair.unseal_command(), stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    head, digest = b"", None
    with process.stdout:
        for piece in _pieces(process.stdout):
            if digest:
                digest.update(piece)
            elif END_OF_HEADER in (head := head + piece):
                digest = hashlib.sha256(head.split(END_OF_HEADER, 1)[1])
    process.wait()
    digest = digest or hashlib.sha256()
    digest.update(DOT)
    return digest.hexdigest()
