//! Members that do anything at any time: the invariants hold, and every request is answered in bounded time.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Join { member: usize, changed: bool },
    JoinNew { member: usize },
    JoinStatic { instance: usize },
    Sync { member: usize },
    Heartbeat { member: usize },
    Leave { member: usize },
    Written { fails: bool },
    Pass { ms: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..6usize, any::<bool>()).prop_map(|(member, changed)| Event::Join { member, changed }),
        2 => (0..6usize).prop_map(|member| Event::JoinNew { member }),
        2 => (0..2usize).prop_map(|instance| Event::JoinStatic { instance }),
        3 => (0..6usize).prop_map(|member| Event::Sync { member }),
        3 => (0..6usize).prop_map(|member| Event::Heartbeat { member }),
        1 => (0..6usize).prop_map(|member| Event::Leave { member }),
        4 => prop::bool::weighted(0.1).prop_map(|fails| Event::Written { fails }),
        2 => (0..8_000u64).prop_map(|ms| Event::Pass { ms }),
    ]
}

/// The id of the n-th member that there is, or one that is not there.
fn id(rig: &Rig, n: usize) -> String {
    rig.group
        .members
        .get_index(n)
        .map_or_else(|| "ghost".to_owned(), |(id, _)| id.to_string())
}

fn play(rig: &mut Rig, step: usize, event: &Event) -> Option<Ticket> {
    let fresh_id = format!("m{step}");
    match event {
        Event::Join { member, changed } => {
            let metadata: &[u8] = if *changed { b"changed" } else { b"meta" };
            let instance = rig
                .group
                .members
                .get_index(*member)
                .and_then(|(_, m)| m.instance_id.clone());
            let joining = Joining {
                instance_id: instance.map(|i| i.to_string()),
                ..known(&id(rig, *member))
            };
            Some(rig.join(joining.protocols(vec![("range", metadata)])))
        }
        Event::JoinNew { member } => Some(rig.join(Joining {
            needs_known_id: member % 2 == 0,
            ..fresh(&fresh_id)
        })),
        Event::JoinStatic { instance } => {
            Some(rig.join(fresh_static(&format!("s{instance}"), &fresh_id)))
        }
        Event::Sync { member } => Some(rig.sync(&id(rig, *member), &[])),
        Event::Heartbeat { member } => {
            let _ = rig.heartbeat(&id(rig, *member));
            None
        }
        Event::Leave { member } => {
            let _ = rig.leave(&id(rig, *member), None);
            None
        }
        Event::Written { fails } => {
            if !rig.writes.is_empty() {
                rig.written(if *fails {
                    Err(GroupError::NotAvailable)
                } else {
                    Ok(())
                });
            }
            None
        }
        Event::Pass { ms } => {
            rig.pass(*ms);
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_request_is_answered_whatever_members_do(events in prop::collection::vec(event(), 1..80)) {
        let mut rig = Rig::new();
        let mut asked = Vec::new();
        let mut generation = 0;
        for (step, event) in events.iter().enumerate() {
            asked.extend(play(&mut rig, step, event));
            prop_assert!(rig.group.generation() >= generation, "generations only grow");
            generation = rig.group.generation();
        }
        // Members fall silent; the log still answers. Then every deadline passes and the group is empty.
        for _ in 0..12 {
            while !rig.writes.is_empty() {
                rig.written(Ok(()));
            }
            rig.pass(REBALANCE);
        }
        prop_assert_eq!(rig.state(), State::Empty);
        let open = asked.iter().filter(|ticket| rig.waits(**ticket)).count();
        let live: Vec<Ticket> = rig.group.tickets().collect();
        prop_assert!(live.is_empty());
        prop_assert_eq!(open, 0);
    }
}
