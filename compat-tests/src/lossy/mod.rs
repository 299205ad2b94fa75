//! A file system that forgets: what was not synced may be gone after a power loss, as on the worst disk that a
//! program has to live with.
//!
//! - Each 512 bytes, or 4 KiB, of each write since the file's last sync survive or not. A direct write is no safer: it
//!   lies in the drive's cache.
//! - A name that was made, moved or removed since its directory's last sync may be as before, though what came earlier
//!   in the same directory never goes before what came later, and a moved name is in one of its two places. Syncing a
//!   file does not make its name durable.
//! - What was synced stays, unless the disk lies ([`Lossy::lie`]).
//!
//! It is mounted by FUSE, so that any program can use it, and lives in the process that mounts it. Bytes lie in a
//! backing directory; what is needed to go back to the last syncs is kept in memory. [`Disk`] answers the kernel.

mod files;
mod fs;
mod loss;
mod names;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fuser::{BackgroundSession, MountOption};
use tempfile::TempDir;

use fs::{Disk, Requests};
pub use loss::{Loss, Report};

use crate::clock;

/// What a mount of this kind is called, with the process's id behind it.
const NAME: &str = "weir-lossy-";
const NEEDS: &str = "cannot mount a file system of our own. It needs /dev/fuse (`modprobe fuse`; in a container \
    `--device /dev/fuse --cap-add SYS_ADMIN`), and root or fusermount3 (`apt-get install fuse3`)";
/// The kernel closes the files of a process that ended a little later.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// A mounted file system, empty at first. It is unmounted and gone when this is dropped.
pub struct Lossy {
    disk: Arc<Disk>,
    session: Option<BackgroundSession>,
    mounted: PathBuf,
    _dir: TempDir,
}

impl Lossy {
    /// Mounts one. `seed` is for how long its syncs take.
    pub fn mount(seed: u64) -> Result<Lossy> {
        unmount_leftovers();
        let dir = tempfile::Builder::new().prefix("weir-lossy-").tempdir()?;
        let (mounted, backing) = (dir.path().join("disk"), dir.path().join("backing"));
        for folder in [&mounted, &backing] {
            std::fs::create_dir(folder)?;
        }
        let mut lossy = Lossy {
            disk: Disk::new(backing, seed),
            session: None,
            mounted,
            _dir: dir,
        };
        lossy.attach()?;
        Ok(lossy)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mounted
    }

    /// From now on whoever uses it waits. For the moment before power is lost: nobody sees anything of it.
    pub fn freeze(&self) {
        self.disk.freeze();
    }

    /// Whoever uses it gets an error from now on, also who has been waiting.
    pub fn cut_power(&self) {
        self.disk.cut_power();
    }

    /// From now on syncs do nothing, and say that they have.
    pub fn lie(&self) {
        self.disk.lie();
    }

    /// Loses what was not synced, and mounts the rest. Nobody uses it any more.
    pub fn restore(&mut self, loss: Loss) -> Result<Report> {
        self.disk.cut_power();
        self.detach()?;
        let report = self.disk.restore(loss)?;
        self.attach()?;
        Ok(report)
    }

    fn attach(&mut self) -> Result<()> {
        let mut config = fuser::Config::default();
        let name = format!("{NAME}{}", std::process::id());
        config.mount_options = vec![MountOption::FSName(name), MountOption::NoAtime];
        let requests = Requests(self.disk.clone());
        let session = fuser::spawn_mount(requests, &self.mounted, &config).context(NEEDS)?;
        self.session = Some(session);
        Ok(())
    }

    fn detach(&mut self) -> Result<()> {
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        let unmounted = clock::wait_for(BUSY_LIMIT, Duration::from_millis(10), || {
            unmount(&self.mounted, &[]).then_some(())
        });
        if unmounted.is_none() {
            unmount(&self.mounted, &["--lazy"]);
        }
        session.join()?;
        unmounted.with_context(|| format!("{} is still in use", self.mounted.display()))
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.disk.cut_power();
        if let Err(error) = self.detach() {
            eprintln!("unmounting: {error:#}");
        }
    }
}

fn unmount(path: &Path, flags: &[&str]) -> bool {
    let mut command = Command::new("umount");
    command.args(flags).arg(path).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Unmounts what processes left that were killed.
fn unmount_leftovers() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let process = words.next().and_then(|name| name.strip_prefix(NAME));
        let (Some(process), Some(path)) = (process, words.next()) else {
            continue;
        };
        if !Path::new("/proc").join(process).exists() {
            unmount(Path::new(path), &["--lazy"]);
        }
    }
}
