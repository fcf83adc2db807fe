"""SMTP on loopback: a server that takes messages, with a record of every octet in both directions, and a client that leaves too early."""

import contextlib
import socket
import socketserver
import sys
import threading
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "python"))
from tests import rig  # noqa: E402

EXTENSIONS = (b"8BITMIME", b"SMTPUTF8", b"DSN", b"ENHANCEDSTATUSCODES")


class Record:
    """All octets that passed, of all connections, in both directions."""

    def __init__(self, name):
        self.name, self._pieces, self._lock = name, [], threading.Lock()

    def add(self, octets):
        """Some more."""
        with self._lock:
            self._pieces.append(bytes(octets))

    def octets(self):
        """All of them so far."""
        with self._lock:
            return b"".join(self._pieces)


class Mail:
    """A message as it was taken: MAIL and RCPT as they stood on the wire."""

    def __init__(self, sender, recipients, octets):
        self.sender, self.recipients, self.octets = sender, recipients, octets


class Server:
    """An MTA that takes everything."""

    def __init__(self, name):
        self.record, self.mails = Record(name), []
        self._arrived = threading.Condition()
        server = self

        class Session(socketserver.StreamRequestHandler):
            timeout = rig.TIMEOUT

            def handle(self):
                with contextlib.suppress(OSError):
                    server._serve(self)

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._listener = Listener(("127.0.0.1", 0), Session)
        self.port = self._listener.server_address[1]
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    def _serve(self, session):
        def say(octets):
            self.record.add(octets)
            session.wfile.write(octets)

        say(b"220 sink.example\r\n")
        sender, recipients = b"", []
        for line in session.rfile:
            self.record.add(line)
            verb = line[:4].upper()
            if verb == b"EHLO":
                names = [b"sink.example", *EXTENSIONS]
                say(b"".join(b"250%s%s\r\n" % (b" " if name is names[-1] else b"-", name) for name in names))
            elif verb == b"DATA":
                say(b"354 go on\r\n")
                octets = self._data(session.rfile)
                if octets is None:
                    return
                with self._arrived:
                    self.mails.append(Mail(sender, recipients, octets))
                    self._arrived.notify_all()
                sender, recipients = b"", []
                say(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                say(b"221 2.0.0 bye\r\n")
                return
            else:
                if verb in (b"MAIL", b"RSET"):
                    sender, recipients = line.strip(), []
                elif verb == b"RCPT":
                    recipients.append(line.strip())
                say(b"250 2.0.0 ok\r\n")

    def wait(self, count, seconds):
        """Whether so many messages are there, at the latest after so many seconds."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self.mails) >= count, seconds)

    def _data(self, lines):
        """The octets up to the final dot; None if the client leaves before."""
        octets = []
        for line in lines:
            self.record.add(line)
            if line == b".\r\n":
                return b"".join(octets)
            octets.append(line[1:] if line.startswith(b".") else line)
        return None

    def close(self):
        """Ends it."""
        self._listener.shutdown()
        self._listener.server_close()


def abandon(port, sender, recipients, message, record=None):
    """Sends a part of a message and leaves, without the final dot."""
    with socket.create_connection(("127.0.0.1", port), timeout=rig.TIMEOUT) as connection:
        command = rig.dialog(connection)
        command(b"EHLO client.example\r\n")
        command(f"MAIL FROM:{sender}\r\n".encode())
        for one in recipients:
            command(f"RCPT TO:{one}\r\n".encode())
        if command(b"DATA\r\n").startswith("354"):
            if record:
                record.add(message)
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            connection.makefile("rb").read()  # whatever it says, until it closes too
