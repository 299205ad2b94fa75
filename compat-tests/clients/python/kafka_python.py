"""kafka-python."""

import threading

import kafka
from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic, OffsetSpec
from kafka.errors import KafkaError

import scenarios
from scenarios import BOOTSTRAP, NO_SERIALIZERS, PARTITIONS, REPLICAS, WAIT_SECONDS, Refused, Seen


# A poll that ends while its join is under way loses the assignment (3.0.12): the join ends between two polls, the next
# one finds nothing to do, and the member neither heartbeats nor reads. So a poll takes far longer than a join.
POLL_MS = 2000


class Member(ConsumerRebalanceListener):
    """A consumer of a group on a thread of its own; commits after each batch."""

    def __init__(self, topic, group):
        self.seen = []
        self.owned = set()
        self.leaving = threading.Event()
        self.consumer = KafkaConsumer(
            bootstrap_servers=BOOTSTRAP,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=6000,
            heartbeat_interval_ms=200,
        )
        self.consumer.subscribe([topic], listener=self)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def on_partitions_revoked(self, revoked):
        self.owned = self.owned - {p.partition for p in revoked}

    def on_partitions_assigned(self, assigned):
        self.owned = self.owned | {p.partition for p in assigned}

    def assigned(self):
        return self.owned

    def run(self):
        while not self.leaving.is_set():
            batch = self.consumer.poll(timeout_ms=POLL_MS)
            for records in batch.values():
                self.seen.extend(seen(record) for record in records)
            if batch:
                self.consumer.commit()
        self.consumer.close()

    def leave(self):
        self.leaving.set()
        self.thread.join(WAIT_SECONDS)


def seen(record):
    return Seen(record.partition, record.offset, record.key, record.value, tuple(record.headers))


class Client:
    name = "kafka-python"
    version = kafka.__version__
    says_invalid_record = "InvalidRecordError"
    lacks = NO_SERIALIZERS

    def __init__(self):
        self.admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)

    def create_topic(self, topic, config):
        self.admin.create_topics([NewTopic(topic, PARTITIONS, REPLICAS, topic_configs=config)])

    def partition_count(self, topic):
        return len(self.admin.describe_topics([topic])[0]["partitions"])

    def topics(self):
        return set(self.admin.list_topics())

    def delete_topic(self, topic):
        self.admin.delete_topics([topic])

    def describe_configs(self, topic):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        found = self.admin.describe_configs([resource], config_filter="all")
        return {name: entry["value"] for name, entry in found["topic"][topic].items()}

    def offset(self, topic, partition, at):
        specs = {"earliest": OffsetSpec.EARLIEST, "latest": OffsetSpec.LATEST}
        asked = TopicPartition(topic, partition)
        return self.admin.list_partition_offsets({asked: specs.get(at, at)})[asked].offset

    def produce(self, topic, records, codec="none", idempotent=False):
        producer = KafkaProducer(
            bootstrap_servers=BOOTSTRAP,
            compression_type=None if codec == "none" else codec,
            enable_idempotence=idempotent,
            acks="all",
            linger_ms=20,
        )
        sent = [
            producer.send(
                topic,
                value=record.value,
                key=record.key,
                partition=record.partition,
                headers=list(record.headers),
            )
            for record in records
        ]
        producer.flush(WAIT_SECONDS)
        try:
            for future in sent:
                future.get(WAIT_SECONDS)
        except KafkaError as error:
            raise Refused(repr(error)) from error
        finally:
            producer.close()

    def read(self, topic, count):
        consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, enable_auto_commit=False)
        partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        found = []

        def poll(seconds):
            for records in consumer.poll(timeout_ms=int(seconds * 1000)).values():
                found.extend(records)

        scenarios.until(f"{count} records", lambda: poll(0.2) or len(found) >= count)
        poll(scenarios.SETTLE_SECONDS)
        consumer.close()
        return [seen(record) for record in found]

    def join(self, topic, group):
        return Member(topic, group)

scenarios.main(Client())
