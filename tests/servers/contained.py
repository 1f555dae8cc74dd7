"""Runs an engine in pid, network and mount namespaces of its own, with its containers in cgroups of its own.

When the first process of the pid namespace ends, the kernel ends everything the engine has started with it.
"""

import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import supervise

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def run(args, serve):
    """Calls `serve(cgroup)` as the first process of new namespaces, with loopback up and an empty /run; waits for its end,
    and clears up after it."""
    cgroup = f"dockstream-test-{secrets.token_hex(4)}"
    unshare(CLONE_NEWPID)
    inner = os.fork()
    if inner == 0:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        unshare(CLONE_NEWNS | CLONE_NEWNET)
        for words in ("mount --make-rprivate /", "mount -t proc proc /proc", "mount -t tmpfs tmpfs /run",
                      "busybox ip link set lo up"):
            subprocess.run(words.split(), check=True)
        serve(cgroup)
        sys.exit(0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(inner, signal.SIGTERM))
    status = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
    remove_cgroups(cgroup)
    if not args.keep:
        shutil.rmtree(args.dir, ignore_errors=True)
    sys.exit(status)


def need(what, names):
    """Ends where this is not root, or a program is missing."""
    if os.geteuid() != 0:
        supervise.fail(f"{what} needs root")
    if missing := [name for name in names if shutil.which(name) is None]:
        supervise.fail(f"{', '.join(missing)} not installed: run `make deps`")


def unshare(flags):
    if LIBC.unshare(flags) != 0:
        supervise.fail(f"no new namespaces: {os.strerror(ctypes.get_errno())}")


def remove_cgroups(name):
    """Removes the engine's cgroups, in every hierarchy of version 1 and in version 2, once their last process is gone."""
    roots = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()
             if line.split()[2] in ("cgroup", "cgroup2")]
    deadline = time.monotonic() + 5
    for root in roots:
        for path, _, _ in os.walk(root / name, topdown=False):
            while os.path.isdir(path):
                try:
                    os.rmdir(path)
                except OSError:
                    if time.monotonic() > deadline:
                        break
                    time.sleep(supervise.POLL)
