"""A recording proxy on an SMTP or LMTP path: keeps the client's octets and the transactions in them."""

import contextlib
import re
import socket
import threading

from .process import free_port
from .smtp import Transaction, path_and_params, unstuff


class Tap:
    """Listens on `port`, connects to `upstream` (port or socket path) and passes octets unchanged."""

    def __init__(self, rig, name, upstream, lmtp=False, address="127.0.0.1", source=None):
        self.name, self.upstream, self.lmtp = name, upstream, lmtp
        self.source = (source, 0) if source else None  # address it connects from
        self.port = free_port()
        self.lock = threading.Lock()
        self.wires = []  # one bytearray of client octets a connection
        self.finished = []  # transactions whose final dot was answered
        self.refused = []  # (path, reply) of every recipient refused
        self.listener = socket.create_server((address, self.port), backlog=128)
        rig.closers.append(self.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def wire(self):
        """All octets the clients sent, connection after connection."""
        with self.lock:
            return b"\n".join(bytes(wire) for wire in self.wires)

    def transactions(self, rcpt=None):
        """Answered transactions, or only those in which this recipient was accepted."""
        with self.lock:
            return [t for t in self.finished if rcpt is None or rcpt in t.rcpt]

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            if isinstance(self.upstream, int):
                server = socket.create_connection(("127.0.0.1", self.upstream), source_address=self.source)
            else:
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.upstream))
        except OSError:
            client.close()
            return
        _Connection(self, client, server).run()


class _Connection:
    """Follows one connection; `expected` says what each coming reply answers."""

    def __init__(self, tap, client, server):
        self.tap, self.client, self.server = tap, client, server
        self.wire = bytearray()
        with tap.lock:
            tap.wires.append(self.wire)
        self.turn = threading.Condition()
        self.expected = [("greeting", None)]
        self.data_allowed = None  # set by the reply to DATA
        self.transaction = Transaction()
        self.closed = False

    def run(self):
        answers = threading.Thread(target=self._answers, daemon=True)
        answers.start()
        with contextlib.suppress(OSError):
            self._commands()
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_WR)
        answers.join()
        self.client.close()
        self.server.close()

    def _receive(self):
        octets = self.client.recv(1 << 16)
        with self.tap.lock:
            self.wire += octets
        return octets

    def _commands(self):
        pending = bytearray()
        while True:
            octets = self._receive()
            if not octets:
                return
            pending += octets
            while (end := pending.find(b"\n")) >= 0:
                line = bytes(pending[: end + 1])
                del pending[: end + 1]
                verb = line.split(None, 1)[0].upper() if line.strip() else b""
                with self.turn:
                    self.expected.append((verb.decode("ascii", "replace"), line))
                    self.data_allowed = None
                self.server.sendall(line)
                if verb == b"DATA":
                    with self.turn:
                        self.turn.wait_for(lambda: self.data_allowed is not None or self.closed)
                        go = self.data_allowed
                    if self.closed or (go and not self._data(pending)):
                        return

    def _data(self, pending):
        """Passes message octets up to the final dot; False if the client left before it."""
        content = bytearray(pending)
        sent = searched = 0
        while True:
            if content[:3] == b".\r\n":
                end, size = 0, 3
            else:
                found = content.find(b"\r\n.\r\n", searched)
                end, size = (-1, 0) if found < 0 else (found + 2, 3)
            if end >= 0:
                with self.turn:
                    self.transaction.data = unstuff(bytes(content[:end]))
                    for _ in self.transaction.rcpt if self.tap.lmtp else [None]:
                        self.expected.append(("dot", None))
                self.server.sendall(content[sent : end + size])
                pending[:] = content[end + size :]
                return True
            self.server.sendall(content[sent:])
            sent, searched = len(content), max(0, len(content) - 4)
            octets = self._receive()
            if not octets:
                return False
            content += octets

    def _answers(self):
        text = bytearray()
        with contextlib.suppress(OSError):
            while octets := self.server.recv(1 << 16):
                text += octets
                while (end := text.find(b"\n")) >= 0:
                    line = text[:end].decode("utf-8", "replace").rstrip("\r")
                    del text[: end + 1]
                    if re.match(r"\d{3}( |$)", line):
                        with self.turn:
                            self._answer(line)
                            self.turn.notify_all()
                self.client.sendall(octets)
        with self.turn:
            self.closed = True
            self.turn.notify_all()
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)

    def _answer(self, line):
        if not self.expected:
            return  # unasked, such as a 421 before closing
        verb, command = self.expected.pop(0)
        good, t = line.startswith("2"), self.transaction
        if verb == "MAIL" and good:
            self.transaction = t = Transaction()
            t.mail, t.mail_params = path_and_params(command.decode("utf-8", "replace").strip())
        elif verb == "RCPT":
            path, params = path_and_params(command.decode("utf-8", "replace").strip())
            if good:
                t.rcpt.append(path)
                t.rcpt_params[path] = params
            else:
                t.refused.append((path, line))
                with self.tap.lock:
                    self.tap.refused.append((path, line))
        elif verb == "RSET":
            self.transaction = Transaction()
        elif verb == "DATA":
            self.data_allowed = line.startswith("354")
        elif verb == "dot":
            t.replies.append(line)
            if not any(kind == "dot" for kind, _ in self.expected):
                with self.tap.lock:
                    self.tap.finished.append(t)
                self.transaction = Transaction()
