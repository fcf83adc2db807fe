"""One transaction of an unsealing gateway: the lines of a client in, replies out, and what the next hop gets.

As much of SMTP as carriers need. Ordinary mail is left to gateways, since its fate is the operator's to say
([R-uns-07]); so are notices about some of several recipients ([R-uns-10]).
"""

import re
from dataclasses import dataclass

from .failures import NotLocal, NotSealed, Refused, Unsupported
from .identity import identity_of_mailbox
from .mailbox import is_envid, is_mailbox, is_orcpt
from .recognition import LOCAL_PART
from .replies import REPLIES

_PATH = re.compile(r'(MAIL FROM|RCPT TO):<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>((?: +[^ ]+)*) *', re.IGNORECASE)
_CONDITIONS = {"SUCCESS", "FAILURE", "DELAY"}


def _is_notify(value):
    conditions = value.upper().split(",")
    return conditions == ["NEVER"] or (_CONDITIONS.issuperset(conditions) and len(set(conditions)) == len(conditions))


_PARAMETERS = {
    "MAIL FROM": {
        "SIZE": lambda value: re.fullmatch("[0-9]{1,20}", value),
        "BODY": lambda value: value.upper() in ("7BIT", "8BITMIME"),
        "SMTPUTF8": lambda value: not value,
        "RET": lambda value: value.upper() in ("FULL", "HDRS"),
        "ENVID": is_envid,
    },
    "RCPT TO": {"NOTIFY": _is_notify, "ORCPT": is_orcpt},
}
_MALFORMED = "501 5.5.4 syntax error"
_OUT_OF_ORDER = "503 5.5.1 bad sequence of commands"


@dataclass(frozen=True)
class Delivery:
    """What the next hop gets, but for the fields that the gateway prepends ([R-uns-06])."""

    mail_from: str
    rcpt_to: tuple
    message: bytes


def _delivered_to(mailbox):
    """A recipient as the next hop gets it ([R-uns-09])."""
    local, at, domain = mailbox.rpartition("@")
    return f"postmaster{at}{domain}" if local.lower() == LOCAL_PART else mailbox


class Session:
    """`unseal` takes a carrier and the outer recipients, and gives what is verified or raises Refused."""

    def __init__(self, own_domains, unseal):
        self.own_domains = own_domains
        self.unseal = unseal
        self.delivery = None
        self.refusal = None  # the last one that has a row in the table of replies
        self._reset()

    def _reset(self):
        self._open, self._smtputf8, self._recipients = False, False, []

    def command(self, line):
        """The reply to a line; DATA is followed by `message`."""
        verb = line.partition(" ")[0].upper()
        if verb in ("EHLO", "HELO"):
            self._reset()
            return f"250 {min(self.own_domains)}"
        if verb in ("MAIL", "RCPT"):
            match = _PATH.fullmatch(line)
            if match is None:
                return _MALFORMED
            name, path, parameters = match[1].upper(), match[2], match[3].split()
            take = self._mail if verb == "MAIL" else self._rcpt
            return self._parameters(name, parameters) or take(path, parameters)
        if verb == "DATA":
            return "354 end with a dot" if self._recipients else _OUT_OF_ORDER
        return "500 5.5.2 command not recognised"

    @staticmethod
    def _parameters(name, parameters):
        """The reply to a parameter that is unknown, stands twice, or is not of its grammar."""
        keywords = [one.partition("=")[0].upper() for one in parameters]
        for keyword, parameter in zip(keywords, parameters):
            if keyword not in _PARAMETERS[name]:
                return "555 5.5.4 parameter not recognised"
            if keywords.count(keyword) > 1 or not _PARAMETERS[name][keyword](parameter.partition("=")[2]):
                return _MALFORMED
        return None

    def _mail(self, path, parameters):
        if self._open:
            return _OUT_OF_ORDER
        if path and not is_mailbox(path):
            return _MALFORMED
        smtputf8 = any(one.upper() == "SMTPUTF8" for one in parameters)
        if not smtputf8 and not path.isascii():
            return "553 5.6.7 address needs SMTPUTF8"
        self._open, self._smtputf8 = True, smtputf8
        return "250 2.1.0 sender accepted"

    def _rcpt(self, path, _parameters):
        if not self._open:
            return _OUT_OF_ORDER
        if path.lower() != "postmaster":
            if not is_mailbox(path):
                return _MALFORMED
            if not self._smtputf8 and not path.isascii():
                return "553 5.6.7 address needs SMTPUTF8"
            if identity_of_mailbox(path) not in self.own_domains:
                return self._refuse(NotLocal(f"{path} is of no domain of this gateway"))
        self._recipients.append(path)
        return "250 2.1.5 recipient accepted"

    def _refuse(self, refusal):
        self.refusal = refusal
        return REPLIES[refusal.answer]

    def message(self, octets):
        """The reply to the final dot."""
        recipients = tuple(self._recipients)
        self._reset()
        try:
            verified = self.unseal(octets, recipients)
        except NotSealed:
            raise Unsupported("ordinary mail") from None
        except Refused as refusal:
            return self._refuse(refusal)
        rcpt_to = tuple(_delivered_to(path.mailbox) for path in verified.recipients)
        self.delivery = Delivery(verified.prefix.reverse_path.mailbox, rcpt_to, verified.message)
        return "250 2.0.0 delivered"
