"""Two companies with keys of their own, and the DNS both are found in."""

import subprocess

from rig.gateway import Gateway, Keys

from .dns import Dns

SENDER, RECIPIENT = "company1.example", "company2.example"
MAIL_FROM, RCPT_TO = f"anna@{SENDER}", f"bob@{RECIPIENT}"

# Above what is sent; the defaults are meant for mail.
LIMITS = '[limits]\nmessage_size = "250M"\nconnections_per_client = 100\n'


class Company(Keys):
    """Keys and configuration of a domain; `zone_file` is what it publishes."""

    def __init__(self, rig, binary, domain):
        super().__init__(rig, binary, domain)
        self.config = self.directory / "mta-seal.toml"
        self.zone_file = self.directory / f"{domain}.zone"

    def records(self):
        """Names and values of its TXT records."""
        lines = self.run("zone", "--config", self.config, "--format", "values").split("\n")
        lines = [line for line in lines if line]
        return dict(zip(lines[::2], lines[1::2]))


class Pair:
    """A sender and a recipient."""

    def __init__(self, rig, binary):
        self.binary = binary
        self.sender = Company(rig, binary, SENDER)
        self.recipient = Company(rig, binary, RECIPIENT)
        self.dns = Dns(rig, {**self.sender.records(), **self.recipient.records()})

    def seal_command(self):
        """Seals standard input to standard output, without DNS."""
        return [
            str(self.binary), "seal", "--config", str(self.sender.config), "--mail-from", MAIL_FROM,
            "--rcpt-to", RCPT_TO, "--policy", str(self.recipient.zone_file),
        ]  # fmt: skip

    def unseal_command(self):
        """Unseals standard input to standard output, without DNS."""
        return [
            str(self.binary), "unseal", "--config", str(self.recipient.config),
            "--sender-policy", str(self.sender.zone_file),
        ]  # fmt: skip

    def sealed(self, message):
        """A process that writes the carrier of the file `message` to its `stdout`."""
        with open(message, "rb") as file:
            return subprocess.Popen(
                self.seal_command(), stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )


def make_pair(rig, binary):
    """Makes both companies and starts their DNS."""
    return Pair(rig, binary)


class LargeGateway(Gateway):
    """A gateway that takes large messages and many connections from one address."""

    def restart(self):
        """Serves with the configuration and the limits of this measurement."""
        text = self.config.read_text().replace('level = "debug"', 'level = "info"')
        self.config.write_text(text if LIMITS in text else text + LIMITS)
        super().restart()
