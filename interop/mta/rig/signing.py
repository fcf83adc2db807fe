"""Carriers that gateway 1 signs itself: whole behind a relay, for verifiers that are not ours."""

import re
import subprocess

from . import checks
from .checks import require
from .process import RigError

_FIELD = re.compile(rb"DKIM-Signature:[^\n]*\n(?:[ \t][^\n]*\n)*")


class Signer:
    """One key that `mta-seal dkim` made: its table for the configuration, and its record."""

    def __init__(self, keys, selector, *options):
        self.selector, self.domain = selector, keys.domain
        file = keys.directory / f"{selector}.pem"
        printed = keys.run("dkim", "--domain", keys.domain, "--selector", selector, "--out", file, *options)
        self.table = f'{{ selector = "{selector}", key = "{file}" }}'
        found = re.search(rf"^{re.escape(selector)}\._domainkey\.[^\n]*(?:\n +[^\n]*)*", printed, re.MULTILINE)
        if not found:
            raise RigError(f"`dkim` printed no record:\n{printed}")
        self.zone = found[0].splitlines()
        self.text = "".join(re.findall(r'"([^"]*)"', found[0]))


def signatures(message):
    """The DKIM-Signature fields at the top, below trace fields, and the message without them."""
    header = message[: message.index(b"\r\n\r\n") + 2]
    return _FIELD.findall(header), _FIELD.sub(b"", header) + message[len(header) :]


def opendkim(message, signer, directory):
    """Failed unless OpenDKIM verifies the message, which has one signature, with the key's record."""
    records, config, file = (directory / name for name in ("records", "opendkim.conf", "message"))
    records.write_text(f"{signer.selector}._domainkey.{signer.domain} {signer.text}\n")
    config.write_text(f"Mode v\nTestDNSData file:{records}\nSyslog no\n")
    file.write_bytes(message)
    done = subprocess.run(["/usr/sbin/opendkim", "-x", config, "-t", file], capture_output=True, text=True)
    said = done.stdout + done.stderr
    # It ends with 0 whatever it finds.
    require(re.search(rf"\(s={re.escape(signer.selector)}, d={signer.domain}, .*\) succeeded$", said.strip()), f"OpenDKIM: {said}")


def verified(message, signers, directory, dnsfunc):
    """Failed unless each signer has signed, in this order, and each signature verifies on its own, for both verifiers."""
    fields, rest = signatures(message)
    require(len(fields) == len(signers), f"{len(fields)} signatures")
    for field, signer in zip(fields, signers):
        checks.dkim_valid(field + rest, dnsfunc)
        opendkim(field + rest, signer, directory)
        altered = field + rest.replace(b"Subject: Sealed", b"Subject: Opened", 1)
        require(altered != field + rest, "no subject to alter")
        for verifier in (lambda: checks.dkim_valid(altered, dnsfunc), lambda: opendkim(altered, signer, directory)):
            try:
                verifier()
            except checks.Failed:
                continue
            raise checks.Failed("an altered carrier verifies")
