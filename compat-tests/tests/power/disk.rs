//! The file system that the broker is put on really forgets what was not synced, and nothing else.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use compat_tests::clock;
use compat_tests::lossy::{Loss, Lossy};

/// More than one sector, and no whole number of them.
const LEN: usize = 9000;

fn mount() -> Lossy {
    Lossy::mount(1).expect("mounted")
}

/// Loses all that was not synced.
fn lose(disk: &mut Lossy) {
    disk.restore(Loss::total()).expect("it goes on");
}

fn sync_dir(path: &Path) {
    let dir = File::open(path).expect("opened");
    dir.sync_all().expect("synced");
}

/// A file under a durable name, with durable bytes.
fn kept(disk: &Lossy, name: &str) -> PathBuf {
    let path = disk.path().join(name);
    let mut file = File::create(&path).expect("created");
    file.write_all(&[1; LEN]).expect("written");
    file.sync_all().expect("synced");
    sync_dir(disk.path());
    path
}

fn names(disk: &Lossy) -> Vec<String> {
    let listed = fs::read_dir(disk.path()).expect("listed");
    let mut names: Vec<String> = listed
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("text"))
        .collect();
    names.sort();
    names
}

/// Has `dd` write ones over a file's start, as these words say.
fn dd(to: &Path, words: &[&str]) {
    let ones = to.parent().expect("a folder").join("../ones");
    fs::write(&ones, [1; 8192]).expect("written");
    let written = Command::new("dd")
        .args(["bs=4096", "count=2", "conv=notrunc"])
        .args(words)
        .arg(format!("if={}", ones.display()))
        .arg(format!("of={}", to.display()))
        .stderr(Stdio::null())
        .status();
    assert!(written.expect("dd runs").success(), "{words:?}");
}

#[test]
fn a_program_keeps_what_it_synced_and_loses_the_rest() {
    let cases: [(&[&str], bool); 4] = [
        (&[], false),
        (&["conv=notrunc,fsync"], true),
        (&["oflag=direct"], false),
        (&["oflag=direct", "conv=notrunc,fdatasync"], true),
    ];
    let mut disk = mount();
    for (words, durable) in cases {
        let path = disk.path().join("file");
        fs::write(&path, [0; 8192]).expect("written");
        File::open(&path)
            .expect("opened")
            .sync_all()
            .expect("synced");
        sync_dir(disk.path());
        dd(&path, words);
        assert_eq!(fs::read(&path).expect("read"), [1; 8192], "{words:?}");
        lose(&mut disk);
        let expected = [u8::from(durable); 8192];
        assert_eq!(fs::read(&path).expect("read"), expected, "{words:?}");
    }
}

#[test]
fn a_name_is_lost_until_its_directory_is_synced() {
    let mut disk = mount();
    let path = kept(&disk, "kept");
    let moved = disk.path().join("moved");
    for durable in [false, true] {
        fs::rename(&path, &moved).expect("renamed");
        let new = File::create(disk.path().join("new")).expect("created");
        new.sync_all().expect("synced");
        drop(new);
        assert_eq!(names(&disk), ["moved", "new"]);
        if durable {
            sync_dir(disk.path());
        }
        lose(&mut disk);
        let expected: &[&str] = if durable {
            &["moved", "new"]
        } else {
            &["kept"]
        };
        assert_eq!(names(&disk), expected);
    }
    assert_eq!(fs::read(&moved).expect("read"), [1; LEN]);
    fs::remove_file(&moved).expect("removed");
    lose(&mut disk);
    assert_eq!(names(&disk), ["moved", "new"]);
}

#[test]
fn a_length_is_lost_until_the_file_is_synced() {
    let mut disk = mount();
    let path = kept(&disk, "file");
    for durable in [false, true] {
        let file = File::options().write(true).open(&path).expect("opened");
        file.set_len(10).expect("cut");
        let flags = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&file, flags, 0, 1 << 20).expect("reserved");
        assert_eq!(file.metadata().expect("known").len(), 1 << 20);
        if durable {
            file.sync_data().expect("synced");
        }
        drop(file);
        lose(&mut disk);
        let bytes = fs::read(&path).expect("read");
        if durable {
            assert_eq!(bytes.len(), 1 << 20);
            assert_eq!(bytes[..10], [1; 10]);
            assert!(bytes[10..].iter().all(|byte| *byte == 0));
        } else {
            assert_eq!(bytes, [1; LEN]);
        }
    }
}

#[test]
fn a_write_is_torn_into_sectors() {
    let mut torn = 0;
    for seed in 0..40 {
        let mut disk = mount();
        let path = kept(&disk, "file");
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(&[2; LEN]))
            .expect("written");
        let report = disk.restore(Loss::random(seed)).expect("it goes on");
        let bytes = fs::read(&path).expect("read");
        let new = bytes.iter().filter(|byte| **byte == 2).count();
        assert_eq!(new == LEN, report.sectors_lost == 0, "seed {seed}");
        torn += usize::from(new > 0 && new < LEN);
    }
    assert!(torn > 5, "{torn}");
}

#[test]
fn a_disk_that_lies_loses_what_was_synced() {
    let mut disk = mount();
    kept(&disk, "before");
    disk.lie();
    kept(&disk, "after");
    assert_eq!(names(&disk), ["after", "before"]);
    lose(&mut disk);
    assert_eq!(names(&disk), ["before"]);
}

#[test]
fn it_does_what_programs_ask_of_it() {
    let disk = mount();
    let path = kept(&disk, "file");
    let mut file = File::options()
        .read(true)
        .append(true)
        .open(&path)
        .expect("opened");
    file.write_all(b"end").expect("appended");
    file.seek(SeekFrom::End(-4)).expect("sought");
    let mut end = Vec::new();
    file.read_to_end(&mut end).expect("read");
    assert_eq!(end, b"\x01end");
    let lock = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    rustix::fs::flock(&file, lock).expect("locked");
    let other = File::open(&path).expect("opened");
    assert!(rustix::fs::flock(&other, lock).is_err(), "it is locked");
    let space = rustix::fs::statvfs(disk.path()).expect("known");
    assert!(space.f_bavail > 0 && space.f_frsize > 0);
    let folder = disk.path().join("a/b/c");
    fs::create_dir_all(&folder).expect("created");
    fs::rename(&path, folder.join("moved")).expect("renamed");
    assert_eq!(names(&disk), ["a"]);
    assert!(fs::remove_dir(&folder).is_err(), "it is not empty");
    fs::remove_dir_all(disk.path().join("a")).expect("removed");
    assert!(names(&disk).is_empty());
    for number in 0..2000 {
        File::create(disk.path().join(format!("{number:04}"))).expect("created");
    }
    let listed = names(&disk);
    assert_eq!((listed.len(), &listed[1999][..]), (2000, "1999"));
}

#[test]
fn who_asks_while_it_is_frozen_waits_and_gets_an_error() {
    let mut disk = mount();
    let path = kept(&disk, "file");
    disk.freeze();
    let asking = std::thread::spawn(move || {
        let file = File::options().write(true).open(&path)?;
        file.set_len(5)?;
        file.sync_all()
    });
    clock::pause(Duration::from_millis(200));
    assert!(!asking.is_finished());
    disk.cut_power();
    let answer = asking.join().expect("no panic");
    assert!(answer.is_err(), "{answer:?}");
    lose(&mut disk);
    assert_eq!(names(&disk), ["file"]);
}

#[test]
fn nothing_is_left_of_it() {
    let disk = mount();
    let path = disk.path().to_owned();
    let mounts = || fs::read_to_string("/proc/self/mounts").expect("read");
    assert!(mounts().contains(path.to_str().expect("text")));
    kept(&disk, "file");
    drop(disk);
    assert!(!mounts().contains(path.to_str().expect("text")));
    assert!(!path.parent().expect("a folder").exists());
}
