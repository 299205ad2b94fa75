import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.header.internals.RecordHeader;

/** The scenarios of the matrix, played by the official client. */
final class Scenarios {
    private static final String SCHEMA = """
            {"schemaType":"JSON","schema":"{\\"type\\":\\"object\\",\\"properties\\":{\\"delay\\":{\\"type\\":\\"integer\\"},\
            \\"origin\\":{\\"type\\":\\"string\\"}},\\"required\\":[\\"delay\\",\\"origin\\"]}"}""";
    private static final String NO_SERIALIZERS = "it has no registry serializers";

    private interface Scenario {
        void play(String topic) throws Exception;
    }

    private final Client client;
    private final Map<String, Scenario> scenarios = new LinkedHashMap<>();

    Scenarios(Client client) {
        this.client = client;
        scenarios.put("create-topic", this::createTopic);
        for (var codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            scenarios.put("produce-" + codec, topic -> produce(topic, codec));
        }
        scenarios.put("idempotent-produce", this::idempotentProduce);
        scenarios.put("group-rebalance", this::groupRebalance);
        scenarios.put("group-resume", this::groupResume);
        scenarios.put("describe-configs", this::describeConfigs);
        scenarios.put("list-offsets", this::listOffsets);
        scenarios.put("delete-topic", this::deleteTopic);
        for (var kind : List.of("avro", "json", "protobuf")) {
            scenarios.put("serializer-" + kind, null);
        }
        scenarios.put("refused-record", this::refusedRecord);
        scenarios.put("table", this::table);
    }

    void play(String wanted) {
        scenarios.forEach((name, scenario) -> {
            if (!wanted.equals("all") && !wanted.equals(name)) {
                return;
            }
            if (scenario == null) {
                report(Map.of("scenario", name, "result", "not offered", "detail", NO_SERIALIZERS));
                return;
            }
            try {
                scenario.play("java-" + name);
                report(Map.of("scenario", name, "result", "passed"));
            } catch (Exception | AssertionError error) {
                error.printStackTrace();
                report(Map.of("scenario", name, "result", "failed", "detail", error.toString()));
            }
        });
    }

    static void report(Map<String, String> line) {
        var fields = line.entrySet().stream().map(field -> quoted(field.getKey()) + ":" + quoted(field.getValue()));
        System.out.println("{" + String.join(",", fields.toList()) + "}");
    }

    private static String quoted(String text) {
        var escaped = text.replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\p{Cntrl}", " ");
        return "\"" + escaped + "\"";
    }

    private static void equal(Object found, Object wanted, String what) {
        if (!Objects.equals(found, wanted)) {
            throw new AssertionError(what + ": " + found + " instead of " + wanted);
        }
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, Integer partition, String key, String value) {
        var record = new ProducerRecord<>(topic, partition, bytes(key), bytes(value));
        if (key != null && partition != null) {
            record.headers().add(new RecordHeader("from", bytes("scenarios")));
        }
        return record;
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(UTF_8);
    }

    /** Numbered records, partition by partition in turns. */
    private static List<ProducerRecord<byte[], byte[]>> spread(String topic, int first, int count) {
        var numbers = IntStream.range(first, first + count).boxed();
        return numbers.map(n -> record(topic, n % Client.PARTITIONS, "key-" + n, value(n))).toList();
    }

    private static String value(int number) {
        return "value-" + number + "-" + "x".repeat(100);
    }

    /** What is compared of records, in order of offset, then partition. */
    private static List<String> texts(Stream<ConsumerRecord<byte[], byte[]>> records) {
        var byPlace = Comparator.<ConsumerRecord<byte[], byte[]>>comparingLong(ConsumerRecord::offset)
                .thenComparing(ConsumerRecord::partition);
        return records.sorted(byPlace).map(Scenarios::text).toList();
    }

    private static String text(ConsumerRecord<byte[], byte[]> seen) {
        var header = seen.headers().lastHeader("from");
        return String.join(" ", "" + seen.partition(), "" + seen.offset(), new String(seen.key(), UTF_8),
                new String(seen.value(), UTF_8), new String(header.value(), UTF_8));
    }

    /** What `texts` gives of the first spread records of a topic. */
    private static List<String> wantedTexts(int count) {
        return IntStream.range(0, count)
                .mapToObj(n -> String.join(" ", "" + n % Client.PARTITIONS, "" + n / Client.PARTITIONS, "key-" + n, value(n), "scenarios"))
                .toList();
    }

    private void createTopic(String topic) throws Exception {
        client.createTopic(topic, Map.of("max.message.bytes", "200000"));
        equal(client.partitionCount(topic), Client.PARTITIONS, "partitions");
        try {
            client.createTopic(topic, Map.of());
        } catch (TopicExistsException expected) {
            return;
        }
        throw new AssertionError("the topic could be created twice");
    }

    private void produce(String topic, String codec) throws Exception {
        client.createTopic(topic, Map.of());
        client.produce(spread(topic, 0, 90), Map.of("compression.type", codec));
        equal(texts(client.read(topic, 90).stream()), wantedTexts(90), "records");
    }

    private void idempotentProduce(String topic) throws Exception {
        client.createTopic(topic, Map.of());
        var sent = IntStream.range(0, 400).mapToObj(n -> record(topic, 1, null, "" + n)).toList();
        client.produce(sent, Map.of("enable.idempotence", "true", "batch.size", "1000"));
        var found = client.read(topic, 400).stream().map(seen -> seen.offset() + " " + new String(seen.value(), UTF_8));
        equal(found.toList(), IntStream.range(0, 400).mapToObj(n -> n + " " + n).toList(), "records in order");
    }

    private void groupRebalance(String topic) throws Exception {
        client.createTopic(topic, Map.of());
        var members = new ArrayList<Member>();
        try {
            members.add(new Member(client, topic, topic + "-group"));
            produceAndAwait(topic, 0, members);
            members.add(new Member(client, topic, topic + "-group"));
            Client.until("both members to share the partitions", () -> {
                var one = members.get(0).assigned().size();
                var two = members.get(1).assigned().size();
                return one > 0 && two > 0 && one + two == Client.PARTITIONS;
            });
            produceAndAwait(topic, 60, members);
            members.get(1).leave();
            Client.until("the first member to own all again",
                    () -> members.get(0).assigned().size() == Client.PARTITIONS);
            produceAndAwait(topic, 120, members);
            Thread.sleep(Client.SETTLE.toMillis());
        } finally {
            for (var member : members) {
                member.leave();
            }
        }
        if (members.get(1).seen().isEmpty()) {
            throw new AssertionError("the second member read nothing");
        }
        equal(texts(members.stream().flatMap(member -> member.seen().stream())), wantedTexts(180), "read by both");
    }

    private void produceAndAwait(String topic, int first, List<Member> members) throws Exception {
        client.produce(spread(topic, first, 60), Map.of());
        Client.until("records from " + first + " on",
                () -> members.stream().mapToInt(member -> member.seen().size()).sum() >= first + 60);
    }

    private void groupResume(String topic) throws Exception {
        client.createTopic(topic, Map.of());
        var all = new ArrayList<ConsumerRecord<byte[], byte[]>>();
        for (int first : List.of(0, 60, 120)) {
            client.produce(spread(topic, first, 60), Map.of());
            var member = new Member(client, topic, topic + "-group");
            try {
                Client.until("records from " + first + " on", () -> member.seen().size() >= 60);
                Thread.sleep(Client.SETTLE.toMillis());
            } finally {
                member.leave();
            }
            all.addAll(member.seen());
            equal(texts(all.stream()), wantedTexts(first + 60), "read from the commits");
        }
    }

    private void describeConfigs(String topic) throws Exception {
        var given = Map.of("max.message.bytes", "200000", "retention.ms", "86400000");
        client.createTopic(topic, given);
        var found = client.describeConfigs(topic);
        given.forEach((name, value) -> equal(found.get(name), value, name));
        equal(found.get("cleanup.policy"), "delete", "cleanup.policy");
    }

    private void listOffsets(String topic) throws Exception {
        client.createTopic(topic, Map.of());
        var five = IntStream.range(0, 5).mapToObj(n -> record(topic, 2, null, "value")).toList();
        client.produce(five, Map.of());
        Thread.sleep(10);
        long between = System.currentTimeMillis();
        client.produce(five.stream().map(same -> record(topic, 2, null, "value")).toList(), Map.of());
        equal(client.offset(topic, 2, OffsetSpec.earliest()), 0L, "earliest");
        equal(client.offset(topic, 2, OffsetSpec.latest()), 10L, "latest");
        equal(client.offset(topic, 0, OffsetSpec.latest()), 0L, "latest of an empty partition");
        equal(client.offset(topic, 2, OffsetSpec.forTimestamp(between)), 5L, "by time");
    }

    private void deleteTopic(String topic) throws Exception {
        client.createTopic(topic, Map.of());
        equal(client.lists(topic), true, "listed");
        client.deleteTopic(topic);
        Client.until("the topic to go", () -> !client.lists(topic));
    }

    /** The one client that shows the broker's reason. */
    private void refusedRecord(String topic) throws Exception {
        client.createTopic(topic, Map.of("schema.validation.value", "full"));
        int id = client.register(topic + "-value", SCHEMA);
        var good = framed(topic, id, "{\"delay\":7,\"origin\":\"JFK\"}");
        client.produce(List.of(good), Map.of());
        try {
            client.produce(List.of(framed(topic, id, "{\"delay\":\"late\",\"origin\":\"JFK\"}")), Map.of());
            throw new AssertionError("the bad record was acked");
        } catch (InvalidRecordException refusal) {
            if (!refusal.getMessage().contains("delay")) {
                throw new AssertionError("the reason does not name the field: " + refusal.getMessage());
            }
        }
        var rejects = client.get("/v1/topics/" + topic + "/rejects");
        equal(rejects.statusCode(), 200, "status of the refusals");
        equal(rejects.body().split("\"reason\":\"", -1).length - 1, 1, "refusals with a reason in " + rejects.body());
        client.produce(List.of(framed(topic, id, "{\"delay\":7,\"origin\":\"JFK\"}")), Map.of());
        var found = client.read(topic, 2).stream().map(seen -> ByteBuffer.wrap(seen.value())).toList();
        equal(found, List.of(ByteBuffer.wrap(good.value()), ByteBuffer.wrap(good.value())), "what entered");
    }

    private static ProducerRecord<byte[], byte[]> framed(String topic, int id, String json) {
        var frame = new ByteArrayOutputStream();
        frame.writeBytes(ByteBuffer.allocate(5).put((byte) 0).putInt(id).array());
        frame.writeBytes(bytes(json));
        return new ProducerRecord<>(topic, 0, null, frame.toByteArray());
    }

    /** Keyed records, placed by the default partitioner, are rows that HTTP finds. */
    private void table(String topic) throws Exception {
        client.createTopic(topic, Map.of("table.mode", "primary-key", "table.value.format", "string"));
        var rows = new LinkedHashMap<String, String>();
        change(topic, rows, 0, 60, "first");
        change(topic, rows, 0, 20, "changed");
        change(topic, rows, 20, 30, null);
        for (var row : rows.entrySet()) {
            var answer = client.get("/v1/tables/" + topic + "/rows/" + row.getKey());
            if (row.getValue() == null) {
                equal(answer.statusCode(), 404, row.getKey());
            } else {
                var wanted = "{\"key\":\"" + row.getKey() + "\",\"value\":\"" + row.getValue() + "\"}";
                equal(answer.body(), wanted, row.getKey());
            }
        }
        var described = client.get("/v1/tables/" + topic).body();
        equal(described.contains("\"row_count\":50,"), true, "50 rows in " + described);
    }

    private void change(String topic, Map<String, String> rows, int from, int to, String value) throws Exception {
        var keys = IntStream.range(from, to).mapToObj(n -> "key-" + n).toList();
        client.produce(keys.stream().map(key -> record(topic, null, key, value)).toList(), Map.of());
        keys.forEach(key -> rows.put(key, value));
    }
}
