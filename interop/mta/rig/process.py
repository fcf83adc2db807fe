"""Processes, ports and the temporary directory of one run; all of it goes when the run ends."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)
_given_ports = set()


# Reads ids of servers (negative: ended) until its input ends, which it does however the run
# ends, SIGKILL included; then ends those still there. A parent-death signal would not do: the
# kernel drops it when Exim and Postfix change users.
_GUARD = """
import os, shutil, signal, sys, time
pids = set()
for line in sys.stdin:
    pid = int(line)
    pids.add(pid) if pid > 0 else pids.discard(-pid)
for how in (signal.SIGTERM, signal.SIGKILL) if pids else ():
    for pid in pids:
        try:
            os.killpg(pid, how)
        except OSError:
            pass
    time.sleep(1)
if sys.argv[1]:
    shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class RigError(Exception):
    """The rig itself does not work: a server did not start, mail did not arrive in time."""


def free_port():
    """A loopback TCP and UDP port that nobody listens on and this run has not given away."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                if port not in _given_ports:
                    _given_ports.add(port)
                    return port


def wait_for(what, check, seconds=30.0):
    """Polls `check` until it returns something true and returns that; RigError when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise RigError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)


def run(text, directory, env=None):
    """Runs lines of shell and returns what they print; RigError unless they end well."""
    done = subprocess.run(
        ["/bin/sh", "-ec", text], capture_output=True, text=True, cwd=directory, env=env, timeout=60
    )
    if done.returncode:
        raise RigError(f"`{text.strip()}` ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


class Process:
    """One server in the foreground; its output goes to `<directory>/output`."""

    def __init__(self, rig, name, argv, directory, env=None):
        self.rig, self.name, self.directory = rig, name, Path(directory)
        self.output = self.directory / "output"
        with open(self.output, "ab") as output:
            self.child = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=env,
                start_new_session=True,
            )
        rig.guard(self.pid)
        rig.processes.append(self)

    @property
    def pid(self):
        return self.child.pid

    def check_alive(self):
        """RigError with the server's last words when it has ended."""
        if self.child.poll() is not None:
            raise RigError(f"{self.name} ended with {self.child.returncode}:\n{self.tail()}")

    def tail(self, octets=4000):
        """The end of what the server wrote."""
        return self.output.read_bytes()[-octets:].decode(errors="replace")

    def wait_port(self, port, greeting=True, seconds=30.0):
        """Waits until the server accepts a connection (and greets on it)."""

        def connected():
            self.check_alive()
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
                    if not greeting:
                        return True
                    ready = probe.recv(512).startswith(b"220")
                    probe.sendall(b"QUIT\r\n")
                    probe.recv(512)
                    return ready
            except OSError:
                return False

        wait_for(f"{self.name} on port {port}", connected, seconds)

    def stop(self, how=signal.SIGTERM):
        """Ends the server by its own process id; SIGKILL if it does not go within 10 s."""
        if self.child.poll() is None:
            self.child.send_signal(how)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.rig.guard(-self.pid)
        if self in self.rig.processes:
            self.rig.processes.remove(self)


class Rig:
    """The temporary directory and everything started in it; a context manager."""

    def __init__(self, home, keep=False):
        self.home, self.keep = Path(home), keep
        self.processes, self.closers = [], []
        # Orphans of the servers (a delivery under way) come to us, so none can outlive the run.
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self.directory = Path(tempfile.mkdtemp(prefix="mta-rig-"))
        self.directory.chmod(0o755)  # the MTAs' own users must get through

        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-c", _GUARD, "" if keep else str(self.directory)],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def guard(self, pid):
        """Has the guard end this process (group) should the run be killed; negative: no more."""
        self._guard.stdin.write(f"{pid}\n")
        self._guard.stdin.flush()

    def __enter__(self):
        # SIGINT too: a shell starts background jobs with it ignored.
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.stop_all()
        if self.keep:
            print(f"kept: {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
        self._guard.stdin.close()
        self._guard.wait()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def make_directory(self, name):
        """A fresh directory for one server."""
        path = self.directory / name
        path.mkdir(parents=True)
        return path

    def end_orphans(self):
        """Ends what a stopped server left behind, as Exim's children do that still serve a kept connection."""
        known = {process.pid for process in self.processes} | {self._guard.pid}
        wait_for("orphans to end", lambda: not self._kill(_children() - known))

    @staticmethod
    def _kill(pids):
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, os.WNOHANG)
        return pids

    def stop_all(self):
        """Ends every server and every process descended from one."""
        for process in reversed(self.processes[:]):
            process.stop()
        for close in reversed(self.closers):
            close()
        self.closers.clear()
        for how in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 5
            while (left := _children() - {self._guard.pid}) and time.monotonic() < deadline:
                for pid in left:
                    with contextlib.suppress(OSError):
                        os.kill(pid, how)
                        os.waitpid(pid, os.WNOHANG)
                time.sleep(0.02)


def _interrupt(*_):
    raise KeyboardInterrupt


def _children():
    """Ids of the processes whose parent we are, orphans we inherited among them."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found
