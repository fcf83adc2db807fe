"""ORCPT of its grammar and not, one fault each ([R-con-02])."""

PLAIN = "utf-8;v\\x{FC}@b.example"
# Its escapes count, also those that stand for what is not ASCII: 6 + 80 * 6 + 14.
LONGEST = "utf-8;" + "\u00fc" * 80 + "abcd@b.example"
UNITEXT = "orcpt-utf-8-unitext"

# By name: ORCPT, and what it is.
DONE = {
    "orcpt-utf-8": (PLAIN, "An ORCPT of type utf-8."),
    UNITEXT: ("utf-8;v\u00fc@b.example", "A character that is not ASCII stands for itself."),
    "orcpt-utf-8-mixed": ("utf-8;\u00fc\\x{FC}@b.example", "One character stands for itself, one is escaped."),
    "orcpt-utf-8-digits": ("utf-8;v\\x{fC}@b.example", "Hexadecimal digits of either case."),
    "orcpt-utf-8-ascii": ("utf-8;a\\x{20}\\x{2b}\\x{3D}\\x{5C}@b.example", "All escapes that stand for ASCII."),
    "orcpt-utf-8-points": (
        "utf-8;\\x{A0}\\x{FF}\\x{100}\\x{FFF}\\x{1000}\\x{D7FF}\\x{E000}\\x{FFFF}"
        "\\x{10000}\\x{FFFFF}\\x{100000}\\x{10FFFF}",
        "The first and the last number of each length, and those around the surrogates.",
    ),
    "orcpt-utf-8-first": (
        "utf-8;\u00a0\u2028\U0010ffff",
        "Characters that are not ASCII: the first, a line separator, the last.",
    ),
    "orcpt-utf-8-qchars": ("utf-8;!\"#$%&'()*,-./:;<>?@[]^_`{|}~", "All signs that stand for themselves."),
    "orcpt-utf-8-500": (LONGEST, "500 octets once all is escaped."),
    "orcpt-case": ("Utf-8;v\\x{FC}@b.example", "The type in another case."),
    "orcpt-octets": ("rfc822;+20+21+7E+80+FF", "Octets in xtext: the first and last of those allowed."),
    "orcpt-xchars": ("rfc822;!\"#$%&'()*,-./:;<>?@[\\]^_`{|}~", "All signs that stand for themselves in xtext."),
    "orcpt-type": ("!#$%&'*+-/?^_`{|}~aZ9;v", "A type of all signs that an atom may have."),
    "orcpt-no-mailbox": ("rfc822;v", "What is no mailbox."),
}

# By name: ORCPT, what is wrong, and the twin.
REFUSED = {
    "orcpt": ("garbage", "ORCPT without address type.", "orcpt-no-mailbox"),
    "orcpt-lower-case": ("rfc822;a+2bb@b.example", "Xtext with a hexadecimal digit in lower case.", "orcpt-octets"),
    "orcpt-one-digit": ("rfc822;a+2", "Xtext ends after one digit.", "orcpt-octets"),
    "orcpt-line-feed": ("rfc822;a+0Ab", "Xtext stands for a line feed.", "orcpt-octets"),
    "orcpt-unit-separator": ("rfc822;a+1Fb", "Xtext stands for the control character before space.", "orcpt-octets"),
    "orcpt-delete": ("rfc822;a+7Fb", "Xtext stands for the control character 7F.", "orcpt-octets"),
    "orcpt-equals": ("rfc822;a=b", "Xtext with an equals sign.", "orcpt-xchars"),
    "orcpt-space": ("rfc822;a b", "Xtext with a space.", "orcpt-xchars"),
    "orcpt-empty": ("rfc822;", "Nothing after the type.", "orcpt-no-mailbox"),
    "orcpt-not-ascii": ("rfc822;\u00fc", "A character that is not ASCII, of another type than utf-8.", UNITEXT),
    "orcpt-no-type": (";v", "An empty type.", "orcpt-no-mailbox"),
    "orcpt-type-equals": ("a=b;v", "A type with an equals sign.", "orcpt-type"),
    "orcpt-type-dot": ("a.b;v", "A type with a dot.", "orcpt-type"),
    "orcpt-type-space": ("a b;v", "A type with a space.", "orcpt-type"),
    "orcpt-type-not-ascii": ("\u00fc;v", "A type that is not ASCII.", UNITEXT),
    "orcpt-utf-8-empty": ("utf-8;", "Nothing after the type.", "orcpt-utf-8"),
    "orcpt-utf-8-xtext": ("utf-8;v+2B@b.example", "Xtext, of type utf-8.", "orcpt-utf-8"),
    "orcpt-utf-8-xtext-case": ("UTF-8;v+2B@b.example", "Xtext, of type utf-8 in capitals.", "orcpt-case"),
    "orcpt-utf-8-equals": ("utf-8;v=@b.example", "An equals sign.", "orcpt-utf-8"),
    "orcpt-utf-8-space": ("utf-8;v v", "A space.", "orcpt-utf-8"),
    "orcpt-utf-8-backslash": ("utf-8;v\\@b.example", "A backslash that begins no escape.", "orcpt-utf-8"),
    "orcpt-utf-8-capital": ("utf-8;v\\X{FC}@b.example", "An escape with a capital X.", "orcpt-utf-8"),
    "orcpt-utf-8-unended": ("utf-8;v\\x{FC", "An escape without end.", "orcpt-utf-8"),
    "orcpt-utf-8-no-digits": ("utf-8;v\\x{}", "An escape without digits.", "orcpt-utf-8"),
    "orcpt-utf-8-sign": ("utf-8;v\\x{+FC}", "An escape with a sign.", "orcpt-utf-8"),
    "orcpt-utf-8-not-hexadecimal": ("utf-8;v\\x{FG}", "An escape with another letter.", "orcpt-utf-8"),
    "orcpt-utf-8-zero": ("utf-8;v\\x{0FC}", "An escape with a leading zero.", "orcpt-utf-8"),
    "orcpt-utf-8-letter": ("utf-8;\\x{76}@b.example", "A letter that is escaped.", "orcpt-utf-8"),
    "orcpt-utf-8-line-feed": ("utf-8;v\\x{0A}", "A control character that is escaped.", "orcpt-utf-8-ascii"),
    "orcpt-utf-8-one-digit": ("utf-8;v\\x{A}", "The same in one digit.", "orcpt-utf-8-ascii"),
    "orcpt-utf-8-control": ("utf-8;v\\x{1F}", "The last control character before space, escaped.", "orcpt-utf-8-ascii"),
    "orcpt-utf-8-delete": ("utf-8;v\\x{7F}", "The control character 7F, escaped.", "orcpt-utf-8-ascii"),
    "orcpt-utf-8-c1": ("utf-8;v\\x{9F}", "The last of the control characters after it, escaped.", "orcpt-utf-8-points"),
    "orcpt-utf-8-surrogate": ("utf-8;v\\x{D800}", "The first surrogate.", "orcpt-utf-8-points"),
    "orcpt-utf-8-last-surrogate": ("utf-8;v\\x{DFFF}", "The last surrogate.", "orcpt-utf-8-points"),
    "orcpt-utf-8-beyond": ("utf-8;v\\x{110000}", "A number above all characters.", "orcpt-utf-8-points"),
    "orcpt-utf-8-seven-digits": ("utf-8;v\\x{1000000}", "Seven digits.", "orcpt-utf-8-points"),
    "orcpt-utf-8-501": (LONGEST.replace("abcd", "abcde"), "501 octets once all is escaped.", "orcpt-utf-8-500"),
}
# Refused by more than the ORCPT itself: it is not ASCII, and smtputf8 is 0.
WITHOUT_SMTPUTF8 = ("orcpt-smtputf8", "utf-8;v\u00fc@b.example", "An ORCPT is not ASCII, and smtputf8 is 0.", UNITEXT)
