#!/usr/bin/env python3
"""Runs InfluxDB 1.x on loopback, with or without users and TLS."""

import shutil
import ssl
import urllib.request

import supervise

CONFIG = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
max-values-per-tag = {values}
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
auth-enabled = {auth}
https-enabled = {tls}
https-certificate = "{certificate}"
https-private-key = "{key}"
log-enabled = false
"""


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument("--auth", action="store_true", help="users must say who they are; the first to be made is the admin")
    parser.add_argument("--certificate", default="", help="PEM; with --key, TLS is spoken")
    parser.add_argument("--key", default="", help="PEM")
    parser.add_argument("--values-per-tag", type=int, default=100000, help="more are refused; 0: no limit")
    args = parser.parse_args()
    if shutil.which("influxd") is None:
        supervise.fail("InfluxDB is not installed: run `make deps`")
    folder, port = supervise.folder(args, "influxdb"), args.port or supervise.free_port()
    scheme = "https" if args.certificate else "http"
    url = f"{scheme}://127.0.0.1:{port}"
    names = {"folder": folder, "port": port, "rpc": supervise.free_port(), "values": args.values_per_tag,
             "auth": str(args.auth).lower(), "tls": str(bool(args.certificate)).lower(),
             "certificate": args.certificate, "key": args.key}
    config = folder / "influxdb.conf"
    config.write_text(CONFIG.format(**names))
    # Whether it is up is asked here, not whom it is.
    trusting = ssl._create_unverified_context()

    def answers():
        try:
            with urllib.request.urlopen(f"{url}/ping", timeout=1, context=trusting) as response:
                return response.status == 204
        except OSError:
            return False

    supervise.Server(args, folder, ["influxd", "-config", config], answers, {"url": url}).run()


if __name__ == "__main__":
    main()
