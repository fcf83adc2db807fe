"""Figures, what they must be, and how they are shown."""

import os
import platform
import subprocess
import time
from pathlib import Path


class Report:
    """Prints each figure as it comes and keeps it for RESULTS.md."""

    def __init__(self):
        self.passed = self.failed = 0
        self.lines = []

    def figure(self, name, value, unit):
        """For information."""
        self._line(name, value, unit, "-", None)

    def none(self, name, value, unit):
        """Something that must not happen."""
        self._line(name, value, unit, "0", value == 0)

    def least(self, name, value, unit, limit):
        """Something of which there must be so much."""
        self._line(name, value, unit, f">= {limit:g}", value >= limit)

    def most(self, name, value, unit, limit):
        """Something of which there must not be more."""
        self._line(name, value, unit, f"<= {limit:g}", value <= limit)

    def broken(self, what):
        """Counts what could not be measured."""
        self._line(what.splitlines()[0], "-", "-", "-", False)
        print(what, flush=True)

    def _line(self, name, value, unit, limit, holds):
        shown = f"{value:.3f}" if isinstance(value, float) else str(value)
        verdict = "-" if holds is None else "ok" if holds else "FAIL"
        self.passed += verdict == "ok"
        self.failed += verdict == "FAIL"
        self.lines.append((name, shown, unit, limit, verdict))
        print(name, shown, unit, limit, verdict, flush=True)

    def markdown(self, binary, options):
        """The figures with what is needed to judge them."""
        versions = ", ".join(
            [
                f"mta-seal {_last_word([binary, '--version'])}{' (debug build)' * (binary.parent.name == 'debug')}",
                f"Postfix {_last_word(['postconf', '-d', 'mail_version'])}",
                f"Linux {platform.release().split('-')[0]}",
            ]
        )
        return "\n".join(
            [
                "# Kills, restarts and partners in trouble",
                "",
                f"Written by `interop/endurance/run --seed {options.seed} --rounds {options.rounds}"
                f"{''.join(f' --only {part}' for part in options.only or [])}` on {time.strftime('%Y-%m-%d')}: "
                f"{os.cpu_count()} cores; {versions}.",
                "",
                "| figure | value | unit | must be | |",
                "|---|---|---|---|---|",
                *(" | ".join(("", *line, "")).strip() for line in self.lines),
                "",
                f"{self.passed} passed, {self.failed} failed",
                "",
            ]
        )


def _last_word(argv):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True)
    return (done.stdout.split() or ["unknown"])[-1]


def median(values):
    """The middle one."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def lines_with(path, *texts):
    """The lines of a log that have one of these texts."""
    log = Path(path).read_text(errors="replace") if Path(path).exists() else ""
    return [line for line in log.splitlines() if any(text in line for text in texts)]
