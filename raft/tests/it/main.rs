//! Nodes, shards and the WAL from the outside.

mod corruption;
mod fixture;
mod real_disk;
mod replication;
mod restart;
mod single;
mod wal;
