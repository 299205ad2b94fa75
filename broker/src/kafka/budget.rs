//! The bytes that requests of all connections may hold at once.
//!
//! A connection asks for room before it reads, and takes what it then holds; so the total stays below the limit plus
//! one read per connection thread. Two things keep a spent budget from stopping everybody. A part is kept for
//! connections that begin a frame, so that a few clients with large frames do not shut out small requests. And when
//! all of it is spent on frames that are still arriving, none of which could ever be freed, one connection at a time
//! may overdraw until its frame is whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// A limit on bytes, and who waits for room under it.
#[derive(Debug)]
pub struct ByteBudget {
    limit_bytes: usize,
    /// The limit for frames that have begun.
    growth_limit_bytes: usize,
    used_bytes: AtomicUsize,
    overdrawn: AtomicBool,
    waiting: Mutex<BTreeMap<usize, Waker>>,
}

/// What a connection wants room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The first bytes of a frame.
    Begin,
    /// More of a frame whose first bytes are here.
    Grow,
}

impl ByteBudget {
    /// A fifth of the limit is kept for frames that begin.
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(ByteBudget {
            limit_bytes,
            growth_limit_bytes: limit_bytes - limit_bytes / 5,
            used_bytes: AtomicUsize::new(0),
            overdrawn: AtomicBool::new(false),
            waiting: Mutex::default(),
        })
    }

    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Acquire)
    }

    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    fn has_room(&self, want: Want) -> bool {
        match want {
            Want::Begin => self.used_bytes() < self.limit_bytes,
            Want::Grow => self.used_bytes() < self.growth_limit_bytes,
        }
    }

    /// Ready when there is room; a frame that grows may get the overdraft instead, which is returned. `who` names
    /// the caller among those that wait.
    pub fn poll_room(
        self: &Arc<Self>,
        want: Want,
        who: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Overdraft>> {
        if self.has_room(want) {
            return Poll::Ready(None);
        }
        self.waiting.lock().insert(who, cx.waker().clone());
        if want == Want::Grow && !self.overdrawn.swap(true, Ordering::AcqRel) {
            return Poll::Ready(Some(Overdraft(self.clone())));
        }
        // Room may have come between the check and the registration.
        if self.has_room(want) {
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
        waiting.into_values().for_each(Waker::wake);
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
        let budget = &self.budget;
        let before = budget.used_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        let crossed = |limit| before >= limit && before - self.bytes < limit;
        if crossed(budget.growth_limit_bytes) || crossed(budget.limit_bytes) {
            budget.wake_all();
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

    fn poll(budget: &Arc<ByteBudget>, want: Want) -> Poll<Option<Overdraft>> {
        budget.poll_room(want, 1, &mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_connection_in_the_middle_of_a_frame_may_overdraw() {
        let budget = ByteBudget::new(100);
        let mut held = budget.take(60);
        assert!(matches!(poll(&budget, Want::Grow), Poll::Ready(None)));
        held.grow(60);
        assert!(poll(&budget, Want::Begin).is_pending(), "a new frame waits");
        let Poll::Ready(Some(overdraft)) = poll(&budget, Want::Grow) else {
            panic!("the first gets the overdraft");
        };
        assert!(poll(&budget, Want::Grow).is_pending(), "the second waits");
        drop(overdraft);
        assert!(matches!(poll(&budget, Want::Grow), Poll::Ready(Some(_))));
        drop(held);
        assert_eq!(budget.used_bytes(), 0);
        assert!(matches!(poll(&budget, Want::Begin), Poll::Ready(None)));
    }

    #[test]
    fn frames_that_grow_leave_room_for_frames_that_begin() {
        let budget = ByteBudget::new(100);
        let _held = budget.take(80);
        let _overdraft = poll(&budget, Want::Grow);
        assert!(poll(&budget, Want::Grow).is_pending());
        assert!(matches!(poll(&budget, Want::Begin), Poll::Ready(None)));
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
                .poll_room(Want::Begin, 1, &mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(held);
        assert!(flag.0.load(Ordering::Acquire));
    }
}
