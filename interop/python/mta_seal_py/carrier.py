"""Writes the carrier of an envelope ([R-car-01] to [R-car-03])."""

import base64
import os
import time

LINE = 76
MAX_LINE = 78

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

TEXT = """\
This message is sealed: the mail gateway of the sender's organisation has
encrypted it for the mail gateway of yours, which should have opened it.

If you read this text, that did not happen. Nothing is wrong with your
computer, and there is nothing to open or to install. Please forward this
message to the people who run your mail.
"""


def date_field(now):
    """A date of RFC 5322, always of the same length."""
    t = time.gmtime(now)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04} "
        f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} +0000"
    )


def _field(name, value):
    line = f"{name}: {value}"
    return line if len(line) <= MAX_LINE else f"{name}:\n {value}"


def write(envelope, sender_domain, recipient_domain, now, token=None):
    """The octets of the carrier."""
    token = token or os.urandom(16).hex()
    encoded = base64.b64encode(envelope).decode("ascii")
    lines = [
        _field("Date", date_field(now)),
        _field("From", f"mta-seal@{sender_domain}"),
        _field("To", f"mta-seal@{recipient_domain}"),
        "Subject: Sealed message",
        _field("Message-ID", f"<{token}@{sender_domain}>"),
        f"MTA-Seal-Token: {token}",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed;",
        f' boundary="mta-seal-{token}"',
        "",
        f"--mta-seal-{token}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        TEXT.rstrip("\n"),
        f"--mta-seal-{token}",
        'Content-Type: application/mta-seal; name="message.mtaseal"',
        "Content-Transfer-Encoding: base64",
        'Content-Disposition: attachment; filename="message.mtaseal"',
        "",
        *(encoded[i : i + LINE] for i in range(0, len(encoded), LINE)),
        f"--mta-seal-{token}--",
        "",
    ]
    return "\n".join(lines).replace("\n", "\r\n").encode("ascii")
