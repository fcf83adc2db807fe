"""Which recipient had which message, in a file ([R-uns-04])."""

import json
import os

from .identity import identity_of_mailbox


def _spelt(mailbox):
    return f"{mailbox.rpartition('@')[0]}@{identity_of_mailbox(mailbox)}"


class Claims:
    """A set of claims; without a file it forgets them."""

    def __init__(self, path=None):
        self.path = path
        self.taken = set()
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.taken = {tuple(json.loads(line)) for line in file}

    @staticmethod
    def _envelope(envelope_id, mailbox):
        return "envelope", envelope_id.hex(), _spelt(mailbox)

    @staticmethod
    def _delivery(sender_domain, delivery_id, mailbox):
        return "delivery", sender_domain, delivery_id.hex(), _spelt(mailbox)

    def _keys(self, envelope_id, prefix, mailbox):
        yield self._envelope(envelope_id, mailbox)
        yield self._delivery(prefix.sender_domain, prefix.delivery_id, mailbox)

    def add_envelope(self, envelope_id, mailbox):
        """A delivery that is remembered under the envelope id."""
        self.taken.add(self._envelope(envelope_id, mailbox))

    def add_delivery(self, sender_domain, delivery_id, mailbox):
        """A delivery that is remembered under the delivery id."""
        self.taken.add(self._delivery(sender_domain, delivery_id, mailbox))

    def taken_by(self, envelope_id, prefix, mailbox):
        """Whether this recipient was delivered before, under either name."""
        return any(key in self.taken for key in self._keys(envelope_id, prefix, mailbox))

    def claim(self, envelope_id, prefix, mailboxes):
        """Claims recipients, durably if there is a file."""
        keys = [key for mailbox in mailboxes for key in self._keys(envelope_id, prefix, mailbox)]
        self.taken.update(keys)
        if self.path:
            with open(self.path, "a", encoding="utf-8") as file:
                file.writelines(json.dumps(key) + "\n" for key in keys)
                file.flush()
                os.fsync(file.fileno())
