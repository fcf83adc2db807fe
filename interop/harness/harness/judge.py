"""Whether an answer is the expected one."""

import json

from .cells import FAILED, PASSED, UNCLAIMED, UNSUPPORTED

LONGEST = 60


def _short(value):
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"


def spelt(mailbox):
    """A mailbox with its domain in lower case: local parts are compared octet by octet, domains are not."""
    local, at, domain = mailbox.rpartition("@")
    return f"{local}{at}{domain.lower()}"


def _normal(name, value):
    """What is compared of a member."""
    if name == "forward_paths" and isinstance(value, list):
        return [_normal("path", path) for path in value]
    if name in ("path", "reverse_path") and isinstance(value, dict) and isinstance(value.get("mailbox"), str):
        return {**value, "mailbox": spelt(value["mailbox"])}
    if name == "refused_recipients" and isinstance(value, list):
        return [spelt(one) if isinstance(one, str) else one for one in value]
    return value


def _same(a, b):
    """Equality of JSON: 1 and true are two things."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def _begin(replies, beginnings):
    """Whether each reply of a dialog begins as it is to."""
    return isinstance(replies, list) and len(replies) == len(beginnings) and all(map(str.startswith, map(str, replies), beginnings))


def _difference(result, expected):
    """Why a result is not the expected one; None if it is."""
    wanted = expected["result"]
    if result["result"] != wanted:
        what = [result["result"], *(str(result[name]) for name in ("stage", "failure", "detail") if result.get(name))]
        also = "" if wanted == "done" else f", {expected.get('failure')}"
        return f"{': '.join(what)}, not {wanted}{also}"
    for name, value in expected.items():
        if wanted == "refused" and name == "stage" and result.get("stage") is None:
            continue  # not every implementation says where
        if name not in result:
            return f"{name} is missing"
        if name == "replies" and _begin(result[name], value):
            continue
        if not _same(_normal(name, result[name]), _normal(name, value)):
            return f"{name} is {_short(result[name])}, not {_short(value)}"
    return None


def _claimed(peer, task):
    """Whether a peer claims a task: its kind, but nobody need let others choose his randomness."""
    return task.kind in peer.kinds and not (task.kind == "seal" and task.input.get("randomness"))


def judge(peer, task, expected):
    """Status and detail of a cell."""
    if task.problem:
        return task.problem, task.note
    if task.result["result"] == "unsupported":
        detail = str(task.result.get("detail", ""))
        return (UNSUPPORTED if _claimed(peer, task) else UNCLAIMED), detail
    difference = _difference(task.result, expected)
    return (FAILED, difference) if difference else (PASSED, "")
