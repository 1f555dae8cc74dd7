#!/usr/bin/env python3
"""Runs a Docker engine of its own beside any other: own processes, network, mounts and cgroups.

It is the machine's own, or with --current a newer one, which `make deps` keeps in .cache/engine: the packages of Debian
unstable, of which the daemon sees /usr, in mounts of its own.

The engine lives in new pid, network and mount namespaces, so an engine of the machine is not touched, and when the first
process of the pid namespace ends, the kernel ends containerd, shims and containers with it. Its network is a bridge without
a way out. The socket is DIR/docker.sock.
"""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import supervise

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
CURRENT = Path(__file__).resolve().parents[2] / ".cache" / "engine"
LIBC = ctypes.CDLL(None, use_errno=True)


def unshare(flags):
    if LIBC.unshare(flags) != 0:
        supervise.fail(f"no new namespaces: {os.strerror(ctypes.get_errno())}")


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--live-restore", action="store_true", help="containers outlive the daemon")
    parser.add_argument("--current", action="store_true", help="the engine in .cache/engine instead of the machine's own")
    parser.add_argument("--flag", action="append", default=[], help="one more flag of dockerd, such as --flag=--debug")
    args = parser.parse_args()
    if os.geteuid() != 0:
        supervise.fail("a Docker engine needs root")
    wanted = ("busybox", "setpriv", *(("unshare", "nsenter") if args.current else ("dockerd", "containerd", "runc")))
    if missing := [name for name in wanted if shutil.which(name) is None]:
        supervise.fail(f"{', '.join(missing)} not installed: run `make deps`")
    if args.current and not (CURRENT / "usr/sbin/dockerd").exists():
        supervise.fail("no engine in .cache/engine: run `make deps`")
    if args.current and not Path("/sbin").is_symlink():
        supervise.fail("this machine keeps programs outside of /usr: the engine in .cache/engine cannot be run")
    args.dir = supervise.folder(args, "dockerd")
    cgroup = f"dockstream-test-{secrets.token_hex(4)}"
    unshare(CLONE_NEWPID)
    inner = os.fork()
    if inner == 0:
        serve(args, cgroup)
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(inner, signal.SIGTERM))
    status = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
    remove_cgroups(cgroup)
    if not args.keep:
        shutil.rmtree(args.dir, ignore_errors=True)
    sys.exit(status)


def serve(args, cgroup):
    """The first process of the new pid namespace."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    unshare(CLONE_NEWNS | CLONE_NEWNET)
    for words in ("mount --make-rprivate /", "mount -t proc proc /proc", "mount -t tmpfs tmpfs /run",
                  "busybox ip link set lo up"):
        subprocess.run(words.split(), check=True)
    folder = args.dir
    (folder / "daemon.json").write_text("{}\n")  # the machine's own is not ours to follow
    command = [
        *(inside_current() if args.current else []),
        "dockerd", "--config-file", folder / "daemon.json", "--data-root", folder / "data", "--exec-root", folder / "exec",
        "--pidfile", folder / "docker.pid", "--host", f"unix://{folder}/docker.sock", "--group", os.environ.get("SUDO_GID", "0"),
        "--cgroup-parent", f"/{cgroup}", "--exec-opt", "native.cgroupdriver=cgroupfs", "--iptables=false",
        "--ip6tables=false", "--ip-masq=false", "--userland-proxy=false", "--shutdown-timeout", "5", "--log-level", "warn",
        *(["--live-restore"] if args.live_restore else []), *args.flag]
    path = folder / "docker.sock"
    supervise.Server(args, folder, command, lambda: answers(path), {"socket": path}).run()


def inside_current():
    """What runs a command with the /usr of the current engine. Its mounts last as long as this process, so a daemon that is
    started again finds the mounts of its former life, such as those of its containers' networks."""
    script = 'mount --bind "$0" /usr && echo && exec sleep infinity'
    holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", script, CURRENT / "usr"], stdout=subprocess.PIPE)
    if not holder.stdout.readline():
        supervise.fail("the engine in .cache/engine cannot be mounted")
    return ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]


def answers(path):
    """Whether the engine answers a ping."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(path))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


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


if __name__ == "__main__":
    main()
