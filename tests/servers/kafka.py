#!/usr/bin/env python3
"""Runs Apache Kafka: one node, broker and controller (KRaft) in one process, on loopback, with a small heap."""

import shutil
import socket
import struct
import subprocess
from pathlib import Path

import supervise

CACHE = Path(__file__).resolve().parent.parent.parent / ".cache" / "kafka"
# A test broker lives for minutes: starting fast matters more than running fast. The class archive is made by `make deps`;
# a Java that cannot use it ignores it.
JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xlog:disable", "-Xlog:all=error:stderr"]
ARCHIVE = CACHE / "classes.jsa"
CLUSTER = "ZG9ja3N0cmVhbS10ZXN0cw"

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENT://127.0.0.1:{port}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
log.segment.bytes=16777216
controlled.shutdown.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=200
"""


def java(main_class, *arguments, options=()):
    """The command line that runs one of Kafka's classes."""
    return ["java", *JVM, *options, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{CACHE}/libs/*", main_class,
            *arguments]


def answers(port):
    """Whether the broker names itself in its own metadata: it does once the controller lets it serve."""
    body = struct.pack(">hhih5sib", 3, 4, 1, 5, b"ready", 0, 0)  # Metadata v4, no topics
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            reply = connection.makefile("rb").read(16)  # length, correlation, throttle, brokers
            return len(reply) == 16 and struct.unpack(">4i", reply)[3] > 0
    except OSError:
        return False


def add_user(port, name, password):
    """Tells the broker of a user. It remembers, also when it is started again."""
    for bits in (256, 512):  # in one request a broker takes one of the two
        subprocess.run(java("kafka.admin.ConfigCommand", "--bootstrap-server", f"127.0.0.1:{port}", "--entity-type", "users",
                            "--entity-name", name, "--alter", "--add-config", f"SCRAM-SHA-{bits}=[password={password}]"),
                       check=True, stdout=subprocess.DEVNULL)


def main():
    parser = supervise.arguments(__doc__)
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument("--property", action="append", default=[], metavar="NAME=VALUE", help="one more broker property")
    parser.add_argument("--scram", action="append", default=[], metavar="USER=PASSWORD", help="a user of SCRAM-SHA-256 and -512")
    parser.add_argument("--format-only", action="store_true", help="make the empty storage others start from, and end")
    parser.add_argument("--archive-classes", action="store_true", help="write the class archive when the broker stops")
    args = parser.parse_args()
    if not (CACHE / "libs").exists() or shutil.which("java") is None:
        supervise.fail("Apache Kafka is not installed: run `make deps`")
    folder, port = supervise.folder(args, "kafka"), args.port or supervise.free_port()
    data, config = folder / "data", folder / "server.properties"
    # A property may name the ports, and free ones, `internal`, `tls` and `sasl`: one that adds a listener must repeat the others.
    lines = PROPERTIES + "".join(line + "\n" for line in args.property)
    names = {"port": port, "data": data}
    names |= {name: supervise.free_port() for name in ("controller", "internal", "tls", "sasl") if "{" + name + "}" in lines}
    for name, value in names.items():
        lines = lines.replace("{" + name + "}", str(value))
    config.write_text(lines)
    if args.format_only:
        subprocess.run(java("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", config), check=True)
        return
    if not data.exists():
        shutil.copytree(CACHE / "storage", data)
    options = [f"-XX:ArchiveClassesAtExit={ARCHIVE}"] if args.archive_classes else [f"-XX:SharedArchiveFile={ARCHIVE}"]
    # A codec unpacks its native library into the temporary folder, and a killed broker leaves it there.
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    options = [f"-Djava.io.tmpdir={temporary}", *(options if args.archive_classes or ARCHIVE.exists() else [])]
    command = java("kafka.Kafka", config, options=options)
    addresses = {"bootstrap": f"127.0.0.1:{port}"} | {name: f"127.0.0.1:{names[name]}" for name in ("internal", "tls", "sasl") if name in names}
    users = list(args.scram)

    def ready():
        if not answers(port):
            return False
        while users:
            add_user(port, *users.pop().split("=", 1))
        return True

    supervise.Server(args, folder, command, ready, addresses).run()


if __name__ == "__main__":
    main()
