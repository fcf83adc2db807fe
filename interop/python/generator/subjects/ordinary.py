"""Ordinary mail in the name of a domain that has to seal, and in that of others ([R-uns-07])."""

from mta_seal_py.tasks import b64

from ..vector import vector

STRICT, OTHER = "p.example", "q.example"

# By name: fields in which D counts, and what they are. Done is the same with another domain in place of D.
COUNTED = {
    "from": ("From: ceo@D", "The address of From:."),
    "from-named": ("From: Ann <ceo@D>", "It has a display name."),
    "from-capitals": ("From: CEO@{upper}", "It is in capitals."),
    "from-quoted": ('From: "ceo"@D', "Its local part is quoted."),
    "from-folded": ("From: Ann\r\n <ceo@D>", "It is folded."),
    "from-commented": ("From: (one) ceo@D (other)", "Comments stand around it."),
    "sender": ("From: x@e.example\r\nSender: ceo@D", "The address of Sender:."),
    "resent-from": ("From: x@e.example\r\nResent-From: ceo@D", "The address of Resent-From:."),
    "resent-sender": ("From: x@e.example\r\nResent-Sender: ceo@D", "The address of Resent-Sender:."),
    "second": ("From: x@e.example, ceo@D", "The second of two mailboxes."),
    "group": ("From: people: x@e.example, ceo@D;", "A mailbox in a group."),
    "route": ("From: <@D:x@e.example>", "A source route."),
    "display-name-unquoted": ("From: ceo@D <x@e.example>", "A display name with an @ that is not quoted."),
    "two-addresses": ("From: <x@e.example> <ceo@D>", "Two addresses in angle brackets."),
    "unended": ("From: <ceo@D", "The angle bracket does not end."),
    "comment-unended": ("From: (ceo@D", "A comment does not end."),
    "control": ("From: ceo@D\x0b", "A control character."),
    "control-inside": ("From: ceo@{first}\x0b{rest}", "A control character within the domain."),
    "dot-at-the-end": ("From: ceo@D.", "A dot behind the domain."),
    "comment-in-domain": ("From: ceo@{first}(x){rest}", "A comment within the domain."),
    "space-in-domain": ("From: ceo@ {first} {rest}", "White space around and within the domain."),
    "local-part-at": ('From: "ceo@D"@e.example', "The local part has an @."),
    "local-part-encoded": ("From: =?utf-8?Q?ceo=40D=00?=@e.example", "The local part is an encoded word."),
    "encoded": ("From: =?utf-8?Q?ceo=40D?=", "The address is an encoded word."),
    "encoded-in-two": ("From: =?utf-8?Q?ceo=40{first}?= =?utf-8?Q?{rest}?=", "It is in two encoded words."),
    "encoded-base64": ("From: =?utf-8?B?{base64}?=", "It is in base64."),
    "encoded-brackets": ("From: =?utf-8?Q?=3Cceo=40D=3E?= <x@e.example>", "An encoded word hides angle brackets."),
    "encoded-brackets-quoted": (
        'From: "=?utf-8?Q?=3Cceo=40D=3E?=" <x@e.example>',
        "The same within quotes, where no encoded word may be.",
    ),
    "encoded-control": ("From: =?utf-8?Q?ceo=40D=0D=0A?= <x@e.example>", "An encoded word hides a line end."),
    "encoded-comma": ("From: =?utf-8?Q?ceo=40D=2C?= <x@e.example>", "An encoded word hides an address and a comma."),
    "encoded-semicolon": ("From: =?utf-8?Q?ceo=40D=3B?= <x@e.example>", "It hides a semicolon."),
    "encoded-colon": ("From: =?utf-8?Q?x=3Aceo=40D?= <x@e.example>", "It hides a colon."),
    "encoded-quote": ("From: =?utf-8?Q?=22ceo=22=40D?= <x@e.example>", "It hides quotes."),
    "encoded-parenthesis": ("From: =?utf-8?Q?ceo=40D=28?= <x@e.example>", "It hides a parenthesis."),
    "encoded-parenthesis-too": ("From: =?utf-8?Q?ceo=40D=29?= <x@e.example>", "It hides the other one."),
    "encoded-backslash": ("From: =?utf-8?Q?ceo=40D=5C?= <x@e.example>", "It hides a backslash."),
    "from-twice": ("From: x@e.example\r\nFrom: ceo@D", "There are two fields From:."),
    "resent-from-twice": ("Resent-From: x@e.example\r\nResent-From: ceo@D", "Two fields Resent-From:."),
}
# By name: fields that are not in the name of p.example.
NOT_COUNTED = {
    "display-name": ('From: "ceo@p.example" <x@e.example>', "A display name."),
    "display-name-encoded": ("From: =?utf-8?Q?ceo=40p.example?= <x@e.example>", "The same as an encoded word."),
    "comment": ("From: x@e.example (ceo@p.example)", "A comment."),
    "subdomain": ("From: ceo@x.p.example", "A subdomain."),
    "beginning": ("From: ceo@p.example.e.example", "A longer name that begins like it."),
    "end": ("From: ceo@pp.example", "A longer name that ends like it."),
    "percent": ("From: ceo%p.example@e.example", "A percent sign in place of the @."),
    "no-at": ("From: p.example", "No @."),
    "reply-to": ("From: x@e.example\r\nReply-To: ceo@p.example", "Reply-To:."),
    "to": ("From: x@e.example\r\nTo: ceo@p.example", "To:."),
    "encoded-comma-alone": ("From: =?utf-8?Q?Doe=2C_p=2Eexample?= <x@e.example>", "A comma, but no other @."),
    "no-fields": ("To: x@e.example", "No author at all."),
}


def _filled(fields, domain):
    first, dot, rest = domain.partition(".")
    address = b64(f"ceo@{domain}".encode())
    parts = {"{first}": first, "{rest}": dot + rest, "{upper}": domain.upper(), "{base64}": address, "@D": f"@{domain}"}
    for mark, text in parts.items():
        fields = fields.replace(mark, text)
    return fields.replace("40D", f"40{domain}")


def _vector(name, fields, comment, twin=None, reverse_path="x@e.example"):
    message = f"{fields}\r\nSubject: hello\r\n\r\nHello.\r\n".encode()
    task = {"message": b64(message), "reverse_path": reverse_path, "sealed_only": [STRICT]}
    result = "done" if twin is None else "refused"
    refused = twin and ("ordinary", "seal-demanded")
    return vector(
        "ordinary",
        f"ordinary/{result}/{name}",
        "R-uns-07",
        comment,
        task,
        refused,
        twin and f"ordinary/done/{twin}",
    )


def vectors():
    """All of them."""
    for name, (fields, comment) in NOT_COUNTED.items():
        yield _vector(f"not-{name}", fields, comment)
    for name, (fields, comment) in COUNTED.items():
        yield _vector(name, _filled(fields, OTHER), f"{comment} It is of a domain that need not seal.")
        yield _vector(name, _filled(fields, STRICT), comment, name)
    yield _vector("null-reverse-path", "From: x@e.example", "The reverse-path is null.", reverse_path="")
    path = f"u@{OTHER}"
    yield _vector("reverse-path", "From: x@e.example", "A reverse-path of another domain.", reverse_path=path)
    path = f"u@{STRICT}"
    yield _vector("reverse-path", "From: x@e.example", "The reverse-path.", "reverse-path", path)
    yield _vector("addresses-64", f"From: {', '.join(['x@e.example'] * 64)}", "64 addresses.")
    yield _vector("addresses-65", f"From: {', '.join(['x@e.example'] * 65)}", "65 addresses.", "addresses-64")
    for octets, twin in ((8192, None), (8193, "octets-8192")):
        field = f"From: x@e.example\r\n ({'x' * 4000}"
        sender = "\r\nSender: x@e.example ("
        room = octets - (len(field) - len("From:") - len("\r\n") + 1) - (len(sender) - len("\r\nSender:") + 1)
        fields = f"{field}){sender}{'y' * room})"
        yield _vector(f"octets-{octets}", fields, f"Two fields of {octets:,} octets.", twin)
