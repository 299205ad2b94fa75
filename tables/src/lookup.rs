//! Many keys at once: read from JSON as it streams by, placed in buckets, and looked up together.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::def::KeyFormat;
use crate::key::KeyError;
use crate::keys::{ordered, row};
use crate::partitioner::Candidates;
use crate::store::{StoreError, StoredRow, Tables};
use crate::table::Table;

/// The keys of one lookup, in the order asked.
///
/// A key may be in several buckets while the table's partitioner is not decided; it is then in one of them.
#[derive(Default, Debug)]
pub struct LookupKeys {
    /// Row keys, one behind the other.
    arena: Vec<u8>,
    /// Where each row key ends, and its bucket.
    row_keys: Vec<(u32, u32)>,
    /// How many row keys there are up to and including each key's.
    keys: Vec<u32>,
}

/// A row that was found, still pinned.
pub struct FoundRow<'k, 's> {
    pub primary_key: &'k [u8],
    pub row: StoredRow<'s>,
}

impl LookupKeys {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a key by its columns, in key order.
    pub fn push(
        &mut self,
        table: &Table,
        candidates: Candidates,
        values: &[Value],
    ) -> Result<(), KeyError> {
        let (record, primary_key) = table.key().key_of(values)?;
        self.place(table, candidates, &record.bytes, &primary_key);
        Ok(())
    }

    fn place(
        &mut self,
        table: &Table,
        candidates: Candidates,
        record_key: &[u8],
        primary_key: &[u8],
    ) {
        let def = table.def();
        for bucket in candidates.partitions(record_key, def.partition_count) {
            self.arena
                .extend_from_slice(&row::prefix(def.table_id, bucket));
            self.arena.extend_from_slice(primary_key);
            self.row_keys.push((self.arena.len() as u32, bucket));
        }
        self.keys.push(self.row_keys.len() as u32);
    }

    /// The buckets that hold the keys, ascending.
    pub fn buckets(&self) -> Vec<u32> {
        let mut buckets: Vec<u32> = Vec::new();
        for (_, bucket) in &self.row_keys {
            if !buckets.contains(bucket) {
                buckets.push(*bucket);
            }
        }
        buckets.sort_unstable();
        buckets
    }

    /// The row keys (`keys::row`), each with its bucket: of each key those that it may have, in the order asked.
    pub fn row_keys(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let keys = 0..self.row_keys.len();
        keys.map(|at| (self.row_keys[at].1, self.row_key(at)))
    }

    /// Of each key the place of the first of its row keys that there is a row of, and its primary key.
    pub fn first(
        &self,
        is_there: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = Option<(usize, &[u8])>> {
        let mut start = 0;
        self.keys.iter().map(move |end| {
            let range = start..*end as usize;
            start = range.end;
            let at = range.into_iter().find(|at| is_there(*at))?;
            Some((at, &self.row_key(at)[row::PREFIX_LEN..]))
        })
    }

    /// The rows, in the order asked. `store_of` names the store of a bucket.
    pub fn find<'s>(
        &self,
        store_of: impl Fn(u32) -> &'s Tables,
    ) -> Result<Vec<Option<FoundRow<'_, 's>>>, StoreError> {
        let mut found = self.nothing();
        for (store, asked) in self.by_store(store_of) {
            let rows = store.multi_get(asked.iter().map(|i| self.row_key(*i)))?;
            for (i, row) in asked.into_iter().zip(rows) {
                found[i] = row;
            }
        }
        Ok(self.by_key(found))
    }

    /// The same without waiting for a disk; `None` where that would be necessary.
    pub fn find_in_memory<'s>(
        &self,
        store_of: impl Fn(u32) -> &'s Tables,
    ) -> Result<Option<Vec<Option<FoundRow<'_, 's>>>>, StoreError> {
        let mut found = self.nothing();
        for (store, asked) in self.by_store(store_of) {
            let rows = store.multi_get_in_memory(asked.iter().map(|i| self.row_key(*i)))?;
            let Some(rows) = rows else { return Ok(None) };
            for (i, row) in asked.into_iter().zip(rows) {
                found[i] = row;
            }
        }
        Ok(Some(self.by_key(found)))
    }

    fn nothing<'s>(&self) -> Vec<Option<StoredRow<'s>>> {
        std::iter::repeat_with(|| None)
            .take(self.row_keys.len())
            .collect()
    }

    /// The stores to ask, each with the places of its row keys.
    fn by_store<'s>(
        &self,
        store_of: impl Fn(u32) -> &'s Tables,
    ) -> impl Iterator<Item = (&'s Tables, Vec<usize>)> {
        let mut stores: BTreeMap<*const Tables, (&'s Tables, Vec<usize>)> = BTreeMap::new();
        for (i, (_, bucket)) in self.row_keys.iter().enumerate() {
            let store = store_of(*bucket);
            stores
                .entry(std::ptr::from_ref(store))
                .or_insert_with(|| (store, Vec::new()))
                .1
                .push(i);
        }
        stores.into_values()
    }

    /// Of each key the row that one of its buckets has.
    fn by_key<'s>(&self, mut found: Vec<Option<StoredRow<'s>>>) -> Vec<Option<FoundRow<'_, 's>>> {
        let there: Vec<bool> = found.iter().map(Option::is_some).collect();
        let rows = self.first(|at| there[at]).map(|first| {
            let (at, primary_key) = first?;
            let row = found[at].take()?;
            Some(FoundRow { primary_key, row })
        });
        rows.collect()
    }

    fn row_key(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.row_keys[i - 1].0 };
        &self.arena[start as usize..self.row_keys[i].0 as usize]
    }
}

/// Reads a JSON array of keys: a scalar where the key is one column, else an array in key order or an
/// object.
#[derive(Clone, Copy)]
pub struct KeysSeed<'t> {
    pub table: &'t Table,
    pub candidates: Candidates,
    /// Most keys that are taken.
    pub limit: usize,
}

impl<'de> DeserializeSeed<'de> for KeysSeed<'_> {
    type Value = LookupKeys;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<LookupKeys, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for KeysSeed<'_> {
    type Value = LookupKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<LookupKeys, A::Error> {
        let mut keys = LookupKeys::default();
        while items
            .next_element_seed(KeySeed {
                seed: self,
                keys: &mut keys,
            })?
            .is_some()
        {
            if keys.len() > self.limit {
                return Err(de::Error::custom(format_args!(
                    "there are more than {} keys",
                    self.limit
                )));
            }
        }
        Ok(keys)
    }
}

/// Reads one key.
struct KeySeed<'t, 'k> {
    seed: KeysSeed<'t>,
    keys: &'k mut LookupKeys,
}

impl KeySeed<'_, '_> {
    fn add<E: de::Error>(self, values: &[Value]) -> Result<(), E> {
        let index = self.keys.len();
        let added = self
            .keys
            .push(self.seed.table, self.seed.candidates, values);
        added.map_err(|error| E::custom(format_args!("keys[{index}]: {error}")))
    }

    /// A key that is one column, or the wrong number of columns.
    fn add_scalar<E: de::Error>(self, value: Value) -> Result<(), E> {
        let columns = self.seed.table.key().columns().len();
        if columns != 1 {
            return Err(self.wrong_count(1));
        }
        self.add(&[value])
    }

    fn wrong_count<E: de::Error>(&self, found: usize) -> E {
        let index = self.keys.len();
        let names: Vec<&str> = self
            .seed
            .table
            .key()
            .columns()
            .iter()
            .map(|c| c.name().as_str())
            .collect();
        E::custom(format_args!(
            "keys[{index}]: has {found} columns, and the key is ({})",
            names.join(", ")
        ))
    }

    fn place(self, record_key: &[u8], primary_key: &[u8]) {
        self.keys.place(
            self.seed.table,
            self.seed.candidates,
            record_key,
            primary_key,
        );
    }

    fn visit_integer<E: de::Error>(self, number: i64) -> Result<(), E> {
        match self.seed.table.key().format() {
            KeyFormat::Int64 => self.place(&number.to_be_bytes(), &ordered::flip64(number)),
            KeyFormat::Int32 if i32::try_from(number).is_ok() => {
                let number = number as i32;
                self.place(&number.to_be_bytes(), &ordered::flip32(number));
            }
            _ => return self.add_scalar(Value::from(number)),
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key: a scalar, an array in key order or an object")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        if self.seed.table.key().format() != KeyFormat::String {
            return self.add_scalar(Value::from(text));
        }
        self.place(text.as_bytes(), text.as_bytes());
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.visit_integer(number)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_integer(number),
            Err(_) => self.add_scalar(Value::from(number)),
        }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        self.add_scalar(Value::from(number))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.add_scalar(Value::from(value))
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.add_scalar(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let columns = self.seed.table.key().columns().len();
        let mut values: Vec<Value> = Vec::with_capacity(columns);
        while values.len() < columns {
            match items.next_element()? {
                Some(value) => values.push(value),
                None => return Err(self.wrong_count(values.len())),
            }
        }
        // What is too much is counted and not kept: a value takes many times its bytes.
        let mut found = columns;
        while items.next_element::<IgnoredAny>()?.is_some() {
            found += 1;
        }
        if found != columns {
            return Err(self.wrong_count(found));
        }
        self.add(&values)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let columns = self.seed.table.key().columns();
        let mut values = vec![Value::Null; columns.len()];
        while let Some(name) = entries.next_key::<String>()? {
            let Some((at, _)) = columns.find(&name) else {
                let index = self.keys.len();
                return Err(de::Error::custom(format_args!(
                    "keys[{index}]: the key has no column `{name}`"
                )));
            };
            values[at] = entries.next_value()?;
        }
        self.add(&values)
    }
}

#[cfg(test)]
mod tests;
