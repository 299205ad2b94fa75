use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;
use weir_log::{BatchBuilder, Codec};

use super::*;
use crate::def::{KeyFormat, ValueFormat};
use crate::fixture::{avro_key, def, raw};
use crate::partitioner::{Partitioner, PartitionerSetting};
use crate::schemas::NoSchemas;
use crate::store::Budget;
use crate::{ValueDef, row::Row};

const FLIGHT: &str = r#"{"type":"record","name":"Flight","fields":[
    {"name":"carrier","type":["null","string"]},{"name":"flight","type":"int"}]}"#;

fn murmur2() -> Candidates {
    Candidates::only(Partitioner::Murmur2)
}

fn parse(table: &Table, keys: &Value) -> Result<LookupKeys, String> {
    let text = keys.to_string();
    let seed = KeysSeed {
        table,
        candidates: murmur2(),
        limit: 3,
    };
    seed.deserialize(&mut serde_json::Deserializer::from_str(&text))
        .map_err(|e| e.to_string())
}

/// The keys as the same keys would be placed by their columns.
#[track_caller]
fn check(table: &Table, keys: Value, columns: &[Vec<Value>]) {
    let parsed = parse(table, &keys).unwrap();
    let mut placed = LookupKeys::default();
    for values in columns {
        placed.push(table, murmur2(), values).unwrap();
    }
    assert_eq!(
        (parsed.arena, parsed.row_keys, parsed.keys),
        (placed.arena, placed.row_keys, placed.keys)
    );
}

#[test]
fn a_key_of_one_column_is_a_scalar_an_array_or_an_object() {
    let table = raw(KeyFormat::String, ValueFormat::Bytes);
    check(
        &table,
        json!(["a\n", ["b"], {"key": "c"}]),
        &[vec![json!("a\n")], vec![json!("b")], vec![json!("c")]],
    );
    let table = raw(KeyFormat::Int64, ValueFormat::Bytes);
    check(
        &table,
        json!([-5, "7", [i64::MAX]]),
        &[vec![json!(-5)], vec![json!(7)], vec![json!(i64::MAX)]],
    );
    let table = raw(KeyFormat::Int32, ValueFormat::Bytes);
    check(&table, json!([5, -5]), &[vec![json!(5)], vec![json!(-5)]]);
    let table = raw(KeyFormat::Bytes, ValueFormat::Bytes);
    check(&table, json!(["/w=="]), &[vec![json!("/w==")]]);
}

#[test]
fn a_key_of_more_columns_is_an_array_or_an_object() {
    let def = def(avro_key(7, FLIGHT), ValueDef::raw(ValueFormat::Bytes));
    let table = Table::new(def, std::sync::Arc::new(NoSchemas)).unwrap();
    let keys = json!([["UA", 1], {"flight": 2, "carrier": "AA"}, {"flight": 3}]);
    let columns = [
        vec![json!("UA"), json!(1)],
        vec![json!("AA"), json!(2)],
        vec![json!(null), json!(3)],
    ];
    check(&table, keys, &columns);
    let refused = |keys| parse(&table, &keys).unwrap_err();
    assert!(
        refused(json!([["UA", 1], "UA"]))
            .starts_with("keys[1]: has 1 columns, and the key is (carrier, flight)")
    );
    assert!(refused(json!([["UA"]])).starts_with("keys[0]: has 1 columns"));
    assert!(refused(json!([["UA", 1, [2, 3], 4]])).starts_with("keys[0]: has 4 columns"));
    assert!(refused(json!([{"tail": 1}])).starts_with("keys[0]: the key has no column `tail`"));
    assert!(refused(json!([["UA", null]])).starts_with("keys[0]: key column flight: is null"));
}

#[test]
fn keys_of_another_type_and_too_many_keys_are_refused() {
    let table = raw(KeyFormat::Int32, ValueFormat::Bytes);
    assert!(
        parse(&table, &json!([1, 2_147_483_648_i64]))
            .unwrap_err()
            .starts_with("keys[1]: key column key")
    );
    assert!(
        parse(&table, &json!([null]))
            .unwrap_err()
            .contains("is null")
    );
    assert!(
        parse(&table, &json!([1, 2, 3, 4]))
            .unwrap_err()
            .starts_with("there are more than 3 keys")
    );
    assert!(
        parse(&table, &json!({"a": 1}))
            .unwrap_err()
            .contains("an array of keys")
    );
}

#[test]
fn rows_come_in_the_order_asked_from_whichever_bucket_has_them() {
    let dir = TempDir::new().unwrap();
    let tables = Tables::open(dir.path(), Budget::new(4 << 20, 4 << 20)).unwrap();
    let table = raw(KeyFormat::String, ValueFormat::String);
    let mut batches = [const { Vec::new() }; 3];
    for key in ["a", "ab", "abc", "abcd", "N14228"] {
        // Placed by a client whose partitioner the table does not know yet.
        let bucket = Partitioner::Crc32.partition(key.as_bytes(), 3);
        batches[bucket as usize].push(key);
    }
    for (bucket, keys) in batches.into_iter().enumerate() {
        let mut builder = BatchBuilder::new(Codec::None);
        for key in keys {
            builder.append(1, Some(key.as_bytes()), Some(key.as_bytes()), &[]);
        }
        let batch: Bytes = builder.build().unwrap().freeze();
        tables.fold(&table, bucket as u32, 0, &[batch]).unwrap();
    }
    let mut keys = LookupKeys::default();
    for key in ["abcd", "nothing", "a", "N14228", "a"] {
        keys.push(
            &table,
            Candidates::new(PartitionerSetting::Auto),
            &[json!(key)],
        )
        .unwrap();
    }
    assert_eq!(keys.buckets(), [0, 1, 2]);
    let found = keys.find(|_| &tables).unwrap();
    let values: Vec<Option<String>> = found
        .iter()
        .map(|found| {
            let found = found.as_ref()?;
            let Row { value, .. } = found.row.row().unwrap();
            assert_eq!(found.primary_key, value);
            Some(String::from_utf8(value.to_vec()).unwrap())
        })
        .collect();
    assert_eq!(
        values,
        ["abcd", "", "a", "N14228", "a"].map(|v| (!v.is_empty()).then(|| v.to_owned()))
    );
}
