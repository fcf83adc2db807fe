"""Writes and checks the files of `test-vectors/`."""

import argparse
import json
from pathlib import Path

from . import schema
from .subjects import (
    carriers,
    decisions,
    dialogs,
    identities,
    ids,
    keys,
    ordinary,
    paddings,
    records,
    seals,
    signatures,
    unsealing_done,
    unsealing_refused,
    words,
)

SUBJECTS = {
    "identities": identities.vectors,
    "keys": keys.vectors,
    "words": words.vectors,
    "signatures": signatures.vectors,
    "records": records.vectors,
    "decisions": decisions.vectors,
    "padding": paddings.vectors,
    "ids": ids.vectors,
    "seal": seals.vectors,
    "unseal-done": unsealing_done.vectors,
    "unseal-refused": unsealing_refused.vectors,
    "carriers": carriers.vectors,
    "smtp": dialogs.vectors,
    "ordinary": ordinary.vectors,
}


def files():
    """The text of every file by its name."""
    made = {subject: list(vectors()) for subject, vectors in SUBJECTS.items()}
    results = {}
    for vector in (one for vectors in made.values() for one in vectors):
        if vector["name"] in results:
            raise SystemExit(f"two vectors are called {vector['name']}")
        results[vector["name"]] = vector["expected"]["result"]
    for vector in (one for vectors in made.values() for one in vectors):
        if "twin" in vector and results.get(vector["twin"]) != "done":
            raise SystemExit(f"{vector['name']} has no twin {vector['twin']}")
    return {
        f"{subject}.json": json.dumps({"subject": subject, "vectors": vectors}, indent=1, ensure_ascii=True) + "\n"
        for subject, vectors in made.items()
    }


def main(arguments=None):
    """Exit code 0 done, 1 different."""
    parser = argparse.ArgumentParser(prog="vectors", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", type=Path, metavar="DIR", help="write the files")
    action.add_argument("--check", type=Path, metavar="DIR", help="compare them, octet by octet")
    options = parser.parse_args(arguments)
    made = files()
    folder = options.write or options.check
    made["schema/vectors.json"] = schema.text(folder / "schema" / "vectors.json")
    present = {path.name for path in folder.glob("*.json")} | {"schema/vectors.json"}
    if options.write:
        for name in present - set(made):
            (folder / name).unlink()
        for name, text in made.items():
            (folder / name).write_text(text, encoding="ascii")
        return 0
    different = (present ^ set(made)) | {
        name for name in present & set(made) if (folder / name).read_text(encoding="ascii") != made[name]
    }
    for name in sorted(different):
        print(f"{folder / name}: not what the generator makes")
    total = sum(len(json.loads(text).get("vectors", ())) for text in made.values())
    print(f"{total} vectors, {len(different)} files differ")
    return 1 if different else 0
