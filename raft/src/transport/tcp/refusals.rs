//! Why callers were refused: one that tries again and again is reported once for each reason.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use parking_lot::Mutex;

/// Reasons that are remembered; past it all are forgotten, and may be reported once more.
const MAX_REMEMBERED: usize = 256;

#[derive(Default)]
pub struct Refusals {
    reported: Mutex<BTreeSet<(IpAddr, String)>>,
}

impl Refusals {
    /// Reports a caller that was not let in. One that only went away, as who probes a port does, is no news.
    pub fn report(&self, from: IpAddr, error: &io::Error, reason: String) {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof};
        if matches!(
            error.kind(),
            BrokenPipe | ConnectionReset | TimedOut | UnexpectedEof
        ) {
            tracing::debug!(%from, reason, "a node's connection did not come about");
        } else if self.is_new(from, &reason) {
            tracing::warn!(%from, reason, "a node was refused");
        }
    }

    /// A caller from there was let in.
    pub fn forget(&self, from: IpAddr) {
        self.reported.lock().retain(|(address, _)| *address != from);
    }

    fn is_new(&self, from: IpAddr, reason: &str) -> bool {
        let mut reported = self.reported.lock();
        if reported.len() >= MAX_REMEMBERED {
            reported.clear();
        }
        reported.insert((from, reason.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[test]
    fn a_reason_is_new_once_for_each_caller_until_it_is_let_in() {
        let refusals = Refusals::default();
        assert!(refusals.is_new(address(1), "no TLS"));
        assert!(!refusals.is_new(address(1), "no TLS"));
        assert!(refusals.is_new(address(1), "another CA"));
        assert!(refusals.is_new(address(2), "no TLS"));
        refusals.forget(address(1));
        assert!(refusals.is_new(address(1), "no TLS"));
        assert!(!refusals.is_new(address(2), "no TLS"));
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let refusals = Refusals::default();
        for number in 0..2 * MAX_REMEMBERED {
            assert!(refusals.is_new(address(1), &number.to_string()));
        }
        assert!(refusals.reported.lock().len() <= MAX_REMEMBERED);
    }
}
