"""SMTP as octets: transparency (RFC 5321 section 4.5.2), replies, and a client that adds nothing."""

import re
import socket
from dataclasses import dataclass, field


def stuff(data):
    """Message octets as DATA sends them, without the final dot."""
    data = re.sub(rb"(\A|\r\n)\.", rb"\1..", data)
    return data if not data or data.endswith(b"\r\n") else data + b"\r\n"


def unstuff(wire):
    """The message octets of what DATA carried before the final dot."""
    return re.sub(rb"(\A|\r\n)\.", rb"\1", wire)


@dataclass
class Transaction:
    """One mail transaction: paths and parameters as sent, octets as sent, replies as given."""

    mail: str = ""
    mail_params: list = field(default_factory=list)
    rcpt: list = field(default_factory=list)  # accepted ones
    refused: list = field(default_factory=list)  # (path, reply)
    rcpt_params: dict = field(default_factory=dict)
    data: bytes = None  # None until the final dot has been seen
    replies: list = field(default_factory=list)  # at the final dot; one a recipient in LMTP

    @property
    def accepted(self):
        return bool(self.replies) and all(reply.startswith("2") for reply in self.replies)


def path_and_params(line):
    """`MAIL FROM:<a@b> X=1` -> (`a@b`, [`X=1`])."""
    match = re.match(r"(?:MAIL FROM|RCPT TO):\s*<([^>]*)>\s*(.*)$", line, re.I | re.S)
    if not match:
        return line, []
    return match[1], match[2].split()


class ReplyError(Exception):
    """A reply other than the one hoped for."""

    def __init__(self, command, reply):
        super().__init__(f"{command}: {reply}")
        self.command, self.reply = command, reply


class Client:
    """A plain client; `send_message` raises ReplyError at the first refusal."""

    def __init__(self, port, helo="client.company1.example", lmtp=False, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()
        self.keywords = self.command(("LHLO " if lmtp else "EHLO ") + helo).split("\n")[1:]
        self.lmtp = lmtp

    def reply(self):
        """One reply; the lines joined by newlines. ConnectionError if the peer has gone."""
        lines = []
        while True:
            line = self.file.readline()
            if not line.endswith(b"\n"):
                raise ConnectionError("connection closed by the server")
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            lines.append(text)
            if text[3:4] != "-":
                return "\n".join(lines)

    def command(self, line, expect="2"):
        """Sends one command line and returns the reply."""
        self.socket.sendall(line.encode() + b"\r\n")
        reply = self.reply()
        if not reply.startswith(expect):
            raise ReplyError(line, reply)
        return reply

    def send_raw(self, wire, replies=1):
        """DATA with exactly these octets; the caller writes stuffing and final dot."""
        self.command("DATA", expect="354")
        self.socket.sendall(wire)
        return [self.reply() for _ in range(replies)]

    def send_message(self, mail, rcpt, data, mail_params=(), rcpt_params=()):
        """One whole transaction; returns the reply (replies, in LMTP) to the final dot."""
        self.command(" ".join([f"MAIL FROM:<{mail}>", *mail_params]))
        for path in rcpt:
            self.command(" ".join([f"RCPT TO:<{path}>", *rcpt_params]))
        replies = self.send_raw(stuff(data) + b".\r\n", len(rcpt) if self.lmtp else 1)
        for reply in replies:
            if not reply.startswith("2"):
                raise ReplyError("final dot", reply)
        return replies

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def send(port, mail, rcpt, data, **options):
    """Sends one message over a connection of its own."""
    with Client(port) as client:
        return client.send_message(mail, rcpt, data, **options)
