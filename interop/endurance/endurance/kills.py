"""`kill -9` of either gateway at random moments under load.

A process that is killed after the next hop has taken a message, and before this is in its ledger, cannot know it: SMTP's
one window (RFC 1047). Seen from outside: a copy came from a process that was killed, and the process gave no answer about it
upstream, of whatever kind: it was sent the final dot and stood there. Only then may another copy follow. Gateway 2 stands
before `inside` and gateway 1 before `clear`. A kill of gateway 1 excuses no second copy of a sealed message, since the retry bears
the same delivery id.
"""

import os
import random
import signal
import time
from dataclasses import dataclass, field

from rig.process import RigError, wait_for

from .world import CLEAR, Load, World

# Kills are not to make Postfix wait for a quieter moment.
POSTFIX = {"default_destination_concurrency_failed_cohort_limit": "1000", "smtp_connection_cache_on_demand": "yes"}

ONE, TWO = 0, 1
NAMES = {ONE: "gateway 1", TWO: "gateway 2", "switch": "switch"}

# From the next hop's answer to one's own.
LONGEST = 1.0  # s


def measure(rig, report, binary, seed, kills):
    """Kills so many times, then waits for the rest of the mail and counts."""
    rng = random.Random(seed)
    world = World(rig, binary, "kills", POSTFIX, seed=seed)
    load = Load(world, seed, per_second=25)
    lives = [[Life(time.monotonic())], [Life(time.monotonic())]]
    begin = time.monotonic()
    for _ in range(kills):
        which = rng.randrange(2)
        gateway = world.gateways[which]
        taps = [world.handed] if which == 0 else [world.direct, world.relayed]
        seen = sum(len(tap.answers) for tap in taps)
        wait_for("mail through it again", lambda: sum(len(t.answers) for t in taps) > seen, 60)
        time.sleep(rng.uniform(0, 0.6))
        life = lives[which][-1]
        freeze(gateway)
        life.at_dot = {transaction(rcpt) for tap in taps for rcpts in tap.waiting() for rcpt in rcpts}
        gateway.process.child.kill()
        life.end = time.monotonic()
        gateway.process.stop()
        lives[which].append(Life(time.monotonic()))
        gateway.restart()
    load.stop()
    lasted = time.monotonic() - begin
    world.wait_empty(120)

    report.figure("kills.gateway1", len(lives[0]) - 1, "kills")
    report.figure("kills.gateway2", len(lives[1]) - 1, "kills")
    # Without any, nothing below says anything of the window.
    report.least("kills.at-dot", sum(bool(life.at_dot) for which in lives for life in which), "kills", 1)
    report.figure("kills.time", round(lasted), "s")
    report.figure("kills.messages", load.messages, "messages")
    report.figure("kills.recipients", len(load.rcpt), "recipients")
    count = Count(world, lives)
    for rcpt in load.rcpt:
        count.look(rcpt)
    report.none("kills.lost", len(count.lost), "recipients")
    report.figure("kills.window.sealed", len(count.window[TWO]), "copies")
    report.figure("kills.window.clear", len(count.window[ONE]), "copies")
    report.figure("kills.window.longest", max([0.0, *count.window[ONE], *count.window[TWO]]), "s")
    beyond = count.beyond()
    report.none("kills.window.beyond", len(beyond), "transactions")
    report.none("kills.twice", len(count.outside), "copies")
    report.none("kills.strays", strays(world, load), "recipients")
    report.none("kills.bounces", len(world.home.taken), "recipients")
    for what in [*count.lost, *beyond, *count.outside][:20]:
        print("  ", what, flush=True)
    world.stop()


@dataclass
class Life:
    """A process of a gateway."""

    start: float
    end: float = None  # killed
    at_dot: set = field(default_factory=set)  # transactions whose final dot it was sent and had not answered then
    doubled: set = field(default_factory=set)  # transactions in its window that came again


def freeze(gateway):
    """Stops every thread of the gateway, so that what is seen of it now is so when it is killed."""
    child = gateway.process.child
    child.send_signal(signal.SIGSTOP)
    seen = os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    if seen.si_code != os.CLD_STOPPED:
        gateway.process.check_alive()
        raise RigError(f"{gateway.name} does not stop")


def transaction(rcpt):
    """All recipients of a message at one domain are in one transaction."""
    return rcpt.partition(".")[0], rcpt.partition("@")[2]


def strays(world, load):
    """Recipients at the sinks that were never sent to."""
    return len((set(world.inside.taken) | set(world.clear.taken)) - set(load.rcpt))


class Count:
    """Sorts every copy that was taken."""

    def __init__(self, world, lives):
        self.world, self.lives = world, lives
        self.lost, self.outside, self.window = [], [], ([], [])
        self.answers = {}
        taps = {ONE: [world.handed], TWO: [world.direct, world.relayed], "switch": [world.switch]}
        for name, proxies in taps.items():
            index = self.answers[name] = {}
            for answer in (a for proxy in proxies for a in proxy.answers):
                for rcpt in answer.rcpt:
                    index.setdefault(rcpt, []).append(answer.at)

    def look(self, rcpt):
        """One recipient of one message."""
        copies = self.world.copies(rcpt)
        if not copies:
            self.lost.append(f"{rcpt}: never taken")
        for (opened, taken), (_, again) in zip(copies, copies[1:]):
            self.sort(rcpt, opened, taken, again)

    def sort(self, rcpt, opened, taken, again):
        """A copy that another came after: whether its process was killed in the window."""
        front = ONE if rcpt.endswith(f"@{CLEAR}") else TWO
        lives = self.lives[front]
        # What a process had sent when it was killed is read a little later.
        at = max((n for n, life in enumerate(lives) if life.start <= opened), default=0)
        end, after = lives[at].end, lives[at + 1].start if lives[at].end else None
        if end and again > end and end - taken < LONGEST and not self.answered(front, rcpt, taken, after):
            self.window[front].append(max(0.0, end - taken))
            lives[at].doubled.add(transaction(rcpt))
        else:
            self.outside.append(f"{rcpt}: taken, and again after {again - taken:.3f} s; {self.story(rcpt, taken, again)}")

    def beyond(self):
        """Transactions that came again though they were not at the final dot at the kill."""
        return [
            f"{message} at {domain}: not at the dot at kill {which + 1}"
            for which, lives in enumerate(self.lives)
            for life in lives
            for message, domain in sorted(life.doubled - life.at_dot)
        ]

    def answered(self, name, rcpt, begin, end):
        """Whether the message of this recipient was answered in between."""
        return any(begin <= at <= end for at in self.answers[name].get(rcpt, []))

    def story(self, rcpt, taken, again):
        """What happened around a copy that should not be."""
        events = [(at, f"answer of {NAMES[name]}") for name in NAMES for at in self.answers[name].get(rcpt, [])]
        events += [
            (life.end, f"kill {which + 1}")
            for which, lives in enumerate(self.lives)
            for life in lives
            if life.end and (abs(life.end - taken) < 1 or abs(life.end - again) < 1)
        ]
        return ", ".join(f"{what} {at - taken:+.3f}" for at, what in sorted(events))
