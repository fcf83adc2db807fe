"""An authoritative server of a few TXT records, on UDP and TCP of one loopback port."""

import contextlib
import socket
import struct
import threading

from rig.process import free_port

TXT, OPT, IN = 16, 41, 1
TRUNCATED, AUTHORITATIVE, RESPONSE, NXDOMAIN = 0x0200, 0x0400, 0x8000, 3
DATAGRAM = 1232


class Dns:
    """Answers with `records`: name -> text. `anchor` and `server` are what a gateway is told.

    Questions about a domain in `silent`, or a name below it, are never answered.
    """

    anchor = None
    silent = frozenset()

    def __init__(self, rig, records):
        self.records = {name.rstrip(".").lower(): text.encode() for name, text in records.items()}
        self.port = free_port()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        rig.closers.append(self.close)
        threading.Thread(target=self._datagrams, daemon=True).start()
        threading.Thread(target=self._connections, daemon=True).start()

    @property
    def server(self):
        """Address and port."""
        return f"127.0.0.1:{self.port}"

    def close(self):
        """Closes both sockets; their threads end."""
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
        self.udp.close()

    def _datagrams(self):
        with contextlib.suppress(OSError):
            while True:
                question, peer = self.udp.recvfrom(4096)
                answer = self._answer(question)
                if answer is None:
                    continue
                if len(answer) > DATAGRAM:
                    answer = self._answer(question, truncated=True)
                self.udp.sendto(answer, peer)

    def _connections(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.tcp.accept()
                threading.Thread(target=self._connection, args=(client,), daemon=True).start()

    def _connection(self, client):
        with contextlib.suppress(OSError), client, client.makefile("rb") as stream:
            while head := stream.read(2):
                answer = self._answer(stream.read(struct.unpack("!H", head)[0]))
                if answer is None:
                    continue
                client.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, question, truncated=False):
        number, flags = struct.unpack("!HH", question[:4])
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode("latin-1").lower())
            at += 1 + length
        at += 5
        kind = struct.unpack("!H", question[at - 4 : at - 2])[0]
        name = ".".join(labels)
        if any(f".{name}".endswith(f".{domain}") for domain in self.silent):
            return None
        text = self.records.get(name)
        has_edns = struct.unpack("!H", question[10:12])[0] > 0
        records = b""
        if text is not None and kind == TXT and not truncated:
            strings = b"".join(
                bytes([len(part)]) + part
                for part in (text[i : i + 255] for i in range(0, len(text), 255))
            )
            records = struct.pack("!HHHIH", 0xC00C, TXT, IN, 300, len(strings)) + strings
        flags = RESPONSE | AUTHORITATIVE | flags & 0x0110 | 0x0080
        flags |= TRUNCATED if truncated else 0
        flags |= NXDOMAIN if text is None else 0
        head = struct.pack("!HHHHHH", number, flags, 1, bool(records), 0, has_edns)
        edns = struct.pack("!BHHIH", 0, OPT, DATAGRAM, 0, 0) if has_edns else b""
        return head + question[12:at] + records + edns
