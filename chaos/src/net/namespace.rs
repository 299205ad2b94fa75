//! A network namespace and the one device in it.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_tap::{Iface, Mode};

use crate::time;

const DEVICE: &str = "weir0";
/// Longer packets than on most networks: fewer of them for the switch to carry.
const MTU: usize = 4000;
const START_LIMIT: Duration = Duration::from_secs(5);

/// Lives as long as the process that keeps it, which this ends.
pub struct Namespace {
    keeper: Child,
}

impl Namespace {
    pub fn new() -> Result<Namespace> {
        let keeper = Command::new("unshare")
            .args(["--net", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start unshare (util-linux)")?;
        let namespace = Namespace { keeper };
        let ours = std::fs::read_link("/proc/self/ns/net")?;
        let made = time::wait_for(START_LIMIT, Duration::from_millis(5), || {
            let theirs = std::fs::read_link(namespace.path()).ok()?;
            (theirs != ours).then_some(())
        });
        made.context("no network namespace was made")?;
        Ok(namespace)
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.keeper.id())
    }

    /// `program` with its words, to be started in here. The process's id is the program's.
    pub fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg(program);
        command
    }

    /// Makes the device in here. Its file stays bound to it wherever it is read.
    pub fn device(&self, address: Ipv4Addr) -> Result<Iface> {
        let file = File::open(self.path())?;
        // A thread of its own, which alone moves.
        let made = std::thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Namespace::device_here(address)
        });
        made.join().expect("no panic")
    }

    /// Makes the device in the namespace of the calling thread.
    pub fn device_here(address: Ipv4Addr) -> Result<Iface> {
        let device = Iface::without_packet_info(DEVICE, Mode::Tun)
            .context("cannot make a TUN device (`modprobe tun`, and CAP_NET_ADMIN)")?;
        ip(&["link", "set", "lo", "up"])?;
        ip(&["addr", "add", &format!("{address}/24"), "dev", DEVICE])?;
        ip(&["link", "set", DEVICE, "mtu", &MTU.to_string(), "up"])?;
        Ok(device)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let done = Command::new("ip").args(words).output();
    let done = done.context("cannot start ip (iproute2)")?;
    if !done.status.success() {
        bail!("ip {words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}
