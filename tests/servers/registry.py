#!/usr/bin/env python3
"""Runs Apicurio Registry, which speaks the API of Confluent's schema registry: on loopback, in memory, empty at every start. As
Confluent's does by itself, it takes new versions of a schema only where they are backward compatible."""

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import supervise

CACHE = Path(__file__).resolve().parent.parent.parent / ".cache" / "registry"
# It lives for minutes: starting fast matters more than running fast.
JVM = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
API = "/apis/ccompat/v7"


def backward(port):
    """Sets the rule, once it answers."""
    body = json.dumps({"compatibility": "BACKWARD"}).encode()
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{API}/config", body, headers, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status == 200
    except (OSError, urllib.error.HTTPError):
        return False


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--port", type=int, help="default: a free one")
    args = parser.parse_args()
    jar = next(CACHE.glob("*-runner.jar"), None)
    if jar is None or shutil.which("java") is None:
        supervise.fail("Apicurio Registry is not installed: run `make deps`")
    folder, port = supervise.folder(args, "registry"), args.port or supervise.free_port()
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    command = ["java", *JVM, f"-Djava.io.tmpdir={temporary}", "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}",
               "-Dquarkus.log.level=WARN", "-Dquarkus.log.console.color=false", "-jar", jar]
    supervise.Server(args, folder, command, lambda: backward(port), {"url": f"http://127.0.0.1:{port}{API}"}).run()


if __name__ == "__main__":
    main()
