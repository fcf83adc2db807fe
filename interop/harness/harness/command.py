"""The command line: what is run, and where the reports go."""

import argparse
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import gateways
from .cells import Cells
from .contract import Runner
from .live import STEPS, Live
from .offline import Offline, steps
from .peers import BadList, read_known, read_peers
from .progress import Progress
from .report.data import as_json, junit
from .report.page import page
from .report.picture import svg
from .report.text import markdown, table
from .run import Run

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
MATRIX_KINDS = ("seal", "unseal")
MOST_LINES = 100


def _arguments():
    parser = argparse.ArgumentParser(prog="run", description="Runs every implementation against every other: see README.md.")
    parser.add_argument("--short", action="store_true", help="a part of the cases; RESULTS.md stays as it is")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME", help="only this peer; repeat it for more")
    parser.add_argument("--kind", help="only the test vectors of this kind")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cells whose name contains this")
    parser.add_argument("--no-live", action="store_true", help="without gateways")
    parser.add_argument("--no-build", action="store_true", help="take the peers as they are")
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release/mta-seal", help="the gateway of the live cells")
    parser.add_argument("--python", type=Path, default=ROOT / "target/python/bin/python", help="{python} in peers.toml")
    parser.add_argument("--target", type=Path, default=ROOT / "target", help="{target} in peers.toml, and where reports go")
    parser.add_argument("--peers", type=Path, default=HERE / "peers.toml", help="the list of peers")
    parser.add_argument("--known", type=Path, default=HERE / "known_failures.toml", help="the list of known failures")
    parser.add_argument("--vectors", type=Path, default=ROOT / "test-vectors", help="the test vectors")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep tasks, results and logs there; it must be empty")
    parser.add_argument("--list", action="store_true", help="list the peers and end")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each cell")
    return parser


def _peers(options):
    # Not resolved: the interpreter of a virtual environment is a link, and knows its place by its name.
    places = {"root": ROOT, "here": HERE, "target": options.target.absolute(), "python": options.python.absolute()}
    peers = read_peers(options.peers, places)
    if unknown := set(options.peer) - {peer.name for peer in peers}:
        raise BadList(f"{options.peers}: no peer {', '.join(sorted(unknown))}")
    return [peer for peer in peers if not options.peer or peer.name in options.peer]


def _build(peer, target):
    """Builds a peer; why that did not work, if it did not."""
    if not peer.build:
        return None
    arguments = [*peer.build, "--target-dir", str(target)] if peer.build[0] == "cargo" else peer.build
    try:
        done = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else f"{shlex.join(arguments)}: {done.stdout.strip()[-400:]}"


class Session:
    """A run from the command line."""

    def __init__(self, options, peers, known, folder):
        self.options, self.folder = options, folder
        self.progress = Progress()
        whole = not (options.peer or options.kind or options.only or options.no_live)
        versions = [gateways.version_of(options.bin)] if options.bin.exists() else []
        self.run = Run(peers, Cells(known), versions, whole, options.short)
        self.runner = _Timed(folder / "peers", self.progress, self.run.seconds)

    def all(self):
        """Everything that is asked for."""
        options, peers = self.options, self._ready()
        offline = Offline(self.runner, self.run.cells, self.progress, options)
        matrix = options.kind in (None, *MATRIX_KINDS)
        live = options.kind is None and not options.no_live
        of_matrix, of_vectors = steps(peers)
        self.progress.expect(matrix * of_matrix + of_vectors + live * STEPS)
        if matrix:
            offline.matrix(peers)
        if not offline.vectors(peers, options.vectors) and self.run.whole:
            self.run.broken.append(f"no test vectors in {options.vectors}")
        if live:
            self._live(peers)
        self.progress.clear()
        return self.run

    def _ready(self):
        """The peers that can run; the others fail the run."""
        ready = []
        for peer in self.run.peers:
            why = None if self.options.no_build else _build(peer, self.options.target.absolute())
            missing = peer.missing()
            if why or missing:
                self.run.broken.append(f"{peer.name} cannot run: {why or 'no ' + ', '.join(missing)}")
            else:
                ready.append(peer)
        return ready

    def _live(self, peers):
        if not self.options.bin.exists():
            self.run.broken.append(f"no gateway: {self.options.bin} (cargo build --release, or --bin, or --no-live)")
            return
        try:
            live = Live(self.runner, self.run.cells, self.progress, self.options, self.folder)
        except (gateways.Broken, OSError) as error:
            self.run.broken.append(f"no live cells: {error}")
            return
        try:
            live.all(peers)
        finally:
            live.close()


class _Timed(Runner):
    """Sums up how long each peer took."""

    def __init__(self, folder, progress, seconds):
        super().__init__(folder, progress)
        self.seconds = seconds

    def run(self, peer, tasks):
        done = super().run(peer, tasks)
        self.seconds[peer.name] = self.seconds.get(peer.name, 0.0) + done.seconds
        return done


def _write(run, options):
    """The reports; returns where they are."""
    out = options.target / "interop"
    out.mkdir(parents=True, exist_ok=True)
    picture = svg(run.cells.all, run.verdict)
    files = {
        "report.json": as_json(run),
        "junit.xml": junit(run),
        "matrix.svg": picture,
        "report.html": page(run),
        "report.md": markdown(run, "matrix.svg"),
    }
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    if run.whole and not options.short:
        (HERE / "RESULTS.md").write_text(markdown(run, "matrix.svg"), encoding="utf-8")
        (HERE / "matrix.svg").write_text(picture, encoding="utf-8")
    return out


def _interrupted(*_):
    raise KeyboardInterrupt


def main(arguments=None):
    """Exit code 0 good, 1 not good, 2 usage."""
    parser = _arguments()
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        peers, known = _peers(options), read_known(options.known)
    except BadList as error:
        parser.error(str(error))
    if options.list:
        for peer in peers:
            print(f"{peer.name:<28} {peer.about}")
        return 0
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        if any(options.keep.iterdir()):
            parser.error(f"{options.keep} is not empty")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mta-seal-interop-") as folder:
        session = Session(options, peers, known, (options.keep or Path(folder)).resolve())
        try:
            run = session.all()
        except KeyboardInterrupt:
            session.progress.clear()
            print("interrupted", file=sys.stderr)
            return 1
    if options.verbose:
        for cell in run.cells.all:
            print(f"{cell.status:<14} {cell.row} / {cell.column}: {cell.name}{': ' if cell.detail else ''}{cell.detail}")
    out = _write(run, options)
    print(table(run.cells.all))
    problems = run.problems()
    for line in problems[:MOST_LINES]:
        print(f"FAIL {line}")
    if len(problems) > MOST_LINES:
        print(f"FAIL and {len(problems) - MOST_LINES} more")
    for line in run.known_lines():
        print(f"known {line}")
    print(f"{run.verdict}; {time.monotonic() - begun:.0f} s; reports in {out}")
    return 0 if run.good else 1
