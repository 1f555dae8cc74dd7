#!/usr/bin/env python3
"""Runs Redis on loopback, with or without a password, with as much memory as one likes. Nothing is kept on disk."""

import shutil
import socket

import supervise


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument("--password", default="", help="asked for, where set")
    parser.add_argument("--maxmemory", default="0", help="what does not fit is refused: 2mb; 0: no limit")
    args = parser.parse_args()
    if shutil.which("redis-server") is None:
        supervise.fail("Redis is not installed: run `make deps`")
    folder, port = supervise.folder(args, "redis"), args.port or supervise.free_port()
    config = folder / "redis.conf"
    lines = ["bind 127.0.0.1", f"port {port}", f"dir {folder}", 'save ""', "appendonly no",
             f"maxmemory {args.maxmemory}", "maxmemory-policy noeviction"]
    if args.password:
        lines.append(f"requirepass {args.password}")
    config.write_text("\n".join(lines) + "\n")

    def answers():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                # Without the password it says so, which is an answer.
                return connection.recv(64)[:1] in (b"+", b"-")
        except OSError:
            return False

    supervise.Server(args, folder, ["redis-server", config], answers, {"url": f"redis://127.0.0.1:{port}"}).run()


if __name__ == "__main__":
    main()
