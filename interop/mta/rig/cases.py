"""The cases, in groups that each start a chain of their own."""

import contextlib
import re
import signal
import time

from . import bypass, checks, messages, signing, smtp
from .chain import CLEAR, NOWHERE, ONE, TWO, Chain, passed
from .checks import require
from .dns import Dns, txt_line
from .gateway import AUTHSERV, Keys
from .process import wait_for

ALICE = f"alice@{ONE}"
RSS_LIMIT = 48 << 20  # octets: a gateway stays below it whatever passes


class Setting:
    """What all groups share: keys, DNS, the DKIM key, the seed."""

    def __init__(self, rig, binary, seed, signed):
        self.rig, self.seed = rig, seed
        self.keys = [Keys(rig, binary, domain) for domain in (ONE, TWO)] if binary else None
        self.sealed = bool(binary)
        self.dkim_private, self.dkim_record = messages.dkim_key()
        lines = {domain: [] for domain in (ONE, TWO, CLEAR, NOWHERE)}
        for keys in self.keys or []:
            lines[keys.domain] += keys.zone
        lines[ONE] += [txt_line("rig._domainkey", self.dkim_record), f"@ IN MX 10 {AUTHSERV}.{ONE}."]
        self.signers = []
        if self.sealed:
            self.signers = [signing.Signer(self.keys[0], "mta-seal"), signing.Signer(self.keys[0], "ed25519", "--ed25519")]
        for signer in self.signers:
            lines[ONE] += signer.zone
        self.dns = Dns(rig, "dns", lines, signed)

    def maker(self):
        return messages.Maker(self.seed)


def run(rig, report, binary, seed, signed):
    """Runs every wanted group, and says which cannot be run without gateways."""
    made = []
    if not report.case("start/dns", lambda: made.append(Setting(rig, binary, seed, signed))):
        return
    for name, group in GROUPS.items():
        if report.wanted(name) and not binary and name in NEED_GATEWAYS:
            report.skip(name, "it needs the gateways")
        elif report.wanted(name):
            group(made[0], report, name)


@contextlib.contextmanager
def running(setting, report, name, **options):
    """A chain for the block, or None when it did not start (which is a failed case)."""
    made = []
    started = report.case(
        f"{name}/start",
        lambda: made.append(Chain(setting.rig, name, setting.dns, keys=setting.keys, **options)),
    )
    keep = setting.dns.process
    try:
        yield made[0] if started else None
    finally:
        for process in reversed(setting.rig.processes[:]):
            if process is not keep:
                process.stop()


def inject(chain, message):
    """Hands a message to the first Postfix as a client of company 1."""
    params = ["BODY=8BITMIME"] if message.body8 else []
    smtp.send(chain.port, message.mail, [message.to], message.data, mail_params=params)


def check_message(setting, chain, message, seconds):
    """One message that was injected: arrived once, octet for octet, unseen on the way."""
    arrived = chain.arrival(message.to, seconds)
    handed = chain.handed_over(message.to)
    require(handed.data.endswith(message.data), "the first Postfix changed it: " + checks.difference(handed.data, message.data))
    require(handed.mail == message.mail, f"reverse-path {handed.mail}")
    for canary in message.canaries:
        require(checks.visible(canary, handed.data), f"canary {canary} is not even in what was handed over")
    trace = checks.same_but_trace(arrived, handed.data, results=1 if setting.sealed else 0)
    if setting.sealed:
        carrier = passed(chain.relayed, message.to)
        checks.sealed_from(message.canaries, carrier.data, "the relay's copy")
        require(b"application/mta-seal" in carrier.data[:8192].lower(), "the relay's copy is no carrier")
        results = next(octets for name, octets in trace if name == b"authentication-results")
        require(b"mta-seal=pass" in results, f"result: {results!r}")
    elif message.canaries:
        bare = passed(chain.relayed, message.to)
        require(checks.visible(message.canaries[0], bare.data), "the tap does not see the bare canary")
    if message.dkim:
        checks.dkim_valid(arrived, setting.dns.txt)


def send_all(setting, report, chain, name, batch):
    """Injects a batch at once, then checks each message."""
    batch = [m for m in batch if setting.sealed or not m.sealed_only]
    sent = [m for m in batch if report.case(f"{name}/{m.name} sent", lambda: inject(chain, m), chain)]
    deadline = time.monotonic() + 60  # for the batch: one that is stuck must not cost a minute each
    for message in sent:
        report.case(
            f"{name}/{message.name}",
            lambda: check_message(setting, chain, message, max(2, deadline - time.monotonic())),
            chain,
        )


def check_wire(setting, chain, canaries):
    """No canary anywhere in what the relay was sent, commands included."""
    for tap in (chain.relayed, chain.returned):
        wire = tap.wire()
        for canary in canaries:
            seen = checks.visible(canary, wire)
            require(not seen, f"{tap.name} shows canary {canary} ({', '.join(seen)})")


def settle(setting, report, chain, name, canaries):
    """What closes a group: nothing queued, nothing seen, gateways small."""
    report.case(f"{name}/queues empty", chain.wait_empty, chain)
    if setting.sealed:
        report.case(f"{name}/no canary on any wire", lambda: check_wire(setting, chain, canaries))
        for gateway in chain.gateways:

            def small(gateway=gateway):
                peak = gateway.peak_rss()
                require(0 < peak < RSS_LIMIT, f"{peak / 2**20:.1f} MB resident")
                return f"{peak / 2**20:.1f} MB"

            report.case(f"{name}/{gateway.name.split('/')[-1]} resident", small)


def dovecot(setting, report, name):
    """The whole set into Dovecot by LMTP over TCP, then the cases about recipients and bounces."""
    maker = setting.maker()
    batch = messages.common(maker) + messages.dkim_signed(maker, setting.dkim_private)
    big = messages.big(maker)
    users = [m.user for m in [*batch, big]] + ["to-several", "to-several-too", "to-bounce", "to-forged", "to-clear"]
    with running(setting, report, name, inside="dovecot", users=users) as chain:
        if not chain:
            return
        send_all(setting, report, chain, name, batch)
        canaries = [canary for m in batch for canary in m.canaries]

        def case(title, function):
            def wrapped():
                return function(setting, chain, maker, canaries)

            report.case(f"{name}/{title}", wrapped, chain)

        case("two recipients here, one elsewhere in clear", several)
        case("a bounce of the first Postfix is sealed", own_bounce)
        case("an unknown recipient bounces to the sender", unknown)
        if setting.sealed:
            case("a forged result inside is removed", forged_result)
            case("clear mail from outside is marked", clear_mail)
        if setting.sealed:  # before the big one, so that the search stays quick
            report.case(f"{name}/no canary on any wire so far", lambda: check_wire(setting, chain, canaries))
        send_all(setting, report, chain, name, [big])
        settle(setting, report, chain, name, big.canaries)


def several(setting, chain, maker, canaries):
    """One transaction, two domains: sealed for one, clear for the other."""
    message = maker.make("several", maker.text(5))
    local = [f"to-several@{TWO}", f"to-several-too@{TWO}"]
    bob = f"bob@{CLEAR}"
    smtp.send(chain.port, ALICE, [*local, bob], message.data)
    handed = chain.handed_over(bob)
    require(set(handed.rcpt) == {*local, bob}, f"handed over for {handed.rcpt}")
    for address in local:
        checks.same_but_trace(chain.arrival(address), handed.data, 1 if setting.sealed else 0)
    (clear,) = wait_for("the clear copy", lambda: chain.clear.messages(bob))
    checks.same_but_trace(clear.data, handed.data, 0)
    require(clear.mail == ALICE, f"clear copy from {clear.mail}")
    if setting.sealed:
        for t in chain.relayed.transactions():
            if set(t.rcpt) & set(local):
                require(bob not in t.rcpt, "one carrier for two domains")
                checks.sealed_from(message.canaries, t.data, "the relay's copy")
                require(b"bob@" not in t.data, "the carrier names the other recipient")


def own_bounce(setting, chain, maker, canaries):
    """Postfix's own DSN goes past content filters, not past the transport-level gateway."""
    message = maker.make("bounced", maker.text(5))
    to = f"to-bounce@{TWO}"
    smtp.send(chain.port, to, [f"nobody@{NOWHERE}"], message.data)
    arrived = chain.arrival(to)
    require(b"report-type=delivery-status" in arrived and message.canaries[0].encode() in arrived, "no DSN arrived")
    handed = chain.handed_over(to)
    require(handed.mail == "", f"DSN from {handed.mail}")
    checks.same_but_trace(arrived, handed.data, 1 if setting.sealed else 0)
    canaries += message.canaries
    if setting.sealed:
        carrier = passed(chain.relayed, to)
        checks.sealed_from(message.canaries, carrier.data, "the relay's copy of the DSN")


def unknown(setting, chain, maker, canaries):
    """Dovecot's 550 reaches the sender as a DSN that shows nothing of the message."""
    message = maker.make("unknown", maker.text(5))
    to = f"nosuchuser@{TWO}"
    smtp.send(chain.port, ALICE, [to], message.data)
    (bounce,) = wait_for("the bounce", lambda: chain.home.messages(ALICE))
    require(bounce.mail == "", f"bounce from {bounce.mail}")
    require(to.encode() in bounce.data and b"550" in bounce.data, "the bounce does not tell why")
    canaries += message.canaries
    if setting.sealed:
        checks.sealed_from(message.canaries, bounce.data, "the bounce")
    require(not chain.mailbox(to), "delivered all the same")


_FORGED = (
    f"Authentication-Results: {AUTHSERV}.{TWO};\r\n\tmta-seal=pass header.d=bank.example\r\n",
    f"authentication-results: (a comment) {AUTHSERV.upper()}.{TWO} (another) 1; mta-seal=pass\r\n",
)
_FOREIGN = "Authentication-Results: elsewhere.example; dkim=pass header.d=bank.example\r\n"


def forged_result(setting, chain, maker, canaries):
    """Fields that claim gateway 2's authserv-id go, comments and case notwithstanding; others stay."""
    message = maker.make("forged", maker.text(3), extra=_FORGED[0] + _FOREIGN + _FORGED[1])
    canaries += message.canaries
    inject(chain, message)
    arrived = chain.arrival(message.to)
    expected = chain.handed_over(message.to).data
    for field in _FORGED:
        require(field.encode() in expected, "the forged field was not even handed over")
        expected = expected.replace(field.encode(), b"")
    checks.same_but_trace(arrived, expected, 1)


def clear_mail(setting, chain, maker, canaries):
    """Ordinary mail of a domain without keys passes, marked `none`; forged results go here too."""
    message = maker.make("clear", maker.text(3), extra=_FORGED[0] + _FOREIGN)
    smtp.send(chain.exim.port, f"carol@{CLEAR}", [message.to], message.data)
    arrived = chain.arrival(message.to)
    relayed = passed(chain.delivered, message.to).data
    trace = checks.same_but_trace(arrived, relayed.replace(_FORGED[0].encode(), b""), 1)
    results = next(octets for name, octets in trace if name == b"authentication-results")
    require(b"mta-seal=none" in results, f"result: {results!r}")


def dovecot_unix(setting, report, name):
    """Into Dovecot by LMTP over its unix socket."""
    maker = setting.maker()
    batch = [m for m in messages.common(maker) if m.name in ("plain", "dots", "octets", "empty-body", "lines-998")]
    batch += messages.dkim_signed(maker, setting.dkim_private)[:1]
    with running(setting, report, name, inside="dovecot-unix", users=[m.user for m in batch]) as chain:
        if chain:
            send_all(setting, report, chain, name, batch)
            settle(setting, report, chain, name, [canary for m in batch for canary in m.canaries])


def postfix(setting, report, name):
    """The set into the Maildirs of a second Postfix, which bounces back through its gateway."""
    maker = setting.maker()
    batch = messages.common(maker) + messages.dkim_signed(maker, setting.dkim_private)
    with running(setting, report, name, inside="postfix", users=[m.user for m in batch]) as chain:
        if not chain:
            return
        send_all(setting, report, chain, name, batch)
        canaries = [canary for m in batch for canary in m.canaries]
        report.case(f"{name}/its bounce comes back", lambda: far_bounce(setting, chain, maker, canaries), chain)
        settle(setting, report, chain, name, canaries)


def far_bounce(setting, chain, maker, canaries):
    """Postfix 2 accepts, fails, and its DSN with the whole message returns through both gateways."""
    message = maker.make("broken", maker.text(5))
    smtp.send(chain.port, ALICE, [f"broken@{TWO}"], message.data)
    (bounce,) = wait_for("the bounce", lambda: chain.home.messages(ALICE))
    require(bounce.mail == "", f"bounce from {bounce.mail}")
    require(message.canaries[0].encode() in bounce.data, "the bounce has not the message")
    if setting.sealed:
        carrier = passed(chain.returned, ALICE)
        checks.sealed_from(message.canaries, carrier.data, "the relay's copy of the bounce")
    canaries += message.canaries


def faults(setting, report, name):
    """A next hop that refuses, defers and drops; servers that die: nothing lost, nothing twice."""
    maker = setting.maker()
    canaries = []
    with running(setting, report, name, inside="sink") as chain:
        if not chain:
            return
        sink, profile = chain.inside, chain.inside.profile

        def once(title, arrange, attempts=None):
            """The fault is arranged, a message sent: it arrives once, after a retry."""

            def function():
                message = maker.make(title.replace(" ", "-"), maker.text(30))
                canaries.extend(message.canaries)
                arrange(message)
                inject(chain, message)
                chain.arrival(message.to)
                chain.wait_empty()
                arrived = chain.arrival(message.to)
                handed = chain.handed_over(message.to)
                checks.same_but_trace(arrived, handed.data, 1 if setting.sealed else 0)
                if attempts is not None:
                    require(attempts(message), "the fault did not happen")

            report.case(f"{name}/{title}", function, chain)

        once(
            "deferred at RCPT",
            lambda m: profile.rcpt.update({m.to: ["450 4.2.1 later"] * 2}),
            lambda m: len([path for path, _ in sink.refused_rcpt if path == m.to]) == 2,
        )
        once(
            "deferred at DATA",
            lambda m: profile.data.extend(["451 4.3.0 later"]),
        )
        once(
            "deferred at the final dot",
            lambda m: profile.dot.extend(["451 4.3.0 later"] * 2),
            lambda m: len([t for t in sink.attempts if m.to in t.rcpt]) == 3,
        )
        once(
            "dropped in the middle of DATA",
            lambda m: setattr(profile, "drop_after", 500),
            lambda m: sink.dropped == 1,
        )

        def refused(title, arrange):
            def function():
                message = maker.make(title.replace(" ", "-"), maker.text(30))
                canaries.extend(message.canaries)
                before = len(chain.home.messages(ALICE))
                arrange(message)
                inject(chain, message)
                wait_for("the bounce", lambda: len(chain.home.messages(ALICE)) > before)
                bounce = chain.home.messages(ALICE)[-1]
                chain.wait_empty()
                require(message.to.encode() in bounce.data and b"552" in bounce.data, "the bounce does not tell why")
                require(not chain.mailbox(message.to), "delivered all the same")
                if setting.sealed:
                    checks.sealed_from(message.canaries, bounce.data, "the bounce")

            report.case(f"{name}/{title}", function, chain)

        refused("refused at RCPT", lambda m: profile.rcpt.update({m.to: "552 5.2.2 full"}))
        refused("refused at the final dot", lambda m: profile.dot.extend(["552 5.2.2 full"]))

        if setting.sealed:
            report.case(f"{name}/a carrier altered, redirected, replayed", lambda: attacked(chain, maker, canaries), chain)

        def relay_down():
            chain.exim.process.stop()
            chain.rig.end_orphans()
            message = maker.make("relay-down", maker.text(30))
            canaries.extend(message.canaries)
            inject(chain, message)
            wait_for("a deferral", lambda: "status=deferred" in chain.postfix.log_text())
            chain.exim.start()
            chain.arrival(message.to)
            chain.wait_empty()
            require(len(chain.mailbox(message.to)) == 1, "delivered twice")

        report.case(f"{name}/the relay is down for a while", relay_down, chain)
        if setting.sealed:
            for index, gateway in enumerate(chain.gateways, 1):
                report.case(
                    f"{name}/gateway {index} killed at work",
                    lambda: killed(chain, maker, gateway, canaries, f"killed-{index}"),
                    chain,
                )
        settle(setting, report, chain, name, canaries)


def attacked(chain, maker, canaries):
    """A relay keeps a carrier that was never delivered and tries what it can; last it relays it."""
    message = maker.make("attacked", maker.text(2000))
    canaries += message.canaries
    before = len(chain.home.messages(ALICE))
    chain.inside.profile.dot.append("552 5.2.2 full")
    inject(chain, message)
    wait_for("the bounce", lambda: len(chain.home.messages(ALICE)) > before)
    carrier = passed(chain.relayed, message.to)
    port = chain.gateways[1].outside_port
    lines = carrier.data.split(b"\r\n")
    longest = max(map(len, lines))
    body = [i for i, line in enumerate(lines) if len(line) == longest]
    middle = body[len(body) // 2]

    def line_changed(octets):
        return b"\r\n".join([*lines[:middle], *octets, *lines[middle + 1 :]])

    flipped = lines[middle][:10] + (b"B" if lines[middle][10:11] == b"A" else b"A") + lines[middle][11:]
    other = f"mallory@{TWO}"
    for title, rcpt, data in (
        ("one character changed", message.to, line_changed([flipped])),
        ("one line left out", message.to, line_changed([])),
        ("two lines exchanged", message.to, b"\r\n".join(
            [*lines[:middle], lines[middle + 1], lines[middle], *lines[middle + 2 :]])),
        ("cut short", message.to, b"\r\n".join(lines[:middle] + lines[body[-1] + 2 :])),
        ("redirected", other, carrier.data),
    ):
        try:
            smtp.send(port, carrier.mail, [rcpt], data)
            raise checks.Failed(f"{title}: accepted")
        except smtp.ReplyError as error:
            require(error.reply.startswith("5"), f"{title}: answered {error.reply}")
        require(not chain.mailbox(message.to) and not chain.mailbox(other), f"{title}: delivered")
    smtp.send(port, carrier.mail, [message.to], carrier.data)
    checks.same_but_trace(chain.arrival(message.to), chain.handed_over(message.to).data, 1)
    smtp.send(port, carrier.mail, [message.to], carrier.data)
    require(len(chain.mailbox(message.to)) == 1, "the replay was delivered again")


def killed(chain, maker, gateway, canaries, title):
    """SIGKILL while mail passes; after a new start all of it arrives (a duplicate is allowed)."""
    batch = [maker.make(f"{title}-{i}", maker.text(2000)) for i in range(12)]
    canaries += [canary for m in batch for canary in m.canaries]
    for message in batch:
        inject(chain, message)
    wait_for("some mail", lambda: any(chain.mailbox(m.to) for m in batch))
    gateway.process.stop(signal.SIGKILL)
    open_ones = sum(not chain.mailbox(m.to) for m in batch)
    gateway.restart()
    for message in batch:
        wait_for(f"mail to {message.to}", lambda: chain.mailbox(message.to))
    chain.wait_empty()
    twice = 0
    for message in batch:
        for arrived in chain.mailbox(message.to):
            checks.same_but_trace(arrived, message_handed(chain, message, arrived), 1)
        twice += len(chain.mailbox(message.to)) - 1
    return f"{open_ones} open when it was killed, {twice} twice"


def message_handed(chain, message, arrived):
    """The octets handed over for this message; all retries hand over the same."""
    handed = {t.data for t in chain.handed.transactions(message.to)}
    require(len(handed) == 1, "retries differ")
    return handed.pop()


def direct(setting, report, name):
    """Gateway to gateway without MTAs: what only SMTP itself limits, and what SMTP forbids."""
    maker = setting.maker()
    batch = messages.common(maker) + messages.long_lines(maker)
    with running(setting, report, name, inside="sink", relay=False) as chain:
        if not chain:
            return
        for message in batch:

            def function(message=message):
                inject(chain, message)
                arrived = chain.arrival(message.to)
                expected = message.data if message.data.endswith(b"\r\n") or not message.data else message.data + b"\r\n"
                checks.same_but_trace(arrived, expected, 1)
                carrier = passed(chain.relayed, message.to)
                checks.sealed_from(message.canaries, carrier.data, "the carrier")

            report.case(f"{name}/{message.name}", function, chain)

        report.case(f"{name}/no final newline", lambda: unterminated(chain, maker), chain)
        inside, outside = chain.gateways[0].inside_port, chain.gateways[1].outside_port
        for side, port, sender in (("inside", inside, ALICE), ("outside", outside, f"eve@{CLEAR}")):
            for title, octets in FORBIDDEN.items():
                report.case(
                    f"{name}/{side}: {title} is refused",
                    lambda: smuggle(chain, maker, port, sender, title, octets),
                    chain,
                )
        settle(setting, report, chain, name, [canary for m in batch for canary in m.canaries])


def signed_carriers(setting, report, name):
    """Gateway 1 signs its carriers; Exim relays them; OpenDKIM and dkimpy verify what arrives at gateway 2."""
    maker = setting.maker()
    batch = [m for m in messages.common(maker) if m.name in ("plain", "dots", "octets", "empty-body", "lines-998")]
    batch.append(messages.multipart(maker, "attachment-1m", 1_000_000))
    with running(setting, report, name, inside="sink", dkim=setting.signers) as chain:
        if not chain:
            return
        send_all(setting, report, chain, name, batch)
        for message in batch:

            def verifies(message=message):
                arrived = passed(chain.delivered, message.to).data
                require(arrived.count(b"\r\nReceived:") + arrived.startswith(b"Received:"), "Exim left no trace")
                signing.verified(arrived, setting.signers, chain.gateways[0].directory, setting.dns.txt)

            report.case(f"{name}/{message.name} verifies behind the relay", verifies, chain)
        settle(setting, report, chain, name, batch[-1].canaries)


_SMUGGLED = b"MAIL FROM:<mallory@clear.example>\r\nRCPT TO:<smuggled@company2.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"
FORBIDDEN = {
    "NUL": b"a\0b\r\n",
    "bare CR": b"a\rb\r\n",
    "bare LF": b"a\nb\r\n",
    "LF dot LF": b"a\n.\n" + _SMUGGLED,
    "LF dot CRLF": b"a\n.\r\n" + _SMUGGLED,
    "CRLF dot LF": b"a\r\n.\n" + _SMUGGLED,
    "CR dot CR": b"a\r.\r" + _SMUGGLED,
    "CRLF dot CR": b"a\r\n.\r" + _SMUGGLED,
    "CR dot CRLF": b"a\r.\r\n" + _SMUGGLED,
    "CR CRLF": b"a\r\r\nb\r\n",
}


def unterminated(chain, maker):
    """RFC 5321 section 4.1.1.4: a message without a final CRLF gets one, and nothing else."""
    message = maker.make("unterminated", b"the last line has no end")
    require(not message.data.endswith(b"\r\n"), "the message has a final newline")
    inject(chain, message)
    checks.same_but_trace(chain.arrival(message.to), message.data + b"\r\n", 1)


def smuggle(chain, maker, port, sender, title, octets):
    """Exactly these octets in DATA: 5xx once, and neither message is delivered."""
    user = "forbidden-" + re.sub(r"\W", "-", title.lower())
    before = len(chain.inside.messages())
    with smtp.Client(port) as client:
        client.command(f"MAIL FROM:<{sender}>")
        client.command(f"RCPT TO:<{user}@{TWO}>")
        head = f"Subject: {user}\r\nFrom: <{sender}>\r\n\r\n".encode()
        try:
            (reply,) = client.send_raw(head + octets + b"\r\n.\r\n")
        except ConnectionError:
            reply = "closed"
        require(reply.startswith("5"), f"answered {reply}")
        with contextlib.suppress(OSError):
            after = client.command("NOOP", expect="")
            require(after[:3] in ("250", "421"), f"then answered {after}: commands were smuggled")
    require(len(chain.inside.messages()) == before, "delivered all the same")


GROUPS = {
    "dovecot": dovecot,
    "dovecot-unix": dovecot_unix,
    "postfix": postfix,
    "faults": faults,
    "direct": direct,
    "dkim": signed_carriers,
    "bypass": bypass.bypass,
}
# Without gateways these have no case at all.
NEED_GATEWAYS = {"direct", "dkim", "bypass"}
