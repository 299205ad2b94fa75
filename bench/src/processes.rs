//! What processes used, as the system counts it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use compat_tests::clock;

/// Units of a process's times in a second, on every architecture of today.
pub const USER_HZ: u64 = 100;

/// The processes of one server; figures are sums over them.
#[derive(Debug, Clone)]
pub struct Processes(Vec<u32>);

impl Processes {
    pub fn of(pids: &[Option<u32>]) -> Result<Processes> {
        let running: Option<Vec<u32>> = pids.iter().copied().collect();
        Ok(Processes(running.context("the server does not run")?))
    }

    /// User and system time since their start.
    pub fn cpu(&self) -> Result<Duration> {
        let mut ticks = 0;
        for pid in &self.0 {
            ticks += own_ticks(&read(*pid, "stat")?).context("no times")?;
        }
        Ok(Duration::from_millis(ticks * 1000 / USER_HZ))
    }

    /// Resident memory in MB.
    pub fn resident_mb(&self) -> Result<f64> {
        self.memory("VmRSS:")
    }

    /// The most resident memory so far in MB.
    pub fn peak_mb(&self) -> Result<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> Result<f64> {
        let kb = self.sum("status", field)?;
        Ok(kb as f64 * 1024.0 / 1e6)
    }

    /// Bytes that they had the system write, past the page cache or into it.
    pub fn written(&self) -> Result<u64> {
        self.sum("io", "write_bytes:")
    }

    pub fn open_files(&self) -> Result<usize> {
        let mut count = 0;
        for pid in &self.0 {
            count += fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        }
        Ok(count)
    }

    fn sum(&self, file: &str, field: &str) -> Result<u64> {
        let mut sum = 0;
        for pid in &self.0 {
            let text = read(*pid, file)?;
            let line = text.lines().find_map(|line| line.strip_prefix(field));
            let value = line.and_then(|line| line.split_whitespace().next());
            let value: u64 = value
                .with_context(|| format!("no {field}"))?
                .parse()
                .context("no number")?;
            sum += value;
        }
        Ok(sum)
    }

    /// Waits until they hardly wrote and took less than a tenth of a core for two seconds, or `limit` has passed.
    pub fn settle(&self, limit: Duration) -> Result<()> {
        let started = Instant::now();
        let step = Duration::from_secs(2);
        while started.elapsed() < limit {
            let before = (self.written()?, self.cpu()?);
            clock::pause(step);
            let after = (self.written()?, self.cpu()?);
            // Kafka's controller adds to its log twice a second for as long as it runs.
            if after.0 - before.0 < (256 << 10) && after.1 - before.1 < step / 10 {
                break;
            }
        }
        Ok(())
    }
}

fn read(pid: u32, file: &str) -> Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}"))
        .with_context(|| format!("the server (process {pid}) has ended"))
}

/// User and system time in a line of `/proc/PID/stat`.
pub fn own_ticks(stat: &str) -> Option<u64> {
    let after_name = stat.rsplit(')').next()?;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_time_memory_and_files() {
        let own = Processes::of(&[Some(std::process::id())]).expect("a process");
        assert!(own.resident_mb().expect("memory") > 1.0);
        assert!(own.peak_mb().expect("memory") >= own.resident_mb().expect("memory") * 0.5);
        assert!(own.open_files().expect("files") > 0);
        assert!(own.cpu().is_ok() && own.written().is_ok());
        assert!(Processes::of(&[Some(1), None]).is_err());
    }
}
