"""What of the schema follows from elsewhere: the identifiers of the draft's requirements, and the stages of each kind.

The rest of `test-vectors/schema/vectors.json` is written by hand and left as it is.
"""

import json
import re
from pathlib import Path

DRAFT = Path(__file__).resolve().parents[3] / "spec" / "draft-mta-seal.md"

RECORD = ("record", "record-signature")
CARRIER = ("limits", "domain")
# In the order of [R-uns-01], as test-vectors/README.md has them.
ENVELOPE = """
key hpke commitment body prefix sender-policy opening type paths reverse-path time delivered recipients bytes blocks
padding closing
""".split()
STAGES = {
    "identity": ("identity",),
    "keys": (),
    "public-keys": ("public-key",),
    "words": ("words",),
    "signature": ("signature",),
    "policy-record": RECORD,
    "key-record": ("key-record",),
    "rollover": (*RECORD, "rollover"),
    "records": (*RECORD, "policy"),
    "decide": ("decision",),
    "padding": (),
    "ids": ("limits",),
    "seal": (*RECORD, "policy", "path", "bytes"),
    "unseal": ("recognition", *CARRIER, *ENVELOPE),
    "recognise": ("recognition", *CARRIER),
    "ordinary": ("ordinary",),
    "inspect": ("recognition", "limits"),
    # Ordinary mail is no matter of vectors, and nothing was delivered before.
    "smtp": (*CARRIER, *(stage for stage in ENVELOPE if stage != "delivered")),
}


def requirements():
    """The identifiers that the draft defines, in its order."""
    return re.findall(r"^\n\[(R-[a-z0-9]+-[0-9]{2})\]", DRAFT.read_text("utf-8"), re.MULTILINE)


def _refused(kind, stages):
    """The refusal of a kind."""
    properties = {
        "result": {"const": "refused"},
        "stage": {"enum": list(stages)},
        "failure": {"$ref": "#/$defs/failure"},
    }
    if kind == "smtp":
        properties["replies"] = {"type": "array", "items": {"type": "string"}}
    return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties}


def _of_kind(kind):
    """What the input and the answers of a kind are."""
    answers = [f"done-{kind}", *([f"refused-{kind}"] if STAGES[kind] else [])]
    expected = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in answers]}
    then = {"properties": {"input": {"$ref": f"#/$defs/input-{kind}"}, "expected": expected}}
    return {"if": {"properties": {"kind": {"const": kind}}}, "then": then}


def renewed(schema):
    """A schema with what follows from elsewhere."""
    definitions = {name: one for name, one in schema["$defs"].items() if not name.startswith("refused-")}
    definitions["requirement"] = {"description": "defined in the draft", "enum": requirements()}
    definitions |= {f"refused-{kind}": _refused(kind, stages) for kind, stages in STAGES.items() if stages}
    vector = definitions.pop("vector")
    properties = {**vector["properties"], "kind": {"enum": list(STAGES)}}
    properties["requirements"] = {**properties["requirements"], "items": {"$ref": "#/$defs/requirement"}}
    definitions["vector"] = {**vector, "properties": properties, "allOf": [_of_kind(kind) for kind in STAGES]}
    return {**schema, "$defs": definitions}


def text(path):
    """The text of the schema at this path, with what follows from elsewhere."""
    return json.dumps(renewed(json.loads(path.read_text("ascii"))), indent=1, ensure_ascii=True) + "\n"
