//! Whether operations on one register can be put in an order that explains them: each takes effect at some moment
//! between its begin and its end, and a read gives what was written last. Nothing was written before the first.
//!
//! It tries orders, as Wing and Gong do, and remembers which set of operations it has tried with which value, as Lowe
//! does. An operation with an unknown outcome may take effect at any time after its begin, or never.
//! Source: Wing and Gong, "Testing and Verifying Concurrent Objects", 1993; Lowe, "Testing for linearizability", 2017.

use std::collections::HashSet;

use crate::history::{Action, Effect, Operation, Outcome, Value};
use crate::time::Micros;

/// So many steps are tried before it gives up.
const MOST_STEPS: u64 = 3_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Linearizable,
    Broken,
    /// Too many orders to try.
    Undecided,
}

/// One operation as the search sees it.
#[derive(Debug, Clone, Copy)]
struct Op {
    began: Micros,
    /// The largest time for one that may take effect whenever it likes, or never.
    ended: Micros,
    effect: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Read(Option<Value>),
    Write(Option<Value>),
}

impl Op {
    fn must_happen(&self) -> bool {
        self.ended != Micros::MAX
    }
}

pub fn check(operations: &[&Operation]) -> Verdict {
    let mut ops: Vec<Op> = operations.iter().filter_map(|one| op(one)).collect();
    let read: HashSet<Option<Value>> = ops
        .iter()
        .filter_map(|op| match op.effect {
            Seen::Read(value) => Some(value),
            Seen::Write(_) => None,
        })
        .collect();
    // What nobody read may as well not have happened.
    ops.retain(|op| match op.effect {
        Seen::Write(value) => op.must_happen() || read.contains(&value),
        Seen::Read(_) => true,
    });
    ops.sort_by_key(|op| (op.began, op.ended));
    Search::new(ops).run()
}

/// What an operation says; `None` if it says nothing.
fn op(operation: &Operation) -> Option<Op> {
    let (ended, effect) = match (operation.action, &operation.outcome) {
        (Action::Read, Outcome::Done(Effect::Read(value))) => (operation.ended, Seen::Read(*value)),
        (Action::Write(value), Outcome::Done(_)) => (operation.ended, Seen::Write(value)),
        (Action::Write(value), Outcome::Unknown(_)) => (Micros::MAX, Seen::Write(value)),
        _ => return None,
    };
    Some(Op {
        began: operation.began,
        ended,
        effect,
    })
}

struct Search {
    /// By their begin.
    ops: Vec<Op>,
    taken: Vec<u64>,
    /// Those that have to happen and were not taken.
    left: usize,
    value: Option<Value>,
    tried: HashSet<(Vec<u64>, Option<Value>)>,
    /// Taken operations with the value before each.
    path: Vec<(usize, Option<Value>)>,
}

impl Search {
    fn new(ops: Vec<Op>) -> Search {
        Search {
            taken: vec![0; ops.len().div_ceil(64)],
            left: ops.iter().filter(|op| op.must_happen()).count(),
            ops,
            value: None,
            tried: HashSet::new(),
            path: Vec::new(),
        }
    }

    fn run(mut self) -> Verdict {
        // Where the search among the candidates goes on.
        let mut from = 0;
        for _ in 0..MOST_STEPS {
            if self.left == 0 {
                return Verdict::Linearizable;
            }
            match self.next(from) {
                Some(at) => {
                    self.take(at);
                    from = 0;
                }
                None => match self.path.pop() {
                    Some((at, before)) => {
                        self.put_back(at, before);
                        from = at + 1;
                    }
                    None => return Verdict::Broken,
                },
            }
        }
        Verdict::Undecided
    }

    /// The next operation from there on that may come now, and has not been tried in this state.
    fn next(&mut self, from: usize) -> Option<usize> {
        // Nothing may come that began after another one ended which has not come yet.
        let mut first_end = Micros::MAX;
        for at in 0..self.ops.len() {
            let op = self.ops[at];
            if op.began > first_end {
                break;
            }
            if self.is_taken(at) {
                continue;
            }
            first_end = first_end.min(op.ended);
            if at < from {
                continue;
            }
            let after = match op.effect {
                Seen::Read(value) if value == self.value => value,
                Seen::Read(_) => continue,
                Seen::Write(value) => value,
            };
            let mut taken = self.taken.clone();
            taken[at / 64] |= 1 << (at % 64);
            if self.tried.insert((taken, after)) {
                return Some(at);
            }
        }
        None
    }

    fn is_taken(&self, at: usize) -> bool {
        self.taken[at / 64] & (1 << (at % 64)) != 0
    }

    fn take(&mut self, at: usize) {
        self.path.push((at, self.value));
        self.taken[at / 64] |= 1 << (at % 64);
        self.left -= usize::from(self.ops[at].must_happen());
        if let Seen::Write(value) = self.ops[at].effect {
            self.value = value;
        }
    }

    fn put_back(&mut self, at: usize, before: Option<Value>) {
        self.taken[at / 64] &= !(1 << (at % 64));
        self.left += usize::from(self.ops[at].must_happen());
        self.value = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begin, end, and `w1` writes 1, `d` deletes, `r1` reads 1, `r-` nothing; `?` behind a write: its outcome is unknown.
    type Word<'a> = (Micros, Micros, &'a str);

    fn judged(words: &[Word<'_>]) -> Verdict {
        let operations: Vec<Operation> = words.iter().map(|word| operation(*word)).collect();
        check(&operations.iter().collect::<Vec<_>>())
    }

    fn operation((began, ended, word): Word<'_>) -> Operation {
        let (kind, rest) = word.split_at(1);
        let unknown = rest.ends_with('?');
        let value = rest.trim_end_matches('?').parse().ok();
        let (action, effect) = match kind {
            "r" => (Action::Read, Effect::Read(value)),
            _ => (Action::Write(value), Effect::Written),
        };
        Operation {
            register: String::new(),
            client: 0,
            node: 0,
            action,
            began,
            ended,
            outcome: if unknown {
                Outcome::Unknown(String::new())
            } else {
                Outcome::Done(effect)
            },
        }
    }

    #[test]
    fn good_histories_are_good() {
        let good: [&[Word<'_>]; 9] = [
            &[],
            &[
                (0, 1, "r-"),
                (2, 3, "w1"),
                (4, 5, "r1"),
                (6, 7, "d"),
                (8, 9, "r-"),
            ],
            // Concurrent writes in either order.
            &[(0, 9, "w1"), (1, 8, "w2"), (10, 11, "r1"), (12, 13, "r1")],
            &[(0, 9, "w1"), (1, 8, "w2"), (10, 11, "r2")],
            // A read during a write may see it or not.
            &[
                (0, 1, "w1"),
                (2, 9, "w2"),
                (3, 4, "r1"),
                (5, 6, "r2"),
                (7, 8, "r2"),
            ],
            // An unknown write happens late, or never.
            &[
                (0, 1, "w1"),
                (2, 3, "w2?"),
                (4, 5, "r1"),
                (6, 7, "r2"),
                (8, 9, "r2"),
            ],
            &[(0, 1, "w1"), (2, 3, "w2?"), (4, 5, "r1"), (90, 99, "r1")],
            &[
                (0, 1, "w1"),
                (2, 3, "d?"),
                (4, 5, "r1"),
                (6, 7, "w2"),
                (8, 9, "r-"),
            ],
            // Ends and begins at the same time are concurrent.
            &[(0, 5, "w1"), (5, 6, "r-"), (6, 7, "r1")],
        ];
        for history in good {
            assert_eq!(judged(history), Verdict::Linearizable, "{history:?}");
        }
    }

    #[test]
    fn each_anomaly_is_found() {
        let bad: [(&str, &[Word<'_>]); 8] = [
            ("lost write", &[(0, 1, "w1"), (2, 3, "r-")]),
            ("stale read", &[(0, 1, "w1"), (2, 3, "w2"), (4, 5, "r1")]),
            ("read of nothing written", &[(0, 1, "w1"), (2, 3, "r7")]),
            ("read before its write", &[(0, 1, "r1"), (2, 3, "w1")]),
            (
                "reads that go back",
                &[
                    (0, 9, "w1"),
                    (0, 9, "w2"),
                    (10, 11, "r1"),
                    (12, 13, "r2"),
                    (14, 15, "r1"),
                ],
            ),
            (
                "new, then old, during a write",
                &[(0, 1, "w1"), (2, 9, "w2"), (3, 4, "r2"), (5, 6, "r1")],
            ),
            (
                "an unknown write that comes, goes, and comes",
                &[
                    (0, 1, "w1"),
                    (2, 3, "w2?"),
                    (4, 5, "r2"),
                    (6, 7, "w3"),
                    (8, 9, "r3"),
                    (10, 11, "r2"),
                ],
            ),
            (
                "a deleted row that comes back",
                &[(0, 1, "w1"), (2, 3, "d"), (4, 5, "r-"), (6, 7, "r1")],
            ),
        ];
        for (what, history) in bad {
            assert_eq!(judged(history), Verdict::Broken, "{what}");
        }
    }

    #[test]
    fn a_refused_write_never_happens() {
        let mut write = operation((0, 1, "w1"));
        write.outcome = Outcome::Refused("not the leader".to_owned());
        let read = operation((2, 3, "r1"));
        assert_eq!(check(&[&write, &read]), Verdict::Broken);
        let none = operation((2, 3, "r-"));
        assert_eq!(check(&[&write, &none]), Verdict::Linearizable);
    }

    #[test]
    fn a_long_history_of_concurrent_clients_is_decided() {
        let mut words = Vec::new();
        for round in 0..150_u64 {
            let at = round * 10;
            for client in 0..4 {
                words.push((at, at + 9, format!("w{}", round * 4 + client)));
            }
            words.push((at, at + 9, format!("w{}?", 10_000 + round)));
            words.push((at + 10, at + 10, format!("r{}", round * 4 + round % 4)));
        }
        let words: Vec<_> = words.iter().map(|(a, b, c)| (*a, *b, c.as_str())).collect();
        assert_eq!(judged(&words), Verdict::Linearizable);
    }
}
