"""Figures, their limits, and how they are shown."""

import os
import platform
import subprocess
import sys
import time


class Report:
    """Prints each figure as it comes and keeps it for RESULTS.md."""

    def __init__(self):
        self.passed = self.failed = 0
        self.figures, self.versions = [], {}

    def figure(self, name, value, unit, limit=None):
        """A figure that must stay below `limit`; without one it is for information."""
        verdict = "-" if limit is None else "ok" if value < limit else "FAIL"
        self.passed += verdict == "ok"
        self.failed += verdict == "FAIL"
        line = (name, f"{value:.3g}" if value < 100 else f"{value:.0f}", unit, "-" if limit is None else f"{limit:g}", verdict)
        self.figures.append(line)
        print(*line, flush=True)

    def check(self, name, holds, why=""):
        """Something that must hold besides the figures; said only when it does not."""
        if not holds:
            self.broken(f"{name}: {why}" if why else name)

    def broken(self, what):
        """Counts what could not be measured."""
        self.failed += 1
        self.figures.append((what.splitlines()[0], "-", "-", "-", "FAIL"))
        print(f"FAIL {what}", flush=True)

    def markdown(self, binary):
        """The figures with what is needed to judge them."""
        versions = [
            f"mta-seal {_version(binary)}",
            f"age {_version('age')}",
            f"{platform.system()} {platform.release().split('-')[0]}",
            f"Python {sys.version.split()[0]}",
        ]
        rows = [" | ".join(("", *line, "")).strip() for line in self.figures]
        return "\n".join(
            [
                "# CPU and memory against their limits",
                "",
                f"Written by `interop/bars/run` on {time.strftime('%Y-%m-%d')}: {_processor()}, "
                f"{os.cpu_count()} cores; {', '.join(versions)}.",
                "",
                "| figure | value | unit | below | |",
                "|---|---|---|---|---|",
                *rows,
                "",
                f"{self.passed} passed, {self.failed} failed",
                "",
            ]
        )


def _version(program):
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True)
    return (done.stdout.split() or ["unknown"])[-1]


def _processor():
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.machine()
