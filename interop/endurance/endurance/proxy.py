"""A hop in line: passes each transaction on and notes when it was answered, and what was lost."""

import contextlib
import socket
import threading
import time
from dataclasses import dataclass

from rig.process import free_port
from rig.smtp import path_and_params

END = b"\r\n.\r\n"
KEYWORDS = ("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


@dataclass
class Answer:
    """What the server said to a transaction with these recipients, or to one of its commands, and since when that was awaited."""

    begun: float  # in DATA: when it was sent
    at: float
    rcpt: tuple
    reply: str

    def __str__(self):
        return f"{', '.join(self.rcpt)}: {self.reply} after {self.at - self.begun:.3f} s"


class Gone(Exception):
    """The server behind has closed the connection, or cannot be reached."""


class Wire:
    """One end of a connection, read by lines or by what has come."""

    def __init__(self, sock):
        self.socket, self.pending = sock, bytearray()

    def more(self):
        """Waits for octets; False at the end."""
        octets = self.socket.recv(1 << 16)
        self.pending += octets
        return bool(octets)

    def line(self):
        """The next line, or None at the end."""
        while (end := self.pending.find(b"\n")) < 0:
            if not self.more():
                return None
        line = bytes(self.pending[: end + 1])
        del self.pending[: end + 1]
        return line


class Backend(Wire):
    """A connection to the server behind."""

    def __init__(self, port):
        try:
            super().__init__(socket.create_connection(("127.0.0.1", port)))
        except OSError as error:
            raise Gone from error

    def ask(self, line=None):
        """Sends a command, unless the server speaks first, and returns the whole reply."""
        try:
            if line is not None:
                self.socket.sendall(line)
            reply = b""
            while (last := self.line()) is not None:
                reply += last
                if last[3:4] != b"-":
                    return reply
        except OSError as error:
            raise Gone from error
        raise Gone


class Proxy:
    """`route`: the port behind, or a function from the first recipient to it.

    `answers` holds every answer to a final dot; `lost` counts transactions in which DATA was sent
    and no answer came. `at_dot` has the recipients of each connection whose final dot was passed on
    and is not answered yet. `put_off`: 4xx to MAIL, RCPT and DATA; but 421 to one of the first two ends the connection only.
    """

    def __init__(self, rig, name, route):
        self.name, self.route = name, route
        self.port = free_port()
        self.lock = threading.Lock()
        self.answers, self.put_off, self.lost, self.at_dot = [], [], 0, {}
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        rig.closers.append(self.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Stops listening."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def waiting(self):
        """The recipients of each transaction that is at the final dot now."""
        with self.lock:
            return list(self.at_dot.values())

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        connection = _Connection(self, client)
        with contextlib.suppress(OSError, Gone), client:
            connection.run()
        for backend in connection.backends.values():
            backend.socket.close()


class _Connection:
    """One client and the servers that its transactions went to."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, Wire(client)
        self.backends, self.current = {}, None
        self.mail = None  # MAIL that is not passed on yet
        self.rcpt = []

    def run(self):
        if isinstance(self.proxy.route, int):
            # Here all is the server's own, greeting and keywords included.
            self.current = self.backends[None] = Backend(self.proxy.route)
            self.say(self.current.ask())
        else:
            self.say(b"220 switch.example ESMTP\r\n")
        while (line := self.client.line()) is not None:
            self.command(line)
            if line[:4].upper() == b"QUIT":
                return

    def say(self, reply):
        self.client.socket.sendall(reply)

    def command(self, line):
        verb, begun = line.strip().split(b" ")[0].upper(), time.monotonic()
        if verb == b"DATA":
            self.data(line, begun)
        elif isinstance(self.proxy.route, int):
            reply = self.current.ask(line)
            self.note(verb, line, begun, reply)
            self.say(reply)
        elif verb in (b"EHLO", b"HELO"):
            words = ("switch.example", *KEYWORDS)
            last = len(words) - 1
            self.say("".join(f"250{' ' if n == last else '-'}{w}\r\n" for n, w in enumerate(words)).encode())
        elif verb == b"MAIL":
            self.mail, self.rcpt, self.current = line, [], None
            self.say(b"250 2.1.0 ok\r\n")
        elif verb == b"RCPT":
            reply = self.switch(line) or self.current.ask(line)
            self.note(verb, line, begun, reply)
            self.say(reply)
        elif verb == b"RSET":
            self.mail, self.rcpt = None, []
            if self.current:
                self.current.ask(line)
            self.say(b"250 2.0.0 ok\r\n")
        elif verb == b"QUIT":
            for backend in self.backends.values():
                with contextlib.suppress(Gone):
                    backend.ask(line)
            self.say(b"221 2.0.0 bye\r\n")
        else:
            self.say(b"250 2.0.0 ok\r\n")

    def note(self, verb, line, begun, reply):
        """Whom the transaction is for, and who is put off."""
        if verb not in (b"MAIL", b"RCPT"):
            return
        rcpt = [path_and_params(line.decode().strip())[0]] if verb == b"RCPT" else []
        if verb == b"MAIL":
            self.rcpt = []
        elif reply.startswith(b"2"):
            self.rcpt += rcpt
        if reply.startswith(b"4") and not reply.startswith(b"421"):
            self.note_put_off(begun, rcpt, reply)

    def note_put_off(self, begun, rcpt, reply):
        with self.proxy.lock:
            self.proxy.put_off.append(Answer(begun, time.monotonic(), tuple(rcpt), reply.decode("utf-8", "replace").strip()))

    def switch(self, line):
        """Opens the transaction where the first recipient belongs; the reply if that fails."""
        if self.mail is None:
            return None if self.current else b"451 4.4.1 no connection\r\n"
        mail, self.mail = self.mail, None
        port = self.proxy.route(path_and_params(line.decode().strip())[0])
        for _ in range(2):
            backend, kept = self.backends.get(port), port in self.backends
            try:
                if not backend:
                    backend = Backend(port)
                    backend.ask()
                    backend.ask(b"EHLO switch.example\r\n")
                    self.backends[port] = backend
                reply = backend.ask(mail)
            except Gone:
                self.backends.pop(port, None)
                if kept:  # it was idle; that it has gone says nothing
                    continue
                return b"451 4.4.1 no connection\r\n"
            if reply.startswith(b"421") and kept:
                self.backends.pop(port)
                continue
            break
        if not reply.startswith(b"2"):
            return reply
        self.current = backend
        return None

    def data(self, line, begun):
        answered = False
        try:
            reply = self.current.ask(line) if self.current else b"503 5.5.1 no recipients\r\n"
            answered = not reply.startswith(b"354")
            if reply.startswith(b"4"):
                self.note_put_off(begun, self.rcpt, reply)
            self.say(reply)
            if not answered:
                answered = self.content(begun)
        except Gone:
            with self.proxy.lock:
                self.proxy.lost += 1
            raise
        finally:
            with self.proxy.lock:
                self.proxy.at_dot.pop(self, None)

    def content(self, begun):
        """Passes the message on as it comes, and the answer to its end back."""
        tail = b"\r\n"
        while True:
            octets = bytes(self.client.pending)
            end = (tail + octets).find(END)
            if end >= 0:
                octets = octets[: end - len(tail) + len(END)]
                # Before the server can have it.
                with self.proxy.lock:
                    self.proxy.at_dot[self] = tuple(self.rcpt)
            del self.client.pending[: len(octets)]
            try:
                self.current.socket.sendall(octets)
            except OSError as error:
                raise Gone from error
            if end >= 0:
                break
            tail = (tail + octets)[-4:]
            if not self.client.more():
                raise OSError("the client has left")
        reply = self.current.ask()
        text = reply.decode("utf-8", "replace").strip()
        with self.proxy.lock:
            self.proxy.answers.append(Answer(begun, time.monotonic(), tuple(self.rcpt), text))
            del self.proxy.at_dot[self]
        self.say(reply)
        return True
