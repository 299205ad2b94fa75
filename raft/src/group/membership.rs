//! Membership entries' bytes. All integers are little-endian.
//!
//! offset  size  field     encoding
//! 0       1     version   u8 = 1 (0 reserved)
//! 1       1     configs   u8, number of voter sets: 1, or 2 while voters change
//! 2       2     learners  u16, number of learners
//! 4       2     voters    u16, number of voters of the first set
//! 6       8·n             their node ids, u64, ascending; the other sets follow likewise
//! …       8·l             learners' node ids, u64, ascending

use std::collections::{BTreeMap, BTreeSet};

use super::types::Membership;

const VERSION: u8 = 1;

pub fn encode(membership: &Membership) -> Vec<u8> {
    let configs = membership.get_joint_config();
    let learners: BTreeSet<u64> = membership.learner_ids().collect();
    let mut bytes = vec![VERSION, configs.len() as u8];
    bytes.extend((learners.len() as u16).to_le_bytes());
    for voters in configs {
        bytes.extend((voters.len() as u16).to_le_bytes());
        bytes.extend(voters.iter().flat_map(|id| id.to_le_bytes()));
    }
    bytes.extend(learners.iter().flat_map(|id| id.to_le_bytes()));
    bytes
}

/// `None` when the bytes are not a membership.
pub fn decode(bytes: &[u8]) -> Option<Membership> {
    let mut rest = bytes;
    let [version, configs] = take::<2>(&mut rest)?;
    if version != VERSION {
        return None;
    }
    let learner_count = u16::from_le_bytes(take(&mut rest)?);
    let mut voter_sets = Vec::new();
    for _ in 0..configs {
        let count = u16::from_le_bytes(take(&mut rest)?);
        voter_sets.push(ids(&mut rest, count)?);
    }
    let learners = ids(&mut rest, learner_count)?;
    let all = voter_sets.iter().flatten().chain(&learners);
    let nodes: BTreeMap<u64, openraft::EmptyNode> =
        all.map(|id| (*id, openraft::EmptyNode::new())).collect();
    rest.is_empty().then_some(())?;
    Membership::new(voter_sets, nodes).ok()
}

fn ids(rest: &mut &[u8], count: u16) -> Option<BTreeSet<u64>> {
    (0..count)
        .map(|_| take(rest).map(u64::from_le_bytes))
        .collect()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn membership(voters: Vec<BTreeSet<u64>>, learners: BTreeSet<u64>) -> Membership {
        let nodes: BTreeMap<_, _> = voters
            .iter()
            .flatten()
            .chain(&learners)
            .map(|id| (*id, openraft::EmptyNode::new()))
            .collect();
        Membership::new(voters, nodes).expect("every voter is a node")
    }

    #[test]
    fn golden_bytes() {
        let joint = membership(vec![[1].into(), [1, 2].into()], [3].into());
        assert_eq!(
            encode(&joint),
            [
                1, 2, 1, 0, //
                1, 0, 1, 0, 0, 0, 0, 0, 0, 0, //
                2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, //
                3, 0, 0, 0, 0, 0, 0, 0,
            ]
        );
    }

    proptest! {
        #[test]
        fn round_trips(
            voters in proptest::collection::vec(proptest::collection::btree_set(any::<u64>(), 1..5), 1..3),
            learners in proptest::collection::btree_set(any::<u64>(), 0..4),
        ) {
            let membership = membership(voters, learners);
            prop_assert_eq!(decode(&encode(&membership)), Some(membership));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
