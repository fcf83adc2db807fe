"""Gateways of the program under test on loopback, and a scripted DNS server for them."""

import base64
import contextlib
import json
import os
import socket
import subprocess
import time
from pathlib import Path

from .wire import Record, rig

SERVFAIL = 2
STARTED = 30

CONFIG = """\
hostname = "{hostname}"
state = "state"
[[domain]]
name = "{domain}"
keys = "keys/{domain}"
[outbound]
listen = ["127.0.0.1:{inside}"]
clients = ["127.0.0.0/8"]
next_hop = "smtp://127.0.0.1:{relay}"
[inbound]
listen = ["127.0.0.1:{outside}"]
next_hop = "smtp://127.0.0.1:{local}"
[dns]
mode = "plain"
servers = ["127.0.0.1:{dns}"]
[log]
level = "debug"
{more}
"""


class Broken(Exception):
    """The rig itself does not work."""


class Dns(rig.Dns):
    """The DNS of the second implementation's tests, which notes every query and can fail for some names."""

    def __init__(self):
        self.record, self.failing = Record("DNS"), set()
        super().__init__()

    def withdraw(self, domain):
        """Takes all records of a domain away, as one who is in the way would."""
        self.texts = {name: texts for name, texts in self.texts.items() if not f".{name}".endswith(f".{domain}")}

    def answer(self, query, limit):
        self.record.add(query)
        if any(f".{_name(query)}".endswith(f".{domain}") for domain in self.failing):
            return query[:2] + bytes([0x81, 0x80 | SERVFAIL]) + query[4:6] + bytes(6) + query[12:]
        return super().answer(query, limit)


def _name(query):
    """The name that a query is about."""
    position, labels = 12, []
    while query[position]:
        labels.append(query[position + 1 : position + 1 + query[position]].decode("ascii", "replace").lower())
        position += query[position] + 1
    return ".".join(labels)


def on_the_wire(name):
    """A name as it stands in a query."""
    return "".join(f"{chr(len(label))}{label}" for label in name.split("."))


class Gateway:
    """One running gateway: `inside` seals, `outside` unseals."""

    def __init__(self, binary, folder, domain, places, more=""):
        self.binary, self.domain = binary, domain
        self.hostname = f"gateway.{domain}"
        self.home = folder / domain
        self._command("init", "--domain", domain, "--dir", self.home, config=False)
        zone = json.loads(self._command("zone", "--format", "json"))
        self.records = [(one["name"].rstrip("."), one["value"].encode()) for one in zone]
        self.inside, self.outside = rig.free_port(), rig.free_port()
        config = CONFIG.format(
            hostname=self.hostname, domain=domain, inside=self.inside, outside=self.outside, more=more, **places
        )
        self.config.write_text(config, encoding="ascii")
        self.log = self.home / "log"
        with open(self.log, "wb") as log:
            command = [self.binary, "--config", self.config, "serve"]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()

    @property
    def config(self):
        """Its configuration."""
        return self.home / "mta-seal.toml"

    def _command(self, *arguments, config=True):
        options = ["--config", self.config] if config else []
        done = subprocess.run([self.binary, *options, *arguments], capture_output=True, check=False)
        if done.returncode:
            raise Broken(f"mta-seal {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def _wait(self):
        deadline = time.monotonic() + STARTED
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                for port in (self.inside, self.outside):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.02)
        self.close()
        raise Broken(f"the gateway of {self.domain} does not start: {self.said()[-400:].decode(errors='replace')}")

    def said(self):
        """Its log so far."""
        return self.log.read_bytes()

    def task_records(self):
        """Its records, as tasks have them."""
        return [{"name": name, "text": base64.b64encode(text).decode()} for name, text in self.records]

    def close(self):
        """Ends it."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def version_of(binary):
    """What the program says it is."""
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or os.fspath(binary)
