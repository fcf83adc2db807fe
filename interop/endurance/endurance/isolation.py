"""One partner in trouble beside one that is well, with real Postfix in front.

    client -> Postfix -> gateway -> sink

The sink takes a second for each message, and Postfix's own limit of deliveries at once (20) sets B's rate: nothing
that depends on the processor. Before, between and after the troubles B is alone. In each trouble mail for A comes as well;
its share of B's rate is what B delivered during it, from its first moment, by the median of the times that B was
alone just before and just after. Postfix has its defaults.
"""

import contextlib
import json
import subprocess
import threading
import time

from bars.company import Company
from bars.dns import Dns
from rig.postfix import Postfix
from rig.process import RigError, wait_for
from rig.smtp import Client

from .report import lines_with, median
from .sink import Sink, Trouble
from .world import ALICE, ONE, PlainGateway

B = "b.example"
DELAY = 1.0  # s
LEAST = 0.9
AHEAD = 80  # messages for B in Postfix's hands
RATE_OF_A = 10  # messages a second

POSTFIX = {"queue_run_delay": "300s", "minimal_backoff_time": "300s", "maximal_backoff_time": "4000s"}

# Every trouble is that of domains of its own: what the gateway has learned of one does not help with the next.
TROUBLES = {
    "dns": ["dns"],
    "stall-rcpt": ["stall rcpt"],
    "stall-data": ["stall data"],
    "stall-dot": ["stall dot"],
    "drop": ["drop rcpt", "drop data", "drop dot"],
    "together": ["dns", "stall dot", "drop data"],
}
SHORT = ("dns", "stall-dot", "together")
NAMES = ("shared", "separate")



def measure(rig, report, binary, rounds, short):
    """Each trouble with each kind of next-hop names, so many times."""
    troubles = SHORT if short else tuple(TROUBLES)
    domains = {
        (trouble, turn): [f"a{n}.{trouble}{turn}.example" for n in range(len(TROUBLES[trouble]))]
        for turn in range(rounds)
        for trouble in troubles
    }
    partners = [B, *(domain for several in domains.values() for domain in several)]
    company = Company(rig, binary, ONE)
    records = company.records()
    for domain in partners:
        records.update(Company(rig, binary, domain).records())
    for names in NAMES:
        world = World(rig, names, company, Dns(rig, records), partners)
        _measure(world, report, domains, short, *((8, 24) if short else (10, 40)))
        world.stop()


def _measure(world, report, domains, short, alone, during):
    """The shares of all troubles, one after another; in short only those again that were too small at first."""
    shares = {}
    world.rate(5)
    before = world.rate(alone)
    rates = [before]
    for (trouble, turn), several in domains.items():
        if short and turn and shares[trouble][0] >= LEAST:
            continue
        with world.trouble(zip(TROUBLES[trouble], several)):
            half = during / 2
            first, second = world.rate(half), world.rate(half)
        after = world.rate(alone)
        rates.append(after)
        base = median([before, after])
        share = (first + second) / 2 / base
        print(
            f"   {world.names} {trouble} {turn + 1}: {before:.1f}/s, then {first:.1f}/s and {second:.1f}/s "
            f"beside {world.last} of A, then {after:.1f}/s: {share:.3f}",
            flush=True,
        )
        shares.setdefault(trouble, []).append(share)
        before = after
    name = f"isolation.{world.names}"
    report.figure(f"{name}.alone", median(rates), "messages/s")
    for trouble, found in shares.items():
        if len(found) > 1:
            report.figure(f"{name}.{trouble}.least", min(found), "of B's rate")
        report.least(f"{name}.{trouble}", median(found), "of B's rate", LEAST)
    suspended = lines_with(world.postfix.log, "delivery temporarily suspended")
    report.none(f"{name}.suspended", len(suspended), "lines")
    deferred = world.deferred()
    report.none(f"{name}.b-deferred", len(deferred), "lines")
    for line in [*suspended[:5], *deferred[:5]]:
        print("  ", line, flush=True)


class World:
    """A gateway with the partners, Postfix before it and the sink behind it; mail for B flows all the time."""

    def __init__(self, rig, names, company, dns, partners):
        self.rig, self.names, self.dns = rig, names, dns
        self.sink = Sink(rig, f"{names}/sink", lambda: DELAY)
        self.gateway = gateway = PlainGateway(rig, f"{names}/gateway", company)
        addresses = ["127.0.0.1"]
        if names == "separate":
            addresses += [f"127.0.1.{n + 1}" for n in range(len(partners))]
        gateway.addresses = addresses
        gateway.start(self.sink.url, self.sink.url, dns)
        transports = [
            (domain, f"smtp:[{addresses[(n + 1) % len(addresses)]}]:{gateway.inside_port}")
            for n, domain in enumerate(partners)
        ]
        self.postfix = Postfix(
            rig, f"{names}/postfix", f"smtp:[127.0.0.1]:{gateway.inside_port}", transports=transports, **POSTFIX
        )
        self.stopped = threading.Event()
        self.last = 0  # messages for A in the last trouble
        self.well = Feed(self.postfix.port, [B], self.stopped, lambda sent: sent - self.sink.messages(B) < AHEAD)

    def stop(self):
        """Ends the load and the servers."""
        self.stopped.set()
        self.well.join()
        for process in reversed(self.rig.processes[:]):
            process.stop()

    def rate(self, seconds):
        """What B gets a second, during so many seconds."""
        count, begin = self.sink.messages(B), time.monotonic()
        time.sleep(seconds)
        self.well.check()
        return (self.sink.messages(B) - count) / (time.monotonic() - begin)

    @contextlib.contextmanager
    def trouble(self, troubles):
        """Mail for the domains of A, each in its trouble; then the trouble is over and their mail is gone."""
        domains = []
        for trouble, domain in troubles:
            domains.append(domain)
            if trouble == "dns":
                self.dns.silent |= {domain}
            else:
                self.sink.trouble[domain] = Trouble(*trouble.split())
        over = threading.Event()
        begin = time.monotonic()
        feed = Feed(self.postfix.port, domains, over, lambda sent: sent < (time.monotonic() - begin) * RATE_OF_A)
        try:
            yield
        finally:
            over.set()
            feed.join()
            feed.check()
        self.last = feed.sent
        for domain in domains:
            if domain in self.sink.trouble:
                self.sink.trouble[domain].over.set()
        wait_for("A's mail to be gone", lambda: not self._forget(domains), 30)
        time.sleep(2)

    def _forget(self, domains):
        """Deletes what is queued for these domains; how much there was."""
        conf = ["-c", str(self.postfix.conf)]
        listed = subprocess.run(["postqueue", *conf, "-j"], capture_output=True, text=True, check=True).stdout
        ids = [
            entry["queue_id"]
            for entry in map(json.loads, listed.splitlines())
            if any(r["address"].rpartition("@")[2] in domains for r in entry["recipients"])
        ]
        subprocess.run(["postsuper", *conf, "-d", "-"], input="\n".join(ids), capture_output=True, text=True)
        return len(ids)

    def deferred(self):
        """Lines of Postfix's log in which B's mail had to wait."""
        return [line for line in lines_with(self.postfix.log, f"@{B}>") if "status=deferred" in line]


class Feed:
    """Hands Postfix a message for each domain in turn whenever `due` says so."""

    def __init__(self, port, domains, stopped, due):
        self.port, self.domains, self.stopped, self.due = port, domains, stopped, due
        self.sent, self.failure = 0, None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def join(self):
        """Waits for its end."""
        self.thread.join()

    def check(self):
        """RigError if it could not go on."""
        if self.failure:
            raise RigError(f"mail for {self.domains[0]}: {self.failure}")

    def _run(self):
        body = "".join(f"{n:070}\r\n" for n in range(40))
        try:
            with Client(self.port) as client:
                while not self.stopped.is_set():
                    if not self.due(self.sent):
                        time.sleep(0.01)
                        continue
                    domain = self.domains[self.sent % len(self.domains)]
                    head = f"From: <{ALICE}>\r\nTo: <user@{domain}>\r\nMessage-ID: <{self.sent}@{domain}>\r\n"
                    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
                    client.send_message(ALICE, [f"user@{domain}"], f"{head}Date: {date}\r\n\r\n{body}".encode())
                    self.sent += 1
        except Exception as error:  # told by `check`, in the thread that can
            self.failure = error
