"""A copy of a root that `install` unpacked: an MTA lives in it without touching the system."""

import os
import shutil

from .process import RigError


class Root:
    """`path`: the copy, with the devices an MTA needs."""

    def __init__(self, home, name, path):
        if not (home / f"{name}.done").exists():
            raise RigError(f"no {name}: run interop/mta/install")
        self.path = path
        shutil.copytree(home / name, path, symlinks=True, ignore=_no_devices)
        for device, minor in (("null", 3), ("urandom", 9)):
            os.mknod(path / "dev" / device, 0o020666, os.makedev(1, minor))
            os.chmod(path / "dev" / device, 0o666)  # mknod obeys the umask


def _no_devices(directory, names):
    return names if directory.endswith("/dev") else ()
