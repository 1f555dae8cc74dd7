"""Runs one server, for the test harness or by hand: starts it, says when it answers, obeys, leaves nothing behind.

One protocol for every server. Commands come as lines on stdin, each is answered by one line on stdout:

    start    ready KEY=VALUE ...     it answers requests; the addresses are the same at every start
             failed REASON           it ended, or did not answer in time; its log says more
    stop     down STATUS             asked to end (SIGTERM), killed when it does not
    kill     down STATUS             SIGKILL, at once
    pause    paused                  SIGSTOP: it keeps its connections and answers nothing
    resume   resumed                 SIGCONT

The server is started once at the beginning. End of stdin, SIGTERM or SIGINT ends everything and removes the folder, so a
test process that dies in any way takes its servers with it.
"""

import argparse
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POLL = 0.02
STOP_WITHIN = 60.0


def arguments(description: str) -> argparse.ArgumentParser:
    """The arguments every server takes."""
    parser = argparse.ArgumentParser(description=description, epilog=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, help="its folder: data and server.log (default: a new one under the temp folder)")
    parser.add_argument("--keep", action="store_true", help="leave the folder, and start from what an earlier run left in it")
    parser.add_argument("--ready-within", type=float, default=120.0, metavar="SECONDS")
    return parser


def fail(reason: str):
    """Ends before anything was started, in the words of the protocol."""
    print(f"failed {reason}", flush=True)
    sys.exit(1)


def folder(args: argparse.Namespace, name: str) -> Path:
    """Makes the server's folder. One that holds something is refused unless it is to be kept: it would be removed."""
    if args.dir is None:
        return Path(tempfile.mkdtemp(prefix=f"dockstream-{name}-"))
    args.dir.mkdir(parents=True, exist_ok=True)
    if not args.keep and any(args.dir.iterdir()):
        fail(f"{args.dir} is not empty; --keep uses what is there")
    return args.dir.resolve()


def free_port() -> int:
    """A TCP port nobody listens on, below the range from which the kernel gives ports to outgoing connections."""
    for _ in range(1000):
        port = random.randint(15_000, 31_999)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    fail("no free port between 15000 and 31999")


class Server:
    """A supervised server process and the loop that obeys commands for it."""

    def __init__(self, args, folder, command, answers, addresses, inherited=()):
        self.folder, self.keep = folder, args.keep
        self.command = [str(word) for word in command]
        self.answers = answers  # () -> bool: does it answer a request now?
        self.addresses = addresses
        self.inherited = inherited  # descriptors the process gets
        self.ready_within = args.ready_within
        self.process = None
        self.status = None  # exit status of the last process; None while it runs
        self.told_to_end, self.input_ended = False, False
        self.lines, self.partial = [], b""

    def run(self):
        """Serves until the end of stdin, SIGTERM or SIGINT."""
        self.wake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            self._say(self._start())
            while not self.ending:
                if not self.lines:
                    self._listen(None)
                while self.lines and not self.told_to_end:
                    self._say(self._obey(self.lines.pop(0)))
        finally:
            self._down(signal.SIGTERM if self.keep else signal.SIGKILL)
            if not self.keep:
                shutil.rmtree(self.folder, ignore_errors=True)

    def _obey(self, line):
        match line:
            case "start":
                return self._start()
            case "stop":
                return self._down(signal.SIGTERM)
            case "kill":
                return self._down(signal.SIGKILL)
            case "pause" | "resume" if self.process is None:
                return "failed it is down"
            case "pause":
                os.kill(self.process.pid, signal.SIGSTOP)
                return "paused"
            case "resume":
                os.kill(self.process.pid, signal.SIGCONT)
                return "resumed"
        return f"failed unknown command {line!r}"

    def _start(self):
        if self.process is None:
            with open(self.folder / "server.log", "ab") as log:
                # The kernel kills the server should this process be killed before it can.
                self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *self.command], cwd=self.folder,
                                                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                                pass_fds=self.inherited)
        deadline = time.monotonic() + self.ready_within
        while not self.ending:
            self._reap()
            if self.process is None:
                return f"failed it ended with {self.status}"
            if self.answers():
                return " ".join(["ready", *(f"{key}={value}" for key, value in self.addresses.items())])
            if time.monotonic() > deadline:
                return f"failed no answer within {self.ready_within:.0f} s"
            self._listen(POLL)
        return "failed interrupted"

    def _down(self, number):
        if self.process is not None:
            os.kill(self.process.pid, number)
            os.kill(self.process.pid, signal.SIGCONT)
        deadline = time.monotonic() + STOP_WITHIN
        while self.process is not None:
            if time.monotonic() > deadline:
                os.kill(self.process.pid, signal.SIGKILL)
            select.select([self.wake], [], [], POLL)
            self._reap()
        return f"down {self.status}"

    def _reap(self):
        """Collects ended children, orphans of the server included where this process is their init."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self.process is not None and pid == self.process.pid:
                self.status = self.process.returncode = os.waitstatus_to_exitcode(status)
                self.process = None

    def _listen(self, timeout):
        """Waits for input or a signal, and keeps whole lines for later."""
        inputs = [self.wake] if self.input_ended else [sys.stdin, self.wake]
        readable, _, _ = select.select(inputs, [], [], timeout)
        if self.wake in readable:
            os.read(self.wake, 4096)
            self._reap()
        if sys.stdin in readable:
            data = os.read(sys.stdin.fileno(), 4096)
            self.input_ended = not data
            *lines, self.partial = (self.partial + data).split(b"\n")
            self.lines += [line.decode().strip() for line in lines if line.strip()]

    @property
    def ending(self):
        """Whether to end now: commands that came before the end of input are still obeyed."""
        return self.told_to_end or (self.input_ended and not self.lines)

    def _end(self, *_):
        self.told_to_end = True

    def _say(self, line):
        try:
            print(line, flush=True)
        except BrokenPipeError:
            self.told_to_end = True
