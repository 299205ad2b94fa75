import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.utils.AppInfoParser;

/** The official client, and the broker's HTTP ports. */
final class Client implements AutoCloseable {
    static final int PARTITIONS = 3;
    static final short REPLICAS = Short.parseShort(System.getenv("WEIR_REPLICAS"));
    static final Duration WAIT = Duration.ofSeconds(20);
    static final Duration SETTLE = Duration.ofMillis(400);

    private final Admin admin = Admin.create(settings());
    private final HttpClient http = HttpClient.newHttpClient();

    public static void main(String[] arguments) {
        Scenarios.report(Map.of("client", "java", "version", AppInfoParser.getVersion()));
        try (var client = new Client()) {
            new Scenarios(client).play(System.getenv().getOrDefault("WEIR_SCENARIO", "all"));
        }
        // Threads of a client that hang must not keep the process.
        Runtime.getRuntime().halt(0);
    }

    Properties settings() {
        var settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("WEIR_BOOTSTRAP"));
        for (var part : List.of("key", "value")) {
            var place = "org.apache.kafka.common.serialization.ByteArray";
            settings.put(part + ".serializer", place + "Serializer");
            settings.put(part + ".deserializer", place + "Deserializer");
        }
        return settings;
    }

    @Override
    public void close() {
        admin.close(SETTLE);
    }

    void createTopic(String topic, Map<String, String> config) throws Exception {
        var created = new NewTopic(topic, PARTITIONS, REPLICAS).configs(config);
        await(admin.createTopics(List.of(created)).all());
    }

    int partitionCount(String topic) throws Exception {
        var described = await(admin.describeTopics(List.of(topic)).allTopicNames());
        return described.get(topic).partitions().size();
    }

    boolean lists(String topic) throws Exception {
        return await(admin.listTopics().names()).contains(topic);
    }

    void deleteTopic(String topic) throws Exception {
        await(admin.deleteTopics(List.of(topic)).all());
    }

    Map<String, String> describeConfigs(String topic) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var described = await(admin.describeConfigs(List.of(resource)).all()).get(resource);
        var values = new HashMap<String, String>();
        described.entries().forEach(entry -> values.put(entry.name(), entry.value()));
        return values;
    }

    long offset(String topic, int partition, OffsetSpec at) throws Exception {
        var asked = new TopicPartition(topic, partition);
        return await(admin.listOffsets(Map.of(asked, at)).partitionResult(asked)).offset();
    }

    /** Sends all and waits for every ack; what the broker says against a record is thrown. */
    void produce(List<ProducerRecord<byte[], byte[]>> records, Map<String, String> options) throws Exception {
        var settings = settings();
        settings.put("acks", "all");
        settings.put("enable.idempotence", "false");
        settings.put("linger.ms", "20");
        settings.putAll(options);
        var sent = new ArrayList<Future<RecordMetadata>>();
        try (var producer = new KafkaProducer<byte[], byte[]>(settings)) {
            records.forEach(record -> sent.add(producer.send(record)));
        }
        for (var ack : sent) {
            await(ack);
        }
    }

    /** Everything in the topic, which is at least `count` records. */
    List<ConsumerRecord<byte[], byte[]>> read(String topic, int count) throws Exception {
        try (var consumer = new KafkaConsumer<byte[], byte[]>(settings())) {
            var partitions = IntStream.range(0, PARTITIONS).mapToObj(n -> new TopicPartition(topic, n)).toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            var seen = new ArrayList<ConsumerRecord<byte[], byte[]>>();
            until(count + " records", () -> {
                consumer.poll(Duration.ofMillis(100)).forEach(seen::add);
                return seen.size() >= count;
            });
            consumer.poll(SETTLE).forEach(seen::add);
            return seen;
        }
    }

    /** Status and body of a GET on the HTTP port. */
    HttpResponse<String> get(String path) throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(URI.create(System.getenv("WEIR_HTTP") + path)).build();
        return http.send(request, HttpResponse.BodyHandlers.ofString());
    }

    /** Registers a schema, given as the request's JSON, and answers its id. */
    int register(String subject, String body) throws IOException, InterruptedException {
        var place = URI.create(System.getenv("WEIR_REGISTRY") + "/subjects/" + subject + "/versions");
        var request = HttpRequest.newBuilder(place).POST(HttpRequest.BodyPublishers.ofString(body)).build();
        var answer = http.send(request, HttpResponse.BodyHandlers.ofString()).body();
        var id = java.util.regex.Pattern.compile("\"id\":(\\d+)").matcher(answer);
        if (!id.find()) {
            throw new IOException("registration answered " + answer);
        }
        return Integer.parseInt(id.group(1));
    }

    /** Asks until `done` answers true. */
    static void until(String what, Callable<Boolean> done) throws Exception {
        long deadline = System.nanoTime() + WAIT.toNanos();
        while (!done.call()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError("waited " + WAIT + " in vain for " + what);
            }
            Thread.sleep(20);
        }
    }

    private static <T> T await(Future<T> future) throws Exception {
        try {
            return future.get(WAIT.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException error) {
            throw error.getCause() instanceof Exception cause ? cause : error;
        }
    }
}
