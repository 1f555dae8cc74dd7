#!/usr/bin/env python3
"""Runs an OpenSSH server of its own: own port, own keys, own configuration, loopback only.

Whoever holds DIR/user_key may log in as the user the server runs as, and may do nothing there but have unix sockets and
ports forwarded. DIR/known_hosts names the server. DIR/authorized_keys is read at each login.
"""

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

import supervise


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--option", action="append", default=[], help="one more line of sshd_config, such as --option='MaxSessions 1'")
    args = parser.parse_args()
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if sshd is None or shutil.which("ssh-keygen") is None:
        supervise.fail("sshd not installed: run `make deps`")
    folder = supervise.folder(args, "sshd")
    for name in ("host_key", "user_key"):
        if not (folder / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
    port = supervise.free_port()
    user = pwd.getpwuid(os.geteuid()).pw_name
    # All that is needed, and no more: no shell, no command, no terminal.
    (folder / "authorized_keys").write_text(f"restrict,port-forwarding {(folder / 'user_key.pub').read_text()}")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
    own = os.environ.get("SUDO_UID")
    if own is not None:
        for name in ("", "host_key", "user_key", "known_hosts", "authorized_keys"):
            os.chown(folder / name, int(own), -1)
        os.chown(folder / "host_key", 0, -1)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks its unprivileged half in
    (folder / "sshd_config").write_text("\n".join([
        *args.option,  # the first of two lines counts
        f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder}/host_key", f"AuthorizedKeysFile {folder}/authorized_keys",
        "PidFile none", "UsePAM no", "StrictModes no", "PermitRootLogin prohibit-password", "PasswordAuthentication no",
        "KbdInteractiveAuthentication no", "AllowTcpForwarding yes", "AllowStreamLocalForwarding yes", "PermitTTY no",
        "MaxStartups 100", "LogLevel VERBOSE", ""]))

    def answers():
        """Whether it says who it is."""
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                return connection.recv(16).startswith(b"SSH-2.0")
        except OSError:
            return False

    command = [sshd, "-D", "-e", "-f", folder / "sshd_config"]
    supervise.Server(args, folder, command, answers, {"port": port, "user": user}).run()


if __name__ == "__main__":
    main()
