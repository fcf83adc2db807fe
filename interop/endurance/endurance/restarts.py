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
    # Gateway 2 stands behind gateway 1, and nothing that ends behind gateway 2.
    put_off = [a for c in clients[:2] for a in c.put_off]
    wrong = [a for a in put_off if not due(a, down[1])]
    report.figure(f"{name}.deferred-behind", len(put_off) - len(wrong), "messages")
    wrong += clients[2].put_off
    report.none(f"{name}.unfinished", len(wrong), "messages")
    handed = deferrals(world.handed)
    wrong_taps = [a for a in handed if not due(a, down[1])]
    report.figure(f"{name}.handed.deferred-behind", len(handed) - len(wrong_taps), "answers")
    wrong_taps += deferrals(world.direct) + deferrals(world.relayed)
    report.none(f"{name}.taps.unfinished", len(wrong_taps), "answers")
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
    for what in [line for c in clients for line in c.said][:20] + wrong[:5] + wrong_taps[:5] + lost[:5]:
        print("  ", what, flush=True)
    world.stop()


def deferrals(tap):
    """Every 4xx of the server behind this proxy to a transaction or its commands."""
    return tap.put_off + [answer for answer in tap.answers if answer.reply.startswith("4")]


def due(answer, down):
    """Whether a 4xx of gateway 1 is the right answer: gateway 2, straight behind, was down meanwhile, and it says just that.

    4.4.x is about the way on (RFC 3463 section 3.5). Exim takes what is for the other domain all the while, the sink what is in clear.
    """
    behind = any(rcpt.endswith(f"@{TWO}") for rcpt in answer.rcpt)
    way = re.match(r"4\d\d[ -]4\.4\.\d", answer.reply) and not answer.reply.startswith("421")
    return bool(behind and way) and any(answer.begun <= end and begin <= answer.at for begin, end in down)


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
