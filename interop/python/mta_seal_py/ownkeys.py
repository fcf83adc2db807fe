"""The private keys of a domain, in a JSON file of this implementation."""

import json
import os
from dataclasses import dataclass, field

from . import base64s, ed25519, keyids, suites


@dataclass
class SealingKey:
    """A private sealing key: 32 octets, in suite 2 the seed ([R-suite-01])."""

    suite: int
    seed: bytes

    @property
    def public(self):
        """Its public key."""
        return suites.public_of_private(self.suite, self.seed)

    @property
    def key_id(self):
        """Its key id."""
        return keyids.sealing_key_id(self.suite, self.public)

    @property
    def selector(self):
        """The name of its key record."""
        return "k" + self.key_id.hex()[:12]


@dataclass
class OwnKeys:
    """Everything secret of one domain."""

    domain: str
    identity: bytes
    signing: list = field(default_factory=list)
    sealing: list = field(default_factory=list)
    destroyed: set = field(default_factory=set)  # ids of sealing keys that are gone

    @classmethod
    def generate(cls, domain, numbers=(2, 1)):
        """Fresh keys, sealing keys of these suites in order of preference."""
        return cls(
            domain,
            os.urandom(32),
            [os.urandom(32)],
            [SealingKey(number, os.urandom(32)) for number in numbers],
        )

    def sealing_key(self, key_id):
        """The sealing key of this id, or None."""
        return next((key for key in self.sealing if key.key_id == key_id), None)

    @property
    def signing_key_id(self):
        """The id of the signing key in use."""
        return keyids.signing_key_id(ed25519.public_key(self.signing[0]))

    def save(self, path):
        """Writes the file, readable by its owner only; it must not exist."""
        value = {
            "domain": self.domain,
            "identity": base64s.encode(self.identity),
            "signing": [base64s.encode(seed) for seed in self.signing],
            "sealing": [{"suite": key.suite, "private": base64s.encode(key.seed)} for key in self.sealing],
        }
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(value, file, indent=2)
            file.write("\n")

    @classmethod
    def load(cls, path):
        """Reads the file."""
        with open(path, encoding="ascii") as file:
            value = json.load(file)
        return cls(
            value["domain"],
            base64s.decode_exactly(value["identity"], 32),
            [base64s.decode_exactly(one, 32) for one in value["signing"]],
            [SealingKey(one["suite"], base64s.decode_exactly(one["private"], 32)) for one in value["sealing"]],
        )
