//! The processor time and the memory of the process that is measured, as the system counts them.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use compat_tests::weir::Weir;

/// Units of a process's times in a second, on every architecture of today.
const USER_HZ: u64 = 100;

/// The process that is measured.
#[derive(Clone, Copy)]
pub struct Server {
    pid: u32,
}

impl Server {
    pub fn of(weir: &Weir) -> Result<Server> {
        let pid = weir.pid().context("the broker does not run")?;
        Ok(Server { pid })
    }

    /// User and system time since its start.
    pub fn cpu(self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let mut ticks = after_name.split_whitespace().skip(11);
        let mut next = || -> Result<u64> { Ok(ticks.next().context("no times")?.parse()?) };
        let (user, system) = (next()?, next()?);
        Ok(Duration::from_millis((user + system) * 1000 / USER_HZ))
    }

    /// Resident memory in MB: now, and at most so far.
    pub fn memory(self) -> Result<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let field = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kb = line.and_then(|line| line.split_whitespace().nth(1));
            let kb: f64 = kb.context("no such field")?.parse()?;
            Ok(kb / 1024.0)
        };
        Ok((field("VmRSS")?, field("VmHWM")?))
    }
}
