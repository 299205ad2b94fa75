"""confluent-kafka and its registry serializers."""

import threading

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec, ResourceType
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import scenarios
from scenarios import AVRO, BOOTSTRAP, JSON_SCHEMA, PARTITIONS, REGISTRY, REPLICAS, WAIT_SECONDS, Refused, Seen


class Member:
    """A consumer of a group on a thread of its own; commits after each batch."""

    def __init__(self, topic, group):
        self.seen = []
        self.owned = set()
        self.leaving = threading.Event()
        settings = {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200,
        }
        self.consumer = Consumer(settings)
        self.consumer.subscribe([topic], on_assign=self.assign, on_revoke=self.revoke)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def assign(self, _, partitions):
        self.owned = {p.partition for p in partitions}

    def revoke(self, *_):
        self.owned = set()

    def assigned(self):
        return self.owned

    def run(self):
        while not self.leaving.is_set():
            batch = self.consumer.consume(100, timeout=0.1)
            for message in batch:
                if message.error():
                    raise confluent_kafka.KafkaException(message.error())
                self.seen.append(seen(message))
            if batch:
                self.consumer.commit(asynchronous=False)
        self.consumer.close()

    def leave(self):
        self.leaving.set()
        self.thread.join(WAIT_SECONDS)


def seen(message):
    return Seen(message.partition(), message.offset(), message.key(), message.value(), message.headers() or ())


class Client:
    name = "confluent-kafka"
    version = confluent_kafka.__version__
    # librdkafka prints its own sentence instead of the broker's reason.
    says_invalid_record = "INVALID_RECORD"
    lacks = {}

    def __init__(self):
        self.admin = AdminClient({"bootstrap.servers": BOOTSTRAP})

    def create_topic(self, topic, config):
        new = NewTopic(topic, PARTITIONS, REPLICAS, config=config)
        self.admin.create_topics([new])[topic].result(WAIT_SECONDS)

    def partition_count(self, topic):
        return len(self.admin.list_topics(topic, timeout=WAIT_SECONDS).topics[topic].partitions)

    def topics(self):
        return set(self.admin.list_topics(timeout=WAIT_SECONDS).topics)

    def delete_topic(self, topic):
        self.admin.delete_topics([topic])[topic].result(WAIT_SECONDS)

    def describe_configs(self, topic):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        entries = self.admin.describe_configs([resource])[resource].result(WAIT_SECONDS)
        return {name: entry.value for name, entry in entries.items()}

    def offset(self, topic, partition, at):
        specs = {"earliest": OffsetSpec.earliest, "latest": OffsetSpec.latest}
        spec = specs[at]() if at in specs else OffsetSpec.for_timestamp(at)
        asked = TopicPartition(topic, partition)
        return self.admin.list_offsets({asked: spec})[asked].result(WAIT_SECONDS).offset

    def produce(self, topic, records, codec="none", idempotent=False):
        settings = {
            "bootstrap.servers": BOOTSTRAP,
            "compression.type": codec,
            "enable.idempotence": idempotent,
            "linger.ms": 20,
        }
        producer = Producer(settings)
        failures = []

        def delivered(error, _):
            if error:
                failures.append(error)

        for record in records:
            options = {"headers": list(record.headers), "on_delivery": delivered}
            if record.partition is not None:
                options["partition"] = record.partition
            producer.produce(topic, record.value, record.key, **options)
        left = producer.flush(WAIT_SECONDS)
        if failures:
            raise Refused(f"{failures[0].name()}: {failures[0].str()}")
        assert left == 0, f"{left} records without an answer"

    def read(self, topic, count):
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "unused", "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        found = []
        scenarios.until(f"{count} records", lambda: found.extend(consumer.consume(500, 0.2)) or len(found) >= count)
        found.extend(consumer.consume(500, scenarios.SETTLE_SECONDS))
        consumer.close()
        return [seen(message) for message in found]

    def join(self, topic, group):
        return Member(topic, group)

    def serializer(self, topic, kind):
        registry = SchemaRegistryClient({"url": REGISTRY})
        # A client caches a schema in the form in which it came first, and a Protobuf reader needs another than the
        # writer's; so the reader has a client of its own, as one in another process would.
        reading = SchemaRegistryClient({"url": REGISTRY})
        context = SerializationContext(topic, MessageField.VALUE)
        if kind == "avro":
            from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer

            write, read = AvroSerializer(registry, AVRO), AvroDeserializer(reading)
        elif kind == "json":
            from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer

            write = JSONSerializer(JSON_SCHEMA, registry)
            read = JSONDeserializer(JSON_SCHEMA, schema_registry_client=reading)
        else:
            return protobuf_serializer(registry, reading, context)
        return lambda value: write(value, context), lambda payload: read(payload, context)


def protobuf_serializer(registry, reading, context):
    from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer

    flight = flight_message()
    write = ProtobufSerializer(flight, registry, {"use.deprecated.format": False})
    read = ProtobufDeserializer(flight, {"use.deprecated.format": False}, reading)

    def deserialize(payload):
        message = read(payload, context)
        return {"delay": message.delay, "origin": message.origin}

    return lambda value: write(flight(**value), context), deserialize


def flight_message():
    """The class that protoc would generate."""
    file = descriptor_pb2.FileDescriptorProto(name="flight.proto", package="weir.test", syntax="proto3")
    message = file.message_type.add(name="Flight")
    field = descriptor_pb2.FieldDescriptorProto
    message.field.add(name="delay", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    message.field.add(name="origin", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("weir.test.Flight"))


scenarios.main(Client())
