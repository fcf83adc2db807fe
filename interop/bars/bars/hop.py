"""A next hop that keeps no mail: lengths and digests only."""

import contextlib
import hashlib
import socket
import threading

from rig.process import free_port

from .message import DOT, END_OF_HEADER

END = b"\r\n" + DOT
READ = 1 << 18


class Hop:
    """`taken` holds (octets, digest) of every message; the digest is that of `Body`.

    The octets of the last message are written to the file `keep`, if there is one.
    """

    def __init__(self, rig, keep=None):
        self.keep = keep
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.lock = threading.Lock()
        self.taken = []
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        rig.closers.append(self.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Stops listening."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        replies = {
            b"EHLO": b"250-hop.example\r\n250-SIZE 500000000\r\n250-8BITMIME\r\n250 PIPELINING\r\n",
            b"DATA": b"354 go on\r\n",
            b"QUIT": b"221 bye\r\n",
        }
        with contextlib.suppress(OSError), client:
            client.sendall(b"220 hop.example ESMTP\r\n")
            waiting = b""
            while True:
                while b"\r\n" not in waiting:
                    if not (octets := client.recv(4096)):
                        return
                    waiting += octets
                line, waiting = waiting.split(b"\r\n", 1)
                verb = line[:4].upper()
                client.sendall(replies.get(verb, b"250 ok\r\n"))
                if verb == b"QUIT":
                    return
                if verb == b"DATA":
                    if not self._data(client, waiting):
                        return
                    waiting = b""

    def _data(self, client, begun):
        """Reads to the final dot; the client waits there, so nothing follows it."""
        buffer, size = bytearray(READ), 0
        head, digest, last = begun, None, begun[-len(END) :]
        with open(self.keep or "/dev/null", "wb") as kept:
            kept.write(begun)
            while not last.endswith(END):
                if not (count := client.recv_into(buffer)):
                    return False
                piece = memoryview(buffer)[:count]
                kept.write(piece)
                size += count
                last = (last + bytes(piece[-len(END) :]))[-len(END) :]
                if digest:
                    digest.update(piece)
                else:
                    head += bytes(piece)
                    if (end := head.find(END_OF_HEADER)) >= 0:
                        digest = hashlib.sha256(head[end + len(END_OF_HEADER) :])
            if self.keep:
                kept.truncate(len(begun) + size - len(DOT))
        with self.lock:
            self.taken.append((len(begun) + size - len(DOT), digest and digest.hexdigest()))
        client.sendall(b"250 kept\r\n")
        return True
