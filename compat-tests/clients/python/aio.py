"""aiokafka, its event loop on a thread of its own."""

import asyncio
import threading

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

import scenarios
from scenarios import BOOTSTRAP, NO_SERIALIZERS, PARTITIONS, REPLICAS, WAIT_SECONDS, Refused, Seen

LOOP = asyncio.new_event_loop()


def wait(work):
    """Runs a coroutine on the loop and waits for it."""
    return asyncio.run_coroutine_threadsafe(work, LOOP).result(2 * WAIT_SECONDS)


class Member(ConsumerRebalanceListener):
    """A consumer of a group as a task; commits after each batch."""

    def __init__(self, topic, group):
        self.seen = []
        self.owned = set()
        self.leaving = False
        self.topic = topic
        self.group = group
        self.task = asyncio.run_coroutine_threadsafe(self.run(), LOOP)

    def on_partitions_revoked(self, revoked):
        self.owned = set()

    def on_partitions_assigned(self, assigned):
        self.owned = {p.partition for p in assigned}

    def assigned(self):
        return self.owned

    async def run(self):
        consumer = AIOKafkaConsumer(
            bootstrap_servers=BOOTSTRAP,
            group_id=self.group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=6000,
            heartbeat_interval_ms=200,
        )
        consumer.subscribe([self.topic], listener=self)
        await consumer.start()
        while not self.leaving:
            batch = await consumer.getmany(timeout_ms=100)
            for records in batch.values():
                self.seen.extend(seen(record) for record in records)
            if batch:
                await consumer.commit()
        await consumer.stop()

    def leave(self):
        self.leaving = True
        self.task.result(WAIT_SECONDS)


def seen(record):
    return Seen(record.partition, record.offset, record.key, record.value, tuple(record.headers))


def check(responses):
    """Raises the first error of admin answers, which aiokafka leaves to its caller."""
    for topic, code, *_ in responses:
        if code:
            raise for_code(code)(topic)


class Client:
    name = "aiokafka"
    version = aiokafka.__version__
    # All it shows of an error that is not in its table, as 87 is not.
    says_invalid_record = "UnknownError"
    lacks = NO_SERIALIZERS

    def __init__(self):
        threading.Thread(target=LOOP.run_forever, daemon=True).start()
        wait(self.start())

    async def start(self):
        self.admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
        await self.admin.start()

    def create_topic(self, topic, config):
        new = NewTopic(topic, PARTITIONS, REPLICAS, topic_configs=config)
        check(wait(self.admin.create_topics([new])).topic_errors)

    def partition_count(self, topic):
        return len(wait(self.admin.describe_topics([topic]))[0]["partitions"])

    def topics(self):
        return set(wait(self.admin.list_topics()))

    def delete_topic(self, topic):
        check(wait(self.admin.delete_topics([topic])).topic_error_codes)

    def describe_configs(self, topic):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        answer = wait(self.admin.describe_configs([resource]))[0].to_object()["resources"][0]
        check([(topic, answer["error_code"])])
        return {entry["config_names"]: entry["config_value"] for entry in answer["config_entries"]}

    def offset(self, topic, partition, at):
        asked = TopicPartition(topic, partition)

        async def ask():
            consumer = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP)
            await consumer.start()
            if at == "earliest":
                found = (await consumer.beginning_offsets([asked]))[asked]
            elif at == "latest":
                found = (await consumer.end_offsets([asked]))[asked]
            else:
                found = (await consumer.offsets_for_times({asked: at}))[asked].offset
            await consumer.stop()
            return found

        return wait(ask())

    def produce(self, topic, records, codec="none", idempotent=False):
        wait(self.produce_async(topic, records, codec, idempotent))

    async def produce_async(self, topic, records, codec, idempotent):
        producer = AIOKafkaProducer(
            bootstrap_servers=BOOTSTRAP,
            compression_type=None if codec == "none" else codec,
            enable_idempotence=idempotent,
            acks="all",
            linger_ms=20,
        )
        await producer.start()
        sent = [
            await producer.send(
                topic,
                value=record.value,
                key=record.key,
                partition=record.partition,
                headers=list(record.headers),
            )
            for record in records
        ]
        try:
            for future in sent:
                await asyncio.wait_for(future, WAIT_SECONDS)
        except KafkaError as error:
            raise Refused(repr(error)) from error
        finally:
            await producer.stop()

    def read(self, topic, count):
        return wait(self.read_async(topic, count))

    async def read_async(self, topic, count):
        consumer = AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest")
        consumer.assign([TopicPartition(topic, p) for p in range(PARTITIONS)])
        await consumer.start()
        found = []

        async def poll(seconds):
            for records in (await consumer.getmany(timeout_ms=int(seconds * 1000))).values():
                found.extend(records)

        deadline = LOOP.time() + WAIT_SECONDS
        while len(found) < count and LOOP.time() < deadline:
            await poll(0.2)
        await poll(scenarios.SETTLE_SECONDS)
        await consumer.stop()
        return [seen(record) for record in found]

    def join(self, topic, group):
        return Member(topic, group)

scenarios.main(Client())
