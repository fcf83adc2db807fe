"""The last hop: notes when it took each message, and keeps none. Misbehaves for one domain on order."""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field

from rig.process import free_port
from rig.smtp import path_and_params

KEYWORDS = "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n"
END = b"\r\n.\r\n"


@dataclass
class Trouble:
    """What befalls the mail of a domain: `stall` (until it is over) or `drop`, at `rcpt`, `data` or `dot`."""

    how: str
    at: str
    over: threading.Event = field(default_factory=threading.Event)


class Sink:
    """`taken`: recipient -> for each copy when its connection was opened, and when it was taken, before the sender was told."""

    def __init__(self, rig, name, delay=None):
        self.name, self.delay = name, delay or (lambda: 0)
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.lock = threading.Lock()
        self.taken, self.count = {}, {}
        self.trouble = {}  # domain -> Trouble
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        rig.closers.append(self.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Stops listening; stalled connections go on to their end."""
        for trouble in list(self.trouble.values()):
            trouble.over.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def messages(self, domain):
        """How many copies were taken for a domain."""
        with self.lock:
            return self.count.get(domain, 0)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError), client:
            _dialogue(self, client)

    def befall(self, client, rcpt, at):
        """What the domain of these recipients suffers at this step; False: the connection is over."""
        for path in rcpt[-1:]:
            trouble = self.trouble.get(path.partition("@")[2])
            if trouble and trouble.at in (at, "any"):
                if trouble.how == "stall":
                    # Also over when the client leaves.
                    client.settimeout(0.5)
                    while not trouble.over.is_set():
                        with contextlib.suppress(TimeoutError):
                            if not client.recv(1, socket.MSG_PEEK):
                                return False
                            trouble.over.wait(0.5)
                return False
        return True

    def take(self, opened, rcpt):
        """Notes a message for these recipients."""
        now = time.monotonic()
        with self.lock:
            for path in rcpt:
                self.taken.setdefault(path, []).append((opened, now))
                domain = path.partition("@")[2]
                self.count[domain] = self.count.get(domain, 0) + 1


def _dialogue(sink, client):
    client.sendall(b"220 sink.example ESMTP\r\n")
    opened, rcpt, pending = time.monotonic(), [], b""
    while True:
        while b"\n" not in pending:
            if not (octets := client.recv(1 << 16)):
                return
            pending += octets
        line, _, pending = pending.partition(b"\n")
        text = line.decode("utf-8", "replace").strip()
        verb, reply = text.split(" ")[0].upper(), "250 2.0.0 ok"
        if verb == "EHLO":
            rcpt, reply = [], KEYWORDS.strip()
        elif verb in ("MAIL", "RSET", "HELO"):
            rcpt = []
        elif verb == "RCPT":
            rcpt.append(path_and_params(text)[0])
            if not sink.befall(client, rcpt, "rcpt"):
                return
        elif verb == "DATA":
            if not sink.befall(client, rcpt, "data"):
                return
            client.sendall(b"354 go on\r\n")
            content = b"\r\n" + pending
            while (end := content.find(END)) < 0:
                if not (octets := client.recv(1 << 16)):
                    return
                content = content[-4:] + octets
            pending = content[end + len(END) :]
            if not sink.befall(client, rcpt, "dot"):
                return
            sink.take(opened, rcpt)
            time.sleep(sink.delay())
            rcpt, reply = [], "250 2.0.0 kept"
        elif verb == "QUIT":
            client.sendall(b"221 2.0.0 bye\r\n")
            return
        client.sendall(reply.encode() + b"\r\n")
