"""The scenarios of the matrix, for the clients that Python drives.

A client is an object with the methods that the scenarios below call, and `lacks`: by scenario, why the client has
nothing for it. Prints one JSON line about the client, then one for each scenario.
"""

import collections
import json
import os
import sys
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

BOOTSTRAP = os.environ["WEIR_BOOTSTRAP"]
REGISTRY = os.environ["WEIR_REGISTRY"]
HTTP = os.environ["WEIR_HTTP"]
REPLICAS = int(os.environ["WEIR_REPLICAS"])
PARTITIONS = 3
WAIT_SECONDS = 20
SETTLE_SECONDS = 0.4

FLIGHT = {"delay": 7, "origin": "JFK"}
AVRO = json.dumps(
    {
        "type": "record",
        "name": "Flight",
        "fields": [{"name": "delay", "type": "int"}, {"name": "origin", "type": "string"}],
    }
)
JSON_SCHEMA = json.dumps(
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Flight",
        "type": "object",
        "properties": {"delay": {"type": "integer"}, "origin": {"type": "string"}},
        "required": ["delay", "origin"],
        "additionalProperties": False,
    }
)

Record = collections.namedtuple("Record", "value key partition headers", defaults=(None, None, ()))
# What a reader saw.
Seen = collections.namedtuple("Seen", "partition offset key value headers")


NO_SERIALIZERS = dict.fromkeys(
    ("serializer-avro", "serializer-json", "serializer-protobuf"), "it has no registry serializers"
)


class Refused(Exception):
    """The broker refused a record; the text is what the client shows."""


def until(what, done, limit=WAIT_SECONDS):
    """Asks until `done` answers something true."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        answer = done()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited {limit} s in vain for {what}")


def equal(found, wanted, what):
    assert found == wanted, f"{what}: {found!r} instead of {wanted!r}"


def get(url):
    """Status and decoded body."""
    try:
        with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def register(subject, schema, kind):
    body = json.dumps({"schema": schema, "schemaType": kind}).encode()
    request = urllib.request.Request(f"{REGISTRY}/subjects/{subject}/versions", body)
    request.add_header("Content-Type", "application/vnd.schemaregistry.v1+json")
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
        return json.load(answer)["id"]


def spread(first, count):
    """Numbered records, partition by partition in turns."""
    return [
        Record(b"value-%d-" % n + b"x" * 100, b"key-%d" % n, n % PARTITIONS, (("from", b"scenarios"),))
        for n in range(first, first + count)
    ]


def create_topic(client, topic):
    client.create_topic(topic, {"max.message.bytes": "200000"})
    equal(client.partition_count(topic), PARTITIONS, "partitions")
    try:
        client.create_topic(topic, {})
    except Exception as error:
        assert "exist" in str(error).lower() or "exist" in type(error).__name__.lower(), repr(error)
    else:
        raise AssertionError("the topic could be created twice")


def produce(client, topic, codec):
    client.create_topic(topic, {})
    sent = spread(0, 90)
    client.produce(topic, sent, codec=codec)
    seen = client.read(topic, len(sent))
    found = sorted((s.partition, s.offset, s.key, s.value, tuple(s.headers)) for s in seen)
    wanted = sorted((r.partition, n // PARTITIONS, r.key, r.value, r.headers) for n, r in enumerate(sent))
    equal(found, wanted, "records")


def idempotent_produce(client, topic):
    client.create_topic(topic, {})
    sent = [Record(b"%d" % n, None, 1) for n in range(400)]
    client.produce(topic, sent, idempotent=True)
    seen = client.read(topic, len(sent))
    equal([(s.offset, s.value) for s in seen], [(n, r.value) for n, r in enumerate(sent)], "records in order")


def group_rebalance(client, topic):
    client.create_topic(topic, {})
    group = topic + "-group"
    everything = set(range(PARTITIONS))
    first = client.join(topic, group)
    second = None
    try:
        client.produce(topic, spread(0, 60))
        until("the first member to read all", lambda: len(first.seen) >= 60)
        second = client.join(topic, group)
        until(
            "both members to share the partitions",
            lambda: first.assigned() and second.assigned() and first.assigned() ^ second.assigned() == everything,
        )
        client.produce(topic, spread(60, 60))
        until("both members to read the rest", lambda: len(first.seen) + len(second.seen) >= 120)
        second.leave()
        until("the first member to own all again", lambda: first.assigned() == everything)
        client.produce(topic, spread(120, 60))
        until("the first member to read on", lambda: len(first.seen) + len(second.seen) >= 180)
        time.sleep(SETTLE_SECONDS)
    finally:
        first.leave()
        if second:
            second.leave()
    assert second.seen, "the second member read nothing"
    found = sorted((s.partition, s.offset) for s in first.seen + second.seen)
    equal(found, sorted((p, o) for p in everything for o in range(60)), "read by both")


def group_resume(client, topic):
    client.create_topic(topic, {})
    group = topic + "-group"
    for first in (0, 60, 120):
        client.produce(topic, spread(first, 60))
        member = client.join(topic, group)
        try:
            until(f"records from {first} on", lambda: len(member.seen) >= 60)
            time.sleep(SETTLE_SECONDS)
        finally:
            member.leave()
        equal(sorted(s.value for s in member.seen), sorted(r.value for r in spread(first, 60)), "read from the commits")


def describe_configs(client, topic):
    client.create_topic(topic, {"max.message.bytes": "200000", "retention.ms": "86400000"})
    found = client.describe_configs(topic)
    wanted = {"max.message.bytes": "200000", "retention.ms": "86400000", "cleanup.policy": "delete"}
    equal({name: found.get(name) for name in wanted}, wanted, "settings")


def list_offsets(client, topic):
    client.create_topic(topic, {})
    client.produce(topic, [Record(b"before", None, 2)] * 5)
    time.sleep(0.01)
    between = int(time.time() * 1000)
    client.produce(topic, [Record(b"after", None, 2)] * 5)
    equal(client.offset(topic, 2, "earliest"), 0, "earliest")
    equal(client.offset(topic, 2, "latest"), 10, "latest")
    equal(client.offset(topic, 0, "latest"), 0, "latest of an empty partition")
    equal(client.offset(topic, 2, between), 5, "by time")


def delete_topic(client, topic):
    client.create_topic(topic, {})
    assert topic in client.topics(), "the topic is not listed"
    client.delete_topic(topic)
    until("the topic to go", lambda: topic not in client.topics())


def serializer(client, topic, kind):
    """Through the client's serializer, the topic and its deserializer; cut short it is refused."""
    serialize, deserialize = client.serializer(topic, kind)
    client.create_topic(topic, {"schema.validation.value": "full"})
    payload = serialize(FLIGHT)
    client.produce(topic, [Record(payload, None, 0)])
    refused(client, topic, payload[:-1])
    seen = client.read(topic, 1)
    equal([deserialize(s.value) for s in seen], [FLIGHT], "decoded")


def refused(client, topic, payload):
    try:
        client.produce(topic, [Record(payload, None, 0)])
    except Refused as error:
        assert client.says_invalid_record in str(error), f"the refusal reads {error}"
    else:
        raise AssertionError("the bad record was acked")
    status, body = get(f"{HTTP}/v1/topics/{topic}/rejects")
    equal((status, len(body["rejects"])), (200, 1), "refusals on record")
    assert body["rejects"][0]["reason"], "the refusal has a reason"


def refused_record(client, topic):
    client.create_topic(topic, {"schema.validation.value": "full"})
    frame = b"\0" + register(topic + "-value", JSON_SCHEMA, "JSON").to_bytes(4, "big")
    good = frame + json.dumps(FLIGHT).encode()
    client.produce(topic, [Record(good, None, 0)])
    refused(client, topic, frame + b'{"delay": "late", "origin": "JFK"}')
    client.produce(topic, [Record(good, None, 0)])
    equal([s.value for s in client.read(topic, 2)], [good, good], "what entered")


def table(client, topic):
    """Keyed records, placed by the client's default partitioner, are rows that HTTP finds."""
    client.create_topic(topic, {"table.mode": "primary-key", "table.value.format": "string"})
    rows = {f"key-{n}": f"value-{n}" for n in range(60)}
    client.produce(topic, [Record(value.encode(), key.encode()) for key, value in rows.items()])
    for key in list(rows)[:20]:
        rows[key] = "changed"
    client.produce(topic, [Record(b"changed", key.encode()) for key in list(rows)[:20]])
    gone = list(rows)[20:30]
    client.produce(topic, [Record(None, key.encode()) for key in gone])
    for key in gone:
        del rows[key]
    for key, value in rows.items():
        equal(get(f"{HTTP}/v1/tables/{topic}/rows/{key}"), (200, {"key": key, "value": value}), key)
    for key in gone:
        equal(get(f"{HTTP}/v1/tables/{topic}/rows/{key}")[0], 404, f"deleted {key}")
    equal(get(f"{HTTP}/v1/tables/{topic}")[1]["row_count"], len(rows), "row count")


SCENARIOS = {
    "create-topic": create_topic,
    "produce-none": lambda client, topic: produce(client, topic, "none"),
    "produce-gzip": lambda client, topic: produce(client, topic, "gzip"),
    "produce-snappy": lambda client, topic: produce(client, topic, "snappy"),
    "produce-lz4": lambda client, topic: produce(client, topic, "lz4"),
    "produce-zstd": lambda client, topic: produce(client, topic, "zstd"),
    "idempotent-produce": idempotent_produce,
    "group-rebalance": group_rebalance,
    "group-resume": group_resume,
    "describe-configs": describe_configs,
    "list-offsets": list_offsets,
    "delete-topic": delete_topic,
    "serializer-avro": lambda client, topic: serializer(client, topic, "avro"),
    "serializer-json": lambda client, topic: serializer(client, topic, "json"),
    "serializer-protobuf": lambda client, topic: serializer(client, topic, "protobuf"),
    "refused-record": refused_record,
    "table": table,
}


def report(line):
    print(json.dumps(line), flush=True)


def main(client):
    report({"client": client.name, "version": client.version})
    wanted = os.environ.get("WEIR_SCENARIO", "all")
    for name, scenario in SCENARIOS.items():
        if wanted not in ("all", name):
            continue
        if name in client.lacks:
            report({"scenario": name, "result": "not offered", "detail": client.lacks[name]})
            continue
        try:
            scenario(client, f"{client.name}-{name}")
            report({"scenario": name, "result": "passed"})
        except Exception as error:
            traceback.print_exc()
            report({"scenario": name, "result": "failed", "detail": f"{type(error).__name__}: {error}"})
    sys.stdout.flush()
    # Threads of a client that hang must not keep the process.
    os._exit(0)
