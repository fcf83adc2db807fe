"""The published records of domains, as a look-up without DNS: a name and the texts at it ([R-dns-01])."""

from . import key_record, policy, tags, zone
from .failures import PolicyRefused, RecordRefused


class Records:
    """TXT records by name."""

    def __init__(self):
        self.texts = {}

    def add(self, name, text):
        """One more record at a name."""
        self.texts.setdefault(name.lower(), []).append(text)

    def read_file(self, path, domain=None):
        """All records of a file; a plain record stands at the policy name of `domain`."""
        with open(path, encoding="latin-1", newline="") as file:
            for name, text in zone.read(file.read(), policy.query_name(domain or "")):
                self.add(name, text)

    def policy(self, domain):
        """The policy of a domain, verified; None if there is none."""
        text = tags.select(self.texts.get(policy.query_name(domain), []), policy.VERSION)
        return None if text is None else policy.parse(domain, text)

    def sealing_key(self, domain, wanted, suite=None):
        """The public key of the most preferred entry of a known suite ([R-rec-03], [R-dec-15]).

        `suite` overrides the preference, as [R-dec-17] lets an operator do.
        """
        entry = next((one for one in wanted.sealing_keys if suite in (None, one.suite)), None)
        if entry is None:
            raise PolicyRefused("policy lists no sealing key of a known suite")
        return entry, self.key_of_entry(domain, entry)

    def key_of_entry(self, domain, entry):
        """The public key of an entry of tag `k`: inline, or from its key record."""
        if entry.public is not None:
            return entry.public
        name = key_record.query_name(entry.selector, domain)
        try:
            text = tags.select(self.texts.get(name, []), key_record.VERSION)
            if text is None:
                raise RecordRefused("no key record")
            return key_record.parse(text, entry)
        except RecordRefused as error:
            raise PolicyRefused(f"{name}: {error.detail}") from None
