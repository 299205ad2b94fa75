import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/** A consumer of a group on a thread of its own; commits after each poll. */
final class Member implements ConsumerRebalanceListener {
    private final List<ConsumerRecord<byte[], byte[]>> seen = new ArrayList<>();
    private final Set<Integer> owned = new TreeSet<>();
    private final CompletableFuture<Void> ended;
    private volatile boolean leaving;

    Member(Client client, String topic, String group) {
        var settings = client.settings();
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("session.timeout.ms", "6000");
        settings.put("heartbeat.interval.ms", "200");
        var consumer = new KafkaConsumer<byte[], byte[]>(settings);
        consumer.subscribe(List.of(topic), this);
        ended = CompletableFuture.runAsync(() -> run(consumer), task -> new Thread(task).start());
    }

    private void run(KafkaConsumer<byte[], byte[]> consumer) {
        try (consumer) {
            while (!leaving) {
                var batch = consumer.poll(Duration.ofMillis(100));
                synchronized (this) {
                    batch.forEach(seen::add);
                }
                if (!batch.isEmpty()) {
                    consumer.commitSync();
                }
            }
        }
    }

    @Override
    public synchronized void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        partitions.forEach(partition -> owned.add(partition.partition()));
    }

    @Override
    public synchronized void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        partitions.forEach(partition -> owned.remove(partition.partition()));
    }

    synchronized List<ConsumerRecord<byte[], byte[]>> seen() {
        return List.copyOf(seen);
    }

    synchronized Set<Integer> assigned() {
        return Set.copyOf(owned);
    }

    /** Leaves the group; what it read stays. */
    void leave() throws Exception {
        leaving = true;
        ended.get(20, TimeUnit.SECONDS);
    }
}
