"""The command `peer`."""

import argparse
import json
import sys
import time

from . import base64s, keyids, publishing, recognition, sealing, suites, unsealing, zone
from . import policy as policies
from . import tasks as task_runner
from .claims import Claims
from .failures import Refused, Unsupported
from .ownkeys import OwnKeys
from .paths import ForwardPath, ReversePath
from .records import Records

NOTIFY = {"NEVER": 1, "SUCCESS": 2, "FAILURE": 4, "DELAY": 8}
BODY = {"7BIT": 1, "8BITMIME": 2}
RET = {"FULL": 1, "HDRS": 2}


def _write(path, octets):
    if path == "-":
        sys.stdout.buffer.write(octets)
    else:
        with open(path, "wb") as file:
            file.write(octets)


def _read(path):
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


def _print(value, file=None):
    print(json.dumps(value, sort_keys=True), file=file or sys.stdout)


def keygen(options):
    """Makes the private keys of a domain."""
    for number in options.suite:
        if number not in suites.SUITES:
            raise Unsupported(f"suite {number}")
    OwnKeys.generate(options.domain, options.suite).save(options.output)


def sign_policy(options):
    """Makes policy and key records."""
    own = OwnKeys.load(options.keys)
    serial = options.serial if options.serial is not None else options.now
    made = publishing.records(
        own,
        options.mode,
        serial,
        serial + options.days * 86400,
        options.max_age,
        options.window,
        options.always,
        OwnKeys.load(options.old_keys).identity if options.old_keys else None,
    )
    _write(options.output, "".join(zone.write(name, text) for name, text in made).encode())


def _policy_report(policy):
    return {
        "record": "policy",
        "domain": policy.domain,
        "mode": policy.mode,
        "serial": policy.serial,
        "expiry": policy.expiry,
        "max_age": policy.max_age,
        "window": policy.window,
        "identity": base64s.encode(policy.identity),
        "fingerprint": keyids.fingerprint(policy.identity).hex(),
        "signing_key_ids": [keyids.signing_key_id(key).hex() for key in policy.signing_keys],
        "sealing_keys": [
            {"suite": entry.suite, "key_id": entry.key_id.hex(), "selector": entry.selector}
            for entry in policy.sealing_keys
        ],
    }


def parse_record(options):
    """Checks the records of a domain: the policy, and every key that it lists."""
    records = Records()
    for path in options.records:
        records.read_file(path, options.domain)
    policy = records.policy(options.domain)
    if policy is None:
        raise Refused("no policy record", "policy-required")
    report = _policy_report(policy)
    if options.with_keys:
        for entry in policy.sealing_keys:
            records.sealing_key(options.domain, policy, entry.suite)
    _print(report)


def _sum(words, text):
    try:
        return sum(words[word] for word in text.upper().split(",")) if text else 0
    except KeyError as error:
        raise Unsupported(f"parameter {error}") from None


def seal(options):
    """Seals a message."""
    own, records = OwnKeys.load(options.keys), Records()
    mailbox = "" if options.mail_from == "<>" else options.mail_from
    reverse = ReversePath(
        mailbox,
        _sum(BODY, options.body),
        int(options.smtputf8 or not (mailbox + "".join(options.rcpt_to)).isascii()),
        _sum(RET, options.ret),
        options.envid,
    )
    orcpts = options.orcpt + [""] * (len(options.rcpt_to) - len(options.orcpt))
    forward = [ForwardPath(one, _sum(NOTIFY, options.notify), orcpt) for one, orcpt in zip(options.rcpt_to, orcpts)]
    for path in options.records:
        records.read_file(path, sealing.recipient_domain_of(forward))
    if options.suite not in (None, *suites.SUITES):
        raise Unsupported(f"suite {options.suite}")
    carrier, report = sealing.seal(own, records, reverse, forward, _read(options.message), options.now, options.suite)
    _write(options.output, carrier)
    _print(report, sys.stderr)


def unseal(options):
    """Unseals a carrier."""
    records = Records()
    for path in options.records:
        records.read_file(path, options.sender_domain)
    verified = unsealing.unseal(
        _read(options.carrier),
        [OwnKeys.load(path) for path in options.keys],
        records,
        options.rcpt_to or None,
        options.now,
        options.window,
        Claims(options.claims),
    )
    _write(options.output, verified.message)
    _print(verified.report(), sys.stderr)


def inspect(options):
    """Says what a carrier shows to somebody without a key."""
    parsed = recognition.find(_read(options.carrier))
    header = parsed.header
    _print(
        {
            "suite": header.suite,
            "key_id": header.key_id.hex(),
            "recipient_domain": header.recipient_domain,
            "envelope_id": parsed.id.hex(),
            "body_octets": len(parsed.body),
            "extensions": [one.type for one in header.extensions],
        }
    )


def tasks(_options):
    """Answers the tasks of the file MTA_SEAL_TASKS, in MTA_SEAL_RESULTS."""
    if not task_runner.run():
        raise Unsupported("no task is of a kind that is supported")


def _arguments():
    parser = argparse.ArgumentParser(prog="peer", description="A second implementation of MTA-SEAL.")
    parser.add_argument("--now", type=int, default=int(time.time()), help="the time, in seconds since 1970")
    commands = parser.add_subparsers(dest="command", required=True)

    one = commands.add_parser("keygen", help=keygen.__doc__)
    one.add_argument("--domain", required=True)
    one.add_argument("--suite", type=int, action="append", help="of a sealing key; repeat it in order of preference")
    one.add_argument("--output", required=True)
    one.set_defaults(run=keygen)

    one = commands.add_parser("sign-policy", help=sign_policy.__doc__)
    one.add_argument("--keys", required=True)
    one.add_argument("--mode", choices=policies.MODES, default="testing")
    one.add_argument("--serial", type=int)
    one.add_argument("--days", type=int, default=30)
    one.add_argument("--max-age", type=int, default=2592000)
    one.add_argument("--window", type=int)
    one.add_argument("--always", action="store_true")
    one.add_argument("--old-keys", help="keys whose identity key this policy succeeds")
    one.add_argument("--output", default="-")
    one.set_defaults(run=sign_policy)

    one = commands.add_parser("parse-record", help=parse_record.__doc__)
    one.add_argument("--domain", required=True)
    one.add_argument("--with-keys", action="store_true", help="check the key records too")
    one.add_argument("records", nargs="+")
    one.set_defaults(run=parse_record)

    one = commands.add_parser("seal", help=seal.__doc__)
    one.add_argument("--keys", required=True)
    one.add_argument("--mail-from", required=True)
    one.add_argument("--rcpt-to", required=True, action="append")
    one.add_argument("--records", required=True, action="append", help="records of the recipient domain")
    one.add_argument("--suite", type=int, help="against the order of preference")
    one.add_argument("--body", default="")
    one.add_argument("--ret", default="")
    one.add_argument("--envid", default="")
    one.add_argument("--notify", default="")
    one.add_argument("--orcpt", action="append", default=[])
    one.add_argument("--smtputf8", action="store_true")
    one.add_argument("--output", default="-")
    one.add_argument("message")
    one.set_defaults(run=seal)

    one = commands.add_parser("unseal", help=unseal.__doc__)
    one.add_argument("--keys", required=True, action="append")
    one.add_argument("--records", required=True, action="append", help="records of the sender domain")
    one.add_argument("--sender-domain", help="whose record it is, if a file of --records has no name")
    one.add_argument("--rcpt-to", action="append", help="outer recipients; without it all signed ones")
    one.add_argument("--window", type=int, default=policies.DEFAULT_WINDOW)
    one.add_argument("--claims", help="file that remembers deliveries")
    one.add_argument("--output", default="-")
    one.add_argument("carrier")
    one.set_defaults(run=unseal)

    one = commands.add_parser("inspect", help=inspect.__doc__)
    one.add_argument("carrier")
    one.set_defaults(run=inspect)

    one = commands.add_parser("tasks", help=tasks.__doc__)
    one.set_defaults(run=tasks)
    return parser


def main(arguments=None):
    """Exit code 0 done, 1 refused, 2 usage, 127 unsupported."""
    options = _arguments().parse_args(arguments)
    if options.command == "keygen" and not options.suite:
        options.suite = [2, 1]
    try:
        options.run(options)
    except Refused as refused:
        _print(refused.report(), sys.stderr)
        return 1
    except Unsupported as unsupported:
        _print({"result": "unsupported", "detail": str(unsupported)}, sys.stderr)
        return 127
    return 0
