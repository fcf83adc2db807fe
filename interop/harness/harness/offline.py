"""Offline cells: who seals, times who unseals, times the case; and the test vectors for each peer."""

import json

from . import canary, carrier
from .cases import LARGE, Case, all_cases, prefix_length
from .cells import BLOCKED, FAILED, PASSED, Cell
from .contract import Task, octets
from .judge import judge
from .relays import RELAYS, NotChanged

VECTORS = "vectors"
SEALS = "seals"


def inspect(peer, case, task, octets_, fresh):
    """Everything that can be seen of a carrier without a key; BadForm says what is wrong [R-car-01] to [R-car-03]."""
    made = carrier.read(octets_, case.sender, case.domain, task.input["now"])
    fresh.see(case.name, token=made.token)
    if peer.hostile:
        return  # the envelope itself has the fault
    seen = carrier.read_envelope(made.envelope)
    if seen.envelope_id != octets(task.result["envelope_id"]):
        raise carrier.BadForm("the envelope id is not that of the carrier [R-env-06]")
    fresh.see(case.name, envelope_id=seen.envelope_id, encapsulation=seen.enc, salt=seen.salt)
    fresh.length(case.name, octets_, (case.sender, case.domain, prefix_length(case), len(case.message)))
    if case.canaries:
        _no_canary(case, task, octets_ + made.envelope)


def _no_canary(case, task, octets_):
    """Whoever handles the carrier has not been shown what is inside."""
    paths = json.dumps([task.input["reverse_path"], task.input["forward_paths"]])
    for word, ways in canary.Record(case.message + paths.encode()).find(case.canaries).items():
        if not ways:
            raise carrier.BadForm(f"{word} is not found in the message, so that the search is worth nothing")
    try:
        seen = canary.Record(octets_).any(case.canaries)
    except canary.TooMuch as error:
        raise carrier.BadForm(f"the carrier: {error}") from None
    if seen:
        raise carrier.BadForm(f"the carrier shows {', '.join(seen)}")


class Sealed:
    """A carrier that somebody has made; None if he has not."""

    def __init__(self, peer, case, carrier, envelope_id):
        self.peer, self.case, self.carrier, self.envelope_id = peer, case, carrier, envelope_id


class Offline:
    """Everything that needs no gateway."""

    def __init__(self, runner, cells, progress, options):
        self.runner, self.cells, self.progress, self.options = runner, cells, progress, options

    def _run(self, peer, tasks, what):
        self.progress.begin(f"{peer.name}: {what}")
        run = self.runner.run(peer, tasks)
        self.progress.end()
        for stray in run.strays[:1]:
            more = f" (and {len(run.strays) - 1} more)" if len(run.strays) > 1 else ""
            self._cell(peer.name, SEALS, f"{what}: lines that are no results", peer.name, "junk", stray + more)
        return run

    def _cell(self, row, column, name, peer, status, detail=""):
        return self.cells.add(Cell(row, column, name, peer, status, detail))

    def wanted(self, name):
        """Whether a cell is asked for."""
        return self.options.only in name

    def matrix(self, peers):
        """Seals with each, unseals with each."""
        sealing, unsealing = _sides(peers)
        made = [sealed for peer in sealing for sealed in self._seal(peer)]
        for peer in unsealing:
            self._unseal(peer, made)

    def _seal(self, peer):
        cases = all_cases(self.options.short)
        if peer.other:
            cases = [case for case in cases if case.name == "plain"]
            cases.append(Case("plain, suite 1", domain="one.example"))
        cases = [case for case in cases if any(map(self.wanted, _names(case)))]
        tasks = [case.seal() for case in cases]
        self._run(peer, tasks, "seals")
        fresh = carrier.Fresh()
        for case, task in zip(cases, tasks):
            expected = case.refusal or {"result": "done"}
            status, detail = judge(peer, task, expected)
            sealed = Sealed(peer, case, None, None)
            if status == PASSED and not case.refusal:
                sealed, status, detail = self._carrier(peer, case, task, fresh)
            if self.wanted(case.name_in_report) or status != PASSED:
                self._cell(peer.name, SEALS, case.name_in_report, peer.name, status, detail)
            if not case.refusal:
                yield sealed

    @staticmethod
    def _carrier(peer, case, task, fresh):
        nothing = Sealed(peer, case, None, None)
        try:
            made = octets(task.result["carrier"])
            if len(octets(task.result["envelope_id"])) != 32:
                raise ValueError("the envelope id has not 32 octets")
        except (KeyError, TypeError, ValueError) as error:
            return nothing, FAILED, f"no carrier, or no envelope id: {error}"
        try:
            inspect(peer, case, task, made, fresh)
        except carrier.BadForm as wrong:
            return nothing, FAILED, str(wrong)
        return Sealed(peer, case, made, task.result["envelope_id"]), PASSED, ""

    def _unseal(self, peer, made):
        planned = []
        for sealed in made:
            case = sealed.case
            name = f"unseal {case.name}"
            planned.append((sealed.peer.name, name, sealed, None))
            if case.name == "plain" and not sealed.peer.other:
                planned += [(f"relay {r.name}", f"relay {r.name} after {sealed.peer.name}", sealed, r) for r in RELAYS]
        planned = [one for one in planned if self.wanted(one[1])]
        planned.sort(key=lambda one: len(one[2].case.message) > LARGE)
        tasks, cells = [], []
        for row, name, sealed, relay in planned:
            if sealed.carrier is None:
                self._cell(row, peer.name, name, peer.name, BLOCKED, f"{sealed.peer.name} has sealed nothing")
                continue
            try:
                task = self._task(sealed, relay)
            except NotChanged as error:
                self._cell(row, peer.name, name, sealed.peer.name, FAILED, str(error))
                continue
            tasks.append(task)
            cells.append((row, name, self._expected(sealed, relay)))
        self._run(peer, tasks, "unseals")
        for task, (row, name, expected) in zip(tasks, cells):
            self._cell(row, peer.name, name, peer.name, *judge(peer, task, expected))

    @staticmethod
    def _task(sealed, relay):
        if relay is None:
            return sealed.case.unseal(sealed.carrier)
        return sealed.case.unseal(relay.apply(sealed.carrier), **relay.input(sealed.case, sealed.envelope_id))

    @staticmethod
    def _expected(sealed, relay):
        if sealed.peer.hostile:
            return {"result": "refused", **sealed.peer.refused}
        return relay and relay.expected or sealed.case.unsealed(sealed.envelope_id)

    def vectors(self, peers, folder):
        """The test vectors, for each peer that is an implementation."""
        vectors = read_vectors(folder, self.options.kind)
        vectors = [one for one in vectors if self.wanted(f"vector {one['name']}")]
        for peer in _honest(peers):
            tasks = [Task(one["kind"], one["input"]) for one in vectors]
            self._run(peer, tasks, "vectors")
            for one, task in zip(vectors, tasks):
                status, detail = judge(peer, task, one["expected"])
                self._cell(peer.name, f"{VECTORS} {one['kind']}", f"vector {one['name']}", peer.name, status, detail)
        return len(vectors)


def _honest(peers):
    return [peer for peer in peers if not peer.other]


def _sides(peers):
    """Who seals, and who unseals."""
    return [peer for peer in peers if "seal" in peer.kinds], [peer for peer in _honest(peers) if "unseal" in peer.kinds]


def steps(peers):
    """How many runs of a peer the matrix takes, and how many the vectors."""
    return sum(map(len, _sides(peers))), len(_honest(peers))


def _names(case):
    """The names of the cells that are made of a case."""
    yield case.name_in_report
    yield f"unseal {case.name}"
    if case.name == "plain":
        yield from (f"relay {relay.name} after" for relay in RELAYS)


def read_vectors(folder, kind=None):
    """All vectors of a folder, in the order of their files."""
    vectors = []
    for path in sorted(folder.glob("*.json")):
        with open(path, encoding="utf-8") as file:
            vectors += json.load(file)["vectors"]
    return [one for one in vectors if kind in (None, one["kind"])]
