//! What a process holds in memory, as Linux counts it.

use std::fs;

use anyhow::{Context, Result};

/// Resident now, in MiB.
pub fn resident_mib(pid: u32) -> Result<i64> {
    status(pid, "VmRSS:")
}

/// The most that was resident since [`reset_peak`], in MiB.
pub fn peak_mib(pid: u32) -> Result<i64> {
    status(pid, "VmHWM:")
}

/// Lets the peak start from what is resident now.
pub fn reset_peak(pid: u32) -> Result<()> {
    // 5 resets VmHWM: proc(5), clear_refs.
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("the peak cannot be reset")
}

fn status(pid: u32, field: &str) -> Result<i64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kib.with_context(|| format!("no {field}"))?.parse::<i64>()? / 1024)
}
