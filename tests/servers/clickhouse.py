#!/usr/bin/env python3
"""Runs the ClickHouse engine behind its HTTP interface (clickhouse_http.py)."""

import urllib.request
from pathlib import Path

import supervise

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parent.parent / ".cache" / "venv" / "bin" / "python"


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument("--password", default="", help="of the user `default`; none unless given")
    args = parser.parse_args()
    if not PYTHON.exists():
        supervise.fail("the ClickHouse engine is not installed: run `make deps`")
    folder, port = supervise.folder(args, "clickhouse"), args.port or supervise.free_port()
    url = f"http://127.0.0.1:{port}"

    def answers():
        try:
            with urllib.request.urlopen(f"{url}/ping", timeout=1) as response:
                return response.status == 200
        except OSError:
            return False

    command = [PYTHON, HERE / "clickhouse_http.py", "--port", port, "--path", folder / "data"]
    if args.password:
        command += ["--password", args.password]
    supervise.Server(args, folder, command, answers, {"url": url}).run()


if __name__ == "__main__":
    main()
