"""What was tried, and how it ended."""

from dataclasses import dataclass

PASSED = "passed"
FAILED = "failed"  # the answer is wrong
UNSUPPORTED = "unsupported"  # claimed, and not there
UNCLAIMED = "unclaimed"  # not there, and not claimed
UNANSWERED = "unanswered"  # no result for the task
JUNK = "junk"  # no result of the contract
CRASHED = "crashed"
TIMED_OUT = "timed out"
BLOCKED = "blocked"  # nothing to unseal, since sealing has failed; counted there
KNOWN = "known failure"
MENDED = "known failure that passes"

# Those that fail a run.
BAD = (FAILED, UNSUPPORTED, UNANSWERED, JUNK, CRASHED, TIMED_OUT, MENDED)


@dataclass
class Cell:
    """One case for one peer; `row` and `column` say where the picture has it."""

    row: str
    column: str
    name: str
    peer: str
    status: str
    detail: str = ""
    seconds: float = 0.0

    @property
    def bad(self):
        """Whether it fails the run."""
        return self.status in BAD


class Cells:
    """All cells of a run."""

    def __init__(self, known=()):
        self.all = []
        self.known = list(known)

    def add(self, cell):
        """One more; what is known to fail is told apart here, and what is no longer failing too."""
        for known in self.known:
            if known.covers(cell) and cell.status not in (BLOCKED, UNCLAIMED):
                known.matched += 1
                mended = cell.status == PASSED
                cell.detail = f"{known.reason}" + (" - take it off the list" if mended else f" ({cell.detail})")
                cell.status = MENDED if mended else KNOWN
                break
        self.all.append(cell)
        return cell

    def bad(self):
        """The cells that fail the run."""
        return [cell for cell in self.all if cell.bad]

    def counts(self):
        """How many of each status."""
        counts = {}
        for cell in self.all:
            counts[cell.status] = counts.get(cell.status, 0) + 1
        return counts

    def idle(self, peers):
        """The peers that have passed nothing."""
        return [name for name in peers if not any(c.peer == name and c.status == PASSED for c in self.all)]

    def stale(self):
        """Known failures that were about no cell of this run."""
        return [known for known in self.known if not known.matched]
