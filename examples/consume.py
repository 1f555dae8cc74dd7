#!/usr/bin/env python3
"""Tells how containers ended, as it happens: a consumer of `docker.events`, in JSON or, with a schema registry, in Avro.

    pip install -r examples/requirements.txt
    examples/consume.py localhost:9092
    examples/consume.py localhost:9092 --registry http://localhost:8081
"""

import argparse
import json

from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def reader(topic, registry):
    """What makes a record of a value."""
    if registry is None:
        return json.loads
    read = AvroDeserializer(SchemaRegistryClient({"url": registry}))
    return lambda value: read(value, SerializationContext(topic, MessageField.VALUE))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("brokers")
    parser.add_argument("--topic", default="docker.events")
    parser.add_argument("--registry", help="the schema registry, where values are Avro")
    parser.add_argument("--group", default="how-they-ended")
    parser.add_argument("--count", type=int, help="ends after so many")
    args = parser.parse_args()
    read = reader(args.topic, args.registry)
    consumer = Consumer({
        "bootstrap.servers": args.brokers,
        "group.id": args.group,
        "auto.offset.reset": "earliest",
        # With `exactly_once` each record is seen once only so; without it this changes nothing.
        "isolation.level": "read_committed",
        # What has been dealt with is committed below, so that an end in between leaves nothing out.
        "enable.auto.commit": False,
    })
    consumer.subscribe([args.topic])
    told = 0
    try:
        while args.count is None or told < args.count:
            message = consumer.poll(1.0)
            if message is None or message.value() is None:
                continue
            if message.error():
                raise SystemExit(str(message.error()))
            event = read(message.value())
            if event["action"] == "die":
                print(event["host"], event["container_name"], event["exit_cause"], sep="  ", flush=True)
                told += 1
            consumer.commit(message=message, asynchronous=False)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
