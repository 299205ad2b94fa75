//! A small file system of a node's own: an image in memory, which can be filled up and made to stand still.
//!
//! It is mounted in the mount namespace of the run, so that nothing of it is left when the run has ended, however it did.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where the images are.
const IMAGES_MB: u64 = 3_000;
const DISK_MB: u64 = 400;

/// A folder of memory for the images of all disks.
pub fn mount_memory(at: &Path) -> Result<()> {
    std::fs::create_dir_all(at)?;
    let size = format!("size={IMAGES_MB}m");
    run(
        "mount",
        &["-t", "tmpfs", "-o", &size, "weir-chaos", text(at)],
    )
}

pub struct Disk {
    mounted: PathBuf,
    frozen: bool,
}

impl Disk {
    /// Makes one in a folder of memory.
    pub fn new(memory: &Path, name: &str) -> Result<Disk> {
        let image = memory.join(format!("{name}.image"));
        File::create(&image)?.set_len(DISK_MB << 20)?;
        run("mkfs.ext4", &["-q", "-F", "-m", "0", text(&image)])?;
        let mounted = memory.join(name);
        std::fs::create_dir(&mounted)?;
        run("mount", &["-o", "loop", text(&image), text(&mounted)])?;
        Ok(Disk {
            mounted,
            frozen: false,
        })
    }

    pub fn path(&self) -> &Path {
        &self.mounted
    }

    /// Takes what is free but for so many KiB; answers how many bytes it took.
    pub fn fill(&self, leave_kb: u64) -> Result<u64> {
        let space = rustix::fs::statvfs(&self.mounted)?;
        let free = space.f_bavail * space.f_frsize;
        let mut take = free.saturating_sub(leave_kb << 10);
        let file = File::create(self.filler())?;
        let mut taken = 0;
        // The file system needs some blocks for the file itself.
        while take >= 4096 {
            let flags = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&file, flags, taken, take) {
                Ok(()) => taken += take,
                Err(rustix::io::Errno::NOSPC) => {}
                Err(error) => return Err(error.into()),
            }
            take /= 2;
        }
        Ok(file.metadata()?.len())
    }

    pub fn free_up(&self) -> Result<()> {
        match std::fs::remove_file(self.filler()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Has writes and syncs wait until [`Disk::thaw`].
    pub fn freeze(&mut self) -> Result<()> {
        if !self.frozen {
            run("fsfreeze", &["--freeze", text(&self.mounted)])?;
            self.frozen = true;
        }
        Ok(())
    }

    pub fn thaw(&mut self) -> Result<()> {
        if self.frozen {
            run("fsfreeze", &["--unfreeze", text(&self.mounted)])?;
            self.frozen = false;
        }
        Ok(())
    }

    fn filler(&self) -> PathBuf {
        self.mounted.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A frozen file system cannot go.
        let _ = self.thaw();
        let _ = run("umount", &["--lazy", text(&self.mounted)]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of the run are text")
}

fn run(program: &str, words: &[&str]) -> Result<()> {
    let done = Command::new(program).args(words).output();
    let done = done.with_context(|| format!("cannot start {program}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{program} {words:?}: {said}");
    }
    Ok(())
}
