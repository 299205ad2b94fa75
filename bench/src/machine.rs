//! What the figures were taken on.

use std::fs;

/// Prints the processor, the kernel, and how busy the machine is.
pub fn describe() {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("machine: {cores} x {model}, Linux {}", kernel.trim());
    println!("CPU pressure before: {}", pressure());
}

/// The share of the last 10 seconds that some task waited for a processor.
pub fn pressure() -> String {
    let text = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let avg10 = text.split("avg10=").nth(1);
    let avg10 = avg10.and_then(|rest| rest.split(' ').next());
    format!("{} %", avg10.unwrap_or("?"))
}

/// A value of a sorted list; `share` in 0..1.
pub fn percentile<T: Copy>(sorted: &[T], share: f64) -> T {
    let place = (sorted.len() as f64 * share) as usize;
    sorted[place.min(sorted.len() - 1)]
}
