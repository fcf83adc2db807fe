"""A recording SMTP or LMTP server: keeps raw octets and the SMTP envelope, and misbehaves on order."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field

from .process import free_port
from .smtp import Transaction, path_and_params, unstuff

FULL = ("PIPELINING", "SIZE 150000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")


@dataclass
class Profile:
    """How a sink behaves. Lists of replies are used up one by one; then it accepts."""

    keywords: tuple = FULL
    rcpt: dict = field(default_factory=dict)  # path -> list of replies; a str is given for ever
    data: list = field(default_factory=list)  # replies to DATA in place of 354
    dot: list = field(default_factory=list)  # replies to the final dot; None accepts
    drop_after: int = None  # closes the connection this many octets into the next DATA, once


class Sink:
    """`accepted` holds the transactions answered with 250, `attempts` all that reached the dot."""

    def __init__(self, rig, name, profile=None, lmtp=False):
        self.name, self.profile, self.lmtp = name, profile or Profile(), lmtp
        self.port = free_port()
        self.lock = threading.Lock()
        self.accepted, self.attempts, self.refused_rcpt, self.dropped = [], [], [], 0
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        rig.closers.append(self.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def messages(self, rcpt=None):
        """Accepted transactions, or those with this recipient."""
        with self.lock:
            return [t for t in self.accepted if rcpt is None or rcpt in t.rcpt]

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _next(self, replies, default):
        """The reply due now: a list is used up, a str stays."""
        with self.lock:
            if isinstance(replies, str):
                return replies
            return (replies.pop(0) if replies else None) or default

    def _serve(self, client):
        with contextlib.suppress(OSError), client, client.makefile("rb") as lines:
            t = Transaction()

            def say(text):
                client.sendall(text.encode() + b"\r\n")

            say("220 sink.example " + ("LMTP" if self.lmtp else "ESMTP"))
            while line := lines.readline():
                text = line.decode("utf-8", "replace").strip()
                verb = text.split(" ")[0].upper()
                if verb in ("EHLO", "LHLO"):
                    words = ("sink.example", *self.profile.keywords)
                    client.sendall(
                        b"".join(
                            f"250{' ' if i == len(words) - 1 else '-'}{word}\r\n".encode()
                            for i, word in enumerate(words)
                        )
                    )
                    t = Transaction()
                elif verb == "HELO":
                    say("250 sink.example")
                elif verb == "MAIL":
                    t = Transaction()
                    t.mail, t.mail_params = path_and_params(text)
                    say("250 2.1.0 ok")
                elif verb == "RCPT":
                    path, params = path_and_params(text)
                    reply = self._next(self.profile.rcpt.get(path, []), "250 2.1.5 ok")
                    if reply.startswith("2"):
                        t.rcpt.append(path)
                        t.rcpt_params[path] = params
                    else:
                        t.refused.append((path, reply))
                        with self.lock:
                            self.refused_rcpt.append((path, reply))
                    say(reply)
                elif verb == "DATA":
                    reply = self._next(self.profile.data, "354 go on") if t.rcpt else "503 5.5.1 no recipients"
                    say(reply)
                    if reply.startswith("354"):
                        if not self._data(client, lines, t):
                            return
                        t = Transaction()
                elif verb == "RSET":
                    t = Transaction()
                    say("250 2.0.0 ok")
                elif verb == "NOOP":
                    say("250 2.0.0 ok")
                elif verb == "QUIT":
                    say("221 2.0.0 bye")
                    return
                else:
                    say("502 5.5.1 not here")

    def _data(self, client, lines, t):
        content, size, before = [], 0, b"\r\n"
        with self.lock:
            drop, self.profile.drop_after = self.profile.drop_after, None
        while line := lines.readline():
            # Only CRLF.CRLF ends the data; a line ends at LF here, so look at what came before.
            if line == b".\r\n" and before.endswith(b"\r\n"):
                break
            before = line
            content.append(line)
            size += len(line)
            if drop is not None and size >= drop:
                self.dropped += 1
                client.shutdown(socket.SHUT_RDWR)
                return False
        else:
            return False
        t.data = unstuff(b"".join(content))
        for _ in t.rcpt if self.lmtp else [None]:
            t.replies.append(self._next(self.profile.dot, "250 2.0.0 kept"))
        with self.lock:
            self.attempts.append(t)
            if t.accepted:
                self.accepted.append(t)
        client.sendall("".join(reply + "\r\n" for reply in t.replies).encode())
        return True
