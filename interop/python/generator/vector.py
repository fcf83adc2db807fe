"""Vectors: what they must say is declared, and the answer of the second implementation must agree."""

from mta_seal_py.tasks import KINDS, answer


class Wrong(Exception):
    """A vector does not come out as it was declared."""


def agrees(answered, wanted):
    """Whether an answer is the expected one; of a reply only the beginning counts."""
    replies, beginnings = answered.get("replies", []), wanted.get("replies", [])
    begin = len(replies) == len(beginnings) and all(map(str.startswith, replies, beginnings))
    return begin and {**answered, "replies": beginnings} == {**wanted, "replies": beginnings}


def refusal(stage, failure):
    """What is expected of a refusal."""
    return {"result": "refused", "stage": stage, "failure": failure}


def vector(kind, name, requirements, comment, task, refused=None, twin=None, expected=None):
    """One vector; `refused` is (stage, failure), `expected` what this implementation cannot compute itself."""
    computed = expected is None or kind == "smtp"
    answered = answer(kind, task) if kind in KINDS and computed else None
    wanted = expected or (refusal(*refused) if refused else answered)
    if answered is not None and (not agrees(answered, wanted) or wanted["result"] == "unsupported"):
        raise Wrong(f"{name}: {str(answered)[:300]}, not {str(wanted)[:300]}")
    if (wanted["result"] == "refused") != (twin is not None):
        raise Wrong(f"{name}: {str(wanted)[:300]}, and its twin is {twin}")
    made = {"name": name, "kind": kind, "requirements": sorted(requirements.split()), "comment": comment}
    if twin is not None:
        made["twin"] = twin
    return {**made, "input": task, "expected": wanted}
