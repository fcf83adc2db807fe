"""One run: its cells, and whether it was good."""

import platform
import time
from dataclasses import dataclass, field

from .cells import KNOWN, Cells


@dataclass
class Run:
    """Everything that the reports show."""

    peers: list
    cells: Cells
    versions: list
    whole: bool  # nothing was asked for in particular
    short: bool = False  # cases were left out
    broken: list = field(default_factory=list)  # what could not be tried at all
    seconds: dict = field(default_factory=dict)  # by peer
    began: float = field(default_factory=time.time)

    def complaints(self):
        """What fails the run beside its cells."""
        found = list(self.broken)
        if not self.cells.all:
            found.append("nothing was tried")
        if self.whole:
            found += [f"{name} has passed nothing" for name in self.cells.idle(self._active())]
        if self.whole and not self.short:
            found += [f"known failure of no cell: {known.peer}, {known.cell}" for known in self.cells.stale()]
        return found

    def _active(self):
        # A hostile peer passes by sealing; whether that is refused is the others' to pass.
        return [peer.name for peer in self.peers]

    @property
    def good(self):
        """Whether it ends with 0."""
        return not self.cells.bad() and not self.complaints()

    @property
    def verdict(self):
        """The sum in a line."""
        counts = ", ".join(f"{number} {status}" for status, number in sorted(self.cells.counts().items()))
        return f"{'good' if self.good else 'FAILED'}: {counts or 'nothing'}"

    @property
    def line(self):
        """When, where, what."""
        when = time.strftime("%Y-%m-%d", time.gmtime(self.began))
        return f"Written by `interop/harness/run` on {when}: {'; '.join([*self.versions, f'Python {platform.python_version()}'])}."

    def problems(self):
        """All that fails, a line each."""
        cells = [f"{c.row} / {c.column}: {c.name}: {c.status}: {c.detail}" for c in self.cells.bad()]
        return [*self.complaints(), *cells]

    def known_lines(self):
        """The known failures, once for each reason."""
        found = {}
        for cell in self.cells.all:
            if cell.status == KNOWN:
                found.setdefault((cell.peer, cell.detail.partition(" (")[0]), []).append(cell.name)
        return [f"{peer}: {reason} ({len(names)} cells, such as {names[0]})" for (peer, reason), names in found.items()]
