"""What is refused, one fault each; where a later check would find the fault too, the rest is made to fit it."""

from mta_seal_py import content
from mta_seal_py.extension import Extension
from mta_seal_py.paths import ForwardPath, ReversePath
from mta_seal_py.tasks import b64
from mta_seal_py.wire import uint

from ..envelopes import Forgery
from ..parties import NOW, WINDOW, A, B, C, in_json, own_keys, party, published
from . import orcpts
from .unsealing import (
    UNALIGNED,
    Subject,
    block,
    by,
    claimed_by_delivery,
    extension,
    setting,
    with_header,
    with_header_of,
)
from .unsealing_done import LONG

MALFORMED = "carrier-malformed"
UNSUPPORTED = "carrier-unsupported"
UNAUTHENTIC = "unauthentic"


def vectors():
    """All of them, in the order of the checks."""
    subject = Subject()
    before_message = (_header, _keys, _body, _prefix, _sender, _opening, _paths, _time, _recipients)
    for add in (*before_message, _inner_header, _message, _end, _order):
        add(subject.refused)
    return subject.made


def _header(refused):
    def octets_with(change):
        return lambda f: f.set(header_octets=change(f.header()))

    limits = ("limits", MALFORMED)
    unsupported = ("limits", UNSUPPORTED)
    refused("version", "R-env-03", "Version 2.", unsupported, octets_with(lambda h: h[:8] + b"\2" + h[9:]))
    refused("version-0", "R-env-03", "Version 0.", unsupported, octets_with(lambda h: h[:8] + b"\0" + h[9:]))
    refused("suite", "R-env-03", "Suite 7.", unsupported, octets_with(lambda h: h[:9] + b"\0\7" + h[11:]))
    refused("suite-0", "R-env-03 R-suite-01", "Suite 0.", unsupported, octets_with(lambda h: h[:9] + b"\0\0" + h[11:]))
    for name, domain in (
        ("capitals", b"B.example"),
        ("one-label", b"example"),
        ("trailing-dot", b"b.example."),
        ("address", b"192.0.2.1"),
    ):
        change = octets_with(lambda h, d=domain: h[:43] + uint(len(d), 1) + d + b"\0\0")
        refused(
            f"recipient-domain-{name}",
            "R-env-04 R-id-01",
            f"The recipient domain is {domain.decode()}.",
            limits,
            change,
        )
    change = setting(header_extensions=extension(5, 1, b"x"))
    refused("critical-extension", "R-env-03", "The extension is critical.", unsupported, change, "extension")
    text = "The recipient domain is in capitals, and the extension critical."
    change = octets_with(lambda h: h[:43] + uint(9, 1) + b"B.example" + b"\0\6" + extension(5, 1, b"x"))
    refused("recipient-domain-and-critical", "R-env-03 R-env-04", text, limits, change, "extension")
    change = setting(header_extensions=extension(5, 2, b"x"))
    refused("critical-2", "R-env-03", "critical is 2.", limits, change, "extension")
    change = setting(header_extensions=extension(2, 0, b"y") + extension(1, 0))
    refused("extensions-out-of-order", "R-env-03", "The second has a lower type.", limits, change, "extensions")
    change = setting(header_extensions=extension(1, 0) + extension(1, 0, b"y"))
    refused("extension-twice", "R-env-03", "Both are of one type.", limits, change, "extensions")
    change = setting(header_extensions=extension(5, 0, b"x")[:-1])
    refused("extension-cut", "R-env-03", "The list ends within its value.", limits, change, "extension")
    room = 4096 - len(Forgery("x").header()) - 5
    change = setting(header_extensions=extension(1, 0, bytes(room + 1)))
    refused("header-4097", "R-env-02", "A header of 4,097 octets.", limits, change, "header-4096")
    end = len(Forgery("x").header())
    refused("cut-in-header", "R-env-03", "Ends in the header.", ("limits", UNAUTHENTIC), carrier=cut(30))
    refused("cut-in-enc", "R-env-03", "Ends in enc.", ("limits", UNAUTHENTIC), carrier=cut(end + 31))
    refused(
        "cut-in-sealed-key", "R-env-03", "Lacks an octet of sealed_key.", ("limits", UNAUTHENTIC), carrier=cut(end + 79)
    )


def _keys(refused):
    to_c = (ForwardPath("v@c.example"),)
    refused(
        "domain",
        "R-uns-01",
        "Sealed to a key that is here, for a domain that is not.",
        ("domain", "carrier-foreign"),
        setting(recipient_domain="c.example", forward_paths=to_c),
        recipients=("v@c.example",),
    )
    refused(
        "key",
        "R-uns-01 R-env-05",
        "The key id is unknown, although a key that is here would open it.",
        ("key", "unknown-key"),
        setting(key_id=bytes(32)),
    )
    refused(
        "key-of-another-domain",
        "R-uns-01 R-env-05",
        "The key that is named belongs to another domain of the gateway.",
        ("key", "unknown-key"),
        setting(recipient_domain="c.example", forward_paths=to_c),
        "second-domain",
        own_keys=[own_keys(C), own_keys(B)],
        recipients=("v@c.example",),
    )
    destroyed = own_keys(B)
    gone = B.sealing[1]
    destroyed["sealing"] = [key for key in destroyed["sealing"] if key["suite"] != gone.suite]
    destroyed["destroyed"] = [b64(gone.key_id)]
    refused("destroyed-key", "R-uns-01", "The key was destroyed.", ("key", "destroyed-key"), own_keys=[destroyed])
    for suite, nenc in ((1, 32), (2, 1120)):
        twin = "plain" if suite == 1 else "suite-2"
        for name, part, at, text in (
            ("enc", "enc", 0, "A bit of enc is turned, and all that follows made for it."),
            ("enc-last", "enc", nenc - 1, "The last octet of enc is changed, and all that follows made for it."),
            (
                "hpke",
                "sealed-key",
                47,
                "A bit of the tag of the sealed key is turned, and all that follows made for it.",
            ),
        ):
            made = f"{name}-suite-{suite}" if suite == 2 else name
            change = setting(flip={part: at})
            refused(made, "R-env-05 R-uns-01", text, ("hpke", UNAUTHENTIC), change, twin, suite)
    refused(
        "header-changed",
        "R-env-02 R-env-05",
        "An extension was added that is ignored.",
        ("hpke", UNAUTHENTIC),
        carrier=_with_extension_added,
    )


def _with_extension_added(forgery):
    octets, header = forgery.octets(), forgery.header()
    added = forgery.set(header_extensions=extension(5, 0, b"x")).header()
    return forgery.carrier(added + octets[len(header) :])


def _body(refused):
    refused(
        "commitment",
        "R-env-07 R-uns-01",
        "A bit of the commitment is turned, and the opening signature made for it.",
        ("commitment", UNAUTHENTIC),
        setting(flip={"commitment": 31}),
    )
    end = len(Forgery("x").header()) + 80
    refused(
        "cut-in-commitment", "R-env-07", "Ends in the commitment.", ("commitment", UNAUTHENTIC), carrier=cut(end + 55)
    )
    refused("no-body", "R-env-07", "Ends after the sealed key.", ("commitment", UNAUTHENTIC), carrier=cut(end))
    body = ("body", UNAUTHENTIC)
    refused("chunk-tag", "R-env-07", "A bit of the last octet is turned.", body, setting(flip={"chunks": -1}))
    refused("chunk-prefix", "R-env-07", "A bit of the first octet is turned.", body, setting(flip={"chunks": 0}))
    refused("no-chunk", "R-env-07", "Ends after the commitment.", body, carrier=cut(end + 56))
    refused("cut-by-one", "R-env-07", "The last octet is missing.", body, carrier=cut(-1))
    refused("one-octet-more", "R-env-07", "An octet follows.", body, setting(tail=b"\0"))
    text = "The last chunk was empty, and is missing."
    room = 16384 - len(Forgery("x").prefix()) - 3 - 128 - 4
    full = setting(message=b"Subject: x\r\n\r\n" + b"x" * (room - 16) + b"\r\n")
    refused("empty-chunk-missing", "R-env-07", text, body, full, "empty-chunk", carrier=cut(-16))
    chunk = 16384 + 16
    long = setting(message=LONG)
    whole = end + 56 + 2 * chunk
    refused("last-chunk-missing", "R-env-07", "Ends after two whole chunks.", body, long, "long", carrier=cut(whole))
    for name, change, text in (
        ("chunks-swapped", _swapped, "The first two chunks are exchanged."),
        ("chunk-twice", _doubled, "The first chunk stands twice."),
    ):
        carrier = changed(change, end + 56, chunk)
        refused(name, "R-env-07", text, body, long, "long", carrier=carrier)


def cut(at):
    """The carrier of an envelope that ends there."""
    return lambda forgery: forgery.carrier(forgery.octets()[:at])


def changed(change, at, size):
    """The carrier of an envelope whose chunks of this size, from there on, were changed."""
    return lambda forgery: forgery.carrier(change(forgery.octets(), at, size))


def _claimed_by_envelope(forgery):
    return [{"envelope_id": b64(forgery.id()), "recipient": "v@b.example"}]


def _swapped(octets, at, size):
    return octets[:at] + octets[at + size : at + 2 * size] + octets[at : at + size] + octets[at + 2 * size :]


def _doubled(octets, at, size):
    return octets[: at + size] + octets[at:]


def _prefix(refused):
    malformed = ("prefix", MALFORMED)

    def octets_with(change):
        return lambda f: f.set(prefix_octets=change(f.prefix()))

    for value in (0, 9):
        change = octets_with(lambda p, v=value: uint(v, 1) + p[1:])
        refused(f"type-{value}", "R-con-01", f"Content of type {value}.", ("prefix", UNSUPPORTED), change)
    text = "Content of type 9, whose other fields are missing."
    refused("type-9-alone", "R-con-01", text, ("prefix", UNSUPPORTED), octets_with(lambda p: b"\t"))
    for name, domain in (("capitals", "A.example"), ("one-label", "localhost")):
        change = setting(sender_domain=domain)
        refused(f"sender-domain-{name}", "R-con-01 R-id-01", f"The sender domain is {domain}.", malformed, change)
    refused("prefix-longer", "R-con-01", "An octet after the extensions.", malformed, octets_with(lambda p: p + b"\0"))
    refused("prefix-shorter", "R-con-01", "An octet is missing.", malformed, octets_with(lambda p: p[:-1]))
    refused("prefix-empty", "R-con-01", "A content without prefix.", malformed, setting(content=bytes(4096)))
    change = setting(content=b"\xff" * 4096)
    refused("prefix-too-long", "R-con-01", "The prefix has more than 2^20 octets.", malformed, change)
    change = setting(content=b"\0\x10\0\1".ljust(4096, b"\0"))
    refused("prefix-unended", "R-con-01", "The content ends within the prefix.", malformed, change)
    for name, content_ in (("content-empty", b""), ("content-of-2", b"\0\0")):
        text = f"A content of {len(content_)} octets."
        refused(name, "R-con-01 R-uns-01", text, malformed, setting(content=content_))
    text = "The content ends an octet before its opening signature does."
    refused("opening-cut", "R-con-01 R-uns-01", text, malformed, _ending(lambda f: f.blocks_start() - 1))
    extensions = (Extension(5, 1, b"x"),)
    change = setting(extensions=extensions)
    text = "The extension is critical."
    refused("prefix-critical", "R-con-01 R-env-03", text, ("prefix", UNSUPPORTED), change, "prefix-extension")
    extensions = (Extension(5, 0, b"x"), Extension(4, 0, b""))
    change = setting(extensions=extensions)
    refused("prefix-extensions", "R-con-01 R-env-03", "Out of order.", malformed, change, "prefix-extension")
    for n in (3, 5, 16):
        change = setting(forward_paths=(ForwardPath("v@b.example", notify=n),))
        refused(f"notify-{n}", "R-con-01", f"notify is {n}.", malformed, change)
    for name, value in (("body", 3), ("smtputf8", 2), ("ret", 3)):
        change = setting(reverse_path=ReversePath("u@a.example", **{name: value}))
        refused(f"{name}-{value}", "R-con-01", f"{name} is {value}.", malformed, change)
    for name, text in (("control", "\x01@b.example"), ("c1-control", "\x85@b.example"), ("delete", '"\x7f"@b.example')):
        change = setting(forward_paths=(ForwardPath(text),))
        refused(f"mailbox-{name}", "R-con-01", "A control character in a path.", malformed, change)
    change = octets_with(lambda p: p.replace(b"v@b.example", b"\xff@b.example"))
    refused("mailbox-not-utf-8", "R-con-01", "A path is not UTF-8.", malformed, change)
    many = tuple(ForwardPath(f"v{i}@b.example") for i in range(1001))
    change = setting(forward_paths=many)
    text, recipients = "1,001 forward-paths.", ("v7@b.example",)
    refused("thousand-and-one", "R-con-01", text, malformed, change, "thousand", recipients=recipients)


def _sender(refused):
    unknown = ("sender-policy", "sender-unknown")
    unlisted = ("sender-policy", UNAUTHENTIC)
    text = "The key id is in no policy, although the signatures are by a key that is."
    refused("signing-key-id", "R-uns-01 R-dec-19", text, unlisted, setting(signing_key_id=bytes(32)))
    other = party("other.example")
    text = "The policy lists another signing key."
    fresh = party("a.example")
    fresh.signing = [other.signing[0]]
    refused("signing-key-withdrawn", "R-dec-19", text, unlisted, records=in_json(published(fresh)[:1]))
    fresh = party("a.example")
    fresh.signing, fresh.sealing = [], []
    text = "The policy has mode none, and lists no signing key."
    refused(
        "no-signing-key", "R-dec-19", text, unlisted, twin="mode-none", records=in_json(published(fresh, "none")[:1])
    )
    refused("no-policy", "R-dec-19", "The sender domain has no policy.", unknown, records=[])
    text = "The policy expires now."
    change = in_json(published(A, expiry=NOW)[:1])
    refused("policy-expired", "R-rec-06 R-dec-19", text, unknown, twin="policy-last-second", records=change)
    text = "The policy's serial is 3,601 seconds ahead."
    change = in_json(published(A, serial=NOW + 3601)[:1])
    refused("policy-early", "R-rec-06 R-dec-19", text, unknown, twin="policy-first-second", records=change)
    change = in_json(published(A)[:1] * 2)
    refused("two-policies", "R-rec-01 R-dec-19", "Two policy records.", unknown, records=change)
    name, policy = published(A)[0]
    change = in_json([(name, policy.replace(b"m=enforce", b"m=testing"))])
    refused(
        "policy-changed", "R-rec-05 R-dec-19", "The policy was changed after it was signed.", unknown, records=change
    )
    change = in_json([(name, policy + b"; zz=1")])
    refused("policy-malformed", "R-rec-02 R-dec-19", "The signature is not the last tag.", unknown, records=change)
    foreign = in_json([(name, published(party("c.example"))[0][1])])
    refused("policy-of-another", "R-rec-05 R-dec-19", "The policy is another domain's.", unknown, records=foreign)


def _opening(refused):
    opening = ("opening", UNAUTHENTIC)
    refused("opening", "R-con-03 R-uns-01", "By another key.", opening, setting(opening_seed=C.signing[0]))
    refused("opening-id", "R-con-03", "Over another envelope id.", opening, setting(opening_id=bytes(32)))
    text = "Over another prefix."
    refused("opening-prefix", "R-con-03", text, opening, lambda f: f.set(opening_prefix=f.prefix()[:-2] + b"\1\0"))


def _paths(refused):
    malformed = ("paths", MALFORMED)
    text = "A receipt, which this version never sends as a message."
    refused("receipt", "R-uns-01 R-uns-09", text, ("type", UNSUPPORTED), setting(type=2))
    for name, mailbox, why in (
        ("other-domain", "w@c.example", "A forward-path is of another domain."),
        ("subdomain", "w@x.b.example", "A forward-path is of a subdomain."),
        ("no-domain", "postmaster", "A forward-path has no domain."),
        ("brackets", "<w@b.example>", "A forward-path has angle brackets."),
        ("space", "w w@b.example", "A forward-path has a space."),
        ("dot", "w.@b.example", "A local part ends with a dot."),
        ("route", "@c.example:w@b.example", "A forward-path has a source route."),
        ("literal", "w@[192.0.2.1]", "A forward-path is at an address literal."),
    ):
        change = setting(forward_paths=(ForwardPath("v@b.example"), ForwardPath(mailbox)))
        refused(f"forward-path-{name}", "R-con-02 R-uns-05", why, malformed, change, "whole-list", recipients=None)
    change = setting(forward_paths=(ForwardPath("v" * 256 + "@b.example"),))
    text = "A local part of 256 octets."
    recipients = ("v" * 255 + "@b.example",)
    refused("local-part-256", "R-con-02", text, malformed, change, "local-part-255", recipients=recipients)
    change = setting(forward_paths=(ForwardPath("v@b.example"), ForwardPath("\u00e4@b.example")))
    text = "A forward-path is not ASCII, and smtputf8 is 0."
    refused("forward-path-smtputf8", "R-con-02", text, malformed, change, "forward-path-utf-8", recipients=None)
    change = setting(reverse_path=ReversePath("\u00fc@a.example"))
    text = "The reverse-path is not ASCII, and smtputf8 is 0."
    refused("reverse-path-smtputf8", "R-con-02", text, malformed, change, "reverse-path-utf-8")
    for name, (orcpt, text, twin) in orcpts.REFUSED.items():
        change = setting(
            reverse_path=ReversePath("u@a.example", smtputf8=int(not orcpt.isascii())),
            forward_paths=(ForwardPath("v@b.example", orcpt=orcpt),),
        )
        refused(name, "R-con-02 R-uns-05", text, malformed, change, twin)
    name, orcpt, text, twin = orcpts.WITHOUT_SMTPUTF8
    change = setting(forward_paths=(ForwardPath("v@b.example", orcpt=orcpt),))
    refused(name, "R-con-02", text, malformed, change, twin)
    change = setting(reverse_path=ReversePath("u@a.example", envid="a b"))
    refused("envid", "R-con-02 R-uns-05", "ENVID with a space.", malformed, change)
    change = setting(reverse_path=ReversePath("u@a.example", envid="a+0Ab"))
    refused("envid-line-feed", "R-con-02 R-uns-05", "ENVID with a line feed in xtext.", malformed, change)
    change = setting(reverse_path=ReversePath("u"))
    refused("reverse-path-no-domain", "R-con-02 R-uns-05", "The reverse-path has no domain.", malformed, change)
    change = setting(reverse_path=ReversePath("u@localhost"), flags=2)
    text = "The domain of the reverse-path has one label."
    refused("reverse-path-one-label", "R-id-01 R-con-02", text, malformed, change, "reverse-path-underscore")
    change = setting(reverse_path=ReversePath("u@[x-tag:y]"), flags=2)
    text = "The reverse-path has an address literal of another kind than IPv4 and IPv6."
    refused("reverse-path-literal", "R-id-01 R-con-02", text, malformed, change, "reverse-path-address-literal")
    sender = ("reverse-path", "sender-path")
    text = "A reverse-path of another domain, not flagged."
    change = setting(reverse_path=ReversePath("u@z.example"))
    refused("reverse-path", "R-uns-01 R-seal-02", text, sender, change, "foreign-reverse-path")
    text = "A reverse-path of a subdomain, not flagged."
    change = setting(reverse_path=ReversePath("u@x.a.example"))
    refused("reverse-path-subdomain", "R-uns-01 R-id-01", text, sender, change)


def _time(refused):
    text = "A second older than the window."
    refused("too-old", "R-uns-01", text, ("time", "too-old"), setting(sealed_at=NOW - WINDOW - 1), "oldest")
    text = "A second further in the future than is tolerated."
    future = ("time", "in-future")
    refused("in-future", "R-uns-01", text, future, setting(sealed_at=NOW + 3601), "newest")
    text = "The greatest time there is."
    refused("end-of-time", "R-uns-01", text, future, setting(sealed_at=2**64 - 1), "newest")
    text = "Older than the window of this domain, which is shorter."
    refused("short-window", "R-uns-01", text, ("time", "too-old"), setting(sealed_at=NOW - 3601), "oldest", window=3600)


def _recipients(refused):
    delivered = ("delivered", "delivered-before")
    text = "Delivered under the envelope id."
    refused("delivered-envelope", "R-uns-04 R-uns-01", text, delivered, claims=_claimed_by_envelope)
    text = "Delivered under the delivery id."
    refused("delivered-id", "R-uns-04 R-con-07", text, delivered, claims=claimed_by_delivery)
    none = ("recipients", "not-signed-recipient")
    text = "The outer recipient is not signed."
    refused("recipient", "R-uns-03 R-uns-01", text, none, recipients=("w@b.example",))
    text = "The outer recipient differs in the case of its local part."
    refused("recipient-case", "R-uns-03", text, none, recipients=("V@b.example",))
    refused("nobody", "R-uns-03 R-con-01", "Nobody is signed.", none, setting(forward_paths=()))
    text = "The outer recipient is not signed, and the signed one was delivered to."
    refused(
        "recipient-beside-delivered", "R-uns-01", text, none, recipients=("w@b.example",), claims=claimed_by_delivery
    )


def _message(refused):
    bare = ("bytes", "bare-line-end")
    for name, message, why in (
        ("bare-lf", b"a\nb\r\n", "A bare LF."),
        ("bare-cr", b"a\rb\r\n", "A bare CR."),
        ("nul", b"a\0b\r\n", "A NUL."),
        ("cr-at-the-end", b"a\r", "A CR is the last octet."),
        ("lf-first", b"\n", "A LF is the first octet."),
    ):
        refused(name, "R-seal-07 R-uns-01", why, bare, setting(message=b"Subject: x\r\n\r\n" + message))
    blocks = block(b"Subject: x\r\n\r") + block(b"x\r\n") + block(b"")
    refused("cr-at-a-border", "R-seal-07", "A bare CR ends a block.", bare, setting(blocks=blocks), "small-blocks")
    unfinished = block(b"Subject: x\r\n\r\n") + b"\xff\xff"
    text = "A block does not end, and begins with the NULs of the padding."
    refused("nul-in-unfinished-block", "R-uns-01", text, bare, setting(blocks=unfinished))
    text = "A block does not end, and has a bare CR before its last octet."
    cut_off = _ending_in(uint(100, 2) + b"Subject: x\r\n\r\na\rb")
    refused("bare-cr-in-unfinished-block", "R-uns-01 R-seal-07", text, bare, cut_off)


def _inner_header(refused):
    change = setting(message=with_header_of(262145))
    text, large = "A header block of 262,145 octets.", ("bytes", "header-too-large")
    refused("inner-header-262145", "R-car-09 R-uns-01", text, large, change, "inner-header-262144")
    change = setting(message=with_header(b"Received: x\r\n" * 51))
    refused("received-51", "R-seal-08 R-uns-01", "51 Received fields.", ("bytes", "loop"), change, "received-50")
    unaligned = ("bytes", "not-aligned")
    for name, authors, text in UNALIGNED:
        change = setting(message=by(authors))
        refused(f"author-{name}", "R-uns-11 R-uns-01", text, unaligned, change, f"author-{name}", require_aligned=True)
    change = setting(reverse_path=ReversePath("u@z.example"), flags=2)
    text = "A reverse-path that is flagged foreign."
    foreign = ("reverse-path", "not-aligned")
    refused("not-aligned", "R-uns-11 R-uns-01", text, foreign, change, "foreign-reverse-path", require_aligned=True)
    change = setting(flags=2)
    text = "A reverse-path of the sender domain that is flagged foreign."
    refused("not-aligned-by-flag", "R-uns-11 R-uns-01", text, foreign, change, "aligned", require_aligned=True)


def _end(refused):
    blocks = ("blocks", UNAUTHENTIC)
    text = "A block has more octets than the content, whose length is right all the same."
    refused("blocks", "R-con-04 R-uns-01", text, blocks, _unfinished_block)
    for name, end, text in (
        ("blocks-cut-in-length", lambda f: f.blocks_end() - 1, "The content ends within the length of a block."),
        ("blocks-cut-in-block", lambda f: f.blocks_end() - 4, "The content ends within a block."),
        ("blocks-without-end", lambda f: f.blocks_end() - 2, "The content ends after a block that is not empty."),
        ("no-blocks", Forgery.blocks_start, "The content ends after the opening signature."),
    ):
        refused(name, "R-con-04 R-uns-01", text, blocks, _ending(end))
    start = b"Subject: x\r\n\r\nabc\r"
    for name, octets, text in (
        ("cr-ends-unfinished-block", uint(100, 2) + start, "The last octet of a block that does not end is a CR."),
        ("cr-ends-last-block", block(start), "The content ends after a block whose last octet is a CR."),
        ("cr-before-cut-length", block(start) + b"\0", "The same, and within the length of the next block."),
    ):
        refused(name, "R-con-04 R-seal-07 R-uns-01", text, blocks, _ending_in(octets))
    padding = ("padding", UNAUTHENTIC)
    for name, end, text in (
        ("no-padding", Forgery.blocks_end, "The content ends after the empty block."),
        ("padding-63", lambda f: f.blocks_end() + 63, "It ends 63 octets after the empty block."),
        ("padding-64", lambda f: f.blocks_end() + 64, "It ends 64 octets after the empty block."),
        ("padding-cut", lambda f: -content.SIGNATURE - 1, "It ends within the padding."),
        ("no-closing-signature", lambda f: -content.SIGNATURE, "It ends after the padding."),
        ("closing-signature-cut", lambda f: -1, "The closing signature lacks its last octet."),
    ):
        refused(name, "R-con-05 R-uns-01", text, padding, _ending(end))
    text = "256 octets of padding too many."
    refused("padding-longer", "R-con-05 R-uns-01", text, padding, setting(extra_padding=256))
    refused("padding-shorter", "R-con-05", "An octet of padding too few.", padding, setting(extra_padding=-1))
    text = "The first octet of the padding is not zero."
    refused("padding-first", "R-con-05 R-uns-01", text, padding, setting(stain=0))
    refused("padding-last", "R-con-05", "The last octet of the padding is not zero.", padding, setting(stain=-1))
    closing = ("closing", UNAUTHENTIC)
    refused("closing", "R-con-06 R-uns-01", "By another key.", closing, setting(closing_seed=C.signing[0]))


def _ending(at):
    """A change of a forgery: its content is cut off there."""
    return lambda forgery: forgery.set(content_end=at(forgery))


def _ending_in(octets):
    """A change of a forgery: these octets follow the opening signature, and nothing else."""
    return lambda forgery: forgery.set(blocks=octets, content_end=forgery.blocks_start() + len(octets))


def _order(refused):
    """Carriers with a fault late in them, beside another that a later check finds ([R-uns-01])."""
    two, late = ("limits", "two-parts"), "The carrier has a second sealed part behind it."
    of_c = {"forward_paths": (ForwardPath("v@c.example"),)}
    to_c = {"recipient_domain": "c.example", **of_c}
    header = {"header_octets": Forgery("x").header()[:8] + b"\2" + Forgery("x").header()[9:]}
    for name, comment, parts, given in (
        ("version", "Version 2.", header, {}),
        ("domain", "Sealed for another domain.", to_c, {}),
        ("key", "An unknown key.", {"key_id": bytes(32)}, {}),
        ("hpke", "A bit of the tag of the sealed key is turned.", {"flip": {"sealed-key": 47}}, {}),
        ("chunk", "The first chunk is not authentic.", {"flip": {"chunks": 0}}, {}),
        ("prefix", "Content of type 9.", {"type": 9}, {}),
        ("no-policy", "The sender domain has no policy.", {}, {"records": []}),
        ("opening", "The opening signature is by another key.", {"opening_seed": C.signing[0]}, {}),
        ("paths", "A forward-path is of another domain.", of_c, {"recipients": None}),
        ("too-old", "Older than the window.", {"sealed_at": NOW - WINDOW - 1}, {}),
        ("delivered", "It was delivered before.", {}, {"claims": _claimed_by_envelope}),
        ("recipients", "The outer recipient is not signed.", {}, {"recipients": ("w@b.example",)}),
        ("bytes", "The message begins with a bare LF.", {"message": b"\n" + LONG}, {}),
        ("closing", "The closing signature is by another key.", {"closing_seed": C.signing[0]}, {}),
    ):
        change = setting(**{"message": LONG, **parts})
        given["carrier"] = with_second_part
        refused(f"two-parts-and-{name}", "R-uns-01 R-car-05", f"{comment} {late}", two, change, "long", **given)
    text = "The outer recipient is not signed. The last octet of the base64 is none."
    change = setting(message=LONG + b"a\nb\r\n", closing_seed=C.signing[0])
    comment = "A bare LF in the last chunk. The closing signature is by another key."
    refused("bytes-and-closing", "R-uns-01 R-seal-07", comment, ("bytes", "bare-line-end"), change, "long")
    given, malformed = {"carrier": _with_bad_end, "recipients": ("w@b.example",)}, ("limits", MALFORMED)
    refused("base64-and-recipients", "R-uns-01 R-car-07", text, malformed, setting(message=LONG), "long", **given)


def _pieces(forgery):
    """The carrier between its delimiters: header, text, sealed part, end."""
    carrier = forgery.carrier()
    delimiter = b"\r\n--" + carrier.partition(b'boundary="')[2].partition(b'"')[0]
    return delimiter, carrier.split(delimiter)


def with_second_part(forgery):
    """The carrier with its sealed part twice."""
    delimiter, (header, text, sealed, end) = _pieces(forgery)
    return delimiter.join((header, text, sealed, sealed, end))


def _with_bad_end(forgery):
    """The carrier, where something else than base64 stands in place of its last digit."""
    delimiter, (header, text, sealed, end) = _pieces(forgery)
    digits = sealed.rstrip(b"=")
    return delimiter.join((header, text, digits[:-1] + b"*" + sealed[len(digits) :], end))


def _unfinished_block(forgery):
    """A content of 4,096 octets without padding, and a block that runs past the closing signature.

    That signature is then judged as message, so the message is changed until it has no bare CR, bare LF or NUL.
    """
    room = 4096 - 3 - len(forgery.prefix()) - 2 * content.SIGNATURE - 2
    for number in range(100):
        message = f"Subject: {number:02}\r\n\r\n".encode().ljust(room - 2, b"x") + b"\r\n"
        forgery.set(blocks=uint(room + content.SIGNATURE + 1, 2) + message)
        if not set(forgery.closing_signature()) & set(b"\0\r\n"):
            return
