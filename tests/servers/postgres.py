#!/usr/bin/env python3
"""Runs PostgreSQL on loopback, as a user without rights, with TLS by choice.

The superuser is `postgres`, without a password; who is a member of the role `guarded` needs one.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

import supervise

HBA = """\
host all +guarded 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # What survives the death of the server need not survive the machine's.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "logging_collector": "off",
    "log_lock_waits": "on",
}


def programs() -> Path:
    """The folder of the newest server that is installed."""
    def version(folder):
        return float(folder.parent.name)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version) if Path("/usr/lib/postgresql").is_dir() else []
    found = [folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()]
    if found:
        return found[-1]
    if shutil.which("initdb") and shutil.which("postgres"):
        return Path(shutil.which("postgres")).resolve().parent
    supervise.fail("PostgreSQL is not installed: run `make deps`")


def unprivileged():
    """Whom the server runs as, where this is root: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    supervise.fail("there is neither a user postgres nor nobody")


def as_user(user, command):
    if user is None:
        return command
    # The wish to die with its parent is lost where a process changes its user.
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--",
            "setpriv", "--pdeathsig", "KILL", "--", *command]


def has_timescale(folder: Path) -> bool:
    shared = subprocess.run([folder / "pg_config", "--sharedir"], capture_output=True, text=True, check=False)
    return (Path(shared.stdout.strip()) / "extension/timescaledb.control").exists()


class Postgres(supervise.Server):
    """The server is a process for each connection besides its first: what is done to it is done to all."""

    def _children(self):
        if self.process is None:
            return []
        children = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == self.process.pid:
                    children.append(int(entry.name))
            except (OSError, IndexError, ValueError):
                continue
        return children

    def _signal(self, pids, number):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def _down(self, number):
        if number != signal.SIGKILL:
            # SIGTERM would wait for every client to leave.
            return super()._down(signal.SIGINT)
        # Nothing is started any more, and nobody writes any more, before the first is gone.
        if self.process is not None:
            self._signal([self.process.pid], signal.SIGSTOP)
        children = self._children()
        self._signal(children, signal.SIGKILL)
        answer = super()._down(number)
        deadline = time.monotonic() + supervise.STOP_WITHIN
        while time.monotonic() < deadline and any(self._alive(pid) for pid in children):
            time.sleep(supervise.POLL)
        return answer

    @staticmethod
    def _alive(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except (OSError, IndexError):
            return False

    def _obey(self, line):
        answer = super()._obey(line)
        match line:
            case "pause" if answer == "paused":
                self._signal(self._children(), signal.SIGSTOP)
            case "resume" if answer == "resumed":
                self._signal(self._children(), signal.SIGCONT)
        return answer


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument("--certificate", default="", help="PEM; with --key, TLS is spoken beside plain TCP")
    parser.add_argument("--key", default="", help="PEM")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server")
    args = parser.parse_args()
    binaries, user = programs(), unprivileged()
    folder, port = supervise.folder(args, "postgres"), args.port or supervise.free_port()
    data = folder / "data"
    if user:
        folder.chmod(0o755)
    if not data.exists():
        data.mkdir(mode=0o700)
        if user:
            os.chown(data, user.pw_uid, user.pw_gid)
        made = subprocess.run(as_user(user, [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                                             "--locale=C", "--no-sync"]), capture_output=True, text=True, check=False)
        if made.returncode != 0:
            supervise.fail(f"initdb: {' '.join((made.stderr or made.stdout).split())}")
        (data / "pg_hba.conf").write_text(HBA)
    settings = {**SETTINGS, "port": port}
    if args.certificate:
        for name, source in (("server.crt", args.certificate), ("server.key", args.key)):
            target = data / name
            shutil.copyfile(source, target)
            target.chmod(0o600)
            if user:
                os.chown(target, user.pw_uid, user.pw_gid)
        settings |= {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
    if has_timescale(binaries):
        settings |= {"shared_preload_libraries": "timescaledb", "timescaledb.telemetry_level": "off"}
    settings |= dict(setting.split("=", 1) for setting in args.set)
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def answers():
        asked = subprocess.run([binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "1"], check=False)
        return asked.returncode == 0

    command = as_user(user, [binaries / "postgres", "-D", data, *words])
    Postgres(args, folder, command, answers, {"address": f"127.0.0.1:{port}"}).run()


if __name__ == "__main__":
    main()
