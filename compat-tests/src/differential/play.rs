//! Cases played against one broker, several at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use super::cases::Case;
use super::target::Target;
use super::trial::{Step, Trial};
use crate::clock;

/// A case as one broker answered it.
#[derive(Debug, Clone, Default)]
pub struct Played {
    pub steps: Vec<Step>,
    pub took_ms: i64,
}

/// Each case, in the order of the cases.
pub fn all(target: &Target, cases: &[Case], jobs: usize) -> Vec<Played> {
    let next = AtomicUsize::new(0);
    let played = Mutex::new(vec![Played::default(); cases.len()]);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((at, case)) = take(&next, cases) {
                    let one = one(target, case);
                    played.lock().expect("no player panics")[at] = one;
                }
            });
        }
    });
    played.into_inner().expect("no player panics")
}

fn take<'c>(next: &AtomicUsize, cases: &'c [Case]) -> Option<(usize, &'c Case)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    cases.get(at).map(|case| (at, case))
}

pub fn one(target: &Target, case: &Case) -> Played {
    let started = clock::now_ms();
    let mut trial = Trial::new(target, format!("{}-{}", target.mark, case.slug()));
    if let Err(error) = (case.play)(&mut trial, case.version) {
        trial.record("the case".into(), json!(format!("stopped: {error:#}")));
    }
    Played {
        steps: trial.steps(),
        took_ms: clock::now_ms() - started,
    }
}

/// The case that took longest on either side: milliseconds and name.
pub fn slowest(cases: &[Case], sides: [&[Played]; 2]) -> Option<(i64, String)> {
    let timed = sides
        .into_iter()
        .flat_map(|played| played.iter().zip(cases));
    timed
        .max_by_key(|(played, _)| played.took_ms)
        .map(|(played, case)| (played.took_ms, case.full_name()))
}
