"""BIND as the authoritative server of the companies' zones, unsigned or under a signed private root."""

import os
import re
import subprocess

from .process import Process, RigError, free_port, wait_for

_CONFIG = """
options {{
  directory "{dir}";
  listen-on port {port} {{ {addresses} }};
  listen-on-v6 {{ none; }};
  pid-file none;
  session-keyfile none;
  recursion no;
  notify no;
  dnssec-validation no;
  allow-transfer {{ none; }};
}};
controls {{ }};
"""

_HEAD = """$TTL 60
@ IN SOA ns.{zone} hostmaster.{zone} {serial} 3600 600 86400 60
@ IN NS ns.{zone}
{glue}
"""


class Dns:
    """`zones`: domain -> master-file lines. With `signed`, root and zones are signed: `anchor`.

    Listens on a free port of 127.0.0.1, unless told otherwise; `addresses` has 127.0.0.1 in it."""

    def __init__(self, rig, name, zones, signed=False, addresses=("127.0.0.1",), port=None):
        self.rig, self.name, self.signed, self.serial = rig, name, signed, 1
        self.directory = rig.make_directory(name)
        self.port = port or free_port()
        self.zones = {domain.rstrip(".") + ".": list(lines) for domain, lines in zones.items()}
        self.anchor = self.directory / "anchor" if signed else None
        config = _CONFIG.format(
            dir=self.directory, port=self.port, addresses=" ".join(f"{a};" for a in addresses)
        )
        for zone in [*self.zones, *(["."] if signed else [])]:
            config += f'zone "{zone}" {{ type primary; file "{self._file(zone)}"; }};\n'
        (self.directory / "named.conf").write_text(config)
        self._write()
        self.process = Process(
            rig,
            name,
            [rig.home / "named", "-4", "-f", "-g", "-n", "1", "-p", str(self.port),
             "-c", self.directory / "named.conf"],
            self.directory,
        )
        self.process.wait_port(self.port, greeting=False)

    @property
    def server(self):
        return f"127.0.0.1:{self.port}"

    def set(self, domain, lines):
        """Puts other lines into a zone and has BIND load them; returns when it answers with them."""
        self.zones[domain.rstrip(".") + "."] = list(lines)
        self.serial += 1
        self._write()
        seen = self.process.output.stat().st_size
        self.process.child.send_signal(1)  # SIGHUP: reload
        wait_for(
            "named to reload",
            lambda: b"running" in self.process.output.read_bytes()[seen:]
            or b"all zones loaded" in self.process.output.read_bytes()[seen:],
        )

    def _file(self, zone):
        return self.directory / (("root" if zone == "." else zone.rstrip(".")) + ".zone")

    def _write(self):
        dss = []
        for zone, lines in self.zones.items():
            self._zone(zone, "ns IN A 127.0.0.1", lines)
            if self.signed:
                dss += self._sign(zone)
        if self.signed:
            delegations = [
                line
                for zone in self.zones
                for line in (f"{zone} IN NS ns.{zone}", f"ns.{zone} IN A 127.0.0.1")
            ]
            self._zone(".", "ns. IN A 127.0.0.1", delegations + dss)
            self._sign(".")
            keys = [
                key.read_text().splitlines()[-1] for key in (self.directory / "keys").glob("K.+*.key")
            ]
            self.anchor.write_text("\n".join(keys) + "\n")

    def _zone(self, zone, glue, lines):
        name = "" if zone == "." else zone
        head = _HEAD.format(zone=name, serial=self.serial, glue=glue)
        text = head + "\n".join([f"$ORIGIN {zone}", *lines]) + "\n"
        self._file(zone).write_text(text)

    def _sign(self, zone):
        """Signs the zone file in place with one Ed25519 key; returns the zone's DS lines."""
        keys = self.directory / "keys"
        keys.mkdir(exist_ok=True)
        prefix = "K." if zone == "." else f"K{zone}"
        if not list(keys.glob(f"{prefix}+*.key")):
            _tool("dnssec-keygen", "-q", "-K", keys, "-a", "ED25519", "-f", "KSK", "-n", "ZONE", zone)
        key = next(keys.glob(f"{prefix}+*.key"))
        file = self._file(zone)
        _tool(
            "dnssec-signzone", "-q", "-S", "-z", "-K", keys, "-d", keys, "-o", zone,
            "-f", file.with_suffix(".signed"), file,
        )
        os.replace(file.with_suffix(".signed"), file)
        return _tool("dnssec-dsfromkey", "-2", key).splitlines()

    def txt(self, name):
        """TXT octets of a name, asked of this server: the `dnsfunc` of dkimpy."""
        import dns.resolver

        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], self.port
        if isinstance(name, bytes):
            name = name.decode()
        try:
            answer = resolver.resolve(name, "TXT", tcp=True)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return None
        return b"".join(answer[0].strings)


def txt_line(owner, value):
    """A master-file TXT line, its strings cut at 255 octets."""
    strings = re.findall(r".{1,255}", value)
    return f"{owner} IN TXT " + " ".join(f'"{s}"' for s in strings)


def _tool(*argv):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    if done.returncode:
        raise RigError(f"{argv[0]}: {done.stderr}")
    return done.stdout
