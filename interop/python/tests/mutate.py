"""Damages carriers and records at random, for the cross test."""

TOKENS = (
    *(b'"', b";", b"=", b"(", b")", b"\\", b",", b":", b"<", b">", b"@", b"*", b"/", b"'", b" ", b"\t", b"\0", b"\xff"),
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n ",
        b"\r\n\r\n",
        b"--bb",
        b"--",
        b"name=",
        b"boundary=",
        b"base64",
        b"x",
        b".mtaseal",
    ),
    *(b"mta-seal@", b"multipart/mixed", b"application/mta-seal", b"Content-Type: "),
)
RECORD_TOKENS = (
    *(b";", b"; ", b" ", b"\t", b"=", b",", b":", b"0", b"1", b"a", b"A", b"-", b"+", b"/", b"!", b'"', b"~", b"\x7f"),
    *(b"v=", b"s=", b"m=", b"k=", b"; s=AAAA", b"; zz=1", b"\n", b"\r"),
)


def mutate(random, octets, until, tokens):
    """The octets with one to three changes, most of them before `until`."""
    changed = bytearray(octets)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        end = max(1, min(len(changed), until if random.random() < 0.9 else len(changed)))
        position, kind = random.randrange(end), random.random()
        if kind < 0.4:
            changed[position:position] = random.choice(tokens)
        elif kind < 0.65:
            del changed[position : position + random.choice((1, 1, 2, 5, 20))]
        elif kind < 0.8:
            changed[position] = random.choice(b'abcXYZ019 ;="\r\n\t/=+-_@<>(),')
        else:
            start = random.randrange(end)
            changed[position:position] = changed[start : start + random.choice((1, 5, 30, 100))]
    return bytes(changed)
