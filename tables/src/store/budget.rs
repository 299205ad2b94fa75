//! What RocksDB may use: one block cache and one write buffer for all shards of a node, and the options
//! that keep a small table small.

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DataBlockIndexType, LogLevel, Options,
    WriteBufferManager,
};

/// Memory shared by the rows of all shards of a node. Clones share it.
#[derive(Clone)]
pub struct Budget {
    block_cache: Cache,
    write_buffers: WriteBufferManager,
    write_buffer_bytes: usize,
    /// Of one shard; -1 is no limit.
    open_files: i32,
}

impl Budget {
    /// Neither part is taken before it is used.
    pub fn new(block_cache_bytes: usize, write_buffer_bytes: usize) -> Self {
        Self {
            block_cache: Cache::new_hyper_clock_cache(block_cache_bytes, 0),
            write_buffers: WriteBufferManager::new_write_buffer_manager(write_buffer_bytes, false),
            write_buffer_bytes,
            open_files: -1,
        }
    }

    /// Lets each shard keep so many files open.
    pub fn with_open_files(self, count: usize) -> Self {
        let open_files = i32::try_from(count).unwrap_or(i32::MAX);
        Self { open_files, ..self }
    }

    /// Bytes of blocks in memory, and bytes of rows that wait to be flushed.
    pub fn used_bytes(&self) -> (usize, usize) {
        (self.block_cache.get_usage(), self.write_buffers.get_usage())
    }

    pub(super) fn options(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        self.memory(&mut options);
        quiet(&mut options);
        options.set_block_based_table_factory(&self.blocks());
        options.set_compression_per_level(&[
            DBCompressionType::None,
            DBCompressionType::None,
            DBCompressionType::Lz4,
            DBCompressionType::Lz4,
            DBCompressionType::Lz4,
            DBCompressionType::Lz4,
            DBCompressionType::Lz4,
        ]);
        options.set_max_background_jobs(2);
        options.set_max_open_files(self.open_files);
        options.set_bytes_per_sync(1 << 20);
        options
    }

    fn memory(&self, options: &mut Options) {
        let memtable_bytes = (self.write_buffer_bytes / 3).clamp(1 << 20, 32 << 20);
        options.set_write_buffer_size(memtable_bytes);
        options.set_max_write_buffer_number(3);
        options.set_write_buffer_manager(&self.write_buffers);
        options.set_arena_block_size(256 << 10);
        // Folding asks for every key that it writes, and most of a growing table's keys are new.
        options.set_memtable_prefix_bloom_ratio(0.1);
        options.set_memtable_whole_key_filtering(true);
        // One worker writes.
        options.set_allow_concurrent_memtable_write(false);
    }

    fn blocks(&self) -> BlockBasedOptions {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.block_cache);
        blocks.set_bloom_filter(10.0, false);
        blocks.set_optimize_filters_for_memory(true);
        // Indexes and filters count towards the cache, so that the budget holds.
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        // The index leads to a restart, and from there on every key is looked at: an eighth of a lookup's time with 16.
        blocks.set_block_restart_interval(4);
        blocks.set_format_version(6);
        blocks
    }
}

/// No periodic work and no log of its own beyond warnings: an idle table costs nothing.
fn quiet(options: &mut Options) {
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(1);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_skip_stats_update_on_db_open(true);
    options.set_max_file_opening_threads(1);
}
