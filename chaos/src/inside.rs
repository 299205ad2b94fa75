//! The run is a process in namespaces of its own (network, mounts, processes), made by `unshare`: when it ends, however
//! it does, the system takes away its nodes, devices and mounts.

use std::process::Command;

use anyhow::{Context, Result, bail};
use compat_tests::process;

/// Set for the process inside.
const MARK: &str = "WEIR_CHAOS_INSIDE";
/// What a run needs, and where Debian has it.
const PROGRAMS: [(&str, &str, &str); 6] = [
    ("unshare", "--version", "util-linux"),
    ("setpriv", "--version", "util-linux"),
    ("nsenter", "--version", "util-linux"),
    ("fsfreeze", "--version", "util-linux"),
    ("ip", "-V", "iproute2"),
    ("mkfs.ext4", "-V", "e2fsprogs"),
];
const NEEDS: &str =
    "a run needs root, and namespaces, TUN and loop devices (in a container: `--privileged`)";

/// Whether this is the process inside.
pub fn is_inside() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts this program again with the same words, inside; answers its exit code.
pub fn enter() -> Result<i32> {
    for (program, flag, package) in PROGRAMS {
        if !process::runs(program, flag) {
            bail!("{program} does not run: `apt-get install {package}`");
        }
    }
    if !rustix::process::geteuid().is_root() {
        bail!("{NEEDS}: run it as root");
    }
    let mut unshare = Command::new("unshare");
    let flags = [
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    if !works(&flags) {
        bail!("{NEEDS}: `unshare {}` fails here", flags.join(" "));
    }
    unshare.args(flags).arg(std::env::current_exe()?);
    unshare.args(std::env::args_os().skip(1)).env(MARK, "1");
    // Killed with this process.
    let status = process::bound(&unshare).status();
    let status = status.context("cannot start unshare")?;
    Ok(status.code().unwrap_or(1))
}

fn works(flags: &[&str]) -> bool {
    let done = Command::new("unshare").args(flags).arg("true").output();
    done.is_ok_and(|done| done.status.success())
}
