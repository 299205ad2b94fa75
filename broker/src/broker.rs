//! The broker: what all edges share.

/// One node's broker.
#[derive(Debug)]
pub struct Broker {}
