"""Runs a peer on tasks, as CONTRACT.md has it, and says what became of each."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field

from .cells import CRASHED, JUNK, TIMED_OUT, UNANSWERED

RESULTS = ("done", "refused", "unsupported")
LONGEST_LINE = 64 * 2**20
UNSUPPORTED_EXIT = 127
POLL = 0.05


def b64(octets):
    """Octets in JSON."""
    return base64.b64encode(octets).decode("ascii")


def octets(text):
    """And back; ValueError if it is no base64."""
    return base64.b64decode(text, validate=True)


@dataclass
class Task:
    """A task; `result` is what the peer has answered, or `problem` why there is none, `note` in words."""

    kind: str
    input: dict
    result: dict | None = None
    problem: str | None = None
    note: str = ""


@dataclass
class Attempt:
    """One run of the executable."""

    tasks: list
    seconds: float = 0.0
    code: int | None = None
    timed_out: bool = False
    strays: list = field(default_factory=list)  # lines that answer nothing


class Runner:
    """Starts peers, each in a new directory below `folder`."""

    def __init__(self, folder, progress=None):
        self.folder, self.progress, self.runs = folder, progress, {}

    def run(self, peer, tasks):
        """Has a peer answer tasks; each gets its result or a problem."""
        if not tasks:
            return Attempt([])
        number = self.runs[peer.name] = self.runs.get(peer.name, 0) + 1
        home = self.folder / peer.name.replace(" ", "-") / str(number)
        work = home / "work"
        work.mkdir(parents=True)
        with open(home / "tasks", "w", encoding="utf-8") as file:
            for at, task in enumerate(tasks):
                file.write(json.dumps({"id": str(at), "kind": task.kind, "input": task.input}) + "\n")
        run = Attempt(list(tasks))
        begun = time.monotonic()
        self._start(peer, home, work, run)
        run.seconds = time.monotonic() - begun
        self._read(home / "results", run)
        return run

    def _start(self, peer, home, work, run):
        results = home / "results"
        environment = {**os.environ, "MTA_SEAL_TASKS": str(home / "tasks"), "MTA_SEAL_RESULTS": str(results)}
        with open(home / "log", "wb") as log:
            try:
                process = subprocess.Popen(
                    peer.command,
                    cwd=work,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                log.write(str(error).encode())
                run.code = None
                return
            deadline = time.monotonic() + peer.timeout
            try:
                while True:
                    try:
                        run.code = process.wait(POLL)
                        break
                    except subprocess.TimeoutExpired:
                        if self.progress:
                            self.progress.within(_lines(results), len(run.tasks))
                        if time.monotonic() > deadline:
                            run.timed_out = True
                            break
            finally:
                # The peer and what it has started, also if we are interrupted: they are a process group of their own.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    @staticmethod
    def _read(path, run):
        if run.code == UNSUPPORTED_EXIT:
            for task in run.tasks:
                task.result = {"result": "unsupported", "detail": "exit code 127"}
            return
        lost = UNANSWERED
        if run.timed_out:
            lost = TIMED_OUT
        elif run.code not in (0, 1):
            lost = CRASHED
        for task in run.tasks:
            task.result, task.problem, task.note = None, lost, _why(run)
        if not path.exists():
            return
        with open(path, "rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                _take(line, run)


def _why(run):
    if run.timed_out:
        return "no answer in time"
    if run.code is None:
        return "it cannot be started"
    if run.code < 0:
        return f"ended by signal {-run.code}"
    return f"no answer, exit code {run.code}"


def _lines(path):
    try:
        with open(path, "rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def _take(line, run):
    """One line of results."""
    try:
        if len(line) > LONGEST_LINE:
            raise ValueError("the line is too long")
        result = json.loads(line)
        task = run.tasks[int(result["id"])] if str(result["id"]).isascii() and str(result["id"]).isdigit() else None
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        run.strays.append(f"{type(error).__name__}: {line[:80]!r}")
        return
    if task is None:
        run.strays.append(repr(line[:80]))
    elif task.result is not None or task.problem == JUNK:
        task.result, task.problem, task.note = None, JUNK, "a second result"
    elif result.get("result") not in RESULTS:
        task.problem, task.note = JUNK, f"result is {str(result.get('result'))[:40]!r}"
    else:
        task.result, task.problem, task.note = result, None, ""
