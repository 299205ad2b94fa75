//! What was made of files, and is made again when they have changed.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

/// A value that follows its files. One that cannot be made of what they hold now is reported, and the last one stays.
pub struct Renewed<T, E> {
    paths: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<T, E> + Send + Sync>,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// Of the files when they were last read.
    stamps: Vec<Option<Stamp>>,
    value: Arc<T>,
}

/// What differs once a file was written or replaced: another one in its place is another inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl<T, E: Display> Renewed<T, E> {
    /// Makes the first value with `make`, which reads `paths`; blocks.
    pub fn new(
        paths: Vec<PathBuf>,
        make: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Renewed<T, E>, E> {
        // Before the files are read: what is written meanwhile is read the next time.
        let stamps = stamps(&paths);
        let value = Arc::new(make()?);
        Ok(Renewed {
            paths,
            make: Box::new(make),
            state: Mutex::new(State { stamps, value }),
        })
    }

    /// The value of what the files hold now. Blocks for a look at each file, and to read them when one has changed.
    pub fn get(&self) -> Arc<T> {
        let mut state = self.state.lock();
        let now = stamps(&self.paths);
        if now == state.stamps {
            return state.value.clone();
        }
        // Not tried again before they change again: certificate and key may be written one after the other.
        state.stamps = now;
        match (self.make)() {
            Ok(value) => {
                tracing::info!(paths = ?self.paths, "files of TLS have changed, and are used from now on");
                state.value = Arc::new(value);
            }
            Err(error) => {
                tracing::warn!(%error, "files of TLS have changed, and what they held before stays in use");
            }
        }
        state.value.clone()
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| stamp(path)).collect()
}

/// `None` of a file that cannot be looked at.
fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    Some(Stamp {
        inode: (meta.dev(), meta.ino()),
        size: meta.size(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn number(path: &Path) -> Result<u32, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        text.parse().map_err(|_| format!("not a number: {text}"))
    }

    #[test]
    fn a_value_follows_its_file_and_outlives_one_that_is_no_use() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, next) = (dir.path().join("value"), dir.path().join("next"));
        fs::write(&path, "1").expect("written");
        let read = path.clone();
        let renewed = Renewed::new(vec![path.clone()], move || number(&read)).expect("a number");
        let first = renewed.get();
        assert_eq!(*first, 1);
        assert!(Arc::ptr_eq(&first, &renewed.get()), "made once");
        fs::write(&path, "22").expect("written");
        assert_eq!(*renewed.get(), 22);
        fs::write(&path, "none").expect("written");
        assert_eq!(*renewed.get(), 22);
        // As who renews certificates does, with as many bytes as before.
        fs::write(&next, "4444").expect("written");
        fs::rename(&next, &path).expect("renamed");
        assert_eq!(*renewed.get(), 4444);
        fs::remove_file(&path).expect("removed");
        assert_eq!(*renewed.get(), 4444);
    }

    #[test]
    fn the_first_value_must_be_of_use() {
        let make = || Err::<u32, _>("it is not there".to_owned());
        assert!(Renewed::new(vec!["nowhere".into()], make).is_err());
    }
}
