"""Two companies in line: what kills and restarts are done to.

    client -> Postfix -> [handed] -> gateway 1 -> switch +------------------> [direct] -> gateway 2 -> inside
                                                         +-> Exim -----------> [relayed] -> gateway 2
                                                         +-> clear

In brackets: proxies that note answers. The switch sends company2.example straight on, company3.example by
way of Exim, and mail for clear.example, which has no keys, to a sink of its own.
"""

import random
import threading
import time

from bars.company import Company
from bars.dns import Dns
from rig.exim import Exim
from rig.gateway import Gateway
from rig.postfix import Postfix
from rig.process import wait_for
from rig.smtp import Client, ReplyError

from .proxy import Proxy
from .sink import Sink

ONE, TWO, THREE, CLEAR = "company1.example", "company2.example", "company3.example", "clear.example"
ALICE = f"alice@{ONE}"


class PlainGateway(Gateway):
    """A gateway with the log of a real one, further domains, and further addresses inside."""

    others = ()
    addresses = ("127.0.0.1",)

    def restart(self):
        """Serves with the configuration of this measurement."""
        text = self.config.read_text()
        if 'level = "debug"' in text:
            more = "".join(
                f'[[domain]]\nname = "{o.domain}"\nkeys = "{o.directory / "keys" / o.domain}"\n' for o in self.others
            )
            text = text.replace('level = "debug"', 'level = "info"')
            text = text.replace("[outbound]\n", f'{more}[outbound]\ndomain = "{self.keys.domain}"\n')
            inside = ", ".join(f'"{address}:{self.inside_port}"' for address in self.addresses)
            text = text.replace(f'listen = ["127.0.0.1:{self.inside_port}"]', f"listen = [{inside}]")
            self.config.write_text(text)
        super().restart()


class World:
    """Everything up to the sinks; `more` goes into Postfix's main.cf."""

    def __init__(self, rig, binary, name, more=None, delay=0.02, seed=0):
        self.rig = rig
        rng = random.Random(seed)
        self.companies = [Company(rig, binary, domain) for domain in (ONE, TWO, THREE)]
        self.dns = Dns(rig, {k: v for company in self.companies for k, v in company.records().items()})
        # An MTA takes the message, and says so a little later.
        lag = lambda: rng.uniform(0, delay)
        self.inside, self.clear, self.home = Sink(rig, "inside", lag), Sink(rig, "clear", lag), Sink(rig, "home")
        one = self.one = PlainGateway(rig, f"{name}/gateway1", self.companies[0])
        two = self.two = PlainGateway(rig, f"{name}/gateway2", self.companies[1])
        two.others = self.companies[2:]
        self.gateways = [one, two]
        self.direct = Proxy(rig, "direct", two.outside_port)
        self.relayed = Proxy(rig, "relayed", two.outside_port)
        self.exim = Exim(rig, f"{name}/exim", {"*": (self.relayed.port, "smtp")})
        ways = {TWO: self.direct.port, THREE: self.exim.port, CLEAR: self.clear.port}
        self.switch = Proxy(rig, "switch", lambda rcpt: ways.get(rcpt.partition("@")[2], self.home.port))
        self.handed = Proxy(rig, "handed", one.inside_port)
        one.start(self.home.url, f"smtp://127.0.0.1:{self.switch.port}", self.dns)
        two.start(self.inside.url, self.home.url, self.dns)
        self.postfix = Postfix(rig, f"{name}/postfix", f"smtp:[127.0.0.1]:{self.handed.port}", **(more or {}))

    def copies(self, rcpt):
        """For each copy for this recipient, when its connection was opened and when it was taken."""
        return self.sink(rcpt).taken.get(rcpt, [])

    def sink(self, rcpt):
        """Where its mail ends."""
        return self.clear if rcpt.endswith(f"@{CLEAR}") else self.inside

    def wait_empty(self, seconds):
        """Waits until neither MTA has anything queued."""
        wait_for("empty queues", lambda: not self.postfix.queued() and not self.exim.queued(), seconds)

    def stop(self):
        """Ends the servers of this world."""
        for process in reversed(self.rig.processes[:]):
            process.stop()
        self.rig.end_orphans()


class Load:
    """Hands messages to Postfix: each to one to four recipients of its own, at several domains.

    Waits while `most` recipients have not got theirs.
    """

    def __init__(self, world, seed, per_second, most=150, domains=(TWO, THREE, CLEAR), tag="m"):
        self.world, self.rng, self.pause, self.most = world, random.Random(seed), 1 / per_second, most
        self.domains, self.tag = domains, tag
        self.messages, self.rcpt = 0, []
        self.stopped = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self):
        """Sends no more; raises what went wrong."""
        self.stopped.set()
        self.thread.join()
        if self.failure:
            raise self.failure

    def open(self):
        """Recipients that have got nothing yet."""
        taken = len(self.world.inside.taken) + len(self.world.clear.taken)
        return len(self.rcpt) - taken

    def _run(self):
        try:
            with Client(self.world.postfix.port) as client:
                while not self.stopped.wait(self.pause):
                    if self.open() < self.most:
                        self._send(client)
        except (OSError, ReplyError) as error:
            self.failure = error

    def _send(self, client):
        self.messages += 1
        count = self.rng.choice((1, 1, 2, 3, 4))
        rcpt = [f"{self.tag}{self.messages:06}.{n}@{self.rng.choice(self.domains)}" for n in range(count)]
        size = int(self.rng.paretovariate(1.0) * 1500) % 200_000
        body = "".join(f"{self.rng.getrandbits(280):070x}\r\n" for _ in range(size // 72 + 1))
        data = (
            f"From: <{ALICE}>\r\nTo: <{rcpt[0]}>\r\nSubject: load\r\nMessage-ID: <{self.tag}{self.messages:06}@{ONE}>\r\n"
            f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S +0000', time.gmtime())}\r\n\r\n{body}"
        )
        client.send_message(ALICE, rcpt, data.encode())
        self.rcpt += rcpt
