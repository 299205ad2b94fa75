//! Damaged files of RocksDB: the rows come back from the log, and never wrong.

use super::*;

/// Every so many bytes of a file one is flipped, and it is cut there.
const STRIDE: usize = 41;

fn history() -> [Vec<Op<'static>>; 2] {
    [
        vec![("N1", Some("a")), ("N2", Some("b")), ("N3", Some("c"))],
        vec![("N2", None), ("N3", Some("d")), ("N4", Some("e"))],
    ]
}

const ROWS: [&str; 3] = ["N1=a", "N3=d", "N4=e"];

/// Opens the store, folds what it lacks of the history, and reads all rows.
fn recover(dir: &Path) -> Result<Vec<String>, StoreError> {
    let tables = Tables::open(dir, budget())?;
    let buckets = tables.stored_buckets();
    buckets.expect("what a start looks at was found sound, or thrown away");
    let table = table(PLANES);
    let applied = tables.bucket_state(PLANES, 0)?.applied;
    let [first, second] = history();
    let log = [(0, first), (3, second)];
    for (base, ops) in log.iter().filter(|(base, _)| base + 3 > applied) {
        let from = applied.max(*base);
        match tables.fold(&table, 0, from, &[batch(*base, ops)]) {
            Ok(_) => {}
            Err(FoldError::Store(error)) => return Err(error),
            Err(error) => panic!("{error}"),
        }
    }
    for (key, value) in [("N1", Some("a")), ("N2", None), ("N4", Some("e"))] {
        let found = tables.get(PLANES, 0, key.as_bytes())?;
        let found = found.map(|row| row.row().map(|row| row.value.to_vec()));
        assert_eq!(
            found.transpose()?,
            value.map(|value| value.as_bytes().to_vec())
        );
    }
    let source = ScanSource {
        tables: &tables,
        bucket: 0,
    };
    let mut rows = Vec::new();
    scan(PLANES, &[source], ScanRange::default(), |_, key, row| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        rows.push(format!("{}={}", text(key), text(row.value)));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

/// The rows after one start, or after a second one that the first has asked for.
fn check(dir: &Path, what: &str) {
    let rows = recover(dir).or_else(|error| {
        assert!(error.is_damage(), "{what}: {error}");
        recover(dir)
    });
    let rows = rows.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(rows, ROWS, "{what}");
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn names(dir: &Path) -> Vec<String> {
    let listed = std::fs::read_dir(dir).unwrap();
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
    listed.map(|entry| name(entry.unwrap())).collect()
}

/// The files of a store with the whole history in `rows`, and as they were before its second half in `older`.
fn written() -> Fixture {
    let fixture = Fixture::new();
    let [first, second] = history();
    let dir = fixture.dir.path();
    fixture.fold(0, &first);
    fixture.tables.flush().unwrap();
    copy(&dir.join("rows"), &dir.join("older"));
    fixture.fold(3, &second);
    fixture.tables.flush().unwrap();
    fixture
}

#[test]
fn rows_on_exchanged_or_older_files_are_folded_again() {
    let fixture = written();
    let dir = fixture.dir.path();
    let [rows, older, damaged] = ["rows", "older", "damaged"].map(|name| dir.join(name));
    let (mut exchanged, mut aged) = (0, 0);
    for name in names(&rows) {
        for other in names(&rows) {
            // All other files are there once.
            let tables = [&name, &other].iter().all(|name| name.ends_with(".sst"));
            if name == other || !tables {
                continue;
            }
            copy(&rows, &damaged);
            std::fs::copy(rows.join(&other), damaged.join(&name)).unwrap();
            check(&damaged, &format!("{other} as {name}"));
            copy(&rows, &damaged);
            std::fs::copy(rows.join(&other), damaged.join(&name)).unwrap();
            std::fs::copy(rows.join(&name), damaged.join(&other)).unwrap();
            check(&damaged, &format!("{other} and {name} exchanged"));
            exchanged += 1;
        }
        if !older.join(&name).exists() {
            continue;
        }
        copy(&rows, &damaged);
        std::fs::copy(older.join(&name), damaged.join(&name)).unwrap();
        check(&damaged, &format!("older {name}"));
        aged += 1;
    }
    assert!(exchanged > 1 && aged > 3, "{exchanged} and {aged}");
    // All of them older: the rows are those of an earlier time, and what is missing is folded.
    check(&older, "older files");
}

#[test]
fn rows_on_damaged_files_are_folded_again() {
    let fixture = written();
    let original = fixture.dir.path().join("rows");
    let damaged = fixture.dir.path().join("damaged");
    let mut kinds = 0;
    for name in names(&original) {
        let bytes = std::fs::read(original.join(&name)).unwrap();
        kinds += usize::from(!bytes.is_empty());
        for at in (0..bytes.len()).step_by(STRIDE) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0xff;
            for (what, bytes) in [("flipped", &flipped[..]), ("cut", &bytes[..at])] {
                copy(&original, &damaged);
                std::fs::write(damaged.join(&name), bytes).unwrap();
                check(&damaged, &format!("{name} {what} at {at}"));
            }
        }
        copy(&original, &damaged);
        std::fs::remove_file(damaged.join(&name)).unwrap();
        check(&damaged, &format!("{name} removed"));
    }
    assert!(kinds > 4, "{kinds} files were damaged");
}
