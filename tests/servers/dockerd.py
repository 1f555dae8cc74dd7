#!/usr/bin/env python3
"""Runs a Docker engine of its own beside any other: own processes, network, mounts and cgroups.

It is the machine's own, or with --current a newer one, which `make deps` keeps in .cache/engine: the packages of Debian
unstable, of which the daemon sees /usr, in mounts of its own.

The engine lives in namespaces of its own (contained.py), so an engine of the machine is not touched. Its network is a bridge
without a way out. The socket is DIR/docker.sock; with --tcp there is a port of 127.0.0.1 as well, with mutual TLS where --tls
names a folder with ca.pem, cert.pem and key.pem.
"""

import os
import socket
import subprocess
from pathlib import Path

import contained
import supervise

CURRENT = Path(__file__).resolve().parents[2] / ".cache" / "engine"


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--live-restore", action="store_true", help="containers outlive the daemon")
    parser.add_argument("--current", action="store_true", help="the engine in .cache/engine instead of the machine's own")
    parser.add_argument("--flag", action="append", default=[], help="one more flag of dockerd, such as --flag=--debug")
    parser.add_argument("--tcp", action="store_true", help="listen on a port of 127.0.0.1 as well")
    parser.add_argument("--tls", type=Path, metavar="DIR", help="speak TLS there, and ask for certificates")
    args = parser.parse_args()
    programs = ("unshare", "nsenter") if args.current else ("dockerd", "containerd", "runc")
    contained.need("a Docker engine", ("busybox", "setpriv", *programs))
    if args.current and not (CURRENT / "usr/sbin/dockerd").exists():
        supervise.fail("no engine in .cache/engine: run `make deps`")
    if args.current and not Path("/sbin").is_symlink():
        supervise.fail("this machine keeps programs outside of /usr: the engine in .cache/engine cannot be run")
    args.dir = supervise.folder(args, "dockerd")
    port = listener() if args.tcp else None
    contained.run(args, lambda cgroup: serve(args, cgroup, port))


def listener():
    """A port of the machine: the engine's own network has no way in, so it is handed the socket."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", supervise.free_port()))
    listener.listen(128)
    return listener


def serve(args, cgroup, port):
    """The first process of the new pid namespace."""
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
    addresses, inherited = {"socket": path}, ()
    if port is not None:
        addresses["port"], inherited = port.getsockname()[1], (port.fileno(),)
        if args.tls is not None:
            files = (("cacert", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem"))
            command += ["--tlsverify", *(f"--tls{name}={args.tls.resolve() / file}" for name, file in files)]
        # As a service manager hands over a socket: as descriptor 3, to the process it names.
        words = 'exec 3<&"$1"; shift; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@" --host fd://'
        command = ["sh", "-c", words, "sh", port.fileno(), *command]
    supervise.Server(args, folder, command, lambda: answers(path), addresses, inherited).run()


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


if __name__ == "__main__":
    main()
