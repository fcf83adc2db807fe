"""A bar on a terminal; nothing elsewhere."""

import shutil
import sys


class Progress:
    """`steps` are runs of a peer, or live cells."""

    def __init__(self, stream=sys.stderr):
        self.stream, self.terminal = stream, stream.isatty()
        self.steps = self.done = 0
        self.name = ""

    def expect(self, steps):
        """So many steps more."""
        self.steps += steps

    def begin(self, name):
        """The next step."""
        self.name = name
        self._draw(0.0)

    def within(self, done, of):
        """How far a step is."""
        self._draw(done / of if of else 0.0)

    def end(self):
        """A step is done."""
        self.done += 1
        self._draw(0.0)

    def _draw(self, part):
        if not self.terminal:
            return
        width = shutil.get_terminal_size().columns
        share = min(1.0, (self.done + part) / max(1, self.steps))
        full = int(share * 30)
        text = f"[{'#' * full}{'.' * (30 - full)}] {share:4.0%} {self.name}"
        self.stream.write("\r\x1b[K" + text[: width - 1])
        self.stream.flush()

    def clear(self):
        """Makes room for other output."""
        if self.terminal:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
