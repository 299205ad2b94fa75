//! What a client may do, as the bit sets that some answers carry. Without an authorizer everyone may do everything.

/// Read, write, create, delete, alter, describe, describe and alter configs.
pub const TOPIC_OPERATIONS: i32 = operations(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// Create, alter, describe, cluster action, describe and alter configs, idempotent write.
pub const CLUSTER_OPERATIONS: i32 = operations(&[5, 7, 8, 9, 10, 11, 12]);
/// Read, delete, describe, describe and alter configs.
pub const GROUP_OPERATIONS: i32 = operations(&[3, 6, 8, 10, 11]);
/// The client did not ask.
pub const NOT_ASKED: i32 = i32::MIN;

/// Bit n stands for the operation with Kafka's code n.
const fn operations(codes: &[u8]) -> i32 {
    let (mut bits, mut at) = (0, 0);
    while at < codes.len() {
        bits |= 1 << codes[at];
        at += 1;
    }
    bits
}

const _: () = assert!(TOPIC_OPERATIONS == 3576);
const _: () = assert!(CLUSTER_OPERATIONS == 8096);
const _: () = assert!(GROUP_OPERATIONS == 3400);
