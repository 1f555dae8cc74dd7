#!/usr/bin/env python3
"""Runs VictoriaMetrics, one node, on loopback: it takes line protocol as InfluxDB 1 and 2 do."""

import shutil
import urllib.request

import supervise


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--port", type=int, help="default: a free one")
    args = parser.parse_args()
    if shutil.which("victoria-metrics") is None:
        supervise.fail("VictoriaMetrics is not installed: run `make deps`")
    folder, port = supervise.folder(args, "victoriametrics"), args.port or supervise.free_port()
    url = f"http://127.0.0.1:{port}"

    def answers():
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1) as response:
                return response.status == 200
        except OSError:
            return False

    # Its share of the memory is for caches; what is written can be asked for at once; and a point that comes again is one.
    command = ["victoria-metrics", f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={folder}/data",
               "-retentionPeriod=100y", "-memory.allowedBytes=64MB", "-search.latencyOffset=0s", "-search.disableCache", "-dedup.minScrapeInterval=1ms"]
    supervise.Server(args, folder, command, answers, {"url": url}).run()


if __name__ == "__main__":
    main()
