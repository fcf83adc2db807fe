"""Reverse-path and forward-paths with their parameters ("Content", [R-con-01], [R-uns-05])."""

from dataclasses import dataclass

from .mailbox import is_envid, is_mailbox, is_orcpt
from .wire import WireError, uint, vector

NOTIFY = {0, 1, 2, 4, 6, 8, 10, 12, 14}


def _text(octets):
    """UTF-8 without control characters (C0, DEL and C1)."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise WireError("path or parameter is not UTF-8") from None
    if any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in text):
        raise WireError("path or parameter has a control character")
    return text


def _listed(name, value, allowed):
    if value not in allowed:
        raise WireError(f"{name} is {value}")
    return value


@dataclass(frozen=True)
class ForwardPath:
    """A recipient as in RCPT TO."""

    mailbox: str
    notify: int = 0
    orcpt: str = ""

    def is_well_formed(self):
        """Whether mailbox and parameter are of their grammar ([R-uns-05])."""
        return is_mailbox(self.mailbox) and (not self.orcpt or is_orcpt(self.orcpt))

    def encode(self):
        """Its octets."""
        return vector(self.mailbox.encode(), 1, 512) + uint(self.notify, 1) + vector(self.orcpt.encode(), 0, 500)

    @classmethod
    def read(cls, reader):
        """Takes one off a reader."""
        return cls(
            _text(reader.vector(1, 512)),
            _listed("notify", reader.uint(1), NOTIFY),
            _text(reader.vector(0, 500)),
        )


@dataclass(frozen=True)
class ReversePath:
    """The sender as in MAIL FROM; an empty mailbox is the null reverse-path."""

    mailbox: str
    body: int = 0
    smtputf8: int = 0
    ret: int = 0
    envid: str = ""

    def is_well_formed(self):
        """Whether mailbox and parameter are of their grammar ([R-uns-05])."""
        return (not self.mailbox or is_mailbox(self.mailbox)) and (not self.envid or is_envid(self.envid))

    def encode(self):
        """Its octets."""
        return (
            vector(self.mailbox.encode(), 0, 512)
            + uint(self.body, 1)
            + uint(self.smtputf8, 1)
            + uint(self.ret, 1)
            + vector(self.envid.encode(), 0, 100)
        )

    @classmethod
    def read(cls, reader):
        """Takes one off a reader."""
        return cls(
            _text(reader.vector(0, 512)),
            _listed("body", reader.uint(1), {0, 1, 2}),
            _listed("smtputf8", reader.uint(1), {0, 1}),
            _listed("ret", reader.uint(1), {0, 1, 2}),
            _text(reader.vector(0, 100)),
        )


def lacks_smtputf8(reverse_path, forward_paths):
    """Whether a path or ORCPT is not ASCII although the reverse-path has no SMTPUTF8 ([R-con-02])."""
    texts = [reverse_path.mailbox, *(text for path in forward_paths for text in (path.mailbox, path.orcpt))]
    return not reverse_path.smtputf8 and not all(text.isascii() for text in texts)
