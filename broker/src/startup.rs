//! What a start waits for, for those who ask while the node is not up yet.

use std::sync::Arc;

use parking_lot::Mutex;

/// Says what is waited for, as it is when it is asked.
type Say = Arc<dyn Fn() -> String + Send + Sync>;

/// A node's start, as far as it has come. Clones share it.
#[derive(Clone)]
pub struct Startup(Arc<Mutex<Say>>);

impl Startup {
    pub fn new(what: &'static str) -> Startup {
        Startup(Arc::new(Mutex::new(Arc::new(|| what.to_owned()))))
    }

    /// From now on the start waits for this.
    pub fn waits_for(&self, what: impl Into<String>) {
        let what = what.into();
        self.asks(move || what.clone());
    }

    /// The same, with more to be said that changes meanwhile.
    pub fn asks(&self, say: impl Fn() -> String + Send + Sync + 'static) {
        *self.0.lock() = Arc::new(say);
    }

    pub fn waiting_for(&self) -> String {
        let say = self.0.lock().clone();
        say()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_step_is_told() {
        let startup = Startup::new("the log");
        assert_eq!(startup.waiting_for(), "the log");
        let shared = startup.clone();
        shared.waits_for("seeds");
        assert_eq!(startup.waiting_for(), "seeds");
    }
}
