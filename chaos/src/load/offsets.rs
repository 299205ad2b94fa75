//! Offsets of groups without members, committed and read as registers. A group is left after a while.

use std::sync::Arc;

use compat_tests::calls;
use compat_tests::luck::Luck;

use super::{LOG, Scene, pace};
use crate::history::{Action, Effect, Operation, Outcome};
use crate::node;

pub const CLIENTS: u64 = 4;
const PAUSE_MS: u64 = 80;
/// Groups at a time.
const GROUPS: u64 = 4;
/// A group is left after so long, in microseconds.
const LIFE: u64 = 15_000_000;
const WRITE_PERCENT: u64 = 45;
const NOT_COORDINATOR: i16 = 16;
const PARTITION: i32 = 0;

/// Asks until the end.
pub fn run(scene: &Arc<Scene>, client: u64) {
    let mut luck = Luck::new(scene.seed ^ (client << 32));
    while scene.goes_on() {
        let began = scene.recorder.clock.micros();
        let group = format!("g{}-{}", luck.below(GROUPS), began / LIFE);
        let asked = luck.below(scene.nodes as u64) as usize;
        let action = if luck.says(WRITE_PERCENT) {
            Action::Write(Some(scene.value()))
        } else {
            Action::Read
        };
        pace(&mut luck, PAUSE_MS);
        let Ok(Some(coordinator)) = calls::coordinator(node::kafka(asked), &group) else {
            continue;
        };
        let coordinator = coordinator as usize - 1;
        let began = scene.recorder.clock.micros();
        let outcome = act(coordinator, &group, action);
        let operation = Operation {
            register: group,
            client,
            node: coordinator,
            action,
            began,
            ended: scene.recorder.clock.micros(),
            outcome,
        };
        scene
            .recorder
            .note(|history| history.commits.push(operation));
    }
}

fn act(coordinator: usize, group: &str, action: Action) -> Outcome<Effect> {
    let node = node::kafka(coordinator);
    match action {
        Action::Read => match calls::committed(node, group, LOG, PARTITION) {
            Ok(Ok(offset)) => Outcome::Done(Effect::Read(offset.map(|offset| offset as u64))),
            Ok(Err(code)) => Outcome::Refused(format!("error {code}")),
            Err(error) => Outcome::Unknown(format!("{error:#}")),
        },
        Action::Write(value) => {
            let offset = value.expect("offsets are not deleted") as i64;
            match calls::commit(node, group, LOG, PARTITION, offset) {
                Ok(0) => Outcome::Done(Effect::Written),
                Ok(NOT_COORDINATOR) => Outcome::Refused("not the coordinator".to_owned()),
                Ok(code) => Outcome::Unknown(format!("error {code}")),
                Err(error) => Outcome::Unknown(format!("{error:#}")),
            }
        }
    }
}
