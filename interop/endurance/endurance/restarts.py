"""Orderly restarts, and reloads, of either gateway under load: nobody who has sent DATA is left without an answer."""

import contextlib
import random
import re
import signal
import time

from rig.process import RigError, wait_for
from rig.smtp import Client

from .clients import Clients
from .report import lines_with
from .world import ALICE, CLEAR, TWO, Load, World

POSTFIX = {"default_destination_concurrency_failed_cohort_limit": "1000"}

# `timeouts.shutdown` of the gateways, its default: what is still open then is cut off.
SHUTDOWN = 30.0  # s

# What Postfix says when its message has gone out and no answer came, or DATA was not answered.
LOST = (
    "while sending end of data",
    "after sending end of data",
    "while sending message body",
    "while sending DATA command",
    "while receiving the DATA",
)


def measure(rig, report, binary, seed, rounds, reload):
    """So many restarts (or reloads) of either gateway in turn."""
    name = "reloads" if reload else "restarts"
    rng = random.Random(seed)
    world = World(rig, binary, name, POSTFIX, delay=0.3, seed=seed)
    load = Load(world, seed, per_second=6)
    clients = [
        Clients(world.one.inside_port, ALICE, TWO, "sealed", 4, seed),
        Clients(world.one.inside_port, ALICE, CLEAR, "clear", 2, seed + 1),
        Clients(world.two.outside_port, f"eve@{CLEAR}", TWO, "inbound", 4, seed + 2),
    ]
    # The gateway that these clients speak to, and the one behind it.
    behind = dict(zip(clients, (1, None, None)))
    down = ([], [])  # for each gateway, from SIGTERM until it serves again
    unclean, in_data, longest = 0, 0, 0.0
    for number in range(rounds):
        gateway = world.gateways[number % 2]
        accepted = [c.count["accepted"] for c in clients]
        wait_for("every client's mail", lambda: all(c.count["accepted"] > n for c, n in zip(clients, accepted)), 60)
        time.sleep(rng.uniform(0, 0.7))
        mine = clients[:2] if number % 2 == 0 else clients[2:]
        in_data += sum(c.in_data for c in mine)
        begin = time.monotonic()
        if reload:
            renew(gateway, number)
        else:
            unclean += restart(gateway) != 0
            down[number % 2].append((begin, time.monotonic()))
            longest = max(longest, time.monotonic() - begin)
    load.stop()
    for one in clients:
        one.stop()
    world.wait_empty(120)

    count = {what: sum(c.count[what] for c in clients) for what in clients[0].count}
    report.figure(f"{name}.number", rounds, name)
    report.figure(f"{name}.in-data", in_data, "connections")
    for what in ("connections", "accepted", "deferred"):
        report.figure(f"{name}.{what}", count[what], "messages" if what != "connections" else what)
    report.figure(f"{name}.postfix", load.messages, "messages")
    excused, unfinished = sort_put_off(behind, down)
    report.figure(f"{name}.deferred-after-data", excused, "messages")
    report.none(f"{name}.unfinished", len(unfinished), "messages")
    dots = [a for tap in (world.direct, world.relayed) for a in tap.answers if a.reply.startswith("4")]
    report.none(f"{name}.taps.unfinished", len(dots), "transactions")
    if not reload:
        report.most(f"{name}.longest", longest, "s", SHUTDOWN)
        report.figure(f"{name}.dismissed", count["dismissed"], "connections")
        report.none(f"{name}.unclean", unclean, "exits")
    report.none(f"{name}.lost-after-data", count["lost"], "connections")
    report.none(f"{name}.dropped", count["dropped"], "connections")
    if reload:
        report.none(f"{name}.dismissed", count["dismissed"], "connections")
        report.none(f"{name}.unconnected", count["unconnected"], "connections")
    report.none(f"{name}.refused", count["refused"], "messages")
    taps = (world.handed, world.switch, world.direct, world.relayed)
    report.none(f"{name}.taps.lost-after-data", sum(tap.lost for tap in taps), "transactions")
    lost = lines_with(world.postfix.log, *LOST)
    report.none(f"{name}.postfix.lost-after-data", len(lost), "lines")
    mail = load.rcpt + [rcpt for c in clients for rcpt in c.taken]
    report.none(f"{name}.lost", sum(not world.copies(rcpt) for rcpt in mail), "recipients")
    report.none(f"{name}.twice", sum(len(world.copies(rcpt)) > 1 for rcpt in mail), "recipients")
    for what in [line for c in clients for line in c.said][:20] + unfinished[:5] + [str(a) for a in dots[:5]] + lost[:5]:
        print("  ", what, flush=True)
    world.stop()


def sort_put_off(behind, down):
    """How many 4xx after DATA are due to the gateway behind, which was down meanwhile; and the others, which must not be.

    A gateway that gets SIGTERM goes on with every transaction that it has begun.
    """
    excused, unfinished = 0, []
    for clients, at in behind.items():
        for begun, answered, reply in clients.put_off:
            if at is not None and any(begun <= end and begin <= answered for begin, end in down[at]):
                excused += 1
            else:
                unfinished.append(f"after {answered - begun:.3f} s {reply}")
    return excused, unfinished


def renew(gateway, number):
    """Has the gateway read another configuration; returns when it greets by its new name."""
    name = f"gateway{number}.{gateway.keys.domain}"
    text = re.sub(r'^hostname = ".*"$', f'hostname = "{name}"', gateway.config.read_text(), flags=re.M)
    gateway.config.write_text(text)
    gateway.process.child.send_signal(signal.SIGHUP)

    def renewed():
        gateway.process.check_alive()
        with contextlib.closing(Client(gateway.inside_port)) as client:
            return name in client.greeting

    wait_for("the new configuration", renewed)


def restart(gateway):
    """Ends the gateway as systemd does and starts it again; its exit status."""
    gateway.process.child.send_signal(signal.SIGTERM)
    try:
        status = gateway.process.child.wait(60)
    except Exception as error:
        raise RigError(f"{gateway.name} does not end") from error
    gateway.process.stop()
    gateway.restart()
    return status
