"""A gateway of the other implementation on loopback, with a DNS server and two MTAs that only take."""

import contextlib
import os
import re
import socket
import socketserver
import struct
import subprocess
import threading
import time

TIMEOUT = 60
TXT, SOA = 16, 6
UDP_LIMIT = 1200

CONFIG = """\
hostname = "mta-seal.{domain}"
state = "state"
[[domain]]
name = "{domain}"
keys = "keys/{domain}"
[outbound]
listen = ["127.0.0.1:{outside}"]
protocol = "smtp"
clients = ["127.0.0.0/8"]
next_hop = "smtp://127.0.0.1:{relay}"
[inbound]
listen = ["127.0.0.1:{inside}"]
next_hop = "smtp://127.0.0.1:{local}"
[dns]
mode = "plain"
servers = ["127.0.0.1:{dns}"]
[defaults]
policy = "prefer"
"""


class _Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Datagrams(socketserver.ThreadingUDPServer):
    daemon_threads = True


def _serve(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Dns:
    """Answers TXT queries from `texts`, by UDP and TCP, without DNSSEC."""

    def __init__(self):
        self.texts = {}
        stub = self

        class Datagram(socketserver.BaseRequestHandler):
            def handle(self):
                query, answering = self.request
                answering.sendto(stub.answer(query, UDP_LIMIT), self.client_address)

        class Stream(socketserver.StreamRequestHandler):
            def handle(self):
                while len(size := self.rfile.read(2)) == 2:
                    answer = stub.answer(self.rfile.read(struct.unpack(">H", size)[0]), 65535)
                    self.wfile.write(struct.pack(">H", len(answer)) + answer)

        self._tcp = _serve(_Threads(("127.0.0.1", 0), Stream))
        self.port = self._tcp.server_address[1]
        self._udp = _serve(_Datagrams(("127.0.0.1", self.port), Datagram))

    def publish(self, records):
        """Replaces what stands at the names of these records."""
        for name in {name for name, _ in records}:
            self.texts[name] = [text for one, text in records if one == name]

    def answer(self, query, limit):
        """The answer to one query."""
        position, labels = 12, []
        while query[position]:
            labels.append(query[position + 1 : position + 1 + query[position]].decode().lower())
            position += query[position] + 1
        question, kind = query[12 : position + 5], struct.unpack(">H", query[position + 1 : position + 3])[0]
        texts = self.texts.get(".".join(labels), []) if kind == TXT else []
        records = b""
        for text in texts:
            data = b"".join(bytes([len(text[i : i + 255])]) + text[i : i + 255] for i in range(0, len(text), 255))
            records += b"\xc0\x0c" + struct.pack(">HHIH", TXT, 1, 1, len(data)) + data
        denial = b"\x07example\0" + struct.pack(">HHIH", SOA, 1, 1, 22) + bytes(2) + struct.pack(">5I", 1, 1, 1, 1, 1)
        code = 0 if texts else 3
        counts = struct.pack(">HHHH", 1, len(texts), 0 if texts else 1, 0)
        answer = query[:2] + bytes([0x85, 0x80 | code]) + counts + question + (records if texts else denial)
        if len(answer) > limit:
            return query[:2] + b"\x87\x80" + struct.pack(">HHHH", 1, 0, 0, 0) + question
        return answer

    def close(self):
        """Ends it."""
        for server in (self._tcp, self._udp):
            server.shutdown()
            server.server_close()


class Sink:
    """An MTA that takes everything: messages as (MAIL FROM, [RCPT TO], octets)."""

    def __init__(self):
        self.messages = []
        sink = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"220 sink\r\n")
                sender, recipients = b"", []
                for line in self.rfile:
                    verb = line[:4].upper()
                    if verb == b"EHLO":
                        self.wfile.write(b"250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n")
                    elif verb == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        octets = sink.data(self.rfile)
                        if octets is None:
                            return
                        sink.messages.append((sender, recipients, octets))
                        sender, recipients = b"", []
                        self.wfile.write(b"250 2.0.0 taken\r\n")
                    elif verb == b"QUIT":
                        self.wfile.write(b"221 bye\r\n")
                        return
                    else:
                        if verb in (b"MAIL", b"RSET"):
                            sender, recipients = line.strip(), []
                        elif verb == b"RCPT":
                            recipients.append(line.strip())
                        self.wfile.write(b"250 2.0.0 ok\r\n")

        self._server = _serve(_Threads(("127.0.0.1", 0), Session))
        self.port = self._server.server_address[1]

    @staticmethod
    def data(lines):
        """The octets up to the final dot; None if the client leaves before."""
        octets = b""
        for line in lines:
            if line == b".\r\n":
                return octets
            octets += line[1:] if line.startswith(b".") else line
        return None

    def close(self):
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


def free_port():
    """A port that nobody uses just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def stuffed(message):
    """A message as DATA carries it, with the final dot."""
    end = b"" if message.endswith(b"\r\n") or not message else b"\r\n"
    return re.sub(rb"(\A|\r\n)\.", rb"\1..", message) + end + b".\r\n"


def dialog(connection, record=None):
    """What sends a command and returns the last line of the reply, on a connection on which the greeting has been read; `record`
    gets every octet."""
    replies = connection.makefile("rb")

    def command(octets):
        if record:
            record.add(octets)
        connection.sendall(octets)
        while True:
            line = replies.readline()
            if record:
                record.add(line)
            if line[3:4] != b"-":
                return line.decode("utf-8", "replace").strip()

    command(b"")
    return command


def send(port, sender, recipients, message, record=None):
    """Sends a message; `sender` and `recipients` are what follows the colon. The last reply: that to the final dot, or the
    first that is no success."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
        command = dialog(connection, record)
        command(b"EHLO client.example\r\n")
        for line in [f"MAIL FROM:{sender}", *(f"RCPT TO:{one}" for one in recipients)]:
            reply = command(line.encode() + b"\r\n")
            if not reply.startswith("250"):
                return reply
        reply = command(b"DATA\r\n")
        return command(stuffed(message)) if reply.startswith("354") else reply


class Gateway:
    """A running gateway."""

    def __init__(self, binary, home, domain):
        self.dns, self.relay, self.local = Dns(), Sink(), Sink()
        self.outbound, self.inbound = free_port(), free_port()
        os.chmod(home / "state", 0o700)
        config = home / "gateway.toml"
        config.write_text(
            CONFIG.format(
                domain=domain,
                outside=self.outbound,
                inside=self.inbound,
                relay=self.relay.port,
                local=self.local.port,
                dns=self.dns.port,
            ),
            encoding="ascii",
        )
        with open(home / "log", "wb") as log:
            self._process = subprocess.Popen([binary, "--config", config, "serve"], stdout=log, stderr=log)
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.inbound), timeout=1).close()
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.close()
        raise OSError((home / "log").read_text(encoding="utf-8", errors="replace")[-300:])

    def close(self):
        """Ends everything."""
        self._process.terminate()
        self._process.wait(30)
        for one in (self.dns, self.relay, self.local):
            one.close()
