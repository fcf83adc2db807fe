"""Domains as people write them ([R-id-01], [R-id-02])."""

from ..vector import vector

DONE = {
    "plain": ("b.example", "As it is."),
    "capitals": ("B.Example", "Lower case is the identity."),
    "u-label": ("b\u00fccher.example", "A U-label becomes an A-label."),
    "u-label-capital": ("B\u00dcCHER.example", "Mapped to lower case first (UTS #46)."),
    "sharp-s": ("stra\u00dfe.example", "Without transitional processing it stays, and is not ss."),
    "a-label": ("xn--bcher-kva.example", "An A-label as it is."),
    "no-a-label": ("xn--99999999999.example", "ASCII that begins like an A-label stands as it is."),
    "hyphens": ("ab--c.example", "ASCII may have - in third and fourth place."),
    "underscore": ("a_b.example", "Letters, digits, - and _."),
    "label-of-63": ("a" * 63 + ".example", "The longest label."),
    "domain-of-253": (".".join(["a" * 63] * 3 + ["b" * 61]), "The longest name."),
    "right-to-left": ("\u05d0\u05d11.example", "Right to left, with a digit at its end."),
    "left-to-right-beside": ("b1.\u05d0\u05d1.example", "Beside it a label from left to right."),
    "zwnj": ("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example", "A non-joiner between letters that would join."),
    "zwj": ("\u0915\u094d\u200d\u0937.example", "A joiner after a virama."),
    "digits-in-the-last-label": ("b.example1", "The last label is not digits alone."),
    "subdomain": ("x.b.example", "Another identity than b.example."),
}
REFUSED = {
    "one-label": ("example", "plain", "At least two labels."),
    "trailing-dot": ("b.example.", "plain", "No trailing dot."),
    "empty-label": ("b..example", "plain", "No empty label."),
    "empty": ("", "plain", "Nothing at all."),
    "label-of-64": ("a" * 64 + ".example", "label-of-63", "One octet too many in a label."),
    "domain-of-254": (".".join(["a" * 63] * 3 + ["b" * 62]), "domain-of-253", "One octet too many."),
    "hyphen-first": ("-b.example", "plain", "A label begins with -."),
    "hyphen-last": ("b-.example", "plain", "A label ends with -."),
    "digits-last": ("b.example.1", "digits-in-the-last-label", "The last label is digits alone."),
    "address": ("192.0.2.1", "digits-in-the-last-label", "An address is no domain."),
    "space": ("b b.example", "plain", "A space in a label."),
    "underscore-and-u-label": ("a_b.b\u00fccher.example", "u-label", "A name with a U-label has no _ (UTS #46)."),
    "underscore-in-u-label": ("b_\u00fc.example", "u-label", "Nor has a U-label."),
    "hyphen-last-in-u-label": ("b\u00fc-.example", "u-label", "A U-label ends with -."),
    "hyphens-and-u-label": ("ab--c.b\u00fccher.example", "u-label", "Nor - in third and fourth place."),
    "no-a-label-and-u-label": ("xn--99999999999.b\u00fccher.example", "u-label", "Nor an A-label that is none."),
    "mark-first": ("\u0301\u00fc.example", "u-label", "A label begins with a combining mark (UTS #46)."),
    "bidi-digit-first": ("1\u05d0\u05d1.example", "right-to-left", "It begins with the digit (CheckBidi)."),
    "bidi-mixed": ("\u05d0b\u05d11.example", "right-to-left", "A letter from left to right within (CheckBidi)."),
    "bidi-digits": ("\u05d0\u06611.example", "right-to-left", "Digits of two kinds (CheckBidi)."),
    "bidi-beside": (
        "1b.\u05d0\u05d1.example",
        "left-to-right-beside",
        "The label beside it begins with a digit (CheckBidi).",
    ),
    "joiner-alone": ("\u0915\u200d\u0937.example", "zwj", "The joiner is not after a virama (CheckJoiners)."),
    "non-joiner-alone": (
        "\u0646\u0627\u0645\u0627\u200c\u0627\u06cc.example",
        "zwnj",
        "The letter before the non-joiner does not join (CheckJoiners).",
    ),
    "literal": ("[192.0.2.1]", "plain", "An address literal has no identity [R-id-02]."),
}


def vectors():
    """All of them."""
    for name, (domain, comment) in DONE.items():
        yield vector("identity", f"identity/done/{name}", "R-id-01", comment, {"domain": domain})
    for name, (domain, twin, comment) in REFUSED.items():
        requirements = "R-id-01 R-id-02" if name in ("literal", "address") else "R-id-01"
        task = {"domain": domain}
        refused = ("identity", "none")
        yield vector(
            "identity", f"identity/refused/{name}", requirements, comment, task, refused, f"identity/done/{twin}"
        )
