"""The gateways under test: one `mta-seal serve` a company, with keys and zone lines of its own."""

import re
import subprocess
import tomllib

from .process import Process, RigError, free_port

AUTHSERV = "gateway"  # host part of the gateways' names


def config_text(keys, state, inside_port, outside_port, inside_hop, outside_hop, dns, dkim=()):
    """The configuration of one gateway. The only place that knows its key names."""
    with open(keys.directory / "mta-seal.toml", "rb") as made:
        (domain,) = tomllib.load(made)["domain"]
    lines = [
        f'hostname = "{AUTHSERV}.{keys.domain}"',
        f'state = "{state}"',
        "[[domain]]",
        f'name = "{keys.domain}"',
        f'keys = "{keys.directory / domain["keys"]}"',
        *([f"dkim = [{', '.join(signer.table for signer in dkim)}]"] if dkim else []),
        "[outbound]",
        f'listen = ["127.0.0.1:{inside_port}"]',
        'clients = ["127.0.0.0/8"]',
        f'next_hop = {{ url = "{outside_hop}", tls = "off" }}',
        "[inbound]",
        f'listen = ["127.0.0.1:{outside_port}"]',
        f'next_hop = "{inside_hop}"',
        "[dns]",
        f'mode = "{"validate" if dns.anchor else "plain"}"',
        f'servers = ["{dns.server}"]',
    ]
    if dns.anchor:
        lines.append(f'trust_anchor = "{dns.anchor}"')
    return "\n".join([*lines, "[log]", 'level = "debug"']) + "\n"


class Keys:
    """What `mta-seal init` made for a domain: `directory` and the lines of `zone`."""

    def __init__(self, rig, binary, domain):
        self.binary, self.domain = binary, domain
        self.directory = rig.directory / "keys" / domain
        self.directory.parent.mkdir(exist_ok=True)
        self.run("init", "--domain", domain, "--dir", self.directory)
        printed = self.run("zone", "--config", self.directory / "mta-seal.toml")
        self.zone = printed.splitlines()
        if not any(re.search(r"\bTXT\b", line) for line in self.zone):
            raise RigError(f"`zone` printed no TXT line:\n{printed}")

    def run(self, *words):
        """What the program prints."""
        done = subprocess.run(
            [str(word) for word in (self.binary, *words)], capture_output=True, text=True
        )
        if done.returncode:
            raise RigError(f"mta-seal {words[0]} ended with {done.returncode}: {done.stderr}")
        return done.stdout


class Gateway:
    """One running gateway; ports are known before it starts, so hops can point at each other."""

    def __init__(self, rig, name, keys):
        self.rig, self.name, self.keys = rig, name, keys
        self.inside_port, self.outside_port = free_port(), free_port()
        self.directory = rig.make_directory(name)
        self.process = None

    def start(self, inside_hop, outside_hop, dns, dkim=()):
        """Writes the configuration beside the keys and serves; hops are URLs, `dkim` signs carriers."""
        self.config = self.directory / "mta-seal.toml"
        state = self.directory / "state"  # each chain begins with an empty ledger
        state.mkdir(mode=0o700)
        self.config.write_text(
            config_text(
                self.keys, state, self.inside_port, self.outside_port, inside_hop, outside_hop, dns, dkim
            )
        )
        self.restart()

    def restart(self):
        """Serves (again) with the configuration as it is."""
        self.process = Process(
            self.rig,
            self.name,
            [self.keys.binary, "serve", "--config", self.config],
            self.directory,
        )
        self.process.wait_port(self.inside_port)
        self.process.wait_port(self.outside_port)

    def peak_rss(self):
        """The largest resident size so far, in octets (VmHWM)."""
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0

    def log_text(self):
        return self.process.output.read_text(errors="replace") if self.process else ""
