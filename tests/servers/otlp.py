#!/usr/bin/env python3
"""Runs the OpenTelemetry Collector's OTLP receiver on loopback, over gRPC and HTTP; what it takes is in DIR/taken.jsonl."""

import json
import ssl
import urllib.request
from pathlib import Path

import supervise

PROGRAM = Path(__file__).resolve().parents[2] / ".cache/otlp/receiver"


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--certificate", help="PEM; with --key, TLS is spoken")
    parser.add_argument("--key", help="PEM")
    parser.add_argument("--client-ca", help="PEM; whoever asks must have a certificate of this CA")
    parser.add_argument("--mebibytes", type=int, help="larger messages are refused")
    args = parser.parse_args()
    if not PROGRAM.exists():
        supervise.fail("the Collector's OTLP receiver is not built: run `make deps`")
    folder, grpc, http = supervise.folder(args, "otlp"), supervise.free_port(), supervise.free_port()
    while http == grpc:
        http = supervise.free_port()
    common = {}
    if args.certificate:
        common["tls"] = {"cert_file": args.certificate, "key_file": args.key}
        if args.client_ca:
            common["tls"]["client_ca_file"] = args.client_ca
    protocols = {"grpc": {"endpoint": f"127.0.0.1:{grpc}", **common}, "http": {"endpoint": f"127.0.0.1:{http}", **common}}
    if args.mebibytes:
        protocols["grpc"]["max_recv_msg_size_mib"] = args.mebibytes
        protocols["http"]["max_request_body_size"] = args.mebibytes << 20
    config = folder / "receiver.json"
    config.write_text(json.dumps({"protocols": protocols}))
    scheme = "https" if args.certificate else "http"
    # Whether it is up is asked here, not whom it is; where it wants a certificate, that it listens is all that can be known.
    trusting = ssl._create_unverified_context()

    def answers():
        request = urllib.request.Request(f"{scheme}://127.0.0.1:{http}/v1/metrics", b"{}", {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=1, context=trusting) as response:
                return response.status == 200
        except ssl.SSLError:
            return args.client_ca is not None
        except OSError as error:
            return args.client_ca is not None and isinstance(getattr(error, "reason", None), ssl.SSLError)

    addresses = {"grpc": f"{scheme}://127.0.0.1:{grpc}", "http": f"{scheme}://127.0.0.1:{http}"}
    supervise.Server(args, folder, [PROGRAM, config, folder / "taken.jsonl"], answers, addresses).run()


if __name__ == "__main__":
    main()
