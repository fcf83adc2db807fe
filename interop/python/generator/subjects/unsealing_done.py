"""What is unsealed: the twins of the refusals."""

from mta_seal_py.extension import Extension
from mta_seal_py.paths import ForwardPath, ReversePath
from mta_seal_py.prefix import FOREIGN

from ..envelopes import Forgery
from ..parties import NOW, WINDOW, A, B, C, in_json, own_keys, published
from . import orcpts
from .unsealing import UNALIGNED, Subject, by, claimed_by_delivery, extension, setting, with_header, with_header_of

LONG = b"Subject: long\r\n\r\n" + b"0123456789abcdef0123456789abcdef0123456789abcdef012345678901\r\n" * 700


def vectors():
    """All of them."""
    subject = Subject()
    done = subject.done
    done("plain", "R-uns-01 R-env-05", "Everything plain, suite 1.")
    done("suite-2", "R-uns-01 R-suite-01", "Everything plain, suite 2.", suite=2)
    done("empty", "R-con-04", "A message of no octets.", change=setting(message=b""))
    done("long", "R-con-04 R-env-07", "Blocks and chunks, more than two of each.", change=setting(message=LONG))
    done(
        "small-blocks",
        "R-con-04 R-seal-07",
        "Blocks of 5 octets, one border of which is between a CR and its LF.",
        change=setting(block_size=5, message=b"abcd\r\nefgh\r\n"),
    )
    done("no-last-line-end", "R-con-04", "The last line has no end.", change=setting(message=b"Subject: x\r\n\r\nend"))
    room = 4096 - len(Forgery("unseal/done/exact").prefix()) - 3 - 128 - 4
    exact = b"Subject: x\r\n\r\n" + b"x" * (room - 16) + b"\r\n"
    done("exact", "R-con-05", "A content of exactly 4,096 octets: no padding.", change=setting(message=exact))
    done("padding-4352", "R-con-05", "One octet more.", change=setting(message=exact[:-2] + b"y\r\n"))
    room = 16384 - len(Forgery("unseal/done/empty-chunk").prefix()) - 3 - 128 - 4
    full = b"Subject: x\r\n\r\n" + b"x" * (room - 16) + b"\r\n"
    text = "A content of exactly a chunk: the last one is empty."
    done("empty-chunk", "R-env-07", text, change=setting(message=full))
    done(
        "extension",
        "R-env-03",
        "An unknown extension that is not critical, in the header.",
        change=setting(header_extensions=extension(5, 0, b"x")),
    )
    done(
        "extensions",
        "R-env-03",
        "Two of them, in order.",
        change=setting(header_extensions=extension(1, 0) + extension(2, 0, b"y")),
    )
    room = 4096 - len(Forgery("x").header()) - 5
    done(
        "header-4096",
        "R-env-02",
        "A header of 4,096 octets.",
        change=setting(header_extensions=extension(1, 0, bytes(room))),
    )
    done(
        "prefix-extension",
        "R-con-01",
        "An unknown extension that is not critical, in the prefix.",
        change=setting(extensions=(Extension(5, 0, b"x"),)),
    )
    done("unknown-flag", "R-con-01", "An unknown flag is ignored.", change=setting(flags=0x8000))
    done(
        "parameters",
        "R-con-01 R-con-02",
        "All parameters of the paths.",
        change=setting(
            reverse_path=ReversePath('"a b"@a.example', body=2, smtputf8=0, ret=2, envid="QQ+2B314159"),
            forward_paths=(
                ForwardPath("v@b.example", notify=14, orcpt="rfc822;a+2Bb@b.example"),
                ForwardPath("w@b.example", notify=1),
            ),
        ),
        recipients=("v@b.example", "w@b.example"),
    )
    done(
        "utf-8",
        "R-con-01 R-uns-05",
        "Mailboxes that are not ASCII, with SMTPUTF8.",
        change=setting(
            reverse_path=ReversePath("\u00fc@a.example", smtputf8=1), forward_paths=(ForwardPath("\u00e4@b.example"),)
        ),
        recipients=("\u00e4@b.example",),
    )
    done(
        "forward-path-utf-8",
        "R-con-02 R-uns-05",
        "A forward-path that is not ASCII, with SMTPUTF8.",
        change=setting(
            reverse_path=ReversePath("u@a.example", smtputf8=1),
            forward_paths=(ForwardPath("v@b.example"), ForwardPath("\u00e4@b.example")),
        ),
        recipients=None,
    )
    done(
        "reverse-path-utf-8",
        "R-con-02 R-uns-05",
        "A reverse-path that is not ASCII, with SMTPUTF8.",
        change=setting(reverse_path=ReversePath("\u00fc@a.example", smtputf8=1)),
    )
    received = setting(message=with_header(b"Received: x\r\n" * 50))
    done("received-50", "R-seal-08", "50 Received fields.", change=received)
    change = setting(message=with_header_of(262144))
    done("inner-header-262144", "R-car-09", "A header block of 262,144 octets.", change=change)
    done("aligned", "R-uns-11", "By one author of the sender domain, as is required.", require_aligned=True)
    change = setting(reverse_path=ReversePath(""))
    text = "The null reverse-path is not foreign."
    done("aligned-null-reverse-path", "R-uns-11", text, change=change, require_aligned=True)
    change = setting(message=by("Ann <U@A.Example> (at home)"))
    done("aligned-named", "R-uns-11", "With a display name and a comment.", change=change, require_aligned=True)
    for name, authors, text in UNALIGNED:
        done(f"author-{name}", "R-uns-11", f"{text} Nothing is required.", change=setting(message=by(authors)))
    for name, (orcpt, text) in orcpts.DONE.items():
        change = setting(
            reverse_path=ReversePath("u@a.example", smtputf8=int(not orcpt.isascii())),
            forward_paths=(ForwardPath("v@b.example", orcpt=orcpt),),
        )
        done(name, "R-con-02", text, change=change)
    done(
        "domain-spelling",
        "R-con-02 R-uns-03",
        "The domain of a path in capitals, and of the outer recipient otherwise.",
        change=setting(reverse_path=ReversePath("u@A.Example"), forward_paths=(ForwardPath("v@B.EXAMPLE"),)),
        recipients=("v@b.Example",),
    )
    done(
        "quoted",
        "R-con-02",
        "A quoted local part with an @ in it.",
        change=setting(forward_paths=(ForwardPath('"v@w"@b.example'),)),
        recipients=('"v@w"@b.example',),
    )
    local = "v" * 255 + "@b.example"
    done(
        "local-part-255",
        "R-con-02",
        "The longest local part.",
        change=setting(forward_paths=(ForwardPath(local),)),
        recipients=(local,),
    )
    done("null-reverse-path", "R-uns-01", "The null reverse-path.", change=setting(reverse_path=ReversePath("")))
    done(
        "foreign-reverse-path",
        "R-seal-02 R-uns-01",
        "A reverse-path of another domain, flagged so.",
        change=setting(reverse_path=ReversePath("u@z.example"), flags=FOREIGN),
    )
    done(
        "reverse-path-address-literal",
        "R-id-01 R-seal-02",
        "A reverse-path at an address literal, flagged foreign.",
        change=setting(reverse_path=ReversePath("u@[IPv6:2001:db8::1]"), flags=FOREIGN),
    )
    done(
        "reverse-path-underscore",
        "R-id-01 R-seal-02",
        "A reverse-path of a domain with _, flagged foreign.",
        change=setting(reverse_path=ReversePath("u@a_b.example"), flags=FOREIGN),
    )
    done("oldest", "R-uns-01", "As old as the window.", change=setting(sealed_at=NOW - WINDOW))
    done("newest", "R-uns-01", "As far in the future as is tolerated.", change=setting(sealed_at=NOW + 3600))
    two = (ForwardPath("v@b.example"), ForwardPath("w@b.example"))
    done(
        "one-of-two",
        "R-uns-03",
        "One of two signed recipients is an outer one, and one outer recipient was not signed.",
        change=setting(forward_paths=two),
        recipients=("z@b.example", "w@b.example"),
    )
    done("whole-list", "R-uns-03", "The whole signed list.", change=setting(forward_paths=two), recipients=None)
    done(
        "other-recipient-claimed",
        "R-uns-04",
        "One recipient had the message before, the other gets it.",
        change=setting(forward_paths=two),
        recipients=None,
        claims=claimed_by_delivery,
    )
    many = tuple(ForwardPath(f"v{i}@b.example") for i in range(1000))
    done(
        "thousand", "R-con-01", "1,000 forward-paths.", change=setting(forward_paths=many), recipients=("v7@b.example",)
    )
    done(
        "mode-none",
        "R-dec-19",
        "The policy of the sender has mode none, and lists the signing key.",
        records=in_json(published(A, "none")[:1]),
    )
    done(
        "policy-first-second",
        "R-rec-06",
        "The policy's serial is 3,600 seconds ahead.",
        records=in_json(published(A, serial=NOW + 3600)[:1]),
    )
    done(
        "policy-last-second",
        "R-rec-06",
        "The policy expires in a second.",
        records=in_json(published(A, expiry=NOW + 1)[:1]),
    )
    done(
        "second-domain",
        "R-uns-01",
        "The gateway has two domains, each with its own keys.",
        own_keys=[own_keys(C), own_keys(B)],
    )
    return subject.made
