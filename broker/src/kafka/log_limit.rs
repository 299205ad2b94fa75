//! A limit on log lines that clients can provoke.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lets a few lines through per window and counts the rest.
#[derive(Debug)]
pub struct LogLimit {
    lines: u32,
    window: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    window_start: Option<Instant>,
    written: u32,
    suppressed: u64,
}

impl LogLimit {
    /// At most `lines` lines per `window`.
    pub const fn new(lines: u32, window: Duration) -> Self {
        let state = State {
            window_start: None,
            written: 0,
            suppressed: 0,
        };
        LogLimit {
            lines,
            window,
            state: Mutex::new(state),
        }
    }

    /// `Some` if a line may be written now, with the number of lines that were kept back before it.
    pub fn permit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        if state
            .window_start
            .is_none_or(|start| now.duration_since(start) >= self.window)
        {
            state.window_start = Some(now);
            state.written = 0;
        }
        if state.written == self.lines {
            state.suppressed += 1;
            return None;
        }
        state.written += 1;
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_lets_its_lines_through_and_the_next_one_tells_the_rest() {
        let limit = LogLimit::new(2, Duration::from_secs(10));
        let start = Instant::now();
        assert_eq!(limit.permit(start), Some(0));
        assert_eq!(limit.permit(start), Some(0));
        assert_eq!(limit.permit(start), None);
        assert_eq!(limit.permit(start + Duration::from_secs(9)), None);
        assert_eq!(limit.permit(start + Duration::from_secs(10)), Some(2));
    }
}
