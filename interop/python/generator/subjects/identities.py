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
