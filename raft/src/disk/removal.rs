//! Gives the space of large files back bit by bit. A disk that hears at once that much of it is free, as with
//! `mount -o discard`, has everybody's syncs wait meanwhile: 60 ms for 1 GB.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// How much is given back at a time.
const STEP_BYTES: u64 = 16 << 20;
const PAUSE: Duration = Duration::from_millis(25);
/// Whoever has opened a file just before it was removed has read from it by then.
const GRACE: Duration = Duration::from_secs(1);
/// Files that wait for it; more are freed at once.
const MAX_FILES: usize = 64;

/// Removes a file's name. Its space follows, a second or two for each file that waits, or when the process ends.
pub fn remove(path: &Path) -> io::Result<()> {
    let is_large = fs::metadata(path).is_ok_and(|found| found.len() > STEP_BYTES);
    // Where it cannot be opened, it is freed at once.
    let file = is_large.then(|| File::options().write(true).open(path));
    fs::remove_file(path)?;
    if let Some(Ok(file)) = file
        && is_nameless(&file)
    {
        // Else it is freed here, as it is closed.
        let _ = removals().map(|removals| removals.try_send(file));
    }
    Ok(())
}

/// Whether nothing but open files, as somebody's copy by a hard link would, keeps a file.
fn is_nameless(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.nlink() == 0)
}

fn removals() -> Option<&'static SyncSender<File>> {
    static REMOVALS: OnceLock<Option<SyncSender<File>>> = OnceLock::new();
    let start = || {
        let (sender, receiver) = sync_channel(MAX_FILES);
        let thread = thread::Builder::new().name("weir-removal".into());
        let spawned = thread.spawn(|| shrink_all(receiver));
        spawned.ok().map(|_| sender)
    };
    REMOVALS.get_or_init(start).as_ref()
}

fn shrink_all(files: Receiver<File>) {
    for file in files {
        pause(GRACE);
        if let Err(error) = shrink(&file) {
            tracing::debug!(%error, "a removed file is freed at once");
        }
    }
}

/// Takes the end off a file until nothing is left.
fn shrink(file: &File) -> io::Result<()> {
    let mut len = file.metadata()?.len();
    while len > 0 {
        len = len.saturating_sub(STEP_BYTES);
        file.set_len(len)?;
        // Else all steps would be one.
        file.sync_all()?;
        pause(PAUSE);
    }
    Ok(())
}

#[allow(
    clippy::disallowed_methods,
    reason = "on a thread of its own, and of real disks only"
)]
fn pause(time: Duration) {
    thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large_file(path: &Path) -> File {
        let file = File::create(path).expect("created");
        file.set_len(2 * STEP_BYTES + 1).expect("long");
        file
    }

    #[test]
    fn a_large_file_is_gone_at_once_and_then_shrinks() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let file = large_file(&path);
        assert!(!is_nameless(&file));
        remove(&path).expect("removed");
        assert!(!path.exists() && is_nameless(&file));
        shrink(&file).expect("shrinks");
        assert_eq!(file.metadata().expect("open").len(), 0);
        let error = remove(&path).expect_err("it is not there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_with_another_name_is_left_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let [path, copy] = ["file", "copy"].map(|name| dir.path().join(name));
        let file = large_file(&path);
        fs::hard_link(&path, &copy).expect("linked");
        remove(&path).expect("removed");
        assert!(!path.exists() && !is_nameless(&file));
        pause(GRACE + 4 * PAUSE);
        let len = fs::metadata(&copy).expect("there").len();
        assert_eq!(len, 2 * STEP_BYTES + 1);
    }
}
