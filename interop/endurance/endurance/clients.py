"""Clients that see exactly what becomes of each connection while a gateway restarts or reloads."""

import contextlib
import random
import threading
import time

from rig.smtp import Client, ReplyError, stuff

from .proxy import Answer


class Clients:
    """`many` threads, each with one connection after another and some messages on each.

    Half of them take their time in the middle of a message or between two. What is counted: messages `accepted` and
    `deferred` (4xx), other `refused`; connections `lost` after DATA was sent and before it was answered,
    `dropped` at any other moment without QUIT, `dismissed` by 421, and those that were not `connected`.
    `put_off` has every 4xx that did not dismiss the client, and every 4xx after DATA.
    """

    def __init__(self, port, mail, domain, tag, many, seed):
        self.port, self.mail, self.domain, self.tag = port, mail, domain, tag
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.count = dict.fromkeys(
            ("accepted", "deferred", "refused", "lost", "dropped", "dismissed", "unconnected", "connections"), 0
        )
        self.taken, self.said, self.put_off, self.in_data = [], [], [], 0
        self.threads = [
            threading.Thread(target=self._run, args=(n, random.Random(f"{seed} {n}")), daemon=True) for n in range(many)
        ]
        for thread in self.threads:
            thread.start()

    def stop(self):
        """Ends every client after the message it is at."""
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def _note(self, what, why=""):
        with self.lock:
            self.count[what] += 1
            if what in ("lost", "dropped", "refused"):
                self.said.append(f"{self.tag} {what}: {why}")

    def _put_off(self, begun, rcpt, reply):
        with self.lock:
            self.put_off.append(Answer(begun, time.monotonic(), (rcpt,), reply))

    def _run(self, number, rng):
        sent = 0
        while not self.stopped.is_set():
            try:
                client = Client(self.port, timeout=120)
            except ConnectionRefusedError:
                self._note("unconnected")
                time.sleep(0.05)
                continue
            except OSError:
                # Not accepted yet when the listener closed: no dialogue was begun.
                self._note("unconnected")
                continue
            except ReplyError:
                self._note("dismissed")  # at EHLO
                continue
            self._note("connections")
            with contextlib.closing(client):
                for _ in range(rng.randrange(1, 8)):
                    sent += 1
                    if not self._message(client, f"{self.tag}{number}.{sent}@{self.domain}", rng, number % 2 == 0):
                        break
                    if number % 2:
                        time.sleep(rng.uniform(0, 0.3))
                else:
                    self._say(client, "QUIT")

    def _say(self, client, line):
        """The reply, or None if there was none and the connection is over."""
        try:
            client.socket.sendall(line.encode() + b"\r\n")
            reply = client.reply()
        except OSError as error:
            self._note("dropped", f"{line.split(' ')[0]}: {error}")
            return None
        if reply.startswith("421"):
            self._note("dismissed")
            return None
        return reply

    def _message(self, client, rcpt, rng, slow):
        """One transaction; False when the connection is over."""
        for line in (f"MAIL FROM:<{self.mail}>", f"RCPT TO:<{rcpt}>"):
            begun = time.monotonic()
            reply = self._say(client, line)
            if reply is None:
                return False
            if reply.startswith("4"):
                self._put_off(begun, rcpt, reply)
            if not reply.startswith("2"):
                self._note("deferred" if reply.startswith("4") else "refused", reply)
                return self._say(client, "RSET") is not None
        head = f"From: <{self.mail}>\r\nTo: <{rcpt}>\r\nSubject: load\r\nMessage-ID: <{rcpt}>\r\n\r\n".encode()
        wire = stuff(head + b"".join(rng.randbytes(30).hex().encode() + b"\r\n" for _ in range(rng.randrange(1, 300))))
        cut = rng.randrange(len(wire))
        begun = time.monotonic()
        with self.lock:
            self.in_data += 1
        try:
            client.socket.sendall(b"DATA\r\n")
            reply = client.reply()
            if reply.startswith("354"):
                client.socket.sendall(wire[:cut])
                if slow:
                    time.sleep(rng.uniform(0, 1.0))
                client.socket.sendall(wire[cut:] + b".\r\n")
                reply = client.reply()
        except OSError as error:
            self._note("lost", str(error))
            return False
        finally:
            with self.lock:
                self.in_data -= 1
        if reply.startswith("2"):
            self._note("accepted")
            with self.lock:
                self.taken.append(rcpt)
        else:
            if reply.startswith("4"):
                self._put_off(begun, rcpt, reply)
            self._note("deferred" if reply.startswith("4") else "refused", reply)
        return not reply.startswith("421")
