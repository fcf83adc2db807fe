"""Carriers as hops may have changed them, for tests and for the cross test ([R-car-04] to [R-car-07])."""

import base64
import quopri

NL = b"\r\n"
TYPE = b"application/mta-seal"
NAMED = b"application/octet-stream; name=x.mtaseal"
ENCODING = b"Content-Transfer-Encoding: "
PLAIN = b"Content-Type: text/plain" + NL + NL + b"hi" + NL


def in_lines(size, text, end=NL):
    """Text in lines."""
    return end.join(text[i : i + size] for i in range(0, len(text), size))


def part(text, media_type=TYPE, encoding=b"base64", disposition=None):
    """A part, without delimiters."""
    fields = (
        (b"Content-Type", media_type),
        (b"Content-Transfer-Encoding", encoding),
        (b"Content-Disposition", disposition),
    )
    return b"".join(n + b": " + v + NL for n, v in fields if v is not None) + NL + text + NL


def mixed(*parts, author=b"mta-seal@a.example", media_type=b"multipart/mixed; boundary=bb", last=True, preamble=b""):
    """A message of parts."""
    head = b"From: " + author + NL + b"Content-Type: " + media_type + NL + NL + preamble
    return head + b"".join(b"--bb" + NL + one for one in parts) + (b"--bb--" + NL if last else b"")


def single(one):
    """A message that is one part."""
    return b"From: mta-seal@a.example" + NL + one


def nested(depth, one, media_type=b"multipart/mixed"):
    """A part inside so many multiparts."""
    for level in range(depth):
        name = b"n%d" % level
        one = b"".join(
            (b"Content-Type: ", media_type, b"; boundary=", name, NL, NL, b"--", name, NL, one, b"--", name, b"--", NL)
        )
    return one


def quoted_printable(octets):
    """Every octet escaped."""
    return (b"=" + NL).join(b"".join(b"=%02X" % c for c in octets[i : i + 24]) for i in range(0, len(octets), 24))


def long_header(size):
    """Fields, and the empty line that ends them, of so many octets."""
    whole, rest = divmod(size - len(NL), 1000)
    short = [b"X-Long: " + b"x" * (rest - 10) + NL] if rest else []
    return b"".join([b"X-Long: " + b"x" * 990 + NL] * whole + short) + NL


def padded_header(message, size):
    """A message with fields before its own, so that its header block has so many octets."""
    own = message.index(NL + NL) + 4
    return long_header(size - own + 2)[:-2] + message


def boundary(value, one):
    """A message of one part, between delimiters with this boundary."""
    head = b"From: mta-seal@a.example" + NL + b'Content-Type: multipart/mixed; boundary="' + value + b'"' + NL + NL
    return head + b"--" + value + NL + one + b"--" + value + b"--" + NL


EMPTY = NL + b"x" + NL


def filler(offset):
    """A preamble after which the text of the first part begins at this octet of the body."""
    return b"x" * (offset - len(b"--bb" + NL + part(b""))) + NL


class Carriers:
    """Carriers of one envelope."""

    def __init__(self, forge):
        self.forge = forge
        self.envelope = forge.envelope()
        self.text = base64.b64encode(self.envelope)
        self.good = self.lines(76)

    def lines(self, size, end=NL):
        """The base64 text in lines."""
        return in_lines(size, self.text, end)

    def tolerated(self):
        """By name: what a receiver must unseal."""
        return {
            "as written": self.forge.carrier(octets=self.envelope),
            "as the body itself": single(part(self.good)),
            "as the only part": mixed(part(self.good)),
            **{f"lines of {size}": mixed(part(self.lines(size))) for size in (1, 4, 75, 77, 500, 997, 998)},
            "white space around lines": mixed(part(self.lines(60, b" \t\r\n \t"))),
            "empty lines": mixed(part(NL + self.lines(60, NL + NL) + NL + NL)),
            "white space around padding": mixed(part(self.good.replace(b"=", b" \r\n=\t"))),
            "quoted-printable of base64": mixed(
                part(quopri.encodestring(self.good.replace(NL, b"\n")).replace(b"\n", NL), encoding=b"quoted-printable")
            ),
            "quoted-printable of the envelope": mixed(
                part(quoted_printable(self.envelope), encoding=b"Quoted-Printable")
            ),
            "quoted-printable in lower case": mixed(
                part(quoted_printable(self.envelope).lower(), encoding=b"quoted-printable")
            ),
            "quoted-printable, white space added": mixed(
                part(quoted_printable(self.envelope).replace(b"=" + NL, b"= \t" + NL), encoding=b"quoted-printable")
            ),
            "quoted-printable, soft break at the end": mixed(
                part(quoted_printable(self.envelope) + b"=", encoding=b"quoted-printable")
            ),
            **{
                f"{encoding} of {name}": mixed(part(text, encoding=encoding))
                for encoding in (b"7bit", b"8bit", b"binary", None)
                for name, text in (("base64", self.good), ("the envelope", self.envelope))
            },
            "the envelope without last delimiter": mixed(part(self.envelope, encoding=b"8bit"), last=False),
            "encoding in capitals and comments": mixed(part(self.good, encoding=b"(c) BASE64 (d)")),
            "encoding with a parameter": mixed(part(self.good, encoding=b"base64; x=y")),
            "last delimiter missing": mixed(part(self.good), last=False),
            "last delimiter and line end missing": mixed(part(self.good), last=False)[:-2],
            "other parts": mixed(PLAIN, part(self.good), PLAIN),
            "text before and after": mixed(part(self.good), preamble=b"list\r\n") + b"footer\r\n",
            "delimiter with white space": mixed(part(self.good)).replace(b"--bb\r\n", b"--bb \t\r\n"),
            "line that only begins like a delimiter": mixed(part(self.good), preamble=b"--bbx\r\n"),
            **{f"{n} outer multipart/mixed more": mixed(nested(n, part(self.good))) for n in (1, 2)},
            "inner delimiter missing": mixed(nested(1, part(self.good))[: -len(b"--n0--\r\n")]),
            **{
                f"content type {text!r}": mixed(part(self.good), media_type=text)
                for text in (
                    b'Multipart/MIXED; Boundary="bb"',
                    b"multipart/mixed;boundary=bb",
                    b"multipart/mixed;\r\n\tboundary=bb",
                    b'multipart/mixed; x=y; boundary="b\\b"',
                    b"multipart/mixed; boundary = bb ; x=y;",
                    b"multipart/mixed (c); (d) boundary=bb (e)",
                    b"multipart/mixed;; boundary=bb;;",
                    b"multipart/mixed; boundary=bb; x=a=b/?c",
                    b"multipart/mixed; boundary=bb; x=1; x=2",
                    b"multipart/mixed; boundary*=us-ascii''bb",
                    b"multipart/mixed; boundary*0=b; boundary*1=b",
                )
            },
            **{
                f"part type {text!r}": mixed(part(self.good, text))
                for text in (
                    b"APPLICATION/MTA-Seal",
                    b"application/mta-seal (c)",
                    b"application/mta-seal;\r\n name=other",
                    b"application/mta-seal; name=a; name=b",
                    b"application/octet-stream; name=x.mtaseal",
                    b'application/octet-stream; NAME="x.MTASEAL"',
                    b"text/plain; name=x.mtaseal",
                    b"application/octet-stream; name*=us-ascii''x.mtaseal",
                )
            },
            **{
                f"disposition {text!r}": mixed(part(self.good, b"application/octet-stream", disposition=text))
                for text in (
                    b"attachment; filename=x.mtaseal",
                    b'INLINE;\r\n FILENAME="x.mtaseal"',
                    b"attachment; filename*=utf-8''x%2Emtaseal",
                    b'attachment; filename*0="x."; filename*1="mtaseal"',
                )
            },
            **{
                f"From {text!r}": mixed(part(self.good), author=text)
                for text in (
                    b"<mta-seal@a.example>",
                    b'"a \\" b, c@d" <mta-seal@a.example>',
                    b"A B <mta-seal@other.example>",
                    b"\r\n mta-seal@A.EXAMPLE (c)",
                    b"=?utf-8?q?a?= <mta-seal@a.example>",
                    b'"mta-seal"@a.example',
                    b'"mta-\\seal"@a.example',
                )
            },
            "added fields": b"Received: x\r\n\ty\r\nX-A: b\r\n" + mixed(part(self.good)),
            "name without magic beside it": mixed(part(b"AAAA", NAMED), part(self.good)),
            "name with an unknown encoding beside it": mixed(part(self.good, NAMED, b"x-uuencode"), part(self.good)),
            "8bit multipart": mixed(
                part(self.good), media_type=b"multipart/mixed; boundary=bb\r\n" + ENCODING + b"8bit"
            ),
            "part at octet 65535": mixed(part(self.good), preamble=filler(65535)),
            "a second one out of reach": mixed(
                part(self.good), nested(3, part(self.good)), nested(1, part(self.good), b"multipart/report")
            ),
            "magic after 1012 octets": mixed(part(b" " * 1012 + self.good)),
            "header block of 262144 octets": padded_header(mixed(part(self.good)), 262144),
            "further part with a header block of 65536 octets": mixed(part(self.good), long_header(65536) + NL),
            "1000 parts": mixed(*[EMPTY] * 500, part(self.good), *[EMPTY] * 499),
            "more parts, the sealed one last": mixed(*[EMPTY] * 1000, part(self.good)),
            "boundary of 200 octets": boundary(b"b" * 200, part(self.good)),
            "boundary with a space": boundary(b"b b", part(self.good)),
            "no magic out of reach beside it": mixed(
                part(self.good), nested(3, part(b"AAAA")), nested(1, part(b"AAAA"), b"multipart/report")
            ),
        }

    def beyond_limits(self):
        """By name: what is refused, and how ([R-car-09])."""
        malformed = "carrier-malformed"
        return {
            "header block of 262145 octets": (padded_header(mixed(part(self.good)), 262145), "header-too-large"),
            "further part with a header block of 65537 octets": (
                mixed(part(self.good), long_header(65537) + NL),
                malformed,
            ),
            "1001 parts": (mixed(*[EMPTY] * 500, part(self.good), *[EMPTY] * 500), malformed),
        }

    def not_recognised(self):
        """By name: what is ordinary mail."""
        return {
            "other author": mixed(part(self.good), author=b"u@a.example"),
            **{
                f"From {text!r}": mixed(part(self.good), author=text)
                for text in (
                    b"MTA-Seal@a.example",
                    b"mta-sealx@a.example",
                    b"mta-seal",
                    b"mta-seal@",
                    b"mta-seal@localhost",
                    b"mta-seal@[192.0.2.1]",
                    b"mta-seal@a.example.",
                    b"mta-seal@a.example, u@a.example",
                    b"mta-seal@a.example <u@a.example>",
                    b"g: mta-seal@a.example;",
                    b"",
                )
            },
            "two From": b"From: u@a.example\r\n" + mixed(part(self.good)),
            "no From": mixed(part(self.good)).replace(b"From:", b"Fro:"),
            "no field before From": b"no field\r\n" + mixed(part(self.good)),
            "four deep": mixed(nested(3, part(self.good))),
            **{
                f"inside {kind}": mixed(nested(1, part(self.good), kind))
                for kind in (b"multipart/report", b"multipart/alternative", b"multipart/signed", b"multipart/digest")
            },
            "inside message/rfc822": mixed(
                b"Content-Type: message/rfc822" + NL + NL + self.forge.carrier(octets=self.envelope)
            ),
            "outer type": mixed(part(self.good), media_type=b"multipart/related; boundary=bb"),
            "boundary twice": mixed(part(self.good), media_type=b"multipart/mixed; boundary=bb; boundary=bb"),
            "base64 multipart": mixed(
                part(self.good), media_type=b"multipart/mixed; boundary=bb\r\n" + ENCODING + b"base64"
            ),
            "message type with a name": mixed(part(self.good, b"message/x; name=x.mtaseal")),
            "multipart type with a name": mixed(part(self.good, b"multipart/x; name=x.mtaseal")),
            "name with an unknown encoding": mixed(part(self.good, NAMED, b"x-uuencode")),
            "part header with a line that is no field": mixed(b"no field" + NL + part(self.good)),
            "magic after 1014 octets, by name": mixed(part(b" " * 1014 + self.good, NAMED)),
            "no boundary": mixed(part(self.good), media_type=b"multipart/mixed"),
            "neither type nor name": mixed(part(self.good, b"application/octet-stream")),
            "name with white space": mixed(part(self.good, b'application/octet-stream; name="x.mtaseal "')),
            "name of the suffix alone": mixed(part(self.good, b"application/octet-stream; name=.mtaseal")),
            "quoted local part of another": mixed(part(self.good), author=b'"mta-seal "@a.example'),
            "name without magic": mixed(part(b"AAAA", NAMED)),
            "name and another encoding": mixed(part(self.good, NAMED, b"x-uuencode")),
            "two out of reach": mixed(part(self.good), part(self.good), preamble=filler(65536)),
            "no magic out of reach": mixed(part(b"AAAA"), preamble=filler(65536)),
            "boundary of 201 octets": boundary(b"b" * 201, part(self.good)),
            "boundary that ends with a space": boundary(b"b ", part(self.good)),
            "boundary not of ASCII": boundary("b\u00fc".encode(), part(self.good)),
            "part at octet 65536": mixed(part(self.good), preamble=filler(65536)),
            "lines of LF": mixed(part(self.good)).replace(NL, b"\n"),
        }
