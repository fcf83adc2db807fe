"""`kill -9` of either gateway at random moments under load.

A gateway that is killed after the next hop has taken a message, and before its answer has gone upstream, cannot
know whether it may say so: SMTP's one window (RFC 1047). What this leaves is known at the sink and upstream of the
gateway in front of it: a copy was taken, the gateway was killed, and no 250 for it had gone upstream before the next
copy came. A second copy is in the window only if all three hold.

Gateway 2 stands in front of `inside`. Gateway 1 stands in front of `clear`. A kill of gateway 1 does not excuse a
second copy of a sealed message, since the retry bears the same delivery id, unless gateway 1 had booked the answer
and was killed before it was read: those are counted on their own.
"""

import random
import signal
import time

from rig.process import wait_for

from .world import CLEAR, Load, World

# Kills are not to make Postfix wait for a quieter moment.
POSTFIX = {"default_destination_concurrency_failed_cohort_limit": "1000", "smtp_connection_cache_on_demand": "yes"}

# No transaction of this load is longer.
LONGEST = 3.0


def measure(rig, report, binary, seed, kills):
    """Kills so many times, then waits for the rest of the mail and counts."""
    rng = random.Random(seed)
    world = World(rig, binary, "kills", POSTFIX, seed=seed)
    load = Load(world, seed, per_second=25)
    killed = []  # (when, which gateway, whether mail was on its way through it)
    begin = time.monotonic()
    for _ in range(kills):
        which = rng.randrange(2)
        gateway = world.gateways[which]
        taps = [world.handed] if which == 0 else [world.direct, world.relayed]
        seen = sum(len(tap.answers) for tap in taps)
        wait_for("mail through it again", lambda: sum(len(t.answers) for t in taps) > seen, 60)
        time.sleep(rng.uniform(0, 0.6))
        busy = sum(tap.busy for tap in taps)
        killed.append((time.monotonic(), which, busy > 0))
        gateway.process.stop(signal.SIGKILL)
        gateway.restart()
    load.stop()
    lasted = time.monotonic() - begin
    world.wait_empty(120)

    report.figure("kills.kills", len(killed), "kills")
    report.figure("kills.gateway1", sum(which == 0 for _, which, _ in killed), "kills")
    report.figure("kills.gateway2", sum(which == 1 for _, which, _ in killed), "kills")
    report.figure("kills.in-data", sum(busy for _, _, busy in killed), "kills")
    report.figure("kills.time", round(lasted), "s")
    report.figure("kills.messages", load.messages, "messages")
    report.figure("kills.recipients", len(load.rcpt), "recipients")
    count = Count(world, killed)
    for rcpt in load.rcpt:
        count.look(rcpt)
    report.none("kills.lost", len(count.lost), "recipients")
    report.figure("kills.window.gateway2", count.window[1], "copies")
    report.figure("kills.window.gateway1.clear", count.window[0], "copies")
    report.figure("kills.window.longest", count.longest, "s")
    report.none("kills.told", len(count.told), "copies")
    report.none("kills.twice", len(count.outside), "copies")
    report.none("kills.strays", strays(world, load), "recipients")
    report.none("kills.bounces", len(world.home.taken), "recipients")
    for what in [*count.lost, *count.told, *count.outside][:20]:
        print("  ", what, flush=True)
    world.stop()


def strays(world, load):
    """Recipients at the sinks that were never sent to."""
    return len((set(world.inside.taken) | set(world.clear.taken)) - set(load.rcpt))


class Count:
    """Sorts every copy that was taken."""

    def __init__(self, world, killed):
        self.world, self.killed = world, killed
        self.lost, self.told, self.outside = [], [], []
        self.window, self.longest = [0, 0], 0.0
        self.answers = {}
        taps = {"handed": [world.handed], "switch": [world.switch], "two": [world.direct, world.relayed]}
        for name, proxies in taps.items():
            index = self.answers[name] = {}
            for answer in (a for proxy in proxies for a in proxy.answers if a.reply.startswith("2")):
                for rcpt in answer.rcpt:
                    index.setdefault(rcpt, []).append(answer.at)

    def look(self, rcpt):
        """One recipient of one message."""
        copies = self.world.copies(rcpt)
        if not copies:
            self.lost.append(f"{rcpt}: never taken")
        for first, second in zip(copies, copies[1:]):
            self.sort(rcpt, first, second)

    def sort(self, rcpt, first, second):
        """A copy after another: where it comes from."""
        front, name = (0, "handed") if rcpt.endswith(f"@{CLEAR}") else (1, "two")
        if (at := self.kill(front, first, second)) and not self.answered(name, rcpt, first, second):
            self.window[front] += 1
            self.longest = max(self.longest, at - first)
        elif (
            front == 1
            and self.kill(0, first, second)
            and self.answered("switch", rcpt, first, second)
            and not self.answered("handed", rcpt, first, second)
        ):
            self.told.append(f"{rcpt}: booked as told, {second - first:.3f} s between the copies")
        else:
            kills = [f"{which + 1} at {at - first:+.3f}" for at, which, _ in self.killed if first - 1 < at < second + 1]
            self.outside.append(f"{rcpt}: {second - first:.3f} s between the copies; kills: {kills}")

    def kill(self, which, first, second):
        """When this gateway was killed soon after `first` and before `second`."""
        last = min(second, first + LONGEST)
        return next((at for at, gateway, _ in self.killed if gateway == which and first <= at <= last), None)

    def answered(self, name, rcpt, first, second):
        """Whether a 250 for this recipient was given between the copies."""
        return any(first <= at <= second for at in self.answers[name].get(rcpt, []))
