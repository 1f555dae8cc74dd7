#!/usr/bin/env python3
"""Runs Prometheus on loopback: it scrapes one target, every second, or takes remote write."""

import json
import shutil
import urllib.request

import supervise


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument("--target", metavar="HOST:PORT", help="whom it scrapes; without it, it takes remote write")
    parser.add_argument("--path", default="/metrics", help="where (default: /metrics)")
    args = parser.parse_args()
    if shutil.which("prometheus") is None:
        supervise.fail("Prometheus is not installed: run `make deps`")
    folder, port = supervise.folder(args, "prometheus"), args.port or supervise.free_port()
    url = f"http://127.0.0.1:{port}"
    # JSON is YAML.
    config = folder / "prometheus.yml"
    config.write_text(json.dumps({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "tested", "metrics_path": args.path,
                            "static_configs": [{"targets": [args.target]}]}] if args.target else [],
    }))

    def answers():
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1) as response:
                return response.status == 200
        except OSError:
            return False

    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
               f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    if not args.target:
        command.append("--web.enable-remote-write-receiver")
    supervise.Server(args, folder, command, answers, {"url": url}).run()


if __name__ == "__main__":
    main()
