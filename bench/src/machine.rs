//! What the figures were taken on, and whether others used it meanwhile.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::clock;

use crate::processes::USER_HZ;

/// Memory that pretends to be a disk.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// The processors, the memory and the kernel.
pub fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.map(|rest| rest.trim_start_matches([' ', '\t', ':']).trim().to_owned());
        value.unwrap_or_else(|| "unknown".to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kb: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    format!(
        "{} x {}, {:.0} GB, Linux {}",
        cores(),
        field(&read("/proc/cpuinfo"), "model name"),
        kb / 1e6,
        read("/proc/sys/kernel/osrelease").trim()
    )
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Fails where an fsync costs nothing.
pub fn check_disk() -> Result<()> {
    let dir = std::env::temp_dir();
    let kind = rustix::fs::statfs(&dir)?.f_type;
    ensure!(
        kind != TMPFS_MAGIC,
        "{} is memory, where an fsync costs nothing: set TMPDIR to a directory on a disk",
        dir.display()
    );
    Ok(())
}

/// Fails where less than `bytes` are free.
pub fn check_space(bytes: u64) -> Result<()> {
    let dir = std::env::temp_dir();
    let space = rustix::fs::statvfs(&dir)?;
    let free = space.f_bavail * space.f_frsize;
    ensure!(
        free >= bytes,
        "{:.1} GB are needed in {} and {:.1} GB are free: set TMPDIR to a directory with more",
        bytes as f64 / 1e9,
        dir.display(),
        free as f64 / 1e9
    );
    Ok(())
}

/// Bytes written so far to the device that holds `path`, whoever wrote them, after what is dirty was written too. None
/// where the system does not count for it, as inside containers.
pub fn written_by_device(path: &Path) -> Result<Option<u64>> {
    rustix::fs::sync();
    let device = rustix::fs::stat(path)?.st_dev;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let text = fs::read_to_string("/proc/diskstats")?;
    let sectors = text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let same = fields.first()? == &major.to_string() && fields.get(1)? == &minor.to_string();
        same.then(|| fields.get(9)?.parse::<u64>().ok()).flatten()
    });
    Ok(sectors.map(|sectors| sectors * 512))
}

/// Watches during a run what others take of the machine.
///
/// On a small machine a load generator and a server fill all cores, so pressure during a run says nothing about others.
/// What does: pressure before the run, when nothing of ours works; the processor time of programs that this one did
/// not start; and the time that the hypervisor kept.
pub struct Watch {
    waited_before: Option<f64>,
    since: Instant,
    others: u64,
    stolen: u64,
}

/// Shares of the machine in percent.
#[derive(Debug, Clone, Copy)]
pub struct Company {
    /// Of the time before the run, in which a task waited for a processor; not every kernel tells.
    pub waited_before: Option<f64>,
    /// Taken by programs that were not part of the run.
    pub others: f64,
    /// Kept by the hypervisor.
    pub stolen: f64,
}

impl Company {
    /// Whether the run's figures are marked.
    pub fn is_busy(&self) -> bool {
        self.waited_before.is_some_and(|waited| waited > 10.0)
            || self.others > 5.0
            || self.stolen > 2.0
    }
}

impl Watch {
    /// To be called while nothing of ours works; takes a second.
    pub fn start() -> Result<Watch> {
        let (before, since) = (waited(), Instant::now());
        clock::pause(Duration::from_secs(1));
        let share = |now: Duration, then: Duration| {
            100.0 * now.saturating_sub(then).as_secs_f64() / since.elapsed().as_secs_f64()
        };
        Ok(Watch {
            waited_before: waited().zip(before).map(|(now, then)| share(now, then)),
            since: Instant::now(),
            others: ticks_of_others()?,
            stolen: stolen()?,
        })
    }

    pub fn finish(&self) -> Result<Company> {
        let all = self.since.elapsed().as_secs_f64() * (cores() as u64 * USER_HZ) as f64;
        let share = |now: u64, then: u64| 100.0 * now.saturating_sub(then) as f64 / all;
        Ok(Company {
            waited_before: self.waited_before,
            others: share(ticks_of_others()?, self.others),
            stolen: share(stolen()?, self.stolen),
        })
    }
}

/// For how long a task has waited for a processor since the machine started.
fn waited() -> Option<Duration> {
    let text = fs::read_to_string("/proc/pressure/cpu").ok()?;
    let total = text.split("total=").nth(1)?.lines().next()?;
    Some(Duration::from_micros(total.parse().ok()?))
}

fn stolen() -> Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    let field = text.split_whitespace().nth(8);
    Ok(field.context("no steal in /proc/stat")?.parse()?)
}

/// Time of all programs that are not descendants of this one, with that of their children that ended. The kernel's
/// own threads work for everybody and count for nobody.
fn ticks_of_others() -> Result<u64> {
    let mut parents: HashMap<u32, (u32, u64)> = HashMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // It may have ended since.
        if let Ok(stat) = fs::read_to_string(entry.path().join("stat"))
            && let Some(process) = parse_stat(&stat)
        {
            parents.insert(pid, process);
        }
    }
    let kthreadd = 2;
    let kept_apart = [std::process::id(), kthreadd];
    let is_other = |pid: u32| {
        let mut at = pid;
        while at > 1 {
            if kept_apart.contains(&at) {
                return false;
            }
            at = parents.get(&at).map_or(0, |(parent, _)| *parent);
        }
        true
    };
    let others = parents.iter().filter(|(pid, _)| is_other(**pid));
    Ok(others.map(|(_, (_, ticks))| ticks).sum())
}

/// The parent of a process, and its time with that of its children that ended.
fn parse_stat(stat: &str) -> Option<(u32, u64)> {
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let times = fields.get(11..15)?.iter().map(|time| time.parse::<u64>());
    let ticks = times.sum::<Result<u64, _>>().ok()?;
    Some((fields.get(1)?.parse().ok()?, ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_whose_name_has_blanks_and_brackets_is_read() {
        let stat = "77 (a) (b c) S 5 6 7 0 -1 0 1 2 3 4 100 20 3 4 20 0 1 0 9 9 9";
        assert_eq!(parse_stat(stat), Some((5, 127)));
        assert_eq!(parse_stat("77 (cut"), None);
    }

    #[test]
    fn this_machine_tells_what_a_run_needs() {
        assert!(describe().contains("Linux"));
        let watch = Watch::start().expect("the kernel's figures");
        let company = watch.finish().expect("the kernel's figures");
        assert!(company.waited_before.is_none_or(|waited| waited >= 0.0));
        assert!(company.others >= 0.0 && company.stolen >= 0.0);
        assert!(written_by_device(&std::env::temp_dir()).is_ok());
    }
}
