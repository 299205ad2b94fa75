//! The bytes that requests of all connections may hold at once.
//!
//! A connection asks for room before it reads, and takes what it then holds; so the total stays below the limit plus
//! one read per connection thread. When the budget is spent on frames that are still arriving, nothing would ever be
//! freed: one connection at a time may then overdraw, until its frame is whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// A limit on bytes, and who waits for room under it.
#[derive(Debug)]
pub struct ByteBudget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    overdrawn: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl ByteBudget {
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(ByteBudget {
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
            overdrawn: AtomicBool::new(false),
            waiting: Mutex::new(Vec::new()),
        })
    }

    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Acquire)
    }

    fn has_room(&self) -> bool {
        self.used_bytes() < self.limit_bytes
    }

    /// Ready when there is room. `mid_frame` callers may get the overdraft instead, which is returned.
    pub fn poll_room(
        self: &Arc<Self>,
        mid_frame: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Overdraft>> {
        if self.has_room() {
            return Poll::Ready(None);
        }
        self.waiting.lock().push(cx.waker().clone());
        if mid_frame && !self.overdrawn.swap(true, Ordering::AcqRel) {
            return Poll::Ready(Some(Overdraft(self.clone())));
        }
        // Room may have come between the check and the registration.
        if self.has_room() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }

    /// Takes bytes, whether or not there is room: the caller has asked, or holds them already.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Reservation {
        self.used_bytes.fetch_add(bytes, Ordering::AcqRel);
        Reservation {
            budget: self.clone(),
            bytes,
        }
    }

    fn wake_all(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Bytes taken from the budget; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl Reservation {
    pub fn grow(&mut self, bytes: usize) {
        self.budget.used_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let before = self
            .budget
            .used_bytes
            .fetch_sub(self.bytes, Ordering::AcqRel);
        if before >= self.budget.limit_bytes && before - self.bytes < self.budget.limit_bytes {
            self.budget.wake_all();
        }
    }
}

/// The right of one connection to read past the limit; given back when dropped.
#[derive(Debug)]
pub struct Overdraft(Arc<ByteBudget>);

impl Drop for Overdraft {
    fn drop(&mut self) {
        self.0.overdrawn.store(false, Ordering::Release);
        self.0.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(budget: &Arc<ByteBudget>, mid_frame: bool) -> Poll<Option<Overdraft>> {
        budget.poll_room(mid_frame, &mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_connection_in_the_middle_of_a_frame_may_overdraw() {
        let budget = ByteBudget::new(100);
        let mut held = budget.take(60);
        assert!(matches!(poll(&budget, false), Poll::Ready(None)));
        held.grow(60);
        assert!(poll(&budget, false).is_pending(), "a new frame waits");
        let Poll::Ready(Some(overdraft)) = poll(&budget, true) else {
            panic!("the first gets the overdraft");
        };
        assert!(poll(&budget, true).is_pending(), "the second waits");
        drop(overdraft);
        assert!(matches!(poll(&budget, true), Poll::Ready(Some(_))));
        drop(held);
        assert_eq!(budget.used_bytes(), 0);
        assert!(matches!(poll(&budget, false), Poll::Ready(None)));
    }

    #[test]
    fn a_waiter_wakes_when_room_comes() {
        use std::task::Wake;
        struct Flag(AtomicBool);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Release);
            }
        }
        let budget = ByteBudget::new(10);
        let held = budget.take(10);
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        assert!(
            budget
                .poll_room(false, &mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(held);
        assert!(flag.0.load(Ordering::Acquire));
    }
}
