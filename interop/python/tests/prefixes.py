"""Prefixes from a.example to b.example, for tests and for the cross test ([R-con-01], [R-uns-01])."""

from mta_seal_py import failures
from mta_seal_py.extension import Extension
from mta_seal_py.paths import ForwardPath, ReversePath
from mta_seal_py.prefix import FOREIGN

from .forge import NOW

ACCEPTED = [
    {"flags": 0x8001},
    {"forward_paths": tuple(ForwardPath(f"v{i}@b.example") for i in range(1000))},
    {"forward_paths": (ForwardPath("v@B.EXAMPLE"),)},
    {"forward_paths": (ForwardPath('"a@b"@b.example'),)},
    {"forward_paths": (ForwardPath("\u00fc@b.example"),), "reverse_path": ReversePath("u@a.example", smtputf8=1)},
    {"reverse_path": ReversePath("\u00fc@a.example", smtputf8=1)},
    {"forward_paths": (ForwardPath("v" * 255 + "@b.example"),)},
    {"reverse_path": ReversePath("")},
    {"reverse_path": ReversePath(""), "flags": FOREIGN},
    {"reverse_path": ReversePath("u@A.Example")},
    {"reverse_path": ReversePath("u@z.example"), "flags": FOREIGN},
    {"reverse_path": ReversePath("u@[192.0.2.1]"), "flags": FOREIGN},
    {"sealed_at": NOW - 1209600},
    {"sealed_at": NOW + 3600},
    {"extensions": (Extension(1, 0, b"x"),)},
    *({"forward_paths": (ForwardPath("v@b.example", notify=n),)} for n in (1, 2, 4, 6, 8, 10, 12, 14)),
    *({"reverse_path": ReversePath("u@a.example", body=n, ret=n)} for n in (1, 2)),
]

REFUSED = [
    (failures.PrefixRefused, {"type": 0}),
    (failures.PrefixRefused, {"type": 3}),
    (failures.TypeRefused, {"type": 2}),
    (failures.PrefixRefused, {"sender_domain": "A.example"}),
    (failures.PrefixRefused, {"sender_domain": "localhost"}),
    (failures.PrefixRefused, {"extensions": (Extension(1, 1, b""),)}),
    (failures.PrefixRefused, {"extensions": (Extension(2, 0, b""), Extension(1, 0, b""))}),
    (failures.PrefixRefused, {"forward_paths": tuple(ForwardPath(f"v{i}@b.example") for i in range(1001))}),
    *[
        (failures.PrefixRefused, {"forward_paths": (ForwardPath(text),)})
        for text in ("\x01@b.example", '"\t"@b.example', '"\x7f"@b.example', "\x85@b.example")
    ],
    *[
        (failures.PrefixRefused, {"forward_paths": (ForwardPath("v@b.example", notify=n),)})
        for n in (3, 5, 7, 9, 15, 16, 255)
    ],
    *[(failures.PrefixRefused, {"reverse_path": ReversePath("u@a.example", body=n)}) for n in (3, 255)],
    *[(failures.PrefixRefused, {"reverse_path": ReversePath("u@a.example", ret=n)}) for n in (3, 255)],
    *[(failures.PrefixRefused, {"reverse_path": ReversePath("u@a.example", smtputf8=n)}) for n in (2, 255)],
    *[
        (failures.PathsRefused, {"forward_paths": (ForwardPath("v@b.example"), ForwardPath(text))})
        for text in (
            "v@c.example",
            "v@x.b.example",
            "postmaster",
            "<v@b.example>",
            "v v@b.example",
            "v@[192.0.2.1]",
            "v.@b.example",
            "v@b.example.",
            "@c.example:v@b.example",
            "v" * 256 + "@b.example",
        )
    ],
    (failures.PathsRefused, {"forward_paths": (ForwardPath("v@b.example"), ForwardPath("\u00fc@b.example"))}),
    (failures.PathsRefused, {"reverse_path": ReversePath("\u00fc@a.example")}),
    (failures.PathsRefused, {"forward_paths": (ForwardPath("v@b.example", orcpt="garbage"),)}),
    (failures.PathsRefused, {"reverse_path": ReversePath("u@a.example", envid="a b")}),
    (failures.PathsRefused, {"reverse_path": ReversePath("u", envid="")}),
    (failures.ReversePathRefused, {"reverse_path": ReversePath("u@z.example")}),
    (failures.ReversePathRefused, {"reverse_path": ReversePath("u@x.a.example")}),
    (failures.TimeRefused, {"sealed_at": NOW - 1209601}),
    (failures.TimeRefused, {"sealed_at": NOW + 3601}),
    (failures.TimeRefused, {"sealed_at": 2**64 - 1}),
    (failures.RecipientsRefused, {"forward_paths": ()}),
    (failures.SenderPolicyRefused, {"sender_domain": "z.example"}),
]
