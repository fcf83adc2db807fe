"""The domains that the cases are between: `parties.json`, made by `fixtures`."""

import base64
import json
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "parties.json"
SENDER, BOTH, ONE = "a.example", "b.example", "one.example"
# Of other versions: one before this, one that publishes for the next beside this, or instead of it, or only suites to come.
OLDER, NEWER, NEXT, SUITES = "older.example", "newer.example", "next.example", "suites.example"
WINDOW = 1209600


def _read():
    with open(FILE, encoding="ascii") as file:
        return json.load(file)


_READ = _read()
NOW = _READ["now"]
PARTIES = _READ["parties"]
LONG = max(PARTIES, key=len)


def records_of(*domains):
    """The records of these domains, as tasks have them."""
    return [record for domain in domains for record in PARTIES[domain]["records"]]


def texts_of(*domains):
    """The same by name, as octets."""
    return [(record["name"], base64.b64decode(record["text"])) for record in records_of(*domains)]


def own_keys(*domains):
    """The private keys of unsealing gateways; the keys that a domain had before are destroyed."""
    return [
        {
            "domain": domain,
            "sealing": [{name: key[name] for name in ("suite", "private_key")} for key in PARTIES[domain]["sealing"]],
            "destroyed": [key["key_id"] for key in PARTIES[domain]["retired"]],
        }
        for domain in domains
    ]


def preferred(domain):
    """The key that mail to a domain is sealed to."""
    return PARTIES[domain]["sealing"][0]


def sender(domain):
    """Who seals, as tasks have it."""
    return {"domain": domain, "signing_key": PARTIES[domain]["signing_key"]}
