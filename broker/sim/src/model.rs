//! What clients know of a partition, and whether what its replicas serve can be true.
//!
//! Every record carries an id of its own, so a record that is served twice, at another offset, or though it was
//! refused, is told apart from one that is as it should be. Invariants are cited by their ids.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_log::batch::verify_crc;
use weir_log::{BatchRecords, batches};

/// The header of a record that its id is in.
pub const ID_HEADER: &[u8] = b"id";
const MAX_DECOMPRESSED_BYTES: usize = 1 << 20;

/// An invariant that does not hold, and how that shows.
pub type Violation = String;

/// Producers whose numbers have this bit may have a batch arrive later than the next one.
pub const UNORDERED: u32 = 1 << 31;

/// Names one record of all; higher ones of a producer were sent later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    pub producer: u32,
    pub number: u32,
}

impl RecordId {
    pub fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.producer.to_be_bytes());
        bytes[4..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<RecordId> {
        let (producer, number) = bytes.split_at_checked(4)?;
        Some(RecordId {
            producer: u32::from_be_bytes(producer.try_into().ok()?),
            number: u32::from_be_bytes(number.try_into().ok()?),
        })
    }
}

/// What a topic promises to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Delete {
        retention_ms: Option<i64>,
        retention_bytes: Option<u64>,
    },
    Compact {
        delete_retention_ms: i64,
    },
}

/// A record as a replica serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    pub id: RecordId,
    pub key: Option<Bytes>,
    pub is_tombstone: bool,
    pub timestamp_ms: i64,
}

/// A batch as a replica serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBatch {
    pub base_offset: i64,
    pub last_offset: i64,
    pub leader_epoch: i32,
    pub bytes: Bytes,
    pub records: Vec<(i64, Served)>,
}

/// Takes apart what a read returned; the bytes must be whole batches with sound checksums.
pub fn take_apart(runs: &[Bytes]) -> Result<Vec<ServedBatch>, Violation> {
    let mut served = Vec::new();
    for run in runs {
        for found in batches(run) {
            let (header, range) = found.map_err(|error| format!("L12: served: {error}"))?;
            let bytes = run.slice(range);
            let at = header.base_offset;
            let damaged = |what: String| format!("D4: batch {at} is served though {what}");
            verify_crc(&bytes).map_err(|error| damaged(error.to_string()))?;
            let records = BatchRecords::open(&bytes, MAX_DECOMPRESSED_BYTES);
            let records = records.map_err(|error| damaged(error.to_string()))?;
            let mut seen = Vec::new();
            for record in &records {
                let record = record.map_err(|error| damaged(error.to_string()))?;
                let mut headers = record.headers;
                let id = headers.find(|header| header.key == ID_HEADER);
                let id = id.and_then(|header| RecordId::from_bytes(header.value?));
                let served = Served {
                    id: id.ok_or_else(|| damaged("a record has no id".to_owned()))?,
                    key: record.key.map(Bytes::copy_from_slice),
                    is_tombstone: record.value.is_none(),
                    timestamp_ms: records.timestamp_of(&record),
                };
                seen.push((records.offset_of(&record), served));
            }
            served.push(ServedBatch {
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                leader_epoch: header.partition_leader_epoch,
                bytes,
                records: seen,
            });
        }
    }
    Ok(served)
}

/// The bounds of a replica's log at the moment of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bounds {
    pub log_start: i64,
    pub high_watermark: i64,
}

impl Bounds {
    fn max(self, other: Bounds) -> Bounds {
        Bounds {
            log_start: self.log_start.max(other.log_start),
            high_watermark: self.high_watermark.max(other.high_watermark),
        }
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct PartitionModel {
    pub policy: Policy,
    /// Every record that any replica ever served.
    history: BTreeMap<i64, Served>,
    /// The bytes of every batch that any replica ever served, as they were first, by base offset.
    batches: BTreeMap<i64, ServedBatch>,
    places: BTreeMap<RecordId, i64>,
    acked: BTreeMap<i64, RecordId>,
    /// The least that a leader of an epoch, or a later one, has: what was acknowledged in it.
    floors: BTreeMap<i32, Bounds>,
    refused: BTreeMap<RecordId, &'static str>,
    /// The highest log start that any replica had.
    log_start: i64,
    /// The highest log starts that clients asked for, and that they were told to be in place.
    asked_start: i64,
    acked_start: i64,
}

impl PartitionModel {
    pub fn new(policy: Policy) -> PartitionModel {
        PartitionModel {
            policy,
            history: BTreeMap::new(),
            batches: BTreeMap::new(),
            places: BTreeMap::new(),
            acked: BTreeMap::new(),
            floors: BTreeMap::new(),
            refused: BTreeMap::new(),
            log_start: 0,
            asked_start: 0,
            acked_start: 0,
        }
    }

    /// What a leader of this epoch holds at least, for what was acknowledged in it and before.
    pub fn floor(&self, epoch: i32) -> Bounds {
        let floors = self.floors.range(..=epoch).map(|(_, floor)| *floor);
        floors.fold(Bounds::default(), Bounds::max)
    }

    fn raise(&mut self, epoch: i32, to: Bounds) {
        let floor = self.floors.entry(epoch).or_default();
        *floor = floor.max(to);
    }

    pub fn acked_count(&self) -> usize {
        self.acked.len()
    }

    /// A client was told by the leader of an epoch that its records lie from `base_offset` on.
    pub fn ack(
        &mut self,
        epoch: i32,
        base_offset: i64,
        records: &[RecordId],
    ) -> Result<(), Violation> {
        let high_watermark = base_offset + records.len() as i64;
        self.raise(
            epoch,
            Bounds {
                log_start: 0,
                high_watermark,
            },
        );
        for (offset, id) in (base_offset..).zip(records) {
            if let Some(seen) = self.history.get(&offset)
                && seen.id != *id
            {
                let seen = seen.id;
                return Err(format!(
                    "L3: {id:?} is acknowledged at {offset}, where {seen:?} was served"
                ));
            }
            if let Some(place) = self.places.get(id)
                && *place != offset
            {
                return Err(format!(
                    "L4: {id:?} is acknowledged at {offset} and was served at {place}"
                ));
            }
            if let Some(other) = self.acked.insert(offset, *id)
                && other != *id
            {
                return Err(format!(
                    "L3: {id:?} is acknowledged at {offset} like {other:?}"
                ));
            }
        }
        Ok(())
    }

    /// A client was told, for good, that its records are not appended.
    pub fn refuse(&mut self, records: &[RecordId], why: &'static str) -> Result<(), Violation> {
        for id in records {
            if let Some(place) = self.places.get(id) {
                return Err(format!(
                    "L2: {id:?} is refused ({why}) and was served at {place}"
                ));
            }
            self.refused.insert(*id, why);
        }
        Ok(())
    }

    pub fn ask_start(&mut self, log_start: i64) {
        self.asked_start = self.asked_start.max(log_start);
    }

    pub fn ack_start(&mut self, epoch: i32, log_start: i64) {
        self.acked_start = self.acked_start.max(log_start);
        self.raise(
            epoch,
            Bounds {
                log_start,
                high_watermark: 0,
            },
        );
    }

    /// Batches that a replica served, at any time.
    pub fn saw(&mut self, served: &[ServedBatch]) -> Result<(), Violation> {
        for batch in served {
            for (offset, record) in &batch.records {
                self.saw_record(*offset, record)?;
            }
            if matches!(self.policy, Policy::Delete { .. }) {
                self.saw_batch(batch)?;
            } else {
                let base_offset = batch.base_offset;
                self.batches
                    .entry(base_offset)
                    .or_insert_with(|| batch.clone());
            }
        }
        Ok(())
    }

    fn saw_record(&mut self, offset: i64, record: &Served) -> Result<(), Violation> {
        let id = record.id;
        if let Some(why) = self.refused.get(&id) {
            return Err(format!(
                "L2: {id:?} is served at {offset}, and was refused ({why})"
            ));
        }
        if let Some(acked) = self.acked.get(&offset)
            && *acked != id
        {
            return Err(format!(
                "L1: {id:?} is served at {offset}, where {acked:?} was acknowledged"
            ));
        }
        match self.history.get(&offset) {
            Some(seen) if seen == record => return Ok(()),
            Some(seen) => {
                return Err(format!(
                    "L3: {record:?} is served at {offset}, and was {seen:?} before"
                ));
            }
            None => {}
        }
        if let Some(place) = self.places.insert(id, offset) {
            return Err(format!("L4: {id:?} is served at {place} and at {offset}"));
        }
        self.history.insert(offset, record.clone());
        Ok(())
    }

    fn saw_batch(&mut self, batch: &ServedBatch) -> Result<(), Violation> {
        let base_offset = batch.base_offset;
        let first = self
            .batches
            .entry(base_offset)
            .or_insert_with(|| batch.clone());
        if first.bytes != batch.bytes {
            return Err(format!(
                "L12: batch {base_offset} has other bytes than before"
            ));
        }
        Ok(())
    }

    /// A replica that has served everything below its high watermark has this log start.
    pub fn started_at(
        &mut self,
        bounds: Bounds,
        now_ms: i64,
        skew_ms: i64,
    ) -> Result<(), Violation> {
        let (before, start) = (self.log_start, bounds.log_start);
        if start <= before {
            return Ok(());
        }
        self.log_start = start;
        let unasked = self.asked_start.max(before)..start;
        if unasked.is_empty() {
            return Ok(());
        }
        let Policy::Delete {
            retention_ms,
            retention_bytes,
        } = self.policy
        else {
            return Err(format!(
                "L11: nobody asked for log start {start}, and the topic is compacted"
            ));
        };
        let kept = self.batches.range(start..bounds.high_watermark);
        let kept: u64 = kept.map(|(_, batch)| batch.bytes.len() as u64).sum();
        if retention_bytes.is_some_and(|least| kept >= least) {
            return Ok(());
        }
        for (offset, record) in self.history.range(unasked) {
            let age_ms = now_ms + skew_ms - record.timestamp_ms;
            if retention_ms.is_none_or(|least| age_ms <= least) {
                return Err(format!(
                    "L11: log start {before} went to {start} with {kept} bytes kept; the record at {offset} was \
                     {age_ms} ms old"
                ));
            }
        }
        Ok(())
    }

    /// A replica's whole log, read at once. `healed`: it has all that any replica ever had.
    pub fn scanned(
        &self,
        bounds: Bounds,
        served: &[ServedBatch],
        now_ms: i64,
        healed: bool,
    ) -> Result<(), Violation> {
        let Bounds {
            log_start,
            high_watermark,
        } = bounds;
        let mut next = i64::MIN;
        let mut here = BTreeMap::new();
        for batch in served {
            if batch.base_offset < next {
                return Err(format!(
                    "L5: batch {} comes after {next}",
                    batch.base_offset
                ));
            }
            next = batch.last_offset + 1;
            here.extend(
                batch
                    .records
                    .iter()
                    .map(|(offset, record)| (*offset, record)),
            );
        }
        if healed {
            let (last_acked, _) = self.acked.last_key_value().unwrap_or((&-1, &EMPTY));
            let (last_seen, _) = self.history.last_key_value().unwrap_or((&-1, &NOTHING));
            let last = *last_acked.max(last_seen);
            if high_watermark <= last {
                return Err(format!(
                    "L1: the high watermark is {high_watermark} after healing, and {last} was acknowledged or served"
                ));
            }
            if log_start < self.acked_start {
                return Err(format!(
                    "L11: log start is {log_start} after healing, and was said to be {}",
                    self.acked_start
                ));
            }
        }
        match self.policy {
            Policy::Delete { .. } => self.is_complete(bounds, &here),
            Policy::Compact {
                delete_retention_ms,
            } => self.is_compacted(bounds, &here, now_ms - delete_retention_ms),
        }
    }

    fn is_complete(&self, bounds: Bounds, here: &BTreeMap<i64, &Served>) -> Result<(), Violation> {
        for offset in bounds.log_start..bounds.high_watermark {
            if !here.contains_key(&offset) {
                let acked = self.acked.get(&offset);
                return Err(format!(
                    "L5: offset {offset} of {bounds:?} is not served; acknowledged there: {acked:?}"
                ));
            }
        }
        Ok(())
    }

    /// Tombstones with later timestamps than `expired_ms` are still owed.
    fn is_compacted(
        &self,
        bounds: Bounds,
        here: &BTreeMap<i64, &Served>,
        expired_ms: i64,
    ) -> Result<(), Violation> {
        let range = bounds.log_start..bounds.high_watermark.max(bounds.log_start);
        let mut latest: BTreeMap<&Option<Bytes>, i64> = BTreeMap::new();
        for (offset, record) in self.history.range(range.clone()) {
            latest.insert(&record.key, *offset);
        }
        let mut dropped = BTreeMap::new();
        for (key, offset) in &latest {
            let last = &self.history[offset];
            if here.contains_key(offset) {
                continue;
            }
            if !last.is_tombstone || last.timestamp_ms > expired_ms {
                return Err(format!(
                    "L10: {last:?} at {offset} is the last of its key and not there any more"
                ));
            }
            dropped.insert(*key, *offset);
        }
        for (offset, record) in here.range(range) {
            if let Some(gone) = dropped.get(&record.key) {
                return Err(format!(
                    "L10: {record:?} at {offset} is there, and its tombstone at {gone} is not"
                ));
            }
        }
        Ok(())
    }

    /// Of each producer's records, those that were sent later lie later (L6).
    pub fn is_in_order(&self) -> Result<(), Violation> {
        let mut last: BTreeMap<u32, (u32, i64)> = BTreeMap::new();
        for (offset, record) in &self.history {
            let RecordId { producer, number } = record.id;
            if producer & UNORDERED != 0 {
                continue;
            }
            if let Some((before, at)) = last.insert(producer, (number, *offset))
                && before >= number
            {
                return Err(format!(
                    "L6: record {before} of producer {producer} lies at {at}, and record {number} at {offset}"
                ));
            }
        }
        Ok(())
    }
}

const EMPTY: RecordId = RecordId {
    producer: 0,
    number: 0,
};
static NOTHING: Served = Served {
    id: EMPTY,
    key: None,
    is_tombstone: false,
    timestamp_ms: 0,
};
