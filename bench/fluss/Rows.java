import java.util.Arrays;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.fluss.client.Connection;
import org.apache.fluss.client.ConnectionFactory;
import org.apache.fluss.client.lookup.Lookuper;
import org.apache.fluss.client.lookup.LookupResult;
import org.apache.fluss.client.table.Table;
import org.apache.fluss.client.table.writer.UpsertWriter;
import org.apache.fluss.config.Configuration;
import org.apache.fluss.metadata.DatabaseDescriptor;
import org.apache.fluss.metadata.Schema;
import org.apache.fluss.metadata.TableDescriptor;
import org.apache.fluss.metadata.TablePath;
import org.apache.fluss.row.BinaryString;
import org.apache.fluss.row.GenericRow;
import org.apache.fluss.row.InternalRow;
import org.apache.fluss.types.DataTypes;

/** What weir-bench asks of Fluss: the rows and the keys are those that it asks of Weir. The last line is the result. */
public final class Rows {
    private static final TablePath PATH = TablePath.of("bench", "rows");
    private static final int IN_FLIGHT = 20_000;
    private static final long SCATTER = 0x9e37_79b9_7f4a_7c15L;

    public static void main(String[] words) throws Exception {
        Configuration configuration = new Configuration();
        configuration.setString("bootstrap.servers", words[0]);
        try (Connection connection = ConnectionFactory.createConnection(configuration)) {
            switch (words[1]) {
                case "create" -> create(connection, Integer.parseInt(words[2]));
                case "upsert" -> upsert(connection, Long.parseLong(words[2]), words[3], Integer.parseInt(words[4]));
                case "batches" -> lookUpBatches(connection, Long.parseLong(words[2]), Long.parseLong(words[3]));
                case "alone" -> lookUpAlone(connection, Long.parseLong(words[2]), Long.parseLong(words[3]));
                default -> throw new IllegalArgumentException(words[1]);
            }
        }
        System.exit(0);
    }

    /** The tablet server registers some time after it listens, so the first tries may fail. */
    private static void create(Connection connection, int buckets) throws Exception {
        Schema schema = Schema.newBuilder()
                .column("key", DataTypes.STRING())
                .column("number", DataTypes.BIGINT())
                .column("name", DataTypes.STRING())
                .primaryKey("key")
                .build();
        TableDescriptor table = TableDescriptor.builder().schema(schema).distributedBy(buckets, "key").build();
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (true) {
            try {
                connection.getAdmin().createDatabase(PATH.getDatabaseName(), DatabaseDescriptor.EMPTY, true).get();
                connection.getAdmin().createTable(PATH, table, true).get();
                break;
            } catch (Exception error) {
                if (System.nanoTime() > deadline) {
                    throw error;
                }
                Thread.sleep(200);
            }
        }
        // A few rows, so that every bucket's leader is there before anything is timed.
        upsert(connection, buckets * 10L, "insert", 86);
    }

    private static void upsert(Connection connection, long rows, String pass, int nameLength) throws Exception {
        AtomicReference<Throwable> failed = new AtomicReference<>();
        AtomicLong acked = new AtomicLong();
        try (Table table = connection.getTable(PATH)) {
            UpsertWriter writer = table.newUpsert().createWriter();
            long started = System.nanoTime();
            for (long number = 0; number < rows; number++) {
                BinaryString name = BinaryString.fromString(padded(pass, number, nameLength));
                writer.upsert(GenericRow.of(key(number), number, name)).whenComplete((result, error) -> {
                    if (error != null) {
                        failed.set(error);
                    } else {
                        acked.incrementAndGet();
                    }
                });
            }
            writer.flush();
            report(acked.get(), System.nanoTime() - started);
        }
        if (failed.get() != null || acked.get() != rows) {
            throw new IllegalStateException(acked.get() + " of " + rows + " rows were acknowledged", failed.get());
        }
    }

    private static void lookUpBatches(Connection connection, long rows, long seconds) throws Exception {
        AtomicReference<Throwable> failed = new AtomicReference<>();
        AtomicLong found = new AtomicLong();
        Semaphore room = new Semaphore(IN_FLIGHT);
        try (Table table = connection.getTable(PATH)) {
            Lookuper lookuper = table.newLookup().createLookuper();
            long started = System.nanoTime();
            long limit = TimeUnit.SECONDS.toNanos(seconds);
            for (long place = 1; System.nanoTime() - started < limit; place++) {
                room.acquire();
                lookuper.lookup(GenericRow.of(key(scattered(place, rows)))).whenComplete((result, error) -> {
                    if (error != null || !isOverwritten(result)) {
                        failed.set(error == null ? new IllegalStateException("a row is missing") : error);
                    } else {
                        found.incrementAndGet();
                    }
                    room.release();
                });
            }
            room.acquire(IN_FLIGHT);
            report(found.get(), System.nanoTime() - started);
        }
        if (failed.get() != null) {
            throw new IllegalStateException(failed.get());
        }
    }

    private static void lookUpAlone(Connection connection, long rows, long seconds) throws Exception {
        try (Table table = connection.getTable(PATH)) {
            Lookuper lookuper = table.newLookup().createLookuper();
            long[] times = new long[100_000];
            int count = 0;
            long started = System.nanoTime();
            long limit = TimeUnit.SECONDS.toNanos(seconds);
            while (count == 0 || (System.nanoTime() - started < limit && count < times.length)) {
                long asked = System.nanoTime();
                LookupResult result = lookuper.lookup(GenericRow.of(key(scattered(count + 1, rows)))).get();
                times[count++] = System.nanoTime() - asked;
                if (!isOverwritten(result)) {
                    throw new IllegalStateException("a row is missing");
                }
            }
            Arrays.sort(times, 0, count);
            System.out.printf(java.util.Locale.ROOT, "{\"p50_ms\":%.3f,\"p99_ms\":%.3f}%n",
                    times[count / 2] / 1e6, times[Math.min(count - 1, count * 99 / 100)] / 1e6);
        }
    }

    private static boolean isOverwritten(LookupResult result) {
        InternalRow row = result.getSingletonRow();
        return row != null && row.getString(2).startsWith(BinaryString.fromString("overwrite "));
    }

    private static BinaryString key(long number) {
        String digits = Long.toString(number);
        return BinaryString.fromString("key-" + "0".repeat(9 - digits.length()) + digits);
    }

    private static String padded(String pass, long number, int length) {
        String digits = Long.toString(number);
        return pass + " ".repeat(length - pass.length() - digits.length()) + digits;
    }

    private static long scattered(long place, long rows) {
        return Long.remainderUnsigned(place * SCATTER, rows);
    }

    private static void report(long count, long nanos) {
        System.out.printf(java.util.Locale.ROOT, "{\"count\":%d,\"seconds\":%.6f}%n", count, nanos / 1e9);
    }
}
