use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use weir_log::{BatchBuilder, Codec, assign};

use super::*;
use crate::fixture;
use crate::{KeyDef, KeyFormat, NoSchemas, ScanRange, Table, TableDef, ValueDef, ValueFormat};

mod damage;

const PLANES: TableId = TableId(1);

/// A store in a directory of its own, and a string-keyed table with the batches that its tests write.
struct Fixture {
    dir: TempDir,
    tables: Tables,
    table: Table,
}

type Op<'a> = (&'a str, Option<&'a str>);

impl Fixture {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let tables = Tables::open(dir.path().join("rows"), budget()).unwrap();
        Self {
            dir,
            tables,
            table: table(PLANES),
        }
    }

    /// Folds one batch of `ops` that starts at offset `base`.
    fn fold(&self, base: i64, ops: &[Op<'_>]) -> Folded {
        self.tables
            .fold(&self.table, 0, base, &[batch(base, ops)])
            .unwrap()
    }

    fn get(&self, key: &str) -> Option<(i64, String)> {
        let row = self.tables.get(PLANES, 0, key.as_bytes()).unwrap()?;
        let row = row.row().unwrap();
        Some((
            row.source_offset,
            String::from_utf8(row.value.to_vec()).unwrap(),
        ))
    }

    /// The store that a machine has which loses power now.
    fn after_crash(&self) -> (TempDir, Tables) {
        let copy = TempDir::new().unwrap();
        let rows = copy.path().join("rows");
        std::fs::create_dir(&rows).unwrap();
        for entry in std::fs::read_dir(self.dir.path().join("rows")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), rows.join(entry.file_name())).unwrap();
        }
        let tables = Tables::open(rows, budget()).unwrap();
        (copy, tables)
    }
}

fn budget() -> Budget {
    Budget::new(8 << 20, 6 << 20)
}

fn table(table_id: TableId) -> Table {
    let def = fixture::def(
        KeyDef::raw(KeyFormat::String),
        ValueDef::raw(ValueFormat::String),
    );
    Table::new(TableDef { table_id, ..def }, Arc::new(NoSchemas)).unwrap()
}

fn batch(base: i64, ops: &[Op<'_>]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::Lz4);
    for (key, value) in ops {
        builder.append(
            1000 + base,
            Some(key.as_bytes()),
            value.map(str::as_bytes),
            &[],
        );
    }
    let mut batch = builder.build().unwrap();
    assign(&mut batch, base, 0);
    batch.freeze()
}

fn rows(
    tables: &Tables,
    table: TableId,
    buckets: &[u32],
    range: ScanRange<'_>,
    limit: usize,
) -> Vec<String> {
    let sources: Vec<_> = buckets
        .iter()
        .map(|&bucket| ScanSource { tables, bucket })
        .collect();
    let mut found = Vec::new();
    scan(table, &sources, range, |_, key, row| {
        found.push(format!(
            "{}={}",
            String::from_utf8_lossy(key),
            String::from_utf8_lossy(row.value)
        ));
        Ok(if found.len() == limit {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })
    .unwrap();
    found
}

#[test]
fn nothing_is_created_before_the_first_fold() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get("N1"), None);
    assert_eq!(
        fixture.tables.bucket_state(PLANES, 0).unwrap(),
        BucketState::default()
    );
    fixture.tables.flush().unwrap();
    fixture.tables.drop_bucket(PLANES, 0).unwrap();
    assert!(!fixture.tables.dir().exists());
}

#[test]
fn last_write_wins_and_null_deletes() {
    let fixture = Fixture::new();
    let folded = fixture.fold(
        0,
        &[
            ("N1", Some("a")),
            ("N2", Some("b")),
            ("N1", Some("c")),
            ("N3", None),
        ],
    );
    assert_eq!(
        folded,
        Folded {
            applied: 4,
            records: 4,
            skipped: 0,
            row_count: 2
        }
    );
    assert_eq!(fixture.get("N1"), Some((2, "c".into())));

    let folded = fixture.fold(
        4,
        &[
            ("N2", None),
            ("N1", Some("d")),
            ("N4", Some("")),
            ("N5", None),
        ],
    );
    assert_eq!(folded.row_count, 2);
    assert_eq!(fixture.get("N2"), None);
    assert_eq!(
        fixture.get("N4"),
        Some((6, "".into())),
        "an empty value is a row"
    );

    let folded = fixture.fold(8, &[("N2", Some("e")), ("N2", None)]);
    assert_eq!((folded.applied, folded.row_count), (10, 2));
}

#[test]
fn a_repeated_or_overlapping_fold_changes_nothing() {
    let fixture = Fixture::new();
    fixture.fold(0, &[("N1", Some("a")), ("N2", Some("b"))]);
    fixture.fold(2, &[("N1", None), ("N2", Some("c")), ("N3", Some("d"))]);
    let again = fixture.fold(0, &[("N1", Some("a")), ("N2", Some("b"))]);
    assert_eq!(
        again,
        Folded {
            applied: 5,
            records: 0,
            skipped: 0,
            row_count: 2
        }
    );
    assert_eq!(fixture.get("N1"), None);

    // A batch that reaches across the applied offset counts from there on.
    let overlap = fixture.fold(
        3,
        &[("N9", Some("old")), ("N9", Some("old")), ("N4", Some("e"))],
    );
    assert_eq!(
        overlap,
        Folded {
            applied: 6,
            records: 1,
            skipped: 0,
            row_count: 3
        }
    );
    assert_eq!(fixture.get("N9"), None);
}

#[test]
fn a_gap_in_the_log_is_refused() {
    let fixture = Fixture::new();
    let refused = fixture
        .tables
        .fold(&fixture.table, 0, 7, &[batch(7, &[("N1", Some("a"))])]);
    assert!(matches!(
        refused,
        Err(FoldError::Gap {
            from: 7,
            applied: 0
        })
    ));
}

#[test]
fn control_batches_move_the_offset_and_leave_no_row() {
    let fixture = Fixture::new();
    let mut control = BatchBuilder::new(Codec::None).control();
    control.append(1, Some(b"\0\0\0\x01"), Some(b"x"), &[]);
    let folded = fixture
        .tables
        .fold(&fixture.table, 0, 0, &[control.build().unwrap().freeze()])
        .unwrap();
    assert_eq!(
        folded,
        Folded {
            applied: 1,
            records: 0,
            skipped: 0,
            row_count: 0
        }
    );
}

#[test]
fn records_without_a_row_are_skipped_and_counted() {
    let fixture = Fixture::new();
    let mut builder = BatchBuilder::new(Codec::None);
    builder
        .append(1, None, Some(b"x"), &[])
        .append(1, Some(b"\xff"), Some(b"x"), &[]);
    builder.append(
        1,
        Some(b"N1"),
        Some(b"x"),
        &[(b"__value_schema_id", Some(b"\x01guid"))],
    );
    let folded = fixture
        .tables
        .fold(&fixture.table, 0, 0, &[builder.build().unwrap().freeze()])
        .unwrap();
    assert_eq!(
        folded,
        Folded {
            applied: 3,
            records: 3,
            skipped: 2,
            row_count: 1
        }
    );
    let row = fixture.tables.get(PLANES, 0, b"N1").unwrap().unwrap();
    assert_eq!(row.row().unwrap().schema_header, b"\x01guid");
}

#[test]
fn after_a_crash_rows_count_and_offset_are_those_of_one_moment() {
    let fixture = Fixture::new();
    fixture.fold(0, &[("N1", Some("a")), ("N2", Some("b"))]);
    assert_eq!(fixture.tables.durably_flushed_offset(PLANES, 0).unwrap(), 0);
    fixture.tables.flush().unwrap();
    assert_eq!(fixture.tables.durably_flushed_offset(PLANES, 0).unwrap(), 2);
    fixture.fold(2, &[("N1", None), ("N3", Some("c"))]);
    assert_eq!(fixture.tables.durably_flushed_offset(PLANES, 0).unwrap(), 2);

    let (_copy, crashed) = fixture.after_crash();
    assert_eq!(
        crashed.bucket_state(PLANES, 0).unwrap(),
        BucketState {
            applied: 2,
            row_count: 2,
            stay: 0
        }
    );
    assert_eq!(
        rows(&crashed, PLANES, &[0], ScanRange::default(), 9),
        ["N1=a", "N2=b"]
    );
    let folded = crashed
        .fold(
            &fixture.table,
            0,
            2,
            &[batch(2, &[("N1", None), ("N3", Some("c"))])],
        )
        .unwrap();
    assert_eq!(folded.row_count, 2);
    assert_eq!(
        rows(&crashed, PLANES, &[0], ScanRange::default(), 9),
        ["N2=b", "N3=c"]
    );
}

#[test]
fn a_clean_close_keeps_everything() {
    let fixture = Fixture::new();
    fixture.fold(0, &[("N1", Some("a"))]);
    let Fixture { dir, tables, .. } = fixture;
    drop(tables);
    let tables = Tables::open(dir.path().join("rows"), budget()).unwrap();
    assert_eq!(
        tables.bucket_state(PLANES, 0).unwrap(),
        BucketState {
            applied: 1,
            row_count: 1,
            stay: 0
        }
    );
}

#[test]
fn dropping_a_bucket_leaves_its_neighbours() {
    let fixture = Fixture::new();
    let places = [(1, 5), (2, 4), (2, 5), (2, 6), (3, 5)].map(|(id, bucket)| (TableId(id), bucket));
    for (id, bucket) in places {
        let one = [batch(0, &[("N1", Some("a"))])];
        fixture.tables.fold(&table(id), bucket, 0, &one).unwrap();
    }
    let dropped = (TableId(2), 5);
    fixture.tables.drop_bucket(dropped.0, dropped.1).unwrap();
    for (id, bucket) in places {
        let is_there = (id, bucket) != dropped;
        let state = fixture.tables.bucket_state(id, bucket).unwrap();
        assert_eq!(state.row_count, u64::from(is_there));
        let row = fixture.tables.get(id, bucket, b"N1").unwrap();
        assert_eq!(row.is_some(), is_there);
    }
}

/// What is dropped and not yet flushed comes back in a crash, as rows of the stay that is over.
#[test]
fn after_a_crash_rows_of_a_stay_that_is_over_are_told_apart() {
    let fixture = Fixture::new();
    let row = |key| batch(0, &[(key, Some("a"))]);
    let state = |tables: &Tables| tables.bucket_state(PLANES, 0).unwrap();
    fixture.fold(0, &[("N1", Some("a")), ("N2", Some("b"))]);
    fixture.tables.flush().unwrap();
    fixture.tables.begin_bucket(PLANES, 0, 9).unwrap();
    assert_eq!(state(&fixture.tables), BucketState::new(9));
    assert_eq!(fixture.tables.durably_flushed_offset(PLANES, 0).unwrap(), 0);
    let folded = fixture.tables.fold(&fixture.table, 0, 0, &[row("N3")]);
    assert_eq!(folded.unwrap().row_count, 1);
    assert_eq!((fixture.get("N1"), state(&fixture.tables).stay), (None, 9));

    let (_copy, crashed) = fixture.after_crash();
    assert_eq!((state(&crashed).applied, state(&crashed).stay), (2, 0));
    crashed.begin_bucket(PLANES, 0, 9).unwrap();
    crashed.fold(&fixture.table, 0, 0, &[row("N3")]).unwrap();
    crashed.flush().unwrap();
    assert_eq!(crashed.durably_flushed_offset(PLANES, 0).unwrap(), 1);
    let there = rows(&crashed, PLANES, &[0], ScanRange::default(), 9);
    assert_eq!(there, ["N3=a"]);
}

#[test]
fn residue_of_buckets_that_are_not_here_goes_at_start() {
    let fixture = Fixture::new();
    for id in [1, 2, 7] {
        for bucket in [0, 1] {
            fixture
                .tables
                .fold(
                    &table(TableId(id)),
                    bucket,
                    0,
                    &[batch(0, &[("N1", Some("a"))])],
                )
                .unwrap();
        }
    }
    let wanted = |id: TableId, bucket| id == TableId(2) || (id, bucket) == (TableId(1), 1);
    let gone = [(1, 0), (7, 0), (7, 1)].map(|(id, bucket)| (TableId(id), bucket));
    assert_eq!(fixture.tables.retain(wanted).unwrap(), gone);
    assert_eq!(fixture.tables.retain(wanted).unwrap(), []);
    assert_eq!(
        rows(
            &fixture.tables,
            TableId(7),
            &[0, 1],
            ScanRange::default(),
            9
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        rows(
            &fixture.tables,
            TableId(2),
            &[0, 1],
            ScanRange::default(),
            9
        ),
        ["N1=a", "N1=a"]
    );
}

#[test]
fn multi_get_answers_in_the_order_asked() {
    let fixture = Fixture::new();
    fixture.fold(0, &[("N1", Some("a")), ("N2", Some("b"))]);
    let keys =
        ["N2", "N0", "N1", "N2"].map(|key| crate::keys::row::encode(PLANES, 0, key.as_bytes()));
    let found = fixture
        .tables
        .multi_get(keys.iter().map(Vec::as_slice))
        .unwrap();
    let values: Vec<_> = found
        .iter()
        .map(|row| row.as_ref().map(|row| row.row().unwrap().value))
        .collect();
    assert_eq!(values, [Some(&b"b"[..]), None, Some(b"a"), Some(b"b")]);
}

/// 128 hex digits that differ with `n`.
fn hard_to_compress(n: u64) -> String {
    let mut state = n;
    let mut word = || {
        state = (state ^ 0x9E37_79B9_7F4A_7C15)
            .wrapping_mul(0xD129_0DDC_93A5_7F4B)
            .rotate_left(29);
        format!("{state:016x}")
    };
    (0..8).map(|_| word()).collect()
}

#[test]
fn what_is_not_in_memory_is_told_apart_from_what_is_not_there() {
    let fixture = Fixture::new();
    // Enough, and hard enough to compress, that its block is not read along with the file's index.
    let values: Vec<String> = (0..10_000u64).map(hard_to_compress).collect();
    let names: Vec<String> = (0..values.len()).map(|n| format!("M{n:05}")).collect();
    let rows = names.iter().zip(&values);
    let rows: Vec<_> = rows
        .map(|(name, value)| (&name[..], Some(&value[..])))
        .collect();
    fixture.fold(0, &rows);
    let in_memory = |tables: &Tables, key: &[u8]| {
        let key = crate::keys::row::encode(PLANES, 0, key);
        let found = tables.multi_get_in_memory([&key[..]]).unwrap();
        found.map(|rows| rows[0].is_some())
    };
    let key = names[0].as_bytes();
    assert_eq!(in_memory(&fixture.tables, key), Some(true), "just written");
    fixture.tables.flush().unwrap();
    let (_dir, tables) = fixture.after_crash();
    assert_eq!(in_memory(&tables, key), None, "its block was never read");
    assert!(tables.get(PLANES, 0, key).unwrap().is_some());
    assert_eq!(in_memory(&tables, key), Some(true), "now it was");
    assert_eq!(in_memory(&tables, b"N0"), Some(false));
}

#[test]
fn a_scan_merges_buckets_and_goes_on_where_it_stopped() {
    let fixture = Fixture::new();
    for (bucket, key) in [(0, "B1"), (1, "A1"), (2, "B2"), (0, "C1"), (1, "B3")] {
        let applied = fixture.tables.bucket_state(PLANES, bucket).unwrap().applied;
        fixture
            .tables
            .fold(
                &fixture.table,
                bucket,
                applied,
                &[batch(applied, &[(key, Some("x"))])],
            )
            .unwrap();
    }
    let scan = |prefix: &str, after: Option<&str>, limit| {
        let range = ScanRange {
            prefix: prefix.as_bytes(),
            after: after.map(str::as_bytes),
        };
        rows(&fixture.tables, PLANES, &[0, 1, 2], range, limit)
    };
    assert_eq!(scan("", None, 9), ["A1=x", "B1=x", "B2=x", "B3=x", "C1=x"]);
    assert_eq!(scan("B", None, 2), ["B1=x", "B2=x"]);
    assert_eq!(scan("B", Some("B2"), 2), ["B3=x"]);
    assert_eq!(
        scan("B", Some("A"), 1),
        ["B1=x"],
        "a cursor before the prefix starts at the prefix"
    );
    assert_eq!(scan("", Some("C1"), 9), Vec::<String>::new());
}

#[test]
fn a_scan_says_which_offsets_it_saw() {
    let fixture = Fixture::new();
    fixture.fold(0, &[("N1", Some("a")), ("N2", Some("b"))]);
    let sources = [0, 1].map(|bucket| ScanSource {
        tables: &fixture.tables,
        bucket,
    });
    let end = scan(PLANES, &sources, ScanRange::default(), |_, _, _| {
        // Rows folded during the scan are not in its view.
        fixture
            .tables
            .fold(&fixture.table, 0, 2, &[batch(2, &[("N3", Some("c"))])])
            .unwrap();
        Ok(ControlFlow::Continue(()))
    });
    let seen = BucketState {
        applied: 2,
        row_count: 2,
        stay: 0,
    };
    assert_eq!(
        end.unwrap(),
        ScanEnd {
            views: vec![(0, seen), (1, BucketState::default())],
            stopped: false
        }
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// P1, and that neither batch borders, repeats nor a crash between folds show.
    #[test]
    fn rows_are_the_fold_of_the_log(
        ops in proptest::collection::vec((0u8..6, proptest::option::of(0u8..4)), 1..60),
        cuts in proptest::collection::vec(1usize..12, 60),
        crash_at in proptest::option::of(0usize..20),
    ) {
        let ops: Vec<(String, Option<String>)> =
            ops.iter().map(|(k, v)| (format!("k{k}"), v.map(|v| v.to_string()))).collect();
        let mut fixture = Fixture::new();
        let mut base = 0;
        for (step, cut) in cuts.into_iter().enumerate() {
            if crash_at == Some(step) && base > 0 {
                if step % 2 == 0 {
                    fixture.tables.flush().unwrap();
                }
                let (dir, tables) = fixture.after_crash();
                base = usize::try_from(tables.bucket_state(PLANES, 0).unwrap().applied).unwrap();
                fixture.tables = tables;
                fixture.dir = dir;
            }
            let end = ops.len().min(base + cut);
            let records: Vec<Op<'_>> = ops[base..end].iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
            if records.is_empty() {
                break;
            }
            fixture.fold(base as i64, &records);
            base = end;
        }
        let mut model = BTreeMap::new();
        for (key, value) in &ops[..base] {
            match value {
                Some(value) => { model.insert(key, value); }
                None => { model.remove(key); }
            }
        }
        let expected: Vec<String> = model.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let state = fixture.tables.bucket_state(PLANES, 0).unwrap();
        prop_assert_eq!(state, BucketState { applied: base as i64, row_count: model.len() as u64, stay: 0 });
        prop_assert_eq!(rows(&fixture.tables, PLANES, &[0], ScanRange::default(), usize::MAX), expected);
    }
}
